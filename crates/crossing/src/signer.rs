//! A signer is a pair of keys under one name, Ed25519 and ML-DSA, and signs only with both. Here stand its
//! public half, its text form for files and eyes, and the trait by which whoever holds the private half
//! signs.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, ML_DSA_44, ML_DSA_65, ML_DSA_87, ParsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::Digest;
use crate::note::{Note, SignatureLine};
use crate::refusal::{Code, Refusal};
use crate::text::{NAME_BYTES_MAX, base64_decode, base64_encode, check_name};
use crate::verifier_key::VerifierKey;

/// Longest text form of a signer: an ML-DSA-87 key in base64 with the rest.
const SIGNER_LINE_BYTES_MAX: usize = 4 << 10;

/// C2SP signature type of Ed25519.
pub(crate) const TYPE_ED25519: &[u8] = &[0x01];

/// Whoever can sign as one signer: a key file opened by its passphrase, a token over PKCS#11, a test.
pub trait Signer {
    /// The public half: what the charter names.
    fn public(&self) -> &SignerPublic;

    /// Signs `message` with both keys: Ed25519 (RFC 8032) and pure ML-DSA (FIPS 204) with an empty context.
    ///
    /// # Errors
    /// [`SignFailed`] says why, and never what the key is.
    fn sign(&self, message: &[u8]) -> Result<PairSignature, SignFailed>;
}

/// One signature by a signer: both halves over the same message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairSignature {
    /// Ed25519, 64 bytes.
    pub ed25519: [u8; 64],
    /// ML-DSA at the signer's level.
    pub ml_dsa: Vec<u8>,
}

/// The holder of a private key could not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signing failed: {0}")]
pub struct SignFailed(
    /// Why, for a person; never key material.
    pub String,
);

/// The ML-DSA parameter sets (FIPS 204).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MlDsaLevel {
    /// ML-DSA-44: for the online role only.
    MlDsa44,
    /// ML-DSA-65: the default.
    MlDsa65,
    /// ML-DSA-87: the CNSA 2.0 profile.
    MlDsa87,
}

impl MlDsaLevel {
    /// The name in text forms.
    pub fn name(self) -> &'static str {
        match self {
            MlDsaLevel::MlDsa44 => "ml-dsa-44",
            MlDsaLevel::MlDsa65 => "ml-dsa-65",
            MlDsaLevel::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Reads [`Self::name`].
    pub fn from_name(name: &str) -> Option<MlDsaLevel> {
        [MlDsaLevel::MlDsa44, MlDsaLevel::MlDsa65, MlDsaLevel::MlDsa87].into_iter().find(|l| l.name() == name)
    }

    /// bundle.md §3.3: 0xff and an identifier of our own, as C2SP recommends for unassigned types.
    fn note_type(self) -> &'static [u8] {
        match self {
            MlDsaLevel::MlDsa44 => b"\xfffarside/ml-dsa-44",
            MlDsaLevel::MlDsa65 => b"\xfffarside/ml-dsa-65",
            MlDsaLevel::MlDsa87 => b"\xfffarside/ml-dsa-87",
        }
    }

    fn parse_key(self, key: &[u8]) -> Option<ParsedPublicKey> {
        match self {
            MlDsaLevel::MlDsa44 => ParsedPublicKey::new(&ML_DSA_44, key),
            MlDsaLevel::MlDsa65 => ParsedPublicKey::new(&ML_DSA_65, key),
            MlDsaLevel::MlDsa87 => ParsedPublicKey::new(&ML_DSA_87, key),
        }
        .ok()
    }
}

/// The public half of a signer. Both keys have been parsed, so one that exists can verify.
#[derive(Clone)]
pub struct SignerPublic {
    name: String,
    ed25519: [u8; 32],
    level: MlDsaLevel,
    ml_dsa: Vec<u8>,
    ed25519_parsed: ParsedPublicKey,
    ml_dsa_parsed: ParsedPublicKey,
}

