//! The journal: what a program did, decided and carried, one JSON line each, every line chained to the one
//! before it. For whoever has to prove afterwards what happened; a changed, missing or added line is named by
//! its number.
//!
//! ```text
//!   {"n":7,"batch":6,"at":"2026-11-23T20:00:00Z","event":"bundle_applied",…,"prev":"<hash of 6>","hash":"…"}
//!   hash = SHA-256(hash of the line before, 32 bytes ‖ this line without its hash member)
//! ```
//!
//! The first line's `prev` is 64 zeros. `batch` is the number of the first line that was made durable
//! together with this one: a bad line followed by a good one of a later batch was durable once and has been
//! damaged; otherwise a crash tore it and nobody was ever told of it. Cutting lines off the end leaves a
//! whole chain: compare the head with one noted elsewhere.

mod audit;
mod end;
mod event;
mod files;
mod follow;
mod line;
mod piece;
mod verify;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::append::{self, Framing, Group, Haste, Recovery, Ticket, Tried, frame};
use crate::durable::{self, Failed, Mode, failed};
use crate::lock::LockFault;
use crate::time;

pub use audit::{Reach, audit};
use end::{End, Mark, before_open, first_number, read_end};
pub use end::{Head, heads};
pub use event::Event;
use files::{Files, Rotating, is_still, open_path};
pub use follow::Follower;
use line::LINE_BYTES_MAX;
pub use line::LineFault;
pub use verify::{Beginning, JournalFault, Noted, Stored, Summary, verify};

/// Bytes after which a journal's file is closed and a new one begun.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why a line was not recorded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordFault {
    /// The members are no JSON object.
    #[error("the members of a journal line must be a JSON object")]
    NotAnObject,
    /// A member bears a name of the journal's own.
    #[error("`{0}` is a member of the journal's own")]
    Reserved(String),
    /// The line would be too long.
    #[error("a journal line holds at most {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The journal cannot be written any more.
    #[error("journal: {0}")]
    Refused(#[from] append::Refused),
}

/// Why a journal was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The file could not be opened, read or repaired.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// Another process writes it.
    #[error(transparent)]
    Locked(#[from] LockFault),
    /// A line that was durable once has changed.
    #[error("{path}: damaged behind line {line}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The last good line before it, 0 if there is none.
        line: u64,
        /// What is wrong.
        reason: LineFault,
    },
}

/// The writing end of one program's journal. Shared by reference.
#[derive(Debug)]
pub struct Journal {
    group: Group,
    path: PathBuf,
}

impl Journal {
    /// Opens `<dir>/<program>.jsonl`, creating both where missing, and goes on behind its last whole line.
    ///
    /// ```
    /// use farside_service::journal::{self, Journal};
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let (journal, _recovery) = Journal::open(dir.path(), "gate")?;
    /// journal.record("bundle_applied", json!({"seq": 41}))?.wait()?;
    /// assert_eq!(journal::verify(journal.path())?.lines, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Another process writes it, its end is damaged, or the disk fails.
    pub fn open(dir: &Path, program: &str) -> Result<(Self, Recovery), OpenFault> {
        Self::open_with(dir, program, FILE_BYTES_MAX)
    }

    /// Opens a journal whose files are closed after `file_bytes_max`.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(dir: &Path, program: &str, file_bytes_max: u64) -> Result<(Self, Recovery), OpenFault> {
        durable::create_dir_all(dir, Mode::Private)?;
        let path = open_path(dir, program);
        let (file, first, end) = loop {
            let (file, found) = frame::open_and_scan(&path, |file| {
                if !is_still(file, &path)? {
                    return Ok(None);
                }
                let end = read_end(file, &path, before_open(&Files::of(dir, program)?)?)?;
                let first = first_number(file, &path)?.unwrap_or(end.mark.last + 1);
                Ok::<_, OpenFault>(Some((first, end)))
            })?;
            // Else it was closed while this process waited for it; another stands under its name now.
            if let Some((first, end)) = found {
                break (file, first, end);
            }
        };
        let End { mark, bytes, torn } = end;
        let mut recovery = Recovery { records: mark.last, bytes, torn };
        frame::set_aside(&file, &path, &mut recovery)?;
        let next = mark.last + 1;
        let tape = Rotating { file, path: path.clone(), bytes, first, next, bytes_max: file_bytes_max };
        let group = Group::over(tape, Chain::behind(mark), mark.last);
        let group = group.map_err(|source| failed("start writing", &path, source))?;
        Ok((Self { group, path }, recovery))
    }

    /// Records an event of this moment; `members` is a JSON object. It has happened once the ticket says so.
    ///
    /// # Errors
    /// The members are not fit for a line, or the journal is broken.
    pub fn record(&self, event: &str, members: Value) -> Result<Ticket, RecordFault> {
        self.record_at(time::now_unix(), event, members)
    }

    /// Records an event of the moment `now`.
    ///
    /// # Errors
    /// As [`Journal::record`].
    pub fn record_at(&self, now: u64, event: &str, members: Value) -> Result<Ticket, RecordFault> {
        let Value::Object(members) = members else { return Err(RecordFault::NotAnObject) };
        let mut line = Event::new(now, event);
        members.iter().for_each(|(name, value)| line.put(name, value));
        self.write(line)
    }

    /// Records an event. It has happened once the ticket says so.
    ///
    /// # Errors
    /// As [`Journal::record`].
    pub fn write(&self, event: Event) -> Result<Ticket, RecordFault> {
        Ok(self.group.append(event.into_text()?)?)
    }

    /// As [`Journal::write`], for callers that may never wait for room in the queue.
    ///
    /// # Errors
    /// As [`Journal::record`].
    pub fn try_write(&self, event: Event, haste: Haste) -> Result<Tried<Event>, RecordFault> {
        Ok(match self.group.try_append(event.into_text()?, haste)? {
            Tried::Taken(ticket) => Tried::Taken(ticket),
            Tried::Full(text) => Tried::Full(Event::again(text)),
        })
    }

    /// Whether the journal still takes lines; a program whose journal does not must stop answering.
    ///
    /// # Errors
    /// It is broken.
    pub fn healthy(&self) -> Result<(), append::Broken> {
        self.group.healthy()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The end of the chain, owned by the writing thread.
struct Chain {
    end: Mark,
    /// Number of the first line of the batch that is being framed.
    batch: Option<u64>,
    scratch: Vec<u8>,
}

impl Chain {
    fn behind(end: Mark) -> Chain {
        Chain { end, batch: None, scratch: Vec::new() }
    }
}

impl Framing for Chain {
    fn frame(&mut self, records: &[Vec<u8>], out: &mut Vec<u8>) {
        let first = *self.batch.get_or_insert(self.end.last + 1);
        for members in records {
            self.end.last += 1;
            self.end.head =
                line::write(self.end.last, first, members, &self.end.head, out, &mut self.scratch);
        }
    }

    fn close(&mut self, _out: &mut Vec<u8>) {
        self.batch = None;
    }
}

#[cfg(test)]
mod tests;
