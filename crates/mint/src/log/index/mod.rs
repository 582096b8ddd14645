//! Where in the log a token's record stands: by token id, subject, requester or time, in milliseconds.
//!
//! ```text
//!   issued*.log ──follow──▶ index.db ──numbers and places──▶ issued*.log ──▶ Found
//!    the truth               derived                          what is shown
//! ```
//! For auditors and the command line. It follows the log's files by itself, so that issuing waits for nothing
//! here, and whatever it says is read again in the log. Of names it holds hashes only. It may be removed at
//! any time: the next look builds it anew.

mod fill;
mod find;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farside_service::append::{self, Segments};
use farside_service::cli::Failure;
use farside_service::durable;
use farside_verify::merkle;
use rusqlite::{Connection, ErrorCode};

use super::RecordFault;
pub use find::{Found, Query, Whose};

/// The index inside the log's folder.
const FILE_NAME: &str = "index.db";

/// Raised with every change of the schema: an index of another version is built anew.
const VERSION: i64 = 2;

/// How long one process waits for another that builds or rewrites the index.
const BUSY_WAIT: Duration = Duration::from_secs(30);

const SCHEMA: &str = "
    CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), cursor BLOB NOT NULL,
        erasure INTEGER NOT NULL) STRICT;
    INSERT INTO state (one, cursor, erasure) VALUES (1, x'', 0);
    CREATE TABLE shard (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE leaf (number INTEGER PRIMARY KEY, shard INTEGER NOT NULL, position INTEGER NOT NULL,
        at INTEGER NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL, subject INTEGER,
        requester INTEGER, kid INTEGER) STRICT;
    CREATE UNIQUE INDEX leaf_by_position ON leaf (shard, position);
    CREATE INDEX leaf_by_time ON leaf (at);
    CREATE INDEX leaf_by_subject ON leaf (subject, at) WHERE subject IS NOT NULL;
    CREATE INDEX leaf_by_requester ON leaf (requester, at) WHERE requester IS NOT NULL;
";

/// The open index of one log.
pub struct Index {
    log: Segments,
    path: PathBuf,
    /// Owns the connection; held for one look or one catching up.
    connection: Mutex<Connection>,
}

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexFault {
    /// SQLite could not do it.
    #[error("the log's index could not be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file of the log could not be read.
    #[error("{0}")]
    Log(#[from] append::LogFault),
    /// A broken index could not be removed.
    #[error("{0}")]
    Failed(#[from] durable::Failed),
    /// A record is whole and yet not one of ours.
    #[error("record {number} of the issuance log cannot be believed: {fault}")]
    Record {
        /// Which one, from 0.
        number: u64,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// The log has changed behind the index, again and again.
    #[error("the log changes faster than it can be read")]
    Moving,
}

impl From<IndexFault> for Failure {
    fn from(fault: IndexFault) -> Self {
        match fault {
            IndexFault::Log(fault) => fault.into(),
            IndexFault::Failed(fault) => fault.into(),
            fault => Failure::could_not(fault.to_string())
                .hint("the index holds nothing of its own: remove log/index.db* and it is built anew"),
        }
    }
}

/// What stands in `erasure`: how far a redaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Erasure {
    /// None is under way.
    None,
    /// Files of the log may have been rewritten: places and hashes here are not to be trusted.
    Begun,
    /// What was deleted here may still lie in free pages and in the write-ahead file of SQLite.
    Unswept,
}

impl Index {
    /// Opens the index of the log in `folder`; one that is missing, broken or of another version begins anew.
    pub fn open(folder: &Path) -> Result<Index, IndexFault> {
        let path = folder.join(FILE_NAME);
        let connection = match connect(&path) {
            Ok(connection) => connection,
            Err(IndexFault::Sqlite(fault)) if is_broken(&fault) => {
                remove(&path)?;
                connect(&path)?
            }
            Err(fault) => return Err(fault),
        };
        Ok(Index { log: super::segments(folder), path, connection: Mutex::new(connection) })
    }

    /// Runs a look or a change; an index that turns out to be broken is begun anew, once.
    fn with<T>(
        &self,
        mut act: impl FnMut(&mut Connection) -> Result<T, IndexFault>,
    ) -> Result<T, IndexFault> {
        let mut connection = self.connection();
        match act(&mut connection) {
            Err(IndexFault::Sqlite(fault)) if is_broken(&fault) => {
                tracing::warn!(%fault, "the log's index is broken and is built anew");
                *connection = Connection::open_in_memory()?;
                remove(&self.path)?;
                *connection = connect(&self.path)?;
                act(&mut connection)
            }
            done => done,
        }
    }

    // A panic cannot leave a transaction open: it is rolled back when it is dropped.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish_non_exhaustive()
    }
}

fn connect(path: &Path) -> Result<Connection, IndexFault> {
    if !path.exists() {
        durable::write(path, b"", durable::Mode::Private)?;
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A redaction that has begun must be known after a crash.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        drop_tables(&transaction)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn drop_tables(connection: &Connection) -> Result<(), IndexFault> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        connection.execute_batch(&format!("DROP TABLE \"{name}\""))?;
    }
    Ok(())
}

fn is_broken(fault: &rusqlite::Error) -> bool {
    matches!(fault.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn remove(path: &Path) -> Result<(), durable::Failed> {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        durable::remove(Path::new(&file))?;
    }
    Ok(())
}

/// What the index holds in place of a name: enough to find it, too little to be sure, and gone once redacted.
fn key_of(name: &str) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = merkle::leaf_hash(name.as_bytes());
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
