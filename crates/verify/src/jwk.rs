//! One JSON Web Key (RFC 7517) to one key that can verify, or the reason why it cannot.
//!
//! The algorithm is settled here, once, from the key; weak, incomplete and misdirected keys stop here.

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;

use crate::algorithm::Algorithm;
use crate::edwards::{self, PointFault};
use crate::encode;
use crate::json::{Checked, Value};
use crate::strings::Str;

/// Smallest and largest RSA modulus.
// token.md §4.4
const RSA_MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Largest RSA public exponent, which bounds the work of one verification.
const RSA_EXPONENT_BITS_MAX: usize = 33;

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusableReason {
    /// `kty` is missing or of a kind that verifies nothing here (`oct` included).
    KeyType,
    /// A member of the key is missing, of the wrong type or not strictly spelled.
    Malformed,
    /// The key does not say its algorithm and its type leaves a choice.
    AlgorithmMissing,
    /// `alg` or `crv` is unknown or does not fit the key's type.
    Algorithm,
    /// `use` is not `sig` (nor `jwt-svid`).
    Use,
    /// `key_ops` does not list `verify`, repeats itself or contradicts `use`.
    KeyOps,
    /// An RSA modulus outside 2,048 to 8,192 bits, or an even modulus or exponent, or an exponent of 1.
    WeakRsa,
    /// A point that is not on its curve or not canonically encoded.
    Point,
    /// An Ed25519 point of small order: signatures fit it that nobody made.
    SmallOrder,
}

impl UnusableReason {
    /// The reason in one clause.
    pub const fn sentence(self) -> &'static str {
        match self {
            UnusableReason::KeyType => "its `kty` is not one that verifies tokens",
            UnusableReason::Malformed => "a member is missing or not spelled as its RFC demands",
            UnusableReason::AlgorithmMissing => "it has no `alg`, and its type leaves a choice",
            UnusableReason::Algorithm => "its `alg` or `crv` is unknown or does not fit its type",
            UnusableReason::Use => "its `use` is not for signatures",
            UnusableReason::KeyOps => "its `key_ops` do not allow verifying",
            UnusableReason::WeakRsa => "its modulus or exponent is too weak or too large",
            UnusableReason::Point => "its point is not on the curve or not canonical",
            UnusableReason::SmallOrder => "its point is of small order",
        }
    }
}

impl fmt::Display for UnusableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// A key that has passed every check, parsed for its algorithm.
pub(crate) struct Material {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) parsed: ParsedPublicKey,
    pub(crate) purpose: Purpose,
    pub(crate) calendar: Calendar,
}

/// Which names of `alg` a key answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyAlgorithm {
    Exactly(Algorithm),
    /// Ed25519 without `alg`: one algorithm with two registered names (RFC 8037, RFC 9864).
    EitherEdName,
}

impl KeyAlgorithm {
    // token.md §4.3
    pub(crate) fn answers_to(self, header: Algorithm) -> bool {
        match self {
            KeyAlgorithm::Exactly(algorithm) => header == algorithm,
            KeyAlgorithm::EitherEdName => matches!(header, Algorithm::EdDsa | Algorithm::Ed25519),
        }
    }
}

/// What a key was published for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    AnyToken,
    /// `use: jwt-svid`: SPIFFE documents only.
    JwtSvid,
}

/// The periods of a key, Unix seconds (token.md §4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) sign_from: Option<u64>,
    pub(crate) sign_until: Option<u64>,
    pub(crate) accept_until: Option<u64>,
}

/// The members of a JWK that mean something here.
#[derive(Default)]
pub(crate) struct Jwk<'a> {
    kty: Option<Value<'a>>,
    kid: Option<Value<'a>>,
    alg: Option<Value<'a>>,
    key_use: Option<Value<'a>>,
    key_ops: Option<Value<'a>>,
    crv: Option<Value<'a>>,
    x: Option<Value<'a>>,
    y: Option<Value<'a>>,
    n: Option<Value<'a>>,
    e: Option<Value<'a>>,
    public: Option<Value<'a>>,
    sign_from: Option<Value<'a>>,
    sign_until: Option<Value<'a>>,
    accept_until: Option<Value<'a>>,
    /// A member that only private and symmetric keys have.
    private: bool,
}

