//! Time in the simulator: one true time, and the clocks of the two sides, which differ from it.

use std::cell::Cell;

use farside_service::time::Reading;

thread_local! {
    /// What the mint's log takes for the clock; each world lives on one thread.
    static MICROS: Cell<u64> = const { Cell::new(0) };
}

/// Sets the clock that [`micros`] reads. Within a second it goes on.
pub(super) fn set(now: u64) {
    if MICROS.get() / 1_000_000 != now {
        MICROS.set(now * 1_000_000);
    }
}

/// The clock of the mint's log. Each reading takes a microsecond: two heads are never signed at one instant.
pub(super) fn micros() -> u64 {
    MICROS.set(MICROS.get() + 1);
    MICROS.get()
}

/// Both clocks of the mint's machine, which never starts anew.
pub(super) fn reading() -> Reading {
    let ms = MICROS.get() / 1_000;
    Reading { wall_ms: ms, boot_ms: ms, boot: "the only one".to_owned() }
}

/// A clock that is off by so much, and drifts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    pub(super) offset_seconds: i64,
    /// Parts per million; 23 are two seconds a day.
    pub(super) drift_ppm: i64,
    pub(super) set_at: u64,
}

impl Clock {
    /// What it shows at the true time `now`.
    pub(super) fn shows(&self, now: u64) -> u64 {
        let since = i64::try_from(now.saturating_sub(self.set_at)).unwrap_or(i64::MAX / 1_000_000);
        let off = self.offset_seconds + since * self.drift_ppm / 1_000_000;
        now.saturating_add_signed(off)
    }

    /// Somebody sets it, to so many seconds beside the truth.
    pub(super) fn set(&mut self, now: u64, offset_seconds: i64) {
        (self.offset_seconds, self.set_at) = (offset_seconds, now);
    }
}
