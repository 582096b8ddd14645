//! The charter's life on the near side: drafted from public lines, signed by people in turn, adopted when
//! enough of them have. The mint believes its own database no more than a gate would: the chain is followed
//! again at every start.

pub mod own;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farside_crossing::charter::{self, Charter, CharterDraft};
use farside_crossing::{Digest, Fingerprint, LogKey, Note, Refusal, Role, RoleName, SignerPublic};

use crate::store::{Store, StoreFault, signed};

/// Documents whose signatures are remembered as good: those of thousands of sites.
const RELEASED_KNOWN_MAX: usize = 16_384;

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
        let chain = read_chain(transaction, store.followed())?;
        let charter = match chain.last() {
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
pub fn chain(store: &Store) -> Result<Arc<Vec<Charter>>, CharterFault> {
    store.read(|transaction| read_chain(transaction, store.followed()))
}

/// The charter in force.
pub fn newest(store: &Store) -> Result<Charter, CharterFault> {
    chain(store)?.last().cloned().ok_or(CharterFault::None)
}

/// What this process has verified already: byte for byte the same is not verified again.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Owns the chain as it was followed last; held to look at it and to put another in its place.
    chain: Mutex<Arc<Vec<Charter>>>,
    /// Owns digests of what release people have signed, with the role that it takes; held for one look.
    released: Mutex<HashSet<Digest>>,
}

impl Followed {
    // Who panicked while holding it has exchanged it whole or not at all.
    fn held(&self) -> MutexGuard<'_, Arc<Vec<Charter>>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether enough people of that role have signed this document.
    pub(crate) fn released(&self, role: &Role, note: &[u8]) -> bool {
        let mut bytes = format!("{}\n{}\n", role.name().as_str(), role.threshold()).into_bytes();
        for signer in role.signers() {
            bytes.extend_from_slice(format!("{signer}\n").as_bytes());
        }
        bytes.extend_from_slice(note);
        let digest = Digest::of(&bytes);
        if self.known().contains(&digest) {
            return true;
        }
        let holds = Note::parse(note).is_ok_and(|note| role.verify(&note).is_ok());
        let mut known = self.known();
        if known.len() >= RELEASED_KNOWN_MAX {
            known.clear();
        }
        if holds {
            known.insert(digest);
        }
        holds
    }

    // Each insertion is whole.
    fn known(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn read_chain(
    connection: &rusqlite::Connection,
    followed: &Followed,
) -> Result<Arc<Vec<Charter>>, CharterFault> {
    let mut statement =
        connection.prepare_cached("SELECT note FROM charter ORDER BY version").map_err(StoreFault::from)?;
    let mut rows = statement.query([]).map_err(StoreFault::from)?;
    let known = Arc::clone(&followed.held());
    let (mut same, mut new) = (0, Vec::new());
    while let Some(row) = rows.next().map_err(StoreFault::from)? {
        let bytes = row.get_ref(0).and_then(|note| Ok(note.as_blob()?)).map_err(StoreFault::from)?;
        if new.is_empty() && known.get(same).is_some_and(|charter| charter.bytes() == bytes) {
            same += 1;
            continue;
        }
        let before = new.last().or_else(|| same.checked_sub(1).and_then(|last| known.get(last)));
        let charter = match before {
            None => open_own(bytes)?,
            Some(trusted) => charter::follow(trusted, bytes)?,
        };
        new.push(charter);
    }
    if new.is_empty() && same == known.len() {
        return Ok(known);
    }
    let chain: Arc<Vec<Charter>> = Arc::new(known.iter().take(same).cloned().chain(new).collect());
    *followed.held() = Arc::clone(&chain);
    Ok(chain)
}

/// The realm's first charter: nobody vouches for it here but the operator, who compares its fingerprint at
/// every gate.
fn open_own(bytes: &[u8]) -> Result<Charter, Refusal> {
    let seen = Fingerprint::from(Digest::of(Note::parse(bytes)?.text().as_bytes()));
    charter::open_first(bytes, &seen.into())
}
