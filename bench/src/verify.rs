//! Whole verification against the bare signature check, `jsonwebtoken` and `jwt-simple`: same tokens,
//! same run.

use std::collections::HashSet;
use std::hint::black_box;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, PqdsaKeyPair, RsaKeyPair,
    VerificationAlgorithm,
};
use farside_verify::encode::{base64url, base64url_decode};
use farside_verify::{KeySet, Policy, Verifier};
use jwt_simple::prelude::{MLDSA44PublicKey, MLDSAPublicKeyLike as _, VerificationOptions};
use serde_json::Value;

use crate::count::allocations;
use crate::rounds::measure;

const ISSUER: &str = "https://gate.site-a.example";
const AUDIENCE: &str = "warehouse";
const LIFETIME_SECONDS: u64 = 900;

/// One algorithm: a token, its key in both forms.
struct Subject {
    name: &'static str,
    token: String,
    jwk: String,
    public: Vec<u8>,
    raw: ParsedPublicKey,
    now: u64,
}

/// Prints the figures of verification.
pub(crate) fn run() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |at| at.as_secs());
    for subject in [es256(now), eddsa(now), rs256(now), ml_dsa_65(now), ml_dsa_44(now)] {
        subject.print();
    }
}

impl Subject {
    fn new(
        name: &'static str,
        now: u64,
        members: &str,
        public: &[u8],
        verification: &'static dyn VerificationAlgorithm,
        sign: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Subject {
        let header = format!(r#"{{"alg":"{name}","kid":"x7QdT0aB","typ":"at+jwt"}}"#);
        let claims = format!(
            "{{\"iss\":\"{ISSUER}\",\"sub\":\"person-0123456789\",\"aud\":\"{AUDIENCE}\",\"exp\":{},\
             \"iat\":{now},\"jti\":\"site-a-7ps\",\"client_id\":\"c1\",\"flr\":41,\"roles\":[\"operator\"]}}",
            now + LIFETIME_SECONDS
        );
        let input = format!("{}.{}", base64url(header), base64url(claims));
        let token = format!("{input}.{}", base64url(sign(input.as_bytes())));
        let jwk = format!(r#"{{{members},"alg":"{name}","kid":"x7QdT0aB","use":"sig"}}"#);
        let raw = ParsedPublicKey::new(verification, public).expect("a key that was just made");
        Subject { name, token, jwk, public: public.to_vec(), raw, now }
    }

    fn print(&self) {
        let keys = format!(r#"{{"keys":[{}]}}"#, self.jwk);
        let keys = KeySet::from_jwks(keys.as_bytes()).expect("a key set that was just made");
        let verifier = Verifier::new(keys, Policy::access_token(ISSUER, [AUDIENCE]));
        let (input, signature) = self.token.rsplit_once('.').expect("a token has dots");
        let signature = base64url_decode(signature).expect("base64url that was just made");

        let mut bare = || self.raw.verify_sig(black_box(input.as_bytes()), &signature).expect("it fits");
        let mut whole = || {
            black_box(verifier.verify(black_box(&self.token), self.now).expect("a good token"));
        };
        let mut peer = self.peer();
        let name = self.name.to_ascii_lowercase().replace('-', "_");
        println!("verify_{name}_allocations {}", allocations(whole));
        println!("verify_{name}_peer_allocations {}", allocations(&mut peer));
        let measured = measure(&mut [&mut bare, &mut whole, &mut *peer]);
        println!("verify_{name}_per_second {:.0}", measured.per_second(1));
        println!("verify_{name}_bare_signature_per_second {:.0}", measured.per_second(0));
        println!("verify_{name}_time_over_bare_signature {:.3}", measured.times_as_fast(0, 1));
        println!("verify_{name}_speed_over_{} {:.3}", self.peer_name(), measured.times_as_fast(1, 2));
    }

    fn peer_name(&self) -> &'static str {
        if self.name.starts_with("ML") { "jwt_simple" } else { "jsonwebtoken" }
    }

    fn peer(&self) -> Box<dyn FnMut() + '_> {
        match self.name {
            "ML-DSA-44" => self.jwt_simple(),
            "ML-DSA-65" => self.jwt_simple_65(),
            _ => self.jsonwebtoken(),
        }
    }

    fn jsonwebtoken(&self) -> Box<dyn FnMut() + '_> {
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&self.jwk).expect("a JWK");
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).expect("a key that it knows");
        let mut validation = jsonwebtoken::Validation::new(self.name.parse().expect("a name that it knows"));
        validation.validate_nbf = true;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        Box::new(move || {
            let data = jsonwebtoken::decode::<Value>(black_box(&self.token), &key, &validation);
            black_box(data.expect("a good token"));
        })
    }

    fn jwt_simple(&self) -> Box<dyn FnMut() + '_> {
        let key = MLDSA44PublicKey::from_bytes(&self.public).expect("a key that it knows");
        let options = jwt_simple_options();
        Box::new(move || {
            let claims = key.verify_token::<Value>(black_box(&self.token), Some(options.clone()));
            black_box(claims.expect("a good token"));
        })
    }

    fn jwt_simple_65(&self) -> Box<dyn FnMut() + '_> {
        let key =
            jwt_simple::prelude::MLDSA65PublicKey::from_bytes(&self.public).expect("a key that it knows");
        let options = jwt_simple_options();
        Box::new(move || {
            let claims = key.verify_token::<Value>(black_box(&self.token), Some(options.clone()));
            black_box(claims.expect("a good token"));
        })
    }
}

