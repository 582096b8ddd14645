//! One line of the journal: written, and read back with its hash checked.
//!
//! A line's own members stand at fixed places around those of its event, so that reading back millions of
//! lines costs little more than hashing them; the whole is read as JSON all the same.

use std::io::Write as _;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::digest::{SHA256_BYTES, hex_into, sha256, unhex};

/// The longest line, its end not counted.
pub(super) const LINE_BYTES_MAX: usize = 1 << 16;
/// Members that the journal itself writes.
pub(super) const RESERVED: [&str; 6] = ["n", "batch", "at", "event", "prev", "hash"];

const HEX_BYTES: usize = 2 * SHA256_BYTES;
const PREV_MEMBER: &[u8] = b",\"prev\":\"";
const HASH_MEMBER: &[u8] = b",\"hash\":\"";
/// `,"hash":"…"}`
const HASH_TAIL_BYTES: usize = HASH_MEMBER.len() + HEX_BYTES + 2;
/// `,"prev":"…"`
const PREV_TAIL_BYTES: usize = PREV_MEMBER.len() + HEX_BYTES + 1;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// No line end.
    #[error("it does not end")]
    Unfinished,
    /// Longer than lines are written.
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// Not a line of this journal's shape.
    #[error("it is no journal line")]
    Shape,
    /// Its hash does not agree with its text.
    #[error("its text does not agree with its hash: it was changed")]
    Hash,
    /// Its number is higher than the next.
    #[error("it bears the number {found}: what stood before it was cut out, or stands elsewhere")]
    Ahead {
        /// The number found.
        found: u64,
    },
    /// Its number was there before.
    #[error("it bears the number {found}: it was moved or repeated")]
    Again {
        /// The number found.
        found: u64,
    },
    /// It does not name the hash of the line before it.
    #[error("it does not follow the line before it: one of them was written anew")]
    Prev,
}

/// A line whose text agrees with its own hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) n: u64,
    pub(super) batch: u64,
    pub(super) at: &'a str,
    pub(super) prev: [u8; SHA256_BYTES],
    pub(super) hash: [u8; SHA256_BYTES],
}

/// What every line holds; a member that stands twice is refused, and whatever else it holds must be JSON.
#[derive(Deserialize)]
struct Members<'a> {
    n: u64,
    batch: u64,
    at: &'a str,
    #[serde(rename = "event")]
    _event: IgnoredAny,
    #[serde(rename = "prev")]
    _prev: IgnoredAny,
    #[serde(rename = "hash")]
    _hash: IgnoredAny,
}

impl<'a> Line<'a> {
    // journal.md §2
    pub(super) fn parse(text: &'a [u8], scratch: &mut Vec<u8>) -> Result<Self, LineFault> {
        if text.len() > LINE_BYTES_MAX {
            return Err(LineFault::TooLong);
        }
        let at = text.len().checked_sub(HASH_TAIL_BYTES).ok_or(LineFault::Shape)?;
        let (body, tail) = text.split_at(at);
        let hash = between(tail, HASH_MEMBER, b"\"}")?;
        let at = body.len().checked_sub(PREV_TAIL_BYTES).ok_or(LineFault::Shape)?;
        let prev = between(&body[at..], PREV_MEMBER, b"\"")?;
        if chained(&prev, body, scratch) != hash {
            return Err(LineFault::Hash);
        }
        let members: Members<'a> = serde_json::from_slice(text).map_err(|_| LineFault::Shape)?;
        Ok(Self { n: members.n, batch: members.batch, at: members.at, prev, hash })
    }
}

/// The digest that stands between two texts.
fn between(text: &[u8], front: &[u8], back: &[u8]) -> Result<[u8; SHA256_BYTES], LineFault> {
    let digits = text.strip_prefix(front).and_then(|rest| rest.strip_suffix(back));
    digits.and_then(|digits| unhex(std::str::from_utf8(digits).ok()?)).ok_or(LineFault::Shape)
}

/// Puts line `n` at the end of `out` and answers its hash.
pub(super) fn write(
    n: u64,
    batch: u64,
    members: &[u8],
    prev: &[u8; SHA256_BYTES],
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> [u8; SHA256_BYTES] {
    let start = out.len();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"n\":{n},\"batch\":{batch},");
    out.extend_from_slice(members);
    out.extend_from_slice(PREV_MEMBER);
    hex_into(prev, out);
    out.push(b'"');
    let hash = chained(prev, &out[start..], scratch);
    out.extend_from_slice(HASH_MEMBER);
    hex_into(&hash, out);
    out.extend_from_slice(b"\"}\n");
    hash
}

/// The hash over the line before and this one, which ends where its own hash is to stand.
fn chained(prev: &[u8; SHA256_BYTES], body: &[u8], scratch: &mut Vec<u8>) -> [u8; SHA256_BYTES] {
    scratch.clear();
    scratch.extend_from_slice(prev);
    scratch.extend_from_slice(body);
    scratch.push(b'}');
    sha256(scratch)
}
