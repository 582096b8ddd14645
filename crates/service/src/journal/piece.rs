//! A journal's file read in pieces by all processors at once. Within a piece every line is checked against
//! the one before it; that the pieces follow each other is for whoever joins them.

use std::fs::File;
use std::io::{self, BufRead as _};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::end::Mark;
use super::line::{LINE_BYTES_MAX, Line, LineFault};
use crate::digest::SHA256_BYTES;

/// Bytes of a piece: many lines, and little memory for each processor.
const PIECE_BYTES: u64 = 4 << 20;
/// Processors that are used.
const WORKERS_MAX: usize = 8;

/// What the lines that begin in one piece of a file say.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// The first line, if one begins here and is whole in itself.
    pub(super) first: Option<First>,
    /// Behind the last good line.
    pub(super) last: Mark,
    pub(super) first_at: Option<String>,
    pub(super) last_at: Option<String>,
    /// The hashes of the lines that were wanted.
    pub(super) found: Vec<(u64, [u8; SHA256_BYTES])>,
    /// What is wrong with the line behind the last good one.
    pub(super) fault: Option<LineFault>,
    /// Bytes behind the last line end of the file.
    pub(super) unfinished_bytes: u64,
}

/// What a piece's first line says of its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    pub(super) n: u64,
    pub(super) prev: [u8; SHA256_BYTES],
}

/// Reads the file's pieces, in order, up to the first with a fault. `wanted` is sorted.
pub(super) fn read(file: &File, wanted: &[u64]) -> io::Result<Vec<Piece>> {
    let length = file.metadata()?.len();
    let count = length.div_ceil(PIECE_BYTES);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    let (next, stop) = (AtomicU64::new(0), AtomicU64::new(count));
    let work = || -> io::Result<Vec<(u64, Piece)>> {
        let (mut done, mut buffer) = (Vec::new(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= stop.load(Ordering::Relaxed) {
                return Ok(done);
            }
            let piece = read_one(file, number * PIECE_BYTES, length, wanted, &mut buffer)?;
            if piece.fault.is_some() {
                stop.fetch_min(number + 1, Ordering::Relaxed);
            }
            done.push((number, piece));
        }
    };
    let mut pieces = Vec::new();
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers.min(count as usize)).map(|_| scope.spawn(work)).collect();
        pieces.extend(work()?);
        for other in others {
            let done = other.join().map_err(|_| io::Error::other("a reading thread ended"))?;
            pieces.extend(done?);
        }
        io::Result::Ok(())
    })?;
    pieces.sort_by_key(|(number, _)| *number);
    Ok(pieces.into_iter().map(|(_, piece)| piece).collect())
}

/// Reads the lines that begin in the piece at `offset`.
fn read_one(
    file: &File,
    offset: u64,
    length: u64,
    wanted: &[u64],
    buffer: &mut Vec<u8>,
) -> io::Result<Piece> {
    // One byte before the piece tells whether a line begins with it; its last line may reach beyond it.
    let from = offset.saturating_sub(1);
    let until = length.min(offset + PIECE_BYTES + LINE_BYTES_MAX as u64 + 1);
    buffer.resize((until - from) as usize, 0);
    file.read_exact_at(buffer, from)?;
    let begin = if offset == 0 { 0 } else { line_end(buffer).unwrap_or(buffer.len()) };
    let end = (offset - from + PIECE_BYTES) as usize;
    Ok(check(buffer, begin, end, wanted))
}

/// The bytes up to and with the first line end.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let taken = rest.skip_until(b'\n').ok()?;
    bytes[..taken].ends_with(b"\n").then_some(taken)
}

/// Checks the lines that begin within `begin..end`; the last of them may go on behind it.
fn check(bytes: &[u8], begin: usize, end: usize, wanted: &[u64]) -> Piece {
    let (mut piece, mut at, mut scratch) = (Piece::default(), begin, Vec::new());
    let mut wanted = wanted.iter().copied().peekable();
    let mut last_at = None;
    while at < end.min(bytes.len()) {
        let Some(taken) = line_end(&bytes[at..]) else {
            let rest = bytes.len() - at;
            if rest > LINE_BYTES_MAX {
                piece.fault = Some(LineFault::TooLong);
            } else {
                piece.unfinished_bytes = rest as u64;
            }
            break;
        };
        let line = match Line::parse(&bytes[at..at + taken - 1], &mut scratch) {
            Ok(line) => line,
            Err(reason) => {
                piece.fault = Some(reason);
                break;
            }
        };
        if piece.first.is_none() {
            piece.first = Some(First { n: line.n, prev: line.prev });
            piece.first_at = Some(line.at.to_owned());
        } else if let Err(reason) = piece.last.precedes(line.n, &line.prev) {
            piece.fault = Some(reason);
            break;
        }
        piece.last = Mark { last: line.n, head: line.hash };
        while wanted.next_if(|wanted| *wanted < line.n).is_some() {}
        while wanted.next_if(|wanted| *wanted == line.n).is_some() {
            piece.found.push((line.n, line.hash));
        }
        at += taken;
        last_at = Some(line.at);
    }
    piece.last_at = last_at.map(str::to_owned);
    piece
}
