//! Journal lines on their way to somebody else: read in order, each checked against the one before it, so
//! that nothing leaves as a journal's word that is not.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use farside_service::cli::{Failure, OrFailure as _};
use farside_service::journal::{Follower, Head, Stored};
use serde_json::{Map, Value};

/// One line of a journal.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// The journal's name.
    pub(crate) journal: &'a str,
    /// The line as it stands there.
    pub(crate) text: &'a str,
    /// The same, read.
    pub(crate) members: Map<String, Value>,
}

impl Line<'_> {
    /// A member that is text; empty where there is none.
    pub(crate) fn text_of(&self, member: &str) -> &str {
        self.members.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    /// The line's number.
    pub(crate) fn number(&self) -> u64 {
        self.members.get("n").and_then(Value::as_u64).unwrap_or_default()
    }
}

/// A file whatever it is called: one that is closed keeps its number.
type Inode = (u64, u64);

/// One journal being read.
pub(crate) struct Reading {
    path: PathBuf,
    name: String,
    follower: Follower,
    /// How much of each file has been read.
    read: HashMap<Inode, u64>,
}

impl Reading {
    /// Begins with the first line at hand, or behind a line that was seen before.
    pub(crate) fn of(stored: &Stored, behind: Option<&Head>) -> Reading {
        let follower = behind.map(Follower::behind).unwrap_or_default();
        Reading { path: stored.path(), name: stored.name().to_owned(), follower, read: HashMap::new() }
    }

    /// Up to where it has been read.
    pub(crate) fn head(&self) -> Option<Head> {
        self.follower.head(&self.name)
    }

    /// Hands every line that has come since to `each`; answers how many those were.
    pub(crate) fn forward(
        &mut self,
        mut each: impl FnMut(&Line<'_>) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let (mut count, mut read) = (0, HashMap::new());
        for journal in Stored::at(&self.path)? {
            for path in journal.files() {
                let (inode, offset, lines) = self.forward_in(path, &mut each)?;
                read.insert(inode, offset);
                count += lines;
            }
        }
        self.read = read;
        Ok(count)
    }

    fn forward_in(
        &mut self,
        path: &Path,
        each: &mut impl FnMut(&Line<'_>) -> Result<(), Failure>,
    ) -> Result<(Inode, u64, u64), Failure> {
        let what = || format!("read {}", path.display());
        let file = File::open(path).or_could_not(what)?;
        let about = file.metadata().or_could_not(what)?;
        let inode = (about.dev(), about.ino());
        let mut offset = self.read.get(&inode).copied().filter(|offset| *offset <= about.len()).unwrap_or(0);
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(offset)).or_could_not(what)?;
        let (mut bytes, mut count) = (Vec::new(), 0);
        loop {
            bytes.clear();
            let taken = reader.read_until(b'\n', &mut bytes).or_could_not(what)?;
            // Nothing more, or a line that is being written.
            let Some(text) = bytes.strip_suffix(b"\n") else { return Ok((inode, offset, count)) };
            offset += taken as u64;
            if self.follower.take(text).or_refused(|| path.display().to_string())? {
                let text = std::str::from_utf8(text).or_refused(|| path.display().to_string())?;
                let members = serde_json::from_str(text).or_refused(|| path.display().to_string())?;
                each(&Line { journal: &self.name, text, members })?;
                count += 1;
            }
        }
    }
}
