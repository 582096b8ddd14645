//! Revocations: of one token by its position in the log, of a subject's tokens up to a moment, of a token
//! key. They tighten, so the online key may sign them; they take effect at a site with its next bundle.

use farside_verify::leaf::TokenPosition;

use crate::names::{self, NameFault};
use crate::store::{Directory, Store, StoreFault, signed};

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One token, by its `jti`.
    Token(TokenPosition),
    /// A subject's tokens issued up to now; at one site, or at all.
    Subject {
        /// The subject.
        name: String,
        /// The site; `None`: every site.
        site: Option<String>,
    },
    /// A token key: every token signed with it, and every one that would be.
    Key(String),
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

/// Revokes, and names the sites whose next bundle carries it.
pub fn revoke(store: &Store, what: &What, reason: &str, now: u64) -> Result<Vec<String>, RevocationFault> {
    names::sentence("reason", reason, REASON_BYTES_MAX)?;
    let directory = store.directory()?;
    let sites = sites_of(&directory, what)?;
    let (kind, name) = match what {
        What::Token(position) => ("token", position.to_string()),
        What::Subject { name, .. } => ("subject", name.clone()),
        What::Key(kid) => ("key", kid.clone()),
    };
    // Only a subject is revoked up to a moment, and may be again later.
    let before = if matches!(what, What::Subject { .. }) { now } else { 0 };
    store.write(|transaction| {
        for site in &sites {
            transaction.execute(
                "INSERT OR IGNORE INTO revocation (site, kind, what, before, reason, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (site, kind, &name, signed(before), reason, signed(now)),
            )?;
        }
        Ok(sites)
    })
}

fn sites_of(directory: &Directory, what: &What) -> Result<Vec<String>, RevocationFault> {
    match what {
        What::Token(position) => {
            // A shard is its site's name, and `.<replica>` behind it for further replicas; no site's name
            // holds a dot.
            let shard = position.shard();
            let site = shard.split('.').next().unwrap_or(shard);
            let known = directory.site(site).ok_or_else(|| RevocationFault::NoShard(shard.to_owned()))?;
            Ok(vec![known.name.clone()])
        }
        What::Subject { name, site } => {
            directory.subject(name).ok_or_else(|| RevocationFault::NoSubject(name.clone()))?;
            match site {
                None => Ok(directory.sites().iter().map(|site| site.name.clone()).collect()),
                Some(site) => {
                    let known = directory.site(site).ok_or_else(|| RevocationFault::NoSite(site.clone()))?;
                    Ok(vec![known.name.clone()])
                }
            }
        }
        What::Key(kid) => directory
            .sites()
            .iter()
            .find(|site| site.keys.iter().any(|key| key.kid == *kid))
            .map(|site| vec![site.name.clone()])
            .ok_or_else(|| RevocationFault::NoKey(kid.clone())),
    }
}