fn jwt_simple_options() -> VerificationOptions {
    VerificationOptions {
        allowed_issuers: Some(HashSet::from([ISSUER.to_owned()])),
        allowed_audiences: Some(HashSet::from([AUDIENCE.to_owned()])),
        ..VerificationOptions::default()
    }
}

fn es256(now: u64) -> Subject {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair");
    let point = pair.public_key().as_ref().to_vec();
    let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
    let members = format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#);
    let random = SystemRandom::new();
    let sign = |input: &[u8]| pair.sign(&random, input).expect("a signature").as_ref().to_vec();
    Subject::new("ES256", now, &members, &point, &signature::ECDSA_P256_SHA256_FIXED, sign)
}

fn eddsa(now: u64) -> Subject {
    let pair = Ed25519KeyPair::generate().expect("a key pair");
    let public = pair.public_key().as_ref().to_vec();
    let members = format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64url(&public));
    Subject::new("EdDSA", now, &members, &public, &signature::ED25519, |input| {
        pair.sign(input).as_ref().to_vec()
    })
}

fn rs256(now: u64) -> Subject {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key pair");
    let der = pair.public_key().as_ref().to_vec();
    // RSAPublicKey of 2,048 bits: sequence header 4, integer header 4, sign octet 1, then 256 of modulus;
    // the exponent is 65537.
    let members = format!(r#""kty":"RSA","n":"{}","e":"AQAB""#, base64url(&der[9..265]));
    let random = SystemRandom::new();
    let sign = |input: &[u8]| {
        let mut out = vec![0; pair.public_modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &random, input, &mut out).expect("a signature");
        out
    };
    Subject::new("RS256", now, &members, &der, &signature::RSA_PKCS1_2048_8192_SHA256, sign)
}

fn ml_dsa_44(now: u64) -> Subject {
    let pair = PqdsaKeyPair::generate(&signature::ML_DSA_44_SIGNING).expect("a key pair");
    ml_dsa("ML-DSA-44", now, &pair, &signature::ML_DSA_44)
}

fn ml_dsa_65(now: u64) -> Subject {
    let pair = PqdsaKeyPair::generate(&signature::ML_DSA_65_SIGNING).expect("a key pair");
    ml_dsa("ML-DSA-65", now, &pair, &signature::ML_DSA_65)
}

fn ml_dsa(
    name: &'static str,
    now: u64,
    pair: &PqdsaKeyPair,
    verification: &'static dyn VerificationAlgorithm,
) -> Subject {
    let public = pair.public_key().as_ref().to_vec();
    let members = format!(r#""kty":"AKP","pub":"{}""#, base64url(&public));
    let sign = |input: &[u8]| {
        let mut out = vec![0; pair.algorithm().signature_len()];
        pair.sign(input, &mut out).expect("a signature");
        out
    };
    Subject::new(name, now, &members, &public, verification, sign)
}
