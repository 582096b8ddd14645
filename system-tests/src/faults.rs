//! Disks that fail under a running program: the nth write, sync or name goes wrong, for each n and each way.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::crash::Recording;
use crate::disk::{Change, Disk, Files, lay_out};
use crate::http;
use crate::programs::{Finished, Server, run, scratch};
use crate::recorder::{Fault, Recorder};
use crate::sides::Sides;
use crate::torture;

/// A folder that every run begins with again.
pub struct Rig {
    scratch: tempfile::TempDir,
    name: String,
    before: Files,
}

/// What a run under a fault came to.
pub struct Struck {
    /// What went wrong, for messages.
    pub what: String,
    /// How the program ended.
    pub finished: Finished,
    /// What it did to the folder.
    pub recording: Recording,
}

impl Rig {
    /// Copies a program's folder, and keeps it as it stands now. `beside` are files that its configuration
    /// leads to.
    pub fn of(folder: &Path, beside: &[PathBuf]) -> Rig {
        let scratch = scratch();
        for file in beside {
            let name = file.file_name().expect("a file has a name");
            std::fs::copy(file, scratch.path().join(name)).expect("a file can be copied");
        }
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        Rig { scratch, name, before: Disk::read(folder).seen() }
    }

    /// The folder that programs are to work on.
    pub fn folder(&self) -> PathBuf {
        self.scratch.path().join(&self.name)
    }

    /// A recorder over a fresh copy.
    pub fn fresh(&self) -> Recorder {
        let folder = self.folder();
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).expect("a folder for the copy");
        lay_out(&self.before, &folder);
        Recorder::new(&folder)
    }

    /// The mint of these sides at work on a fresh copy, recorded.
    pub fn mint_serving(&self, sides: &Sides) -> (Recorder, Server) {
        let recorder = self.fresh();
        let toml = self.folder().join("mint.toml");
        let mut serve = sides.command(&format!("mint serve --config {}", toml.display()));
        recorder.attach(&mut serve);
        let mut server = Server::start(serve);
        server.wait_for(sides.mint);
        (recorder, server)
    }

    /// The gate of these sides on a fresh copy, recorded; `attach` says how.
    pub fn gate_serving(
        &self,
        sides: &Sides,
        attach: impl FnOnce(&Recorder, &mut Command),
    ) -> (Recorder, Server) {
        let recorder = self.fresh();
        let toml = self.folder().join("gate.toml");
        let mut serve = sides.command(&format!("gate serve --config {}", toml.display()));
        attach(&recorder, &mut serve);
        let mut server = Server::start(serve);
        server.wait_for(sides.gate);
        (recorder, server)
    }

    /// A gate that answers these clients, all at the same time, recorded from its start to its end.
    pub fn gate_answering(&self, sides: &Sides, clients: usize, client: impl Fn(usize) + Sync) -> Recording {
        let (recorder, mut server) = self.gate_serving(sides, |recorder, serve| {
            recorder.attach(serve);
        });
        server.wait_until("it is ready", || http::get(sides.gate, "/readyz", &[]).status == 200);
        std::thread::scope(|scope| {
            for number in 0..clients {
                let client = &client;
                scope.spawn(move || client(number));
            }
        });
        server.stop();
        recorder.finish()
    }

    /// Runs a program once for each fault and each call that it can befall, until there are no more such
    /// calls; an ordinary test run takes one call of `step`, another one for each fault. `command` gets the
    /// folder. Answers how often a fault struck.
    pub fn strike(&self, step: usize, command: impl Fn(&Path) -> Command, judge: impl Fn(&Struck)) -> usize {
        let step = step.min(torture::one_of());
        let mut struck = 0;
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            for nth in (1 + index % step..).step_by(step) {
                let recorder = self.fresh();
                let mut program = command(&self.folder());
                recorder.attach_with(&mut program, fault, nth, "");
                let finished = run(program);
                let recording = recorder.finish();
                let Some(at) = struck_at(&recording) else { break };
                let what = format!("{fault:?} at call {nth} ({at})");
                assert_ne!(finished.code, -1, "{what}: {finished:#?}");
                never_synced_again(&what, &recording);
                judge(&Struck { what, finished, recording });
                struck += 1;
            }
        }
        struck
    }
}

/// The call that went wrong, if one did.
pub fn struck_at(recording: &Recording) -> Option<String> {
    recording.changes().iter().find_map(|change| match change {
        Change::Fault(path, call) => Some(format!("{call} {path}")),
        _ => None,
    })
}

/// After a failed fsync a file is never synced again: success would prove nothing. SQLite's files are its own
/// business: it writes the pages again before it does, and the disk model knows what was given up.
pub fn never_synced_again(what: &str, recording: &Recording) {
    let mut failed = Vec::new();
    for change in recording.changes() {
        match change {
            Change::Fault(path, call) if call.starts_with('f') && !path.contains(".db") => failed.push(path),
            Change::Sync(path) => assert!(!failed.contains(&path), "{what}: {path} was synced again"),
            _ => {}
        }
    }
}
