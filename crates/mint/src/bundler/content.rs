//! What the database has to say about the next bundle of a site, read in one consistent view, and the rows
//! that remember a bundle once it is made.

use farside_crossing::{Base, Digest, Kind, Packed, RecipientPublic, StatusDocument};
use rusqlite::{Connection, OptionalExtension};

use super::charters::Charters;
use super::leave::Leave;
use super::leaves::LeafMark;
use super::revoked::{Revoked, Told};
use super::{BundleFault, NONCE_BYTES};
use crate::ceremony::Followed;
use crate::release::{self, Kind as DocumentKind};
use crate::revocation::Mark;
use crate::store::{Site, Store, StoreFault, signed, unsigned};

/// Everything but tokens and leaves.
pub(super) struct Content {
    pub(super) seq: u64,
    pub(super) prev: Option<Digest>,
    pub(super) last_issued_at: u64,
    pub(super) base: Option<BaseRow>,
    pub(super) keys: (u64, Vec<u8>),
    pub(super) policy: (u64, Vec<u8>),
    pub(super) leave: Leave,
    pub(super) charters: Charters,
    site: String,
    revoked: Revoked,
}

/// The newest bundle that was no beacon, and what a gate holds once it has applied it.
pub(super) struct BaseRow {
    pub(super) mark: Base,
    pub(super) charter_version: u64,
    pub(super) keys_version: u64,
    pub(super) policy_version: u64,
    told: Mark,
}

/// A packed bundle and what the database is to remember of it.
pub struct Carried<'a> {
    pub(super) content: &'a Content,
    pub(super) packed: &'a Packed,
    pub(super) nonce: Option<[u8; NONCE_BYTES]>,
    pub(super) marks: &'a [LeafMark],
}

impl Content {
    pub(super) fn read(
        connection: &Connection,
        followed: &Followed,
        site: &Site,
        (kind, now): (Kind, u64),
    ) -> Result<Self, BundleFault> {
        let last = last_bundle(connection, &site.name, false)?;
        let base = last_bundle(connection, &site.name, true)?;
        if kind != Kind::Full && base.is_none() {
            return Err(BundleFault::NoBase(site.name.clone()));
        }
        let document = |kind: DocumentKind| -> Result<(u64, Vec<u8>), BundleFault> {
            release::newest(connection, &site.name, kind)?
                .ok_or_else(|| BundleFault::NoDocument { site: site.name.clone(), kind: kind.as_str() })
        };
        let charters = Charters::read(connection, followed, &site.name)?;
        let leave = Leave::read(connection, &site.name)?;
        let seq = numbered(last.as_ref(), leave.leaps_to(charters.newest()), (&site.name, kind))?;
        if let (Kind::Beacon, Some(base)) = (kind, &base)
            && base.charter_version != charters.newest().version()
        {
            return Err(BundleFault::FullFirst { site: site.name.clone(), why: "a new charter waits" });
        }
        let last_issued_at: i64 = connection.query_row(
            "SELECT coalesce((SELECT issued_at FROM bundle WHERE site = ?1 ORDER BY seq DESC LIMIT 1), 0)",
            [&site.name],
            |row| row.get(0),
        )?;
        let delta_on = base.as_ref().filter(|_| kind == Kind::Delta);
        let told = delta_on.map(|base| Told { seq: base.mark.seq, mark: base.told });
        Ok(Self {
            last_issued_at: unsigned(last_issued_at),
            seq,
            prev: last.map(|last| last.mark.digest),
            base,
            keys: document(DocumentKind::Keys)?,
            policy: document(DocumentKind::Policy)?,
            leave,
            charters,
            site: site.name.clone(),
            revoked: Revoked::read(connection, &site.name, told, now)?,
        })
    }

    /// The status component.
    pub(super) fn status(&self, realm: &str, now: u64) -> StatusDocument {
        self.revoked.document(realm, &self.site, self.seq, now)
    }

    pub(super) fn leaves_from(
        &self,
        connection: &Connection,
        site: &str,
        shard: &str,
        kind: Kind,
        settled_before: u64,
    ) -> Result<u64, BundleFault> {
        let from: Option<i64> = match (kind, &self.base) {
            (Kind::Delta, Some(base)) => connection
                .query_row(
                    "SELECT until FROM bundle_leaves WHERE site = ?1 AND shard = ?2 AND seq = ?3",
                    (site, shard, signed(base.mark.seq)),
                    |row| row.get(0),
                )
                .optional()?,
            _ => connection
                .query_row(
                    "SELECT l.until FROM bundle_leaves l JOIN bundle b ON b.site = l.site AND b.seq = l.seq
                     WHERE l.site = ?1 AND l.shard = ?2 AND b.issued_at < ?3 ORDER BY l.seq DESC LIMIT 1",
                    (site, shard, signed(settled_before)),
                    |row| row.get(0),
                )
                .optional()?,
        };
        Ok(from.map_or(0, unsigned))
    }
}

