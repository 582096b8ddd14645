//! The public half of a token key, wherever its private half lives: read from a key pair or from what a
//! PKCS#11 token shows, written as the members of a JWK.

use aws_lc_rs::signature::KeyPair as _;
use farside_verify::encode::base64url;
use serde_json::{Map, Value, json};

use super::{KeyFault, KeyPair};

/// A public key in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// The uncompressed point on P-256, P-384 or P-521, without its first octet.
    Ec(Vec<u8>),
    /// 32 octets.
    Ed25519(Vec<u8>),
    /// Modulus and exponent, in as few octets as they need.
    Rsa(Vec<u8>, Vec<u8>),
    /// Of any level.
    MlDsa(Vec<u8>),
}

impl PublicKey {
    pub(super) fn of(pair: &KeyPair) -> Option<PublicKey> {
        match pair {
            KeyPair::Ecdsa(pair) => PublicKey::ec(pair.public_key().as_ref()),
            KeyPair::Ed25519(pair) => Some(PublicKey::Ed25519(pair.public_key().as_ref().to_vec())),
            KeyPair::Rsa(pair) => {
                let (n, e) = rsa_public(pair.public_key().as_ref())?;
                Some(PublicKey::Rsa(n.to_vec(), e.to_vec()))
            }
            KeyPair::MlDsa(pair) => Some(PublicKey::MlDsa(pair.public_key().as_ref().to_vec())),
            KeyPair::Held(_) => None,
        }
    }

    /// From an uncompressed point (SEC 1 §2.3.3).
    fn ec(point: &[u8]) -> Option<PublicKey> {
        let point = point.strip_prefix(&[4])?;
        matches!(point.len(), 64 | 96 | 132).then(|| PublicKey::Ec(point.to_vec()))
    }

    /// The members that make the key (RFC 7518 §6, RFC 8037 §2, RFC 9964 §3); `alg` and the rest are the
    /// caller's.
    pub(super) fn members(&self) -> Result<Map<String, Value>, KeyFault> {
        let value = match self {
            PublicKey::Ec(point) => {
                let curve = match point.len() {
                    64 => "P-256",
                    96 => "P-384",
                    _ => "P-521",
                };
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
            }
            PublicKey::Ed25519(key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key) }),
            PublicKey::Rsa(n, e) => json!({ "kty": "RSA", "n": base64url(n), "e": base64url(e) }),
            PublicKey::MlDsa(key) => json!({ "kty": "AKP", "pub": base64url(key) }),
        };
        match value {
            Value::Object(members) => Ok(members),
            _ => Err(KeyFault::Crypto("public key")),
        }
    }
}

/// What tokens show of their public keys.
#[cfg(feature = "pkcs11")]
impl PublicKey {
    /// From `CKA_EC_POINT`: a DER octet string around the point, or in some tokens the point alone.
    pub(super) fn ec_of_token(point: &[u8]) -> Option<PublicKey> {
        match der_value(0x04, point) {
            Some((point, [])) => PublicKey::ec(point),
            _ => PublicKey::ec(point),
        }
    }

    /// From `CKA_EC_POINT`: a DER octet string or bit string around the key, or the key alone.
    pub(super) fn ed25519_of_token(point: &[u8]) -> Option<PublicKey> {
        let key = match point {
            [4, 32, key @ ..] | [3, 33, 0, key @ ..] if key.len() == 32 => key,
            key => key,
        };
        (key.len() == 32).then(|| PublicKey::Ed25519(key.to_vec()))
    }

    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<PublicKey> {
        Some(PublicKey::Rsa(unsigned(modulus)?.to_vec(), unsigned(exponent)?.to_vec()))
    }
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 §A.1.1), which is a sequence of the two as DER integers.
fn rsa_public(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, rest) = der_value(0x30, der)?;
    let (modulus, exponent) = der_value(0x02, sequence)?;
    let (exponent, end) = der_value(0x02, exponent)?;
    let (modulus, exponent) = (unsigned(modulus)?, unsigned(exponent)?);
    (rest.is_empty() && end.is_empty()).then_some((modulus, exponent))
}

/// An integer without the zeros before it.
fn unsigned(integer: &[u8]) -> Option<&[u8]> {
    integer.get(integer.iter().position(|byte| *byte != 0)?..)
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
