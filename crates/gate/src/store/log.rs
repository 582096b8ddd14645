//! What is held of each log shard besides its leaves: the newest head, heads that tokens brought along,
//! forks.

use farside_verify::merkle::Hash;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{StoreFault, natural, signed, unsigned};

/// One log shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Leaves under the newest head.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The bundle that brought it.
    pub seq: u64,
    /// The bundle with which this log began.
    pub began: u64,
    /// Leaves before this index are no longer kept.
    pub kept_from: u64,
}

/// A head that a token brought along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StapledHead {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) signature: [u8; 64],
}

/// Two heads that cannot be of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogForkRow {
    /// The shard.
    pub shard: String,
    /// Size of the head held.
    pub held_size: u64,
    /// Its root, in hexadecimal.
    pub held_root: String,
    /// Size of the other.
    pub size: u64,
    /// Its root, in hexadecimal.
    pub root: String,
    /// When it was noticed.
    pub noticed_at: u64,
}

/// The two heads of a fork with what vouches for each.
pub(crate) struct LogFork<'a> {
    pub(crate) shard: &'a str,
    pub(crate) held: (u64, Hash),
    /// Its checkpoint or stapled signature; nothing where the shard's newest checkpoint is meant.
    pub(crate) held_proof: Option<[u8; 64]>,
    pub(crate) other: (u64, Hash),
    pub(crate) checkpoint: &'a [u8],
}

/// Every shard.
pub(crate) fn logs(connection: &Connection) -> Result<Vec<(String, LogRow)>, StoreFault> {
    let mut statement = connection
        .prepare_cached("SELECT size, root, seq, began, kept_from, shard FROM log ORDER BY shard")?;
    let rows = statement.query_map([], |row| Ok((row.get(5)?, log_row(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One shard.
pub(crate) fn log(connection: &Connection, shard: &str) -> Result<Option<LogRow>, StoreFault> {
    let mut statement =
        connection.prepare_cached("SELECT size, root, seq, began, kept_from FROM log WHERE shard = ?1")?;
    Ok(statement.query_row([shard], log_row).optional()?)
}

fn log_row(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        size: natural(row, 0)?,
        root: row.get(1)?,
        seq: natural(row, 2)?,
        began: natural(row, 3)?,
        kept_from: natural(row, 4)?,
    })
}

/// Keeps a shard's newest head.
pub(crate) fn set_log(
    connection: &Connection,
    shard: &str,
    log: &LogRow,
    checkpoint: &[u8],
) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT OR REPLACE INTO log (shard, size, root, checkpoint, seq, began, kept_from)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            shard,
            signed(log.size, "log size")?,
            log.root,
            checkpoint,
            signed(log.seq, "seq")?,
            signed(log.began, "seq")?,
            signed(log.kept_from, "leaf index")?,
        ],
    )?;
    Ok(())
}

/// Notes that a shard's leaves before `kept_from` are no longer kept.
pub(crate) fn set_kept_from(connection: &Connection, shard: &str, kept_from: u64) -> Result<(), StoreFault> {
    let kept_from = signed(kept_from, "leaf index")?;
    connection.execute("UPDATE log SET kept_from = ?2 WHERE shard = ?1", params![shard, kept_from])?;
    Ok(())
}

/// Forgets a shard whole, so that its log can begin anew.
pub(crate) fn forget_log(connection: &Connection, shard: &str) -> Result<(), StoreFault> {
    super::leaves::forget(connection, shard)?;
    connection.execute("DELETE FROM stapled_head WHERE shard = ?1", [shard])?;
    connection.execute("DELETE FROM log WHERE shard = ?1", [shard])?;
    Ok(())
}

