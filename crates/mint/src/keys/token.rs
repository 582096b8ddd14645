//! Token keys: one for each period of a site's calendar, in whichever algorithm the site has chosen. The JWK
//! that is published carries the calendar, so that a gate retires the key by itself.

use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING,
    ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
};
use farside_verify::{Algorithm, KeySet, Policy, Verifier, encode, thumbprint};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::file::{self, Header, KeyKind};
use super::held::HeldKey;
use super::place::KeyPlace;
use super::public::PublicKey;
use super::tokens::Token;
use super::uri::KeyUri;
use super::{KeyFault, Passphrase};
use crate::store::Purpose;

/// What a key in a PKCS#11 token signs to show which it is: no token, since no verifier takes its type.
const PROBE: &[u8] = b"{}";
const PROBE_TYP: &str = "farside-probe";

/// Size of new RSA keys.
const RSA_SIZE: KeySize = KeySize::Rsa3072;

/// A token key's private half: parsed once, or held by a PKCS#11 token.
pub enum KeyPair {
    /// P-256, P-384 or P-521.
    Ecdsa(EcdsaKeyPair),
    /// Edwards 25519.
    Ed25519(Ed25519KeyPair),
    /// RSA, for either padding.
    Rsa(rsa::KeyPair),
    /// ML-DSA of any level.
    MlDsa(PqdsaKeyPair),
    /// Any that a PKCS#11 token holds.
    Held(HeldKey),
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
    private: Private,
}

enum Private {
    /// Not written yet.
    Bytes(Zeroizing<Vec<u8>>),
    /// In a token already.
    Held(KeyUri),
}

impl MadeKey {
    /// Makes a key; nothing is written yet, so that the caller can refuse a `kid` that the realm already
    /// knows.
    pub fn generate(algorithm: Algorithm, purpose: Purpose, period: Period) -> Result<Self, KeyFault> {
        let (pair, private) = generate(algorithm)?;
        let public = PublicKey::of(&pair).ok_or(KeyFault::Crypto("public key of that curve"))?;
        let (kid, jwk) = published(&public, algorithm, purpose, period)?;
        Ok(Self { kid, jwk, private: Private::Bytes(private) })
    }

    /// Makes a key inside a token, for `site`. Where the caller does not enter it, it is to be
    /// [destroyed](KeyPlace::destroy).
    pub fn generate_in(
        token: &Token,
        site: &str,
        algorithm: Algorithm,
        purpose: Purpose,
        period: Period,
    ) -> Result<Self, KeyFault> {
        let made = token.make(algorithm, |public| {
            let (kid, _) = published(public, algorithm, purpose, period).ok()?;
            let label = format!("farside token {site} {kid}");
            Some((kid.into_bytes(), label))
        })?;
        let (kid, jwk) = published(&made.public, algorithm, purpose, period)?;
        Ok(Self { kid, jwk, private: Private::Held(made.uri) })
    }

    /// Writes the encrypted key file; of a key in a token there is none to write.
    pub fn keep(&self, path: &Path, passphrase: &Passphrase) -> Result<(), KeyFault> {
        let Private::Bytes(private) = &self.private else { return Ok(()) };
        let header = Header::new(KeyKind::Token, self.kid.clone(), self.jwk.clone());
        file::create(path, &header, private, passphrase)
    }

    /// Where the private key is to be found: in the file that it is kept in, or in its token.
    pub fn place(&self, file: &str) -> KeyPlace {
        match &self.private {
            Private::Bytes(_) => KeyPlace::File(file.into()),
            Private::Held(uri) => KeyPlace::Token(uri.clone()),
        }
    }
}

/// Id and JWK of a public key.
fn published(
    public: &PublicKey,
    algorithm: Algorithm,
    purpose: Purpose,
    period: Period,
) -> Result<(String, String), KeyFault> {
    let mut members = public.members()?;
    members.insert("alg".into(), json!(algorithm.name()));
    let fault = |_| KeyFault::Crypto("thumbprint of the token key");
    let thumbprint = thumbprint(Value::Object(members.clone()).to_string().as_bytes()).map_err(fault)?;
    let kid = farside_verify::key_id(&thumbprint);
    members.insert("kid".into(), json!(kid));
    members.insert("use".into(), json!(purpose.as_str()));
    members.insert("sign_from".into(), json!(period.sign_from));
    members.insert("sign_until".into(), json!(period.sign_until));
    members.insert("accept_until".into(), json!(period.accept_until));
    Ok((kid, Value::Object(members).to_string()))
}

/// Opens a token key wherever it lives: `jwk` is the public key that the calendar holds, `home` the mint's
/// folder.
pub fn open_token_at(
    place: &KeyPlace,
    jwk: &str,
    home: &Path,
    passphrase: &Passphrase,
) -> Result<TokenKey, KeyFault> {
    match place {
        KeyPlace::File(path) => open_token(&home.join(path), passphrase),
        KeyPlace::Token(uri) => open_held(uri, jwk, passphrase),
    }
}

