//! A signer for every algorithm, so that tests make tokens with keys of their own.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support: a failure here is a failed test")]

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair, RsaKeyPair};
use farside_verify::encode::base64url;
use farside_verify::{Algorithm, KeySet, Policy, Verifier};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://gate.example";
pub(crate) const AUDIENCE: &str = "db";

/// Every algorithm, each with a token of its own kind of key.
pub(crate) fn every_signer() -> Vec<Signer> {
    Algorithm::ALL.iter().map(|&algorithm| Signer::generate(algorithm, "k1")).collect()
}

pub(crate) enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    MlDsa(PqdsaKeyPair),
}

pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
    pub(crate) pair: Pair,
}

impl Signer {
    pub(crate) fn generate(algorithm: Algorithm, kid: &str) -> Signer {
        use Algorithm::*;
        let ecdsa = |of| Pair::Ecdsa(EcdsaKeyPair::generate(of).unwrap());
        let ml_dsa = |of| Pair::MlDsa(PqdsaKeyPair::generate(of).unwrap());
        let pair = match algorithm {
            Es256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Es384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Es512 => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            EdDsa | Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => {
                Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
            }
            MlDsa44 => ml_dsa(&signature::ML_DSA_44_SIGNING),
            MlDsa65 => ml_dsa(&signature::ML_DSA_65_SIGNING),
            MlDsa87 => ml_dsa(&signature::ML_DSA_87_SIGNING),
        };
        Signer { algorithm, kid: kid.to_owned(), pair }
    }

    /// A fixed Ed25519 key, whose signatures are the same each time.
    pub(crate) fn fixed(kid: &str) -> Signer {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        Signer { algorithm: Algorithm::EdDsa, kid: kid.to_owned(), pair: Pair::Ed25519(pair) }
    }

    pub(crate) fn public_members(&self) -> String {
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match self.algorithm {
                    Algorithm::Es256 => "P-256",
                    Algorithm::Es384 => "P-384",
                    _ => "P-521",
                };
                let (x, y) = (base64url(x), base64url(y));
                format!(r#""kty":"EC","crv":"{curve}","x":"{x}","y":"{y}""#)
            }
            Pair::Ed25519(pair) => {
                format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64url(pair.public_key()))
            }
            Pair::Rsa(pair) => {
                let (n, e) = rsa_components(pair.public_key().as_ref());
                format!(r#""kty":"RSA","n":"{}","e":"{}""#, base64url(n), base64url(e))
            }
            Pair::MlDsa(pair) => format!(r#""kty":"AKP","pub":"{}""#, base64url(pair.public_key())),
        }
    }

    pub(crate) fn jwk(&self) -> String {
        format!(r#"{{{},"alg":"{}","kid":"{}"}}"#, self.public_members(), self.algorithm, self.kid)
    }

    pub(crate) fn jwks(&self) -> String {
        jwks(&[self.jwk()])
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::from_jwks(self.jwks().as_bytes()).unwrap()
    }

    /// A verifier that demands nothing but this key's signature.
    pub(crate) fn undemanding(&self) -> Verifier {
        Verifier::new(self.keys(), Policy::undemanding())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let encoding: &dyn signature::RsaEncoding = match self.algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut out).unwrap();
                out
            }
            Pair::MlDsa(pair) => {
                let mut out = vec![0; pair.algorithm().signature_len()];
                pair.sign(message, &mut out).unwrap();
                out
            }
        }
    }

    /// A token with exactly this header and payload.
    pub(crate) fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", base64url(header), base64url(payload));
        let signature = base64url(self.sign_bytes(input.as_bytes()));
        format!("{input}.{signature}")
    }

    pub(crate) fn header(&self, typ: &str) -> String {
        format!(r#"{{"alg":"{}","kid":"{}","typ":"{typ}"}}"#, self.algorithm, self.kid)
    }

    /// A token with the usual header and this payload.
    pub(crate) fn token(&self, payload: impl AsRef<[u8]>) -> String {
        self.sign(self.header("at+jwt"), payload)
    }

    /// An RSA private key as PKCS#1: what PKCS#8 wraps after its version and algorithm.
    pub(crate) fn pkcs1(&self) -> Vec<u8> {
        let pkcs8 = self.pkcs8();
        let (_version, rest) = der_value(der_value(&pkcs8).0);
        let (_algorithm, rest) = der_value(rest);
        der_value(rest).0.to_vec()
    }

    /// The private key as PKCS#8, for oracles.
    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair).unwrap().as_ref().to_vec(),
            Pair::MlDsa(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
        }
    }
}

pub(crate) fn jwks(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// A complete access token's claims at [`NOW`].
pub(crate) fn access_claims() -> String {
    format!(
        r#"{{"iss":"{ISSUER}","sub":"ada","aud":"{AUDIENCE}","exp":{},"iat":{NOW},"jti":"s-1","client_id":"c","roles":["operator"]}}"#,
        NOW + 900
    )
}

pub(crate) fn access_policy() -> Policy {
    Policy::access_token(ISSUER, [AUDIENCE])
}

/// Modulus and exponent of a DER RSAPublicKey, without sign octets.
fn rsa_components(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (sequence, _) = der_value(der);
    let (n, rest) = der_value(sequence);
    let (e, _) = der_value(rest);
    let unsigned = |number: &[u8]| number.iter().copied().skip_while(|&byte| byte == 0).collect();
    (unsigned(n), unsigned(e))
}

fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (len, at) = match der[1] {
        0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
        0x81 => (usize::from(der[2]), 3),
        short => (usize::from(short), 2),
    };
    der[at..].split_at(len)
}
