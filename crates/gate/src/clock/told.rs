//! What an operator is told of the clock.

use farside_service::cli::Style;
use farside_service::time::rfc3339;
use serde::Serialize;

use super::Moment;
use crate::store::{ClockNoteRow, MintAhead};
use crate::trust::TrustState;

/// This machine's clock against what is known. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The gate's time, by which it judges.
    pub now: u64,
    /// What the machine's clock says.
    pub wall: u64,
    /// What the steady clock says, where it runs.
    pub steady: Option<u64>,
    /// Seconds that the machine's clock is ahead, negative behind; 0 within the leeway.
    pub off_by_seconds: i64,
    /// Since when.
    pub off_since: Option<u64>,
    /// The time that is proven to have passed.
    pub floor: u64,
    /// By how much `now` is behind that; 0 if it is not.
    pub behind_seconds: u64,
    /// The newest bundle that was made later than it is here, and so was refused.
    pub mint_ahead: Option<MintAhead>,
    /// Root's newest note that has set the floor back.
    pub set_back: Option<ClockNoteRow>,
}

impl Seen {
    /// The facts of one moment.
    pub fn of(trust: &TrustState, moment: &Moment) -> Seen {
        Seen {
            now: moment.now,
            wall: moment.wall,
            steady: moment.steady,
            off_by_seconds: moment.off.map_or(0, |off| off.by_seconds),
            off_since: moment.off.and_then(|off| off.since),
            floor: trust.time_floor(),
            behind_seconds: trust.time_floor().saturating_sub(moment.now),
            mint_ahead: trust.clock().mint,
            set_back: trust.set_back(),
        }
    }

    /// What is to be told to people, each with the word it stands under and whether it is an alarm; nothing
    /// where all is well.
    pub fn facts(&self) -> Vec<(&'static str, String, bool)> {
        let off = self.off_line().map(|line| ("clock", line, true));
        let ahead = self.mint_ahead.map(|ahead| {
            let by = span(ahead.issued_at.saturating_sub(ahead.seen_at));
            let line = format!(
                "at least {by} behind the mint's: bundle {} was made at {} and came at {}",
                ahead.seq,
                rfc3339(ahead.issued_at),
                rfc3339(ahead.seen_at),
            );
            ("clock", line, true)
        });
        let back = self.set_back.map(|note| {
            let line = format!(
                "set back by root from {} to {}, on {}",
                rfc3339(note.floor_before),
                rfc3339(note.floor),
                rfc3339(note.acted_at),
            );
            ("floor", line, false)
        });
        off.into_iter().chain(ahead).chain(back).collect()
    }

    /// The same as lines; none where all is well.
    pub fn lines(&self, style: Style) -> Vec<String> {
        let line = |(name, text, alarm): (&str, String, bool)| {
            let line = format!("  {name:<10}{text}");
            if alarm { style.red(&line) } else { line }
        };
        self.facts().into_iter().map(line).collect()
    }

    fn off_line(&self) -> Option<String> {
        let by = span(self.off_by_seconds.unsigned_abs());
        let wall = rfc3339(self.wall);
        let since = self.off_since.map(|since| format!(" since {}", rfc3339(since))).unwrap_or_default();
        match (self.steady, self.off_by_seconds) {
            (_, 0) => None,
            (Some(_), 1..) => Some(format!(
                "{wall}, {by} ahead of this gate's steady clock{since}: set it right, or accept it"
            )),
            (Some(steady), _) => Some(format!(
                "{wall}, {by} behind{since}; this gate goes on by its steady clock, {}",
                rfc3339(steady)
            )),
            (None, _) => Some(format!("{wall}, {by} behind what has passed{since}: set it right")),
        }
    }
}

/// A length of time as people say it; the exact seconds stand beside it in JSON.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(&str, u64); 5] =
        [("years", 31_536_000), ("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let unit = UNITS.iter().find(|(_, size)| seconds >= 2 * size).unwrap_or(&("s", 1));
    format!("{} {}", seconds / unit.1, unit.0)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn lengths_of_time_are_told_in_the_unit_that_people_would_choose() {
        let told: Vec<String> = [0, 61, 119, 120, 7_200, 200_000, 94_608_000].map(span).into();
        assert_eq!(told, ["0 s", "61 s", "119 s", "2 min", "2 h", "2 days", "3 years"]);
    }
}
