//! The gate's memory: one SQLite file, changed in whole transactions that are on the disk before they count.
//!
//! ```text
//!   state ── high-water marks, time floor, generation      charter ── the chain, oldest first
//!   document ── keys, policy, status as last applied       bundle, missing, fork ── what came, what did not
//!   log, leaves, stapled_head ── proof of logging          parcel, proof_shown ── what holders collect
//!   spiffe_bundle ── the number that the trust folder shows
//!   breakglass ── orders opened in an emergency
//!   clock, clock_note ── the steady clock, and what root has set back
//! ```
//!
//! Refuses a file that is not a gate's store, or one that a newer gate has written.

pub(crate) mod breakglass;
mod clock;
pub(crate) mod evidence;
mod leaves;
mod log;
mod parcels;
mod replay;
mod shown;
mod trust;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farside_service::cli::Failure;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use breakglass::GlassRow;
pub use clock::{ClockNoteRow, ClockRow, MintAhead};
pub use log::{LogForkRow, LogRow};
pub use parcels::{ParcelCounts, ParcelRow, StoredParcel};
pub use trust::{AppliedRow, ForkRow, MissingRow, StateRow};
pub use watch::Watch;

pub(crate) use clock::{
    begin_clock, clock, issued_before, keep_clock, newest_clock_note, set_mint_ahead, set_time_back,
};
pub(crate) use leaves::{
    CHUNK_LEAVES_MAX, LeafChunk, add_run, chunks_after, count as leaf_count, each_between, leaf,
    prune as prune_leaves,
};
pub(crate) use log::{
    LogFork, StapledHead, add_log_fork, count_stapled_heads, every_stapled_head, forget_log,
    forget_old_stapled_heads, forget_stapled_head, hold_stapled_head, log, log_forks, logs, set_kept_from,
    set_log, stapled_heads,
};
pub(crate) use parcels::{
    add as add_parcel, bound_to_ssh, counts as parcel_counts, forget_expired, mark_collected, show_proof,
    tokens as parcel_tokens, waiting,
};
pub(crate) use replay::{KeptBy, replay_kept_by, set_replay_kept_by};
pub(crate) use shown::shown_sequence;
pub(crate) use trust::{
    add_bundle, add_charter, add_fork, add_missing, add_status_part, advance, bundle, changed, charters,
    count_superseded, counted, document, forks, missing, newest_bundle, newest_receipt, realm, receipt_key,
    set_document, set_lifetime_highest, set_realm, set_receipt_key, set_stream, state, status_parts,
};

/// Marks the file as a gate's store ("Fgat").
const APPLICATION_ID: i64 = 0x4667_6174;

/// The layout this gate reads and writes.
const SCHEMA_VERSION: i64 = 1;

/// How long one writer waits for another: longer than the largest import takes.
const BUSY_SECONDS_MAX: u64 = 60;

/// How long a door waits for another writer.
const IMPATIENT_BUSY_SECONDS_MAX: u64 = 2;

