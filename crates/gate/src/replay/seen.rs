//! What has been seen, in memory: sets by the time of their end, each let go whole.
//!
//! ```text
//!   until  … 64        128        192        256
//!          │  (gone)   │ {k1,k2}  │ {k3}     │ {k4,k5,k6}        forgotten = 128: whatever ends before is
//!          └───────────┴──────────┴──────────┴─────────           refused, whether or not it was seen
//! ```
//!
//! The horizon of what is forgotten follows what was really let go, not the clock. So a clock that was set
//! back brings nothing back, and one that was ahead for an hour costs no more than what ended in that hour.

use std::collections::{BTreeMap, HashSet};

use farside_service::time::rfc3339;

use crate::judge::{Kind, Once};

/// Entries whose ends lie in one span of so many seconds are let go together.
pub(crate) const SPAN_SECONDS: u64 = 64;

/// Bytes of a key that are kept. Whoever finds two ids that share them has made one of his own tokens
/// worthless.
pub(crate) const KEY_BYTES: usize = 16;

/// What is kept of a key.
pub(crate) type Key = [u8; KEY_BYTES];

/// Why entries were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untaken {
    /// One of them was seen before.
    Seen(Kind),
    /// One of them ends before something that was forgotten.
    Forgotten(Kind),
    /// One of them can have been shown before this store began to remember.
    Before(Kind, u64),
    /// No more can be remembered.
    Full(u64),
}

/// What has been seen and has not expired.
#[derive(Debug)]
pub(crate) struct Seen {
    spans: BTreeMap<u64, HashSet<Key>>,
    entries: u64,
    entries_max: u64,
    forgotten: u64,
    since: u64,
}

impl Seen {
    /// Nothing yet.
    pub(crate) fn new(entries_max: u64) -> Seen {
        Seen { spans: BTreeMap::new(), entries: 0, entries_max, forgotten: 0, since: 0 }
    }

    /// Takes all of these, or none.
    // replay.md §3.1
    pub(crate) fn take(&mut self, once: &[Once], now: u64) -> Result<(), Untaken> {
        self.forget(now);
        self.look(once)?;
        once.iter().for_each(|one| self.insert(short(one.key()), one.until()));
        Ok(())
    }

    /// Whether all of these could be taken.
    pub(crate) fn look(&self, once: &[Once]) -> Result<(), Untaken> {
        for one in once {
            if one.until() <= self.forgotten {
                return Err(Untaken::Forgotten(one.kind()));
            }
            if one.from() <= self.since {
                return Err(Untaken::Before(one.kind(), self.since));
            }
            if self.spans.get(&span(one.until())).is_some_and(|seen| seen.contains(&short(one.key()))) {
                return Err(Untaken::Seen(one.kind()));
            }
        }
        // replay.md §3.4
        if self.entries + once.len() as u64 > self.entries_max {
            return Err(Untaken::Full(self.entries_max));
        }
        Ok(())
    }

    /// Lets go what has expired.
    // replay.md §3.3
    pub(crate) fn forget(&mut self, now: u64) {
        while let Some(first) = self.spans.first_entry() {
            let end = (first.key() + 1) * SPAN_SECONDS;
            if end > now {
                return;
            }
            self.entries -= first.remove().len() as u64;
            self.forgotten = self.forgotten.max(end);
        }
    }

    /// What was taken in an earlier life is remembered again, however many there are.
    pub(crate) fn restore(&mut self, key: Key, until: u64) {
        if until > self.forgotten {
            self.insert(key, until);
        }
    }

    /// What ends by `forgotten` is not remembered any more, and what was shown until `since` not known.
    pub(crate) fn stand(&mut self, forgotten: u64, since: u64) {
        self.forgotten = self.forgotten.max(forgotten);
        self.since = self.since.max(since);
        self.forget(self.forgotten);
    }

    /// What ends by then is refused.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What was shown until then is not known: 0 where all is.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// How many are remembered.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    fn insert(&mut self, key: Key, until: u64) {
        let new = self.spans.entry(span(until)).or_default().insert(key);
        self.entries += u64::from(new);
    }
}

impl std::fmt::Display for Untaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Untaken::Seen(kind) => write!(f, "this {} was used before", kind.as_str()),
            Untaken::Forgotten(kind) => {
                write!(f, "this {} may have been used: what ended then is not remembered", kind.as_str())
            }
            Untaken::Before(kind, since) => {
                let (kind, since) = (kind.as_str(), rfc3339(*since));
                write!(f, "this {kind} may have been used: what was before {since} has been lost")
            }
            Untaken::Full(entries_max) => write!(f, "all {entries_max} entries are taken"),
        }
    }
}

/// Which set an end lies in.
pub(crate) fn span(until: u64) -> u64 {
    until / SPAN_SECONDS
}

/// What is kept of a key.
pub(crate) fn short(key: &[u8; 32]) -> Key {
    let mut short = [0; KEY_BYTES];
    short.copy_from_slice(&key[..KEY_BYTES]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(id: u64, until: u64) -> Once {
        Once::proof(&[7; 32], &id.to_string(), until.saturating_sub(120), until)
    }

    #[test]
    fn what_was_seen_is_refused_until_it_has_expired_and_then_too() {
        let mut seen = Seen::new(10);
        let one = proof(1, 1_000);
        seen.take(&[one], 900).unwrap();
        for now in [900, 999, 1_000, 1_087, 1_088, 5_000, 900] {
            assert!(seen.take(&[one], now).is_err(), "at {now}");
        }
        assert_eq!(seen.entries(), 0, "it is forgotten, and yet refused");
        assert!(seen.take(&[proof(2, 1_089)], 1_000).is_ok(), "what ends later was never forgotten");
    }

    #[test]
    fn all_are_taken_or_none() {
        let mut seen = Seen::new(10);
        seen.take(&[proof(1, 1_000)], 900).unwrap();
        assert_eq!(seen.take(&[proof(2, 1_000), proof(1, 1_000)], 900), Err(Untaken::Seen(Kind::Proof)));
        assert!(seen.take(&[proof(2, 1_000)], 900).is_ok());
    }

    #[test]
    fn a_full_store_refuses_and_evicts_nothing() {
        let mut seen = Seen::new(2);
        seen.take(&[proof(1, 1_000)], 900).unwrap();
        assert_eq!(seen.take(&[proof(2, 2_000), proof(3, 2_000)], 900), Err(Untaken::Full(2)));
        seen.take(&[proof(2, 2_000)], 900).unwrap();
        assert_eq!(seen.take(&[proof(3, 2_000)], 900), Err(Untaken::Full(2)));
        assert_eq!(seen.take(&[proof(1, 1_000)], 900), Err(Untaken::Seen(Kind::Proof)));
        seen.take(&[proof(3, 2_000)], 1_100).unwrap();
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_ends_only_what_ended_meanwhile() {
        let mut seen = Seen::new(10);
        seen.take(&[proof(1, 1_000)], 900).unwrap();
        seen.forget(4_000_000_000);
        assert!(seen.take(&[proof(1, 1_000)], 901).is_err());
        assert!(seen.take(&[proof(2, 1_100)], 901).is_ok());
    }

    #[test]
    fn what_can_have_been_shown_before_a_loss_is_refused() {
        let mut seen = Seen::new(10);
        seen.stand(0, 800);
        assert_eq!(seen.take(&[proof(1, 920)], 900), Err(Untaken::Before(Kind::Proof, 800)));
        assert!(seen.take(&[proof(1, 921)], 900).is_ok());
    }
}
