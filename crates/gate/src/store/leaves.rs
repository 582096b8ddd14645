//! Leaf hashes of the issuance log in chunks of a thousand: written once, looked up one at a time, forgotten
//! when no token needs them any more. What comes here has been proven against a signed head.

use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreFault, natural, signed, unsigned};

/// Leaves in one row: 32 KiB, so that one lookup reads few pages and a million leaves are a thousand rows.
pub(crate) const CHUNK_LEAVES_MAX: usize = 1024;

/// Bytes of one leaf hash.
const HASH_BYTES: usize = 32;

/// A leaf hash.
type Hash = [u8; HASH_BYTES];

/// Consecutive leaves as one row holds them.
pub(crate) struct LeafChunk {
    pub(crate) id: i64,
    pub(crate) first: u64,
    pub(crate) hashes: std::sync::Arc<[Hash]>,
}

/// Adds a run of leaves beginning at `first`, brought by a bundle of `issued_at`, and answers how many were
/// new. Leaves already held must be the same.
pub(crate) fn add_run(
    connection: &Connection,
    (shard, issued_at): (&str, u64),
    first: u64,
    hashes: &[Hash],
) -> Result<u64, StoreFault> {
    let (mut added, mut at, mut rest) = (0, first, hashes);
    let mut statement = connection.prepare_cached(
        "SELECT id, first, hashes FROM leaves
         WHERE shard = ?1 AND first < ?3 AND first > ?2 - ?4 AND first + count > ?2 ORDER BY first",
    )?;
    let range = (signed(first, "leaf index")?, signed(first + hashes.len() as u64, "leaf index")?);
    let held = statement.query_map(params![shard, range.0, range.1, CHUNK_LEAVES_MAX as i64], chunk)?;
    for held in held.collect::<Result<Vec<_>, _>>()? {
        // What lies before this chunk is new.
        let (new, after) = rest.split_at(distance(at, held.first).min(rest.len()));
        added += insert(connection, (shard, issued_at), at, new)?;
        at += new.len() as u64;
        let known = held.hashes.get(distance(held.first, at)..).unwrap_or_default();
        let (same, after) = after.split_at(known.len().min(after.len()));
        // Both were proven to stand under one log: it is the disk that lies.
        if same != &known[..same.len()] {
            return Err(StoreFault::Damaged("log leaves"));
        }
        at += same.len() as u64;
        rest = after;
    }
    Ok(added + insert(connection, (shard, issued_at), at, rest)?)
}

/// Writes new leaves, into the last chunk first where it has room: a log that crosses five leaves at a time
/// is held in no more rows than one that crosses at once.
fn insert(
    connection: &Connection,
    (shard, issued_at): (&str, u64),
    first: u64,
    hashes: &[Hash],
) -> Result<u64, StoreFault> {
    if hashes.is_empty() {
        return Ok(0);
    }
    let mut write = connection.prepare_cached(
        "INSERT INTO leaves (shard, first, count, issued_at, hashes) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut row = |first: u64, hashes: &[Hash]| -> Result<(), StoreFault> {
        let numbers = (signed(first, "leaf index")?, signed(hashes.len() as u64, "count")?);
        write.execute(params![
            shard,
            numbers.0,
            numbers.1,
            signed(issued_at, "time")?,
            hashes.as_flattened()
        ])?;
        Ok(())
    };
    let (mut at, mut rest) = (first, hashes);
    if let Some(begun) = take_unfilled(connection, shard, first)? {
        let room = CHUNK_LEAVES_MAX - begun.hashes.len();
        let (new, after) = rest.split_at(room.min(rest.len()));
        row(begun.first, &[&begun.hashes, new].concat())?;
        (at, rest) = (at + new.len() as u64, after);
    }
    for chunk in rest.chunks(CHUNK_LEAVES_MAX) {
        row(at, chunk)?;
        at += chunk.len() as u64;
    }
    Ok(hashes.len() as u64)
}

