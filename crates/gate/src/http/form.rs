//! Reads `a=b&c=d` as browsers and OAuth clients write it, for the query of `/verify` and the body of
//! `/introspect`.
//!
//! Each name may stand once: where two readers could disagree on which value counts, there is no value.

use std::borrow::Cow;
use std::collections::HashMap;

/// A query or form longer than this is refused before it is read.
pub const FORM_BYTES_MAX: usize = 64 * 1024;

/// More members than any request of ours has use for.
pub const FORM_MEMBERS_MAX: usize = 32;

/// Why a query or a form cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormFault {
    /// It is longer than [`FORM_BYTES_MAX`], or has more members than [`FORM_MEMBERS_MAX`].
    #[error("the form is too large")]
    TooLarge,
    /// A `%` is not followed by two hexadecimal digits, or the decoded bytes are not UTF-8.
    #[error("the form is not properly percent-encoded")]
    Encoding,
    /// A name stands twice.
    #[error("the parameter {0} stands more than once")]
    Duplicate(String),
}

/// The members of one query or form, each name once.
#[derive(Debug, Default)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads `application/x-www-form-urlencoded` text (RFC 6749 appendix B).
    ///
    /// # Errors
    /// Too large, wrongly encoded, or a name that stands twice.
    pub fn read(text: &'a [u8]) -> Result<Self, FormFault> {
        if text.len() > FORM_BYTES_MAX {
            return Err(FormFault::TooLarge);
        }
        let mut members: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = split_once(pair, b'=');
            let name = decode(name)?;
            if members.iter().any(|(known, _)| *known == name) {
                return Err(FormFault::Duplicate(shown(&name)));
            }
            if members.len() == FORM_MEMBERS_MAX {
                return Err(FormFault::TooLarge);
            }
            members.push((name, decode(value)?));
        }
        Ok(Self(members))
    }

    /// What was taken apart already, each name once.
    ///
    /// # Errors
    /// Too large.
    pub fn of(members: &'a HashMap<String, String>) -> Result<Self, FormFault> {
        let bytes: usize = members.iter().map(|(name, value)| name.len() + value.len()).sum();
        if members.len() > FORM_MEMBERS_MAX || bytes > FORM_BYTES_MAX {
            return Err(FormFault::TooLarge);
        }
        let borrowed =
            |(name, value): (&'a String, &'a String)| (name.as_str().into(), value.as_str().into());
        Ok(Self(members.iter().map(borrowed).collect()))
    }

    /// The value of one member.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// The first name that is not among those known.
    pub fn stranger(&self, known: &[&str]) -> Option<String> {
        self.0
            .iter()
            .map(|(name, _)| name)
            .find(|name| !known.contains(&name.as_ref()))
            .map(|name| shown(name))
    }
}

/// Decodes `+` and `%41`, and demands UTF-8.
///
/// # Errors
/// [`FormFault::Encoding`].
pub fn decode(text: &[u8]) -> Result<Cow<'_, str>, FormFault> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| FormFault::Encoding);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(FormFault::Encoding)?;
                let low = rest.next().and_then(hex_digit).ok_or(FormFault::Encoding)?;
                high << 4 | low
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| FormFault::Encoding)
}

fn hex_digit(byte: &u8) -> Option<u8> {
    (*byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn split_once(pair: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == separator) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[]),
    }
}

/// A stranger's name for a parameter, short and printable, so that it may stand in an answer.
fn shown(name: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 32;
    name.chars().take(SHOWN_CHARACTERS_MAX).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_write() {
        let form =
            Form::read(b"token=a.b.c&token_type_hint=access+token&aud=https%3A%2F%2Fwiki%2F&empty=&&flag")
                .unwrap();
        assert_eq!(form.get("token"), Some("a.b.c"));
        assert_eq!(form.get("token_type_hint"), Some("access token"));
        assert_eq!(form.get("aud"), Some("https://wiki/"));
        assert_eq!(form.get("empty"), Some(""));
        assert_eq!(form.get("flag"), Some(""));
        assert_eq!(form.get("absent"), None);
    }

    #[test]
    fn refuses_a_name_that_stands_twice_in_any_spelling() {
        for text in ["aud=a&aud=b", "aud=a&aud=a", "aud=a&%61ud=b"] {
            assert_eq!(
                Form::read(text.as_bytes()).unwrap_err(),
                FormFault::Duplicate("aud".into()),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_broken_encoding_and_what_is_too_large() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff", "%c3=1", "a=%+1"] {
            assert_eq!(Form::read(text.as_bytes()).unwrap_err(), FormFault::Encoding, "{text}");
        }
        assert_eq!(Form::read(&vec![b'a'; FORM_BYTES_MAX + 1]).unwrap_err(), FormFault::TooLarge);
        let many: Vec<String> = (0..=FORM_MEMBERS_MAX).map(|n| format!("n{n}=1")).collect();
        assert_eq!(Form::read(many.join("&").as_bytes()).unwrap_err(), FormFault::TooLarge);
    }

    #[test]
    fn names_a_stranger_safely() {
        let form = Form::read("aud=a&%22%0d%0aSet-Cookie=1".as_bytes()).unwrap();
        assert_eq!(form.stranger(&["aud"]).as_deref(), Some("\"??Set-Cookie"));
        assert_eq!(form.stranger(&["aud", "\"\r\nSet-Cookie"]), None);
    }
}
