//! The mint's own keys, online and log: whichever of those in `keys/` the charter in force names. So adopting
//! a charter is what switches them, in one commit, whatever runs meanwhile.
//!
//! ```text
//!   keys/online*.key, keys/log*.key ──named by the charter in force──▶ signer of manifests, signer of heads
//! ```
//!
//! A charter may name a new log key before the one that it replaces. Heads of a site's log are then signed by
//! the new one as soon as the site can know it, so that no staple is refused on the way.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farside_crossing::{Charter, LogKey, SignerPublic};
use farside_service::durable::failed;

use crate::ceremony::{self, CharterFault};
use crate::config::Home;
use crate::keys::{self, KeyFault, KeyKind, LogKeys, LogKeysInForce, LogSigner, PairSigner, Passphrase};
use crate::log::Clock;
use crate::store::{Store, StoreFault, signed, unsigned};

/// A [`Clock`] counts microseconds.
const MICROS_PER_SECOND: u64 = 1_000_000;

/// A key file of the mint's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The public line that it claims.
    pub public: String,
}

impl KeyFile {
    /// Its path as rows and records have it: relative to the mint's folder.
    pub fn relative(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("keys/{name}")
    }
}

/// Every online key in `keys/`, the one that was founded with first.
pub fn online_files(home: &Home) -> Result<Vec<KeyFile>, KeyFault> {
    files(home, "online", KeyKind::Signer)
}

/// Every log key in `keys/`.
pub fn log_files(home: &Home) -> Result<Vec<KeyFile>, KeyFault> {
    files(home, "log", KeyKind::Log)
}

