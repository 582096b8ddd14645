//! JSON strings as they are spelled: checked once, decoded only where an escape makes it necessary.

use std::borrow::Cow;
use std::fmt;

/// Why a text is not a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringFault {
    Unterminated,
    Control,
    Escape,
    LoneSurrogate,
}

impl fmt::Display for StringFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StringFault::Unterminated => "has a string without end",
            StringFault::Control => "has a bare control character in a string",
            StringFault::Escape => "has an unknown escape in a string",
            StringFault::LoneSurrogate => "has half a surrogate pair in a string",
        })
    }
}

/// A checked JSON string, still escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Str<'a> {
    raw: &'a str,
    spelling: Spelling,
}

/// What is known of a string's characters without looking at them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spelling {
    /// Each stands for itself and is printable ASCII.
    Printable,
    /// Each stands for itself.
    Plain,
    /// Some are escaped.
    Escaped,
}

impl<'a> Str<'a> {
    pub(crate) const EMPTY: Str<'static> = Str { raw: "", spelling: Spelling::Printable };

    /// Reads the string whose opening quote stands before byte `start` of `text`.
    #[inline(always)]
    pub(crate) fn scan(text: &'a str, start: usize) -> Result<Self, StringFault> {
        let bytes = text.as_bytes();
        let (mut at, mut unprintable) = (start, 0);
        while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let eight = u64::from_le_bytes(*eight);
            // What stands behind the string may be marked with it: then it counts as plain.
            unprintable |= high_or_del(eight);
            let marked = special(eight);
            if marked == 0 {
                at += 8;
                continue;
            }
            at += (marked.trailing_zeros() / 8) as usize;
            if bytes[at] != b'"' {
                break;
            }
            let spelling = if unprintable == 0 { Spelling::Printable } else { Spelling::Plain };
            return Ok(Str { raw: &text[start..at], spelling });
        }
        Str::scan_slowly(text, start)
    }

    /// `text` as a string, where each of its characters stands for itself.
    pub(crate) fn plain(text: &'a str) -> Option<Self> {
        let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        (!text.bytes().any(special)).then_some(Str { raw: text, spelling: Spelling::Plain })
    }

    /// Byte by byte: for escapes, and for what ends in the text's last few bytes.
    #[cold]
    fn scan_slowly(text: &'a str, start: usize) -> Result<Self, StringFault> {
        let bytes = text.as_bytes();
        let (mut at, mut spelling) = (start, Spelling::Printable);
        loop {
            match bytes.get(at) {
                Some(b'"') => return Ok(Str { raw: &text[start..at], spelling }),
                Some(b'\\') => {
                    spelling = Spelling::Escaped;
                    at += escape(&bytes[at..])?.1;
                }
                Some(0..0x20) => return Err(StringFault::Control),
                Some(0x20..0x7f) => at += 1,
                Some(_) => {
                    spelling = spelling.max(Spelling::Plain);
                    at += 1;
                }
                None => return Err(StringFault::Unterminated),
            }
        }
    }

    /// The string as it is spelled, without its quotes.
    pub(crate) fn raw(self) -> &'a str {
        self.raw
    }

    pub(crate) fn is_escaped(self) -> bool {
        self.spelling == Spelling::Escaped
    }

    /// Whether nothing is in it but printable ASCII, unescaped; some such strings are not known to be.
    pub(crate) fn is_printable(self) -> bool {
        self.spelling == Spelling::Printable
    }

    /// The characters meant.
    pub(crate) fn chars(self) -> Chars<'a> {
        Chars { rest: self.raw }
    }

    #[inline(always)]
    pub(crate) fn decoded(self) -> Cow<'a, str> {
        if self.is_escaped() { Cow::Owned(self.unescaped()) } else { Cow::Borrowed(self.raw) }
    }

    #[cold]
    fn unescaped(self) -> String {
        self.chars().collect()
    }

    pub(crate) fn is(self, text: &str) -> bool {
        if self.is_escaped() { self.chars().eq(text.chars()) } else { self.raw == text }
    }

    /// Whether both mean the same characters, however each is spelled.
    pub(crate) fn same(self, other: Str<'_>) -> bool {
        if self.is_escaped() || other.is_escaped() {
            self.chars().eq(other.chars())
        } else {
            self.raw == other.raw
        }
    }

    /// A number below 64 that is the same for strings that mean the same, whatever their spelling.
    #[inline(always)]
    pub(crate) fn mark(self) -> u32 {
        if self.is_escaped() { mark(self.decoded().as_bytes()) } else { mark(self.raw.as_bytes()) }
    }
}

