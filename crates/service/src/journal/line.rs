//! One line of the journal: written, and read back with its hash checked.

use crate::digest::{SHA256_BYTES, Sha256, hex, unhex};

/// The longest line, its end not counted.
pub(super) const LINE_BYTES_MAX: usize = 1 << 16;
/// Members that the journal itself writes.
pub(super) const RESERVED: [&str; 6] = ["n", "batch", "at", "event", "prev", "hash"];
const HASH_MEMBER: &str = ",\"hash\":\"";

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
    #[error("its text does not agree with its hash")]
    Hash,
    /// Its number is not the next.
    #[error("it bears the number {found}")]
    Number {
        /// The number found.
        found: u64,
    },
    /// It does not name the hash of the line before it.
    #[error("it does not follow the line before it")]
    Prev,
}

/// A line whose text agrees with its own hash.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) n: u64,
    pub(super) batch: u64,
    pub(super) at: String,
    pub(super) prev: [u8; SHA256_BYTES],
    pub(super) hash: [u8; SHA256_BYTES],
}

#[derive(serde::Deserialize)]
struct Members {
    n: u64,
    batch: u64,
    at: String,
    prev: String,
}

impl Line {
    pub(super) fn parse(text: &[u8]) -> Result<Self, LineFault> {
        if text.len() > LINE_BYTES_MAX {
            return Err(LineFault::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| LineFault::Shape)?;
        let (body, rest) = text.rsplit_once(HASH_MEMBER).ok_or(LineFault::Shape)?;
        let hash = rest.strip_suffix("\"}").and_then(unhex::<SHA256_BYTES>).ok_or(LineFault::Shape)?;
        let body = format!("{body}}}");
        let members: Members = serde_json::from_str(&body).map_err(|_| LineFault::Shape)?;
        let prev = unhex(&members.prev).ok_or(LineFault::Shape)?;
        if chained(&prev, body.as_bytes()) != hash {
            return Err(LineFault::Hash);
        }
        Ok(Self { n: members.n, batch: members.batch, at: members.at, prev, hash })
    }

    pub(super) fn follows(&self, last: u64, head: &[u8; SHA256_BYTES]) -> Result<(), LineFault> {
        if self.n != last + 1 {
            return Err(LineFault::Number { found: self.n });
        }
        if self.prev == *head { Ok(()) } else { Err(LineFault::Prev) }
    }
}

/// Puts line `n` at the end of `out` and answers its hash.
pub(super) fn write(
    n: u64,
    batch: u64,
    members: &[u8],
    prev: &[u8; SHA256_BYTES],
    out: &mut Vec<u8>,
) -> [u8; SHA256_BYTES] {
    let start = out.len();
    out.extend_from_slice(format!("{{\"n\":{n},\"batch\":{batch},").as_bytes());
    out.extend_from_slice(members);
    out.extend_from_slice(format!(",\"prev\":\"{}\"}}", hex(prev)).as_bytes());
    let hash = chained(prev, &out[start..]);
    out.pop();
    out.extend_from_slice(format!("{HASH_MEMBER}{}\"}}\n", hex(&hash)).as_bytes());
    hash
}

fn chained(prev: &[u8; SHA256_BYTES], body: &[u8]) -> [u8; SHA256_BYTES] {
    let mut hash = Sha256::new();
    hash.update(prev);
    hash.update(body);
    hash.finish()
}
