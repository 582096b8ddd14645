//! What a disk may do with writes that nobody had synced when the power went: the one list of it, used by
//! every scenario.
//!
//! All of them are kept, or none, or the oldest so many, or any subset of the newest six; one of them is torn
//! at a boundary of 512 or of 4,096 bytes, either side kept; one bit of one of them is turned.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// The unit that a disk writes whole, and that of many file systems and of SQLite.
const TORN_AT_BYTES: [u64; 2] = [512, 4096];
/// Of so many unsynced changes, the newest, every subset is tried.
const SUBSET_OF_MAX: usize = 6;
/// Boundaries of each kind at which one long write is torn, evenly spread.
const TEARS_OF_A_WRITE_MAX: u64 = 8;
/// Bits turned in one write after each change.
const FLIPS_OF_A_WRITE: u64 = 3;

/// What became of the pending changes; they are numbered from the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// All of them had reached the disk.
    Nothing,
    /// None of them had.
    Everything,
    /// The oldest so many had.
    AllBut {
        /// How many were kept.
        kept: usize,
    },
    /// Of the newest, those whose bit is set (the newest has the lowest) had.
    Subset {
        /// The newest that were kept.
        newest: u8,
        /// Whether all older ones had.
        older: bool,
    },
    /// All had, but one write only up to a place in its file.
    TornEnd {
        /// The write.
        which: usize,
        /// Where its file's old bytes begin.
        at: u64,
    },
    /// All had, but one write only from a place in its file on.
    TornStart {
        /// The write.
        which: usize,
        /// Where its new bytes begin.
        at: u64,
    },
    /// All had, but one write with a bit turned.
    Flipped {
        /// The write.
        which: usize,
        /// Counted through its bytes.
        bit: u64,
    },
}

/// What becomes of one pending change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Lost,
    UpTo(u64),
    From(u64),
    Flipped(u64),
}

/// What the latest change did to the pending ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Latest {
    /// It is pending itself: whatever lacks it was tried before it.
    Pending,
    /// It kept some of them for good, or told the world something: all must be tried again.
    Other,
}

impl Loss {
    /// Every loss that is new after the latest change. `pending` has for each pending change the bytes it
    /// covers, if it is a write; `salt` chooses the bits that are turned.
    pub(crate) fn all(pending: &[Option<(u64, u64)>], latest: Latest, salt: u64) -> Vec<Loss> {
        let mut losses = vec![Loss::Nothing, Loss::Everything];
        let count = pending.len();
        if latest == Latest::Other {
            losses.extend((1..count).map(|kept| Loss::AllBut { kept }));
        }
        let newest = count.min(SUBSET_OF_MAX);
        for mask in 0..1_u8 << newest {
            if latest == Latest::Other || mask & 1 == 1 {
                losses.push(Loss::Subset { newest: mask, older: true });
                if count > newest {
                    losses.push(Loss::Subset { newest: mask, older: false });
                }
            }
        }
        for (which, covers) in pending.iter().enumerate().skip(count - newest) {
            let Some((offset, length)) = *covers else { continue };
            for at in tears(offset, length) {
                losses.extend([Loss::TornEnd { which, at }, Loss::TornStart { which, at }]);
            }
            let turned = (0..FLIPS_OF_A_WRITE).map(|flip| mixed(salt ^ (which as u64) << 32 ^ flip << 48));
            losses.extend(turned.map(|random| Loss::Flipped { which, bit: random % (length * 8) }));
        }
        losses
    }

    pub(crate) fn fate(self, index: usize, count: usize) -> Fate {
        let kept = |kept| if kept { Fate::Kept } else { Fate::Lost };
        match self {
            Loss::Nothing => Fate::Kept,
            Loss::Everything => Fate::Lost,
            Loss::AllBut { kept: oldest } => kept(index < oldest),
            Loss::Subset { newest, older } => {
                let age = count - 1 - index;
                kept(if age < SUBSET_OF_MAX { newest & 1 << age != 0 } else { older })
            }
            Loss::TornEnd { which, at } if which == index => Fate::UpTo(at),
            Loss::TornStart { which, at } if which == index => Fate::From(at),
            Loss::Flipped { which, bit } if which == index => Fate::Flipped(bit),
            Loss::TornEnd { .. } | Loss::TornStart { .. } | Loss::Flipped { .. } => Fate::Kept,
        }
    }
}

impl Fate {
    /// What reaches the disk of a write, and where.
    pub(crate) fn of_write(self, offset: u64, data: &[u8]) -> (u64, Cow<'_, [u8]>) {
        let split = |at: u64| at.saturating_sub(offset).min(data.len() as u64) as usize;
        match self {
            Fate::Kept => (offset, data.into()),
            Fate::Lost => (offset, Cow::default()),
            Fate::UpTo(at) => (offset, data[..split(at)].into()),
            Fate::From(at) => (offset + split(at) as u64, data[split(at)..].into()),
            Fate::Flipped(bit) => {
                let mut data = data.to_vec();
                data[(bit / 8) as usize] ^= 1 << (bit % 8);
                (offset, data.into())
            }
        }
    }
}

/// The places within a write at which it may be torn.
fn tears(offset: u64, length: u64) -> BTreeSet<u64> {
    let boundaries = TORN_AT_BYTES.into_iter().flat_map(|unit| {
        let (first, last) = (offset / unit + 1, (offset + length).div_ceil(unit));
        let step = (last.saturating_sub(first)).div_ceil(TEARS_OF_A_WRITE_MAX).max(1);
        (first..last).step_by(step as usize).map(move |number| number * unit)
    });
    boundaries.collect()
}

/// Spreads numbers evenly over 64 bits, always alike (splitmix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subset_of_six_every_prefix_and_both_sides_of_every_tear_are_listed() {
        let pending = [Some((0, 100)), None, Some((500, 100)), Some((4000, 8000)), None, Some((0, 1)), None];
        let losses = Loss::all(&pending, Latest::Other, 1);
        let count = |wanted: fn(&Loss) -> bool| losses.iter().filter(|loss| wanted(loss)).count();
        assert_eq!(count(|loss| matches!(loss, Loss::AllBut { .. })), 6);
        assert_eq!(count(|loss| matches!(loss, Loss::Subset { .. })), 128);
        assert!(losses.contains(&Loss::TornEnd { which: 2, at: 512 }));
        assert!(losses.contains(&Loss::TornStart { which: 3, at: 8192 }));
        let tears_of = |number| {
            losses.iter().filter(|l| matches!(l, Loss::TornEnd { which, .. } if *which == number)).count()
        };
        assert_eq!((tears_of(2), tears_of(5)), (1, 0), "a sector is written whole");
        assert_eq!(count(|loss| matches!(loss, Loss::Flipped { .. })), 9);
    }
}
