//! SHA-256 and its spelling in hexadecimal, for everything that compares files or chains lines.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// Bytes of a SHA-256 digest.
pub const SHA256_BYTES: usize = 32;

/// The SHA-256 digest of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; SHA256_BYTES] {
    array(digest(&SHA256, bytes).as_ref())
}

/// A SHA-256 digest taken piece by piece.
#[derive(Clone)]
pub struct Sha256(Context);

impl Sha256 {
    /// Starts with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    #[must_use]
    pub fn finish(self) -> [u8; SHA256_BYTES] {
        array(self.0.finish().as_ref())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// Lower-case hexadecimal.
///
/// ```
/// assert_eq!(farside_service::digest::hex(&[0, 255]), "00ff");
/// ```
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| digits(*byte));
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(digits.map(char::from));
    text
}

/// Puts lower-case hexadecimal at the end of `out`.
pub fn hex_into(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend_from_slice(&digits(*byte));
    }
}

fn digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Exactly `N` bytes from lower-case hexadecimal; anything else is `None`.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn array(bytes: &[u8]) -> [u8; SHA256_BYTES] {
    let mut out = [0; SHA256_BYTES];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_whole_agree() {
        let mut pieces = Sha256::new();
        pieces.update(b"ab");
        pieces.update(b"c");
        assert_eq!(pieces.finish(), sha256(b"abc"));
        assert_eq!(hex(&sha256(b"abc"))[..16], *"ba7816bf8f01cfea");
        let mut text = b"0x".to_vec();
        hex_into(&[0, 255, 0x1a], &mut text);
        assert_eq!(text, b"0x00ff1a");
    }

    #[test]
    fn hexadecimal_has_one_spelling() {
        assert_eq!(unhex::<2>("00ff"), Some([0, 255]));
        for wrong in ["00FF", "00f", "00ff00", "0 ff", "00fg"] {
            assert_eq!(unhex::<2>(wrong), None, "{wrong}");
        }
    }
}
