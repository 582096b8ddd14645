//! Small readers shared by the formats: names, decimals, base64, raw JSON. Each accepts exactly one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::refusal::{Code, Refusal};

/// Longest name of a realm, site, shard or signer, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// Largest integer in any document: 2^53 - 1, so that every JSON reader agrees on it.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Refuses a name of a realm, site or shard that is not `[A-Za-z0-9._-]{1,64}`.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    // bundle.md §1.2
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        return Err(Refusal::new(Code::Malformed, format!("the {what} is not a name")));
    }
    Ok(())
}

/// Refuses free text (issuer, audience, subject, reason) that is empty, too long or holds control characters.
pub(crate) fn check_line(what: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        return Err(Refusal::new(
            Code::Malformed,
            format!("the {what} is empty, too long or holds a control character"),
        ));
    }
    Ok(())
}

/// Refuses what [`check_line`] does, and characters that change the direction of what people read.
// token.md §5.4
pub(crate) fn check_named(what: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    check_line(what, text, bytes_max)?;
    if text.chars().any(turns_direction) {
        let detail = format!("the {what} holds characters that change its direction");
        return Err(Refusal::new(Code::Malformed, detail));
    }
    Ok(())
}

/// Whether a character changes the direction of what people read, or breaks its line unseen.
pub(crate) fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Whether a text is lower-case hexadecimal digits alone.
pub(crate) fn hex_digits(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Refuses an integer beyond 2^53 - 1.
pub(crate) fn check_integer(what: &str, value: u64) -> Result<(), Refusal> {
    if value > INTEGER_MAX {
        return Err(Refusal::new(Code::Malformed, format!("the {what} is beyond 2^53 - 1")));
    }
    Ok(())
}

/// A decimal number: digits only, no leading zero, at most 2^53 - 1.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text.len() <= 16
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if !canonical {
        return None;
    }
    text.parse().ok().filter(|n| *n <= INTEGER_MAX)
}

/// Standard base64 with padding (RFC 4648 §4), as signed notes use it.
pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads [`base64_encode`]'s spelling and no other: canonical padding and trailing bits.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Unpadded base64url (RFC 4648 §5), as JOSE uses it.
pub(crate) fn base64url_encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads [`base64url_encode`]'s spelling and no other.
pub(crate) fn base64url_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// One JSON value kept exactly as it was written, for formats that another room reads (a JWK Set, a JWK).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawJson(String);

impl RawJson {
    /// Takes text that is one JSON value.
    ///
    /// # Errors
    /// `malformed` where it is not JSON.
    pub fn new(text: &str) -> Result<RawJson, Refusal> {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => Ok(RawJson(value.get().to_owned())),
            Err(_) => Err(Refusal::new(Code::Malformed, "a value that must be JSON is not")),
        }
    }

    /// The value as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawJson, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer).map_err(de::Error::custom)?;
        Ok(RawJson(value.get().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("9007199254740991"), Some(INTEGER_MAX));
        for wrong in ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "9007199254740992", "99999999999999999"]
        {
            assert_eq!(decimal(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(base64_decode("QQ=="), Some(vec![b'A']));
        for wrong in ["QQ", "QQ=", "QR==", "QQ==\n", "Q Q=="] {
            assert_eq!(base64_decode(wrong), None, "{wrong:?}");
        }
        assert_eq!(base64url_decode("QR"), None);
        assert_eq!(base64url_decode("QQ=="), None);
    }
}
