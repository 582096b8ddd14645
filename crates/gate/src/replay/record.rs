//! What the replay store writes down, one record for each request: spelled and read in one place.
//!
//! ```text
//!   taken     1 · (kind u8 · until u64 · key 16 B) for each entry
//!   standing  2 · forgotten u64 · since u64 · first u64
//! ```
//!
//! Integers are little-endian. The newest standing holds: everything that ends by `forgotten`, and everything
//! that could be shown by `since`, is refused; records before number `first` may be gone.

use crate::judge::Once;
use crate::replay::seen::{KEY_BYTES, Key, short};

const TAKEN: u8 = 1;
const STANDING: u8 = 2;
const ENTRY_BYTES: usize = 1 + 8 + KEY_BYTES;

/// What holds of a store as a whole.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What ends by then is not remembered any more.
    pub(crate) forgotten: u64,
    /// What was shown until then is not known.
    pub(crate) since: u64,
    /// Records before this number may be gone.
    pub(crate) first: u64,
}

/// One record, read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Entries, with their ends.
    Taken(Vec<(Key, u64)>),
    /// See [`Standing`].
    Standing(Standing),
}

/// The record of entries taken together.
pub(crate) fn taken(once: &[Once]) -> Vec<u8> {
    let mut record = Vec::with_capacity(1 + once.len() * ENTRY_BYTES);
    record.push(TAKEN);
    for one in once {
        record.push(one.kind().number());
        record.extend_from_slice(&one.until().to_le_bytes());
        record.extend_from_slice(&short(one.key()));
    }
    record
}

impl Standing {
    /// Its record.
    pub(crate) fn record(&self) -> Vec<u8> {
        let numbers = [self.forgotten, self.since, self.first].map(u64::to_le_bytes);
        [&[STANDING], numbers.as_flattened()].concat()
    }
}

/// Reads a record; `None` where it is none of ours.
pub(crate) fn read(record: &[u8]) -> Option<Read> {
    match record.split_first()? {
        (&TAKEN, entries) if !entries.is_empty() => {
            let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
            let entry = |entry: &[u8; ENTRY_BYTES]| {
                let (until, key) = entry[1..].split_first_chunk::<8>()?;
                Some((key.try_into().ok()?, u64::from_le_bytes(*until)))
            };
            let entries = entries.iter().map(entry).collect::<Option<Vec<_>>>()?;
            rest.is_empty().then_some(Read::Taken(entries))
        }
        (&STANDING, numbers) => {
            let (numbers, rest) = numbers.as_chunks::<8>();
            let [forgotten, since, first] = *numbers.as_array::<3>()?;
            let [forgotten, since, first] = [forgotten, since, first].map(u64::from_le_bytes);
            rest.is_empty().then_some(Read::Standing(Standing { forgotten, since, first }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_nothing_else_reads() {
        let once = [Once::proof(&[7; 32], "a", 1, 1_000), Once::proof(&[7; 32], "b", 1, 2_000)];
        let record = taken(&once);
        let entries = once.map(|one| (short(one.key()), one.until())).to_vec();
        assert_eq!(read(&record), Some(Read::Taken(entries)));
        let standing = Standing { forgotten: 1, since: 2, first: 3 };
        assert_eq!(read(&standing.record()), Some(Read::Standing(standing)));
        for cut in 0..record.len() {
            let whole = cut == 1 + ENTRY_BYTES;
            assert_eq!(read(&record[..cut]).is_some(), whole, "{cut} bytes");
        }
        assert_eq!(read(&[3, 0, 0]), None);
        assert_eq!(read(&[&standing.record()[..], &[0]].concat()), None);
    }
}