impl SignerPublic {
    /// Takes a name and two public keys.
    ///
    /// # Errors
    /// `malformed` where the name is not one a note may carry or a key does not parse.
    pub fn new(
        name: &str,
        ed25519: [u8; 32],
        level: MlDsaLevel,
        ml_dsa: &[u8],
    ) -> Result<SignerPublic, Refusal> {
        check_signer_name(name)?;
        let unusable = |which: &str| Refusal::new(Code::Malformed, format!("signer {name}: {which} key"));
        let ed25519_parsed = parse_ed25519(&ed25519).ok_or_else(|| unusable("the Ed25519"))?;
        let ml_dsa_parsed = level.parse_key(ml_dsa).ok_or_else(|| unusable("the ML-DSA"))?;
        Ok(SignerPublic {
            name: name.to_owned(),
            ed25519,
            level,
            ml_dsa: ml_dsa.to_vec(),
            ed25519_parsed,
            ml_dsa_parsed,
        })
    }

    /// The name on its signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 public key.
    pub fn ed25519(&self) -> &[u8; 32] {
        &self.ed25519
    }

    /// Which ML-DSA the other key is for.
    pub fn level(&self) -> MlDsaLevel {
        self.level
    }

    /// The ML-DSA public key.
    pub fn ml_dsa(&self) -> &[u8] {
        &self.ml_dsa
    }

    /// Whether both halves of `pair` hold for `message`.
    pub fn verifies(&self, message: &[u8], pair: &PairSignature) -> bool {
        self.verifies_ed25519(message, &pair.ed25519) && self.verifies_ml_dsa(message, &pair.ml_dsa)
    }

    /// Whether either key is also one of `other`'s.
    pub fn shares_key_with(&self, other: &SignerPublic) -> bool {
        self.ed25519 == other.ed25519 || self.ml_dsa == other.ml_dsa
    }

    pub(crate) fn verifies_ed25519(&self, message: &[u8], signature: &[u8]) -> bool {
        self.ed25519_parsed.verify_sig(message, signature).is_ok()
    }

    pub(crate) fn verifies_ml_dsa(&self, message: &[u8], signature: &[u8]) -> bool {
        self.ml_dsa_parsed.verify_sig(message, signature).is_ok()
    }

    /// bundle.md §3.2 and §3.3: the C2SP key ids of the Ed25519 and the ML-DSA key.
    pub(crate) fn key_ids(&self) -> ([u8; 4], [u8; 4]) {
        (
            key_id(&self.name, TYPE_ED25519, &self.ed25519),
            key_id(&self.name, self.level.note_type(), &self.ml_dsa),
        )
    }
}

impl fmt::Display for SignerPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ed25519, ml_dsa) = (base64_encode(&self.ed25519), base64_encode(&self.ml_dsa));
        write!(f, "farside-signer/1 {} {ed25519} {} {ml_dsa}", self.name, self.level.name())
    }
}

impl fmt::Debug for SignerPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerPublic({} {})", self.name, self.level.name())
    }
}

impl PartialEq for SignerPublic {
    fn eq(&self, other: &SignerPublic) -> bool {
        (&self.name, &self.ed25519, self.level, &self.ml_dsa)
            == (&other.name, &other.ed25519, other.level, &other.ml_dsa)
    }
}

impl Eq for SignerPublic {}

impl FromStr for SignerPublic {
    type Err = Refusal;

    /// bundle.md §3.1: `farside-signer/1 <name> <ed25519> <level> <ml-dsa>`.
    fn from_str(line: &str) -> Result<SignerPublic, Refusal> {
        let malformed = || Refusal::new(Code::Malformed, "not a signer's line");
        if line.len() > SIGNER_LINE_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "a signer's line"));
        }
        let words: Vec<&str> = line.strip_suffix('\n').unwrap_or(line).split(' ').collect();
        let ["farside-signer/1", name, ed25519, level, ml_dsa] = words[..] else {
            return Err(malformed());
        };
        let ed25519 = base64_decode(ed25519).and_then(|key| key.try_into().ok()).ok_or_else(malformed)?;
        let level = MlDsaLevel::from_name(level).ok_or_else(malformed)?;
        SignerPublic::new(name, ed25519, level, &base64_decode(ml_dsa).ok_or_else(malformed)?)
    }
}

