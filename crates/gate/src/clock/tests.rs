//! The clock of a gate as many requests at once see it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

static BOOT_MS: AtomicU64 = AtomicU64::new(1);

/// Each reading is a millisecond later than the one before, whoever takes it.
fn ticking() -> Reading {
    let boot_ms = BOOT_MS.fetch_add(1, Ordering::SeqCst);
    std::thread::yield_now();
    Reading { wall_ms: 1_900_000_000_000 + boot_ms, boot_ms, boot: "one".to_owned() }
}

#[test]
fn requests_that_overtake_each_other_never_stop_the_clock() {
    let proven = Proven { floor: 1_899_999_999, not_after: Some(1_900_100_000), leeway_seconds: 60 };
    let clock = GateClock { read: ticking, ..GateClock::resume(&ClockRow::default()) };
    let look = || (0..20_000).all(|_| clock.look_by(&ClockRow::default(), &proven).steady.is_some());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(look)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}
