//! Whether this machine's clock is believed enough to destroy keys by it: what a wrong clock ends is gone for
//! good, and everything else that it does can be put right.
//!
//! ```text
//!   mark: when it was, by a clock that was believed
//!     same start of the machine ─▶ it is now what has passed since, by the clock that nobody sets
//!     another start ─────────────▶ it is later, by as long as the machine can have been off
//!   ahead of that ─▶ doubted ─▶ believed once it has gone on steadily for a day, or on people's word
//! ```
//!
//! For [`rotation`](super), whose rounds ask before they destroy. Kept in the mint's database, so that a mint
//! that is started under a wrong clock doubts it, and so does each single command.

use farside_service::time::{Reading, rfc3339};
use rusqlite::{Connection, OptionalExtension};
use serde_json::json;

use super::RotationFault;
use crate::bundler::Books;
use crate::store::{Store, StoreFault, signed, unsigned};

/// How far the clock may be ahead of the time that has passed.
const LEAP_MILLISECONDS_MAX: u64 = 300_000;

/// How long a machine can have been off, or a mint not asked, before its clock is doubted after a new start.
const OFF_MILLISECONDS_MAX: u64 = 7 * 86_400_000;

/// How long a doubted clock goes on steadily before it is believed: people are given a whole day to see the
/// warning.
const STEADY_MILLISECONDS: u64 = 86_400_000;

/// Of the time that passes, the part by which a believed clock may run fast or slow.
const DRIFT_PARTS: u64 = 1_000;

/// How often a clock that is believed is kept. Each time what the mint knows by heart is read anew.
const KEEP_MILLISECONDS: u64 = 3_600_000;

/// When it was, by one clock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    boot: String,
    boot_ms: u64,
    wall_ms: u64,
}

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kept {
    /// By the clock that is believed; `None` before the first look.
    believed: Option<Mark>,
    /// Since when the clock has said something else, steadily.
    other: Option<Mark>,
}

/// Why no key is destroyed by this clock yet. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What the clock says.
    pub clock: u64,
    /// The latest that it can plausibly be.
    pub at_most: u64,
    /// When the clock will be believed, where it goes on as it does.
    pub until: u64,
}

/// What a look comes to.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    doubt: Option<Doubt>,
    next: Kept,
}

impl Mark {
    fn of(reading: &Reading) -> Mark {
        let Reading { wall_ms, boot_ms, boot } = reading.clone();
        Mark { boot, boot_ms, wall_ms }
    }

    /// How long ago that was; `None` after a new start of the machine.
    fn passed(&self, reading: &Reading) -> Option<u64> {
        let same = !self.boot.is_empty() && self.boot == reading.boot;
        same.then(|| reading.boot_ms.checked_sub(self.boot_ms)).flatten()
    }

    /// The latest that it can be now.
    fn at_most(&self, reading: &Reading) -> u64 {
        let since =
            self.passed(reading).map_or(OFF_MILLISECONDS_MAX, |passed| passed + LEAP_MILLISECONDS_MAX);
        self.wall_ms.saturating_add(since)
    }

    /// The earliest.
    fn at_least(&self, reading: &Reading) -> u64 {
        let passed = self.passed(reading).unwrap_or(0);
        self.wall_ms.saturating_add(passed).saturating_sub(LEAP_MILLISECONDS_MAX)
    }

    /// As it is now, by this clock. Within one start small differences are closed slowly, so that many small
    /// leaps do not come to a large one.
    fn moved_to(&self, reading: &Reading) -> Mark {
        let Some(passed) = self.passed(reading) else { return Mark::of(reading) };
        let (expected, slack) = (self.wall_ms.saturating_add(passed), passed / DRIFT_PARTS);
        let wall_ms = reading.wall_ms.clamp(expected.saturating_sub(slack), expected.saturating_add(slack));
        Mark { wall_ms, ..Mark::of(reading) }
    }
}

impl Kept {
    fn believing(mark: Mark) -> Kept {
        Kept { believed: Some(mark), other: None }
    }

