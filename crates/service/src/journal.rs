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

mod line;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::append::{self, Framing, Group, Recovery, Ticket, TornTail, frame};
use crate::digest::{SHA256_BYTES, hex};
use crate::durable::{self, Failed, Mode, failed};
use crate::lock::LockFault;
use crate::time;

pub use line::LineFault;
use line::{LINE_BYTES_MAX, Line, RESERVED};

/// Bytes behind a line's own members: numbers, time, hashes. What an event may add is the rest of the limit.
const MEMBERS_BYTES_MAX: usize = 512;
/// How much of the end is read at opening: first a little; if that is not whole, more than one batch can
/// hold.
const WINDOW_BYTES: [u64; 2] = [1 << 18, 16 << 20];

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
        durable::create_dir_all(dir, Mode::Private)?;
        let path = dir.join(format!("{program}.jsonl"));
        let (file, end) = frame::open_and_scan(&path, |file| read_end(file, &path))?;
        let mut recovery = Recovery { records: end.last, bytes: end.bytes, torn: end.torn };
        frame::set_aside(&file, &path, &mut recovery)?;
        let chain = Chain { last: end.last, head: end.head };
        let group = Group::over(file, chain, end.last);
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
        if let Some(name) = RESERVED.iter().find(|name| members.contains_key(**name)) {
            return Err(RecordFault::Reserved((*name).to_owned()));
        }
        let mut text = format!("\"at\":\"{}\",\"event\":{}", time::rfc3339(now), Value::from(event));
        if !members.is_empty() {
            let object = Value::Object(members).to_string();
            text.push(',');
            text.push_str(&object[1..object.len() - 1]);
        }
        if text.len() + MEMBERS_BYTES_MAX > LINE_BYTES_MAX {
            return Err(RecordFault::TooLong);
        }
        Ok(self.group.append(text.into_bytes())?)
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
    last: u64,
    head: [u8; SHA256_BYTES],
}

impl Framing for Chain {
    fn frame(&mut self, batch: &[Vec<u8>], out: &mut Vec<u8>) {
        let first = self.last + 1;
        for members in batch {
            self.last += 1;
            self.head = line::write(self.last, first, members, &self.head, out);
        }
    }
}

/// What a whole journal says about itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// How many lines.
    pub lines: u64,
    /// The hash of the last one, hexadecimal: note it elsewhere, and nothing can be cut off unseen.
    pub head: String,
    /// When the first was written.
    pub first_at: Option<String>,
    /// When the last was written.
    pub last_at: Option<String>,
    /// Bytes behind the last line end: being written, or torn by a crash and not yet set aside.
    pub unfinished_bytes: u64,
}

/// The first line of a journal that is not as it was written, or the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// The file cannot be read.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// A line is wrong.
    #[error("line {line}: {reason}")]
    Wrong {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: LineFault,
    },
}

/// Reads a journal from its first line to its last and checks the whole chain.
///
/// # Errors
/// The first wrong line with its number, or the file cannot be read.
pub fn verify(path: &Path) -> Result<Summary, JournalFault> {
    let fail = |source| failed("read", path, source);
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path).map_err(fail)?);
    let mut head = [0; SHA256_BYTES];
    let mut summary =
        Summary { lines: 0, head: String::new(), first_at: None, last_at: None, unfinished_bytes: 0 };
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes).map_err(fail)?;
        let number = summary.lines + 1;
        let wrong = |reason| JournalFault::Wrong { line: number, reason };
        let Some(text) = bytes.strip_suffix(b"\n") else {
            if bytes.len() > LINE_BYTES_MAX {
                return Err(wrong(LineFault::TooLong));
            }
            summary.unfinished_bytes = bytes.len() as u64;
            break;
        };
        let line = Line::parse(text).map_err(wrong)?;
        line.follows(number - 1, &head).map_err(wrong)?;
        head = line.hash;
        summary.lines = number;
        summary.first_at.get_or_insert_with(|| line.at.clone());
        summary.last_at = Some(line.at);
    }
    summary.head = hex(&head);
    Ok(summary)
}

/// Where a journal ends.
struct End {
    last: u64,
    head: [u8; SHA256_BYTES],
    bytes: u64,
    torn: Option<TornTail>,
}

/// Finds the end of the chain from the end of the file, so that opening a long journal takes no longer than a
/// short one; [`verify`] reads it all.
fn read_end(file: &File, path: &Path) -> Result<End, OpenFault> {
    let fail = |source| failed("read", path, source);
    let length = file.metadata().map_err(fail)?.len();
    let [little, much] = WINDOW_BYTES;
    match end_within(&window(file, length, little).map_err(fail)?) {
        Ok(end) if end.torn.is_none() => Ok(end),
        // Not whole: look again with enough in view to tell a torn batch from damage.
        _ => end_within(&window(file, length, much).map_err(fail)?)
            .map_err(|(line, reason)| OpenFault::Damaged { path: path.to_owned(), line, reason }),
    }
}

/// Whole lines at the end of the file.
struct Window {
    offset: u64,
    bytes: Vec<u8>,
}

fn window(file: &File, length: u64, bytes_max: u64) -> io::Result<Window> {
    let mut reader = file;
    let mut offset = length.saturating_sub(bytes_max);
    reader.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    reader.take(length - offset).read_to_end(&mut bytes)?;
    if offset > 0 {
        // The first line in view is probably cut: begin behind it.
        let begin = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..begin);
        offset += begin as u64;
    }
    Ok(Window { offset, bytes })
}

fn end_within(window: &Window) -> Result<End, (u64, LineFault)> {
    let mut end = End { last: 0, head: [0; SHA256_BYTES], bytes: window.offset, torn: None };
    let mut lines = window.bytes.split_inclusive(|byte| *byte == b'\n');
    let mut in_view = 0;
    while let Some(bytes) = lines.next() {
        let parsed = bytes.strip_suffix(b"\n").ok_or(LineFault::Unfinished).and_then(Line::parse);
        let first_in_view = in_view == 0 && window.offset > 0;
        let followed = parsed.and_then(|line| {
            if !first_in_view {
                line.follows(end.last, &end.head)?;
            }
            Ok(line)
        });
        match followed {
            Ok(line) => {
                in_view += 1;
                (end.last, end.head) = (line.n, line.hash);
                end.bytes += bytes.len() as u64;
            }
            Err(reason) => {
                // Nothing good before it in view, or something good and later behind it: no crash did that.
                let later = lines.any(|bytes| is_of_later_batch(bytes, end.last + 1));
                if first_in_view || later {
                    return Err((end.last, reason));
                }
                let bytes = window.offset + window.bytes.len() as u64 - end.bytes;
                end.torn = Some(TornTail { offset: end.bytes, bytes, kept: None });
                return Ok(end);
            }
        }
    }
    if in_view == 0 && window.offset > 0 { Err((0, LineFault::TooLong)) } else { Ok(end) }
}

fn is_of_later_batch(bytes: &[u8], bad: u64) -> bool {
    bytes.strip_suffix(b"\n").is_some_and(|text| Line::parse(text).is_ok_and(|line| line.batch > bad))
}

#[cfg(test)]
mod tests;
