//! What a witness says of a checkpoint (c2sp.org/tlog-cosignature, Ed25519): at this time it was the newest
//! head that it had seen of this log, and every head before it was its beginning.
//!
//! ```text
//! cosignature/v1\n
//! time <Unix seconds>\n            what is signed: these two lines and the checkpoint's text
//! <checkpoint text>
//!
//! — <witness> <base64 of key id, time u64 big-endian, Ed25519 signature>
//! ```
//!
//! For the mint, which asks and passes on, and whoever audits. Refuses a line of a known witness that does
//! not hold, and ignores those of witnesses that nobody named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use crate::note::{self, Note, SignatureLine};
use crate::refusal::{Code, Refusal};
use crate::verifier_key::VerifierKey;

/// C2SP signature type of an Ed25519 cosignature.
const TYPE_COSIGNATURE: &[u8] = &[0x04];

/// Largest time that a cosignature may bear.
const TIME_MAX: u64 = (1 << 63) - 1;

/// The public key of a witness. Text form is the C2SP verifier key.
#[derive(Clone)]
pub struct WitnessKey(VerifierKey);

impl WitnessKey {
    /// Takes a name and an Ed25519 public key.
    ///
    /// # Errors
    /// `malformed` where either is unusable.
    pub fn new(name: &str, ed25519: [u8; 32]) -> Result<WitnessKey, Refusal> {
        VerifierKey::new(name, TYPE_COSIGNATURE, ed25519).map(WitnessKey)
    }

    /// The witness's name: what its lines begin with.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// When this witness has cosigned the checkpoint; `None` if it has not.
    ///
    /// # Errors
    /// `signature_invalid`: a line of its own does not hold.
    // log.md §5.3
    pub fn cosigned_at(&self, note: &Note<'_>) -> Result<Option<u64>, Refusal> {
        self.0.line_of(note).map(|line| self.time_of(line, note.text())).transpose()
    }

    fn time_of(&self, line: &SignatureLine<'_>, text: &str) -> Result<u64, Refusal> {
        let invalid = || Refusal::new(Code::SignatureInvalid, format!("witness {}", self.name()));
        let (time, signature) = line.signature.split_first_chunk::<8>().ok_or_else(invalid)?;
        let time = u64::from_be_bytes(*time);
        let holds = self.0.verifies(message(time, text).as_bytes(), signature);
        if holds && time <= TIME_MAX { Ok(time) } else { Err(invalid()) }
    }
}

/// What a witness signs.
pub fn message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// The checkpoint note with what `witness` answered: its own line is added, all others are left away.
///
/// # Errors
/// `malformed`: the answer holds no signature lines; `threshold_unmet`: none of this witness;
/// `signature_invalid`: its line does not hold for this checkpoint.
// log.md §5.3
pub fn add(checkpoint: &[u8], answer: &[u8], witness: &WitnessKey) -> Result<Vec<u8>, Refusal> {
    let note = Note::parse(checkpoint)?;
    let answered = [note.text().as_bytes(), b"\n", answer].concat();
    let answered = Note::parse(&answered)?;
    let line = witness.0.line_of(&answered).ok_or_else(|| {
        Refusal::new(Code::ThresholdUnmet, format!("witness {} has not cosigned", witness.name()))
    })?;
    witness.time_of(line, note.text())?;
    Ok(note::with_lines(&note, &[line]))
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({})", self.name())
    }
}

impl FromStr for WitnessKey {
    type Err = Refusal;

    fn from_str(line: &str) -> Result<WitnessKey, Refusal> {
        VerifierKey::read(line, TYPE_COSIGNATURE).map(WitnessKey)
    }
}

impl<'de> Deserialize<'de> for WitnessKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WitnessKey, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