/// The heads of a shard that tokens brought along, smallest first.
pub(crate) fn stapled_heads(connection: &Connection, shard: &str) -> Result<Vec<StapledHead>, StoreFault> {
    let mut statement = connection
        .prepare_cached("SELECT size, root, signature FROM stapled_head WHERE shard = ?1 ORDER BY size")?;
    let rows = statement.query_map([shard], |row| {
        Ok(StapledHead { size: natural(row, 0)?, root: row.get(1)?, signature: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The heads of every shard that tokens brought along.
pub(crate) fn every_stapled_head(
    connection: &Connection,
) -> Result<Vec<(String, Vec<StapledHead>)>, StoreFault> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT shard FROM stapled_head")?;
    let shards: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    shards.into_iter().map(|shard| stapled_heads(connection, &shard).map(|heads| (shard, heads))).collect()
}

/// Holds a head that a token brought along, unless one of this size is held, and answers the root that is
/// held.
pub(crate) fn hold_stapled_head(
    connection: &Connection,
    shard: &str,
    head: &StapledHead,
    now: u64,
) -> Result<Hash, StoreFault> {
    let size = signed(head.size, "log size")?;
    connection.execute(
        "INSERT OR IGNORE INTO stapled_head (shard, size, root, signature, held_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![shard, size, head.root, head.signature, signed(now, "time")?],
    )?;
    let mut held =
        connection.prepare_cached("SELECT root FROM stapled_head WHERE shard = ?1 AND size = ?2")?;
    Ok(held.query_row(params![shard, size], |row| row.get(0))?)
}

/// How many heads of a shard wait for a run.
pub(crate) fn count_stapled_heads(connection: &Connection, shard: &str) -> Result<u64, StoreFault> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM stapled_head WHERE shard = ?1")?;
    unsigned(statement.query_row([shard], |row| row.get(0))?, "count of heads")
}

/// Forgets a head that has been found on the log's tree.
pub(crate) fn forget_stapled_head(connection: &Connection, shard: &str, size: u64) -> Result<(), StoreFault> {
    connection.execute(
        "DELETE FROM stapled_head WHERE shard = ?1 AND size = ?2",
        params![shard, signed(size, "log size")?],
    )?;
    Ok(())
}

/// Forgets heads that were held before `oldest`: what they admitted has expired.
pub(crate) fn forget_old_stapled_heads(connection: &Connection, oldest: u64) -> Result<(), StoreFault> {
    connection.execute("DELETE FROM stapled_head WHERE held_at < ?1", [signed(oldest, "time")?])?;
    Ok(())
}

/// Keeps both heads of a fork.
pub(crate) fn add_log_fork(connection: &Connection, fork: &LogFork<'_>, now: u64) -> Result<(), StoreFault> {
    let held_proof = match fork.held_proof {
        Some(signature) => signature.to_vec(),
        None => connection
            .query_row("SELECT checkpoint FROM log WHERE shard = ?1", [fork.shard], |row| row.get(0))?,
    };
    connection.execute(
        "INSERT OR IGNORE INTO log_fork
             (shard, held_size, held_root, held_proof, size, root, checkpoint, noticed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            fork.shard,
            signed(fork.held.0, "log size")?,
            fork.held.1,
            held_proof,
            signed(fork.other.0, "log size")?,
            fork.other.1,
            fork.checkpoint,
            signed(now, "time")?,
        ],
    )?;
    Ok(())
}

/// Every fork of a log ever noticed.
pub(crate) fn log_forks(connection: &Connection) -> Result<Vec<LogForkRow>, StoreFault> {
    let mut statement = connection.prepare(
        "SELECT shard, held_size, held_root, size, root, noticed_at FROM log_fork ORDER BY noticed_at",
    )?;
    let root = |row: &Row<'_>, column| row.get(column).map(|root: Hash| farside_service::digest::hex(&root));
    let rows = statement.query_map([], |row| {
        Ok(LogForkRow {
            shard: row.get(0)?,
            held_size: natural(row, 1)?,
            held_root: root(row, 2)?,
            size: natural(row, 3)?,
            root: root(row, 4)?,
            noticed_at: natural(row, 5)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