    // keys.md §5.4
    fn judge(&self, reading: &Reading) -> Judged {
        let wall = reading.wall_ms;
        let Some(believed) = &self.believed else {
            return Judged { doubt: None, next: Kept::believing(Mark::of(reading)) };
        };
        let at_most = believed.at_most(reading);
        if wall <= at_most && wall >= believed.at_least(reading) {
            return Judged { doubt: None, next: Kept::believing(believed.moved_to(reading)) };
        }
        let goes_on = |other: &&Mark| {
            let steady = other.passed(reading).is_some();
            steady && wall <= other.at_most(reading) && wall >= other.at_least(reading)
        };
        let other = self.other.as_ref().filter(goes_on).cloned().unwrap_or_else(|| Mark::of(reading));
        if other.passed(reading).is_some_and(|passed| passed >= STEADY_MILLISECONDS) {
            return Judged { doubt: None, next: Kept::believing(Mark::of(reading)) };
        }
        // By a clock that is behind nothing is destroyed before its time.
        let doubt = (wall > at_most).then(|| Doubt {
            clock: wall / 1_000,
            at_most: at_most / 1_000,
            until: other.wall_ms.saturating_add(STEADY_MILLISECONDS) / 1_000,
        });
        Judged { doubt, next: Kept { believed: Some(believed.clone()), other: Some(other) } }
    }

    fn read(connection: &Connection) -> Result<Kept, StoreFault> {
        let select = "SELECT boot, boot_ms, wall_ms FROM clock_mark WHERE believed = ?1";
        let mark = |believed: bool| -> Result<Option<Mark>, StoreFault> {
            let row = connection.prepare_cached(select)?.query_row([believed], |row| {
                Ok(Mark { boot: row.get(0)?, boot_ms: unsigned(row.get(1)?), wall_ms: unsigned(row.get(2)?) })
            });
            Ok(row.optional()?)
        };
        Ok(Kept { believed: mark(true)?, other: mark(false)? })
    }

    fn write(&self, connection: &Connection) -> Result<(), StoreFault> {
        connection.execute("DELETE FROM clock_mark", [])?;
        for (believed, mark) in [(true, &self.believed), (false, &self.other)] {
            if let Some(Mark { boot, boot_ms, wall_ms }) = mark {
                connection.execute(
                    "INSERT INTO clock_mark (believed, boot, boot_ms, wall_ms) VALUES (?1, ?2, ?3, ?4)",
                    (believed, boot, signed(*boot_ms), signed(*wall_ms)),
                )?;
            }
        }
        Ok(())
    }

    /// Whether this is to be kept, after what was kept before.
    fn is_news(&self, before: &Kept) -> bool {
        let old = |mark: &Mark| {
            let past = before.believed.as_ref().filter(|kept| kept.boot == mark.boot);
            past.is_none_or(|kept| mark.boot_ms.abs_diff(kept.boot_ms) >= KEEP_MILLISECONDS)
        };
        self.other != before.other || self.believed.as_ref().is_some_and(old)
    }
}

/// Looks at the clocks, and keeps what they say.
///
/// # Errors
/// What was kept cannot be read, or what is new not be kept.
pub fn look(store: &Store, books: Books<'_>, reading: &Reading) -> Result<Option<Doubt>, RotationFault> {
    let kept = store.read(|transaction| Kept::read(transaction))?;
    let Judged { doubt, next } = kept.judge(reading);
    if !next.is_news(&kept) {
        return Ok(doubt);
    }
    let begins = next.other.is_some() && next.other != kept.other;
    if let Some(doubt) = doubt.filter(|_| begins) {
        let Doubt { clock, at_most, until } = doubt;
        tracing::warn!(
            clock,
            at_most,
            until,
            "the clock is ahead of all that can have passed: no key is \
            destroyed by it"
        );
        record(
            books,
            clock,
            "clock_doubted",
            json!({"by": books.by, "clock": rfc3339(clock),
            "at_most": rfc3339(at_most), "until": rfc3339(until)}),
        )?;
    }
    let adopted = kept.believed.is_some() && kept.other.is_some() && next.other.is_none();
    if adopted && kept.believed.as_ref().is_some_and(|mark| reading.wall_ms > mark.at_most(reading)) {
        let clock = reading.wall_ms / 1_000;
        record(books, clock, "clock_believed", json!({"by": books.by, "clock": rfc3339(clock)}))?;
    }
    store.write(|transaction| next.write(transaction))?;
    Ok(doubt)
}

/// Why the clock is doubted, where it is; nothing is kept.
///
/// # Errors
/// What was kept cannot be read.
pub fn doubt(store: &Store, reading: &Reading) -> Result<Option<Doubt>, StoreFault> {
    Ok(store.read(|transaction| Kept::read(transaction))?.judge(reading).doubt)
}

