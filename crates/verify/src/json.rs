//! A strict JSON reader over borrowed text (RFC 8259), for headers, claims and keys.
//!
//! One pass checks everything and hands out the members of the outermost object. It refuses members
//! named twice at any level (however the name is spelled), lone surrogates, a byte order mark, anything
//! after the value, nesting beyond [`DEPTH_MAX`] and more than [`MEMBERS_MAX`] members in one object.
//! It allocates only for objects that together hold more than 32 open members.

use std::borrow::Cow;
use std::fmt;

use crate::strings::{Str, StringFault};

/// Deepest nesting of objects and arrays, the outermost counted as 1.
pub(crate) const DEPTH_MAX: u8 = 32;

/// Most members of one object: names are compared with one another.
pub(crate) const MEMBERS_MAX: usize = 1024;

/// Why a text is not one strict JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NotUtf8,
    ByteOrderMark,
    Syntax { offset: usize },
    NotAnObject,
    String(StringFault),
    Number { offset: usize },
    Duplicate { offset: usize },
    Trailing { offset: usize },
    TooDeep,
    TooManyMembers,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotUtf8 => f.write_str("is not UTF-8"),
            Fault::ByteOrderMark => f.write_str("begins with a byte order mark"),
            Fault::Syntax { offset } => write!(f, "is not JSON at byte {offset}"),
            Fault::NotAnObject => f.write_str("is not a JSON object"),
            Fault::String(fault) => write!(f, "{fault}"),
            Fault::Number { offset } => write!(f, "has a number at byte {offset} that is not JSON"),
            Fault::Duplicate { offset } => write!(f, "names a member twice at byte {offset}"),
            Fault::Trailing { offset } => write!(f, "goes on after its end at byte {offset}"),
            Fault::TooDeep => write!(f, "is nested deeper than {DEPTH_MAX}"),
            Fault::TooManyMembers => write!(f, "has more than {MEMBERS_MAX} members in one object"),
        }
    }
}

/// A value of checked text. Containers keep their text and are walked again when asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    True,
    False,
    Number(&'a str),
    String(Str<'a>),
    Array(Checked<'a>),
    Object(Checked<'a>),
}

impl<'a> Value<'a> {
    /// The value's JSON text.
    pub(crate) fn text(self) -> &'a str {
        match self {
            Value::Null => "null",
            Value::True => "true",
            Value::False => "false",
            Value::Number(text) => text,
            Value::String(string) => string.quoted(),
            Value::Array(checked) | Value::Object(checked) => checked.0,
        }
    }
}

/// The text of an array or object that a [`Reader`] has already checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked<'a>(&'a str);

/// [`read_object`] of bytes that are still to be proven UTF-8.
pub(crate) fn read_object_bytes<'a>(
    bytes: &'a [u8],
    visit: impl FnMut(Str<'a>, Value<'a>),
) -> Result<(), Fault> {
    read_object(std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?, visit)
}

/// Checks that `text` is one strict JSON object and shows each member of it, in order.
/// Nothing that `visit` was shown may be used before this has returned `Ok`.
pub(crate) fn read_object<'a>(text: &'a str, mut visit: impl FnMut(Str<'a>, Value<'a>)) -> Result<(), Fault> {
    if text.starts_with('\u{feff}') {
        return Err(Fault::ByteOrderMark);
    }
    let mut reader = Reader::new(text, Names::new());
    reader.skip_space();
    if reader.peek() != Some(b'{') {
        return Err(if text.is_empty() { Fault::Syntax { offset: 0 } } else { Fault::NotAnObject });
    }
    reader.object(&mut visit)?;
    reader.skip_space();
    if reader.at == text.len() { Ok(()) } else { Err(Fault::Trailing { offset: reader.at }) }
}

impl<'a> Checked<'a> {
    /// Wraps text that came out of a [`Value`] earlier and was stored since.
    pub(crate) fn again(text: &'a str) -> Self {
        Checked(text)
    }

    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    /// Shows each member of an object.
    pub(crate) fn members(self, mut visit: impl FnMut(Str<'a>, Value<'a>)) {
        // The text has been checked whole, so no fault can come; were one to, the rest stays unseen.
        let _ = Reader::new(self.0, Known).object(&mut visit);
    }

    /// The elements of an array, in order.
    pub(crate) fn elements(self) -> Elements<'a> {
        let mut reader = Reader::new(self.0, Known);
        reader.at = 1;
        Elements { reader, first: true }
    }
}

/// Iterator over the elements of a checked array.
#[derive(Clone)]
pub(crate) struct Elements<'a> {
    reader: Reader<'a, Known>,
    first: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.reader.skip_space();
        if !self.first {
            self.reader.expect(b',').ok()?;
            self.reader.skip_space();
        }
        self.first = false;
        self.reader.value().ok()
    }
}

#[derive(Clone)]
struct Reader<'a, N> {
    text: &'a str,
    at: usize,
    depth: u8,
    names: N,
}

/// What a reader does about names: remember them, or know that none is there twice.
trait Remember<'a> {
    fn len(&self) -> usize;
    fn add(&mut self, first: usize, name: Str<'a>, offset: usize) -> Result<(), Fault>;
    fn truncate(&mut self, len: usize);
}

