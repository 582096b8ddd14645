//! What the gate believes, as rows: state, charters, documents, bundles. No judgement is made here.

use farside_crossing::{Counted, ReceiptKey};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{StoreFault, natural, signed, unsigned};

/// The one row of `state`.
#[derive(Clone, Debug)]
pub struct StateRow {
    /// The site this gate stands in.
    pub site: String,
    /// Rises whenever what a door believes has changed.
    pub generation: u64,
    /// Highest `issued_at` of any bundle applied, Unix seconds.
    pub time_floor: u64,
    /// Longest token lifetime that any policy has ever allowed here.
    pub lifetime_seconds_highest: u64,
    /// The high-water marks as JSON; empty before the first bundle.
    pub stream: String,
    /// How many bundles older than the one held have been offered.
    pub superseded: u64,
}

/// A bundle that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppliedRow {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its manifest, in hexadecimal.
    pub digest: String,
    /// `full`, `delta` or `beacon`.
    pub kind: String,
    /// When the mint made it, Unix seconds.
    pub issued_at: u64,
    /// When the next one should have come.
    pub next_by: u64,
    /// When it stops counting.
    pub not_after: u64,
    /// When this gate applied it, by its own clock.
    pub applied_at: u64,
    /// Code of its receipt, where it was sealed.
    pub receipt: Option<String>,
}

/// Numbers that never came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingRow {
    /// The first missing number.
    pub first: u64,
    /// The last of this hole.
    pub last: u64,
    /// When the hole was noticed.
    pub noticed_at: u64,
}

/// A second bundle under a number already applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkRow {
    /// The number both have.
    pub seq: u64,
    /// Digest of the one held.
    pub held: String,
    /// Digest of the other.
    pub digest: String,
    /// When it was noticed.
    pub noticed_at: u64,
}

pub(super) fn insert_state(connection: &Connection, site: &str) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT INTO state (id, site, generation, time_floor, lifetime_seconds_highest, stream, superseded,
             replay)
         VALUES (1, ?1, 1, 0, 0, '', 0, 'nothing')",
        [site],
    )?;
    Ok(())
}

/// The state row.
pub(crate) fn state(connection: &Connection) -> Result<StateRow, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT site, generation, time_floor, stream, superseded, lifetime_seconds_highest FROM state",
    )?;
    let row = statement
        .query_row([], |row| {
            Ok((
                row.get(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get(3)?,
                row.get::<_, i64>(4)?,
                row.get::<_, i64>(5)?,
            ))
        })
        .optional()?;
    let (site, generation, time_floor, stream, superseded, lifetime) =
        row.ok_or(StoreFault::Damaged("state"))?;
    Ok(StateRow {
        site,
        generation: unsigned(generation, "generation")?,
        time_floor: unsigned(time_floor, "time floor")?,
        lifetime_seconds_highest: unsigned(lifetime, "longest lifetime")?,
        stream,
        superseded: unsigned(superseded, "count of superseded bundles")?,
    })
}

/// The realm, once a charter has been trusted.
pub(crate) fn realm(connection: &Connection) -> Result<Option<String>, StoreFault> {
    Ok(connection.query_row("SELECT realm FROM state", [], |row| row.get(0))?)
}

/// Binds the gate to a realm, for good.
pub(crate) fn set_realm(connection: &Connection, realm: &str) -> Result<(), StoreFault> {
    connection.execute("UPDATE state SET realm = ?1, generation = generation + 1", [realm])?;
    Ok(())
}

/// Stores the high-water marks, and lifts the time floor to `issued_at` if that is higher.
pub(crate) fn advance(connection: &Connection, stream: &str, issued_at: u64) -> Result<(), StoreFault> {
    connection.execute(
        "UPDATE state SET stream = ?1, time_floor = max(time_floor, ?2), generation = generation + 1",
        params![stream, signed(issued_at, "time")?],
    )?;
    Ok(())
}

/// Stores the marks alone: a stream that has been frozen.
pub(crate) fn set_stream(connection: &Connection, stream: &str) -> Result<(), StoreFault> {
    connection.execute("UPDATE state SET stream = ?1, generation = generation + 1", [stream])?;
    Ok(())
}

/// What a door believes has changed.
pub(super) fn renew(connection: &Connection) -> Result<(), StoreFault> {
    connection.execute("UPDATE state SET generation = generation + 1", [])?;
    Ok(())
}

