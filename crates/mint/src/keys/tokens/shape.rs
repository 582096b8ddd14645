//! What keys are made of in terms of PKCS#11: templates, mechanisms, and the public key read back.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;
use farside_verify::Algorithm;

use super::fault::DeviceFault;
use crate::keys::public::PublicKey;

/// Size of RSA keys made in tokens, in bits.
const RSA_BITS: u64 = 3_072;
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

// The curves as DER object identifiers (RFC 5480 §2.1.1.1, RFC 8410 §3).
const P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x23];
const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
/// As PKCS#11 3.0 §2.3.10 also allows it, and some tokens alone understand it.
const ED25519_BY_NAME: &[u8] = b"\x13\x0cedwards25519";

/// A kind of key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// On a NIST curve of that many octets.
    Ec(&'static [u8]),
    Ed25519,
    Rsa,
}

impl Shape {
    /// The keys of an algorithm, where tokens have them.
    pub(super) fn of(algorithm: Algorithm) -> Result<Shape, DeviceFault> {
        Ok(match algorithm {
            Algorithm::Es256 => Shape::Ec(P256),
            Algorithm::Es384 => Shape::Ec(P384),
            Algorithm::Es512 => Shape::Ec(P521),
            Algorithm::EdDsa | Algorithm::Ed25519 => Shape::Ed25519,
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => Shape::Rsa,
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => Shape::Rsa,
            Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
                let reason = "ML-DSA keys are kept in files".to_owned();
                return Err(DeviceFault::Cannot { what: "make such a key", reason });
            }
        })
    }

    pub(super) fn generation(self) -> Mechanism<'static> {
        match self {
            Shape::Ec(_) => Mechanism::EccKeyPairGen,
            Shape::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
            Shape::Rsa => Mechanism::RsaPkcsKeyPairGen,
        }
    }

    /// The attributes that say which key: tokens differ in how they want a curve named, so there may be more
    /// than one way to try.
    pub(super) fn parameters(self) -> Vec<Vec<Attribute>> {
        let curve = |oid: &[u8]| vec![Attribute::EcParams(oid.to_vec())];
        match self {
            Shape::Ec(oid) => vec![curve(oid)],
            Shape::Ed25519 => vec![curve(ED25519), curve(ED25519_BY_NAME)],
            Shape::Rsa => vec![vec![
                Attribute::ModulusBits(RSA_BITS.into()),
                Attribute::PublicExponent(RSA_EXPONENT.to_vec()),
            ]],
        }
    }

    /// Reads a public key back.
    pub(super) fn read(self, session: &Session, object: ObjectHandle) -> Result<PublicKey, DeviceFault> {
        let strange =
            || DeviceFault::Cannot { what: "show the public key", reason: "its form is unknown".to_owned() };
        let wanted: &[AttributeType] = match self {
            Shape::Rsa => &[AttributeType::Modulus, AttributeType::PublicExponent],
            Shape::Ec(_) | Shape::Ed25519 => &[AttributeType::EcPoint],
        };
        let public = match (self, session.get_attributes(object, wanted)?.as_slice()) {
            (Shape::Ec(_), [Attribute::EcPoint(point)]) => PublicKey::ec_of_token(point),
            (Shape::Ed25519, [Attribute::EcPoint(point)]) => PublicKey::ed25519_of_token(point),
            (Shape::Rsa, [Attribute::Modulus(n), Attribute::PublicExponent(e)]) => PublicKey::rsa(n, e),
            _ => None,
        };
        public.ok_or_else(strange)
    }
}

// keys.md §2.4
/// How a message is signed: by which mechanism, and over which bytes.
pub(super) fn signing(
    algorithm: Algorithm,
    message: &[u8],
) -> Result<(Mechanism<'static>, Vec<u8>), DeviceFault> {
    let hashed = |by| digest(by, message).as_ref().to_vec();
    Ok(match algorithm {
        // CKM_ECDSA is raw in every token; those with a hash are not in all.
        Algorithm::Es256 => (Mechanism::Ecdsa, hashed(&SHA256)),
        Algorithm::Es384 => (Mechanism::Ecdsa, hashed(&SHA384)),
        Algorithm::Es512 => (Mechanism::Ecdsa, hashed(&SHA512)),
        Algorithm::EdDsa | Algorithm::Ed25519 => {
            (Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)), message.to_vec())
        }
        Algorithm::Rs256 => (Mechanism::Sha256RsaPkcs, message.to_vec()),
        Algorithm::Rs384 => (Mechanism::Sha384RsaPkcs, message.to_vec()),
        Algorithm::Rs512 => (Mechanism::Sha512RsaPkcs, message.to_vec()),
        Algorithm::Ps256 => (Mechanism::Sha256RsaPkcsPss(pss(algorithm)), message.to_vec()),
        Algorithm::Ps384 => (Mechanism::Sha384RsaPkcsPss(pss(algorithm)), message.to_vec()),
        Algorithm::Ps512 => (Mechanism::Sha512RsaPkcsPss(pss(algorithm)), message.to_vec()),
        Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
            return Err(Shape::of(algorithm).err().unwrap_or(DeviceFault::KeyMissing));
        }
    })
}

// RFC 7518 §3.5: MGF1 with the same hash, and a salt as long as it.
fn pss(algorithm: Algorithm) -> PkcsPssParams {
    let (hash_alg, mgf, length) = match algorithm {
        Algorithm::Ps384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48_u64),
        Algorithm::Ps512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        _ => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
    };
    PkcsPssParams { hash_alg, mgf, s_len: length.into() }
}
