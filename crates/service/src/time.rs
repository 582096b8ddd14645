//! The clock, read here and nowhere else: code that judges takes `now` as an argument, in seconds since 1970.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Where Linux names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A text that is no RFC 3339 time, or a time before 1970.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time such as 2026-11-23T20:00:00Z")]
pub struct TimeFault(pub String);

/// Seconds since 1970 by this machine's clock; a clock set before 1970 reads as 0, which every floor refuses.
#[must_use]
pub fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Microseconds since 1970 by this machine's clock, for what must tell two moments of one second apart.
#[must_use]
pub fn now_unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// What this machine's clocks say at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Milliseconds since 1970 by the clock that people and programs set; 0 before that.
    pub wall_ms: u64,
    /// Milliseconds since the machine started, time asleep included. Nobody sets it.
    pub boot_ms: u64,
    /// Which start of the machine that was; empty where the system does not say.
    pub boot: String,
}

/// Reads both clocks.
#[must_use]
pub fn read_clocks() -> Reading {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall_ms = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Reading { wall_ms, boot_ms: boot_ms(), boot: boot_id().to_owned() }
}

/// A process lives within one start of the machine.
fn boot_id() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned())
}

/// Through the C library, as the other clock: what stands between a program and its clocks stands before
/// both.
#[cfg(target_os = "linux")]
fn boot_ms() -> u64 {
    let since = clock_gettime(ClockId::CLOCK_BOOTTIME).map(std::time::Duration::from);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Where the system counts no time asleep, a machine that slept has a clock that went ahead.
#[cfg(not(target_os = "linux"))]
fn boot_ms() -> u64 {
    let since = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The time as RFC 3339 in UTC; beyond year 9999 the bare number of seconds.
///
/// ```
/// assert_eq!(farside_service::time::rfc3339(0), "1970-01-01T00:00:00Z");
/// ```
#[must_use]
pub fn rfc3339(unix: u64) -> String {
    let stamp = i64::try_from(unix).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    stamp.map_or_else(|| unix.to_string(), |stamp| stamp.to_string())
}

/// Seconds since 1970 of an RFC 3339 time; fractions are cut off.
///
/// # Errors
/// Not such a time, or before 1970.
pub fn parse_rfc3339(text: &str) -> Result<u64, TimeFault> {
    let fault = || TimeFault(text.chars().take(40).collect());
    let stamp: Timestamp = text.parse().map_err(|_| fault())?;
    u64::try_from(stamp.as_second()).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_round() {
        for unix in [0, 1, 1_795_464_000, 253_402_207_200] {
            assert_eq!(parse_rfc3339(&rfc3339(unix)), Ok(unix));
        }
    }

    #[test]
    fn the_clock_since_the_start_goes_on_and_the_start_keeps_its_name() {
        let (one, two) = (read_clocks(), read_clocks());
        assert!(one.boot_ms > 0 && one.boot_ms <= two.boot_ms, "{one:?} {two:?}");
        assert_eq!(one.boot, two.boot);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in ["", "yesterday", "1969-12-31T23:59:59Z", "2026-11-23"] {
            assert!(parse_rfc3339(wrong).is_err(), "{wrong}");
        }
    }
}
