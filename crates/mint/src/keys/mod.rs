//! Private keys on the near side: made here, kept in encrypted files or in PKCS#11 tokens, opened into types
//! that can sign and never be shown. Three kinds: signers of the charter's roles (pairs), the log's key, and
//! the token keys of the sites. [`KeyPlace`] says where one lives, for all of them.

pub mod dangerous;
mod ed25519;
mod file;
mod held;
mod pair;
mod place;
mod public;
mod stretch;
mod token;
#[cfg_attr(not(feature = "pkcs11"), expect(dead_code, reason = "what devices say has no devices to say it"))]
mod tokens;
mod uri;

use std::sync::Arc;

use farside_service::secret_file::Secret;

use file::{COST, Cost};
use stretch::{SALT_BYTES, Stretched, Stretches};

pub use file::{Header, KeyKind, inspect};
pub use held::HeldKey;
pub use pair::{
    LogKeyFile, LogKeys, LogKeysInForce, LogSigner, PairSigner, create_log, create_log_with, create_signer,
    create_signer_in, create_signer_with, ephemeral_log, ephemeral_signer, open_log, open_signer,
};
pub use place::KeyPlace;
pub use token::{KeyPair, MadeKey, Period, TokenKey, open_token, open_token_at};
pub use tokens::{Absence, Alarm, Token, TokenConfig, TokenFault, Tokens};
pub use uri::{KeyUri, TokenName, UriFault};

/// Fewest bytes of a passphrase under which a new key is written.
pub const PASSPHRASE_BYTES_MIN: usize = 8;

/// What opens private keys: the passphrase of their files, and the tokens that hold what is in no file. Wiped
/// when dropped, never shown.
pub struct Passphrase {
    secret: Secret,
    tokens: Arc<Tokens>,
    /// What new files under it cost to try one passphrase on.
    cost: Cost,
    stretches: Stretches,
}

impl Passphrase {
    /// Takes what was read from a file, a credential or a terminal.
    pub fn new(secret: Secret) -> Self {
        Self { secret, cost: COST, tokens: Arc::default(), stretches: Stretches::default() }
    }

    /// With these tokens at hand.
    #[must_use]
    pub fn with_tokens(self, tokens: Arc<Tokens>) -> Self {
        Self { tokens, ..self }
    }

    /// The tokens at hand.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn bytes(&self) -> &[u8] {
        self.secret.expose()
    }

    fn stretched(&self, cost: Cost, salt: &[u8; SALT_BYTES]) -> Result<Arc<Stretched>, KeyFault> {
        self.stretches.of(self.bytes(), cost, salt)
    }

    fn for_new_files(&self) -> Result<Arc<Stretched>, KeyFault> {
        self.stretches.for_new(self.bytes(), self.cost)
    }

    fn has_opened(&self, stretched: &Arc<Stretched>) {
        self.stretches.has_opened(stretched, self.cost);
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Puts a key of any kind under another passphrase; the key itself stays what it is.
pub fn change_passphrase(path: &std::path::Path, old: &Passphrase, new: &Passphrase) -> Result<(), KeyFault> {
    file::change_passphrase(path, old, new)
}

/// Whether the file of a key is whole and the passphrase its own; a token that holds half of it is not asked.
pub fn opens(path: &std::path::Path, passphrase: &Passphrase) -> Result<(), KeyFault> {
    file::open(path, inspect(path)?.kind, passphrase).map(drop)
}

/// Opens a key of any kind and closes it again: the file is whole, the passphrase right, the public key its
/// own.
pub fn check(path: &std::path::Path, passphrase: &Passphrase) -> Result<(), KeyFault> {
    match inspect(path)?.kind {
        KeyKind::Signer => open_signer(path, passphrase).map(|_| ()),
        KeyKind::Log => open_log(path, passphrase).map(|_| ()),
        KeyKind::Token => open_token(path, passphrase).map(|_| ()),
    }
}

/// Why a key could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// The file could not be read or written; an existing key is never overwritten.
    #[error("{0}")]
    File(#[from] farside_service::durable::Failed),
    /// The file is no key file of this version.
    #[error("{path} is not a farside key file: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The passphrase is wrong, or somebody changed the file; the two cannot be told apart.
    #[error("{path} does not open: the passphrase is wrong, or the file was altered")]
    Locked {
        /// The file.
        path: String,
    },
    /// The file opens, but is not the kind of key that is wanted here.
    #[error("{path} holds a {held} key, and a {wanted} key is wanted")]
    Kind {
        /// The file.
        path: String,
        /// What it is.
        held: KeyKind,
        /// What was asked for.
        wanted: KeyKind,
    },
    /// The public key that the file names is not that of its private key.
    #[error("{path} names a public key that is not its private key's")]
    Mismatch {
        /// The file.
        path: String,
    },
    /// The charter in force names none that is here.
    #[error("the charter in force names no {role} key that this mint holds")]
    NotHeld {
        /// `online` or `log`.
        role: &'static str,
    },
    /// The charter that says which key is the one could not be read.
    #[error("which key the charter names could not be found out: {0}")]
    Charter(String),
    /// Too short to protect anything.
    #[error("the passphrase is shorter than {PASSPHRASE_BYTES_MIN} bytes")]
    PassphraseShort,
    /// A name that cannot stand in a note or a file name.
    #[error("`{0}` cannot name a key: use letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// A PKCS#11 token does not do what it is asked.
    #[error("{0}")]
    Token(#[from] TokenFault),
    /// The cryptographic library refused.
    #[error("the {0} could not be made")]
    Crypto(&'static str),
}

impl From<TokenFault> for farside_service::cli::Failure {
    fn from(fault: TokenFault) -> Self {
        let hint = fault.hint();
        let refused = matches!(fault, TokenFault::Login { .. }) || !fault.is_passing();
        let failure =
            if refused { Self::refused(fault.to_string()) } else { Self::could_not(fault.to_string()) };
        failure.hint(hint)
    }
}

impl KeyFault {
    /// Whether the key may come back: it lives in a token that is away.
    pub fn is_passing(&self) -> bool {
        matches!(self, KeyFault::Token(fault) if fault.is_passing())
    }
}

impl From<KeyFault> for farside_service::cli::Failure {
    fn from(fault: KeyFault) -> Self {
        let fault = match fault {
            KeyFault::Token(fault) => return fault.into(),
            fault => fault,
        };
        let refused =
            matches!(fault, KeyFault::Locked { .. } | KeyFault::Kind { .. } | KeyFault::PassphraseShort);
        if refused { Self::refused(fault.to_string()) } else { Self::could_not(fault.to_string()) }
    }
}
