//! How much of the store each holder has filled with proofs of its key, so that none fills it alone.
//!
//! Counted in memory, by the gate that took them: a restart forgets the counts, and never what was used.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::seen::{SPAN_SECONDS, span};
use crate::judge::{Once, Prover};

/// The shares of all holders.
#[derive(Debug)]
pub(crate) struct Shares {
    most: u64,
    /// Owns the counts; held while they are looked up or changed.
    held: Mutex<Held>,
}

/// What each holder has in the store, altogether and by the span of time in which it ends.
#[derive(Debug, Default)]
struct Held {
    totals: HashMap<Prover, u64>,
    spans: BTreeMap<u64, HashMap<Prover, u64>>,
}

impl Shares {
    /// Nothing yet; no holder gets more than `most`.
    pub(crate) fn new(most: u64) -> Shares {
        Shares { most, held: Mutex::default() }
    }

    /// Most that a holder gets.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// Whether whoever proves these has room for them.
    pub(crate) fn have_room(&self, once: &[Once]) -> bool {
        let held = self.held();
        once.iter()
            .filter_map(Once::prover)
            .all(|prover| held.totals.get(&prover).is_none_or(|n| *n < self.most))
    }

    /// These have been taken.
    pub(crate) fn took(&self, once: &[Once]) {
        let mut held = self.held();
        for (prover, until) in once.iter().filter_map(|one| Some((one.prover()?, one.until()))) {
            *held.totals.entry(prover).or_default() += 1;
            *held.spans.entry(span(until)).or_default().entry(prover).or_default() += 1;
        }
    }

    /// Lets go what has expired.
    pub(crate) fn forget(&self, now: u64) {
        let held = &mut *self.held();
        while let Some(first) =
            held.spans.first_entry().filter(|first| (first.key() + 1) * SPAN_SECONDS <= now)
        {
            for (prover, ended) in first.remove() {
                if let Some(total) = held.totals.get_mut(&prover) {
                    *total = total.saturating_sub(ended);
                    if *total == 0 {
                        held.totals.remove(&prover);
                    }
                }
            }
        }
    }

    // Who panicked while holding them has left counts that are one too small.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(holder: u8, id: u64, until: u64) -> [Once; 1] {
        [Once::proof(&[holder; 32], &id.to_string(), 0, until)]
    }

    #[test]
    fn each_holder_has_a_share_and_gets_back_what_has_ended() {
        let shares = Shares::new(2);
        for (id, until) in [(1, 1_000), (2, 2_000)] {
            assert!(shares.have_room(&proof(1, id, until)));
            shares.took(&proof(1, id, until));
        }
        assert!(!shares.have_room(&proof(1, 3, 3_000)));
        assert!(shares.have_room(&proof(2, 3, 3_000)), "another holder");
        shares.forget(1_000);
        assert!(!shares.have_room(&proof(1, 3, 3_000)), "the span of the first one is not over");
        shares.forget(1_024);
        assert!(shares.have_room(&proof(1, 3, 3_000)));
        shares.took(&proof(1, 3, 3_000));
        assert!(!shares.have_room(&proof(1, 4, 3_000)));
        shares.forget(u64::MAX / 2);
        let held = shares.held();
        assert!(held.totals.is_empty() && held.spans.is_empty(), "nothing is left of it");
    }
}
