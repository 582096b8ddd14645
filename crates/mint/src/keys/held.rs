//! A private key that a PKCS#11 token holds: it signs there, and is known here by its name alone.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use farside_verify::Algorithm;

use super::KeyFault;
use super::tokens::{Token, TokenFault};
use super::uri::KeyUri;

/// What a pair's half in a token signs to show which it is: no note, since it ends in no newline.
const PROBE: &[u8] = b"farside-probe";

/// A private key in a token.
#[derive(Debug)]
pub struct HeldKey {
    token: Arc<Token>,
    id: Vec<u8>,
    algorithm: Algorithm,
    signature_bytes: usize,
}

impl HeldKey {
    /// The key of that name; the token is not asked yet.
    pub(super) fn find(token: Arc<Token>, uri: &KeyUri, algorithm: Algorithm) -> HeldKey {
        token.expect(uri.id());
        HeldKey { token, id: uri.id().to_vec(), algorithm, signature_bytes: 0 }
    }

    /// The Ed25519 key of that name, once it has signed what `public` verifies.
    pub(super) fn find_ed25519(
        token: Arc<Token>,
        uri: &KeyUri,
        public: &[u8; 32],
    ) -> Result<HeldKey, KeyFault> {
        let held = HeldKey::find(token, uri, Algorithm::EdDsa);
        let signature = held.sign(PROBE)?;
        let verified = UnparsedPublicKey::new(&ED25519, public).verify(PROBE, &signature);
        verified.map_err(|_| KeyFault::Mismatch { path: uri.to_string() })?;
        Ok(held.with_signature_bytes(signature.len()))
    }

    pub(super) fn with_signature_bytes(self, signature_bytes: usize) -> HeldKey {
        HeldKey { signature_bytes, ..self }
    }

    /// Bytes of each signature.
    pub fn signature_bytes(&self) -> usize {
        self.signature_bytes
    }

    /// Signs a message, as its algorithm says.
    ///
    /// # Errors
    /// The token or the key is away, or does not do this.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TokenFault> {
        self.token.sign(&self.id, self.algorithm, message)
    }

    /// Whether token and key are there, as far as is known.
    ///
    /// # Errors
    /// They are away; which, since when and why.
    pub fn at_hand(&self) -> Result<(), TokenFault> {
        self.token.holds(&self.id)
    }
}
