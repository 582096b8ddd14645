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
    fn a_bare_number_or_a_foreign_unit_is_refused() {
        for wrong in ["", "15", "m", "15 m", "-1s", "+1s", "1.5h", "1h30m", "1w", "1µ"] {
            assert!(matches!(wrong.parse::<Seconds>(), Err(DurationFault::Shape(_))), "{wrong}");
        }
        assert!(matches!("99999999999999999999s".parse::<Seconds>(), Err(DurationFault::TooLong(_))));
    }
}
