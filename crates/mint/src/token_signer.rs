//! Signs tokens: a key held parsed, the headers it writes, and the verifier that checks its own output.
//!
//! For [`issue`](crate::issue). Refuses to hand out a signature that `farside_verify`, the library that gates
//! use, does not accept for the very policy that the token is meant for.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, Signature,
};
use farside_crossing::lists::LIST_TYP;
use farside_verify::leaf::HASH_BYTES;
use farside_verify::{
    ACCESS_TOKEN_TYP, Algorithm, KeySet, KeySetError, PLAIN_TYP, Policy, Refusal, Verifier, encode,
};

use crate::claims::Profile;
use crate::keys::{KeyPair, TokenFault, TokenKey};
use crate::store::Site;

/// Characters of the largest signature there is here: ML-DSA-87, 4,627 bytes.
const SIGNATURE_CHARS_MAX: usize = 6_170;

/// One private key that signs tokens of one site.
pub struct TokenSigner {
    key: Arc<TokenKey>,
    rng: SystemRandom,
    headers: Headers,
    signature_chars: usize,
    self_check: SelfCheck,
}

/// The encoded header and its dot, one for each `typ` that a profile writes.
struct Headers {
    access_token: String,
    plain: String,
    status_list: String,
}

/// What a gate would demand of this key's tokens, one verifier for each profile.
struct SelfCheck {
    access: Verifier,
    lean: Verifier,
    jwt_svid: Verifier,
    status_list: Verifier,
}

/// A token that was signed and not yet verified: it shows nothing.
pub struct Unbelieved {
    text: String,
    profile: Profile,
}

/// A token that a gate would believe. Only [`TokenSigner::believe`] makes one.
pub(crate) struct Believed {
    text: String,
    signing_input_sha256: [u8; HASH_BYTES],
}

impl Believed {
    /// What the token's leaf commits to.
    pub(crate) fn signing_input_sha256(&self) -> [u8; HASH_BYTES] {
        self.signing_input_sha256
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

impl std::fmt::Debug for Unbelieved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unbelieved").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// A signature, where it fits without an allocation of its own.
#[expect(clippy::large_enum_variant, reason = "it lives for one signature, on the stack")]
enum Bytes {
    Short(Signature),
    Long(Vec<u8>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Bytes::Short(signature) => signature.as_ref(),
            Bytes::Long(signature) => signature,
        }
    }
}

/// Why no signature was made.
#[derive(Debug, thiserror::Error)]
pub enum SignFault {
    /// The key cannot be used with its algorithm, or the library failed.
    #[error("key {kid} could not sign with {algorithm}")]
    Unsigned {
        /// The key's id.
        kid: String,
        /// The algorithm asked of it.
        algorithm: Algorithm,
    },
    /// The token that holds the key did not sign.
    #[error("key {kid} could not sign: {fault}")]
    Token {
        /// The key's id.
        kid: String,
        /// Why not.
        fault: TokenFault,
    },
    /// What was signed does not verify: a fault of the machine or of this program.
    #[error("a token signed with key {kid} does not verify: {refusal}")]
    Unbelievable {
        /// The key's id.
        kid: String,
        /// What the verifier said.
        refusal: Refusal,
    },
}

impl TokenSigner {
    /// Holds `key`, ready to sign for `site`, which knows it by `published`. Fails where that public half is
    /// one that no verifier would load.
    pub fn new(key: Arc<TokenKey>, published: &str, site: &Site) -> Result<TokenSigner, KeySetError> {
        let signature_chars = signature_chars(&key);
        let headers = Headers {
            access_token: header(&key, ACCESS_TOKEN_TYP),
            plain: header(&key, PLAIN_TYP),
            status_list: header(&key, LIST_TYP),
        };
        let self_check = SelfCheck {
            access: self_check(&key, published, site, Profile::Access)?,
            lean: self_check(&key, published, site, Profile::Lean)?,
            jwt_svid: self_check(&key, published, site, Profile::JwtSvid)?,
            status_list: Verifier::new(
                KeySet::from_jwks(format!("{{\"keys\":[{published}]}}").as_bytes())?,
                Policy::undemanding().typ(LIST_TYP).algorithms([key.algorithm]),
            ),
        };
        Ok(TokenSigner { key, rng: SystemRandom::new(), headers, signature_chars, self_check })
    }

    /// The key's id.
    pub fn kid(&self) -> &str {
        &self.key.kid
    }

    /// Whether signing takes so long that it should not hold up a server's event loop.
    pub fn is_slow(&self) -> bool {
        matches!(self.key.pair, KeyPair::Rsa(_) | KeyPair::Held(_))
    }

    /// Whether the key is there, as far as is known: one in a PKCS#11 token may be away.
    pub fn at_hand(&self) -> Result<(), TokenFault> {
        match &self.key.pair {
            KeyPair::Held(held) => held.at_hand(),
            _ => Ok(()),
        }
    }

    /// How long a token with these claims becomes.
    pub fn token_bytes(&self, profile: Profile, claims_bytes: usize) -> usize {
        self.header(profile).len() + base64url_chars(claims_bytes) + 1 + self.signature_chars
    }

