//! The pass: what a gate gives for an opened order, once. It holds no claims and no signature: 256 bits that
//! nobody can guess, of which the gate keeps the hash alone.

use farside_service::{digest, random};
use farside_verify::encode::base64url;
use zeroize::Zeroizing;

/// How every pass begins. No token does: its first segment is base64url of a JSON object.
pub const PREFIX: &str = "farside-glass.";

const SECRET_BYTES: usize = 32;

/// A pass that has just been made; wiped when dropped, and never shown by `Debug`.
pub struct Pass(Zeroizing<String>);

impl Pass {
    /// Throws the dice.
    ///
    /// # Errors
    /// The operating system gave no random bytes.
    pub(super) fn throw() -> Result<Pass, random::Failed> {
        let secret = Zeroizing::new(random::bytes::<SECRET_BYTES>()?);
        Ok(Pass(Zeroizing::new(format!("{PREFIX}{}", base64url(*secret)))))
    }

    /// What its holder shows.
    pub fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        digest::sha256(self.0.as_bytes())
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pass")
    }
}

/// The hash of a credential that is meant as a pass; `None` where it is a token, or nothing at all.
pub fn shown(credential: &str) -> Option<[u8; 32]> {
    credential.starts_with(PREFIX).then(|| digest::sha256(credential.as_bytes()))
}
