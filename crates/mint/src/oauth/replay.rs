//! Client assertions that have been spent: each may buy one token (RFC 7523 §3, item 7); and DPoP proofs, in
//! memory alone, as a second one buys nothing that the client's own proof of who it is would not.
//!
//! Refuses rather than forgets: nothing unexpired is ever evicted. What was spent on a token is also in the
//! log's record of it, under the same fsync, and comes back from there after a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use farside_service::digest;
use farside_verify::encode::base64url;

use crate::issue::ASSERTION_MEMORY_SECONDS;

/// Most assertions that are remembered at once.
pub const SPENT_ASSERTIONS_MAX: usize = 1_000_000;

/// Bytes of the hash that stands for an assertion.
const MARK_BYTES: usize = 16;

/// The memory of spent assertions.
#[derive(Debug, Default)]
pub struct SpentAssertions {
    /// Owns which marks are spent, and when each may be forgotten.
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    spent: HashMap<String, u64>,
    by_end: BTreeMap<u64, Vec<String>>,
}

/// Why an assertion may not be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unspendable {
    /// It has been spent.
    Replayed,
    /// There is no room to remember it.
    Full,
}

impl SpentAssertions {
    /// The memory after a restart, from the log's records: each mark with the time of its record.
    pub fn recovered(marks: impl IntoIterator<Item = (String, u64)>, now: u64) -> SpentAssertions {
        let memory = SpentAssertions::default();
        for (mark, at) in marks {
            let _already_there = memory.spend(mark, at + ASSERTION_MEMORY_SECONDS, now);
        }
        memory
    }

    /// Spends the assertion `mark`, to be remembered until `until`.
    pub(super) fn spend(&self, mark: String, until: u64, now: u64) -> Result<(), Unspendable> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget(now);
        if memory.spent.contains_key(&mark) {
            return Err(Unspendable::Replayed);
        }
        if memory.spent.len() >= SPENT_ASSERTIONS_MAX {
            return Err(Unspendable::Full);
        }
        memory.by_end.entry(until).or_default().push(mark.clone());
        memory.spent.insert(mark, until);
        Ok(())
    }
}

impl Memory {
    fn forget(&mut self, now: u64) {
        while let Some(first) = self.by_end.first_entry().filter(|entry| *entry.key() < now) {
            for mark in first.remove() {
                self.spent.remove(&mark);
            }
        }
    }
}

/// What stands for the assertion `jti` of `client`.
pub(super) fn mark(client: &str, jti: &str) -> String {
    let hash = digest::sha256(format!("{}\n{client}\n{jti}", client.len()).as_bytes());
    base64url(&hash[..MARK_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_spent_once_until_it_has_expired() {
        let spent = SpentAssertions::default();
        assert_eq!(spent.spend(mark("bot", "1"), 100, 10), Ok(()));
        assert_eq!(spent.spend(mark("bot", "1"), 100, 100), Err(Unspendable::Replayed));
        assert_eq!(spent.spend(mark("tob", "1"), 100, 100), Ok(()));
        assert_eq!(spent.spend(mark("bot", "1"), 200, 101), Ok(()));
    }

    #[test]
    fn a_restart_forgets_nothing() {
        let spent = SpentAssertions::recovered([(mark("bot", "1"), 1_000)], 1_500);
        assert_eq!(spent.spend(mark("bot", "1"), 2_000, 1_500), Err(Unspendable::Replayed));
    }

    #[test]
    fn no_two_pairs_share_a_mark() {
        assert_ne!(mark("a", "b\nc"), mark("a\nb", "c"));
    }
}