impl Serialize for SignerPublic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignerPublic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SignerPublic, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The key of a log: Ed25519 alone, as C2SP checkpoints are signed. Text form is the C2SP verifier key.
#[derive(Clone, PartialEq, Eq)]
pub struct LogKey(VerifierKey);

impl LogKey {
    /// Takes a name and an Ed25519 public key.
    ///
    /// # Errors
    /// `malformed` where either is unusable.
    pub fn new(name: &str, ed25519: [u8; 32]) -> Result<LogKey, Refusal> {
        VerifierKey::new(name, TYPE_ED25519, ed25519).map(LogKey)
    }

    /// The log's name: what the origins of its shards begin with.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The origin of one shard's checkpoints: each shard is a log of its own.
    // log.md §5.1
    pub fn origin(&self, shard: &str) -> String {
        format!("{}/{shard}", self.name())
    }

    /// This key under a shard's origin: what tile clients and witnesses take as the shard's verifier key.
    ///
    /// # Errors
    /// `malformed`: the shard has no name.
    pub fn of_shard(&self, shard: &str) -> Result<LogKey, Refusal> {
        check_name("log shard", shard)?;
        Ok(LogKey(self.0.renamed(self.origin(shard))))
    }

    /// The public key.
    pub fn ed25519(&self) -> &[u8; 32] {
        self.0.ed25519()
    }

    /// The text of a checkpoint note, if this log has signed it.
    ///
    /// # Errors
    /// `signature_invalid` where its signature does not hold, `threshold_unmet` where there is none.
    pub fn verify<'n>(&self, note: &Note<'n>) -> Result<&'n str, Refusal> {
        self.believed(note).map(|_| note.text())
    }

    /// This log's signature on a note, if it is there and holds.
    pub fn signature_on(&self, note: &Note<'_>) -> Option<[u8; 64]> {
        self.believed(note).ok()?.signature.as_slice().try_into().ok()
    }

    pub(crate) fn key_id(&self) -> [u8; 4] {
        self.0.key_id()
    }

    fn believed<'n, 'b>(&self, note: &'n Note<'b>) -> Result<&'n SignatureLine<'b>, Refusal> {
        let name = self.name();
        let line = self
            .0
            .line_of(note)
            .ok_or_else(|| Refusal::new(Code::ThresholdUnmet, format!("log {name} has not signed")))?;
        let holds = self.0.verifies(note.text().as_bytes(), &line.signature);
        if holds { Ok(line) } else { Err(Refusal::new(Code::SignatureInvalid, format!("log {name}"))) }
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.name())
    }
}

impl FromStr for LogKey {
    type Err = Refusal;

    fn from_str(line: &str) -> Result<LogKey, Refusal> {
        VerifierKey::read(line, TYPE_ED25519).map(LogKey)
    }
}

impl Serialize for LogKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LogKey, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// C2SP: the first four bytes of SHA-256(name ‖ newline ‖ type ‖ public key).
pub(crate) fn key_id(name: &str, note_type: &[u8], key: &[u8]) -> [u8; 4] {
    let whole = Digest::of(&[name.as_bytes(), b"\n", note_type, key].concat());
    let [a, b, c, d, ..] = *whole.as_bytes();
    [a, b, c, d]
}

pub(crate) fn parse_ed25519(key: &[u8; 32]) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(&ED25519, key).ok()
}

/// bundle.md §3.4: a signer's name is printable ASCII without space and plus, at most 64 bytes.
pub(crate) fn check_signer_name(name: &str) -> Result<(), Refusal> {
    let legal = |b: u8| b.is_ascii_graphic() && b != b'+';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        return Err(Refusal::new(Code::Malformed, "a signer's name"));
    }
    Ok(())
}
