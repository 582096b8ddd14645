//! A bot as somebody else would write it: it holds its own key, and proves it to the token endpoint with a
//! client assertion (RFC 7523). None of Farside's signing code is used here, as none would be there.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use farside_service::cli::{Failure, OrFailure};
use farside_service::{random, time};
use farside_verify::encode::base64url;
use serde_json::json;

/// How long an assertion may be used; it is made for one request.
const ASSERTION_SECONDS: u64 = 60;

/// The assertion's type, as RFC 7523 §2.2 names it.
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A bot and its P-256 key, which never leaves it.
pub(crate) struct Bot {
    client_id: String,
    key: EcdsaKeyPair,
}

impl Bot {
    /// A bot with a new key.
    pub(crate) fn new(client_id: &str) -> Result<Bot, Failure> {
        let key =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).or_could_not(|| "make a key".into())?;
        Ok(Bot { client_id: client_id.to_owned(), key })
    }

    /// The public key, as the mint's operator is given it.
    pub(crate) fn jwk(&self) -> Result<String, Failure> {
        // SEC 1 §2.3.3: 04, then both coordinates.
        let (x, y) = match self.key.public_key().as_ref() {
            [4, coordinates @ ..] if coordinates.len() == 64 => coordinates.split_at(32),
            _ => return Err(Failure::could_not("the bot's key has an odd form")),
        };
        Ok(json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)}).to_string())
    }

    /// "I am this client", signed, for one token endpoint.
    pub(crate) fn assertion(&self, endpoint: &str) -> Result<String, Failure> {
        let now = time::now_unix();
        let nonce: [u8; 16] = random::bytes().or_could_not(|| "find a nonce".into())?;
        let header = json!({"alg": "ES256", "typ": "JWT"});
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": endpoint,
            "iat": now, "exp": now + ASSERTION_SECONDS, "jti": base64url(nonce),
        });
        let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes());
        let signature = signature.or_could_not(|| "sign the assertion".into())?;
        Ok(format!("{input}.{}", base64url(signature)))
    }
}
