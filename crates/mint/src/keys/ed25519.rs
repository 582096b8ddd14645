//! The Ed25519 key of a signer or of the log: opened from a file, or held by a PKCS#11 token.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use farside_verify::Algorithm;
use farside_verify::encode::base64url;
use serde_json::json;
use zeroize::Zeroizing;

use super::held::HeldKey;
use super::public::PublicKey;
use super::tokens::Token;
use super::uri::KeyUri;
use super::{KeyFault, Passphrase};

/// Bytes of a seed, from which a whole key follows.
pub(super) const SEED_BYTES: usize = 32;

/// A key that signs.
pub(super) struct Ed25519Key {
    public: [u8; 32],
    private: Private,
}

enum Private {
    Own(Ed25519KeyPair),
    Held(HeldKey),
}

impl Ed25519Key {
    /// From the seed that a file held.
    pub(super) fn own(seed: &[u8]) -> Result<Ed25519Key, KeyFault> {
        let fault = || KeyFault::Crypto("Ed25519 key");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| fault())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| fault())?;
        Ok(Ed25519Key { public, private: Private::Own(pair) })
    }

    /// From what an opened file holds: the seed, or the name of a key in a token, which has to be that of
    /// `public`.
    pub(super) fn open(
        seed: &[u8],
        held: Option<&KeyUri>,
        public: &[u8; 32],
        passphrase: &Passphrase,
    ) -> Result<Ed25519Key, KeyFault> {
        let Some(uri) = held else { return Ed25519Key::own(seed) };
        let held = HeldKey::find_ed25519(passphrase.tokens().vouched(uri)?, uri, public)?;
        Ok(Ed25519Key { public: *public, private: Private::Held(held) })
    }

    pub(super) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    // RFC 8032 §5.1.6
    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyFault> {
        let fault = || KeyFault::Crypto("Ed25519 signature");
        match &self.private {
            Private::Own(pair) => {
                pair.try_sign(message).map_err(|_| fault())?.as_ref().try_into().map_err(|_| fault())
            }
            Private::Held(held) => held.sign(message)?.try_into().map_err(|_| fault()),
        }
    }
}

/// A key that was just made.
pub(super) struct NewEd25519 {
    pub(super) public: [u8; 32],
    /// Nothing where a token holds it.
    pub(super) seed: Zeroizing<Vec<u8>>,
    pub(super) held: Option<KeyUri>,
}

impl NewEd25519 {
    /// Makes one, inside `token` where one is given.
    pub(super) fn make(token: Option<&Token>, label: &str) -> Result<NewEd25519, KeyFault> {
        let Some(token) = token else {
            let seed = new_seed()?;
            let public = *Ed25519Key::own(&*seed)?.public();
            return Ok(NewEd25519 { public, seed: Zeroizing::new(seed.to_vec()), held: None });
        };
        let named = |public: &PublicKey| Some((key_id(public)?.into_bytes(), label.to_owned()));
        let made = token.make(Algorithm::EdDsa, named)?;
        let PublicKey::Ed25519(public) = made.public else { return Err(KeyFault::Crypto("Ed25519 key")) };
        let public = public.try_into().map_err(|_| KeyFault::Crypto("Ed25519 key"))?;
        Ok(NewEd25519 { public, seed: Zeroizing::default(), held: Some(made.uri) })
    }

    /// Takes it back out of the token, since its file could not be written.
    pub(super) fn undo(&self, token: Option<&Token>, fault: KeyFault) -> KeyFault {
        if let (Some(token), Some(uri)) = (token, &self.held) {
            // What stays behind is litter that no file names; the fault to be told is the first one.
            let _ = token.destroy(uri.id());
        }
        fault
    }
}

/// The first characters of the thumbprint (RFC 7638, RFC 8037 §2), as token keys are named.
fn key_id(public: &PublicKey) -> Option<String> {
    let PublicKey::Ed25519(key) = public else { return None };
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key) });
    let thumbprint = farside_verify::thumbprint(jwk.to_string().as_bytes()).ok()?;
    Some(farside_verify::key_id(&thumbprint))
}

pub(super) fn new_seed() -> Result<Zeroizing<[u8; SEED_BYTES]>, KeyFault> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    farside_service::random::fill(&mut *seed).map_err(|_| KeyFault::Crypto("random seed"))?;
    Ok(seed)
}
