//! Leaf hashes of the issuance log in chunks of a thousand: written once, looked up one at a time.

use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreFault, natural, signed, unsigned};

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

/// Adds a run of leaves beginning at `first`. Leaves already held must be the same; only new ones are
/// written.
pub(crate) fn add_run(
    connection: &Connection,
    shard: &str,
    first: u64,
    hashes: &[[u8; HASH_BYTES]],
) -> Result<Result<u64, LeafConflict>, StoreFault> {
    let mut added = 0;
    let mut at = first;
    let mut rest = hashes;
    for held in overlapping(connection, shard, first, first + hashes.len() as u64)? {
        // What lies before this chunk is new.
        let (new, after) = rest.split_at(distance(at, held.first).min(rest.len()));
        added += insert(connection, shard, at, new)?;
        at += new.len() as u64;
        let known = held.hashes.get(distance(held.first, at)..).unwrap_or_default();
        let (same, after) = after.split_at(known.len().min(after.len()));
        if let Some(differs) = same.iter().zip(known).position(|(new, old)| new != old) {
            return Ok(Err(LeafConflict { shard: shard.to_owned(), index: at + differs as u64 }));
        }
        at += same.len() as u64;
        rest = after;
    }
    Ok(Ok(added + insert(connection, shard, at, rest)?))
}

/// Forgets a shard's log and begins it anew with this run.
pub(crate) fn replace_log(
    connection: &Connection,
    shard: &str,
    first: u64,
    hashes: &[[u8; HASH_BYTES]],
) -> Result<u64, StoreFault> {
    connection.execute("DELETE FROM leaves WHERE shard = ?1", [shard])?;
    insert(connection, shard, first, hashes)
}

/// Leaves that are held already.
struct Chunk {
    first: u64,
    hashes: Vec<[u8; HASH_BYTES]>,
}

/// The chunks that share positions with `from..to`, in order. A run that repeats the whole log reads all of
/// it once.
fn overlapping(connection: &Connection, shard: &str, from: u64, to: u64) -> Result<Vec<Chunk>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT first, hashes FROM leaves
         WHERE shard = ?1 AND first < ?3 AND first + count > ?2 ORDER BY first",
    )?;
    let range = params![shard, signed(from, "leaf index")?, signed(to, "leaf index")?];
    let rows = statement.query_map(range, |row| {
        let hashes: Vec<u8> = row.get(1)?;
        Ok(Chunk { first: natural(row, 0)?, hashes: hashes.as_chunks().0.to_vec() })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn insert(
    connection: &Connection,
    shard: &str,
    first: u64,
    hashes: &[[u8; HASH_BYTES]],
) -> Result<u64, StoreFault> {
    let mut statement = connection
        .prepare_cached("INSERT INTO leaves (shard, first, count, hashes) VALUES (?1, ?2, ?3, ?4)")?;
    let mut at = first;
    for chunk in hashes.chunks(CHUNK_LEAVES_MAX) {
        let count = chunk.len() as u64;
        let numbers = (signed(at, "leaf index")?, signed(count, "count")?);
        statement.execute(params![shard, numbers.0, numbers.1, chunk.as_flattened()])?;
        at += count;
    }
    Ok(hashes.len() as u64)
}

/// How far `to` lies behind `from`; 0 where it lies before.
fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
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
                assert_eq!(count(tx)?, 1600);
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
    fn a_hole_is_filled_by_a_later_run() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("gate.db"), "alpha").unwrap();
        store
            .write(|tx| {
                assert_eq!(add_run(tx, "a", 5, &hashes(5..10))?, Ok(5));
                assert_eq!(add_run(tx, "a", 20, &hashes(20..30))?, Ok(10));
                assert_eq!(add_run(tx, "a", 0, &hashes(0..40))?, Ok(25));
                for index in 0..40 {
                    assert_eq!(leaf(tx, "a", index)?, Some(hashes(index..index + 1)[0]), "{index}");
                }
                assert_eq!(count(tx)?, 40);
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
