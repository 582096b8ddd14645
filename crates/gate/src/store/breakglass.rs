//! Break-glass orders that have been opened: each id for good, and the hash of its pass until that is over.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoreFault, natural, signed, unsigned};

/// An order that has been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlassRow {
    /// The order's id.
    pub id: String,
    /// The order as it was signed.
    pub note: Vec<u8>,
    /// When it was opened, Unix seconds.
    pub opened_at: u64,
    /// Which start of the machine its pass counts in.
    pub boot: String,
    /// From when, milliseconds since that start.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// SHA-256 of the pass; forgotten when that is over.
    pub pass_sha256: Option<[u8; 32]>,
    /// When it was over.
    pub closed_at: Option<u64>,
    /// Why.
    pub why: Option<String>,
}

const COLUMNS: &str = "id, note, opened_at, boot, from_ms, until_ms, pass_sha256, closed_at, why";

/// Keeps an order for good; false where its id was opened before.
// breakglass.md §4.4
pub(crate) fn add(connection: &Connection, row: &GlassRow) -> Result<bool, StoreFault> {
    let added = connection.execute(
        "INSERT OR IGNORE INTO breakglass (id, note, opened_at, boot, from_ms, until_ms, pass_sha256)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row.id,
            row.note,
            signed(row.opened_at, "time")?,
            row.boot,
            signed(row.from_ms, "time")?,
            signed(row.until_ms, "time")?,
            row.pass_sha256,
        ],
    )?;
    super::trust::renew(connection)?;
    Ok(added == 1)
}

/// Ends a pass, and forgets its hash; false where it was over already.
// breakglass.md §4.6
pub(crate) fn close(connection: &Connection, id: &str, now: u64, why: &str) -> Result<bool, StoreFault> {
    let closed = connection.execute(
        "UPDATE breakglass SET closed_at = ?2, why = ?3, pass_sha256 = NULL
         WHERE id = ?1 AND closed_at IS NULL",
        params![id, signed(now, "time")?, why],
    )?;
    super::trust::renew(connection)?;
    Ok(closed == 1)
}

/// Whether this id was ever opened.
pub(crate) fn is_spent(connection: &Connection, id: &str) -> Result<bool, StoreFault> {
    let mut statement = connection.prepare("SELECT 1 FROM breakglass WHERE id = ?1")?;
    Ok(statement.query_row([id], |_| Ok(())).optional()?.is_some())
}

/// Those that nobody has closed yet.
pub(crate) fn unclosed(connection: &Connection) -> Result<Vec<GlassRow>, StoreFault> {
    rows(connection, "WHERE closed_at IS NULL")
}

/// Every one, oldest first.
pub(crate) fn every(connection: &Connection) -> Result<Vec<GlassRow>, StoreFault> {
    rows(connection, "")
}

/// How many there are.
pub(crate) fn count(connection: &Connection) -> Result<u64, StoreFault> {
    let count = connection.query_row("SELECT count(*) FROM breakglass", [], |row| row.get(0))?;
    unsigned(count, "count of break-glass orders")
}

fn rows(connection: &Connection, which: &str) -> Result<Vec<GlassRow>, StoreFault> {
    let select = format!("SELECT {COLUMNS} FROM breakglass {which} ORDER BY rowid");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map([], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<GlassRow> {
    let closed_at: Option<i64> = row.get(7)?;
    Ok(GlassRow {
        id: row.get(0)?,
        note: row.get(1)?,
        opened_at: natural(row, 2)?,
        boot: row.get(3)?,
        from_ms: natural(row, 4)?,
        until_ms: natural(row, 5)?,
        pass_sha256: row.get(6)?,
        closed_at: closed_at.map(|_| natural(row, 7)).transpose()?,
        why: row.get(8)?,
    })
}
