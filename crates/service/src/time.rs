//! The clock, read here and nowhere else: code that judges takes `now` as an argument, in seconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

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
    fn what_is_no_time_is_refused() {
        for wrong in ["", "yesterday", "1969-12-31T23:59:59Z", "2026-11-23"] {
            assert!(parse_rfc3339(wrong).is_err(), "{wrong}");
        }
    }
}
