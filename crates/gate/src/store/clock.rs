//! The steady clock as it was kept, what the mint's clock was seen to be ahead, and root's notes that acted.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{StoreFault, natural, signed, unsigned};
use crate::clock::Witness;

/// How far the steady clock of one process may be behind that of another: small differences are closed
/// slowly, and each process does so for itself.
const APART_MILLISECONDS_MAX: u64 = 60_000;

/// The one row of `clock`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockRow {
    /// Rises when people order the clock to begin anew.
    pub turn: u64,
    /// The steady clock as it was kept last.
    pub witness: Option<Witness>,
    /// What is known of the mint's clock.
    pub mint: Option<MintAhead>,
}

/// A bundle that was made later than it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MintAhead {
    /// Its number.
    pub seq: u64,
    /// When it was made, by the mint's clock.
    pub issued_at: u64,
    /// When it was offered, by this gate's.
    pub seen_at: u64,
}

/// A note of root's that has set the time floor back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClockNoteRow {
    /// When root drafted it.
    pub issued_at: u64,
    /// The bundle that was applied last.
    pub seq: u64,
    /// The floor until then.
    pub floor_before: u64,
    /// The floor since.
    pub floor: u64,
    /// When it acted.
    pub acted_at: u64,
}

pub(super) fn insert_clock(connection: &Connection) -> Result<(), StoreFault> {
    connection
        .execute("INSERT INTO clock (id, turn, boot, boot_ms, steady_ms) VALUES (1, 0, '', 0, 0)", [])?;
    Ok(())
}

/// What is kept of the clock.
pub(crate) fn clock(connection: &Connection) -> Result<ClockRow, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT turn, boot, boot_ms, steady_ms, off_since, mint_seq, mint_issued_at, mint_seen_at FROM clock",
    )?;
    let row = statement.query_row([], |row| {
        let known = |column: usize| {
            row.get::<_, Option<i64>>(column).map(|held| held.and_then(|held| u64::try_from(held).ok()))
        };
        let witness = Witness {
            boot: row.get(1)?,
            boot_ms: natural(row, 2)?,
            steady_ms: natural(row, 3)?,
            off_since: known(4)?,
        };
        let mint = match (known(5)?, known(6)?, known(7)?) {
            (Some(seq), Some(issued_at), Some(seen_at)) => Some(MintAhead { seq, issued_at, seen_at }),
            _ => None,
        };
        Ok(ClockRow {
            turn: natural(row, 0)?,
            witness: Some(witness).filter(|kept| kept.steady_ms > 0),
            mint,
        })
    });
    row.optional()?.ok_or(StoreFault::Damaged("clock"))
}

/// Keeps the steady clock, unless people have ordered it to begin anew meanwhile or another process keeps one
/// that is further on.
pub(crate) fn keep_clock(connection: &Connection, turn: u64, witness: &Witness) -> Result<(), StoreFault> {
    let Witness { boot, boot_ms, steady_ms, off_since } = witness;
    connection.execute(
        "UPDATE clock SET boot = ?2, boot_ms = ?3, steady_ms = ?4, off_since = ?5
         WHERE turn = ?1 AND (boot <> ?2 OR steady_ms - boot_ms <= ?4 - ?3 + ?6)",
        params![
            signed(turn, "turn")?,
            boot,
            signed(*boot_ms, "time")?,
            signed(*steady_ms, "time")?,
            off_since.map(|since| signed(since, "time")).transpose()?,
            signed(APART_MILLISECONDS_MAX, "time")?,
        ],
    )?;
    Ok(())
}

/// Lets the clock begin anew: every process goes by this one from its next look on.
pub(crate) fn begin_clock(connection: &Connection, witness: &Witness) -> Result<(), StoreFault> {
    let Witness { boot, boot_ms, steady_ms, .. } = witness;
    connection.execute(
        "UPDATE clock SET turn = turn + 1, boot = ?1, boot_ms = ?2, steady_ms = ?3, off_since = NULL",
        params![boot, signed(*boot_ms, "time")?, signed(*steady_ms, "time")?],
    )?;
    connection.execute("UPDATE state SET generation = generation + 1", [])?;
    Ok(())
}

/// Notes a bundle that was made later than it is here; or that there is none any more.
pub(crate) fn set_mint_ahead(connection: &Connection, ahead: Option<MintAhead>) -> Result<(), StoreFault> {
    let column =
        |value: fn(&MintAhead) -> u64| ahead.as_ref().map(value).map(|at| signed(at, "time")).transpose();
    connection.execute(
        "UPDATE clock SET mint_seq = ?1, mint_issued_at = ?2, mint_seen_at = ?3",
        params![column(|ahead| ahead.seq)?, column(|ahead| ahead.issued_at)?, column(|ahead| ahead.seen_at)?],
    )?;
    connection.execute("UPDATE state SET generation = generation + 1", [])?;
    Ok(())
}

/// The newest note of root's that has acted.
pub(crate) fn newest_clock_note(connection: &Connection) -> Result<Option<ClockNoteRow>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT issued_at, seq, floor_before, floor, acted_at FROM clock_note ORDER BY issued_at DESC LIMIT 1",
    )?;
    let row = statement.query_row([], |row| {
        Ok(ClockNoteRow {
            issued_at: natural(row, 0)?,
            seq: natural(row, 1)?,
            floor_before: natural(row, 2)?,
            floor: natural(row, 3)?,
            acted_at: natural(row, 4)?,
        })
    });
    Ok(row.optional()?)
}

/// Sets the floor back as a note of root's says, and the marks of the stream with it.
pub(crate) fn set_time_back(
    connection: &Connection,
    row: &ClockNoteRow,
    note: &[u8],
    stream: &str,
) -> Result<(), StoreFault> {
    connection.execute(
        "INSERT INTO clock_note (issued_at, note, seq, floor_before, floor, acted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            signed(row.issued_at, "time")?,
            note,
            signed(row.seq, "seq")?,
            signed(row.floor_before, "time")?,
            signed(row.floor, "time")?,
            signed(row.acted_at, "time")?,
        ],
    )?;
    connection.execute(
        "UPDATE state SET stream = ?1, time_floor = ?2, generation = generation + 1",
        params![stream, signed(row.floor, "time")?],
    )?;
    Ok(())
}

/// When the newest bundle before number `seq` was made; 0 where there is none.
pub(crate) fn issued_before(connection: &Connection, seq: u64) -> Result<u64, StoreFault> {
    let select = "SELECT coalesce(max(issued_at), 0) FROM bundle WHERE seq < ?1";
    unsigned(connection.query_row(select, [signed(seq, "seq")?], |row| row.get(0))?, "time")
}
