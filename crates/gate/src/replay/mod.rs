//! The replay store: what may be seen once, and has been.
//!
//! It is bounded and never lets go what has not expired: full means that nobody more is admitted. What it
//! could not remember was not admitted.

mod seen;

use std::sync::{Mutex, MutexGuard, PoisonError};

use farside_verify::{Code, Refusal};

use crate::judge::{Kind, Once};
use seen::{Seen, Untaken};

/// Most entries that are remembered at once, where the configuration does not say.
pub const ENTRIES_MAX_DEFAULT: u64 = 1_000_000;

/// What this gate has seen that may be seen once.
#[derive(Debug)]
pub struct Replay {
    /// Owns what has been seen; held for a look and never across a wait.
    seen: Mutex<Seen>,
}

impl Replay {
    /// Remembers at most so many entries at once.
    pub fn of(entries_max: u64) -> Replay {
        Replay { seen: Mutex::new(Seen::new(entries_max)) }
    }

    /// Remembers all of these, or none. Of two requests that bring the same one, exactly one is told so.
    ///
    /// # Errors
    /// `replayed`, `replay_full`, `replay_unavailable`.
    // replay.md §3
    pub async fn take(&self, once: &[Once], now: u64) -> Result<(), Refusal> {
        self.hold().take(once, now).map_err(Refusal::from)
    }

    /// Whether these could be taken now. Takes nothing.
    ///
    /// # Errors
    /// As [`Replay::take`].
    pub async fn look(&self, once: &[Once]) -> Result<(), Refusal> {
        self.hold().look(once).map_err(Refusal::from)
    }

    // Each step under the lock is whole or has not begun.
    fn hold(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Untaken> for Refusal {
    fn from(untaken: Untaken) -> Refusal {
        let (code, cure) = match untaken {
            Untaken::Full(_) => (Code::ReplayFull, ""),
            Untaken::Seen(kind) | Untaken::Forgotten(kind) | Untaken::Before(kind, _) => match kind {
                Kind::Token => (Code::Replayed, "Ask for a new token for each request."),
                Kind::Proof => (Code::Replayed, "Make a new proof for each request."),
            },
        };
        Refusal::new(code, untaken.to_string(), cure)
    }
}
