//! The revocations as the database keeps them: what is in force at a site, and what has ended and how.

use farside_crossing::status::COVERED_SLACK_SECONDS;
use rusqlite::{Connection, OptionalExtension as _};

use crate::store::{Store, StoreFault, signed, unsigned};

/// Lists of tokens end with a day: few lists, and none says when exactly one token ends.
const DAY_SECONDS: u64 = 86_400;

/// A revocation in force.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) kind: String,
    pub(crate) what: String,
    pub(crate) before: u64,
    /// Of a token: the end of the day on which it expires.
    pub(crate) until: u64,
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) at: u64,
}

/// How far the revocations and pardons of a site have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) revocations: u64,
    pub(crate) pardon_version: u64,
}

/// How a revocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is in every bundle.
    InForce,
    /// Release people took it back.
    Pardoned,
    /// Everything that it covered has expired.
    Ended,
}

/// A revocation as lists show it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// The site.
    pub site: String,
    /// What kind of thing.
    pub kind: String,
    /// Its name.
    pub what: String,
    /// Tokens issued up to then; 0 where a token or key is revoked whole.
    pub before: u64,
    /// Why.
    pub reason: String,
    /// Who revoked.
    pub by: String,
    /// When.
    pub at: u64,
    /// The revocation that it follows from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// How it stands.
    pub state: State,
    /// When it was pardoned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pardoned_at: Option<u64>,
}

/// A row still covers something that could be shown at `?2`: the last token of it has expired for less than
/// the slack, which is `?3`; a day's tokens go together. A subject's entry ends passes of an hour too.
// bundle.md §7.5: what a gate knows by itself lets it go no later than this.
const COVERS: &str = "
    CASE r.kind
        WHEN 'token' THEN (r.expires_at + 86399) / 86400 * 86400
        WHEN 'key' THEN coalesce((SELECT k.accept_until FROM token_key k WHERE k.kid = r.what), r.at)
        WHEN 'subject' THEN r.before + max(s.lifetime_seconds_highest, 3600)
        ELSE r.before + s.lifetime_seconds_highest
    END + ?3 >= ?2";

/// Every revocation in force at a site whose number is above `since`, oldest first.
pub(crate) fn rows_in_force(
    connection: &Connection,
    site: &str,
    since: u64,
    now: u64,
) -> Result<Vec<Row>, StoreFault> {
    let mut statement = connection.prepare(&format!(
        "SELECT r.kind, r.what, r.before, r.expires_at, r.reason, r.by, r.at
         FROM revocation r JOIN site s ON s.name = r.site
         WHERE r.site = ?1 AND r.pardoned_at IS NULL AND r.id > ?4 AND {COVERS} ORDER BY r.id"
    ))?;
    let bounds = (site, signed(now), signed(COVERED_SLACK_SECONDS), signed(since));
    let rows = statement.query_map(bounds, |row| {
        Ok(Row {
            kind: row.get(0)?,
            what: row.get(1)?,
            before: unsigned(row.get(2)?),
            until: unsigned(row.get(3)?).div_ceil(DAY_SECONDS) * DAY_SECONDS,
            reason: row.get(4)?,
            by: row.get(5)?,
            at: unsigned(row.get(6)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How far the revocations of a site have come.
pub(crate) fn mark(connection: &Connection, site: &str) -> Result<Mark, StoreFault> {
    let newest = |sql: &str| -> Result<u64, StoreFault> {
        let number = connection.query_row(sql, [site], |row| row.get::<_, i64>(0)).optional()?;
        Ok(number.map_or(0, unsigned))
    };
    Ok(Mark {
        revocations: newest("SELECT coalesce(max(id), 0) FROM revocation WHERE site = ?1")?,
        pardon_version: newest(
            "SELECT coalesce(max(version), 0) FROM release_document WHERE site = ?1 AND kind = 'pardon'",
        )?,
    })
}

/// Whether anything is revoked at a site that its newest bundle does not tell.
pub fn in_force(store: &Store, site: &str, now: u64) -> Result<usize, StoreFault> {
    store.read(|transaction| Ok(rows_in_force(transaction, site, 0, now)?.len()))
}

/// Every revocation there ever was, of one site or of all, oldest first.
pub fn list(store: &Store, site: Option<&str>, now: u64) -> Result<Vec<Listed>, StoreFault> {
    store.read(|transaction| {
        let mut statement = transaction.prepare(&format!(
            "SELECT r.site, r.kind, r.what, r.before, r.reason, r.by, r.at, r.cause, r.pardoned_at, {COVERS}
             FROM revocation r JOIN site s ON s.name = r.site
             WHERE ?1 IS NULL OR r.site = ?1 ORDER BY r.id"
        ))?;
        let rows = statement.query_map((site, signed(now), signed(COVERED_SLACK_SECONDS)), |row| {
            let pardoned_at: Option<i64> = row.get(8)?;
            Ok(Listed {
                site: row.get(0)?,
                kind: row.get(1)?,
                what: row.get(2)?,
                before: unsigned(row.get(3)?),
                reason: row.get(4)?,
                by: row.get(5)?,
                at: unsigned(row.get(6)?),
                cause: row.get(7)?,
                pardoned_at: pardoned_at.map(unsigned),
                state: match (pardoned_at, row.get::<_, bool>(9)?) {
                    (Some(_), _) => State::Pardoned,
                    (None, true) => State::InForce,
                    (None, false) => State::Ended,
                },
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}