/// Counts a bundle that was older than the one held.
pub(crate) fn count_superseded(connection: &Connection) -> Result<(), StoreFault> {
    connection.execute("UPDATE state SET superseded = superseded + 1", [])?;
    Ok(())
}

/// Adds a charter to the chain.
pub(crate) fn add_charter(
    connection: &Connection,
    version: u64,
    note: &[u8],
    now: u64,
) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT INTO charter (version, note, trusted_at) VALUES (?1, ?2, ?3)",
        params![signed(version, "charter version")?, note, signed(now, "time")?],
    )?;
    Ok(())
}

/// What is believed has changed otherwise than by a bundle: every picture of it is made anew.
pub(crate) fn changed(connection: &Connection) -> Result<(), StoreFault> {
    connection.execute("UPDATE state SET generation = generation + 1", [])?;
    Ok(())
}

/// The chain of charters, oldest first.
pub(crate) fn charters(connection: &Connection) -> Result<Vec<Vec<u8>>, StoreFault> {
    let mut statement = connection.prepare("SELECT note FROM charter ORDER BY version")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Replaces a document by a newer version of it.
pub(crate) fn set_document(
    connection: &Connection,
    kind: &str,
    version: u64,
    seq: u64,
    body: &[u8],
) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT INTO document (kind, version, seq, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (kind) DO UPDATE SET version = ?2, seq = ?3, body = ?4",
        params![kind, signed(version, "version")?, signed(seq, "seq")?, body],
    )?;
    Ok(())
}

/// Remembers the longest lifetime allowed; it never sinks.
pub(crate) fn set_lifetime_highest(connection: &Connection, seconds: u64) -> Result<(), StoreFault> {
    let update = "UPDATE state SET lifetime_seconds_highest = max(lifetime_seconds_highest, ?1)";
    connection.execute(update, [signed(seconds, "lifetime")?])?;
    Ok(())
}

/// Keeps a status component as it crossed: a delta beside those it adds to, a full list in their place.
pub(crate) fn add_status_part(
    connection: &Connection,
    seq: u64,
    is_delta: bool,
    body: &[u8],
) -> Result<(), StoreFault> {
    if !is_delta {
        connection.execute("DELETE FROM status_part", [])?;
    }
    let insert = "INSERT OR REPLACE INTO status_part (seq, body) VALUES (?1, ?2)";
    connection.execute(insert, params![signed(seq, "seq")?, body])?;
    Ok(())
}

