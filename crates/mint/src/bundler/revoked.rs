//! What a bundle says is revoked: everything in force, or for a delta what came since its base.

use std::collections::BTreeMap;

use farside_crossing::StatusDocument;
use farside_crossing::status::{Lists, RevokedAll, RevokedKey, RevokedName, TokenBits};
use farside_verify::leaf::TokenPosition;
use rusqlite::Connection;

use super::BundleFault;
use crate::revocation::{self, Mark, Row};
use crate::store::{Site, StoreFault};

/// The bundle that a delta builds on, and what it told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) seq: u64,
    pub(super) mark: Mark,
}

/// The status of one site, and how far its revocations have come.
pub(super) struct Revoked {
    pub(super) mark: Mark,
    since: Option<u64>,
    lists: Lists,
    subjects: Names,
    clients: Names,
    groups: Names,
    keys: BTreeMap<String, RevokedKey>,
    all: Option<RevokedAll>,
}

type Names = BTreeMap<String, RevokedName>;

impl Revoked {
    /// Reads what is in force; on `base`, only what came after it.
    // bundle.md §7.6: what a pardon takes back shows in a full list alone.
    pub(super) fn read(
        connection: &Connection,
        site: &str,
        base: Option<Told>,
        now: u64,
    ) -> Result<Self, BundleFault> {
        let mark = revocation::mark(connection, site)?;
        let base = base.filter(|base| base.mark.pardon_version == mark.pardon_version);
        let after = base.map_or(0, |base| base.mark.revocations);
        let mut revoked = Self {
            mark,
            since: base.map(|base| base.seq),
            lists: Lists::default(),
            subjects: Names::new(),
            clients: Names::new(),
            groups: Names::new(),
            keys: BTreeMap::new(),
            all: None,
        };
        for row in revocation::rows_in_force(connection, site, after, now)? {
            revoked.add(row)?;
        }
        revoked.leave_out_covered(now);
        Ok(revoked)
    }

    /// Names that everything's revocation covers need no room beside it. They stay in the database: once
    /// people take that one back, the next list has them again.
    // bundle.md §7.11
    fn leave_out_covered(&mut self, now: u64) {
        let Some(all) = &self.all else { return };
        self.subjects.retain(|_, entry| !all.covers_subject(entry.before, now));
        self.clients.retain(|_, entry| !all.covers(entry.before));
        self.groups.retain(|_, entry| !all.covers(entry.before));
    }

    /// How many entries the list has; each revoked token is one.
    pub(super) fn entries(&self) -> u64 {
        let tokens: u64 = self.lists.by_shard().values().flatten().map(TokenBits::ones).sum();
        let named = self.subjects.len() + self.clients.len() + self.groups.len() + self.keys.len();
        tokens + named as u64 + u64::from(self.all.is_some())
    }

    /// The component. Its version is the bundle's number: it only rises.
    pub(super) fn document(&self, realm: &str, site: &str, seq: u64, now: u64) -> StatusDocument {
        let listed = |names: &Names| names.values().cloned().collect();
        StatusDocument {
            since: self.since,
            tokens: self.lists.close(),
            subjects: listed(&self.subjects),
            clients: listed(&self.clients),
            groups: listed(&self.groups),
            keys: self.keys.values().cloned().collect(),
            all: self.all.clone(),
            ..StatusDocument::empty(realm, site, seq, now)
        }
    }

    fn add(&mut self, row: Row) -> Result<(), StoreFault> {
        let Row { kind, what, before, until, reason, by, at } = row;
        let names = match kind.as_str() {
            "token" => {
                let position: TokenPosition = what
                    .parse()
                    .map_err(|_| StoreFault::Unreadable { what: "revoked token", value: what })?;
                self.lists.set(position.shard(), until, position.index());
                return Ok(());
            }
            "key" => {
                self.keys.insert(what.clone(), RevokedKey { kid: what, reason, by, at });
                return Ok(());
            }
            "all" => {
                if self.all.as_ref().is_none_or(|held| held.before < before) {
                    self.all = Some(RevokedAll { before, reason, by, at });
                }
                return Ok(());
            }
            "subject" => &mut self.subjects,
            "client" => &mut self.clients,
            "group" => &mut self.groups,
            _ => return Err(StoreFault::Unreadable { what: "kind of revocation", value: kind }),
        };
        // A later revocation of the same name reaches further: the furthest one counts.
        if names.get(&what).is_none_or(|held| held.before < before) {
            names.insert(what.clone(), RevokedName { name: what, before, reason, by, at });
        }
        Ok(())
    }
}

/// What makes the list of what is revoked shorter at once.
// bundle.md §7.11
pub(crate) fn way_out(site: &str) -> String {
    format!(
        "revoke all that was issued up to a moment instead, and the names revoked until then need no room \
         (subjects 90 min later): mint revoke all --site {site} --before TIME --reason REASON"
    )
}

/// Entries and bytes of the status that a full bundle of that site would bring now.
pub(crate) fn measure(
    connection: &Connection,
    realm: &str,
    site: &Site,
    now: u64,
) -> Result<(u64, u64), BundleFault> {
    let revoked = Revoked::read(connection, &site.name, None, now)?;
    let document = revoked.document(realm, &site.name, site.last_seq() + 1, now);
    let mut counted = Counted(0);
    // Writing to a counter cannot fail.
    let _ = serde_json::to_writer(&mut counted, &document);
    Ok((revoked.entries(), counted.0))
}

/// Bytes that go nowhere.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
