//! Where a private key lives: in an encrypted file, or in a PKCS#11 token that never gives it out.

use std::fmt;
use std::path::{Path, PathBuf};

use super::uri::{KeyUri, UriFault};
use super::{KeyFault, Passphrase, file};
use farside_service::durable;

/// The place of one private key, as the mint's database and its commands spell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// An encrypted file; its path is relative to the mint's home.
    File(PathBuf),
    /// An object in a PKCS#11 token.
    Token(KeyUri),
}

impl KeyPlace {
    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// It begins like a PKCS#11 URI and is none that names a private key.
    pub fn parse(text: &str) -> Result<KeyPlace, UriFault> {
        if text.starts_with("pkcs11:") {
            return Ok(KeyPlace::Token(text.parse()?));
        }
        Ok(KeyPlace::File(PathBuf::from(text)))
    }

    /// The key's file, where it is one; `home` is the mint's folder.
    pub fn file(&self, home: &Path) -> Option<PathBuf> {
        match self {
            KeyPlace::File(path) => Some(home.join(path)),
            KeyPlace::Token(_) => None,
        }
    }

    // keys.md §5
    /// Destroys the private key for good. A file is overwritten, then removed; half of a pair that lies in a
    /// token is destroyed first, once the file has opened and so vouched for its name. A token is told to
    /// forget the key, and asked whether it has. Done twice it is done: what is not there is no error.
    ///
    /// # Errors
    /// The key may still be there: the disk or the token failed, or the token is away.
    pub fn destroy(&self, home: &Path, passphrase: &Passphrase) -> Result<(), KeyFault> {
        match self {
            KeyPlace::File(path) => {
                let path = home.join(path);
                if let Some(uri) = file::held_elsewhere(&path, passphrase)? {
                    passphrase.tokens().vouched(&uri)?.destroy(uri.id())?;
                }
                Ok(durable::destroy(&path)?)
            }
            KeyPlace::Token(uri) => Ok(passphrase.tokens().configured(uri)?.destroy(uri.id())?),
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPlace::File(path) => write!(f, "{}", path.display()),
            KeyPlace::Token(uri) => write!(f, "{uri}"),
        }
    }
}
