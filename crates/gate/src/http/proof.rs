//! A holder's proof that it has its key: a short-lived JWT for this one gate's `/pickup` (in the manner of
//! RFC 7523).
//!
//! Made by the holder's own command, never by the gate: the key is the holder's and is read, used once and
//! forgotten.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use farside_service::cli::{Failure, OrFailure};
use farside_service::{digest, durable, random};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use zeroize::Zeroizing;

use crate::pickup;

/// A proof is for now: it may be as old as a slow start of the command.
const PROOF_SECONDS: u64 = 60;
/// The largest private key that anyone has.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// A key of one of the kinds that the mint takes for bots.
enum Key {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(rsa::KeyPair),
}

/// A proof by the key in `path` that whoever sends it is `subject`, for the gate of `issuer`.
///
/// # Errors
/// The key cannot be read, or is of no kind that is known here.
pub(crate) fn assertion(path: &Path, subject: &str, issuer: &str, now: u64) -> Result<String, Failure> {
    let key = read(path)?;
    let id = random::bytes::<16>().or_could_not(|| "draw random bytes".to_owned())?;
    let claims = json!({
        "iss": subject,
        "sub": subject,
        "aud": pickup::proof_audience(issuer),
        "iat": now,
        "exp": now + PROOF_SECONDS,
        "jti": digest::hex(&id),
    });
    let header = json!({"alg": key.algorithm(), "typ": "JWT"});
    let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signing_input = format!("{}.{}", encode(&header), encode(&claims));
    let signature = key
        .sign(signing_input.as_bytes())
        .map_err(|_| Failure::could_not(format!("the key in {} cannot sign", path.display())))?;
    Ok(format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

impl Key {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Es384(_) => "ES384",
            Self::EdDsa(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let dice = SystemRandom::new();
        match self {
            Self::Es256(key) | Self::Es384(key) => Ok(key.sign(&dice, message)?.as_ref().to_vec()),
            Self::EdDsa(key) => Ok(key.sign(message).as_ref().to_vec()),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &dice, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

fn read(path: &Path) -> Result<Key, Failure> {
    let bytes = Zeroizing::new(durable::read_limited(path, KEY_BYTES_MAX)?);
    let unknown = || {
        Failure::could_not(format!("{} holds no private key that is known here", path.display()))
            .hint("give a PKCS#8 file (PEM or DER) with a P-256, P-384, Ed25519 or RSA key")
    };
    if !bytes.starts_with(b"-----") {
        return of_pkcs8(&bytes).ok_or_else(unknown);
    }
    let key = PrivatePkcs8KeyDer::from_pem_slice(&bytes).map_err(|_| unknown())?;
    of_pkcs8(key.secret_pkcs8_der()).ok_or_else(unknown)
}

/// PKCS#8 names its own kind, so at most one of these takes it.
fn of_pkcs8(der: &[u8]) -> Option<Key> {
    let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).ok();
    None.or_else(|| ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map(Key::Es256))
        .or_else(|| ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).map(Key::Es384))
        .or_else(|| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Key::EdDsa))
        .or_else(|| rsa::KeyPair::from_pkcs8(der).ok().map(Key::Rs256))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::KeyPair as _;

    #[test]
    fn a_proof_is_a_short_lived_token_for_this_door_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bot.key");
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        std::fs::write(&path, pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
        let proof = assertion(&path, "bot-7", "https://gate.moon/", 1_000).unwrap();

        let (signing_input, signature) = proof.rsplit_once('.').unwrap();
        let public =
            signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, pair.public_key());
        public.verify(signing_input.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(signing_input.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(claims["aud"], "https://gate.moon/pickup");
        assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("bot-7"), Some("bot-7")));
        assert_eq!((claims["iat"].as_u64(), claims["exp"].as_u64()), (Some(1_000), Some(1_060)));
    }

    #[test]
    fn each_kind_of_key_is_known_by_its_file() {
        let p384 = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        assert!(matches!(of_pkcs8(p384.to_pkcs8v1().unwrap().as_ref()), Some(Key::Es384(_))));
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        assert!(matches!(of_pkcs8(ed25519.to_pkcs8().unwrap().as_ref()), Some(Key::EdDsa(_))));
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        assert!(matches!(of_pkcs8(der.as_ref()), Some(Key::Rs256(_))));
        assert!(of_pkcs8(b"no key").is_none());
    }
}
