//! Leave that release people give, to act once at each gate: a fence lets a site's sequence go on, a pardon
//! takes revocations back.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use farside_crossing::note::Note;
use farside_crossing::pardon::PardonedToken;
use farside_crossing::{FenceDocument, PardonDocument};
use farside_verify::leaf::TokenPosition;
use rusqlite::Connection;

use super::{Kind, ReleaseFault, newest};
use crate::store::{Site, StoreFault, signed};

/// How many numbers a fence covers unless told otherwise: it acts at the first of them that reaches the gate.
const FENCE_NUMBERS_DEFAULT: u64 = 100;

/// Revocations to be taken back at one site.
#[derive(Debug, Clone, Default)]
pub struct Pardoned {
    /// Tokens.
    pub tokens: Vec<TokenPosition>,
    /// Subjects.
    pub subjects: Vec<String>,
    /// Clients, with the subjects that were revoked with them.
    pub clients: Vec<String>,
    /// Groups, with the subjects that were revoked with them.
    pub groups: Vec<String>,
    /// Ids of token keys.
    pub keys: Vec<String>,
    /// What was revoked up to a moment, whoever it belongs to.
    pub all: bool,
}

/// The numbers that a fence covers where none are named: from the site's next bundle on.
pub fn fence_numbers(site: &Site) -> RangeInclusive<u64> {
    let next = site.last_seq() + 1;
    next..=next + FENCE_NUMBERS_DEFAULT - 1
}

pub(super) fn fence_document(
    realm: &str,
    site: &Site,
    version: u64,
    now: u64,
    numbers: &RangeInclusive<u64>,
) -> Result<FenceDocument, ReleaseFault> {
    let (seq_min, seq_max, next) = (*numbers.start(), *numbers.end(), site.last_seq() + 1);
    if seq_max < next {
        return Err(ReleaseFault::FencePast { site: site.name.clone(), seq_max, next });
    }
    let (realm, site) = (realm.to_owned(), site.name.clone());
    Ok(FenceDocument { realm, site, version, issued_at: now, seq_min, seq_max })
}

/// Drafts a pardon. It names what earlier ones named as well, since a gate may have missed the bundles that
/// carried those; but nothing that was revoked again.
pub(super) fn pardon_document(
    connection: &Connection,
    (realm, site): (&str, &str),
    version: u64,
    now: u64,
    pardoned: &Pardoned,
) -> Result<PardonDocument, ReleaseFault> {
    let revoked = revoked(connection, site)?;
    let is_revoked = |kind: &str, what: &str| revoked.contains(&(kind.to_owned(), what.to_owned()));
    if let Some((kind, what)) = pardoned.rows().into_iter().find(|(kind, what)| !is_revoked(kind, what)) {
        return Err(ReleaseFault::NotRevoked { site: site.to_owned(), kind, what });
    }
    let mut earlier = earlier(connection, site)?;
    earlier.tokens.retain(|token| !is_revoked("token", &token.to_string()));
    for (kind, names) in earlier.names_mut() {
        names.retain(|name| !is_revoked(kind, name));
    }
    let mut whole = earlier.joined(pardoned);
    whole.subjects.extend(swept_along(connection, site, pardoned)?);
    if whole.rows().is_empty() {
        return Err(ReleaseFault::NothingPardoned(site.to_owned()));
    }
    let token =
        |token: &TokenPosition| PardonedToken { shard: token.shard().to_owned(), index: token.index() };
    let tokens = whole.tokens.iter().map(token).collect();
    let Pardoned { subjects, clients, groups, keys, all, .. } = whole;
    let all = all && (pardoned.all || !is_revoked("all", ""));
    let empty = PardonDocument::empty(realm, site, version, now);
    Ok(PardonDocument { tokens, subjects, clients, groups, keys, all, ..empty })
}

