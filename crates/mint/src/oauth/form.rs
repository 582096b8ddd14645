//! Request parameters: `application/x-www-form-urlencoded` as OAuth 2.0 reads it.
//!
//! Refuses what has two readings: a parameter given twice, a broken escape, text that is not UTF-8.

use super::error::{ErrorCode, OAuthError};

/// Most parameters of one request.
pub const PARAMETERS_MAX: usize = 32;

/// The parameters of one request, each at most once and none of them empty.
#[derive(Default)]
pub(super) struct Form {
    parameters: Vec<(String, String)>,
}

impl Form {
    /// Reads a request body.
    pub(super) fn parse(body: &[u8]) -> Result<Form, OAuthError> {
        let mut form = Form::default();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default()).ok_or_else(malformed)?;
            let value = decode(halves.next().unwrap_or_default()).ok_or_else(malformed)?;
            form.add(name, value)?;
        }
        Ok(form)
    }

    /// The value of the parameter `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    // RFC 6749 §3.2: request parameters must not be included more than once; without a value they are
    // treated as if they were omitted.
    fn add(&mut self, name: String, value: String) -> Result<(), OAuthError> {
        if self.parameters.len() >= PARAMETERS_MAX {
            return Err(OAuthError::new(ErrorCode::InvalidRequest, "there are too many parameters"));
        }
        if self.parameters.iter().any(|(known, _)| *known == name) {
            // RFC 8707 §2 lets a client name several resources; a token of ours is for one audience.
            let code = match name.as_str() {
                "resource" | "audience" => ErrorCode::InvalidTarget,
                _ => ErrorCode::InvalidRequest,
            };
            return Err(OAuthError::new(code, "a parameter is given more than once"));
        }
        self.parameters.push((name, value));
        Ok(())
    }

    /// The value of `name`, where it is there and not empty.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

/// Undoes form encoding (RFC 6749 appendix B); `None` where an escape is broken or the result is not UTF-8.
pub(super) fn decode(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let (high, low) = (hex(*bytes.next()?)?, hex(*bytes.next()?)?);
                out.push(high << 4 | low);
            }
            byte => out.push(*byte),
        }
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn malformed() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, "the body is not well-formed form data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_escapes_and_plus() {
        let form =
            Form::parse(b"grant_type=client_credentials&scope=a+b&audience=urn%3Ah%C3%A9&empty=").unwrap();
        assert_eq!(form.value("scope"), Some("a b"));
        assert_eq!(form.value("audience"), Some("urn:hé"));
        assert_eq!(form.value("empty"), None);
        assert_eq!(form.value("absent"), None);
    }

    #[test]
    fn refuses_what_has_two_readings() {
        for body in [&b"a=1&a=1"[..], b"a=%4", b"a=%zz", b"a=%ff", b"%61=1&a=2", b"a&a"] {
            let error = Form::parse(body).err().unwrap();
            assert_eq!(error.code(), ErrorCode::InvalidRequest, "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(Form::parse(b"resource=a&resource=b").err().unwrap().code(), ErrorCode::InvalidTarget);
    }
}
