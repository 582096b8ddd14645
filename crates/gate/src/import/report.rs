//! What became of each file that was offered: for people, programs and the journal.

use std::path::PathBuf;

use farside_crossing::{Code, JournalHead, Refusal};
use serde::{Serialize, Serializer};

use super::intake::Taken;

/// One file and its outcome.
pub struct Report {
    /// The file's name, safe to print.
    pub file: String,
    /// What became of it.
    pub outcome: Outcome,
    pub(super) taken: Option<Taken>,
}

/// What became of an offered file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Applied whole; on a dry run: would be.
    Applied(Applied),
    /// This very bundle is held already.
    AlreadyApplied {
        /// Its number.
        seq: u64,
    },
    /// A newer one is held.
    Superseded {
        /// The number held.
        held: u64,
        /// The number offered.
        offered: u64,
        /// What to tell whoever offered it.
        refusal: Refusal,
    },
    /// Refused, and kept in quarantine unless that is full or this was a dry run.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Where it is kept.
        kept: Option<PathBuf>,
    },
    /// It held charters alone, and those that were new are trusted now; on a dry run: would be.
    Chartered(Chartered),
    /// Left alone, for this reason.
    Ignored(String),
}

/// A head that a token had brought along, under a log key that is no longer named. It stands so in the
/// journal: with the key, which the charters before name, it proves what was signed.
#[derive(Clone, Debug, Serialize)]
pub struct HeadLetGo {
    /// The log shard.
    pub shard: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them, base64url.
    pub root: String,
    /// The log key's signature over the checkpoint's text, base64url.
    pub signature: String,
}

/// What a file of charters brought. It stands so in the journal.
#[derive(Clone, Debug, Serialize)]
pub struct Chartered {
    /// The newest charter trusted now.
    pub version: u64,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Versions that were new.
    pub charters: Vec<u64>,
    /// Heads that tokens had brought along under log keys that are no longer named.
    #[serde(serialize_with = "count")]
    pub heads_let_go: Vec<HeadLetGo>,
}

/// What an applied bundle brought. It stands so in the journal.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its manifest.
    pub digest: String,
    /// `full`, `delta` or `beacon`.
    pub kind: String,
    /// When the mint made it.
    pub issued_at: u64,
    /// When it stops counting.
    pub not_after: u64,
    /// Below which this gate's clock may no longer fall.
    pub time_floor: u64,
    /// First and last of the numbers it leapt over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<(u64, u64)>,
    /// Whether a fence thawed a frozen stream.
    pub thawed: bool,
    /// Versions of charters that came with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charters: Vec<u64>,
    /// Log leaves that were new.
    pub leaves: u64,
    /// Heads that tokens had brought along under log keys that are no longer named.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "count")]
    pub heads_let_go: Vec<HeadLetGo>,
    /// Log shards that began anew, as release people's fence allows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs_anew: Vec<String>,
    /// Its parcels.
    pub parcels: ParcelsIn,
    /// How far the mint's journals had come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub journals: Vec<JournalHead>,
    /// The receipt's code, where the bundle was sealed.
    #[serde(skip)]
    pub receipt: Option<String>,
}

/// How many; each has a line of its own in the journal.
fn count<S: Serializer>(heads: &[HeadLetGo], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(heads.len() as u64)
}

/// What became of a bundle's parcels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ParcelsIn {
    /// New, and waiting for their holders.
    pub stored: u64,
    /// Held already.
    pub repeated: u64,
    /// Expired on the way.
    pub expired: u64,
    /// Refused: their tokens do not verify here.
    pub refused: u64,
}

impl Report {
    /// Whether another file of the same folder could still let this one in.
    pub(super) fn waits(&self) -> bool {
        let Outcome::Refused { refusal, .. } = &self.outcome else { return false };
        let missing = [Code::Gap, Code::LogGap, Code::CharterBroken, Code::ThresholdUnmet, Code::Frozen];
        missing.contains(&refusal.code())
    }

    /// Whether something is believed now that was not before.
    pub(super) fn brought_something(&self) -> bool {
        match &self.outcome {
            Outcome::Applied(_) => true,
            Outcome::Chartered(chartered) => !chartered.charters.is_empty(),
            _ => false,
        }
    }

    /// Whether it was refused.
    pub fn refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused { .. })
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let file = &self.file;
        let line = match &self.outcome {
            Outcome::Applied(applied) => {
                serde_json::json!({"file": file, "outcome": "applied", "bundle": applied,
                                   "receipt": applied.receipt})
            }
            Outcome::AlreadyApplied { seq } => {
                serde_json::json!({"file": file, "outcome": "already_applied", "seq": seq})
            }
            Outcome::Superseded { held, offered, refusal } => {
                serde_json::json!({"file": file, "outcome": "superseded", "held": held, "seq": offered,
                                   "refusal": refusal})
            }
            Outcome::Refused { refusal, kept } => {
                serde_json::json!({"file": file, "outcome": "refused", "refusal": refusal,
                                   "quarantine": kept})
            }
            Outcome::Chartered(chartered) => {
                serde_json::json!({"file": file, "outcome": "chartered", "charter": chartered})
            }
            Outcome::Ignored(why) => serde_json::json!({"file": file, "outcome": "ignored", "why": why}),
        };
        line.serialize(serializer)
    }
}
