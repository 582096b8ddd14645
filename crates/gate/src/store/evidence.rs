//! The rows of an auditor's export, as this store holds them.

use std::ops::ControlFlow;

use farside_crossing::evidence::{AppliedRow, ForkRow, GlassRow, HeadRow, LeavesRow};
use farside_crossing::{Digest, Kind};
use farside_verify::encode::base64url;
use rusqlite::{Connection, Row};

use super::{StoreFault, natural};

/// Every bundle applied, by number, with the note that was signed.
pub(crate) fn bundles(connection: &Connection) -> Result<Vec<AppliedRow>, StoreFault> {
    let mut statement = connection.prepare(
        "SELECT seq, kind, digest, issued_at, next_by, not_after, applied_at, manifest
         FROM bundle ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let mut bundles = Vec::new();
    while let Some(row) = rows.next()? {
        bundles.push(AppliedRow {
            seq: natural(row, 0)?,
            kind: match row.get_ref(1)?.as_str().unwrap_or_default() {
                "full" => Kind::Full,
                "delta" => Kind::Delta,
                "beacon" => Kind::Beacon,
                _ => return Err(StoreFault::Damaged("kind of a bundle")),
            },
            digest: digest(row, 2)?,
            issued_at: natural(row, 3)?,
            next_by: natural(row, 4)?,
            not_after: natural(row, 5)?,
            applied_at: natural(row, 6)?,
            manifest: note(row, 7)?,
        });
    }
    Ok(bundles)
}

/// Every fork, with the signed manifest of the bundle that was not applied.
pub(crate) fn forks(connection: &Connection) -> Result<Vec<ForkRow>, StoreFault> {
    let mut statement =
        connection.prepare("SELECT seq, held, digest, noticed_at, manifest FROM fork ORDER BY noticed_at")?;
    let mut rows = statement.query([])?;
    let mut forks = Vec::new();
    while let Some(row) = rows.next()? {
        forks.push(ForkRow {
            seq: natural(row, 0)?,
            held: digest(row, 1)?,
            digest: digest(row, 2)?,
            noticed_at: natural(row, 3)?,
            manifest: note(row, 4)?,
        });
    }
    Ok(forks)
}

/// Every break-glass order that was opened, without what its pass could be known by.
pub(crate) fn breakglass(connection: &Connection) -> Result<Vec<GlassRow>, StoreFault> {
    let row = |row: super::GlassRow| {
        let note = String::from_utf8(row.note).map_err(|_| StoreFault::Damaged("break-glass order"))?;
        Ok(GlassRow { id: row.id, opened_at: row.opened_at, closed_at: row.closed_at, why: row.why, note })
    };
    super::breakglass::every(connection)?.into_iter().map(row).collect()
}

/// The newest signed head of each log shard.
pub(crate) fn heads(connection: &Connection) -> Result<Vec<HeadRow>, StoreFault> {
    let mut statement = connection.prepare("SELECT shard, checkpoint FROM log ORDER BY shard")?;
    let mut rows = statement.query([])?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next()? {
        heads.push(HeadRow { shard: row.get(0)?, checkpoint: note(row, 1)? });
    }
    Ok(heads)
}

/// Hands out the log leaves held, chunk after chunk, until told to stop.
pub(crate) fn leaves(
    connection: &Connection,
    mut each: impl FnMut(&LeavesRow) -> ControlFlow<()>,
) -> Result<(), StoreFault> {
    let mut statement =
        connection.prepare("SELECT shard, first, hashes FROM leaves ORDER BY shard, first")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let hashes: Vec<u8> = row.get(2)?;
        let row = LeavesRow { shard: row.get(0)?, first: natural(row, 1)?, hashes: base64url(&hashes) };
        if each(&row).is_break() {
            break;
        }
    }
    Ok(())
}

fn digest(row: &Row<'_>, column: usize) -> Result<Digest, StoreFault> {
    let hex: String = row.get(column)?;
    hex.parse().map_err(|_| StoreFault::Damaged("digest of a bundle"))
}

fn note(row: &Row<'_>, column: usize) -> Result<String, StoreFault> {
    String::from_utf8(row.get(column)?).map_err(|_| StoreFault::Damaged("note"))
}
