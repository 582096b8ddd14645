//! A token's place in the issuance log: its position, and the leaf hash that commits to its signing input.
//!
//! For the mint that appends leaves and whoever proves them afterwards. Refuses positions spelled in a
//! second way, so that a token has one identity.

use std::fmt::{self, Write as _};

use aws_lc_rs::digest;

use crate::{encode, merkle};

/// Longest name of a log shard.
pub const SHARD_BYTES_MAX: usize = 32;

/// SHA-256 output length.
pub const HASH_BYTES: usize = 32;

/// Longest leaf entry: its five parts and four line ends.
const ENTRY_BYTES_MAX: usize = 14 + SHARD_BYTES_MAX + 20 + 43 + 4;

/// Where a token stands in the log: the shard and the index in it. Spelled in `jti` as
/// `<shard>-<index in base 36>`; the last `-` divides.
///
/// ```
/// use farside_verify::leaf::TokenPosition;
/// let position: TokenPosition = "alpha-1.a-2s".parse().unwrap();
/// assert_eq!((position.shard(), position.index()), ("alpha-1.a", 100));
/// assert_eq!(position.to_string(), "alpha-1.a-2s");
/// assert!("alpha-02s".parse::<TokenPosition>().is_err()); // a second spelling
/// ```
// token.md §7
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenPosition {
    shard: String,
    index: u64,
}

/// Why something is not a position in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionError {
    /// The shard's name is empty, longer than [`SHARD_BYTES_MAX`] or holds other characters than
    /// `a-z 0-9 . _ -`.
    Shard,
    /// The index is not a canonical base 36 number below 2^64.
    Index,
    /// No `-` divides shard and index.
    Undivided,
}

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PositionError::Shard => "the shard's name is not 1 to 32 of a-z 0-9 . _ -",
            PositionError::Index => "the index is not a canonical base 36 number below 2^64",
            PositionError::Undivided => "no hyphen divides shard and index",
        })
    }
}

impl std::error::Error for PositionError {}

impl TokenPosition {
    /// The position `index` of `shard`; fails only where the shard's name is not allowed.
    pub fn new(shard: &str, index: u64) -> Result<Self, PositionError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if shard.is_empty() || shard.len() > SHARD_BYTES_MAX || !shard.bytes().all(allowed) {
            return Err(PositionError::Shard);
        }
        Ok(TokenPosition { shard: shard.to_owned(), index })
    }

    /// Another position of the same shard.
    pub fn at(&self, index: u64) -> TokenPosition {
        TokenPosition { shard: self.shard.clone(), index }
    }

    /// The shard's name.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// The index in the shard, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }
}

impl fmt::Display for TokenPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(13);
        let mut rest = self.index;
        loop {
            digits.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        write!(f, "{}-{}", self.shard, digits.iter().rev().collect::<String>())
    }
}

impl std::str::FromStr for TokenPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (shard, index) = text.rsplit_once('-').ok_or(PositionError::Undivided)?;
        let canonical = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if index.is_empty() || !index.bytes().all(canonical) || (index.len() > 1 && index.starts_with('0')) {
            return Err(PositionError::Index);
        }
        let index = u64::from_str_radix(index, 36).map_err(|_| PositionError::Index)?;
        TokenPosition::new(shard, index)
    }
}

/// The leaf hash of a signed token: RFC 6962 §2.1 over the leaf entry of token.md §7.2.
pub fn hash(position: &TokenPosition, signing_input_sha256: &[u8; HASH_BYTES]) -> [u8; HASH_BYTES] {
    merkle::leaf_hash(entry(position, Some(signing_input_sha256)).as_bytes())
}

/// The leaf hash of a position whose token was never signed.
pub fn void_hash(position: &TokenPosition) -> [u8; HASH_BYTES] {
    merkle::leaf_hash(entry(position, None).as_bytes())
}

/// The leaf entry: what stands in the log at a position, and tells nobody who the token is for. `None` where
/// no token was signed there.
// token.md §7.2
pub fn entry(position: &TokenPosition, signing_input_sha256: Option<&[u8; HASH_BYTES]>) -> String {
    let mut entry = String::with_capacity(ENTRY_BYTES_MAX);
    entry.push_str("farside-leaf/1\n");
    entry.push_str(&position.shard);
    entry.push('\n');
    // Writing to a string cannot fail.
    let _ = writeln!(entry, "{}", position.index);
    match signing_input_sha256 {
        Some(commitment) => encode::push_base64url(&mut entry, commitment),
        None => entry.push_str("void"),
    }
    entry.push('\n');
    entry
}

/// SHA-256 of a token's signing input, the part of its text before the last dot.
pub fn signing_input_sha256(signing_input: &[u8]) -> [u8; HASH_BYTES] {
    sha256(&[signing_input])
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; HASH_BYTES];
    out.copy_from_slice(context.finish().as_ref());
    out
}
