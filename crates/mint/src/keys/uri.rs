//! The name of a private key in a PKCS#11 token, spelled as RFC 7512 has it:
//! `pkcs11:token=vault;id=%61%62;type=private`. Refuses attributes that it does not know, since ignoring one
//! would widen what the name means, and everything that could carry a PIN.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest name of a key that is read.
const URI_BYTES_MAX: usize = 2_048;
/// Longest label or serial number; PKCS#11 has fields of 32 and 16 bytes.
const ATTRIBUTE_BYTES_MAX: usize = 64;
/// Longest `CKA_ID`.
pub(super) const ID_BYTES_MAX: usize = 64;

/// Which token: by what is written on it, or by what it was born with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenName {
    /// Its label.
    Label(String),
    /// Its serial number.
    Serial(String),
}

impl TokenName {
    /// The label or the serial number alone.
    pub fn as_str(&self) -> &str {
        match self {
            TokenName::Label(text) | TokenName::Serial(text) => text,
        }
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A private key in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUri {
    token: TokenName,
    id: Vec<u8>,
    module: Option<PathBuf>,
}

/// A text that names no private key in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the PKCS#11 URI of a private key: {0}")]
pub struct UriFault(&'static str);

impl KeyUri {
    pub(super) fn new(token: TokenName, id: Vec<u8>) -> KeyUri {
        KeyUri { token, id, module: None }
    }

    /// The same key, with the module through which its token is reached: for key files that people carry to
    /// machines without a `mint.toml`.
    #[must_use]
    pub fn through(mut self, module: &Path) -> KeyUri {
        self.module = Some(module.to_owned());
        self
    }

    /// The token that holds it.
    pub fn token(&self) -> &TokenName {
        &self.token
    }

    /// `CKA_ID` of the key.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    pub(super) fn module(&self) -> Option<&Path> {
        self.module.as_deref()
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attribute, name) = match &self.token {
            TokenName::Label(label) => ("token", label),
            TokenName::Serial(serial) => ("serial", serial),
        };
        // RFC 7512 §2.3: the whole of an id should be percent-encoded.
        let id: String = self.id.iter().map(|byte| format!("%{byte:02X}")).collect();
        write!(f, "pkcs11:{attribute}={};id={id};type=private", encode(name.as_bytes()))?;
        match &self.module {
            Some(module) => write!(f, "?module-path={}", encode(module.as_os_str().as_encoded_bytes())),
            None => Ok(()),
        }
    }
}

impl FromStr for KeyUri {
    type Err = UriFault;

    // keys.md §1.2, RFC 7512 §2.3
    fn from_str(text: &str) -> Result<KeyUri, UriFault> {
        if text.len() > URI_BYTES_MAX {
            return Err(UriFault("it is too long"));
        }
        let rest = text.strip_prefix("pkcs11:").ok_or(UriFault("it does not begin with pkcs11:"))?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let (mut token, mut id, mut is_private) = (None, None, false);
        for attribute in path.split(';') {
            match attribute.split_once('=').ok_or(UriFault("an attribute has no value"))? {
                ("token", label) => once(&mut token, TokenName::Label(text_of(label)?))?,
                ("serial", serial) => once(&mut token, TokenName::Serial(text_of(serial)?))?,
                ("id", value) => once(&mut id, decode(value)?)?,
                ("type", "private") if !is_private => is_private = true,
                _ => return Err(UriFault("it holds an attribute that is not understood")),
            }
        }
        let id = id.filter(|id| (1..=ID_BYTES_MAX).contains(&id.len()));
        let mut uri = KeyUri::new(
            token.ok_or(UriFault("it names no token"))?,
            id.ok_or(UriFault("it has no id, or one that is too long"))?,
        );
        if let Some(query) = query {
            let path = query.strip_prefix("module-path=").filter(|path| !path.contains('&'));
            let path = decode(path.ok_or(UriFault("its query holds what is not understood"))?)?;
            let path = String::from_utf8(path).map_err(|_| UriFault("its module is no text"))?;
            uri.module = Some(PathBuf::from(path));
        }
        if is_private { Ok(uri) } else { Err(UriFault("its type is not private")) }
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), UriFault> {
    match slot.replace(value) {
        Some(_) => Err(UriFault("it names something twice")),
        None => Ok(()),
    }
}

fn text_of(value: &str) -> Result<String, UriFault> {
    let text = String::from_utf8(decode(value)?).map_err(|_| UriFault("a name is no text"))?;
    let fits = (1..=ATTRIBUTE_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
    if fits { Ok(text) } else { Err(UriFault("a name is empty, too long or not printable")) }
}

fn encode(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    bytes
        .iter()
        .map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn decode(text: &str) -> Result<Vec<u8>, UriFault> {
    let fault = UriFault("a percent sign is followed by no two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(fault)?;
        let digit = |at: usize| digits.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        let (high, low) = (digit(0).ok_or(fault)?, digit(1).ok_or(fault)?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| fault)?);
        rest = after;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_round_whatever_is_in_it() {
        for (token, id) in [
            (TokenName::Label("vault".into()), b"a1b2c3d4".to_vec()),
            (TokenName::Label("Höhle; 7=%?&".into()), vec![0, 255, b'%']),
            (TokenName::Serial("00d5/9".into()), vec![7]),
        ] {
            let uri = KeyUri::new(token, id);
            assert_eq!(uri.to_string().parse(), Ok(uri.clone()));
            let through = uri.through(Path::new("/usr/lib/soft hsm/lib&p.so"));
            assert_eq!(through.to_string().parse(), Ok(through));
        }
        let spelled = KeyUri::new(TokenName::Label("vault".into()), b"ab".to_vec()).to_string();
        assert_eq!(spelled, "pkcs11:token=vault;id=%61%62;type=private");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "pkcs11:",
            "pkcs11:token=vault;type=private",
            "pkcs11:id=%61;type=private",
            "pkcs11:token=vault;id=%61",
            "pkcs11:token=vault;id=;type=private",
            "pkcs11:token=vault;id=%6;type=private",
            "pkcs11:token=vault;id=%+6;type=private",
            "pkcs11:token=vault;id=%61;type=public",
            "pkcs11:token=vault;token=other;id=%61;type=private",
            "pkcs11:token=vault;serial=7;id=%61;type=private",
            "pkcs11:token=vault;id=%61;type=private;slot-id=1",
            "pkcs11:token=vault;id=%61;type=private?pin-value=1234",
            "pkcs11:token=vault;id=%61;type=private?module-path=/a.so&pin-source=/pin",
            "pkcs11:token=;id=%61;type=private",
            "keys/token.key",
        ] {
            assert!(wrong.parse::<KeyUri>().is_err(), "{wrong}");
        }
    }
}
