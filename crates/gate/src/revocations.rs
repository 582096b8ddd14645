//! What has been revoked, ready to be asked: log positions, subjects, keys. Built from the status document
//! that crossed; asked for every token.

use std::collections::HashMap;

use farside_crossing::StatusDocument;
use farside_verify::leaf::TokenPosition;
use farside_verify::status_list::{StatusList, StatusListError};

/// Why revocations cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationsFault {
    /// The list of a shard is no Token Status List.
    #[error("the status list of shard {shard} cannot be read: {source}")]
    List {
        /// The shard.
        shard: String,
        /// What is wrong with it.
        source: StatusListError,
    },
}

/// Every revocation this gate knows of.
#[derive(Debug, Default)]
pub struct Revocations {
    tokens: HashMap<String, StatusList>,
    subjects: HashMap<String, Entry>,
    keys: HashMap<String, Entry>,
}

/// One revocation of a subject or a key.
#[derive(Clone, Debug)]
struct Entry {
    before: u64,
    reason: String,
    at: u64,
}

/// How a token fell under a revocation, as a clause for the refusal.
pub type Reason = String;

impl Revocations {
    /// Reads a status document.
    pub fn read(document: &StatusDocument) -> Result<Revocations, RevocationsFault> {
        let mut revocations = Revocations::default();
        for list in &document.tokens {
            let decoded = StatusList::decode(1, &list.lst)
                .map_err(|source| RevocationsFault::List { shard: list.shard.clone(), source })?;
            revocations.tokens.insert(list.shard.clone(), decoded);
        }
        for revoked in &document.subjects {
            let entry = Entry { before: revoked.before, reason: revoked.reason.clone(), at: revoked.at };
            let held = revocations.subjects.entry(revoked.sub.clone()).or_insert_with(|| entry.clone());
            // Two entries for one subject: the one that revokes more counts.
            if entry.before > held.before {
                *held = entry;
            }
        }
        for revoked in &document.keys {
            let entry = Entry { before: u64::MAX, reason: revoked.reason.clone(), at: revoked.at };
            revocations.keys.insert(revoked.kid.clone(), entry);
        }
        Ok(revocations)
    }

    /// Whether this log position has been revoked.
    pub fn token(&self, position: &TokenPosition) -> bool {
        let list = self.tokens.get(position.shard());
        list.and_then(|list| list.get(position.index())).is_some_and(|status| status != 0)
    }

    /// Whether tokens issued to `subject` at `issued_at` have been revoked. A token that does not say when it
    /// was issued falls under every revocation of its subject.
    pub fn subject(&self, subject: &str, issued_at: Option<u64>) -> Option<Reason> {
        let entry = self.subjects.get(subject)?;
        let hit = issued_at.is_none_or(|issued_at| issued_at <= entry.before);
        hit.then(|| {
            format!("tokens of this subject issued until {} are revoked: {}", entry.before, entry.told())
        })
    }

    /// Whether every token of this key has been revoked.
    pub fn key(&self, key_id: &str) -> Option<Reason> {
        self.keys.get(key_id).map(|entry| format!("key {key_id} is revoked: {}", entry.told()))
    }

    /// How many positions, subjects and keys are revoked.
    pub fn counts(&self) -> Counts {
        let revoked_in = |list: &StatusList| (0..list.capacity()).filter(|i| list.get(*i) == Some(1)).count();
        Counts {
            tokens: self.tokens.values().map(revoked_in).sum(),
            subjects: self.subjects.len(),
            keys: self.keys.len(),
        }
    }
}

/// How much is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Log positions.
    pub tokens: usize,
    /// Subjects.
    pub subjects: usize,
    /// Keys.
    pub keys: usize,
}

impl Entry {
    fn told(&self) -> String {
        format!("{} (since {})", self.reason, farside_service::time::rfc3339(self.at))
    }
}