/// Takes out the chunk that ends at `end`, if it has room for more.
fn take_unfilled(connection: &Connection, shard: &str, end: u64) -> Result<Option<LeafChunk>, StoreFault> {
    let mut find = connection.prepare_cached(
        "SELECT id, first, hashes FROM leaves
         WHERE shard = ?1 AND first < ?2 AND first >= ?2 - ?3 AND first + count = ?2 AND count < ?3",
    )?;
    let bounds = params![shard, signed(end, "leaf index")?, CHUNK_LEAVES_MAX as i64];
    let found = find.query_row(bounds, chunk).optional()?;
    if let Some(chunk) = &found {
        connection.prepare_cached("DELETE FROM leaves WHERE id = ?1")?.execute([chunk.id])?;
    }
    Ok(found)
}

/// Forgets the chunks of a shard that only bundles issued before `oldest` have brought, from the log's
/// beginning on. Where there were any, answers the first index that is still kept; `size` where none is.
pub(crate) fn prune(
    connection: &Connection,
    shard: &str,
    oldest: u64,
    size: u64,
) -> Result<Option<u64>, StoreFault> {
    let kept_from: Option<i64> = connection.query_row(
        "SELECT min(first) FROM leaves WHERE shard = ?1 AND issued_at >= ?2",
        params![shard, signed(oldest, "time")?],
        |row| row.get(0),
    )?;
    let kept_from = kept_from.map_or(Ok(size), |first| unsigned(first, "leaf index"))?;
    let forgotten = connection.execute(
        "DELETE FROM leaves WHERE shard = ?1 AND first < ?2",
        params![shard, signed(kept_from, "leaf index")?],
    )?;
    Ok((forgotten > 0).then_some(kept_from))
}

/// Forgets every leaf of a shard.
pub(crate) fn forget(connection: &Connection, shard: &str) -> Result<(), StoreFault> {
    connection.execute("DELETE FROM leaves WHERE shard = ?1", [shard])?;
    Ok(())
}

/// Shows each chunk of a shard that came after row `after`, in the order of its leaves.
pub(crate) fn chunks_after(
    connection: &Connection,
    shard: &str,
    after: i64,
    mut each: impl FnMut(LeafChunk),
) -> Result<(), StoreFault> {
    let mut statement = connection
        .prepare_cached("SELECT id, first, hashes FROM leaves WHERE shard = ?1 AND id > ?2 ORDER BY first")?;
    let rows = statement.query_map(params![shard, after], chunk)?;
    for row in rows {
        each(row?);
    }
    Ok(())
}

/// Shows the leaves from `from` until `to` in order, and answers whether none was missing.
pub(crate) fn each_between(
    connection: &Connection,
    shard: &str,
    (from, to): (u64, u64),
    mut each: impl FnMut(Hash),
) -> Result<bool, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT id, first, hashes FROM leaves
         WHERE shard = ?1 AND first < ?3 AND first > ?2 - ?4 AND first + count > ?2 ORDER BY first",
    )?;
    let (low, high) = (signed(from, "leaf index")?, signed(to, "leaf index")?);
    let range = params![shard, low, high, CHUNK_LEAVES_MAX as i64];
    let mut at = from;
    for chunk in statement.query_map(range, chunk)? {
        let chunk = chunk?;
        if chunk.first > at {
            return Ok(false);
        }
        let end = distance(chunk.first, to).min(chunk.hashes.len());
        let wanted = chunk.hashes.get(distance(chunk.first, at)..end).unwrap_or_default();
        wanted.iter().for_each(|hash| each(*hash));
        at += wanted.len() as u64;
    }
    Ok(at == to)
}

fn chunk(row: &rusqlite::Row<'_>) -> rusqlite::Result<LeafChunk> {
    let hashes = row.get_ref(2)?.as_blob()?.as_chunks().0.into();
    Ok(LeafChunk { id: row.get(0)?, first: natural(row, 1)?, hashes })
}

/// How far `to` lies behind `from`; 0 where it lies before.
fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

