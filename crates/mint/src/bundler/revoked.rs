//! What a bundle says is revoked: everything in force, or for a delta what came since its base.

use std::collections::BTreeMap;

use farside_crossing::StatusDocument;
use farside_crossing::status::{Lists, RevokedAll, RevokedKey, RevokedName};
use farside_verify::leaf::TokenPosition;
use rusqlite::Connection;

use super::BundleFault;
use crate::revocation::{self, Mark, Row};
use crate::store::StoreFault;

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
        Ok(revoked)
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
