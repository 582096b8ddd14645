//! A broken glass in memory: an opened order whose signatures were counted again under the newest charter,
//! and the life of its pass.

use farside_crossing::{Charter, GlassOrder, Refusal, SignedOrder, breakglass};
use farside_service::time::Reading;

use crate::store::GlassRow;

/// An order that is open. What it says was believed from the store as it was from the file.
#[derive(Debug, Clone)]
pub struct Glass {
    signed: SignedOrder,
    pass_sha256: [u8; 32],
    life: Life,
}

impl Glass {
    /// Reads a row by the newest charter: a card that it no longer names holds nothing open.
    // breakglass.md §5.4
    pub(crate) fn read(row: &GlassRow, charter: &Charter, site: &str) -> Result<Option<Glass>, Refusal> {
        let signed = breakglass::open(&row.note, charter, site)?;
        let glass = |pass_sha256| Glass { signed, pass_sha256, life: Life::of(row) };
        Ok(row.pass_sha256.map(glass))
    }

    /// What was signed.
    pub fn order(&self) -> &GlassOrder {
        self.signed.order()
    }

    /// How long its pass counts.
    pub fn life(&self) -> &Life {
        &self.life
    }
}

/// Every order that is open, as of one generation of the store.
#[derive(Debug, Default)]
pub struct Glasses {
    counted: Vec<Glass>,
    unsigned: bool,
}

impl Glasses {
    /// Counts the cards of each under the newest charter.
    pub(crate) fn read(rows: &[GlassRow], charter: Option<&Charter>, site: &str) -> Glasses {
        let mut glasses = Glasses::default();
        for row in rows {
            match charter.map(|charter| Glass::read(row, charter, site)) {
                Some(Ok(glass)) => glasses.counted.extend(glass),
                Some(Err(_)) | None => glasses.unsigned = true,
            }
        }
        glasses
    }

    /// The one whose pass has this hash, if enough cards of the newest charter have signed it.
    pub(crate) fn of_pass(&self, sha256: &[u8; 32]) -> Option<&Glass> {
        self.counted.iter().find(|glass| glass.pass_sha256 == *sha256)
    }

    /// Whether something stands open that opens nothing any more: its time is over, or its cards no longer
    /// count.
    pub(crate) fn has_over(&self, reading: &Reading) -> bool {
        self.unsigned || self.counted.iter().any(|glass| glass.life.seconds_left(reading).is_err())
    }
}

/// How long a pass counts: by the clock that nobody sets, within one start of the machine.
// breakglass.md §5.3
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    boot: String,
    from_ms: u64,
    until_ms: u64,
}

/// Why a pass is over by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Its time has passed.
    Expired,
    /// The machine was started anew.
    Restarted,
}

impl Life {
    /// Begins now, for so many seconds.
    pub(crate) fn begin(reading: &Reading, seconds: u64) -> Life {
        let until_ms = reading.boot_ms.saturating_add(seconds.saturating_mul(1_000));
        Life { boot: reading.boot.clone(), from_ms: reading.boot_ms, until_ms }
    }

    /// As a row has it.
    pub(crate) fn of(row: &GlassRow) -> Life {
        Life { boot: row.boot.clone(), from_ms: row.from_ms, until_ms: row.until_ms }
    }

    /// Which start of the machine, from when and until when.
    pub(crate) fn parts(&self) -> (&str, u64, u64) {
        (&self.boot, self.from_ms, self.until_ms)
    }

    /// The seconds that are left, at least one while it counts.
    ///
    /// # Errors
    /// It is over.
    pub fn seconds_left(&self, reading: &Reading) -> Result<u64, Over> {
        // A machine put back to an earlier state of memory has a clock that went back: another start.
        let same = !self.boot.is_empty() && self.boot == reading.boot && reading.boot_ms >= self.from_ms;
        if !same {
            return Err(Over::Restarted);
        }
        match self.until_ms.saturating_sub(reading.boot_ms) {
            0 => Err(Over::Expired),
            left => Ok(left.div_ceil(1_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_lives_by_the_clock_that_nobody_sets_and_within_one_start() {
        let reading = |boot: &str, boot_ms| Reading { wall_ms: 0, boot_ms, boot: boot.to_owned() };
        let life = Life::begin(&reading("a", 5_000), 60);
        let left = |boot, boot_ms| life.seconds_left(&reading(boot, boot_ms));
        assert_eq!([left("a", 5_000), left("a", 64_999)], [Ok(60), Ok(1)]);
        assert_eq!(left("a", 65_000), Err(Over::Expired));
        assert_eq!([left("b", 6_000), left("a", 4_999), left("", 6_000)], [Err(Over::Restarted); 3]);
        let nameless = Life::begin(&reading("", 5_000), 60);
        assert_eq!(nameless.seconds_left(&reading("", 5_001)), Err(Over::Restarted));
    }
}
