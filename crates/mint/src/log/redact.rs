//! Erasing whom tokens were for, where the law or a retention rule asks for it.
//!
//! A redacted record keeps what its leaf is made of, so every proof, head and bundle stays valid. Names go
//! from all files of the log: records, the index, SQLite's own write-ahead file, torn remains. A token that
//! still lives is not redacted: its record is what revoking it goes by.

use farside_service::append::RewriteFault;
use farside_service::cli::Failure;
use farside_service::durable;

use super::index::{Index, IndexFault, Query};
use super::{Entry, IssuanceLog, Record};
use crate::issue::ASSERTION_MEMORY_SECONDS;

/// What a redaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Redacted {
    /// Records redacted now.
    pub records: u64,
    /// Records kept because their tokens still live.
    pub alive: u64,
    /// When the last of these may be redacted, Unix seconds; 0 where there are none.
    pub alive_until: u64,
}

/// Why nothing, or not all, was redacted.
#[derive(Debug, thiserror::Error)]
pub enum RedactFault {
    /// Everything would be meant.
    #[error("a redaction must say which records it is for")]
    Everything,
    /// The index could not say which records are meant.
    #[error("{0}")]
    Index(#[from] IndexFault),
    /// A file could not be rewritten.
    #[error("{0}")]
    Unwritten(#[from] RewriteFault),
    /// A file could not be removed.
    #[error("{0}")]
    Failed(#[from] durable::Failed),
}

impl From<RedactFault> for Failure {
    fn from(fault: RedactFault) -> Self {
        match fault {
            RedactFault::Everything => {
                Failure::refused(fault.to_string()).hint("give a token id, a subject, a requester or a time")
            }
            RedactFault::Failed(fault) => fault.into(),
            RedactFault::Index(_) | RedactFault::Unwritten(_) => {
                Failure::could_not(fault.to_string()).hint("redact again: what was begun is then finished")
            }
        }
    }
}

impl From<rusqlite::Error> for RedactFault {
    fn from(fault: rusqlite::Error) -> Self {
        RedactFault::Index(fault.into())
    }
}

impl IssuanceLog {
    /// Redacts the records that `query` asks for and whose tokens have expired, for good.
    // log.md §9.1
    pub fn redact(&self, index: &Index, query: &Query, now: u64) -> Result<Redacted, RedactFault> {
        if query.is_empty() {
            return Err(RedactFault::Everything);
        }
        let mut redacted = Redacted::default();
        let mut numbers = std::collections::BTreeSet::new();
        for found in index.find_named(query)? {
            let lives_until = lives_until(&found.record);
            if lives_until > now {
                redacted.alive += 1;
                redacted.alive_until = redacted.alive_until.max(lives_until);
            } else {
                numbers.insert(found.number);
            }
        }
        redacted.records = numbers.len() as u64;
        index.erase(&self.group, &numbers, |record| {
            // A record that cannot be read is not one of those that were found by what it says.
            let whole = Record::parse(record.bytes).ok().and_then(|record| record.redacted());
            let written = whole.and_then(|record| record.to_bytes().ok());
            written.unwrap_or_else(|| record.bytes.to_vec())
        })?;
        Ok(redacted)
    }
}

/// The moment from which a record's names serve nothing here: its token has expired, and the assertion spent
/// on it is refused by its age.
fn lives_until(record: &Record) -> u64 {
    let spent = record.at.saturating_add(ASSERTION_MEMORY_SECONDS);
    match &record.entry {
        Entry::Token(token) => token.expires_at.max(spent),
        Entry::Redacted(_) | Entry::Void { .. } => 0,
    }
}