/// The leaf at one position, if it has crossed.
pub(crate) fn leaf(connection: &Connection, shard: &str, index: u64) -> Result<Option<Hash>, StoreFault> {
    let Ok(index) = i64::try_from(index) else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT substr(hashes, (?2 - first) * 32 + 1, 32) FROM leaves
         WHERE shard = ?1 AND first <= ?2 AND first > ?2 - ?3 AND ?2 < first + count",
    )?;
    let found: Option<Vec<u8>> =
        statement.query_row(params![shard, index, CHUNK_LEAVES_MAX as i64], |row| row.get(0)).optional()?;
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

    const AT: (&str, u64) = ("a", 1_000);

    fn hashes(range: std::ops::Range<u64>) -> Vec<Hash> {
        range.map(|n| std::array::from_fn(|i| (n >> (8 * (i % 8))) as u8)).collect()
    }

    fn in_store(test: impl FnOnce(&Connection) -> Result<(), StoreFault>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("gate.db"), "alpha").unwrap();
        store.write(|tx| test(tx)).unwrap();
    }

    #[test]
    fn runs_join_and_every_leaf_is_found() {
        in_store(|tx| {
            assert_eq!(add_run(tx, AT, 0, &hashes(0..1500))?, 1500);
            // The next run repeats what crossed before, as a full bundle does.
            assert_eq!(add_run(tx, AT, 0, &hashes(0..1600))?, 100);
            assert_eq!(count(tx)?, 1600);
            for index in [0, 1023, 1024, 1499, 1500, 1599] {
                assert_eq!(leaf(tx, "a", index)?, Some(hashes(index..index + 1)[0]));
            }
            assert_eq!(leaf(tx, "a", 1600)?, None);
            assert_eq!(leaf(tx, "b", 0)?, None);
            Ok(())
        });
    }

    #[test]
    fn a_hole_is_filled_by_a_later_run() {
        in_store(|tx| {
            assert_eq!(add_run(tx, AT, 5, &hashes(5..10))?, 5);
            assert_eq!(add_run(tx, AT, 20, &hashes(20..30))?, 10);
            assert!(!each_between(tx, "a", (5, 30), |_| ())?);
            assert_eq!(add_run(tx, AT, 0, &hashes(0..40))?, 25);
            for index in 0..40 {
                assert_eq!(leaf(tx, "a", index)?, Some(hashes(index..index + 1)[0]), "{index}");
            }
            assert_eq!(count(tx)?, 40);
            let mut seen = Vec::new();
            assert!(each_between(tx, "a", (3, 37), |hash| seen.push(hash))?);
            assert_eq!(seen, hashes(3..37));
            assert!(!each_between(tx, "a", (3, 41), |_| ())?);
            Ok(())
        });
    }

    #[test]
    fn a_log_that_crosses_a_few_leaves_at_a_time_is_held_in_few_rows() {
        in_store(|tx| {
            for first in (0..2_100).step_by(5) {
                assert_eq!(add_run(tx, AT, first, &hashes(first..first + 5))?, 5);
            }
            let rows: i64 = tx.query_row("SELECT count(*) FROM leaves", [], |row| row.get(0))?;
            assert_eq!((rows, count(tx)?), (3, 2_100));
            assert_eq!(leaf(tx, "a", 1_023)?, Some(hashes(1_023..1_024)[0]));
            Ok(())
        });
    }

    #[test]
    fn a_leaf_that_the_disk_has_changed_is_noticed() {
        in_store(|tx| {
            add_run(tx, AT, 0, &hashes(0..10))?;
            let mut other = hashes(0..11);
            other[7][0] ^= 1;
            assert!(matches!(add_run(tx, AT, 0, &other), Err(StoreFault::Damaged(_))));
            Ok(())
        });
    }

    #[test]
    fn what_no_token_needs_any_more_is_forgotten_from_the_beginning_on() {
        in_store(|tx| {
            add_run(tx, ("a", 1_000), 0, &hashes(0..1_024))?;
            add_run(tx, ("a", 2_000), 1_024, &hashes(1_024..1_030))?;
            add_run(tx, ("b", 1_000), 0, &hashes(0..10))?;
            assert_eq!(prune(tx, "a", 1_000, 1_030)?, None);
            assert_eq!(prune(tx, "a", 1_001, 1_030)?, Some(1_024));
            assert_eq!((leaf(tx, "a", 1_023)?, leaf(tx, "b", 9)?), (None, Some(hashes(9..10)[0])));
            assert_eq!(prune(tx, "a", 2_001, 1_030)?, Some(1_030));
            assert_eq!(count(tx)?, 10);
            Ok(())
        });
    }
}