// keys.md §2.3
/// Finds the key in its token, and has it sign once: what its public key does not verify is another key.
fn open_held(uri: &KeyUri, jwk: &str, passphrase: &Passphrase) -> Result<TokenKey, KeyFault> {
    let mismatch = || KeyFault::Mismatch { path: uri.to_string() };
    let members: Map<String, Value> = serde_json::from_str(jwk).map_err(|_| mismatch())?;
    let member = |name: &str| members.get(name).and_then(Value::as_str);
    let algorithm = member("alg").and_then(Algorithm::from_name).ok_or_else(mismatch)?;
    let kid = member("kid").ok_or_else(mismatch)?.to_owned();
    let held = HeldKey::find(passphrase.tokens().configured(uri)?, uri, algorithm);
    let keys = KeySet::from_jwks(format!("{{\"keys\":[{jwk}]}}").as_bytes()).map_err(|_| mismatch())?;
    let mut probe = encode::header(algorithm, &kid, PROBE_TYP) + ".";
    encode::push_base64url(&mut probe, PROBE);
    let signature = held.sign(probe.as_bytes())?;
    probe.push('.');
    encode::push_base64url(&mut probe, &signature);
    let policy = Policy::undemanding().typ(PROBE_TYP);
    Verifier::new(keys, policy).verify_jws(&probe).map_err(|_| mismatch())?;
    let held = held.with_signature_bytes(signature.len());
    Ok(TokenKey { algorithm, kid, jwk: jwk.to_owned(), pair: KeyPair::Held(held) })
}

/// Opens a token key's file.
pub fn open_token(path: &Path, passphrase: &Passphrase) -> Result<TokenKey, KeyFault> {
    let (header, private) = file::open(path, KeyKind::Token, passphrase)?;
    let mismatch = || KeyFault::Mismatch { path: path.display().to_string() };
    let jwk: Map<String, Value> = serde_json::from_str(&header.public).map_err(|_| mismatch())?;
    let algorithm =
        jwk.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name).ok_or_else(mismatch)?;
    let pair = parse(algorithm, &private).ok_or_else(mismatch)?;
    let public = PublicKey::of(&pair).ok_or_else(mismatch)?;
    let same = public.members()?.iter().all(|(name, value)| jwk.get(name) == Some(value));
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
    fn keys_made_together_share_the_stretched_passphrase_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let together = passphrase("correct horse");
        let lines = |name: &str, under: &Passphrase| {
            let path = folder.path().join(name);
            MadeKey::generate(Algorithm::EdDsa, Purpose::Sig, PERIOD).unwrap().keep(&path, under).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let line = |word: &str| text.lines().find(|line| line.starts_with(word)).unwrap().to_owned();
            [line("argon2id "), line("hkdf-sha256 "), line("aes-256-gcm ")]
        };
        let (one, two) = (lines("one.key", &together), lines("two.key", &together));
        assert_eq!(one[0], two[0]);
        assert_ne!(one[1], two[1], "each file has its own key");
        // Another run goes on with the salt of a file that has opened under its passphrase, and of no other.
        let later = passphrase("correct horse");
        open_token(&folder.path().join("two.key"), &later).unwrap();
        assert_eq!(lines("three.key", &later)[0], one[0]);
        let stranger = passphrase("another horse");
        assert!(open_token(&folder.path().join("two.key"), &stranger).is_err());
        assert_ne!(lines("four.key", &stranger)[0], one[0]);
        for name in ["one.key", "three.key"] {
            open_token(&folder.path().join(name), &passphrase("correct horse")).unwrap();
        }
    }

    #[test]
    fn a_short_passphrase_protects_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = MadeKey::generate(Algorithm::Es256, Purpose::Sig, PERIOD).unwrap();
        let kept = made.keep(&folder.path().join("token.key"), &passphrase("short"));
        assert!(matches!(kept, Err(KeyFault::PassphraseShort)));
    }

    #[test]
    fn a_destroyed_file_is_overwritten_and_gone_and_destroying_it_again_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let made = MadeKey::generate(Algorithm::Es256, Purpose::Sig, PERIOD).unwrap();
        let (path, pass) = (folder.path().join("token.key"), passphrase("correct horse"));
        made.keep(&path, &pass).unwrap();
        let kept_open = std::fs::File::open(&path).unwrap();
        let place = made.place("token.key");
        place.destroy(folder.path(), &pass).unwrap();
        assert!(!path.exists());
        let left: Vec<u8> = std::io::Read::bytes(kept_open).map(Result::unwrap).collect();
        assert!(!left.is_empty() && left.iter().all(|byte| *byte == 0), "the bytes themselves are gone");
        place.destroy(folder.path(), &pass).unwrap();
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
