//! Where a journal ends, found from the end of its newest file, so that opening a long journal takes no
//! longer than a short one; [`verify`](super::verify) reads it all.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::OpenFault;
use super::files::{self, Files};
use super::line::{LINE_BYTES_MAX, Line, LineFault};
use crate::append::TornTail;
use crate::digest::SHA256_BYTES;
use crate::durable::{Failed, failed};

/// How much of the end is read: first a little; if that is not whole, more than one batch can hold.
const WINDOW_BYTES: [u64; 2] = [1 << 14, 16 << 20];

/// Where a journal stands: carried elsewhere, it pins every line up to this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The journal's name: that of its file, without the ending.
    pub name: String,
    /// How many lines it has.
    pub lines: u64,
    /// The hash of the last one.
    pub hash: [u8; SHA256_BYTES],
}

/// A place in the chain: behind line `last`, whose hash is `head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    pub(super) last: u64,
    pub(super) head: [u8; SHA256_BYTES],
}

impl Mark {
    /// Whether a line of this number, which names this predecessor, goes on behind here.
    pub(super) fn precedes(&self, n: u64, prev: &[u8; SHA256_BYTES]) -> Result<(), LineFault> {
        match n {
            found if found > self.last + 1 => Err(LineFault::Ahead { found }),
            found if found <= self.last => Err(LineFault::Again { found }),
            _ if *prev != self.head => Err(LineFault::Prev),
            _ => Ok(()),
        }
    }
}

/// Where a file ends.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) mark: Mark,
    pub(super) bytes: u64,
    pub(super) torn: Option<TornTail>,
}

/// The heads of all journals of a folder, also of those that are being written. What they name is durable
/// when this returns, or a power cut could make a liar of whoever passed them on. A journal whose end is
/// damaged has no head; that is logged, and holds up nobody.
///
/// # Errors
/// The folder cannot be read.
// journal.md §3.2
pub fn heads(folder: &Path) -> Result<Vec<Head>, Failed> {
    let mut heads = Vec::new();
    for files in Files::in_folder(folder)? {
        match head_of(&files) {
            Ok(Mark { last: 0, .. }) => {}
            Ok(Mark { last, head }) => heads.push(Head { name: files.name, lines: last, hash: head }),
            Err(fault) => tracing::error!(journal = files.name, %fault, "a journal has no head to pass on"),
        }
    }
    Ok(heads)
}

fn head_of(files: &Files) -> Result<Mark, OpenFault> {
    let before = before_open(files)?;
    let path = files::open_path(&files.folder, &files.name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(before),
        Err(source) => return Err(failed("read", &path, source).into()),
    };
    let end = read_end(&file, &path, before)?;
    file.sync_data().map_err(|source| failed("make durable", &path, source))?;
    Ok(end.mark)
}

/// Where the closed files end, behind which the open one goes on.
pub(super) fn before_open(files: &Files) -> Result<Mark, OpenFault> {
    let Some((first, path)) = files.closed.last() else { return Ok(Mark::default()) };
    let file = File::open(path).map_err(|source| failed("read", path, source))?;
    let before = beginning(&file, path, *first)?;
    let end = read_end(&file, path, before)?;
    // It was whole when it was closed.
    match end.torn {
        None => Ok(end.mark),
        Some(_) => {
            Err(OpenFault::Damaged { path: path.clone(), line: end.mark.last, reason: LineFault::Unfinished })
        }
    }
}

/// What a closed file's own first line says it follows.
fn beginning(file: &File, path: &Path, first: u64) -> Result<Mark, OpenFault> {
    let line = first_line(file, path)?;
    let parsed = Line::parse(&line, &mut Vec::new());
    let parsed = parsed.and_then(|line| match line.n == first {
        true => Ok(Mark { last: line.n - 1, head: line.prev }),
        false => Err(LineFault::Ahead { found: line.n }),
    });
    parsed.map_err(|reason| OpenFault::Damaged { path: path.to_owned(), line: first - 1, reason })
}

/// The number of an open file's first line, where it has one that reads.
pub(super) fn first_number(file: &File, path: &Path) -> Result<Option<u64>, Failed> {
    let line = first_line(file, path)?;
    Ok(Line::parse(&line, &mut Vec::new()).ok().map(|line| line.n))
}

fn first_line(mut file: &File, path: &Path) -> Result<Vec<u8>, Failed> {
    let fail = |source| failed("read", path, source);
    let mut bytes = Vec::new();
    file.rewind().map_err(fail)?;
    file.take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    bytes.truncate(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    Ok(bytes)
}

/// Finds the end of a file that goes on behind `before`.
pub(super) fn read_end(file: &File, path: &Path, before: Mark) -> Result<End, OpenFault> {
    let fail = |source| failed("read", path, source);
    let length = file.metadata().map_err(fail)?.len();
    let [little, much] = WINDOW_BYTES;
    match end_within(&window(file, length, little).map_err(fail)?, before) {
        Ok(end) if end.torn.is_none() && end.mark != before => Ok(end),
        // No line is in view, or one is not whole: look again with enough of them to tell a torn batch from
        // damage.
        _ => end_within(&window(file, length, much).map_err(fail)?, before)
            .map_err(|(line, reason)| OpenFault::Damaged { path: path.to_owned(), line, reason }),
    }
}

/// Whole lines at the end of the file.
struct Window {
    offset: u64,
    bytes: Vec<u8>,
}

fn window(mut file: &File, length: u64, bytes_max: u64) -> io::Result<Window> {
    let mut offset = length.saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length - offset).read_to_end(&mut bytes)?;
    if offset > 0 {
        // The first line in view is probably cut: begin behind it.
        let begin = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..begin);
        offset += begin as u64;
    }
    Ok(Window { offset, bytes })
}

fn end_within(window: &Window, before: Mark) -> Result<End, (u64, LineFault)> {
    let mut end = End { mark: before, bytes: window.offset, torn: None };
    let mut lines = window.bytes.split_inclusive(|byte| *byte == b'\n');
    let (mut in_view, mut scratch) = (0, Vec::new());
    while let Some(bytes) = lines.next() {
        let text = bytes.strip_suffix(b"\n").ok_or(LineFault::Unfinished);
        let parsed = text.and_then(|text| Line::parse(text, &mut scratch));
        let first_in_view = in_view == 0 && window.offset > 0;
        let followed = parsed.and_then(|line| {
            if !first_in_view {
                end.mark.precedes(line.n, &line.prev)?;
            }
            Ok(line)
        });
        match followed {
            Ok(line) => {
                in_view += 1;
                end.mark = Mark { last: line.n, head: line.hash };
                end.bytes += bytes.len() as u64;
            }
            Err(reason) => {
                // Nothing good before it in view, or something good and later behind it: no crash did that.
                let later = lines.any(|bytes| is_of_later_batch(bytes, end.mark.last + 1));
                if first_in_view || later {
                    return Err((end.mark.last, reason));
                }
                let bytes = window.offset + window.bytes.len() as u64 - end.bytes;
                end.torn = Some(TornTail { offset: end.bytes, bytes, kept: None });
                return Ok(end);
            }
        }
    }
    let nothing = in_view == 0 && window.offset > 0;
    if nothing { Err((0, LineFault::TooLong)) } else { Ok(end) }
}

fn is_of_later_batch(bytes: &[u8], bad: u64) -> bool {
    let text = bytes.strip_suffix(b"\n");
    text.is_some_and(|text| Line::parse(text, &mut Vec::new()).is_ok_and(|line| line.batch > bad))
}