impl<'a> Jwk<'a> {
    pub(crate) fn of(object: Checked<'a>) -> Self {
        let mut jwk = Jwk::default();
        object.members(|name, value| jwk.take(name, value));
        jwk
    }

    pub(crate) fn take(&mut self, name: Str<'a>, value: Value<'a>) {
        let slot = match &*name.decoded() {
            "kty" => &mut self.kty,
            "kid" => &mut self.kid,
            "alg" => &mut self.alg,
            "use" => &mut self.key_use,
            "key_ops" => &mut self.key_ops,
            "crv" => &mut self.crv,
            "x" => &mut self.x,
            "y" => &mut self.y,
            "n" => &mut self.n,
            "e" => &mut self.e,
            "pub" => &mut self.public,
            "sign_from" => &mut self.sign_from,
            "sign_until" => &mut self.sign_until,
            "accept_until" => &mut self.accept_until,
            // RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2; RFC 9964 §3
            "d" | "p" | "q" | "dp" | "dq" | "qi" | "oth" | "k" | "priv" => {
                self.private = true;
                return;
            }
            _ => return,
        };
        *slot = Some(value);
    }

    /// The key's id, where it has one.
    pub(crate) fn id(&self) -> Result<Option<Str<'a>>, UnusableReason> {
        optional_string(self.kid)
    }

    /// Whether `kty` is one that RFC 7518, 8037 or 9964 defines; sets may hold others, which are ignored.
    pub(crate) fn is_of_known_type(&self) -> bool {
        match self.kty {
            Some(Value::String(kty)) => matches!(&*kty.decoded(), "EC" | "RSA" | "OKP" | "AKP" | "oct"),
            _ => true,
        }
    }

    /// Whether the key brings more along than its public half.
    pub(crate) fn has_private_members(&self) -> bool {
        self.private
    }

    /// Checks everything about the key and parses it for its algorithm.
    pub(crate) fn material(&self) -> Result<Material, UnusableReason> {
        self.material_or(None)
    }

    /// [`material`](Self::material), for `algorithm` where the key does not name its own.
    pub(crate) fn material_for(&self, algorithm: Algorithm) -> Result<Material, UnusableReason> {
        self.material_or(Some(algorithm))
    }

    fn material_or(&self, otherwise: Option<Algorithm>) -> Result<Material, UnusableReason> {
        let purpose = self.purpose()?;
        let named = || Ok(self.named_algorithm()?.or(otherwise));
        let (algorithm, parsed) = match &*string(self.kty).map_err(|_| UnusableReason::KeyType)?.decoded() {
            "EC" => self.elliptic(named()?)?,
            "OKP" => self.edwards(named()?)?,
            "RSA" => self.rsa(named()?)?,
            "AKP" => self.module_lattice(named()?)?,
            _ => return Err(UnusableReason::KeyType),
        };
        Ok(Material { algorithm, parsed, purpose, calendar: self.calendar()? })
    }

    /// The public members of the key in the order and spelling of RFC 7638 §3.2 and RFC 9964.
    pub(crate) fn thumbprint_input(&self) -> Result<String, UnusableReason> {
        let kty = string(self.kty).map_err(|_| UnusableReason::KeyType)?.decoded();
        let members: &[(&str, Option<Value<'a>>)] = match &*kty {
            "EC" => &[("crv", self.crv), ("kty", self.kty), ("x", self.x), ("y", self.y)],
            "OKP" => &[("crv", self.crv), ("kty", self.kty), ("x", self.x)],
            "RSA" => &[("e", self.e), ("kty", self.kty), ("n", self.n)],
            "AKP" => &[("alg", self.alg), ("kty", self.kty), ("pub", self.public)],
            _ => return Err(UnusableReason::KeyType),
        };
        let mut out = String::new();
        for (name, value) in members {
            out.push(if out.is_empty() { '{' } else { ',' });
            encode::json_string(&mut out, name);
            out.push(':');
            encode::json_string(&mut out, &string(*value)?.decoded());
        }
        out.push('}');
        Ok(out)
    }

    fn named_algorithm(&self) -> Result<Option<Algorithm>, UnusableReason> {
        let Some(name) = optional_string(self.alg)? else { return Ok(None) };
        Algorithm::from_name(&name.decoded()).map(Some).ok_or(UnusableReason::Algorithm)
    }

    // token.md §4.6
    fn purpose(&self) -> Result<Purpose, UnusableReason> {
        let purpose = match optional_string(self.key_use).map_err(|_| UnusableReason::Use)? {
            None => Purpose::AnyToken,
            Some(name) if name.is("sig") => Purpose::AnyToken,
            Some(name) if name.is("jwt-svid") => Purpose::JwtSvid,
            Some(_) => return Err(UnusableReason::Use),
        };
        match self.key_ops {
            None => Ok(purpose),
            Some(Value::Array(operations)) if self.allows_verifying(operations) => Ok(purpose),
            Some(_) => Err(UnusableReason::KeyOps),
        }
    }

    // RFC 7517 §4.3: strings, none twice, consistent with `use`.
    fn allows_verifying(&self, operations: Checked<'a>) -> bool {
        let is_string = |value| matches!(value, Value::String(_));
        if !operations.elements().all(is_string) {
            return false;
        }
        let names: Vec<_> = crate::json::strings(operations).collect();
        let unique = names.iter().enumerate().all(|(i, name)| !names[..i].contains(name));
        let signing = |name: &std::borrow::Cow<'_, str>| *name == "sign" || *name == "verify";
        let consistent = self.key_use.is_none() || names.iter().all(signing);
        unique && consistent && names.iter().any(|name| *name == "verify")
    }

    fn calendar(&self) -> Result<Calendar, UnusableReason> {
        let seconds = |value: Option<Value<'a>>| match value {
            None => Ok(None),
            Some(Value::Number(number)) => number.parse().map(Some).map_err(|_| UnusableReason::Malformed),
            Some(_) => Err(UnusableReason::Malformed),
        };
        Ok(Calendar {
            sign_from: seconds(self.sign_from)?,
            sign_until: seconds(self.sign_until)?,
            accept_until: seconds(self.accept_until)?,
        })
    }

    // RFC 7518 §6.2.1: coordinates at full length. The curve leaves one algorithm (§3.4).
    fn elliptic(&self, alg: Option<Algorithm>) -> Result<(KeyAlgorithm, ParsedPublicKey), UnusableReason> {
        let (algorithm, coordinate_bytes) = match &*string(self.crv)?.decoded() {
            "P-256" => (Algorithm::Es256, 32),
            "P-384" => (Algorithm::Es384, 48),
            "P-521" => (Algorithm::Es512, 66),
            _ => return Err(UnusableReason::Algorithm),
        };
        if alg.is_some_and(|alg| alg != algorithm) {
            return Err(UnusableReason::Algorithm);
        }
        let (x, y) = (binary(self.x)?, binary(self.y)?);
        if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
            return Err(UnusableReason::Malformed);
        }
        const UNCOMPRESSED: u8 = 4;
        let point = [&[UNCOMPRESSED], x.as_slice(), &y].concat();
        parsed(KeyAlgorithm::Exactly(algorithm), algorithm, &point, UnusableReason::Point)
    }

    // RFC 8037 §2, Ed25519 alone: X25519 does not sign, Ed448 is not offered by the provider.
    fn edwards(&self, alg: Option<Algorithm>) -> Result<(KeyAlgorithm, ParsedPublicKey), UnusableReason> {
        if !string(self.crv)?.is("Ed25519") {
            return Err(UnusableReason::Algorithm);
        }
        let algorithm = match alg {
            None => KeyAlgorithm::EitherEdName,
            Some(alg @ (Algorithm::EdDsa | Algorithm::Ed25519)) => KeyAlgorithm::Exactly(alg),
            Some(_) => return Err(UnusableReason::Algorithm),
        };
        let x = binary(self.x)?;
        let encoded = x.as_slice().try_into().map_err(|_| UnusableReason::Malformed)?;
        edwards::check(encoded).map_err(|fault| match fault {
            PointFault::SmallOrder => UnusableReason::SmallOrder,
            PointFault::NotCanonical | PointFault::OffCurve => UnusableReason::Point,
        })?;
        parsed(algorithm, Algorithm::Ed25519, &x, UnusableReason::Point)
    }

    // RFC 7518 §6.3.1
    fn rsa(&self, alg: Option<Algorithm>) -> Result<(KeyAlgorithm, ParsedPublicKey), UnusableReason> {
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let algorithm = match alg.ok_or(UnusableReason::AlgorithmMissing)? {
            alg @ (Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512) => alg,
            _ => return Err(UnusableReason::Algorithm),
        };
        let (n, e) = (unsigned(self.n)?, unsigned(self.e)?);
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let strong = RSA_MODULUS_BITS.contains(&bits(&n)) && odd(&n);
        let exponent = odd(&e) && e != [1] && bits(&e) <= RSA_EXPONENT_BITS_MAX;
        if !strong || !exponent {
            return Err(UnusableReason::WeakRsa);
        }
        parsed(KeyAlgorithm::Exactly(algorithm), algorithm, &rsa_der(&n, &e), UnusableReason::WeakRsa)
    }

    // RFC 9964: `alg` and `pub`.
    fn module_lattice(
        &self,
        alg: Option<Algorithm>,
    ) -> Result<(KeyAlgorithm, ParsedPublicKey), UnusableReason> {
        let algorithm = alg.ok_or(UnusableReason::AlgorithmMissing)?;
        let public_key_bytes = match algorithm {
            Algorithm::MlDsa44 => 1312,
            Algorithm::MlDsa65 => 1952,
            Algorithm::MlDsa87 => 2592,
            _ => return Err(UnusableReason::Algorithm),
        };
        let public = binary(self.public)?;
        if public.len() != public_key_bytes {
            return Err(UnusableReason::Malformed);
        }
        parsed(KeyAlgorithm::Exactly(algorithm), algorithm, &public, UnusableReason::Malformed)
    }
}

