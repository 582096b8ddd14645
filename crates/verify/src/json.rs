//! A strict JSON reader over borrowed text (RFC 8259), for headers, claims and keys.
//!
//! One pass checks everything and hands out the members of the outermost object. It refuses members
//! named twice at any level (however the name is spelled), lone surrogates, a byte order mark, anything
//! after the value, nesting beyond [`DEPTH_MAX`] and more than [`MEMBERS_MAX`] members in one object.
//! It allocates only for objects that together hold more than 16 open members.

use std::borrow::Cow;
use std::fmt;

use crate::strings::{Str, StringFault};

/// Deepest nesting of objects and arrays, the outermost counted as 1.
pub(crate) const DEPTH_MAX: u8 = 32;

/// Most members of one object: names are compared with one another.
pub(crate) const MEMBERS_MAX: usize = 1024;

/// What stands where the text has ended.
const END: u8 = 0;

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

/// The text of an array or object that a [`Reader`] has already checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked<'a> {
    text: &'a str,
    /// Whether it is known to be an array of strings in which nothing but printable ASCII stands, unescaped.
    printable: bool,
}

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
    let mut reader = Reader { text, at: 0, depth: 0, names: Names::new() };
    if reader.after_space() != b'{' {
        return Err(if text.is_empty() { Fault::Syntax { offset: 0 } } else { Fault::NotAnObject });
    }
    reader.object(&mut visit)?;
    reader.after_space();
    if reader.at == text.len() { Ok(()) } else { Err(Fault::Trailing { offset: reader.at }) }
}

impl<'a> Checked<'a> {
    /// Wraps text that came out of a [`Value`] earlier and was stored since.
    pub(crate) fn again(text: &'a str) -> Self {
        Checked { text, printable: false }
    }

    /// Whether it is known to be an array of strings of printable ASCII; not of every such array is it known.
    pub(crate) fn is_printable_strings(self) -> bool {
        self.printable
    }

