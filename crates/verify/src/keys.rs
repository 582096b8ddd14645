//! Key sets (RFC 7517 §5): which keys may verify, and why the others may not.
//!
//! For whoever holds a JWK Set. Parses each key once, at load; refuses a set in which an id means two keys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::signature::ParsedPublicKey;

use crate::algorithm::Algorithm;
use crate::compact::{Header, KnownHeaders};
use crate::encode;
use crate::json::{self, Checked, Fault, Value};
use crate::jwk::{Calendar, Jwk, KeyAlgorithm, Material, Purpose, UnusableReason};
use crate::leaf::{HASH_BYTES, sha256};
use crate::refusal::{Code, Refusal, shown_id};

/// The largest JWK Set that is read.
// token.md §4.1
pub const KEY_SET_BYTES_MAX: usize = 1024 * 1024;

/// The most keys in one set.
pub const KEYS_MAX: usize = 1024;

/// Characters of a thumbprint that make a key id.
pub const KEY_ID_CHARS: usize = 8;

/// A JWK Set, checked and parsed.
///
/// ```
/// let jwks = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA",
///     "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// let keys = farside_verify::KeySet::from_jwks(jwks).unwrap();
/// assert_eq!(keys.ids().collect::<Vec<_>>(), ["a"]);
/// ```
#[derive(Default)]
pub struct KeySet {
    usable: Vec<Key>,
    unusable: Vec<UnusableKey>,
    by_id: BTreeMap<String, Place>,
    known_headers: KnownHeaders,
}

#[derive(Clone, Copy)]
enum Place {
    Usable(usize),
    Unusable(usize),
}

/// A key of the set that is remembered but never used, so that refusals can say why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKey {
    /// The key's `kid`, where it has one.
    pub kid: Option<String>,
    /// Why it is not used.
    pub reason: UnusableReason,
}

pub(crate) struct Key {
    /// `kid`, or the first characters of the thumbprint where the set gives none.
    pub(crate) id: Arc<str>,
    pub(crate) algorithm: KeyAlgorithm,
    parsed: ParsedPublicKey,
    pub(crate) purpose: Purpose,
    pub(crate) calendar: Calendar,
}

