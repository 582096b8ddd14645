//! The mint's one database: SQLite in WAL mode with `synchronous=FULL`, so that what a command acknowledged
//! is on disk. Writers go through [`Store::write`]; whoever decides something reads a [`Directory`], an
//! immutable picture in memory that follows as soon as any process has committed.

mod directory;
mod migrate;
mod pieces;
mod read;
mod succession;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::ceremony::Followed;
pub use directory::{
    Audience, BundleMark, ClientAuth, Directory, Kind, Order, Purpose, Site, SiteTerms, Subject,
    TokenKeyRecord,
};
pub use succession::Ahead;

/// How long a writer waits for another process to finish its transaction.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Statements that a connection keeps prepared: the picture takes eight to be read whole, eight to follow.
const STATEMENTS_KEPT: usize = 64;

/// The open database. One connection writes, the others only read: so the `data_version` of the one that
/// follows moves with every commit, our own included. Requests for tokens wait for that one alone, and never
/// for somebody who reads a long list.
pub struct Store {
    /// Owns the connection that writes; held for the length of one transaction.
    writer: Mutex<Connection>,
    /// Owns the connection that follows; held while `data_version` is looked at and while a picture is built.
    follower: Mutex<Connection>,
    /// Owns the connection for everything else that is read; held for as long as that takes.
    reader: Mutex<Connection>,
    picture: ArcSwapOption<Directory>,
    followed: Followed,
}

impl Store {
    /// Creates the database of a new realm at `path`, where nothing may exist yet.
    pub fn create(path: &Path, realm: &str, now: u64) -> Result<Self, StoreFault> {
        if path.exists() {
            return Err(StoreFault::Exists);
        }
        farside_service::durable::write_new(path, b"", farside_service::durable::Mode::Private)
            .map_err(|_| StoreFault::Exists)?;
        let store = Self::open(path, now)?;
        store.write(|transaction| {
            transaction.execute(
                "INSERT INTO realm (one, name, created_at) VALUES (1, ?1, ?2)",
                (realm, now as i64),
            )?;
            Ok::<_, StoreFault>(())
        })?;
        Ok(store)
    }

    /// Opens an existing database and brings its schema up to date.
    pub fn open(path: &Path, now: u64) -> Result<Self, StoreFault> {
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        migrate::run(&mut writer, now)?;
        let reading = || {
            let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok::<_, StoreFault>(Mutex::new(connection))
        };
        Ok(Self {
            writer: Mutex::new(writer),
            follower: reading()?,
            reader: reading()?,
            picture: ArcSwapOption::empty(),
            followed: Followed::default(),
        })
    }

    /// The charters that were read here and have been followed.
    pub(crate) fn followed(&self) -> &Followed {
        &self.followed
    }

    /// The directory as of the last commit of any process. Cheap when nothing has changed: one pragma.
    pub fn directory(&self) -> Result<Arc<Directory>, StoreFault> {
        let mut follower = unpoisoned(&self.follower);
        let version = data_version(&follower)?;
        let held = self.picture.load_full();
        if let Some(held) = held.as_ref().filter(|held| held.data_version() == version) {
            return Ok(Arc::clone(held));
        }
        // The version is read before the picture: a commit in between makes the next call build once more.
        let transaction = follower.transaction()?;
        let fresh = Arc::new(Directory::read(&transaction, version, held.as_deref())?);
        self.picture.store(Some(Arc::clone(&fresh)));
        Ok(fresh)
    }

    /// The realm's name, without a picture of everything else.
    pub fn realm(&self) -> Result<String, StoreFault> {
        self.read(|transaction| Ok(transaction.query_row("SELECT name FROM realm", [], |row| row.get(0))?))
    }

    /// Runs `change` in one immediate transaction: committed and on disk when it returns `Ok`, without effect
    /// otherwise.
    pub fn write<T, E: From<StoreFault>>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = unpoisoned(&self.writer);
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|fault| E::from(StoreFault::from(fault)))?;
        let outcome = change(&transaction)?;
        transaction.commit().map_err(|fault| E::from(StoreFault::from(fault)))?;
        Ok(outcome)
    }

    /// The highest index up to which each log shard has been carried in any bundle: a log that is shorter was
    /// rolled back.
    pub fn leaves_carried(&self) -> Result<Vec<(String, u64)>, StoreFault> {
        self.read(|transaction| {
            let mut statement = transaction
                .prepare("SELECT shard, max(until) FROM bundle_leaves GROUP BY shard ORDER BY shard")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Runs `look` on a consistent view of the database.
    pub fn read<T, E: From<StoreFault>>(
        &self,
        look: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut reader = unpoisoned(&self.reader);
        let transaction = reader.transaction().map_err(|fault| E::from(StoreFault::from(fault)))?;
        look(&transaction)
    }
}

/// What can be wrong with the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// A new realm was to be founded where one already stands.
    #[error("a database stands here already")]
    Exists,
    /// The database was written by a newer program.
    #[error(
        "the database has {held} schema steps and this program knows {known}: it was made by a newer version"
    )]
    Newer {
        /// Steps that the database has seen.
        held: usize,
        /// Steps that this program knows.
        known: usize,
    },
    /// A schema step was applied in other words than this program's.
    #[error("schema step `{step}` of the database reads differently from this program's")]
    Altered {
        /// The step's name.
        step: &'static str,
    },
    /// A row holds what this program would never have written.
    #[error("the database holds a {what} that cannot be read: {value}")]
    Unreadable {
        /// Which column or object.
        what: &'static str,
        /// What stands there.
        value: String,
    },
    /// SQLite could not do it.
    #[error("the database could not be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl From<StoreFault> for farside_service::cli::Failure {
    fn from(fault: StoreFault) -> Self {
        Self::could_not(fault.to_string())
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreFault> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // What is replaced is deleted, and told as that (schema/014_changes.sql).
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

// Prepared once: every request for a token asks.
fn data_version(follower: &Connection) -> Result<i64, StoreFault> {
    Ok(follower.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

/// A panic elsewhere cannot leave a connection half-used: its transaction was rolled back when it was
/// dropped.
fn unpoisoned(mutex: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a stored non-negative integer.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Stores an instant, length or sequence number; none of ours reaches the sign bit.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
