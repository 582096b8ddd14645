//! Lengths of time as people write them: `90s`, `15m`, `24h`, `30d`. For configuration and command lines.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// The longest length accepted: a hundred years of 365 days.
pub const SECONDS_MAX: u64 = 100 * 365 * 86_400;

/// A whole number of seconds, at most [`SECONDS_MAX`].
///
/// ```
/// use farside_service::duration::Seconds;
/// let courier: Seconds = "24h".parse().unwrap();
/// assert_eq!(courier.0, 86_400);
/// assert_eq!(courier.to_string(), "1d");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(pub u64);

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationFault {
    /// Not a whole number followed by one unit.
    #[error("`{0}` is not a length of time: write a whole number and a unit, such as 90s, 15m, 24h or 30d")]
    Shape(String),
    /// Above [`SECONDS_MAX`].
    #[error("`{0}` is longer than a hundred years")]
    TooLong(String),
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Seconds {
    /// For the standard library's timers.
    #[must_use]
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }
}

impl FromStr for Seconds {
    type Err = DurationFault;

    fn from_str(text: &str) -> Result<Self, DurationFault> {
        let shown = || text.chars().take(40).collect::<String>();
        let shape = || DurationFault::Shape(shown());
        let unit = text.chars().last().ok_or_else(shape)?;
        let (_, factor) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(shape)?;
        let digits = text.strip_suffix(unit).ok_or_else(shape)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(shape());
        }
        let seconds = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(*factor));
        match seconds {
            Some(seconds) if seconds <= SECONDS_MAX => Ok(Self(seconds)),
            _ => Err(DurationFault::TooLong(shown())),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |factor: u64| self.0 != 0 && self.0.is_multiple_of(factor);
        let (letter, factor) = UNITS.into_iter().find(|(_, factor)| whole(*factor)).unwrap_or(('s', 1));
        write!(f, "{}{letter}", self.0 / factor)
    }
}

/// A length of time for eyes: its one or two largest units, cut off, as in `40 min` or `2 d 3 h`.
///
/// ```
/// assert_eq!(farside_service::duration::about(2 * 86_400 + 3 * 3_600 + 59), "2 d 3 h");
/// ```
#[must_use]
pub fn about(seconds: u64) -> String {
    const NAMES: [&str; 4] = ["d", "h", "min", "s"];
    let Some(large) = UNITS.iter().position(|(_, factor)| seconds >= *factor) else {
        return "0 s".to_owned();
    };
    let count = seconds / UNITS[large].1;
    let rest = UNITS.get(large + 1).map_or(0, |(_, factor)| seconds % UNITS[large].1 / factor);
    // Seconds beside many minutes, or hours beside many days, only distract.
    let matters = match NAMES[large] {
        "d" => count < 7,
        "min" => count < 5,
        _ => true,
    };
    match rest {
        rest if rest > 0 && matters => format!("{count} {} {rest} {}", NAMES[large], NAMES[large + 1]),
        _ => format!("{count} {}", NAMES[large]),
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as \"15m\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, seconds, spelled) in [
            ("90s", 90, "90s"),
            ("15m", 900, "15m"),
            ("24h", 86_400, "1d"),
            ("30d", 2_592_000, "30d"),
            ("0s", 0, "0s"),
        ] {
            let read: Seconds = text.parse().unwrap();
            assert_eq!((read.0, read.to_string().as_str()), (seconds, spelled));
        }
    }

    #[test]
    fn about_cuts_off_and_never_says_more_than_there_is() {
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (299, "4 min 59 s"),
            (2_459, "40 min"),
            (7_500, "2 h 5 min"),
            (86_399, "23 h 59 min"),
            (86_400 * 3, "3 d"),
            (86_400 * 6 + 3_600, "6 d 1 h"),
            (86_400 * 30 + 7_200, "30 d"),
        ] {
            assert_eq!(about(seconds), told);
        }
    }

    #[test]
    fn a_bare_number_or_a_foreign_unit_is_refused() {
        for wrong in ["", "15", "m", "15 m", "-1s", "+1s", "1.5h", "1h30m", "1w", "1µ"] {
            assert!(matches!(wrong.parse::<Seconds>(), Err(DurationFault::Shape(_))), "{wrong}");
        }
        assert!(matches!("99999999999999999999s".parse::<Seconds>(), Err(DurationFault::TooLong(_))));
    }
}
