//! The steady clock: how late it is at least, by the one clock of the machine that nobody sets.
//!
//! ```text
//!   stopped ──the wall clock can be right──▶ running: the wall clock's time then, and what has passed since;
//!      ▲                                        │     bundles lift it, small differences are closed slowly,
//!      └──the machine started anew──────────────┘     a wall clock that jumps moves it not at all
//! ```
//!
//! Pure: readings and proofs come in, the gate's time comes out. Refuses nothing itself; whoever judges
//! compares the time it gives with what is proven.

use farside_service::time::Reading;

/// Differences below this are not worth telling, however little the policy forgives.
const OFF_SECONDS_MIN: u64 = 5;

/// A small difference is closed by one part in so many of the time that passes.
const SLEW_PARTS: i64 = 1_000;

/// What bundles and this gate's past say about the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The time floor: it is later than this, Unix seconds.
    pub floor: u64,
    /// Until when what the gate holds may be relied upon; absent before its first bundle.
    pub not_after: Option<u64>,
    /// Tolerance between clocks.
    pub leeway_seconds: u64,
}

/// What is kept of the steady clock, on the disk too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Which start of the machine it belongs to.
    pub boot: String,
    /// Milliseconds since that start, when this was written.
    pub boot_ms: u64,
    /// What the steady clock said then, milliseconds since 1970.
    pub steady_ms: u64,
    /// Since when the wall clock is wrong by more than the leeway, Unix seconds.
    pub off_since: Option<u64>,
}

/// How the wall clock stands to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Off {
    /// Seconds that it is ahead; negative behind.
    pub by_seconds: i64,
    /// Since when, Unix seconds by the steady clock; absent where that is not known.
    pub since: Option<u64>,
}

/// What time it is, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The gate's time, by which everything is judged, Unix seconds.
    pub now: u64,
    /// What the wall clock says.
    pub wall: u64,
    /// What the steady clock says, where it runs.
    pub steady: Option<u64>,
    /// What the wall clock is wrong by, where that is more than the leeway.
    pub off: Option<Off>,
}

impl Moment {
    /// A moment of which nothing else is known.
    pub fn told(now: u64) -> Moment {
        Moment { now, wall: now, steady: None, off: None }
    }

    /// The earliest that it can be: an unconfirmed jump ahead spoils nothing that can wait.
    pub fn earliest(&self) -> u64 {
        self.steady.map_or(self.now, |steady| steady.min(self.now))
    }
}

/// The steady clock of one process.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    witness: Option<Witness>,
    /// Whether the witness is of this start of the machine: the clock runs.
    runs: bool,
}

impl Steady {
    /// Goes on from what was kept; whether it still runs shows at the first look.
    pub fn resume(witness: Option<Witness>) -> Steady {
        // Where the system does not name its starts, each process is one.
        Steady { runs: witness.as_ref().is_some_and(|witness| !witness.boot.is_empty()), witness }
    }

    /// What is to be kept, while the clock runs.
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref().filter(|_| self.runs)
    }

    /// Looks at both clocks.
    // bundle.md §13.6
    pub fn look(&mut self, reading: &Reading, proven: &Proven) -> Moment {
        let tolerance = proven.leeway_seconds.max(OFF_SECONDS_MIN);
        if !self.advance(reading, tolerance) {
            self.start(reading, proven);
        }
        match &mut self.witness {
            Some(running) if self.runs => {
                running.steady_ms = running.steady_ms.max(millis(proven.floor));
                running.moment(reading.wall_ms, tolerance)
            }
            witness => stopped(witness.as_ref(), reading.wall_ms, proven, tolerance),
        }
    }

    /// Adds what has passed; false where the clock does not run in this start of the machine.
    fn advance(&mut self, reading: &Reading, tolerance: u64) -> bool {
        let Some(witness) = self.witness.as_mut().filter(|_| self.runs) else { return false };
        // A machine put back to an earlier state of memory has a clock that went back: another start.
        if witness.boot != reading.boot || reading.boot_ms < witness.boot_ms {
            self.runs = false;
            return false;
        }
        let passed = reading.boot_ms - witness.boot_ms;
        witness.boot_ms = reading.boot_ms;
        witness.steady_ms = witness.steady_ms.saturating_add(passed);
        let ahead = difference(reading.wall_ms, witness.steady_ms);
        if ahead.unsigned_abs() <= millis(tolerance) {
            let most = i64::try_from(passed).unwrap_or(i64::MAX) / SLEW_PARTS;
            witness.steady_ms = witness.steady_ms.saturating_add_signed(ahead.clamp(-most, most));
        }
        true
    }

    /// Begins to run once the wall clock contradicts nothing and something may be believed by it: what says
    /// that all has expired is as likely a clock that is years ahead.
    fn start(&mut self, reading: &Reading, proven: &Proven) {
        let wall = reading.wall_ms / 1_000;
        let before = self.witness.as_ref().map_or(0, |witness| witness.steady_ms);
        let least = proven.floor.max(before / 1_000);
        let sound = wall.saturating_add(proven.leeway_seconds) >= least;
        if !sound || proven.not_after.is_none_or(|not_after| wall > not_after) {
            return;
        }
        let begun = Witness::begun(reading);
        let steady_ms = begun.steady_ms.max(before).max(millis(proven.floor));
        *self = Steady { witness: Some(Witness { steady_ms, ..begun }), runs: true };
    }
}

impl Witness {
    /// Of a clock that begins at this wall clock, whatever was before.
    pub(super) fn begun(reading: &Reading) -> Witness {
        let Reading { wall_ms, boot_ms, boot } = reading.clone();
        Witness { boot, boot_ms, steady_ms: wall_ms, off_since: None }
    }

    fn moment(&mut self, wall_ms: u64, tolerance: u64) -> Moment {
        let (wall, steady) = (wall_ms / 1_000, self.steady_ms / 1_000);
        let ahead = difference(wall_ms, self.steady_ms);
        let off = ahead.unsigned_abs() > millis(tolerance);
        self.off_since = off.then(|| self.off_since.unwrap_or(steady));
        Moment {
            now: wall.max(steady),
            wall,
            steady: Some(steady),
            off: off.then_some(Off { by_seconds: ahead / 1_000, since: self.off_since }),
        }
    }
}

fn stopped(witness: Option<&Witness>, wall_ms: u64, proven: &Proven, tolerance: u64) -> Moment {
    let wall = wall_ms / 1_000;
    let last = witness.map(|witness| witness.steady_ms / 1_000);
    let least = proven.floor.max(last.unwrap_or(0));
    let behind = least.saturating_sub(wall);
    let by_seconds = -i64::try_from(behind).unwrap_or(i64::MAX);
    let off = (behind > tolerance).then_some(Off { by_seconds, since: last });
    Moment { now: wall, wall, steady: None, off }
}

fn millis(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000)
}

/// By how much one is ahead of the other.
fn difference(one: u64, other: u64) -> i64 {
    let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    signed(one).saturating_sub(signed(other))
}

#[cfg(test)]
mod tests;
