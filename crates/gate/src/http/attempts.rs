//! Counts failed attempts, so that a claim phrase cannot be found by trying.
//!
//! One allowance for each name that is tried and one for the door as a whole, refilled with time. Bounded:
//! when too many names are remembered, further ones share the door's allowance alone. The clock is an
//! argument.

use std::collections::HashMap;

/// Failed attempts on one name before it must wait.
pub const FAILURES_PER_NAME_MAX: u32 = 5;
/// Failed attempts at the whole door before everyone must wait.
pub const FAILURES_MAX: u32 = 60;
/// Time in which failed attempts are counted.
pub const WINDOW_SECONDS: u64 = 300;
/// Names remembered at once.
pub const NAMES_MAX: usize = 10_000;

/// Failed attempts of the current window.
#[derive(Debug, Default)]
pub struct Attempts {
    window: u64,
    all: u32,
    by_name: HashMap<[u8; 32], u32>,
}

/// Too many attempts have failed; wait so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts have failed; wait {wait_seconds} seconds")]
pub struct TooMany {
    /// How long to wait.
    pub wait_seconds: u64,
}

impl Attempts {
    /// Takes one attempt before it is judged, so that many at once cannot slip through; give it back with
    /// [`Attempts::succeeded`].
    ///
    /// # Errors
    /// [`TooMany`], with the time to wait.
    pub fn take(&mut self, name: &[u8; 32], now: u64) -> Result<(), TooMany> {
        self.turn(now);
        let wait = TooMany { wait_seconds: WINDOW_SECONDS - now % WINDOW_SECONDS };
        let known = self.by_name.get(name).copied().unwrap_or(0);
        if known >= FAILURES_PER_NAME_MAX || self.all >= FAILURES_MAX {
            return Err(wait);
        }
        self.all += 1;
        if known > 0 || self.by_name.len() < NAMES_MAX {
            self.by_name.insert(*name, known + 1);
        }
        Ok(())
    }

    /// The attempt was good: it does not count.
    pub fn succeeded(&mut self, name: &[u8; 32], now: u64) {
        self.turn(now);
        self.all = self.all.saturating_sub(1);
        if let Some(known) = self.by_name.get_mut(name) {
            *known = known.saturating_sub(1);
        }
    }

    fn turn(&mut self, now: u64) {
        let window = now / WINDOW_SECONDS;
        // A clock set back must not hand out new attempts.
        if window > self.window {
            *self = Self { window, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_closed_after_its_failures_and_opens_with_the_next_window() {
        let mut attempts = Attempts::default();
        for _ in 0..FAILURES_PER_NAME_MAX {
            attempts.take(&[1; 32], 900).unwrap();
        }
        assert_eq!(attempts.take(&[1; 32], 901), Err(TooMany { wait_seconds: 299 }));
        attempts.take(&[2; 32], 901).unwrap();
        assert!(attempts.take(&[1; 32], 10).is_err(), "a clock set back opens nothing");
        attempts.take(&[1; 32], 1_200).unwrap();
    }

    #[test]
    fn success_does_not_count() {
        let mut attempts = Attempts::default();
        for _ in 0..FAILURES_MAX * 2 {
            attempts.take(&[1; 32], 900).unwrap();
            attempts.succeeded(&[1; 32], 900);
        }
    }

    #[test]
    fn the_door_closes_for_all_when_many_names_are_tried() {
        let mut attempts = Attempts::default();
        for n in 0..FAILURES_MAX {
            attempts.take(&[u8::try_from(n).unwrap(); 32], 900).unwrap();
        }
        assert!(attempts.take(&[255; 32], 900).is_err());
    }
}
