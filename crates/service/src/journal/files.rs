//! The files of one journal: `<program>.jsonl`, which is written, and those that are full and closed.
//!
//! ```text
//!   gate-000000000001.jsonl   gate-000000412233.jsonl   gate.jsonl
//!   closed: line 1 …          closed: line 412,233 …    open
//! ```
//!
//! Line numbers and hashes go on from file to file. A closed file is never written again and may be carried
//! off to an archive, but for the newest: the chain goes on from its end should the open one be empty.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::append::Tape;
use crate::durable::{self, Failed, failed};
use crate::lock;

/// What a journal's files end with.
const ENDING: &str = "jsonl";
/// Digits of a first line's number in the name of a closed file, so that names sort as numbers do.
const DIGITS: usize = 12;

/// A journal by its folder and name, and whichever files of it are there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    /// Number of its first line and path, in order.
    pub(super) closed: Vec<(u64, PathBuf)>,
    pub(super) open: Option<PathBuf>,
}

impl Files {
    /// The files of the journal `name` in a folder.
    pub(super) fn of(folder: &Path, name: &str) -> Result<Files, Failed> {
        let found = Files::in_folder(folder)?.into_iter().find(|files| files.name == name);
        let none = || Files { folder: folder.to_owned(), name: name.to_owned(), closed: vec![], open: None };
        Ok(found.unwrap_or_else(none))
    }

    /// Every journal of a folder, by name.
    pub(super) fn in_folder(folder: &Path) -> Result<Vec<Files>, Failed> {
        let fail = |source| failed("read", folder, source);
        let mut journals: Vec<Files> = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let Some((name, first)) = parts(&path) else { continue };
            let at = journals.iter().position(|files| files.name == name).unwrap_or_else(|| {
                journals.push(Files { folder: folder.to_owned(), name, closed: vec![], open: None });
                journals.len() - 1
            });
            match first {
                Some(first) => journals[at].closed.push((first, path)),
                None => journals[at].open = Some(path),
            }
        }
        journals.iter_mut().for_each(|files| files.closed.sort());
        journals.sort();
        Ok(journals)
    }

    /// In the order of their lines.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.closed.iter().map(|(_, path)| path).chain(&self.open).map(PathBuf::as_path)
    }
}

/// The name of a journal and, of a closed file, the number of its first line.
pub(super) fn parts(path: &Path) -> Option<(String, Option<u64>)> {
    if path.extension().is_none_or(|ending| ending != ENDING) {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    let closed = stem.rsplit_once('-').and_then(|(name, first)| {
        let digits = first.len() == DIGITS && first.bytes().all(|digit| digit.is_ascii_digit());
        Some((name.to_owned(), if digits { first.parse().ok() } else { None }?))
    });
    Some(closed.map_or_else(|| (stem.to_owned(), None), |(name, first)| (name, Some(first))))
}

/// The file that is written.
pub(super) fn open_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{ENDING}"))
}

fn closed_path(open: &Path, first: u64) -> PathBuf {
    let stem = open.file_stem().unwrap_or_default().to_string_lossy();
    open.with_file_name(format!("{stem}-{first:0DIGITS$}.{ENDING}"))
}

/// Whether an open file is still the one that its name leads to; between opening and locking it, whoever
/// wrote it may have closed it.
pub(super) fn is_still(file: &File, path: &Path) -> Result<bool, Failed> {
    let fail = |source| failed("open", path, source);
    let held = file.metadata().map_err(fail)?;
    match fs::metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(fail(source)),
    }
}

/// The open file, closed and followed by a new one when it is full.
pub(super) struct Rotating {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Bytes in it.
    pub(super) bytes: u64,
    /// Number of its first line.
    pub(super) first: u64,
    /// Number of the next line.
    pub(super) next: u64,
    /// Bytes after which it is closed.
    pub(super) bytes_max: u64,
}

impl Tape for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // journal.md §4.1: between batches, so that a batch never stands in two files.
        if self.bytes > 0 && self.bytes + bytes.len() as u64 > self.bytes_max {
            self.turn()?;
        }
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.next += lines(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// How many lines end in these bytes; counted in parts whose sum fits a byte, which goes many bytes at a
/// time.
fn lines(bytes: &[u8]) -> u64 {
    let ends = |part: &[u8]| part.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>();
    bytes.chunks(usize::from(u8::MAX)).map(|part| u64::from(ends(part))).sum()
}

impl Rotating {
    /// Everything in the file is durable already: it was synchronised behind its last batch.
    fn turn(&mut self) -> io::Result<()> {
        let closed = closed_path(&self.path, self.first);
        // Nobody else makes files of this journal while it is locked.
        if closed.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "its closed file is there already"));
        }
        fs::rename(&self.path, &closed)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create_new(true).mode(0o600).open(&self.path)?;
        lock::hold(&file, &self.path, Duration::ZERO).map_err(io::Error::other)?;
        durable::sync_dir(durable::parent(&self.path)).map_err(io::Error::other)?;
        (self.file, self.bytes, self.first) = (file, 0, self.next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_over_every_part() {
        assert_eq!([lines(b""), lines(b"a"), lines(b"a\n"), lines(b"\n\na\n")], [0, 0, 1, 3]);
        assert_eq!(lines(&b"\n".repeat(1_000)), 1_000);
    }
}