/// The status components as they crossed, each with the number of its bundle, the full list first.
pub(crate) fn status_parts(connection: &Connection) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let mut statement = connection.prepare("SELECT seq, body FROM status_part ORDER BY seq")?;
    let rows = statement.query_map([], |row| Ok((natural(row, 0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The document of this kind, if one has been applied.
pub(crate) fn document(connection: &Connection, kind: &str) -> Result<Option<Vec<u8>>, StoreFault> {
    let mut statement = connection.prepare("SELECT body FROM document WHERE kind = ?1")?;
    Ok(statement.query_row([kind], |row| row.get(0)).optional()?)
}

/// Records that a bundle has been applied, with the note that was signed.
pub(crate) fn add_bundle(
    connection: &Connection,
    bundle: &AppliedRow,
    manifest: &[u8],
) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT INTO bundle (seq, digest, kind, issued_at, next_by, not_after, applied_at, manifest, receipt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            signed(bundle.seq, "seq")?,
            bundle.digest,
            bundle.kind,
            signed(bundle.issued_at, "time")?,
            signed(bundle.next_by, "time")?,
            signed(bundle.not_after, "time")?,
            signed(bundle.applied_at, "time")?,
            manifest,
            bundle.receipt,
        ],
    )?;
    Ok(())
}

const BUNDLE_COLUMNS: &str = "seq, digest, kind, issued_at, next_by, not_after, applied_at, receipt";

/// The bundle applied last.
pub(crate) fn newest_bundle(connection: &Connection) -> Result<Option<AppliedRow>, StoreFault> {
    let sql = format!("SELECT {BUNDLE_COLUMNS} FROM bundle ORDER BY seq DESC LIMIT 1");
    let row = connection.prepare(&sql)?.query_row([], applied_row).optional()?;
    Ok(row)
}

/// Keeps what the long receipts of a bundle are tagged with.
pub(crate) fn set_receipt_key(connection: &Connection, seq: u64, key: &ReceiptKey) -> Result<(), StoreFault> {
    let update = "UPDATE bundle SET receipt_key = ?2 WHERE seq = ?1";
    connection.execute(update, (signed(seq, "number")?, key.as_bytes()))?;
    Ok(())
}

/// What the long receipts of a bundle are tagged with.
pub(crate) fn receipt_key(connection: &Connection, seq: u64) -> Result<Option<ReceiptKey>, StoreFault> {
    let select = "SELECT receipt_key FROM bundle WHERE seq = ?1";
    let key = connection.query_row(select, [signed(seq, "number")?], |row| row.get::<_, Option<[u8; 32]>>(0));
    Ok(key.optional()?.flatten().map(ReceiptKey::from_bytes))
}

/// What this gate has counted since it was made.
pub(crate) fn counted(connection: &Connection) -> Result<Counted, StoreFault> {
    let count = |select: &str| -> Result<u64, StoreFault> {
        unsigned(connection.query_row(select, [], |row| row.get(0))?, "count of bundles")
    };
    Ok(Counted {
        applied: count("SELECT count(*) FROM bundle")?,
        missing: count("SELECT coalesce(sum(last - first + 1), 0) FROM missing")?,
        superseded: count("SELECT superseded FROM state")?,
        breakglass: super::breakglass::count(connection)?,
    })
}

/// The newest bundle that came with a receipt.
pub(crate) fn newest_receipt(connection: &Connection) -> Result<Option<AppliedRow>, StoreFault> {
    let sql =
        format!("SELECT {BUNDLE_COLUMNS} FROM bundle WHERE receipt IS NOT NULL ORDER BY seq DESC LIMIT 1");
    let row = connection.prepare(&sql)?.query_row([], applied_row).optional()?;
    Ok(row)
}

/// One bundle that was applied.
pub(crate) fn bundle(connection: &Connection, seq: u64) -> Result<Option<AppliedRow>, StoreFault> {
    let sql = format!("SELECT {BUNDLE_COLUMNS} FROM bundle WHERE seq = ?1");
    let row = connection.prepare(&sql)?.query_row([signed(seq, "seq")?], applied_row).optional()?;
    Ok(row)
}

fn applied_row(row: &Row<'_>) -> rusqlite::Result<AppliedRow> {
    Ok(AppliedRow {
        seq: natural(row, 0)?,
        digest: row.get(1)?,
        kind: row.get(2)?,
        issued_at: natural(row, 3)?,
        next_by: natural(row, 4)?,
        not_after: natural(row, 5)?,
        applied_at: natural(row, 6)?,
        receipt: row.get(7)?,
    })
}

/// Records a hole in the numbers.
pub(crate) fn add_missing(
    connection: &Connection,
    first: u64,
    last: u64,
    now: u64,
) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT OR REPLACE INTO missing (first, last, noticed_at) VALUES (?1, ?2, ?3)",
        params![signed(first, "seq")?, signed(last, "seq")?, signed(now, "time")?],
    )?;
    Ok(())
}

/// Every hole, oldest first.
pub(crate) fn missing(connection: &Connection) -> Result<Vec<MissingRow>, StoreFault> {
    let mut statement = connection.prepare("SELECT first, last, noticed_at FROM missing ORDER BY first")?;
    let rows = statement.query_map([], |row| {
        Ok(MissingRow { first: natural(row, 0)?, last: natural(row, 1)?, noticed_at: natural(row, 2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps the second bundle of a number; the first is in `bundle`.
pub(crate) fn add_fork(connection: &Connection, fork: &ForkRow, manifest: &[u8]) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT OR IGNORE INTO fork (digest, seq, held, noticed_at, manifest) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![fork.digest, signed(fork.seq, "seq")?, fork.held, signed(fork.noticed_at, "time")?, manifest],
    )?;
    Ok(())
}

/// Every fork ever noticed.
pub(crate) fn forks(connection: &Connection) -> Result<Vec<ForkRow>, StoreFault> {
    let mut statement =
        connection.prepare("SELECT seq, held, digest, noticed_at FROM fork ORDER BY noticed_at")?;
    let rows = statement.query_map([], |row| {
        let (seq, noticed_at) = (natural(row, 0)?, natural(row, 3)?);
        Ok(ForkRow { seq, held: row.get(1)?, digest: row.get(2)?, noticed_at })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
