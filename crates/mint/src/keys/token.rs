//! Token keys: one for each period of a site's calendar, in whichever algorithm the site has chosen. The JWK
//! that is published carries the calendar, so that a gate retires the key by itself.

use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING,
    ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
};
use farside_verify::encode::base64url;
use farside_verify::{Algorithm, thumbprint};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::file::{self, Header, KeyKind};
use super::{KeyFault, Passphrase};
use crate::store::Purpose;

/// Size of new RSA keys.
const RSA_SIZE: KeySize = KeySize::Rsa3072;

/// A token key's private half, parsed once.
pub enum KeyPair {
    /// P-256, P-384 or P-521.
    Ecdsa(EcdsaKeyPair),
    /// Edwards 25519.
    Ed25519(Ed25519KeyPair),
    /// RSA, for either padding.
    Rsa(rsa::KeyPair),
    /// ML-DSA of any level.
    MlDsa(PqdsaKeyPair),
}

/// A token key that can sign; `Debug` shows the key id alone.
pub struct TokenKey {
    /// The algorithm, fixed to the key.
    pub algorithm: Algorithm,
    /// First characters of its RFC 7638 thumbprint.
    pub kid: String,
    /// The public key as published.
    pub jwk: String,
    /// The private key.
    pub pair: KeyPair,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({} {})", self.kid, self.algorithm)
    }
}

/// When a key is used. Instants are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// First instant of signing.
    pub sign_from: u64,
    /// First instant after signing.
    pub sign_until: u64,
    /// Last instant of belief.
    pub accept_until: u64,
}

/// A key that was made and is not yet kept: its file is written by [`MadeKey::keep`].
pub struct MadeKey {
    /// First characters of its RFC 7638 thumbprint.
    pub kid: String,
    /// The public key with its calendar.
    pub jwk: String,
    private: Zeroizing<Vec<u8>>,
}

impl MadeKey {
    /// Makes a key; nothing is written yet, so that the caller can refuse a `kid` that the realm already
    /// knows.
    pub fn generate(algorithm: Algorithm, purpose: Purpose, period: Period) -> Result<Self, KeyFault> {
        let (pair, private) = generate(algorithm)?;
        let mut members = public_members(&pair)?;
        members.insert("alg".into(), json!(algorithm.name()));
        let fault = |_| KeyFault::Crypto("thumbprint of the token key");
        let kid = farside_verify::key_id(
            &thumbprint(Value::Object(members.clone()).to_string().as_bytes()).map_err(fault)?,
        );
        members.insert("kid".into(), json!(kid));
        members.insert("use".into(), json!(purpose.as_str()));
        members.insert("sign_from".into(), json!(period.sign_from));
        members.insert("sign_until".into(), json!(period.sign_until));
        members.insert("accept_until".into(), json!(period.accept_until));
        Ok(Self { kid, jwk: Value::Object(members).to_string(), private })
    }

    /// Writes the encrypted key file.
    pub fn keep(&self, path: &Path, passphrase: &Passphrase) -> Result<(), KeyFault> {
        let header = Header { kind: KeyKind::Token, name: self.kid.clone(), public: self.jwk.clone() };
        file::create(path, &header, &self.private, passphrase)
    }
}

/// Opens a token key's file.
pub fn open_token(path: &Path, passphrase: &Passphrase) -> Result<TokenKey, KeyFault> {
    let (header, private) = file::open(path, KeyKind::Token, passphrase)?;
    let mismatch = || KeyFault::Mismatch { path: path.display().to_string() };
    let jwk: Map<String, Value> = serde_json::from_str(&header.public).map_err(|_| mismatch())?;
    let algorithm =
        jwk.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name).ok_or_else(mismatch)?;
    let pair = parse(algorithm, &private).ok_or_else(mismatch)?;
    let same = public_members(&pair)?.iter().all(|(name, value)| jwk.get(name) == Some(value));
    if !same {
        return Err(mismatch());
    }
    Ok(TokenKey { algorithm, kid: header.name, jwk: header.public, pair })
}

