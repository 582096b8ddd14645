//! The receipt code: twelve characters that a person may carry back by hand or voice. Only who opened the
//! sealed part of bundle N knows its nonce, so the code proves that N was applied.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// Characters that prove, and characters that catch a slip of the tongue.
const PROOF_CHARS: usize = 10;
const CHECK_CHARS: usize = 2;

/// Longest text that is read as a code, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Proof that a site has applied a bundle. Shown as `XXXX-XXXX-XXXX`.
///
/// ```
/// use farside_crossing::{Digest, ReceiptCode};
///
/// let code = ReceiptCode::new(&[7; 16], 41, &Digest::of(b"manifest"));
/// let spoken = code.to_string().to_lowercase().replace('-', " ");
/// assert_eq!(spoken.parse(), Ok(code));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReceiptCode([u8; PROOF_CHARS + CHECK_CHARS]);

impl ReceiptCode {
    /// The code for a bundle: from the nonce in its sealed part, its number and its digest.
    pub fn new(nonce: &[u8; 16], seq: u64, digest: &Digest) -> ReceiptCode {
        // bundle.md §12.1
        let input = [b"farside-receipt/1\n", &nonce[..], &seq.to_be_bytes(), digest.as_bytes()].concat();
        let mut code = [0; PROOF_CHARS + CHECK_CHARS];
        let (proof, check) = code.split_at_mut(PROOF_CHARS);
        proof.copy_from_slice(&letters::<PROOF_CHARS>(&input));
        check.copy_from_slice(&check_of(proof));
        ReceiptCode(code)
    }
}

impl ReceiptCode {
    /// As it is read out: each letter by its word in the ICAO alphabet, fours parted by commas.
    pub fn spoken(&self) -> String {
        let four = |letters: &[u8]| letters.iter().map(|letter| word(*letter)).collect::<Vec<_>>().join(" ");
        self.0.chunks(4).map(four).collect::<Vec<_>>().join(", ")
    }
}

/// One word for each character of the alphabet.
fn word(letter: u8) -> &'static str {
    const WORDS: [&str; 32] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "Alfa", "Bravo",
        "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "Juliett", "Kilo", "Mike", "November",
        "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Victor", "Whiskey", "Xray", "Yankee", "Zulu",
    ];
    ALPHABET.iter().position(|known| *known == letter).map_or("", |place| WORDS[place])
}

impl fmt::Display for ReceiptCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, letter) in self.0.iter().enumerate() {
            let dash = if place > 0 && place % 4 == 0 { "-" } else { "" };
            write!(f, "{dash}{}", char::from(*letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ReceiptCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptCode({self})")
    }
}

/// Why a text is no receipt code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// Not twelve characters of the alphabet.
    #[error("a receipt code has twelve characters")]
    Form,
    /// A slip: the check characters do not fit.
    #[error("the receipt code was misread or mistyped: its check characters do not fit")]
    Slip,
}

impl FromStr for ReceiptCode {
    type Err = ReceiptFault;

    /// Case, spaces and dashes do not matter; I and L are read as 1, O as 0.
    fn from_str(text: &str) -> Result<ReceiptCode, ReceiptFault> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ReceiptFault::Form);
        }
        let heard = text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'-').map(|b| {
            match b.to_ascii_uppercase() {
                b'I' | b'L' => b'1',
                b'O' => b'0',
                other => other,
            }
        });
        let code: [u8; PROOF_CHARS + CHECK_CHARS] =
            heard.collect::<Vec<u8>>().try_into().map_err(|_| ReceiptFault::Form)?;
        if !code.iter().all(|letter| ALPHABET.contains(letter)) {
            return Err(ReceiptFault::Form);
        }
        let (proof, check) = code.split_at(PROOF_CHARS);
        if check_of(proof) != check {
            return Err(ReceiptFault::Slip);
        }
        Ok(ReceiptCode(code))
    }
}

fn check_of(proof: &[u8]) -> [u8; CHECK_CHARS] {
    letters(&[b"farside-receipt-check/1\n", proof].concat())
}

/// The first `N` × 5 bits of the input's SHA-256.
fn letters<const N: usize>(input: &[u8]) -> [u8; N] {
    let digest = Digest::of(input);
    let bits = digest.as_bytes().iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    // The fold keeps the last 128 bits; any fixed 5 × N of them will do.
    std::array::from_fn(|place| {
        let five = (bits >> (123 - 5 * place)) & 31;
        ALPHABET[usize::try_from(five).unwrap_or(0)]
    })
}