/// The subjects that are revoked for no other reason than a client or group that is pardoned.
fn swept_along(connection: &Connection, site: &str, pardoned: &Pardoned) -> Result<Vec<String>, StoreFault> {
    let mut statement = connection.prepare(
        "SELECT what FROM revocation WHERE site = ?1 AND kind = 'subject' AND pardoned_at IS NULL
         GROUP BY what
         HAVING min(cause IN (SELECT value FROM json_each(?2))) ORDER BY what",
    )?;
    let clients = pardoned.clients.iter().map(|id| format!("client:{id}"));
    let causes: Vec<String> =
        clients.chain(pardoned.groups.iter().map(|name| format!("group:{name}"))).collect();
    let rows = statement.query_map((site, crate::names::list(&causes)), |row| row.get(0))?;
    let mut subjects: Vec<String> = rows.collect::<Result<_, _>>()?;
    subjects.retain(|subject| !pardoned.subjects.contains(subject));
    Ok(subjects)
}

/// Marks the revocations that an adopted pardon names: those that its signers can have known of. They stay
/// for the record.
pub(super) fn take_back(
    connection: &Connection,
    pardon: &PardonDocument,
    now: u64,
) -> Result<(), ReleaseFault> {
    for (kind, what) in Pardoned::of(pardon)?.rows() {
        connection
            .execute(
                "UPDATE revocation SET pardoned_at = ?5, pardon = ?6
                 WHERE site = ?1 AND kind = ?2 AND what = ?3 AND at <= ?4 AND pardoned_at IS NULL",
                (&pardon.site, kind, what, signed(pardon.issued_at), signed(now), signed(pardon.version)),
            )
            .map_err(StoreFault::from)?;
    }
    Ok(())
}

impl Pardoned {
    fn of(document: &PardonDocument) -> Result<Self, ReleaseFault> {
        let position = |token: &PardonedToken| TokenPosition::new(&token.shard, token.index);
        let tokens = document.tokens.iter().map(position).collect::<Result<_, _>>();
        Ok(Self {
            tokens: tokens.map_err(|_| ReleaseFault::Foreign)?,
            subjects: document.subjects.clone(),
            clients: document.clients.clone(),
            groups: document.groups.clone(),
            keys: document.keys.clone(),
            all: document.all,
        })
    }

    fn names_mut(&mut self) -> [(&'static str, &mut Vec<String>); 4] {
        [
            ("subject", &mut self.subjects),
            ("client", &mut self.clients),
            ("group", &mut self.groups),
            ("key", &mut self.keys),
        ]
    }

    fn joined(self, more: &Self) -> Self {
        Self {
            tokens: [self.tokens, more.tokens.clone()].concat(),
            subjects: [self.subjects, more.subjects.clone()].concat(),
            clients: [self.clients, more.clients.clone()].concat(),
            groups: [self.groups, more.groups.clone()].concat(),
            keys: [self.keys, more.keys.clone()].concat(),
            all: self.all || more.all,
        }
    }

    /// Kind and name of each, as the table of revocations has them.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let tokens = self.tokens.iter().map(|token| ("token", token.to_string()));
        let named = |kind, names: &[String]| {
            names.iter().map(|name| (kind, name.clone())).collect::<Vec<(&'static str, String)>>()
        };
        tokens
            .chain(named("subject", &self.subjects))
            .chain(named("client", &self.clients))
            .chain(named("group", &self.groups))
            .chain(named("key", &self.keys))
            .chain(self.all.then(|| ("all", String::new())))
            .collect()
    }
}

fn revoked(connection: &Connection, site: &str) -> Result<BTreeSet<(String, String)>, StoreFault> {
    let mut statement =
        connection.prepare("SELECT kind, what FROM revocation WHERE site = ?1 AND pardoned_at IS NULL")?;
    let rows = statement.query_map([site], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the pardon in force names; this mint believed its signatures when it adopted it.
fn earlier(connection: &Connection, site: &str) -> Result<Pardoned, ReleaseFault> {
    let Some((_, bytes)) = newest(connection, site, Kind::Pardon)? else { return Ok(Pardoned::default()) };
    let note = Note::parse(&bytes)?;
    let json = note.text().split_once('\n').map_or("", |(_, json)| json);
    Pardoned::of(&serde_json::from_str(json).map_err(|_| ReleaseFault::Foreign)?)
}