fn generate(algorithm: Algorithm) -> Result<(KeyPair, Zeroizing<Vec<u8>>), KeyFault> {
    let fault = || KeyFault::Crypto("token key");
    let private = match family(algorithm) {
        Family::Ecdsa(kind) => {
            let pair = EcdsaKeyPair::generate(kind).map_err(|_| fault())?;
            Zeroizing::new(pair.to_pkcs8v1().map_err(|_| fault())?.as_ref().to_vec())
        }
        Family::Ed25519 => {
            let pair = Ed25519KeyPair::generate().map_err(|_| fault())?;
            Zeroizing::new(pair.to_pkcs8().map_err(|_| fault())?.as_ref().to_vec())
        }
        Family::Rsa => {
            let pair = rsa::KeyPair::generate(RSA_SIZE).map_err(|_| fault())?;
            Zeroizing::new(pair.as_der().map_err(|_| fault())?.as_ref().to_vec())
        }
        Family::MlDsa(kind) => {
            let pair = PqdsaKeyPair::generate(kind).map_err(|_| fault())?;
            Zeroizing::new(pair.to_pkcs8v1().map_err(|_| fault())?.as_ref().to_vec())
        }
    };
    // The pair used from here on is the one that the file will give back.
    let pair = parse(algorithm, &private).ok_or_else(fault)?;
    Ok((pair, private))
}

fn parse(algorithm: Algorithm, private: &[u8]) -> Option<KeyPair> {
    match family(algorithm) {
        Family::Ecdsa(kind) => EcdsaKeyPair::from_pkcs8(kind, private).ok().map(KeyPair::Ecdsa),
        Family::Ed25519 => Ed25519KeyPair::from_pkcs8(private).ok().map(KeyPair::Ed25519),
        Family::Rsa => rsa::KeyPair::from_pkcs8(private).ok().map(KeyPair::Rsa),
        Family::MlDsa(kind) => PqdsaKeyPair::from_pkcs8(kind, private).ok().map(KeyPair::MlDsa),
    }
}

enum Family {
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
    Rsa,
    MlDsa(&'static PqdsaSigningAlgorithm),
}

fn family(algorithm: Algorithm) -> Family {
    match algorithm {
        Algorithm::Es256 => Family::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => Family::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => Family::Ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa | Algorithm::Ed25519 => Family::Ed25519,
        Algorithm::MlDsa44 => Family::MlDsa(&ML_DSA_44_SIGNING),
        Algorithm::MlDsa65 => Family::MlDsa(&ML_DSA_65_SIGNING),
        Algorithm::MlDsa87 => Family::MlDsa(&ML_DSA_87_SIGNING),
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => Family::Rsa,
        Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => Family::Rsa,
    }
}

/// The members that make the key (RFC 7518 §6, RFC 8037 §2, RFC 9964 §3); `alg` and the rest are the
/// caller's.
fn public_members(pair: &KeyPair) -> Result<Map<String, Value>, KeyFault> {
    let value = match pair {
        KeyPair::Ecdsa(pair) => {
            let point = pair.public_key().as_ref();
            let (curve, length) = match point.len() {
                65 => ("P-256", 32),
                97 => ("P-384", 48),
                133 => ("P-521", 66),
                _ => return Err(KeyFault::Crypto("public key of that curve")),
            };
            let (x, y) = point.get(1..).unwrap_or_default().split_at(length);
            json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
        }
        KeyPair::Ed25519(pair) => {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key()) })
        }
        KeyPair::Rsa(pair) => {
            let (n, e) = rsa_public(pair.public_key().as_ref()).ok_or(KeyFault::Crypto("RSA public key"))?;
            json!({ "kty": "RSA", "n": base64url(n), "e": base64url(e) })
        }
        KeyPair::MlDsa(pair) => {
            json!({ "kty": "AKP", "pub": base64url(pair.public_key()) })
        }
    };
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(KeyFault::Crypto("public key")),
    }
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 §A.1.1), which is a sequence of the two as DER integers.
fn rsa_public(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, rest) = der_value(0x30, der)?;
    let (modulus, exponent) = der_value(0x02, sequence)?;
    let (exponent, end) = der_value(0x02, exponent)?;
    let unsigned = |integer: &'_ [u8]| integer.iter().position(|byte| *byte != 0);
    let modulus = modulus.get(unsigned(modulus)?..)?;
    let exponent = exponent.get(unsigned(exponent)?..)?;
    (rest.is_empty() && end.is_empty()).then_some((modulus, exponent))
}

