//! Revocations: of one token, of what a subject, a client or a group was issued up to a moment, of a token
//! key, of everything issued up to a moment. They tighten, so the online key may sign them; they take effect
//! at a site with its next bundle.
//!
//! A client or a group is revoked by the name in its tokens, and each subject behind it as well: not every
//! token names its client, and few name their groups.

mod ledger;
mod losses;
mod token;

use farside_verify::leaf::TokenPosition;
use rusqlite::Connection;

use crate::names::{self, NameFault};
use crate::store::{Directory, Store, StoreFault, signed};

pub use ledger::{Listed, State, in_force, list};
pub(crate) use ledger::{Mark, Row, mark, rows_in_force};
pub use losses::{Losses, with_losses};
pub use token::{LoggedToken, TokenFault, identify, look_up};

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One token, by its `jti`, and when it expires where the log here says so.
    Token {
        /// Its place in the log.
        position: TokenPosition,
        /// `exp`.
        expires_at: Option<u64>,
    },
    /// A subject's tokens issued up to a moment.
    Subject(String),
    /// A client's, by its client id.
    Client(String),
    /// Those of a group's members.
    Group(String),
    /// A token key: every token signed with it, and every one that would be.
    Key(String),
    /// Everything issued up to a moment.
    All,
}

/// A revocation to be made.
#[derive(Debug, Clone)]
pub struct Order {
    /// Of what.
    pub what: What,
    /// At one site; `None`: at every site where it can be.
    pub site: Option<String>,
    /// Up to which moment, where that is not now.
    pub before: Option<u64>,
    /// Why; it crosses.
    pub reason: String,
    /// Who revokes; it crosses too.
    pub by: String,
}

