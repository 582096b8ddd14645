//! What a power cut could have left: runs a program under a recording shim (`shim/record.c`), then rebuilds
//! its folder at every point of the record, in each way a disk may lose what was not synced. Linux with glibc
//! only.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::disk::{Change, Disk, SECTOR_BYTES, View, lay_out};

/// What the disk did with writes that nobody had synced when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of them had reached the disk.
    Nothing,
    /// None of them had.
    Unsynced,
    /// All had, but only the first half of the last one's sectors.
    TornEnd,
    /// All had, but only the second half of the last one's sectors.
    TornStart,
    /// Only the last one had: it overtook its elders.
    Overtaken,
}

const LOSSES: [Loss; 5] = [Loss::Nothing, Loss::Unsynced, Loss::TornEnd, Loss::TornStart, Loss::Overtaken];

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

    /// The record so far. Panics if the folder holds anything that the record does not explain: then a write
    /// went past the shim, and every image would be a guess.
    pub fn finish(self) -> Recording {
        let trace = std::fs::read(self.trace.path().join("trace")).expect("the program was recorded");
        let recording = Recording { changes: parse(&trace), before: self.before };
        let (explained, found) = (recording.disk_after(recording.changes.len()), Disk::read(&self.root));
        let (explained, found) = (explained.files(View::Seen), found.files(View::Seen));
        let names: BTreeSet<&String> = explained.keys().chain(found.keys()).collect();
        for name in names {
            assert!(explained.get(name) == found.get(name), "`{name}` changed unseen by the recorder");
        }
        recording
    }
}

/// Every change in order, and the folder before the first.
pub struct Recording {
    changes: Vec<Change>,
    before: Disk,
}

/// One state in which the folder may be found after the power cut.
pub struct Image {
    /// How many recorded changes had happened.
    pub after: usize,
    /// What became of unsynced writes.
    pub loss: Loss,
    /// The last change before the cut, for messages.
    pub last: String,
    /// What had been told to the world (standard output, sockets) before the cut.
    pub told: Vec<u8>,
    files: BTreeMap<String, Option<Vec<u8>>>,
}

impl Image {
    /// Writes the state into an empty folder.
    pub fn lay_out(&self, folder: &Path) {
        lay_out(&self.files, folder);
    }

    /// One line for a failing assertion.
    pub fn describe(&self) -> String {
        format!("power cut after change {} ({}), disk lost: {:?}", self.after, self.last, self.loss)
    }
}

impl Recording {
    /// How many changes were recorded.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Every distinct state a power cut could leave; the same bytes after the same words are given once.
    pub fn images(&self) -> impl Iterator<Item = Image> + '_ {
        let (mut disk, mut told, mut known) = (self.before.clone(), Vec::new(), HashSet::new());
        (0..=self.changes.len()).flat_map(move |after| {
            if let Some(change) = after.checked_sub(1).map(|last| &self.changes[last]) {
                disk.apply(change);
                if let Change::Told(bytes) = change {
                    told.extend_from_slice(bytes);
                }
            }
            let images: Vec<Image> =
                LOSSES.iter().filter_map(|loss| self.image(&disk, after, *loss, &told)).collect();
            images.into_iter().filter(|image| known.insert(fingerprint(image))).collect::<Vec<_>>()
        })
    }

    fn image(&self, disk: &Disk, after: usize, loss: Loss, told: &[u8]) -> Option<Image> {
        let last = after.checked_sub(1).map(|last| &self.changes[last]);
        let files = match (loss, last) {
            (Loss::Nothing, _) => owned(disk, View::Seen),
            (Loss::Unsynced, _) => owned(disk, View::Kept),
            (Loss::TornEnd, Some(Change::Write(path, offset, data))) => {
                self.torn(after, path, *offset, &data[..half(data)])
            }
            (Loss::TornStart, Some(Change::Write(path, offset, data))) => {
                self.torn(after, path, offset + half(data) as u64, &data[half(data)..])
            }
            (Loss::Overtaken, Some(Change::Write(path, offset, data))) => {
                let mut disk = disk.clone();
                disk.keep_write(path, *offset, data);
                owned(&disk, View::Kept)
            }
            _ => return None,
        };
        let last = last.map_or("nothing".to_owned(), describe);
        Some(Image { after, loss, last, told: told.to_vec(), files })
    }

    /// The folder with the last write replaced by a part of it.
    fn torn(&self, after: usize, path: &str, offset: u64, part: &[u8]) -> BTreeMap<String, Option<Vec<u8>>> {
        let mut disk = self.disk_after(after - 1);
        disk.apply(&Change::Write(path.to_owned(), offset, part.to_vec()));
        owned(&disk, View::Seen)
    }

    fn disk_after(&self, after: usize) -> Disk {
        let mut disk = self.before.clone();
        self.changes[..after].iter().for_each(|change| disk.apply(change));
        disk
    }
}

/// Half of a write's sectors, in bytes; a write of one sector is torn to nothing.
fn half(data: &[u8]) -> usize {
    data.len() / SECTOR_BYTES / 2 * SECTOR_BYTES
}

fn owned(disk: &Disk, view: View) -> BTreeMap<String, Option<Vec<u8>>> {
    disk.files(view).into_iter().map(|(path, bytes)| (path, bytes.map(<[u8]>::to_vec))).collect()
}

fn fingerprint(image: &Image) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&image.files, &image.told).hash(&mut hasher);
    hasher.finish()
}

fn describe(change: &Change) -> String {
    match change {
        Change::Write(path, offset, data) => format!("write {path} {offset}+{}", data.len()),
        Change::Told(data) => format!("told {} bytes", data.len()),
        other => format!("{other:?}"),
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
            other => panic!("unknown record kind {other}"),
        });
        trace = rest;
    }
    assert!(trace.is_empty(), "the record ends in the middle");
    changes
}
