//! Two sides and a stick between them, in a temporary folder, and the real program to drive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

pub(crate) struct World {
    pub(crate) root: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["near/outbox/dome", "near/journal", "far/inbox", "far/journal", "stick"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        Self { root }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn outbox(&self) -> PathBuf {
        self.path("near/outbox/dome")
    }

    pub(crate) fn inbox(&self) -> PathBuf {
        self.path("far/inbox")
    }

    pub(crate) fn on_stick(&self) -> PathBuf {
        self.path("stick/FARSIDE/dome")
    }

    /// Bundle `number`, each a minute younger than the one before it.
    pub(crate) fn bundle(&self, number: u32, bytes: usize) -> PathBuf {
        let path = self.outbox().join(format!("dome-{number:08}.fbundle"));
        let content: Vec<u8> = (0..bytes).map(|at| (at as u32 ^ number.wrapping_mul(97)) as u8).collect();
        fs::write(&path, content).unwrap();
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000 + u64::from(number) * 60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        path
    }

    pub(crate) fn send(&self, more: &[&str]) -> Answer {
        self.send_to(&self.path("stick"), more)
    }

    pub(crate) fn send_to(&self, stick: &Path, more: &[&str]) -> Answer {
        let mut command = ferry();
        command.arg("send").arg("--from").arg(self.outbox()).arg("--to").arg(stick).args(more);
        answer(command.output().unwrap())
    }

    pub(crate) fn receive(&self, more: &[&str]) -> Answer {
        self.receive_from(&self.path("stick"), more)
    }

    pub(crate) fn receive_from(&self, stick: &Path, more: &[&str]) -> Answer {
        let mut command = ferry();
        command.arg("receive").arg("--from").arg(stick).arg("--to").arg(self.inbox()).args(more);
        answer(command.output().unwrap())
    }

    pub(crate) fn status(&self) -> Answer {
        answer(ferry().arg("status").arg(self.path("stick")).output().unwrap())
    }
}

pub(crate) fn ferry() -> Command {
    Command::new(env!("CARGO_BIN_EXE_farside-ferry"))
}

fn answer(output: Output) -> Answer {
    Answer {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, word: &str) -> Self {
        assert!(self.out.contains(word) || self.err.contains(word), "{word:?} in {}\n{}", self.out, self.err);
        self
    }
}

/// Names in a folder, hidden ones left out.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// A small file system of its own, taken away again when dropped.
pub(crate) struct Tmpfs(pub(crate) PathBuf);

impl Tmpfs {
    /// `None`, with the reason spoken, where this user may not mount.
    pub(crate) fn mount(path: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path)),
            refused => {
                eprintln!("skipped: no file system can be mounted here, it takes root: {refused:?}");
                None
            }
        }
    }

    /// A medium that claims 8 MiB and keeps no more than this file system has room for: what a counterfeit
    /// stick does. `None`, with the reason spoken, where it cannot be made.
    pub(crate) fn counterfeit(&self, at: PathBuf) -> Option<Self> {
        let image = self.0.join("image");
        fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        fs::create_dir_all(&at).unwrap();
        let mut format = Command::new("mkfs.ext4");
        format.args(["-q", "-F", "-O", "^has_journal"]).arg(&image);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&image).arg(&at);
        for mut step in [format, mount] {
            match step.output() {
                Ok(output) if output.status.success() => {}
                refused => {
                    eprintln!("skipped: no loop device or mkfs.ext4 here: {refused:?}");
                    return None;
                }
            }
        }
        Some(Self(at))
    }

    pub(crate) fn make_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
