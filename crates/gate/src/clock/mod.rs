//! What time it is at the gate, how that is known, and what is told when the machine's clock is wrong.
//!
//! ```text
//!   wall clock ──┐                         ┌─▶ now: every door, import and command
//!   time since ──┼─▶ Steady ─▶ Moment ─────┤
//!   the start    │      ▲ │                └─▶ off by how much and since when: log, journal, metric, status
//!   bundles ─────┘      │ └─▶ kept in the store, for the next process and the next start
//!   people's orders ────┘     (accept, reset)
//! ```
//!
//! Code that judges never reads a clock: it is given `now`, and [`TrustState::ready`] refuses a `now` before
//! what is proven.

mod keeper;
mod orders;
mod steady;
mod told;

use std::sync::{Mutex, MutexGuard, PoisonError};

use farside_service::time::{Reading, read_clocks};

use crate::store::{ClockRow, Store, StoreFault, keep_clock};
use crate::trust::TrustState;

pub use keeper::Keeper;
pub use orders::{Accepted, Reset, accept, reset};
pub use steady::{Moment, Off, Proven, Steady, Witness};
pub use told::Seen;

/// The clock that a gate goes by.
pub(crate) struct GateClock {
    read: fn() -> Reading,
    /// Owns the steady clock; held for one look.
    held: Mutex<Held>,
}

struct Held {
    /// Which order of people's this clock follows.
    turn: u64,
    steady: Steady,
}

impl GateClock {
    /// Goes on from what the store keeps.
    pub(crate) fn resume(kept: &ClockRow) -> GateClock {
        let held = Held { turn: kept.turn, steady: Steady::resume(kept.witness.clone()) };
        GateClock { read: read_clocks, held: Mutex::new(held) }
    }

    /// Looks at the clocks, by what is believed now.
    pub(crate) fn look(&self, trust: &TrustState) -> Moment {
        self.look_by(trust.clock(), &trust.proven())
    }

    fn look_by(&self, kept: &ClockRow, proven: &Proven) -> Moment {
        let mut held = self.hold();
        // Under the lock: a reading overtaken by a later one would look like a machine that was put back.
        let reading = (self.read)();
        if held.turn != kept.turn {
            *held = Held { turn: kept.turn, steady: Steady::resume(kept.witness.clone()) };
        }
        held.steady.look(&reading, proven)
    }

    /// Keeps the steady clock for the next process; nothing where it does not run.
    pub(crate) fn keep(&self, store: &Store) -> Result<(), StoreFault> {
        let (turn, witness) = {
            let held = self.hold();
            (held.turn, held.steady.witness().cloned())
        };
        match witness {
            Some(witness) => store.write(|tx| keep_clock(tx, turn, &witness)),
            None => Ok(()),
        }
    }

    // Each look is whole or has not begun.
    fn hold(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