/// Made of the length and both ends: enough to tell a token's names apart. Where marks agree, names are
/// compared, so a clever choice of names gains nothing.
#[inline(always)]
fn mark(text: &[u8]) -> u32 {
    let end = |byte: Option<&u8>| byte.copied().unwrap_or_default();
    let sample = u32::from_le_bytes([end(text.first()), end(text.last()), text.len() as u8, 0]);
    const SPREAD: u32 = 0x9e37_79b1; // a prime near 2^32 over the golden ratio
    sample.wrapping_mul(SPREAD) >> (u32::BITS - u64::BITS.ilog2())
}

const ONES: u64 = u64::MAX / 0xff;
const HIGH_BITS: u64 = ONES * 0x80;

/// Sets the high bit of quotes, backslashes and controls among eight bytes, the first one lowest. Above the
/// lowest of them others may be marked by accident.
fn special(eight: u64) -> u64 {
    let equal = |byte: u8| (eight ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    let below_space = eight.wrapping_sub(ONES * 0x20);
    (equal(b'"') | equal(b'\\') | below_space) & !eight & HIGH_BITS
}

/// Not zero where one of eight bytes is DEL or not ASCII.
fn high_or_del(eight: u64) -> u64 {
    (eight | eight.wrapping_add(ONES)) & HIGH_BITS
}

/// The characters of a checked string.
#[derive(Clone)]
pub(crate) struct Chars<'a> {
    rest: &'a str,
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if self.rest.starts_with('\\') {
            let (c, bytes) = escape(self.rest.as_bytes()).ok()?;
            self.rest = &self.rest[bytes..];
            return Some(c);
        }
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }
}

/// The character that the escape at the start of `bytes` means, and the escape's length.
// RFC 8259 §7
fn escape(bytes: &[u8]) -> Result<(char, usize), StringFault> {
    let plain = |c| Ok((c, 2));
    match bytes.get(1) {
        Some(b'"') => plain('"'),
        Some(b'\\') => plain('\\'),
        Some(b'/') => plain('/'),
        Some(b'b') => plain('\u{8}'),
        Some(b'f') => plain('\u{c}'),
        Some(b'n') => plain('\n'),
        Some(b'r') => plain('\r'),
        Some(b't') => plain('\t'),
        Some(b'u') => unicode_escape(bytes),
        Some(_) => Err(StringFault::Escape),
        None => Err(StringFault::Unterminated),
    }
}

fn unicode_escape(bytes: &[u8]) -> Result<(char, usize), StringFault> {
    let first = hex4(bytes.get(2..6))?;
    if !(0xd800..=0xdfff).contains(&first) {
        return char::from_u32(first).map(|c| (c, 6)).ok_or(StringFault::LoneSurrogate);
    }
    if first >= 0xdc00 || bytes.get(6..8) != Some(b"\\u") {
        return Err(StringFault::LoneSurrogate);
    }
    let second = hex4(bytes.get(8..12))?;
    if !(0xdc00..=0xdfff).contains(&second) {
        return Err(StringFault::LoneSurrogate);
    }
    let code_point = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    char::from_u32(code_point).map(|c| (c, 12)).ok_or(StringFault::LoneSurrogate)
}

fn hex4(digits: Option<&[u8]>) -> Result<u32, StringFault> {
    digits.ok_or(StringFault::Escape)?.iter().try_fold(0, |value, &digit| {
        char::from(digit).to_digit(16).map(|d| value << 4 | d).ok_or(StringFault::Escape)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a string is said to be made of decides whether a name is looked at character by character.
    #[test]
    fn one_odd_character_anywhere_is_seen() {
        for (length, behind) in (0..20).flat_map(|length| [(length, "\""), (length, "\",\"iss\":1}")]) {
            let printable = format!("{}{behind}", "~".repeat(length));
            assert!(Str::scan(&printable, 0).unwrap().is_printable(), "{length}");
            for at in 0..length {
                let with =
                    |odd: &str| format!("{}{odd}{}{behind}", "a".repeat(at), "a".repeat(length - at - 1));
                for odd in ["\u{7f}", "\u{80}", "é", "\u{202e}", "\\n"] {
                    assert!(!Str::scan(&with(odd), 0).unwrap().is_printable(), "{odd:?} at {at} of {length}");
                }
                for control in ["\0", "\u{1f}"] {
                    let fault = Str::scan(&with(control), 0).unwrap_err();
                    assert_eq!(fault, StringFault::Control, "{control:?} at {at} of {length}");
                }
            }
        }
    }
}