/// For text that has been checked before.
#[derive(Clone)]
struct Known;

impl<'a> Remember<'a> for Known {
    fn len(&self) -> usize {
        0
    }

    fn add(&mut self, _: usize, _: Str<'a>, _: usize) -> Result<(), Fault> {
        Ok(())
    }

    fn truncate(&mut self, _: usize) {}
}

impl<'a, N: Remember<'a>> Reader<'a, N> {
    fn new(text: &'a str, names: N) -> Self {
        Reader { text, at: 0, depth: 0, names }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    // RFC 8259 §2: these four and no other.
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(Fault::Syntax { offset: self.at });
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'{') => {
                self.object(&mut |_, _| ())?;
                Ok(Value::Object(Checked(self.since(start))))
            }
            Some(b'[') => {
                self.array()?;
                Ok(Value::Array(Checked(self.since(start))))
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(Value::Number(self.since(start)))
            }
            Some(b't') => self.word("true", Value::True),
            Some(b'f') => self.word("false", Value::False),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(Fault::Syntax { offset: start }),
        }
    }

    fn object(&mut self, visit: &mut dyn FnMut(Str<'a>, Value<'a>)) -> Result<(), Fault> {
        self.enter(b'{')?;
        let first_name = self.names.len();
        self.skip_space();
        if self.peek() != Some(b'}') {
            loop {
                self.skip_space();
                let offset = self.at;
                let name = self.string()?;
                self.names.add(first_name, name, offset)?;
                self.skip_space();
                self.expect(b':')?;
                self.skip_space();
                let value = self.value()?;
                visit(name, value);
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.names.truncate(first_name);
        self.leave(b'}')
    }

    fn array(&mut self) -> Result<(), Fault> {
        self.enter(b'[')?;
        self.skip_space();
        if self.peek() != Some(b']') {
            loop {
                self.skip_space();
                self.value()?;
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.leave(b']')
    }

    fn enter(&mut self, open: u8) -> Result<(), Fault> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Fault::TooDeep) } else { Ok(()) }
    }

    fn leave(&mut self, close: u8) -> Result<(), Fault> {
        self.depth -= 1;
        self.expect(close)
    }

    fn string(&mut self) -> Result<Str<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(Fault::Syntax { offset: self.at });
        }
        let string = Str::scan(&self.text[self.at..]).map_err(Fault::String)?;
        self.at += string.quoted().len();
        Ok(string)
    }

    // RFC 8259 §6: no leading zero, no bare point, no plus, no empty exponent.
    fn number(&mut self) -> Result<(), Fault> {
        let fault = Fault::Number { offset: self.at };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let integer_digits = self.digits();
        if integer_digits == 0 || (leading_zero && integer_digits > 1) {
            return Err(fault);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(fault);
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(fault);
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Fault::Syntax { offset: self.at });
        }
        self.at += word.len();
        Ok(value)
    }

    fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }
}

/// The names of all objects that are open, innermost last; each with its mark, which is compared first.
struct Names<'a> {
    marks: [u32; Names::INLINE],
    inline: [Str<'a>; Names::INLINE],
    inline_len: usize,
    more: Vec<(u32, Str<'a>)>,
}

impl<'a> Names<'a> {
    const INLINE: usize = 32;

    fn new() -> Self {
        Names {
            marks: [0; Names::INLINE],
            inline: [Str::EMPTY; Names::INLINE],
            inline_len: 0,
            more: Vec::new(),
        }
    }

    fn holds(&self, first: usize, mark: u32, name: Str<'a>) -> bool {
        let inline = first.min(self.inline_len)..self.inline_len;
        let more = &self.more[first.saturating_sub(Names::INLINE).min(self.more.len())..];
        let marked = |found, other: &u32| found | (*other == mark);
        let inline_marked = self.marks[inline.clone()].iter().fold(false, marked);
        (inline_marked && self.inline[inline].iter().any(|other| other.same(name)))
            || more.iter().any(|&(other_mark, other)| other_mark == mark && other.same(name))
    }
}

impl<'a> Remember<'a> for Names<'a> {
    fn len(&self) -> usize {
        self.inline_len + self.more.len()
    }

    fn add(&mut self, first: usize, name: Str<'a>, offset: usize) -> Result<(), Fault> {
        if self.len() - first == MEMBERS_MAX {
            return Err(Fault::TooManyMembers);
        }
        let mark = name.mark();
        if self.holds(first, mark, name) {
            return Err(Fault::Duplicate { offset });
        }
        if self.inline_len < Names::INLINE {
            self.marks[self.inline_len] = mark;
            self.inline[self.inline_len] = name;
            self.inline_len += 1;
        } else {
            self.more.push((mark, name));
        }
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.inline_len = self.inline_len.min(len);
        self.more.truncate(len.saturating_sub(Names::INLINE));
    }
}

/// The strings of an array that is known to hold nothing else.
pub(crate) fn strings(array: Checked<'_>) -> impl Iterator<Item = Cow<'_, str>> + Clone {
    array.elements().filter_map(|value| match value {
        Value::String(string) => Some(string.decoded()),
        _ => None,
    })
}