/// Page cache of one connection.
const CACHE_KIBIBYTES: i64 = 2048;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// There is no file.
    #[error("there is no store at {0}")]
    Absent(PathBuf),
    /// There is a file already where a new store should be made.
    #[error("{0} is there already")]
    Present(PathBuf),
    /// It is some other file.
    #[error("{0} is not a gate's store")]
    Foreign(PathBuf),
    /// A newer gate wrote it.
    #[error("the store has layout {found}; this gate knows {SCHEMA_VERSION}")]
    Newer {
        /// The layout found.
        found: i64,
    },
    /// A row does not read as what this gate writes.
    #[error("the store's {0} does not read as this gate writes it")]
    Damaged(&'static str),
    /// A number does not fit what the store can hold.
    #[error("{0} does not fit the store")]
    OutOfRange(&'static str),
    /// SQLite failed.
    #[error("the store failed: {0}")]
    Sql(#[from] rusqlite::Error),
}

impl From<StoreFault> for Failure {
    fn from(fault: StoreFault) -> Failure {
        let hint = match &fault {
            StoreFault::Absent(_) => {
                "make a gate with `farside gate init`, or name its gate.toml with --config"
            }
            StoreFault::Present(_) => "a gate is never overwritten; choose another folder",
            StoreFault::Newer { .. } => "use the gate that wrote it, or a newer one",
            _ => "restore the store from a copy, or enrol the gate anew; never edit it by hand",
        };
        Failure::could_not(fault.to_string()).hint(hint)
    }
}

/// The store, open for reading and writing. Shared between threads: one transaction at a time.
pub struct Store {
    /// Owns the one connection; held for the length of a transaction.
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl Store {
    /// Makes the store of a new gate for `site`.
    pub fn create(path: &Path, site: &str) -> Result<Store, StoreFault> {
        if path.exists() {
            return Err(StoreFault::Present(path.to_path_buf()));
        }
        let mut connection = Connection::open(path)?;
        prepare(&connection)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(include_str!("schema.sql"))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        trust::insert_state(&transaction, site)?;
        clock::insert_clock(&transaction)?;
        transaction.commit()?;
        Ok(Store { connection: Mutex::new(connection), path: path.to_path_buf() })
    }

    /// Opens a store that is there.
    pub fn open(path: &Path) -> Result<Store, StoreFault> {
        let connection = connect(path)?;
        Ok(Store { connection: Mutex::new(connection), path: path.to_path_buf() })
    }

    /// Opens a store for whoever a client waits for: it gives up on another writer soon.
    pub(crate) fn open_impatient(path: &Path) -> Result<Store, StoreFault> {
        let store = Store::open(path)?;
        store.hold().busy_timeout(Duration::from_secs(IMPATIENT_BUSY_SECONDS_MAX))?;
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads in one consistent view.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&Transaction<'_>) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let mut connection = self.hold();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        read(&transaction)
    }

    /// Changes the store in one transaction. It is on the disk when this returns; an `Err` changes nothing.
    pub fn write<T, E: From<StoreFault>>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.hold();
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(StoreFault::from)?;
        let done = change(&transaction)?;
        transaction.commit().map_err(StoreFault::from)?;
        Ok(done)
    }

    fn hold(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a transaction rolled it back when the transaction was dropped: the connection is
        // sound.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path) -> Result<Connection, StoreFault> {
    if !path.is_file() {
        return Err(StoreFault::Absent(path.to_path_buf()));
    }
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("application_id").map_err(|_| StoreFault::Foreign(path.to_path_buf()))? != APPLICATION_ID {
        return Err(StoreFault::Foreign(path.to_path_buf()));
    }
    match number("user_version")? {
        SCHEMA_VERSION => {}
        found => return Err(StoreFault::Newer { found }),
    }
    prepare(&connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), StoreFault> {
    connection.busy_timeout(Duration::from_secs(BUSY_SECONDS_MAX))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit that was answered survives a power cut: the log is synced at every commit.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES)?;
    Ok(())
}

/// SQLite's integers are signed; ours are not.
fn signed(number: u64, name: &'static str) -> Result<i64, StoreFault> {
    i64::try_from(number).map_err(|_| StoreFault::OutOfRange(name))
}

/// A column that holds a number of ours.
fn natural(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn unsigned(number: i64, name: &'static str) -> Result<u64, StoreFault> {
    u64::try_from(number).map_err(|_| StoreFault::Damaged(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_by_another_connection_is_seen_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.db");
        let store = Store::create(&path, "alpha").unwrap();
        let mut watch = Watch::open(&path).unwrap();
        let before = watch.generation().unwrap();
        store.write(|tx| set_realm(tx, "moon")).unwrap();
        assert_eq!(watch.generation().unwrap(), before + 1);
    }

    #[test]
    fn a_failed_change_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("gate.db"), "alpha").unwrap();
        let failed: Result<(), StoreFault> = store.write(|transaction| {
            set_realm(transaction, "moon")?;
            Err(StoreFault::Damaged("test"))
        });
        assert!(failed.is_err());
        assert_eq!(store.read(|tx| trust::state(tx)).unwrap().generation, 1);
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.db");
        assert!(matches!(Store::open(&path), Err(StoreFault::Absent(_))));
        std::fs::write(&path, b"not a database, and long enough to be looked at as one").unwrap();
        assert!(matches!(Store::open(&path), Err(StoreFault::Foreign(_))));
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(Store::open(&path), Err(StoreFault::Foreign(_))));
        assert!(matches!(Store::create(&path, "alpha"), Err(StoreFault::Present(_))));
    }
}