impl Carried<'_> {
    /// Where the finished file is to lie: names are hints, digests decide.
    pub(super) fn file(&self) -> String {
        format!("{}-{:08}.fbundle", self.packed.manifest.site, self.packed.manifest.seq)
    }

    /// What a gate holds of charter, keys and policy once it has applied this: a beacon brings nothing.
    fn versions(&self) -> [u64; 3] {
        match (self.packed.manifest.kind, &self.content.base) {
            (Kind::Beacon, Some(base)) => [base.charter_version, base.keys_version, base.policy_version],
            _ => [self.content.charters.newest().version(), self.content.keys.0, self.content.policy.0],
        }
    }

    /// Remembers the bundle. The primary key refuses a number that is taken.
    pub(super) fn insert(&self, connection: &Connection, file_sha256: &str) -> Result<(), BundleFault> {
        let manifest = &self.packed.manifest;
        let [charter, keys, policy] = self.versions();
        let inserted = connection.execute(
            "INSERT OR IGNORE INTO bundle (site, seq, kind, digest, file_sha256, file_bytes, file, nonce,
                 issued_at, not_after, next_by, charter_version, keys_version, policy_version, revocations,
                 pardon_version)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16
             WHERE ?2 > (SELECT coalesce(max(seq), 0) FROM bundle WHERE site = ?1)",
            rusqlite::params![
                manifest.site,
                signed(manifest.seq),
                manifest.kind.as_str(),
                self.packed.digest.hex(),
                file_sha256,
                signed(self.packed.bytes.len() as u64),
                self.file(),
                self.nonce.filter(|_| manifest.kind != Kind::Beacon).map(|nonce| nonce.to_vec()),
                signed(manifest.issued_at),
                signed(manifest.not_after),
                signed(manifest.next_by),
                signed(charter),
                signed(keys),
                signed(policy),
                signed(self.content.revoked.mark.revocations),
                signed(self.content.revoked.mark.pardon_version),
            ],
        )?;
        if inserted != 1 {
            return Err(BundleFault::NumberTaken(manifest.seq));
        }
        for mark in self.marks {
            connection.execute(
                "INSERT INTO bundle_leaves (site, seq, shard, until) VALUES (?1, ?2, ?3, ?4)",
                (&manifest.site, signed(manifest.seq), &mark.shard, signed(mark.until)),
            )?;
        }
        Ok(())
    }
}

/// The recipient key of a sealed site; `None` where nothing is sealed.
pub(super) fn recipient(site: &Site) -> Result<Option<RecipientPublic>, BundleFault> {
    if !site.terms.sealed {
        return Ok(None);
    }
    let line = site.recipient.as_deref().ok_or_else(|| BundleFault::NotEnrolled(site.name.clone()))?;
    Ok(Some(line.parse()?))
}

/// The number that comes next, or the one to which release people's fence leads the site past another
/// history.
// bundle.md §10.10
fn numbered(
    last: Option<&BaseRow>,
    leaps_to: Option<u64>,
    (site, kind): (&str, Kind),
) -> Result<u64, BundleFault> {
    let Some(last) = last else { return Ok(1) };
    let next = last.mark.seq + 1;
    match leaps_to.filter(|seq| *seq > next) {
        None => Ok(next),
        Some(seq) if kind == Kind::Full => Ok(seq),
        Some(_) => Err(BundleFault::FullFirst { site: site.to_owned(), why: "a fence leads further on" }),
    }
}

fn last_bundle(connection: &Connection, site: &str, content: bool) -> Result<Option<BaseRow>, BundleFault> {
    let row = connection
        .query_row(
            "SELECT seq, digest, charter_version, keys_version, policy_version, revocations, pardon_version
             FROM bundle WHERE site = ?1 AND (kind <> 'beacon' OR NOT ?2) ORDER BY seq DESC LIMIT 1",
            (site, content),
            |row| {
                let number = |column: usize| row.get::<_, i64>(column).map(unsigned);
                let told = Mark { revocations: number(5)?, pardon_version: number(6)? };
                let versions = [number(2)?, number(3)?, number(4)?];
                Ok((number(0)?, row.get::<_, String>(1)?, versions, told))
            },
        )
        .optional()?;
    row.map(|(seq, digest, [charter_version, keys_version, policy_version], told)| {
        let mark = Base { seq, digest: read_digest(digest)? };
        Ok(BaseRow { mark, charter_version, keys_version, policy_version, told })
    })
    .transpose()
}

pub(super) fn read_digest(hex: String) -> Result<Digest, StoreFault> {
    hex.parse().map_err(|_| StoreFault::Unreadable { what: "bundle digest", value: hex })
}

/// A bundle as `bundle list` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// The site.
    pub site: String,
    /// The number.
    pub seq: u64,
    /// Its kind.
    pub kind: String,
    /// SHA-256 of the manifest's text.
    pub digest: String,
    /// Name of its file.
    pub file: String,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// When it was made, in Unix seconds.
    pub issued_at: u64,
    /// When the site's receipt was entered, in Unix seconds.
    pub receipted_at: Option<u64>,
}

/// Every bundle made, of one site or of all, oldest first.
pub fn list(store: &Store, site: Option<&str>) -> Result<Vec<Listed>, StoreFault> {
    store.read(|transaction| {
        let mut statement = transaction.prepare(
            "SELECT site, seq, kind, digest, file, file_bytes, issued_at, receipted_at FROM bundle
             WHERE ?1 IS NULL OR site = ?1 ORDER BY site, seq",
        )?;
        let rows = statement.query_map([site], |row| {
            Ok(Listed {
                site: row.get(0)?,
                seq: unsigned(row.get(1)?),
                kind: row.get(2)?,
                digest: row.get(3)?,
                file: row.get(4)?,
                bytes: unsigned(row.get(5)?),
                issued_at: unsigned(row.get(6)?),
                receipted_at: row.get::<_, Option<i64>>(7)?.map(unsigned),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}