/// The contents of the value of that `tag` at the front of `der`, and what follows it.
fn der_value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_at_checked(2)?;
    if head[0] != tag {
        return None;
    }
    let (length, rest) = match head[1] {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if octets.len() > 2 {
                return None;
            }
            (octets.iter().fold(0, |length, octet| (length << 8) | usize::from(*octet)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use farside_service::secret_file::Secret;

    use super::*;

    const PERIOD: Period = Period { sign_from: 1, sign_until: 2, accept_until: 3 };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Secret::new(Zeroizing::new(text.as_bytes().to_vec())))
    }

    #[test]
    fn every_algorithm_makes_a_key_that_the_verifier_loads_by_the_same_id() {
        for algorithm in Algorithm::ALL {
            let made = MadeKey::generate(*algorithm, Purpose::Sig, PERIOD).unwrap();
            let set = format!("{{\"keys\":[{}]}}", made.jwk);
            let keys = farside_verify::KeySet::from_jwks(set.as_bytes()).unwrap();
            assert_eq!(keys.ids().collect::<Vec<_>>(), [made.kid.as_str()], "{algorithm}");
            assert!(keys.unusable().is_empty(), "{algorithm}: {:?}", keys.unusable());
        }
    }

    #[test]
    fn a_kept_key_opens_as_itself_and_under_its_passphrase_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let made = MadeKey::generate(Algorithm::Es256, Purpose::Sig, PERIOD).unwrap();
        made.keep(&path, &passphrase("correct horse")).unwrap();
        let opened = open_token(&path, &passphrase("correct horse")).unwrap();
        assert_eq!((opened.kid, opened.jwk), (made.kid.clone(), made.jwk.clone()));
        assert!(matches!(open_token(&path, &passphrase("wrong horse")), Err(KeyFault::Locked { .. })));
        let again = made.keep(&path, &passphrase("correct horse"));
        assert!(matches!(again, Err(KeyFault::File(_))), "an existing key is never overwritten");
    }

    #[test]
    fn a_file_altered_anywhere_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        MadeKey::generate(Algorithm::Es256, Purpose::Sig, PERIOD)
            .unwrap()
            .keep(&path, &passphrase("correct horse"))
            .unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [
            ("\"accept_until\":3", "\"accept_until\":9"),
            ("argon2id 65536 3 1", "argon2id 65536 2 1"),
            ("name ", "name x"),
            ("\n\n", "\nmore x\n\n"),
        ] {
            std::fs::write(&path, whole.replacen(from, to, 1)).unwrap();
            assert!(open_token(&path, &passphrase("correct horse")).is_err(), "{from} -> {to}");
        }
        for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(open_token(&path, &passphrase("correct horse")).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_file_cannot_ask_for_endless_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let made = MadeKey::generate(Algorithm::EdDsa, Purpose::Sig, PERIOD).unwrap();
        made.keep(&path, &passphrase("correct horse")).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, whole.replacen("argon2id 65536", "argon2id 4294967295", 1)).unwrap();
        assert!(matches!(open_token(&path, &passphrase("correct horse")), Err(KeyFault::Malformed { .. })));
    }

    #[test]
    fn a_short_passphrase_protects_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = MadeKey::generate(Algorithm::Es256, Purpose::Sig, PERIOD).unwrap();
        let kept = made.keep(&folder.path().join("token.key"), &passphrase("short"));
        assert!(matches!(kept, Err(KeyFault::PassphraseShort)));
    }

    #[test]
    fn shows_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let made = MadeKey::generate(Algorithm::Es256, Purpose::Sig, PERIOD).unwrap();
        made.keep(&path, &passphrase("correct horse")).unwrap();
        let opened = open_token(&path, &passphrase("correct horse")).unwrap();
        assert_eq!(format!("{opened:?}"), format!("TokenKey({} ES256)", made.kid));
        assert_eq!(format!("{:?}", passphrase("correct horse")), "Passphrase");
    }
}