impl Order {
    /// What the journal is told. Of a token that is its id, never its text.
    pub(crate) fn journalled(&self, outcome: &Revoked) -> serde_json::Value {
        serde_json::json!({
            "kind": self.what.kind(), "what": self.what.name(), "before": self.before, "sites": outcome.sites,
            "subjects": outcome.subjects, "reason": self.reason,
        })
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Revoked {
    /// The sites whose next bundle carries it.
    pub sites: Vec<String>,
    /// Subjects that were revoked with a client or a group.
    pub subjects: Vec<String>,
    /// How many entries are new: 0 where all of it was revoked already.
    pub new: usize,
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationFault {
    /// The shard belongs to no site.
    #[error("no site of this realm has the log shard {0}")]
    NoShard(String),
    /// There is no such site.
    #[error("there is no site {0}")]
    NoSite(String),
    /// There is no such key.
    #[error("no site of this realm has the key {0}")]
    NoKey(String),
    /// There is no such subject; a removed one's tokens still carry its name, so this is only refused when it
    /// never was.
    #[error("there is no subject {0}")]
    NoSubject(String),
    /// No subject has that client id.
    #[error("there is no client {0}")]
    NoClient(String),
    /// There is no such group.
    #[error("there is no group {0}")]
    NoGroup(String),
    /// What is not issued yet cannot be taken back.
    #[error("the moment has not come yet: only what was issued can be revoked")]
    Future,
    /// A token or a key is revoked whenever it was issued, and belongs to one site.
    #[error("a {0} belongs to one site and is revoked whole: no other site and no moment can be named")]
    Whole(&'static str),
    /// The reason will be read by others.
    #[error("{0}")]
    Reason(#[from] NameFault),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for RevocationFault {
    fn from(fault: rusqlite::Error) -> Self {
        Self::Store(fault.into())
    }
}

impl From<RevocationFault> for farside_service::cli::Failure {
    fn from(fault: RevocationFault) -> Self {
        match fault {
            RevocationFault::Store(fault) => fault.into(),
            fault => Self::refused(fault.to_string()),
        }
    }
}

impl What {
    /// Its kind, as the database and the journal have it.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Token { .. } => "token",
            What::Subject(_) => "subject",
            What::Client(_) => "client",
            What::Group(_) => "group",
            What::Key(_) => "key",
            What::All => "all",
        }
    }

    /// Its name; nothing for all.
    pub fn name(&self) -> String {
        match self {
            What::Token { position, .. } => position.to_string(),
            What::Subject(name) | What::Client(name) | What::Group(name) | What::Key(name) => name.clone(),
            What::All => String::new(),
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self, What::Token { .. } | What::Key(_))
    }
}

/// Revokes in one transaction; durable when it returns. Names the sites whose next bundle carries it.
pub fn revoke(store: &Store, order: &Order, now: u64) -> Result<Revoked, RevocationFault> {
    names::sentence("reason", &order.reason, REASON_BYTES_MAX)?;
    if order.before.is_some_and(|before| before > now) {
        return Err(RevocationFault::Future);
    }
    if order.what.is_whole() && (order.before.is_some() || order.site.is_some()) {
        return Err(RevocationFault::Whole(order.what.kind()));
    }
    let directory = store.directory()?;
    let sites = sites_of(&directory, order)?;
    store.write(|transaction| {
        // Who belongs to a group, as of this transaction.
        let subjects = behind(transaction, &directory, &order.what)?;
        let before = if order.what.is_whole() { 0 } else { order.before.unwrap_or(now) };
        let mut new = 0;
        for site in &sites {
            let lifetime = directory.site(site).map_or(0, |site| site.lifetime_seconds_highest);
            let expires_at = match &order.what {
                // What another replica has logged was issued by now.
                What::Token { expires_at, .. } => expires_at.unwrap_or(now.saturating_add(lifetime)),
                _ => 0,
            };
            let entry = Entry { site, kind: order.what.kind(), before, expires_at, cause: "" };
            new += insert(transaction, &entry, &order.what.name(), order, now)?;
            let cause = format!("{}:{}", order.what.kind(), order.what.name());
            for subject in &subjects {
                let entry = Entry { kind: "subject", cause: &cause, expires_at: 0, ..entry };
                new += insert(transaction, &entry, subject, order, now)?;
            }
        }
        Ok(Revoked { sites, subjects, new })
    })
}

#[derive(Clone, Copy)]
struct Entry<'e> {
    site: &'e str,
    kind: &'e str,
    before: u64,
    expires_at: u64,
    cause: &'e str,
}

fn insert(
    connection: &Connection,
    entry: &Entry<'_>,
    what: &str,
    order: &Order,
    now: u64,
) -> Result<usize, StoreFault> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO revocation (site, kind, what, before, expires_at, reason, by, at, cause)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    Ok(statement.execute(rusqlite::params![
        entry.site,
        entry.kind,
        what,
        signed(entry.before),
        signed(entry.expires_at),
        order.reason,
        order.by,
        signed(now),
        entry.cause,
    ])?)
}

/// The subjects whose tokens do not name the client or group that is revoked.
fn behind(
    connection: &Connection,
    directory: &Directory,
    what: &What,
) -> Result<Vec<String>, RevocationFault> {
    match what {
        What::Client(id) => {
            let subject = directory.client(id).ok_or_else(|| RevocationFault::NoClient(id.clone()))?;
            Ok(vec![subject.name.clone()])
        }
        What::Group(name) => {
            let known = "SELECT EXISTS (SELECT 1 FROM team WHERE name = ?1)";
            if !connection.query_row(known, [name], |row| row.get::<_, bool>(0))? {
                return Err(RevocationFault::NoGroup(name.clone()));
            }
            let members = "SELECT subject FROM team_member WHERE team = ?1 ORDER BY subject";
            let mut statement = connection.prepare(members)?;
            let rows = statement.query_map([name], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        }
        _ => Ok(Vec::new()),
    }
}

/// The site of a log shard, which is its name, with `.<replica>` behind it for further replicas; no site's
/// name holds a dot.
pub(crate) fn site_of_shard(shard: &str) -> &str {
    shard.split('.').next().unwrap_or(shard)
}

fn sites_of(directory: &Directory, order: &Order) -> Result<Vec<String>, RevocationFault> {
    match &order.what {
        What::Token { position, .. } => {
            let shard = position.shard();
            let known = directory.site(site_of_shard(shard));
            Ok(vec![known.ok_or_else(|| RevocationFault::NoShard(shard.to_owned()))?.name.clone()])
        }
        What::Key(kid) => directory
            .sites()
            .find(|site| site.keys.iter().any(|key| key.kid == *kid))
            .map(|site| vec![site.name.clone()])
            .ok_or_else(|| RevocationFault::NoKey(kid.clone())),
        What::Subject(name) if directory.subject(name).is_none() => {
            Err(RevocationFault::NoSubject(name.clone()))
        }
        What::Subject(_) | What::Client(_) | What::Group(_) | What::All => match &order.site {
            None => Ok(directory.sites().map(|site| site.name.clone()).collect()),
            Some(site) => {
                let known = directory.site(site).ok_or_else(|| RevocationFault::NoSite(site.clone()))?;
                Ok(vec![known.name.clone()])
            }
        },
    }
}
