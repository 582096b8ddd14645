//! A log's signed head (c2sp.org/tlog-checkpoint): how many leaves a shard has, and their root.
//!
//! ```text
//! <name of the log key>/<shard>\n        the origin: each shard is a log of its own
//! <size>\n
//! <root, base64>\n
//!
//! — <origin> <base64 of key id and Ed25519 signature>
//! ```
//!
//! For the mint, which signs heads, and whoever believes them. Refuses another shard's head, extension lines
//! and signatures of keys that the charter does not name.

use crate::note::{self, Note};
use crate::refusal::{Code, Refusal};
use crate::signer::LogKey;
use crate::text::{base64_decode, base64_encode, decimal};

/// Largest checkpoint note with its cosignatures.
pub const CHECKPOINT_BYTES_MAX: usize = 8 << 10;

/// Size and root of one shard, believed by nobody yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// Root over them (RFC 6962 §2.1).
    pub root: [u8; 32],
}

/// A head that the charter's log key has signed. [`open`] and [`believe`] alone make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    shard: String,
    head: Head,
}

impl Checkpoint {
    /// The shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// What was signed.
    pub fn head(&self) -> Head {
        self.head
    }
}

/// The text that a log key signs for a shard's head.
// log.md §5.1
pub fn text(log: &LogKey, shard: &str, head: &Head) -> String {
    format!("{}\n{}\n{}\n", log.origin(shard), head.size, base64_encode(&head.root))
}

/// A note of that text and its signature.
///
/// # Errors
/// `signature_invalid`: the signature is not one of this key over this head.
pub fn note(log: &LogKey, shard: &str, head: &Head, signature: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
    let text = text(log, shard, head);
    let key = log.of_shard(shard)?;
    let bytes = note::with_line(&text, key.name(), key.key_id(), signature);
    key.verify(&Note::parse(&bytes)?)?;
    Ok(bytes)
}

/// Believes a checkpoint note of `shard` that one of the charter's log keys has signed.
///
/// # Errors
/// `too_large`, `malformed`, `signature_invalid`; `threshold_unmet` where no log key has signed.
// log.md §5.2
pub fn open(bytes: &[u8], logs: &[LogKey], shard: &str) -> Result<Checkpoint, Refusal> {
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!("a checkpoint is at most {CHECKPOINT_BYTES_MAX} bytes"),
        ));
    }
    let note = Note::parse(bytes)?;
    for log in logs {
        match log.of_shard(shard)?.verify(&note) {
            Ok(text) => {
                return Ok(Checkpoint { shard: shard.to_owned(), head: read(text, &log.origin(shard))? });
            }
            Err(refusal) if refusal.code() == Code::ThresholdUnmet => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Err(Refusal::new(
        Code::ThresholdUnmet,
        format!("no log key of the charter has signed the head of {shard}"),
    ))
}

/// Believes a head whose text was not carried, by its signature alone.
///
/// # Errors
/// `signature_invalid`: it is of none of the charter's log keys.
pub fn believe(
    logs: &[LogKey],
    shard: &str,
    head: Head,
    signature: &[u8; 64],
) -> Result<Checkpoint, Refusal> {
    for log in logs {
        if note(log, shard, &head, signature).is_ok() {
            return Ok(Checkpoint { shard: shard.to_owned(), head });
        }
    }
    Err(Refusal::new(Code::SignatureInvalid, format!("the head of log {shard}")))
}

// log.md §5.1: three lines and nothing more.
fn read(text: &str, origin: &str) -> Result<Head, Refusal> {
    let malformed = |what: &str| Refusal::new(Code::Malformed, format!("a checkpoint: {what}"));
    let lines: Vec<&str> = text.split('\n').collect();
    let [named, size, root, ""] = lines[..] else { return Err(malformed("it has not three lines")) };
    if named != origin {
        return Err(malformed("it is another log's"));
    }
    let root = base64_decode(root).and_then(|root| root.try_into().ok());
    match (decimal(size), root) {
        (Some(size), Some(root)) => Ok(Head { size, root }),
        _ => Err(malformed("its size or root")),
    }
}