    /// Signs a status list and believes it, as third parties will. Its `typ` is its own and it names no
    /// audience: nowhere is it a token.
    // token.md §8.1
    pub fn sign_status_list(&self, claims: &str, now: u64) -> Result<String, SignFault> {
        let text = self.signed(&self.headers.status_list, claims)?;
        match self.self_check.status_list.verify(&text, now) {
            Ok(_) => Ok(text),
            Err(refusal) => Err(SignFault::Unbelievable { kid: self.key.kid.clone(), refusal }),
        }
    }

    /// Signs these claims.
    pub fn sign(&self, profile: Profile, claims: &str) -> Result<Unbelieved, SignFault> {
        Ok(Unbelieved { text: self.signed(self.header(profile), claims)?, profile })
    }

    // RFC 7515 §5.1
    fn signed(&self, header: &str, claims: &str) -> Result<String, SignFault> {
        let bytes = header.len() + base64url_chars(claims.len()) + 1 + self.signature_chars;
        let mut text = String::with_capacity(bytes);
        text.push_str(header);
        encode::push_base64url(&mut text, claims.as_bytes());
        let signature = self.signature(text.as_bytes())?;
        text.push('.');
        encode::push_base64url(&mut text, signature);
        Ok(text)
    }

    /// Believes a token only as a gate would, and says what its leaf commits to.
    pub(crate) fn believe(&self, token: Unbelieved, now: u64) -> Result<Believed, SignFault> {
        let verifier = match token.profile {
            Profile::Access => &self.self_check.access,
            Profile::Lean => &self.self_check.lean,
            Profile::JwtSvid => &self.self_check.jwt_svid,
        };
        let fault = |refusal| SignFault::Unbelievable { kid: self.key.kid.clone(), refusal };
        let verified = verifier.verify(&token.text, now).map_err(fault)?;
        let signing_input_sha256 = verified.signing_input_sha256();
        Ok(Believed { text: token.text, signing_input_sha256 })
    }

    fn signature(&self, message: &[u8]) -> Result<Bytes, SignFault> {
        let unsigned = |_| SignFault::Unsigned { kid: self.key.kid.clone(), algorithm: self.key.algorithm };
        match &self.key.pair {
            KeyPair::Ecdsa(pair) => pair.sign(&self.rng, message).map(Bytes::Short).map_err(unsigned),
            KeyPair::Ed25519(pair) => pair.try_sign(message).map(Bytes::Short).map_err(unsigned),
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = rsa_padding(self.key.algorithm).ok_or(aws_lc_rs::error::Unspecified);
                padding
                    .and_then(|padding| pair.sign(padding, &self.rng, message, &mut signature))
                    .map_err(unsigned)?;
                Ok(Bytes::Long(signature))
            }
            KeyPair::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let written = pair.sign(message, &mut signature).map_err(unsigned)?;
                signature.truncate(written);
                Ok(Bytes::Long(signature))
            }
            KeyPair::Held(held) => held
                .sign(message)
                .map(Bytes::Long)
                .map_err(|fault| SignFault::Token { kid: self.key.kid.clone(), fault }),
        }
    }

    fn header(&self, profile: Profile) -> &str {
        match profile {
            Profile::Access => &self.headers.access_token,
            Profile::Lean | Profile::JwtSvid => &self.headers.plain,
        }
    }
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSigner").field("kid", &self.key.kid).finish_non_exhaustive()
    }
}

// What the site's gate demands, without leeway: both instants come from our own clock.
fn self_check(
    key: &TokenKey,
    published: &str,
    site: &Site,
    profile: Profile,
) -> Result<Verifier, KeySetError> {
    let keys = KeySet::from_jwks(format!("{{\"keys\":[{published}]}}").as_bytes())?;
    let policy = Policy::undemanding()
        .audiences(site.terms.audiences.iter().map(|audience| &audience.name))
        .typ(typ(profile))
        .algorithms([key.algorithm])
        .lifetime_seconds_max(site.terms.lifetime_seconds_max);
    Ok(Verifier::new(
        keys,
        if profile == Profile::JwtSvid { policy } else { policy.issuer(&site.terms.issuer) },
    ))
}

// token.md §8
fn typ(profile: Profile) -> &'static str {
    match profile {
        Profile::Access => ACCESS_TOKEN_TYP,
        Profile::Lean | Profile::JwtSvid => PLAIN_TYP,
    }
}

// token.md §8
fn header(key: &TokenKey, typ: &str) -> String {
    encode::header(key.algorithm, &key.kid, typ) + "."
}

fn rsa_padding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_SHA512),
        _ => None,
    }
}

fn signature_chars(key: &TokenKey) -> usize {
    let bytes = match (&key.pair, key.algorithm) {
        (KeyPair::Ed25519(_), _) | (KeyPair::Ecdsa(_), Algorithm::Es256) => 64,
        (KeyPair::Ecdsa(_), Algorithm::Es384) => 96,
        (KeyPair::Ecdsa(_), _) => 132,
        (KeyPair::Rsa(pair), _) => pair.public_modulus_len(),
        (KeyPair::MlDsa(pair), _) => pair.algorithm().signature_len(),
        (KeyPair::Held(held), _) => held.signature_bytes(),
    };
    base64url_chars(bytes).min(SIGNATURE_CHARS_MAX)
}

fn base64url_chars(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}
