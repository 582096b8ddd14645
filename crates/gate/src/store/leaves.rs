//! Leaf hashes of the issuance log in chunks of a thousand: written once, looked up one at a time.

use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreFault, signed, unsigned};

/// Leaves in one row: 32 KiB, so that one lookup reads few pages and a million leaves are a thousand rows.
const CHUNK_LEAVES_MAX: usize = 1024;

/// Bytes of one leaf hash.
const HASH_BYTES: usize = 32;

/// A position already holds another leaf: the log it came from has been rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafConflict {
    /// The shard.
    pub shard: String,
    /// The first position that differs.
    pub index: u64,
}

/// Adds a run of leaves beginning at `first`. Leaves already held must be the same; only new ones are written.
pub(crate) fn add_run(
    connection: &Connection,
    shard: &str,
    first: u64,
    hashes: &[[u8; HASH_BYTES]],
) -> Result<Result<u64, LeafConflict>, StoreFault> {
    let held = length(connection, shard)?;
    let overlap = usize::try_from(held.saturating_sub(first)).unwrap_or(usize::MAX).min(hashes.len());
    let (old, new) = hashes.split_at(overlap);
    for (index, hash) in (first..).zip(old) {
        if leaf(connection, shard, index)?.is_some_and(|held| held != *hash) {
            return Ok(Err(LeafConflict { shard: shard.to_owned(), index }));
        }
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO leaves (shard, first, count, hashes) VALUES (?1, ?2, ?3, ?4)")?;
    let mut at = first + overlap as u64;
    for chunk in new.chunks(CHUNK_LEAVES_MAX) {
        let count = chunk.len() as u64;
        statement.execute(params![
            shard,
            signed(at, "leaf index")?,
            signed(count, "count")?,
            chunk.as_flattened()
        ])?;
        at += count;
    }
    Ok(Ok(new.len() as u64))
}

/// One past the highest position held.
pub(crate) fn length(connection: &Connection, shard: &str) -> Result<u64, StoreFault> {
    let mut statement = connection
        .prepare_cached("SELECT first + count FROM leaves WHERE shard = ?1 ORDER BY first DESC LIMIT 1")?;
    let held: Option<i64> = statement.query_row([shard], |row| row.get(0)).optional()?;
    unsigned(held.unwrap_or(0), "leaf count")
}

/// The leaf at one position, if it has crossed.
pub(crate) fn leaf(
    connection: &Connection,
    shard: &str,
    index: u64,
) -> Result<Option<[u8; HASH_BYTES]>, StoreFault> {
    let Ok(index) = i64::try_from(index) else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT substr(hashes, (?2 - first) * 32 + 1, 32) FROM leaves
         WHERE shard = ?1 AND first <= ?2 AND ?2 < first + count ORDER BY first DESC LIMIT 1",
    )?;
    let found: Option<Vec<u8>> = statement.query_row(params![shard, index], |row| row.get(0)).optional()?;
    found.map(|hash| hash.try_into().map_err(|_| StoreFault::Damaged("leaf"))).transpose()
}

/// How many leaves are held.
pub(crate) fn count(connection: &Connection) -> Result<u64, StoreFault> {
    let held: i64 =
        connection.query_row("SELECT coalesce(sum(count), 0) FROM leaves", [], |row| row.get(0))?;
    unsigned(held, "leaf count")
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn hashes(range: std::ops::Range<u64>) -> Vec<[u8; 32]> {
        range.map(|n| std::array::from_fn(|i| (n >> (8 * (i % 8))) as u8)).collect()
    }

    #[test]
    fn runs_join_and_every_leaf_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("gate.db"), "alpha").unwrap();
        store
            .write(|tx| {
                assert_eq!(add_run(tx, "a", 0, &hashes(0..1500))?, Ok(1500));
                // The next run repeats what crossed before, as a full bundle does.
                assert_eq!(add_run(tx, "a", 0, &hashes(0..1600))?, Ok(100));
                assert_eq!(length(tx, "a")?, 1600);
                for index in [0, 1023, 1024, 1499, 1500, 1599] {
                    assert_eq!(leaf(tx, "a", index)?, Some(hashes(index..index + 1)[0]));
                }
                assert_eq!(leaf(tx, "a", 1600)?, None);
                assert_eq!(leaf(tx, "b", 0)?, None);
                Ok::<_, StoreFault>(())
            })
            .unwrap();
    }

    #[test]
    fn a_rewritten_leaf_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("gate.db"), "alpha").unwrap();
        store
            .write(|tx| {
                assert_eq!(add_run(tx, "a", 0, &hashes(0..10))?, Ok(10));
                let mut other = hashes(0..11);
                other[7][0] ^= 1;
                let conflict = LeafConflict { shard: "a".to_owned(), index: 7 };
                assert_eq!(add_run(tx, "a", 0, &other)?, Err(conflict));
                Ok::<_, StoreFault>(())
            })
            .unwrap();
    }
}
