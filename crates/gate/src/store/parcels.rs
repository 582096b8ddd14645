//! Tokens that crossed for their holders, and the proofs of possession that have been shown for them.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{StoreFault, natural, signed, unsigned};

/// A parcel to be stored.
pub struct ParcelRow<'a> {
    /// The bundle it came in.
    pub seq: u64,
    /// Whom the token is for.
    pub subject: &'a str,
    /// Where it is to be shown.
    pub audience: Option<&'a str>,
    /// Its `jti`.
    pub token_id: &'a str,
    /// The token.
    pub token: &'a str,
    /// Its `iat`.
    pub issued_at: u64,
    /// Its `exp`.
    pub expires_at: u64,
    /// `phrase`, `key` or `file`.
    pub claim_kind: &'static str,
    /// What the claim is checked against: a digest, a JWK, or nothing.
    pub claim: &'a str,
    /// SHA-256 of the SSH key that the token is bound to.
    pub ssh: Option<[u8; 32]>,
}

/// A parcel as held.
#[derive(Clone)]
pub struct StoredParcel {
    /// Row number.
    pub id: i64,
    /// Whom the token is for.
    pub subject: String,
    /// Where it is to be shown.
    pub audience: Option<String>,
    /// Its `jti`.
    pub token_id: String,
    /// The token; wiped when dropped.
    pub token: Zeroizing<String>,
    /// Its `exp`.
    pub expires_at: u64,
    /// What the claim is checked against.
    pub claim: String,
}

/// How many parcels there are, and how many have been collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ParcelCounts {
    /// Held and not expired.
    pub held: u64,
    /// Of these, collected at least once.
    pub collected: u64,
}

/// Stores a parcel. One that is held already (a full bundle repeats it) stays as it is.
pub(crate) fn add(connection: &Connection, parcel: &ParcelRow<'_>) -> Result<bool, StoreFault> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO parcel
           (seq, subject, audience, token_id, token, issued_at, expires_at, claim_kind, claim,
            ssh)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let added = statement.execute(params![
        signed(parcel.seq, "seq")?,
        parcel.subject,
        parcel.audience,
        parcel.token_id,
        parcel.token,
        signed(parcel.issued_at, "time")?,
        signed(parcel.expires_at, "time")?,
        parcel.claim_kind,
        parcel.claim,
        parcel.ssh,
    ])?;
    Ok(added > 0)
}

const COLUMNS: &str = "id, subject, audience, token_id, token, expires_at, claim";

/// Live parcels of one subject with this kind of claim, newest first; where a claim is given, those alone
/// that it opens.
pub(crate) fn waiting(
    connection: &Connection,
    subject: &str,
    claim_kind: &str,
    claim: Option<&str>,
    now: u64,
) -> Result<Vec<StoredParcel>, StoreFault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM parcel
         WHERE subject = ?1 AND claim_kind = ?2 AND (?3 IS NULL OR claim = ?3) AND expires_at > ?4
         ORDER BY issued_at DESC, id DESC LIMIT {}",
        crate::pickup::COLLECTED_MAX
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![subject, claim_kind, claim, signed(now, "time")?], stored)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Live tokens that are bound to this SSH key, newest first.
pub(crate) fn bound_to_ssh(
    connection: &Connection,
    fingerprint: &[u8; 32],
    now: u64,
) -> Result<Vec<Zeroizing<String>>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT token FROM parcel WHERE ssh = ?1 AND expires_at > ?2
         ORDER BY issued_at DESC, id DESC LIMIT ?3",
    )?;
    let most = signed(crate::pickup::COLLECTED_MAX as u64, "count")?;
    let rows = statement.query_map(params![fingerprint, signed(now, "time")?, most], |row| row.get(0))?;
    Ok(rows.map(|row| row.map(Zeroizing::new)).collect::<Result<_, _>>()?)
}

/// Live tokens whose rows lie in this range without its start and end, the newest first, with their row
/// numbers.
pub(crate) fn tokens(
    connection: &Connection,
    rows: Range<i64>,
    now: u64,
    most: usize,
) -> Result<Vec<(i64, Zeroizing<String>)>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT id, token FROM parcel WHERE id > ?1 AND id < ?2 AND expires_at > ?3
         ORDER BY id DESC LIMIT ?4",
    )?;
    let most = signed(most as u64, "count")?;
    let rows = statement.query_map(params![rows.start, rows.end, signed(now, "time")?, most], |row| {
        Ok((row.get(0)?, Zeroizing::new(row.get(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredParcel> {
    Ok(StoredParcel {
        id: row.get(0)?,
        subject: row.get(1)?,
        audience: row.get(2)?,
        token_id: row.get(3)?,
        token: Zeroizing::new(row.get(4)?),
        expires_at: natural(row, 5)?,
        claim: row.get(6)?,
    })
}

/// Records that a parcel was handed over.
pub(crate) fn mark_collected(connection: &Connection, id: i64, now: u64) -> Result<(), StoreFault> {
    connection.execute(
        "UPDATE parcel SET collected_at = ?2 WHERE id = ?1 AND collected_at IS NULL",
        params![id, signed(now, "time")?],
    )?;
    Ok(())
}

/// Records a proof; `false` if it has been shown before. Expired ones are forgotten, live ones never.
pub(crate) fn show_proof(
    connection: &Connection,
    subject: &str,
    proof_id: &str,
    expires_at: u64,
    now: u64,
) -> Result<bool, StoreFault> {
    connection.execute("DELETE FROM proof_shown WHERE expires_at < ?1", [signed(now, "time")?])?;
    let added = connection.execute(
        "INSERT OR IGNORE INTO proof_shown (subject, proof_id, expires_at) VALUES (?1, ?2, ?3)",
        params![subject, proof_id, signed(expires_at, "time")?],
    )?;
    Ok(added > 0)
}

/// Forgets parcels whose tokens have expired.
pub(crate) fn forget_expired(connection: &Connection, now: u64) -> Result<u64, StoreFault> {
    let gone = connection.execute("DELETE FROM parcel WHERE expires_at <= ?1", [signed(now, "time")?])?;
    Ok(gone as u64)
}

/// How many live parcels there are.
pub(crate) fn counts(connection: &Connection, now: u64) -> Result<ParcelCounts, StoreFault> {
    let row: Option<(i64, i64)> = connection
        .query_row(
            "SELECT count(*), count(collected_at) FROM parcel WHERE expires_at > ?1",
            [signed(now, "time")?],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (held, collected) = row.unwrap_or_default();
    Ok(ParcelCounts { held: unsigned(held, "count")?, collected: unsigned(collected, "count")? })
}