/// Why a key set is refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySetError {
    /// More than [`KEY_SET_BYTES_MAX`] bytes.
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not one strict JSON object.
    NotJson {
        /// What is wrong with it.
        fault: String,
    },
    /// No member `keys` that is an array.
    NoKeys,
    /// An element of `keys` is not an object.
    NotAKey {
        /// Its place, from 0.
        index: usize,
    },
    /// More than [`KEYS_MAX`] keys.
    TooManyKeys,
    /// Two keys share an id.
    SharedId {
        /// The id, or a stand-in where it is not fit to print.
        kid: String,
    },
    /// A single key that was asked about is not usable.
    Unusable {
        /// Why.
        reason: UnusableReason,
    },
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySetError::TooLarge { bytes } => {
                write!(f, "the key set has {bytes} bytes; at most {KEY_SET_BYTES_MAX} are read")
            }
            KeySetError::NotJson { fault } => write!(f, "the key set {fault}"),
            KeySetError::NoKeys => f.write_str("the key set has no array `keys`"),
            KeySetError::NotAKey { index } => write!(f, "element {index} of `keys` is not an object"),
            KeySetError::TooManyKeys => write!(f, "the key set has more than {KEYS_MAX} keys"),
            KeySetError::SharedId { kid } => write!(f, "two keys of the set share the id {kid}"),
            KeySetError::Unusable { reason } => write!(f, "the key cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for KeySetError {}

impl From<KeySetError> for Refusal {
    fn from(error: KeySetError) -> Self {
        Refusal::because(Code::KeysInvalid, error.to_string())
    }
}

impl From<Fault> for KeySetError {
    fn from(fault: Fault) -> Self {
        KeySetError::NotJson { fault: fault.to_string() }
    }
}

/// The thumbprint of one JWK (RFC 7638; `AKP` keys after RFC 9964): SHA-256 of its public members.
/// Private members are not looked at; whether the key is any good is for [`KeySet::from_jwks`] to say.
pub fn thumbprint(jwk: &[u8]) -> Result<[u8; 32], KeySetError> {
    let mut key = Jwk::default();
    read_bounded(jwk, |name, value| key.take(name, value))?;
    let unusable = |reason| KeySetError::Unusable { reason };
    let input = key.thumbprint_input().map_err(unusable)?;
    Ok(sha256(&[input.as_bytes()]))
}

/// The id that Farside gives a key: the first [`KEY_ID_CHARS`] characters of its thumbprint in base64url.
// token.md §4.2
pub fn key_id(thumbprint: &[u8; 32]) -> String {
    let mut id = encode::base64url(thumbprint);
    id.truncate(KEY_ID_CHARS);
    id
}

impl KeySet {
    /// Reads a JWK Set. Keys that cannot be used are remembered, not refused; unknown `kty`s are ignored.
    // token.md §4.1
    pub fn from_jwks(jwks: &[u8]) -> Result<Self, KeySetError> {
        let mut keys = None;
        read_bounded(jwks, |name, value| {
            if name.is("keys") {
                keys = Some(value);
            }
        })?;
        let Some(Value::Array(keys)) = keys else { return Err(KeySetError::NoKeys) };
        let mut set = KeySet::default();
        for (index, key) in keys.elements().enumerate() {
            if index == KEYS_MAX {
                return Err(KeySetError::TooManyKeys);
            }
            let Value::Object(key) = key else { return Err(KeySetError::NotAKey { index }) };
            set.take(key)?;
        }
        Ok(set)
    }

    /// The ids of the usable keys, in the order of the set.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.usable.iter().map(|key| &*key.id)
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.usable.len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.usable.is_empty()
    }

    /// The keys that are never used, each with its reason.
    pub fn unusable(&self) -> &[UnusableKey] {
        &self.unusable
    }

    fn take(&mut self, object: Checked<'_>) -> Result<(), KeySetError> {
        let jwk = Jwk::of(object);
        if !jwk.is_of_known_type() {
            return Ok(()); // RFC 7517 §5
        }
        let (kid, material) = match jwk.id() {
            Ok(kid) => (kid.map(|kid| kid.decoded().into_owned()), jwk.material()),
            Err(reason) => (None, Err(reason)),
        };
        let place = match material {
            Ok(material) => {
                if let (Some(kid), KeyAlgorithm::Exactly(algorithm)) = (&kid, material.algorithm) {
                    self.known_headers.foresee(algorithm, kid);
                }
                self.usable.push(Key::new(kid.as_deref(), &jwk, material));
                Place::Usable(self.usable.len() - 1)
            }
            Err(reason) => {
                self.unusable.push(UnusableKey { kid: kid.clone(), reason });
                Place::Unusable(self.unusable.len() - 1)
            }
        };
        match kid {
            None => Ok(()),
            Some(kid) if self.by_id.contains_key(&kid) => {
                Err(KeySetError::SharedId { kid: shown_id(&kid).into_owned() })
            }
            Some(kid) => {
                self.by_id.insert(kid, place);
                Ok(())
            }
        }
    }

    pub(crate) fn known_headers(&self) -> &KnownHeaders {
        &self.known_headers
    }

    /// The one key that may have signed under this header.
    // token.md §4.8
    pub(crate) fn select(&self, header: &Header<'_>) -> Result<&Key, Refusal> {
        let Some(kid) = header.key_id else { return self.only_key_for(header.algorithm) };
        let kid = kid.decoded();
        let key = match self.by_id.get(&*kid) {
            None => return Err(self.unknown(&kid)),
            Some(Place::Unusable(index)) => return Err(unusable(&self.unusable[*index])),
            Some(Place::Usable(index)) => &self.usable[*index],
        };
        if key.algorithm.answers_to(header.algorithm) {
            Ok(key)
        } else {
            let detail = format!("the header says {}; key {} does not", header.algorithm, shown_id(&kid));
            Err(Refusal::because(Code::AlgMismatch, detail))
        }
    }

    fn only_key_for(&self, algorithm: Algorithm) -> Result<&Key, Refusal> {
        let mut fitting = self.usable.iter().filter(|key| key.algorithm.answers_to(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => {
                let detail = format!("the header has no `kid`; several keys are for {algorithm}");
                Err(Refusal::because(Code::KeyAmbiguous, detail))
            }
            (None, _) if !self.usable.is_empty() => {
                let detail = format!("the header has no `kid`; no key is for {algorithm}");
                Err(Refusal::because(Code::AlgMismatch, detail))
            }
            (None, _) => Err(match self.unusable.first() {
                Some(key) => unusable(key),
                None => Refusal::because(Code::KeyUnknown, "the key set is empty"),
            }),
        }
    }

    fn unknown(&self, kid: &str) -> Refusal {
        let detail = format!("key {} is not among the {} of this set", shown_id(kid), self.len());
        Refusal::because(Code::KeyUnknown, detail)
    }
}

impl Key {
    fn new(kid: Option<&str>, jwk: &Jwk<'_>, material: Material) -> Self {
        let Material { algorithm, parsed, purpose, calendar } = material;
        let thumbprint_id =
            || jwk.thumbprint_input().map(|input| key_id(&sha256(&[input.as_bytes()]))).unwrap_or_default();
        let id = kid.map_or_else(thumbprint_id, str::to_owned).into();
        Key { id, algorithm, parsed, purpose, calendar }
    }

    /// What is known of `message` once `signature` proved to be this key's over it, by an algorithm that the
    /// key answers to; `None` where it did not.
    pub(crate) fn signed(&self, message: &[u8], algorithm: Algorithm, signature: &[u8]) -> Option<Signed> {
        signed(&self.parsed, message, algorithm, signature)
    }
}

/// [`Key::signed`], of a key that belongs to no set.
pub(crate) fn signed(
    key: &ParsedPublicKey,
    message: &[u8],
    algorithm: Algorithm,
    signature: &[u8],
) -> Option<Signed> {
    let Some(hash) = algorithm.ecdsa_hash() else {
        key.verify_sig(message, signature).ok()?;
        return Some(Signed { sha256: None });
    };
    let digest = digest::digest(hash, message);
    key.verify_digest_sig(&digest, signature).ok()?;
    // A digest of another hash has another length.
    Some(Signed { sha256: digest.as_ref().try_into().ok() })
}

/// That a signature holds.
pub(crate) struct Signed {
    /// SHA-256 of the message, where the check needed it.
    pub(crate) sha256: Option<[u8; HASH_BYTES]>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("ids", &self.ids().collect::<Vec<_>>())
            .field("unusable", &self.unusable)
            .finish()
    }
}

fn read_bounded<'a>(
    json: &'a [u8],
    visit: impl FnMut(crate::strings::Str<'a>, Value<'a>),
) -> Result<(), KeySetError> {
    if json.len() > KEY_SET_BYTES_MAX {
        return Err(KeySetError::TooLarge { bytes: json.len() });
    }
    Ok(json::read_object_bytes(json, visit)?)
}

fn unusable(key: &UnusableKey) -> Refusal {
    let id = shown_id(key.kid.as_deref().unwrap_or("without id")).into_owned();
    Refusal::because(Code::KeyUnusable, format!("key {id}: {}", key.reason))
}
