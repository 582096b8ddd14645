//! A token with its proof of logging stapled on, for one that is carried by hand ahead of its bundle:
//! `<token>~<staple>`, one text that fits a QR code and a bearer header.
//!
//! ```text
//! staple = base64url( 0x01 ‖ size u64 big-endian ‖ Ed25519 signature 64 B ‖ inclusion proof, n × 32 B )
//! ```
//!
//! The head's root is not carried: it follows from the token and the proof, and the signature says whether it
//! is the log's.

use crate::text::{base64url_decode, base64url_encode};

/// Divides the token from its staple. RFC 6750 §2.1 allows it in a bearer credential; no JWT holds one.
pub const DIVIDER: char = '~';

/// Most hashes of a proof.
const PROOF_HASHES_MAX: usize = 64;

/// What stands before the proof: version, size and signature.
const FIXED_BYTES: usize = 1 + 8 + 64;

/// The version that is written.
const VERSION: u8 = 1;

/// A proof of logging as it is carried, believed by nobody yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    /// Size of the tree whose head is signed.
    pub size: u64,
    /// The log key's signature over that head's checkpoint text.
    pub signature: [u8; 64],
    /// Inclusion proof of the token's leaf (RFC 9162 §2.1.3).
    pub proof: Vec<[u8; 32]>,
}

/// Why a staple cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StapleFault {
    /// Longer than any proof.
    #[error("the staple is longer than a proof can be")]
    TooLong,
    /// Not base64url, or of no length that a staple has.
    #[error("the staple is not one")]
    Malformed,
    /// Made by a newer mint.
    #[error("the staple is of a newer version")]
    Version,
}

/// Parts a credential into the token and its staple, if it bears one.
///
/// # Errors
/// [`StapleFault`]: a staple that cannot be read is refused, never ignored.
// log.md §8.2
pub fn split(credential: &str) -> Result<(&str, Option<Staple>), StapleFault> {
    match credential.split_once(DIVIDER) {
        None => Ok((credential, None)),
        Some((token, staple)) => Ok((token, Some(Staple::read(staple)?))),
    }
}

impl Staple {
    /// The token with this staple.
    ///
    /// ```
    /// use farside_crossing::staple::{Staple, split};
    ///
    /// let staple = Staple { size: 2, signature: [7; 64], proof: vec![[1; 32]] };
    /// let carried = staple.to_token("a.b.c");
    /// assert_eq!(split(&carried), Ok(("a.b.c", Some(staple))));
    /// assert_eq!(split("a.b.c"), Ok(("a.b.c", None)));
    /// ```
    pub fn to_token(&self, token: &str) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.signature);
        bytes.extend_from_slice(self.proof.as_flattened());
        format!("{token}{DIVIDER}{}", base64url_encode(&bytes))
    }

    fn read(text: &str) -> Result<Staple, StapleFault> {
        if text.len() > (FIXED_BYTES + 32 * PROOF_HASHES_MAX).div_ceil(3) * 4 {
            return Err(StapleFault::TooLong);
        }
        let bytes = base64url_decode(text).ok_or(StapleFault::Malformed)?;
        let (version, rest) = bytes.split_first().ok_or(StapleFault::Malformed)?;
        if *version != VERSION {
            return Err(StapleFault::Version);
        }
        let (size, rest) = rest.split_first_chunk::<8>().ok_or(StapleFault::Malformed)?;
        let (signature, proof) = rest.split_first_chunk::<64>().ok_or(StapleFault::Malformed)?;
        match proof.as_chunks::<32>() {
            (hashes, []) if hashes.len() <= PROOF_HASHES_MAX => {
                Ok(Staple { size: u64::from_be_bytes(*size), signature: *signature, proof: hashes.to_vec() })
            }
            _ => Err(StapleFault::Malformed),
        }
    }
}