    pub(crate) fn text(self) -> &'a str {
        self.text
    }

    /// Shows each member of an object.
    pub(crate) fn members(self, mut visit: impl FnMut(Str<'a>, Value<'a>)) {
        // The text has been checked whole, so no fault can come; were one to, the rest stays unseen.
        let _ = Reader::new(self.text, Known).object(&mut visit);
    }

    /// The elements of an array, in order.
    pub(crate) fn elements(self) -> Elements<'a> {
        let mut reader = Reader::new(self.text, Known);
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
        if !self.first {
            self.reader.expect(b',').ok()?;
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
    /// Begins an object; what is returned is to be given back at its end.
    fn open(&mut self) -> Object;
    /// Takes a name of the innermost object, which stands at `offset`.
    fn add(&mut self, name: Str<'a>, offset: usize) -> Result<(), Fault>;
    /// Ends the innermost object and forgets its names.
    fn close(&mut self, outer: Object);
}

/// For text that has been checked before.
#[derive(Clone)]
struct Known;

impl<'a> Remember<'a> for Known {
    fn open(&mut self) -> Object {
        Object::default()
    }

    fn add(&mut self, _: Str<'a>, _: usize) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self, _: Object) {}
}

impl<'a, N: Remember<'a>> Reader<'a, N> {
    #[inline]
    fn new(text: &'a str, names: N) -> Self {
        Reader { text, at: 0, depth: 0, names }
    }

    /// The next byte; at the end [`END`], which is no byte of JSON's grammar.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(END)
    }

    /// The next byte that is not space.
    // RFC 8259 §2: these four and no other.
    fn after_space(&mut self) -> u8 {
        loop {
            match self.peek() {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                other => return other,
            }
        }
    }

    /// Takes `byte`, with or without space before it.
    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.after_space() != byte {
            return Err(Fault::Syntax { offset: self.at });
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `byte` where it comes next, with or without space before it.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.after_space() == byte;
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Value<'a>, Fault> {
        let next = self.after_space();
        let start = self.at;
        match next {
            b'"' => Ok(Value::String(self.string()?)),
            b'{' => {
                self.object(&mut |_, _| ())?;
                Ok(Value::Object(Checked::again(self.since(start))))
            }
            b'[' => {
                let printable = self.array()?;
                Ok(Value::Array(Checked { text: self.since(start), printable }))
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Ok(Value::Number(self.since(start)))
            }
            b't' => self.word("true", Value::True),
            b'f' => self.word("false", Value::False),
            b'n' => self.word("null", Value::Null),
            _ => Err(Fault::Syntax { offset: start }),
        }
    }

    fn object(&mut self, visit: &mut impl FnMut(Str<'a>, Value<'a>)) -> Result<(), Fault> {
        self.enter()?;
        let outer = self.names.open();
        if self.after_space() != b'}' {
            loop {
                if self.after_space() != b'"' {
                    return Err(Fault::Syntax { offset: self.at });
                }
                let offset = self.at;
                let name = self.string()?;
                self.names.add(name, offset)?;
                self.expect(b':')?;
                let value = self.value()?;
                visit(name, value);
                if !self.take(b',') {
                    break;
                }
            }
        }
        self.names.close(outer);
        self.leave(b'}')
    }

    /// Says whether all elements are strings of printable ASCII.
    fn array(&mut self) -> Result<bool, Fault> {
        self.enter()?;
        let mut printable = true;
        if self.after_space() != b']' {
            loop {
                printable &= matches!(self.value()?, Value::String(string) if string.is_printable());
                if !self.take(b',') {
                    break;
                }
            }
        }
        self.leave(b']')?;
        Ok(printable)
    }

    /// Goes past the opening bracket that comes next.
    fn enter(&mut self) -> Result<(), Fault> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Fault::TooDeep) } else { Ok(()) }
    }

    fn leave(&mut self, close: u8) -> Result<(), Fault> {
        self.depth -= 1;
        self.expect(close)
    }

    /// The string whose opening quote comes next.
    #[inline(always)]
    fn string(&mut self) -> Result<Str<'a>, Fault> {
        let string = Str::scan(self.text, self.at + 1).map_err(Fault::String)?;
        self.at += string.raw().len() + 2;
        Ok(string)
    }

    // RFC 8259 §6: no leading zero, no bare point, no plus, no empty exponent.
    fn number(&mut self) -> Result<(), Fault> {
        let fault = Fault::Number { offset: self.at };
        if self.peek() == b'-' {
            self.at += 1;
        }
        let leading_zero = self.peek() == b'0';
        let integer_digits = self.digits();
        if integer_digits == 0 || (leading_zero && integer_digits > 1) {
            return Err(fault);
        }
        if self.peek() == b'.' {
            self.at += 1;
            if self.digits() == 0 {
                return Err(fault);
            }
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            if let b'+' | b'-' = self.peek() {
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
        while self.peek().is_ascii_digit() {
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

/// The names of all objects that are open, innermost last.
struct Names<'a> {
    object: Object,
    inline: [Str<'a>; Names::INLINE],
    more: Vec<Str<'a>>,
}

/// The innermost open object's part of the names.
#[derive(Clone, Copy, Default)]
struct Object {
    /// How many names the objects around it hold.
    first: usize,
    /// How many names there are in all.
    len: usize,
    /// A bit for the mark of each of its names: a name whose bit is not set is new.
    marks: u64,
}

impl<'a> Names<'a> {
    const INLINE: usize = 16;

    #[inline]
    fn new() -> Self {
        Names { object: Object::default(), inline: [Str::EMPTY; Names::INLINE], more: Vec::new() }
    }

    #[cold]
    fn holds(&self, name: Str<'_>) -> bool {
        let names = self.inline.iter().chain(&self.more).take(self.object.len);
        names.skip(self.object.first).any(|other| other.same(name))
    }
}

impl<'a> Remember<'a> for Names<'a> {
    fn open(&mut self) -> Object {
        let outer = self.object;
        self.object = Object { first: outer.len, len: outer.len, marks: 0 };
        outer
    }

    #[inline(always)]
    fn add(&mut self, name: Str<'a>, offset: usize) -> Result<(), Fault> {
        let Object { first, len, marks } = self.object;
        if len - first == MEMBERS_MAX {
            return Err(Fault::TooManyMembers);
        }
        let mark = 1 << name.mark();
        if marks & mark != 0 && self.holds(name) {
            return Err(Fault::Duplicate { offset });
        }
        match self.inline.get_mut(len) {
            Some(place) => *place = name,
            None => self.more.push(name),
        }
        self.object = Object { first, len: len + 1, marks: marks | mark };
        Ok(())
    }

    fn close(&mut self, outer: Object) {
        self.more.truncate(outer.len.saturating_sub(Names::INLINE));
        self.object = outer;
    }
}

/// The strings of an array that is known to hold nothing else.
pub(crate) fn strings(array: Checked<'_>) -> impl Iterator<Item = Cow<'_, str>> + Clone {
    array.elements().filter_map(|value| match value {
        Value::String(string) => Some(string.decoded()),
        _ => None,
    })
}
