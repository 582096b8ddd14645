//! Runs a program under the recording shim (`shim/record.c`), which notes every change that it makes to one
//! folder and all that it tells the world, and makes chosen calls fail. Linux with glibc only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::crash::Recording;
use crate::disk::{Change, Disk};

/// What a call is made to do instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No room for bytes or names from here on: ENOSPC.
    Full,
    /// One change of any kind fails: EIO.
    Broken,
    /// One write takes half of its bytes; then there is no room.
    Short,
    /// One fsync fails, the next would succeed: EIO.
    Unsynced,
    /// Nothing can be changed from here on: EROFS.
    ReadOnly,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 5] = [Fault::Full, Fault::Broken, Fault::Short, Fault::Unsynced, Fault::ReadOnly];

    fn word(self) -> &'static str {
        match self {
            Fault::Full => "full",
            Fault::Broken => "broken",
            Fault::Short => "short",
            Fault::Unsynced => "unsynced",
            Fault::ReadOnly => "readonly",
        }
    }
}

/// Prepares commands to be recorded, and reads what they left.
pub struct Recorder {
    root: PathBuf,
    trace: tempfile::TempDir,
    before: Disk,
}

impl Recorder {
    /// Everything below `root` as it stands now counts as safely on the disk.
    pub fn new(root: &Path) -> Recorder {
        let root = root.canonicalize().expect("the recorded folder exists");
        let trace = tempfile::tempdir().expect("a folder for the record");
        Recorder { before: Disk::read(&root), root, trace }
    }

    /// Makes the command (and what it starts) record itself. Several commands may share one record.
    pub fn attach<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_PRELOAD", shim())
            .env("FARSIDE_RECORD_ROOT", &self.root)
            .env("FARSIDE_RECORD_TRACE", self.trace.path().join("trace"))
    }

    /// The same, and the `nth` call (from 1) that the fault can befall goes wrong. `only` is a part of the
    /// paths that count; empty for all.
    pub fn attach_with<'a>(
        &self,
        command: &'a mut Command,
        fault: Fault,
        nth: usize,
        only: &str,
    ) -> &'a mut Command {
        let what = format!("{} {nth} {only}", fault.word());
        self.attach(command).env("FARSIDE_RECORD_FAULT", what)
    }

    /// The record so far. Panics if the folder holds anything that the record does not explain: then a write
    /// went past the shim, and every image would be a guess.
    pub fn finish(self) -> Recording {
        // A program that made no change has made no record.
        let trace = std::fs::read(self.trace.path().join("trace")).unwrap_or_default();
        let recording = Recording::new(self.before, parse(&trace));
        let (explained, found) = (recording.at_end().seen(), Disk::read(&self.root).seen());
        for name in explained.keys().chain(found.keys()) {
            let bytes = |files: &crate::disk::Files| {
                files.get(name).map(|content| content.as_ref().map(|content| content.bytes().to_vec()))
            };
            assert!(bytes(&explained) == bytes(&found), "`{name}` changed unseen by the recorder");
        }
        recording
    }
}

/// Compiles the shim once for each test program.
fn shim() -> &'static Path {
    static SHIM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SHIM.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the shim");
        let (path, source) =
            (folder.path().join("record.so"), Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/record.c"));
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
        let status = compile.arg(&path).arg(source).args(["-ldl", "-lpthread"]).status();
        assert!(status.expect("cc can be started").success(), "the recording shim does not compile");
        (folder, path)
    });
    path
}

/// Reads the shim's records; its layout is described at the head of `record.c`.
fn parse(mut trace: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some((head, rest)) = trace.split_first_chunk::<21>() {
        let number =
            |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
        let offset = u64::from_le_bytes(head[13..21].try_into().expect("eight bytes"));
        let (path, rest) = rest.split_at(number(1));
        let (second, rest) = rest.split_at(number(5));
        let (data, rest) = rest.split_at(number(9));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("paths are UTF-8");
        changes.push(match head[0] {
            b'C' => Change::Create(text(path)),
            b'W' => Change::Write(text(path), offset, data.to_vec()),
            b'T' => Change::Resize(text(path), offset),
            b'S' => Change::Sync(text(path)),
            b'D' => Change::SyncFolder(text(path)),
            b'M' => Change::MakeFolder(text(path)),
            b'R' => Change::Rename(text(path), text(second)),
            b'L' => Change::Link(text(path), text(second)),
            b'U' => Change::Unlink(text(path)),
            b'O' => Change::Told(data.to_vec()),
            b'F' => Change::Fault(text(path), text(second)),
            other => panic!("unknown record kind {other}"),
        });
        trace = rest;
    }
    assert!(trace.is_empty(), "the record ends in the middle");
    changes
}