fn parsed(
    answers_to: KeyAlgorithm,
    algorithm: Algorithm,
    bytes: &[u8],
    otherwise: UnusableReason,
) -> Result<(KeyAlgorithm, ParsedPublicKey), UnusableReason> {
    let parsed = ParsedPublicKey::new(algorithm.verification(), bytes).map_err(|_| otherwise)?;
    Ok((answers_to, parsed))
}

fn optional_string(value: Option<Value<'_>>) -> Result<Option<Str<'_>>, UnusableReason> {
    value.map(|value| string(Some(value))).transpose()
}

fn string(value: Option<Value<'_>>) -> Result<Str<'_>, UnusableReason> {
    match value {
        Some(Value::String(string)) => Ok(string),
        _ => Err(UnusableReason::Malformed),
    }
}

fn binary(value: Option<Value<'_>>) -> Result<Vec<u8>, UnusableReason> {
    encode::base64url_decode(string(value)?.decoded().as_bytes()).ok_or(UnusableReason::Malformed)
}

// RFC 7518 §2, Base64urlUInt: as few octets as the number needs; zero is of no use in a key.
fn unsigned(value: Option<Value<'_>>) -> Result<Vec<u8>, UnusableReason> {
    let number = binary(value)?;
    if number.first().is_some_and(|&byte| byte != 0) { Ok(number) } else { Err(UnusableReason::Malformed) }
}

fn bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - leading
}

// RFC 8017 §A.1.1: RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }
fn rsa_der(n: &[u8], e: &[u8]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
        der(INTEGER, &[sign, number].concat())
    };
    der(SEQUENCE, &[integer(n), integer(e)].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = match len {
        0..=0x7f => vec![tag, len as u8],
        0x80..=0xff => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    out.extend_from_slice(content);
    out
}
