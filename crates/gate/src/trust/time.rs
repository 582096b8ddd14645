//! What is believed about the time, and the clock that the gate goes by.

use farside_service::time::rfc3339;
use farside_verify::{Code, Refusal};

use super::{Gate, LEEWAY_SECONDS_DEFAULT, TrustState};
use crate::clock::{Moment, Proven};
use crate::store::{AppliedRow, ClockNoteRow, ClockRow, StoreFault};

impl Gate {
    /// What time it is here. Whoever judges asks for trust first, and then for the time.
    pub fn moment(&self) -> Moment {
        // A store that cannot be read refuses everybody, whatever the time.
        let trust = self.look().unwrap_or_else(|_| self.current.load_full());
        self.clock.look(&trust)
    }

    /// The same in seconds, by the trust that was asked for last: for doors, which have just asked.
    pub(crate) fn time(&self) -> u64 {
        self.clock.look(&self.current.load()).now
    }

    /// Keeps the steady clock for the next process.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn keep_clock(&self) -> Result<(), StoreFault> {
        self.clock.keep(&self.store)
    }
}

impl TrustState {
    /// What is kept of the steady clock.
    pub(crate) fn clock(&self) -> &ClockRow {
        &self.clock
    }

    /// Root's newest note that has set the floor back.
    pub(crate) fn set_back(&self) -> Option<ClockNoteRow> {
        self.set_back
    }

    /// What is proven about the time.
    pub(crate) fn proven(&self) -> Proven {
        let leeway_seconds = self.policy().map_or(LEEWAY_SECONDS_DEFAULT, |policy| policy.leeway_seconds);
        let not_after = self.applied.as_ref().map(|applied| applied.not_after);
        Proven { floor: self.time_floor, not_after, leeway_seconds }
    }

    /// The time given is not behind the time floor, nor behind what this gate has lived through, by more than
    /// the leeway.
    // bundle.md §13.2, §13.7
    pub(super) fn time_sound(&self, now: u64) -> Result<(), Refusal> {
        self.clock_sound(now)?;
        // bundle.md §13.11: what it left out as expired by its own time may be alive.
        match self.set_back.filter(|note| note.seq == self.seq()) {
            Some(note) => {
                let detail = format!("bundle {} bears a wrong time, as root has signed", note.seq);
                Err(Refusal::new(Code::Stale, detail, "Import the mint's newest full bundle."))
            }
            None => Ok(()),
        }
    }

    /// A token was issued since root set the floor back: which were revoked before, a bundle of a wrong time
    /// may have forgotten.
    // bundle.md §13.11
    pub(crate) fn issued_since_set_back(&self, issued_at: Option<u64>) -> Result<(), Refusal> {
        let Some(note) = self.set_back.filter(|note| issued_at.is_none_or(|at| at <= note.floor)) else {
            return Ok(());
        };
        let floor = rfc3339(note.floor);
        let detail = format!("it was issued before {floor}, when root set this gate's time floor back");
        Err(Refusal::new(Code::Revoked, detail, "Ask for a new token."))
    }

    fn clock_sound(&self, now: u64) -> Result<(), Refusal> {
        let Proven { floor, leeway_seconds, .. } = self.proven();
        let lived = self.clock.witness.as_ref().map_or(0, |witness| witness.steady_ms / 1_000);
        let passed = floor.max(lived);
        let behind = passed.saturating_sub(now);
        if behind <= leeway_seconds {
            return Ok(());
        }
        let (clock, proven) = (rfc3339(now), rfc3339(passed));
        let detail = format!("the clock says {clock}, {behind} seconds before {proven}, which has passed");
        let cure = if lived > floor {
            format!(
                "Set this machine's clock; this gate has lived through {proven}. If it was wrong then: \
                 `farside gate clock accept`."
            )
        } else {
            format!("Set this machine's clock; it is later than {proven}.")
        };
        Err(Refusal::new(Code::ClockFault, detail, cure))
    }
}

/// A bundle whose time was wrong counts as made at the floor that root has set.
// bundle.md §13.10
pub(super) fn in_right_time(applied: AppliedRow, set_back: Option<&ClockNoteRow>) -> AppliedRow {
    let Some(note) = set_back.filter(|note| note.seq == applied.seq) else { return applied };
    let back = applied.issued_at.saturating_sub(note.floor);
    AppliedRow {
        issued_at: applied.issued_at - back,
        next_by: applied.next_by.saturating_sub(back),
        not_after: applied.not_after.saturating_sub(back),
        ..applied
    }
}
