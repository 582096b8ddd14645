//! When the release role changes, what its former people signed stands here and convinces no gate any more:
//! the same text, of the same version, is signed again by those who release now.

use farside_crossing::Role;
use farside_crossing::note::{self, Note};
use rusqlite::Connection;

use super::{Kind, ReleaseFault, newest};
use crate::store::{Store, StoreFault, signed};

/// A document in force that has to be signed again.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The site.
    pub site: String,
    /// Which of its documents.
    pub kind: Kind,
    /// Its number, which stays.
    pub version: u64,
    /// Its text with the signatures that count now or are to count.
    pub note: Vec<u8>,
}

/// The documents in force that this release role has not signed; of one site, or of all. Signatures of
/// `held`, the role in force, are kept: so people can sign for a charter that is not adopted yet.
pub fn outdated(
    store: &Store,
    site: Option<&str>,
    (held, next): (&Role, &Role),
) -> Result<Vec<Renewal>, ReleaseFault> {
    let directory = store.directory()?;
    if let Some(name) = site.filter(|name| directory.site(name).is_none()) {
        return Err(ReleaseFault::NoSite(name.to_owned()));
    }
    let sites = directory.sites().filter(|known| site.is_none_or(|name| name == known.name));
    let mut renewals = Vec::new();
    for site in sites {
        for kind in [Kind::Keys, Kind::Policy, Kind::Pardon] {
            let newest = store.read(|transaction| newest(transaction, &site.name, kind))?;
            if let Some((version, bytes)) = newest
                && !store.followed().released(next, &bytes)
            {
                let note = note::keep_signers(&bytes, &[held, next])?;
                renewals.push(Renewal { site: site.name.clone(), kind, version, note });
            }
        }
    }
    Ok(renewals)
}

/// Whether a document is in force without enough signatures of this release role.
pub fn in_force_unsigned(store: &Store, site: &str, kind: Kind, role: &Role) -> Result<bool, StoreFault> {
    let newest = store.read(|transaction| newest(transaction, site, kind))?;
    Ok(newest.is_some_and(|(_, bytes)| !store.followed().released(role, &bytes)))
}

/// Puts other signatures under a document that is in force; `false` where it is not.
// bundle.md §10.6: the text is what a version stands for.
pub(super) fn replace(
    connection: &Connection,
    (site, kind, version): (&str, Kind, u64),
    note: &Note<'_>,
    bytes: &[u8],
) -> Result<bool, ReleaseFault> {
    let Some((held_version, held)) = newest(connection, site, kind)? else { return Ok(false) };
    let held = Note::parse(&held)?;
    // Without anybody new under it, it is the document that stands there: adopted twice.
    if held_version != version || held.text() != note.text() || !note.bears_more_than(&held) {
        return Ok(false);
    }
    connection
        .execute(
            "UPDATE release_document SET note = ?4 WHERE site = ?1 AND kind = ?2 AND version = ?3",
            (site, kind.as_str(), signed(version), bytes),
        )
        .map_err(StoreFault::from)?;
    Ok(true)
}
