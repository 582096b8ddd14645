//! What is brought into memory behind the doors, on threads of its own: the log's live leaves, and the tokens
//! that were carried here, verified before anybody shows them.
//!
//! Nothing waits for it: a leaf that is not here yet the store has, and a token that is not known yet is
//! verified at the door.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use super::Gate;
use crate::known::CacheCounts;
use crate::store::{self, Store, StoreFault};

/// Tokens read at one go.
const TOKENS_AT_ONCE: usize = 1_000;

/// How far the thread that verifies carried tokens stands back behind the doors (`nice`).
const NICE: i32 = 10;

impl Gate {
    /// Brings the log's live leaves into memory. Until then, and for what comes later, the store is asked.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn warm(&self) -> Result<u64, StoreFault> {
        // Its own connection: ten million leaves take a second, and no door waits for it.
        self.live.refresh(&Store::open(self.store.path())?)?;
        Ok(self.live.count())
    }

    /// Verifies the tokens that were carried here and are not known yet, the newest first, as far as there
    /// is room. An import in this process has left nothing to do.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn warm_tokens(&self, now: u64) -> Result<CacheCounts, StoreFault> {
        let trust = self.last();
        let Some(held) = trust.believed() else { return Ok(CacheCounts::default()) };
        let believer = held.believer();
        self.believers.keep_only(believer);
        let store = Store::open(self.store.path())?;
        let seen = believer.parcels_seen.load(Ordering::Relaxed);
        let (mut below, mut newest) = (i64::MAX, seen);
        while believer.known().has_room() {
            let tokens = store.read(|tx| store::parcel_tokens(tx, seen..below, now, TOKENS_AT_ONCE))?;
            let Some((oldest, _)) = tokens.last() else { break };
            below = *oldest;
            newest = newest.max(tokens.first().map_or(seen, |(id, _)| *id));
            for (_, token) in tokens.iter().take_while(|_| believer.known().has_room()) {
                // One that does not verify at present is judged when it is shown.
                let _ = believer.verify_carried(token, now);
            }
        }
        believer.parcels_seen.fetch_max(newest, Ordering::Relaxed);
        Ok(believer.known().counts())
    }

    /// How many tokens are known, and how often that was of use.
    pub fn cache_counts(&self) -> CacheCounts {
        self.last().believed().map(|held| held.believer().known().counts()).unwrap_or_default()
    }

    /// Tells the metrics the same.
    pub(crate) fn tell_known(&self) {
        let counts = self.cache_counts();
        metrics::gauge!("farside_gate_known_tokens").set(counts.tokens as f64);
        metrics::gauge!("farside_gate_known_tokens_bytes").set(counts.bytes as f64);
        for (known, shown) in [("yes", counts.hits), ("no", counts.misses)] {
            metrics::counter!("farside_gate_known_tokens_shown_total", "known" => known).absolute(shown);
        }
    }

    /// Keeps leaves and tokens warm from now on, on threads that end with the gate.
    pub fn keep_warm(self: &Arc<Gate>) {
        let leaves = self.at_each_change(|gate| {
            match gate.warm() {
                Ok(leaves) => tracing::debug!(leaves, "log leaves are in memory"),
                // The doors ask the store, and say so if it fails them too.
                Err(fault) => tracing::error!(%fault, "log leaves cannot be brought into memory"),
            }
        });
        let tokens = self.at_each_change(|gate| {
            // Of this thread alone; where the system does not let it, it verifies all the same.
            let _ = rustix::process::setpriority_process(None, NICE);
            match gate.warm_tokens(gate.moment().now) {
                Ok(known) => tracing::debug!(tokens = known.tokens, "carried tokens are verified"),
                Err(fault) => tracing::error!(%fault, "carried tokens cannot be read"),
            }
        });
        // Kept once: a second call's threads end at once.
        let _ = self.changed.set([leaves, tokens]);
    }

    /// Runs `work` now and after each change of trust, on a thread of its own.
    fn at_each_change(self: &Arc<Gate>, work: fn(&Gate)) -> mpsc::SyncSender<()> {
        let (changed, changes) = mpsc::sync_channel(1);
        let _ = changed.try_send(());
        let gate = Arc::downgrade(self);
        std::thread::spawn(move || {
            while changes.recv().is_ok() {
                let Some(gate) = gate.upgrade() else { return };
                work(&gate);
            }
        });
        changed
    }
}