fn files(home: &Home, role: &str, kind: KeyKind) -> Result<Vec<KeyFile>, KeyFault> {
    let folder = home.keys();
    let listing = match std::fs::read_dir(&folder) {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(|source| failed("list", &folder, source))?,
    };
    let mut found = Vec::new();
    for entry in listing {
        let path = entry.map_err(|source| failed("list", &folder, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // `online.key`, and `online-<version>.key` of the charter that was to name it first.
        let numbered = name.strip_prefix(role).and_then(|rest| rest.strip_suffix(".key"));
        if numbered.is_some_and(|number| number.is_empty() || number.starts_with('-')) {
            let header = keys::inspect(&path)?;
            if header.kind == kind {
                found.push(KeyFile { path, public: header.public });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The online key of this mint's that `signers` name.
pub fn named_online(home: &Home, signers: &[SignerPublic]) -> Result<Option<KeyFile>, KeyFault> {
    let named = |file: &KeyFile| signers.iter().any(|signer| signer.to_string() == file.public);
    Ok(online_files(home)?.into_iter().find(named))
}

/// The log keys of this mint's that `keys` name, in the charter's order: the first is the one to sign with.
pub fn named_logs(home: &Home, keys: &[LogKey]) -> Result<Vec<KeyFile>, KeyFault> {
    let files = log_files(home)?;
    let of = |key: &LogKey| files.iter().find(|file| file.public == key.to_string()).cloned();
    Ok(keys.iter().filter_map(of).collect())
}

/// The keys as a running mint holds them: opened when they are needed first, looked for anew when the charter
/// has changed.
pub struct RoleKeys {
    home: Home,
    store: Arc<Store>,
    passphrase: Arc<Passphrase>,
    clock: Clock,
    /// Owns what is open; held while a key is opened.
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    /// The charter that the rest follows from; `None` before the first look.
    version: Option<u64>,
    charter: Option<Charter>,
    online: Option<Arc<PairSigner>>,
    logs: Vec<Arc<LogSigner>>,
    /// Sites that are known to know the charter.
    ready: BTreeSet<String>,
}

impl std::fmt::Debug for RoleKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoleKeys").finish_non_exhaustive()
    }
}

impl RoleKeys {
    /// The keys in that folder, after the charters in that store.
    pub fn new(home: Home, store: Arc<Store>, passphrase: Arc<Passphrase>, clock: Clock) -> RoleKeys {
        RoleKeys { home, store, passphrase, clock, opened: Mutex::default() }
    }

    /// The signer of manifests.
    pub fn online(&self) -> Result<Arc<PairSigner>, KeyFault> {
        let mut opened = self.opened()?;
        if let Some(online) = &opened.online {
            return Ok(Arc::clone(online));
        }
        let path = match &opened.charter {
            Some(charter) => named_online(&self.home, charter.online().signers())?
                .map(|file| file.path)
                .ok_or(KeyFault::NotHeld { role: "online" })?,
            None => self.home.online_key(),
        };
        let online = Arc::new(keys::open_signer(&path, &self.passphrase)?);
        opened.online = Some(Arc::clone(&online));
        Ok(online)
    }

    /// Lets go of keys that are open: some were destroyed.
    pub fn forget(&self) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Opened::default();
    }

    // What a panic leaves behind is looked up anew.
    fn opened(&self) -> Result<MutexGuard<'_, Opened>, KeyFault> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.store.charter_version().map_err(unreadable)?;
        if opened.version != Some(version) {
            let charter = match version {
                0 => None,
                _ => Some(ceremony::newest(&self.store).map_err(unreadable_charter)?),
            };
            *opened = Opened { version: Some(version), charter, ..Opened::default() };
        }
        Ok(opened)
    }

    fn logs(&self, opened: &mut Opened) -> Result<(), KeyFault> {
        if !opened.logs.is_empty() {
            return Ok(());
        }
        let paths = match &opened.charter {
            Some(charter) => {
                named_logs(&self.home, charter.log())?.into_iter().map(|file| file.path).collect()
            }
            None => vec![self.home.log_key()],
        };
        for path in paths {
            opened.logs.push(Arc::new(keys::open_log(&path, &self.passphrase)?));
        }
        Ok(())
    }
}

impl LogKeys for RoleKeys {
    // log.md §5.4
    fn signer(&self, shard: &str) -> Result<Arc<LogSigner>, KeyFault> {
        let mut opened = self.opened()?;
        self.logs(&mut opened)?;
        let Some(first) = opened.logs.first().cloned() else {
            return Err(KeyFault::NotHeld { role: "log" });
        };
        let Some(before) = opened.logs.get(1).cloned() else { return Ok(first) };
        let site = shard.split('.').next().unwrap_or(shard);
        if opened.ready.contains(site) {
            return Ok(first);
        }
        let now = (self.clock)() / MICROS_PER_SECOND;
        if knows_charter(&self.store, site, opened.version.unwrap_or(0), now).map_err(unreadable)? {
            opened.ready.insert(site.to_owned());
            return Ok(first);
        }
        Ok(before)
    }

    fn in_force(&self) -> Result<LogKeysInForce, KeyFault> {
        let opened = self.opened()?;
        let keys = opened.charter.as_ref().map(|charter| charter.log().to_vec());
        Ok(LogKeysInForce { version: opened.version.unwrap_or(0), keys: keys.unwrap_or_default() })
    }
}

/// Whether a site can know that charter: a bundle with it was receipted or has had the courier interval, or
/// the site has never had a bundle at all.
pub(crate) fn knows_charter(store: &Store, site: &str, version: u64, now: u64) -> Result<bool, StoreFault> {
    store.read(|transaction| {
        let mut statement = transaction.prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM bundle WHERE site = ?1)
                 OR EXISTS (SELECT 1 FROM bundle b JOIN site s ON s.name = b.site
                             WHERE b.site = ?1 AND b.charter_version >= ?2
                               AND (b.receipted_at IS NOT NULL OR b.issued_at + s.courier_seconds <= ?3))",
        )?;
        Ok(statement.query_row((site, signed(version), signed(now)), |row| row.get(0))?)
    })
}

fn unreadable(fault: StoreFault) -> KeyFault {
    KeyFault::Charter(fault.to_string())
}

fn unreadable_charter(fault: CharterFault) -> KeyFault {
    KeyFault::Charter(fault.to_string())
}

impl Store {
    /// The number of the charter in force; 0 before the first.
    pub fn charter_version(&self) -> Result<u64, StoreFault> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT coalesce(max(version), 0) FROM charter")?;
            Ok(unsigned(statement.query_row([], |row| row.get(0))?))
        })
    }
}
