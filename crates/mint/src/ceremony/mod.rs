//! The charter's life on the near side: drafted from public lines, signed by people in turn, adopted when
//! enough of them have. The mint believes its own database no more than a gate would: the chain is followed
//! again at every start.

pub mod own;

use farside_crossing::charter::{self, Charter, CharterDraft};
use farside_crossing::{LogKey, Refusal, Role, RoleName, SignerPublic};

use crate::store::{Store, StoreFault, signed};

/// Who shall sign what: the people's roles of a new charter.
#[derive(Debug, Clone)]
pub struct Roles {
    /// Root signers and how many of them it takes.
    pub root: (Vec<SignerPublic>, usize),
    /// Release signers and how many of them it takes.
    pub release: (Vec<SignerPublic>, usize),
    /// The mint's own signers and how many of them it takes.
    pub online: (Vec<SignerPublic>, usize),
    /// The log's keys, the one to sign with first.
    pub log: Vec<LogKey>,
    /// Break-glass cards and how many of them it takes, where the realm wants any.
    pub breakglass: Option<(Vec<SignerPublic>, usize)>,
}

/// Drafts a charter: the first of `realm`, or the successor of `newest`. The returned text is still unsigned.
pub fn draft(realm: &str, newest: Option<&Charter>, roles: Roles, now: u64) -> Result<CharterDraft, Refusal> {
    let draft = CharterDraft {
        realm: realm.to_owned(),
        version: 1,
        issued_at: now,
        prev: None,
        root: Role::new(RoleName::Root, roles.root.1, roles.root.0)?,
        release: Role::new(RoleName::Release, roles.release.1, roles.release.0)?,
        online: Role::new(RoleName::Online, roles.online.1, roles.online.0)?,
        log: roles.log,
        breakglass: match roles.breakglass {
            Some((cards, threshold)) => Some(Role::new(RoleName::Breakglass, threshold, cards)?),
            None => None,
        },
    };
    Ok(match newest {
        None => draft,
        Some(newest) => {
            let next = newest.successor(now);
            CharterDraft { version: next.version, prev: next.prev, ..draft }
        }
    })
}

/// Why a charter was not adopted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CharterFault {
    /// The charter itself does not hold.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It founds or follows another realm.
    #[error("the charter is of realm {found}, and this mint serves {expected}")]
    Realm {
        /// The charter's realm.
        found: String,
        /// The mint's.
        expected: String,
    },
    /// The mint's own online key is not among its online signers, so the mint could sign nothing under it.
    #[error("the charter's online role does not name this mint's online key")]
    OnlineMissing,
    /// None of the mint's own log keys is among its log keys, so the mint could sign no head.
    #[error("the charter's log role names no log key of this mint")]
    LogMissing,
    /// No charter has been adopted.
    #[error("this realm has no charter yet")]
    None,
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<CharterFault> for farside_service::cli::Failure {
    fn from(fault: CharterFault) -> Self {
        match fault {
            CharterFault::Store(fault) => fault.into(),
            CharterFault::Refused(ref refusal) => {
                let cure = refusal.cure().to_owned();
                Self::refused(fault.to_string()).hint(cure)
            }
            CharterFault::None => Self::refused(fault.to_string())
                .hint("draft one with `mint charter draft`, let root sign it, then `mint charter adopt`"),
            fault => Self::refused(fault.to_string()),
        }
    }
}

/// Adopts a charter: the first by its own root threshold, each later one as a gate would follow it.
pub fn adopt(store: &Store, bytes: &[u8], online: &SignerPublic, now: u64) -> Result<Charter, CharterFault> {
    let realm = store.realm()?;
    store.write(|transaction| {
        let newest = read_chain(transaction)?.pop();
        let charter = match &newest {
            None => open_own(bytes)?,
            Some(newest) => charter::follow(newest, bytes)?,
        };
        if charter.realm() != realm {
            return Err(CharterFault::Realm { found: charter.realm().to_owned(), expected: realm.clone() });
        }
        if !charter.online().signers().iter().any(|signer| signer.shares_key_with(online)) {
            return Err(CharterFault::OnlineMissing);
        }
        transaction
            .execute(
                "INSERT INTO charter (version, note, adopted_at) VALUES (?1, ?2, ?3)",
                (signed(charter.version()), charter.bytes(), signed(now)),
            )
            .map_err(StoreFault::from)?;
        Ok(charter)
    })
}

/// Every adopted charter, oldest first, each followed from the one before.
pub fn chain(store: &Store) -> Result<Vec<Charter>, CharterFault> {
    store.read(|transaction| read_chain(transaction))
}

/// The charter in force.
pub fn newest(store: &Store) -> Result<Charter, CharterFault> {
    chain(store)?.pop().ok_or(CharterFault::None)
}

pub(crate) fn read_chain(connection: &rusqlite::Connection) -> Result<Vec<Charter>, CharterFault> {
    let mut statement =
        connection.prepare("SELECT note FROM charter ORDER BY version").map_err(StoreFault::from)?;
    let mut rows = statement.query([]).map_err(StoreFault::from)?;
    let mut chain: Vec<Charter> = Vec::new();
    while let Some(row) = rows.next().map_err(StoreFault::from)? {
        let bytes: Vec<u8> = row.get(0).map_err(StoreFault::from)?;
        let charter = match chain.last() {
            None => open_own(&bytes)?,
            Some(trusted) => charter::follow(trusted, &bytes)?,
        };
        chain.push(charter);
    }
    Ok(chain)
}

/// The realm's first charter: nobody vouches for it here but the operator, who compares its fingerprint at
/// every gate.
fn open_own(bytes: &[u8]) -> Result<Charter, Refusal> {
    let fingerprint = charter::review(bytes)?.fingerprint;
    charter::open_first(bytes, &fingerprint.into())
}
