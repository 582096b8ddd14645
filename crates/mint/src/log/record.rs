//! One record of the issuance log: who got which token for what, and the hash that its leaf commits to.
//!
//! For auditors as much as for recovery: JSON, one object a record. A record never holds the token's text,
//! only the hash of what was signed.

use farside_verify::encode::base64url_decode;
use farside_verify::leaf::{HASH_BYTES, PositionError, TokenPosition};
use serde::{Deserialize, Serialize};

use super::tree::Leaf;

/// Largest record that is read back.
pub const RECORD_BYTES_MAX: usize = 8 * 1024;

/// A position and what stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The log shard.
    pub shard: String,
    /// The index in the shard, from 0.
    pub index: u64,
    /// When it was written, Unix seconds.
    pub at: u64,
    /// What stands there.
    pub entry: Entry,
}

/// What stands at a position.
// token.md §7.2
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A token was signed.
    Token(TokenEntry),
    /// A token was signed, and whom it was for has been erased.
    Redacted(RedactedEntry),
    /// The position was taken and no token came of it.
    Void {
        /// Why, in one word.
        reason: VoidReason,
    },
}

/// A signed token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Who asked: `client:<id>`, `operator:<name>` or `order:<number>`.
    pub requester: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audience: String,
    /// `exp`.
    pub expires_at: u64,
    /// The key that signed.
    pub kid: String,
    /// The token's profile.
    pub profile: String,
    /// SHA-256 of the JWS signing input, base64url.
    pub signing_input_sha256: String,
    /// The client assertion that was spent on it, as a short hash: so that it stays spent over a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion: Option<String>,
}

/// What is left of a signed token once its record has been redacted: enough to compute its leaf, and nothing
/// of whom it was for.
// log.md §9.1
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactedEntry {
    /// `exp`.
    pub expires_at: u64,
    /// The key that signed.
    pub kid: String,
    /// The token's profile.
    pub profile: String,
    /// SHA-256 of the JWS signing input, base64url.
    pub signing_input_sha256: String,
}

/// Why a position holds no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    /// Signing failed, or what was signed did not verify.
    Unsigned,
    /// The mint stopped between taking the position and writing its record.
    Lost,
}

/// Why a record cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// It is not the JSON of a record.
    #[error("it is not a record: {reason}")]
    NotARecord {
        /// What the parser said.
        reason: String,
    },
    /// Its position is none.
    #[error("its position is not one: {0}")]
    Position(PositionError),
    /// Its hash is not 32 bytes of base64url.
    #[error("its hash is not 32 bytes of base64url")]
    Hash,
}

impl Record {
    /// The record as it is written.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RecordFault> {
        serde_json::to_vec(self).map_err(|fault| RecordFault::NotARecord { reason: fault.to_string() })
    }

    /// Reads a record back.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Record, RecordFault> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordFault::NotARecord { reason: format!("{} bytes", bytes.len()) });
        }
        serde_json::from_slice(bytes).map_err(|fault| RecordFault::NotARecord { reason: fault.to_string() })
    }

    /// The Merkle leaf hash of this record: what a bundle carries and a gate computes from the token.
    pub(crate) fn leaf_hash(&self) -> Result<[u8; HASH_BYTES], RecordFault> {
        Ok(self.leaf()?.hash(&self.position()?))
    }

    /// What its leaf commits to.
    pub(super) fn leaf(&self) -> Result<Leaf, RecordFault> {
        self.position()?;
        let signed = match &self.entry {
            Entry::Void { .. } => return Ok(Leaf(None)),
            Entry::Token(token) => &token.signing_input_sha256,
            Entry::Redacted(token) => &token.signing_input_sha256,
        };
        let hash = base64url_decode(signed).and_then(|hash| hash.try_into().ok()).ok_or(RecordFault::Hash)?;
        Ok(Leaf(Some(hash)))
    }

    /// The position, which is the id of the token that stands there.
    pub(crate) fn position(&self) -> Result<TokenPosition, RecordFault> {
        TokenPosition::new(&self.shard, self.index).map_err(RecordFault::Position)
    }

    /// The record without whom its token was for; the leaf stays the same. `None` where there is nothing to
    /// erase.
    // log.md §9.1
    pub(crate) fn redacted(&self) -> Option<Record> {
        let Entry::Token(token) = &self.entry else { return None };
        let TokenEntry { expires_at, kid, profile, signing_input_sha256, .. } = token.clone();
        let entry = Entry::Redacted(RedactedEntry { expires_at, kid, profile, signing_input_sha256 });
        Some(Record { entry, ..self.clone() })
    }
}
