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
    quoted: &'a str,
    escaped: bool,
}

impl<'a> Str<'a> {
    pub(crate) const EMPTY: Str<'static> = Str { quoted: "\"\"", escaped: false };

    /// Reads the string whose opening quote `text` begins with.
    pub(crate) fn scan(text: &'a str) -> Result<Self, StringFault> {
        let bytes = text.as_bytes();
        let (mut at, mut escaped) = (1, false);
        loop {
            at += first(&bytes[at..], special).ok_or(StringFault::Unterminated)?;
            match bytes[at] {
                b'"' => return Ok(Str { quoted: &text[..=at], escaped }),
                b'\\' => {
                    escaped = true;
                    at += escape(&bytes[at..])?.1;
                }
                _ => return Err(StringFault::Control),
            }
        }
    }

    /// The string as it is spelled, quotes included.
    pub(crate) fn quoted(self) -> &'a str {
        self.quoted
    }

    /// The string as it is spelled, without its quotes.
    pub(crate) fn raw(self) -> &'a str {
        &self.quoted[1..self.quoted.len() - 1]
    }

    pub(crate) fn is_escaped(self) -> bool {
        self.escaped
    }

    /// The characters meant.
    pub(crate) fn chars(self) -> Chars<'a> {
        Chars { rest: self.raw() }
    }

    pub(crate) fn decoded(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(self.chars().collect()) } else { Cow::Borrowed(self.raw()) }
    }

    pub(crate) fn is(self, text: &str) -> bool {
        if self.escaped { self.chars().eq(text.chars()) } else { self.raw() == text }
    }

    /// Whether both mean the same characters, however each is spelled.
    pub(crate) fn same(self, other: Str<'_>) -> bool {
        if self.escaped || other.escaped {
            self.chars().eq(other.chars())
        } else {
            self.quoted == other.quoted
        }
    }

    /// A quick mark of the characters meant: equal strings have equal marks, whatever their spelling.
    /// Where marks agree by accident the strings are compared, so a clever choice of names gains nothing.
    pub(crate) fn mark(self) -> u32 {
        if self.escaped { mark(self.decoded().as_bytes()) } else { mark(self.raw().as_bytes()) }
    }
}

/// Length and both ends.
fn mark(text: &[u8]) -> u32 {
    let end = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let short = || text.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
    let ends = if text.len() < 4 {
        short()
    } else {
        end(text.first_chunk()).rotate_left(7) ^ end(text.last_chunk())
    };
    ends ^ (text.len() as u32).rotate_left(24)
}

const ONES: u64 = u64::MAX / 0xff;
const HIGH_BITS: u64 = ONES * 0x80;

/// Marks quotes, backslashes and controls among eight bytes, as [`first`] wants them.
fn special(eight: u64) -> u64 {
    let controls = eight.wrapping_sub(ONES * 0x20) & !eight & HIGH_BITS;
    equal(eight, b'"') | equal(eight, b'\\') | controls
}

/// Sets the high bit of the first of eight bytes that is `byte`; higher bytes may be marked by accident.
pub(crate) fn equal(eight: u64, byte: u8) -> u64 {
    let zero_where_equal = eight ^ (ONES * u64::from(byte));
    zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & HIGH_BITS
}

/// Where the first marked byte stands. `marks` looks at eight bytes at once, the first one lowest, and
/// sets the high bit of each wanted byte; only the lowest mark needs to be true.
pub(crate) fn first(bytes: &[u8], marks: impl Fn(u64) -> u64) -> Option<usize> {
    let place = |marked: u64| (marked.trailing_zeros() / 8) as usize;
    let (blocks, rest) = bytes.as_chunks::<8>();
    for (index, block) in blocks.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*block));
        if marked != 0 {
            return Some(index * 8 + place(marked));
        }
    }
    const NEVER_WANTED: u8 = b' ';
    let mut last = [NEVER_WANTED; 8];
    last[..rest.len()].copy_from_slice(rest);
    let marked = marks(u64::from_le_bytes(last));
    (marked != 0).then(|| blocks.len() * 8 + place(marked))
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