/// Believes the clock, on people's word.
///
/// # Errors
/// It cannot be written down, or not be kept.
pub fn accept(store: &Store, books: Books<'_>, reading: &Reading, reason: &str) -> Result<(), RotationFault> {
    let clock = reading.wall_ms / 1_000;
    let members = json!({"by": books.by, "clock": rfc3339(clock), "reason": reason});
    record(books, clock, "clock_believed", members)?;
    Ok(store.write(|transaction| Kept::believing(Mark::of(reading)).write(transaction))?)
}

fn record(books: Books<'_>, now: u64, event: &str, members: serde_json::Value) -> Result<(), RotationFault> {
    Ok(books.journal.record_at(now, event, members)?.wait()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    const NOW: u64 = 1_800_000_000_000;

    fn at(boot: &str, boot_ms: u64, wall_ms: u64) -> Reading {
        Reading { wall_ms, boot_ms, boot: boot.to_owned() }
    }

    /// What was kept after these readings, and what the last was doubted for.
    fn after(readings: &[Reading]) -> (Kept, Option<Doubt>) {
        readings.iter().fold((Kept::default(), None), |(kept, _), reading| {
            let Judged { doubt, next } = kept.judge(reading);
            (next, doubt)
        })
    }

    fn doubted(readings: &[Reading]) -> bool {
        after(readings).1.is_some()
    }

    #[test]
    fn a_start_after_more_than_a_machine_can_have_been_off_is_doubted() {
        let begun = at("one", HOUR, NOW);
        assert!(!doubted(&[begun.clone(), at("two", 0, NOW + 7 * DAY)]));
        assert!(doubted(&[begun.clone(), at("two", 0, NOW + 7 * DAY + 1)]));
        // The machine ran all the time: nobody had to ask the mint meanwhile.
        assert!(!doubted(&[begun.clone(), at("one", HOUR + YEAR, NOW + YEAR)]));
        // It ran, and its clock leapt.
        assert!(doubted(&[begun.clone(), at("one", 2 * HOUR, NOW + 2 * HOUR)]));
        // Where the system does not say which start it is, each look may be behind a new one.
        assert!(doubted(&[at("", HOUR, NOW), at("", HOUR + YEAR, NOW + YEAR)]));
    }

    #[test]
    fn a_doubted_clock_is_believed_after_a_steady_day_and_no_sooner() {
        let begun = at("one", HOUR, NOW);
        let wrong = |hours: u64| at("two", hours * HOUR, NOW + YEAR + hours * HOUR);
        assert!(doubted(&[begun.clone(), wrong(0), wrong(23)]));
        assert!(!doubted(&[begun.clone(), wrong(0), wrong(24)]));
        // A new start, or another leap, and the day begins anew.
        let again = at("three", 30 * HOUR, NOW + YEAR + 30 * HOUR);
        assert!(doubted(&[begun.clone(), wrong(0), wrong(23), again.clone()]));
        let leapt = at("two", 24 * HOUR, NOW + 2 * YEAR);
        assert!(doubted(&[begun.clone(), wrong(0), wrong(23), leapt]));
        // Put right, and nothing of the wrong time is left.
        let right = at("three", HOUR, NOW + DAY);
        assert!(!doubted(&[begun.clone(), wrong(0), right.clone()]));
        assert!(doubted(&[begun, wrong(0), right, wrong(24)]));
    }

    #[test]
    fn a_clock_that_goes_back_destroys_nothing_early_and_one_for_a_moment_leaves_nothing() {
        let begun = at("one", HOUR, NOW);
        let dead = at("two", 0, 0);
        assert!(!doubted(&[begun.clone(), dead.clone()]));
        assert!(!doubted(&[begun.clone(), dead.clone(), at("two", HOUR, NOW + DAY)]));
        // A wrong time that was believed is let go by a steady day of the right one.
        let wrong = |hours: u64| at("one", HOUR * hours, NOW + YEAR + hours * HOUR);
        let right = |hours: u64| at("one", HOUR * hours, NOW + hours * HOUR);
        let back = [begun, wrong(2), wrong(26), right(27), right(51)];
        assert!(!doubted(&back[..3]));
        assert!(doubted(&[&back[..], &[wrong(52)]].concat()));
    }

    #[test]
    fn many_small_leaps_do_not_come_to_a_large_one() {
        let minute = |n: u64| at("one", n * 60_000, NOW + n * (60_000 + 200_000));
        let leaps: Vec<Reading> = (0..100).map(minute).collect();
        assert!(!doubted(&leaps[..2]));
        assert!(doubted(&leaps));
    }
}
