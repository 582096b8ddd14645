//! The charters that a bundle carries: every one that a gate of the site may not have seen.

use std::sync::Arc;

use farside_crossing::Kind;
use farside_crossing::charter::{CHAIN_BYTES_MAX, Charter};
use rusqlite::Connection;

use super::BundleFault;
use crate::ceremony::{self, CharterFault, Followed};
use crate::store::{StoreFault, unsigned};

/// How long before its site was added here a gate may have been given its first charter.
const ENROLMENT_SECONDS_MAX: i64 = 90 * 86_400;

/// What stands before each charter in a chain, at most: its length and a newline.
const LENGTH_BYTES_MAX: usize = 16;

/// The realm's charters, as one site needs them.
pub(super) struct Charters {
    chain: Arc<Vec<Charter>>,
    newest: Charter,
    /// The charter that every gate of the site has at least.
    first: u64,
}

impl Charters {
    pub(super) fn read(
        connection: &Connection,
        followed: &Followed,
        site: &str,
    ) -> Result<Charters, BundleFault> {
        let chain = ceremony::read_chain(connection, followed)?;
        let newest = chain.last().cloned().ok_or(CharterFault::None)?;
        let first: i64 = connection
            .query_row(
                "SELECT coalesce(max(version), 1) FROM charter
                 WHERE adopted_at <= (SELECT created_at FROM site WHERE name = ?1) - ?2",
                (site, ENROLMENT_SECONDS_MAX),
                |row| row.get(0),
            )
            .map_err(StoreFault::from)?;
        Ok(Charters { chain, newest, first: unsigned(first) })
    }

    /// The charter in force.
    pub(super) fn newest(&self) -> &Charter {
        &self.newest
    }

    /// The charters to carry in a bundle of that kind, whose base brought charter `held`.
    // bundle.md §4.10
    pub(super) fn carried(&self, kind: Kind, held: Option<u64>) -> &[Charter] {
        let from = if kind == Kind::Full { self.first } else { held.unwrap_or(self.first) };
        let mut room = CHAIN_BYTES_MAX;
        let fits = |charter: &&Charter| {
            let bytes = charter.bytes().len() + LENGTH_BYTES_MAX;
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        };
        let wanted = self.chain.iter().rev().take_while(|charter| charter.version() > from);
        let count = wanted.take_while(fits).count().max(1);
        self.chain.get(self.chain.len() - count..).unwrap_or_default()
    }

    /// All of them, each followed from the one before.
    pub(super) fn chain(&self) -> &[Charter] {
        &self.chain
    }

    /// What a gate that applies such a bundle trusts before: the checks at packing begin there.
    pub(super) fn trusted_before(&self, carried: &[Charter]) -> &Charter {
        let first = carried.first().map_or(self.newest.version(), Charter::version);
        let before = self.chain.iter().rev().find(|charter| charter.version() < first);
        before.or(self.chain.first()).unwrap_or(&self.newest)
    }
}
