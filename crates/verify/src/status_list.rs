//! Token Status Lists (draft-ietf-oauth-status-list §4): one, two, four or eight bits for each token.
//!
//! For gates and third parties that look up a token's status. Decompression is bounded before it begins.

use std::fmt;

use crate::encode;

/// The largest list, decompressed: 2^27 tokens of one bit.
pub const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A decoded list.
///
/// ```
/// use farside_verify::status_list::StatusList;
/// let list = StatusList::decode(1, "eNrbuRgAAhcBXQ").unwrap(); // the draft's example
/// assert_eq!((0..4).map(|i| list.get(i).unwrap()).collect::<Vec<_>>(), [1, 0, 0, 1]);
/// assert_eq!(list.get(16), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusList {
    bits: u32,
    bytes: Vec<u8>,
}

/// Why a list cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusListError {
    /// `bits` is not 1, 2, 4 or 8.
    Bits,
    /// `lst` is not canonical base64url without padding.
    Encoding,
    /// Not one whole zlib stream, or larger than allowed when decompressed.
    Compression,
}

impl fmt::Display for StatusListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StatusListError::Bits => "a status list has 1, 2, 4 or 8 bits for each token",
            StatusListError::Encoding => "the status list is not canonical base64url without padding",
            StatusListError::Compression => "the status list is not zlib data of the allowed size",
        })
    }
}

impl std::error::Error for StatusListError {}

impl StatusList {
    /// Decodes `lst` of a list with `bits` bits for each token, at most [`LIST_BYTES_MAX`] large.
    pub fn decode(bits: u32, lst: &str) -> Result<Self, StatusListError> {
        StatusList::decode_within(bits, lst, LIST_BYTES_MAX)
    }

    /// [`decode`](Self::decode) with a limit of the caller's.
    pub fn decode_within(bits: u32, lst: &str, bytes_max: usize) -> Result<Self, StatusListError> {
        if !matches!(bits, 1 | 2 | 4 | 8) {
            return Err(StatusListError::Bits);
        }
        let compressed = encode::base64url_decode(lst).ok_or(StatusListError::Encoding)?;
        let bytes = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(&compressed, bytes_max)
            .map_err(|_| StatusListError::Compression)?;
        Ok(StatusList { bits, bytes })
    }

    /// The status of the token at `index`; `None` beyond the end. 0 is valid, 1 invalid, 2 suspended.
    // Token Status List §4.1: least significant bits first.
    pub fn get(&self, index: u64) -> Option<u8> {
        let per_byte = u64::from(8 / self.bits);
        let byte = *self.bytes.get(usize::try_from(index / per_byte).ok()?)?;
        let shift = (index % per_byte) as u32 * self.bits;
        let mask = u8::MAX >> (8 - self.bits);
        Some(byte >> shift & mask)
    }

    /// The list decompressed: as many bits a token as were given, the least significant first.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many tokens the list has room for.
    pub fn capacity(&self) -> u64 {
        self.bytes.len() as u64 * u64::from(8 / self.bits)
    }
}
