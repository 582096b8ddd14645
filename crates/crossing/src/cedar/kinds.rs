//! The schema's kinds of entities, and the function that makes times, read once: Cedar parses a name each
//! time that it is given it as text.

use std::str::FromStr as _;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use cedar_policy_core::ast::{Name, RestrictedExpr};

/// One name for each kind.
#[derive(Debug)]
pub(super) struct Kinds {
    pub(super) subject: EntityTypeName,
    pub(super) role: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) audience: EntityTypeName,
    pub(super) host: EntityTypeName,
    pub(super) path: EntityTypeName,
    pub(super) account: EntityTypeName,
    datetime: Name,
}

impl Kinds {
    pub(super) fn read() -> Result<Kinds, String> {
        let read = |name| EntityTypeName::from_str(name).map_err(|error| error.to_string());
        Ok(Kinds {
            subject: read("Subject")?,
            role: read("Role")?,
            group: read("Group")?,
            audience: read("Audience")?,
            host: read("Host")?,
            path: read("Path")?,
            account: read("Account")?,
            datetime: Name::parse_unqualified_name("datetime").map_err(|error| error.to_string())?,
        })
    }

    /// Cedar takes times as text: `2026-11-25T22:05:48Z`.
    pub(super) fn moment(&self, unix: u64) -> RestrictedExpression {
        let (days, seconds) = (unix / 86_400, unix % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        RestrictedExpr::call_extension_fn(self.datetime.clone(), [RestrictedExpr::val(text)]).into()
    }
}

/// `Kind::"id"`.
pub(super) fn uid(kind: &EntityTypeName, id: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// The date of a day since 1970, by the calendar of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_are_dated_as_the_calendar_has_them() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(19_783), (2024, 3, 1));
        assert_eq!(civil(20_782), (2026, 11, 25));
        assert_eq!(civil(2_932_896), (9999, 12, 31));
    }
}
