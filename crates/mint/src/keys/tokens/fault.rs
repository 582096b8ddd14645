//! What can be wrong with a PKCS#11 token, for a person and for whoever has another key to sign with. No
//! sentence here can hold a PIN.

use farside_service::secret_file::SecretFault;
use farside_service::time::rfc3339;

/// Why the token's user could not log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The PIN is wrong; it is not tried again.
    Incorrect,
    /// The token has locked the PIN.
    Locked,
    /// One wrong PIN more locks the token: that try is a person's.
    LastTry,
    /// The token has no user yet, or one whose PIN must be changed first.
    NotReady,
}

/// What a device answers.
#[derive(Debug)]
pub(super) enum DeviceFault {
    #[cfg_attr(feature = "pkcs11", expect(dead_code, reason = "said by programs without PKCS#11 alone"))]
    NotBuilt,
    /// Nothing works with it at the moment.
    Gone(String),
    Login(Refusal),
    Pin(SecretFault),
    KeyMissing,
    KeyTwice,
    Cannot {
        what: &'static str,
        reason: String,
    },
}

impl DeviceFault {
    /// Whether it holds for every key of the token.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, DeviceFault::Gone(_) | DeviceFault::Login(_) | DeviceFault::Pin(_))
    }
}

/// Why a token did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// A program without the feature.
    #[error("this program was built without PKCS#11, so it can use no token")]
    NotBuilt,
    /// `mint.toml` names no such token.
    #[error("no PKCS#11 token called {token:?} is configured")]
    Unknown {
        /// What was asked for.
        token: String,
    },
    /// More than one could be meant, or none is there.
    #[error("{}", unnamed(names))]
    Unnamed {
        /// Those that are configured.
        names: Vec<String>,
    },
    /// A section that does not say which token it is for.
    #[error(
        "the [[pkcs11]] section with module {module} must name its token by label or by serial, not both"
    )]
    Nameless {
        /// The module of that section.
        module: String,
    },
    /// Two sections for one token.
    #[error("two [[pkcs11]] sections name the token {token:?}")]
    Twice {
        /// The token.
        token: String,
    },
    /// It cannot be reached.
    #[error("PKCS#11 token {token:?} is gone{}: {reason}", spelled(*since))]
    Gone {
        /// The token.
        token: String,
        /// What its module says.
        reason: String,
        /// Since when it is known to be, in Unix seconds.
        since: Option<u64>,
    },
    /// Its user may not log in.
    #[error("{}", login(token, *refusal))]
    Login {
        /// The token.
        token: String,
        /// Why not.
        refusal: Refusal,
    },
    /// There is no PIN to log in with.
    #[error("the PIN of PKCS#11 token {token:?} cannot be had: {fault}")]
    Pin {
        /// The token.
        token: String,
        /// Why not.
        fault: SecretFault,
    },
    /// The token is there and the key is not in it.
    #[error("PKCS#11 token {token:?} does not hold that private key")]
    KeyMissing {
        /// The token.
        token: String,
    },
    /// More than one private key has the id.
    #[error("PKCS#11 token {token:?} holds two private keys of that id")]
    KeyTwice {
        /// The token.
        token: String,
    },
    /// It is there and does not do this.
    #[error("PKCS#11 token {token:?} cannot {what}: {reason}")]
    Cannot {
        /// The token.
        token: String,
        /// What it was to do.
        what: &'static str,
        /// What its module says.
        reason: String,
    },
}

impl TokenFault {
    /// Whether the key may come back by itself, or by what a person does to the token: meanwhile another key
    /// signs. What is wrong with the configuration is not such a fault.
    pub fn is_passing(&self) -> bool {
        !matches!(
            self,
            TokenFault::NotBuilt
                | TokenFault::Unknown { .. }
                | TokenFault::Unnamed { .. }
                | TokenFault::Nameless { .. }
                | TokenFault::Twice { .. }
        )
    }

    /// Why, without the token's name.
    pub(super) fn reason(&self) -> String {
        match self {
            TokenFault::Gone { reason, .. } => reason.clone(),
            TokenFault::Login { refusal, .. } => why(*refusal).to_owned(),
            TokenFault::Pin { fault, .. } => format!("its PIN cannot be had: {fault}"),
            TokenFault::KeyMissing { .. } => "it does not hold the key".to_owned(),
            TokenFault::KeyTwice { .. } => "it holds two keys of that id".to_owned(),
            TokenFault::Cannot { what, reason, .. } => format!("it cannot {what}: {reason}"),
            other => other.to_string(),
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            TokenFault::NotBuilt => "use a program with the Cargo feature `pkcs11`, or take the section out",
            TokenFault::Unknown { .. } | TokenFault::Unnamed { .. } => {
                "name a token that a [[pkcs11]] section of mint.toml describes"
            }
            TokenFault::Nameless { .. } | TokenFault::Twice { .. } => "see docs/keys.md",
            TokenFault::Gone { .. } => {
                "is it plugged in, and does its module see it? `pkcs11-tool --module FILE -L` asks without us"
            }
            TokenFault::Login { refusal: Refusal::Incorrect, .. } => {
                "put the right PIN where it is read from; the wrong one is not tried again"
            }
            TokenFault::Login { refusal: Refusal::NotReady, .. } => {
                "set its user PIN with the token's own tool"
            }
            TokenFault::Login { .. } => "log in once with the token's own tool, or have its PIN unlocked",
            TokenFault::Pin { .. } => "name its file with pin_file, or give the credential farside-pin",
            TokenFault::KeyMissing { .. } => "was it destroyed, or is this another token of the same name?",
            TokenFault::KeyTwice { .. } => "remove the one that is not meant with the token's own tool",
            TokenFault::Cannot { .. } => "its manual says which mechanisms it has; see docs/keys.md",
        }
    }
}

fn unnamed(names: &[String]) -> String {
    if names.is_empty() {
        return "no PKCS#11 token is configured".to_owned();
    }
    format!("there are several PKCS#11 tokens: say which of {}", names.join(", "))
}

fn spelled(since: Option<u64>) -> String {
    since.map_or_else(String::new, |since| format!(" since {}", rfc3339(since)))
}

fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Incorrect => "its PIN is wrong",
        Refusal::Locked => "its PIN is locked",
        Refusal::LastTry => "its PIN has one try left, which is a person's",
        Refusal::NotReady => "its user PIN is not set, or must be changed first",
    }
}

fn login(token: &str, refusal: Refusal) -> String {
    format!("PKCS#11 token {token:?} lets nobody in: {}", why(refusal))
}
