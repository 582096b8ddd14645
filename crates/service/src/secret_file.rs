//! Passphrases: from a file only its owner may read, a systemd credential, or the person at the terminal.
//! Refuses files that others can read, empty ones, and anything longer than a passphrase can be; never shows
//! one.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cli::{self, TerminalFault};
use crate::durable::{self, Failed, failed};

/// The longest passphrase.
pub const PASSPHRASE_BYTES_MAX: u64 = 4096;
/// The systemd credential that holds the passphrase of keys (`LoadCredential=farside-passphrase:…`).
pub const CREDENTIAL: &str = "farside-passphrase";

/// Bytes that are wiped when dropped and never shown.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one who needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of its owner's alone.
    File(PathBuf),
    /// A file in systemd's credentials folder.
    Credential(PathBuf),
    /// The person at the terminal.
    Prompt,
}

impl Source {
    /// The file that was named, else the systemd credential if there is one, else the terminal.
    #[must_use]
    pub fn find(named: Option<&Path>) -> Self {
        Self::find_credential(named, &[CREDENTIAL])
    }

    /// As [`Source::find`], for a secret whose systemd credential has one of these names.
    #[must_use]
    pub fn find_credential(named: Option<&Path>, credentials: &[&str]) -> Self {
        let credential = || {
            let folder = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
            credentials.iter().map(|name| folder.join(name)).find(|path| path.exists())
        };
        match (named, credential()) {
            (Some(path), _) => Self::File(path.to_owned()),
            (None, Some(path)) => Self::Credential(path),
            (None, None) => Self::Prompt,
        }
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Failed),
    /// Others than its owner may read or change the file.
    #[error("{path} can be read or changed by others (mode {mode:03o}): chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it.
    #[error("the {0} is empty")]
    Empty(String),
    /// Typed twice, and not the same.
    #[error("the two passphrases differ")]
    Differ,
    /// The terminal gave none.
    #[error(transparent)]
    Terminal(#[from] TerminalFault),
}

/// The passphrase; one line end behind it does not count.
///
/// # Errors
/// The file is missing, exposed or empty, or the terminal gave no answer.
pub fn read_passphrase(source: &Source) -> Result<Secret, SecretFault> {
    read_secret(source, "passphrase")
}

/// A secret of another kind, such as the PIN of a token; `what` is how a person is asked for it.
///
/// # Errors
/// As [`read_passphrase`].
pub fn read_secret(source: &Source, what: &str) -> Result<Secret, SecretFault> {
    match source {
        Source::Prompt => Ok(cli::ask_secret(&format!("{what}:"))?),
        Source::File(path) => {
            refuse_exposed(path)?;
            read(path, what)
        }
        // systemd itself keeps these from others: the folder belongs to the service alone.
        Source::Credential(path) => read(path, what),
    }
}

/// A passphrase for new keys: at a terminal it is asked twice.
///
/// # Errors
/// As [`read_passphrase`], or the two differ.
pub fn new_passphrase(source: &Source) -> Result<Secret, SecretFault> {
    let first = match source {
        Source::Prompt => cli::ask_secret("new passphrase:")?,
        _ => return read_passphrase(source),
    };
    let second = cli::ask_secret("once more:")?;
    if first.expose() == second.expose() { Ok(first) } else { Err(SecretFault::Differ) }
}

fn refuse_exposed(path: &Path) -> Result<(), SecretFault> {
    let mode = std::fs::metadata(path).map_err(|source| failed("read", path, source))?.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SecretFault::Exposed { path: path.to_owned(), mode }) }
}

fn read(path: &Path, what: &str) -> Result<Secret, SecretFault> {
    let mut bytes = Zeroizing::new(durable::read_limited(path, PASSPHRASE_BYTES_MAX)?);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() { Err(SecretFault::Empty(what.to_owned())) } else { Ok(Secret(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Mode;

    fn source(bytes: &[u8], mode: Mode) -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        durable::write(&path, bytes, mode).unwrap();
        (dir, Source::File(path))
    }

    #[test]
    fn one_line_end_does_not_count_and_nothing_is_shown() {
        let (_dir, source) = source(b"correct horse \n", Mode::Private);
        let secret = read_passphrase(&source).unwrap();
        assert_eq!(secret.expose(), b"correct horse ");
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn an_exposed_or_empty_file_is_refused() {
        let (_dir, exposed) = source(b"secret", Mode::Shared);
        let refused = read_passphrase(&exposed).unwrap_err();
        assert!(matches!(refused, SecretFault::Exposed { .. }) && !refused.to_string().contains("secret"));
        let (_dir, empty) = source(b"\n", Mode::Private);
        assert!(matches!(read_passphrase(&empty), Err(SecretFault::Empty(_))));
    }
}
