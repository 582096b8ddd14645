//! The lock: the newest head of each shard that this mint has signed, and the newest bundle of each site that
//! it has let out, in a file of its own. It is what a restored backup of everything else disagrees with, so
//! it is never restored itself.
//!
//! For publishing alone. Refuses a second holder on this machine, every swap whose old heads are not those
//! that it holds, and a bundle's number twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farside_crossing::Head;
use farside_service::durable::{self, Mode};
use farside_service::lock::{Exclusive, LockFault};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::LogFault;
use crate::store::{signed, unsigned};

/// How long another mint is given to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Raised with every change of the schema.
const VERSION: i64 = 2;

// log.md §4.2
const SCHEMA: &str = "
    CREATE TABLE head (shard TEXT PRIMARY KEY, size INTEGER NOT NULL,
        root BLOB NOT NULL CHECK (length(root) = 32), checkpoint BLOB NOT NULL,
        signed_at INTEGER NOT NULL) STRICT;
    -- The newest bundle of each site: no other may ever bear its number.
    CREATE TABLE bundle (site TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest TEXT NOT NULL) STRICT;
    -- When anything was signed last, in microseconds since 1970.
    CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), signed_at INTEGER NOT NULL) STRICT;
    INSERT INTO clock (one, signed_at) VALUES (1, 0);
";

/// The lock, held.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// None as long as nothing has ever been signed: a file that is missing later is noticed.
    connection: Option<Connection>,
    /// When it was signed last, as this process knows it: another mint's signature shows in the swap.
    signed_at: u64,
    _alone: Exclusive,
}

/// A head as the lock holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locked {
    pub(super) head: Head,
    pub(super) checkpoint: Vec<u8>,
}

/// The newest bundle of a site that has gone out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedBundle {
    /// The site.
    pub site: String,
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its manifest's text, in hexadecimal.
    pub digest: String,
}

/// A shard's step from one head to the next.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) shard: String,
    pub(super) old: Option<Head>,
    pub(super) new: Locked,
}

impl Lock {
    /// Takes the lock at `path`; it may not be there yet.
    pub(super) fn take(path: &Path) -> Result<Lock, LogFault> {
        durable::create_dir_all(durable::parent(path), Mode::Private)?;
        let alone = Exclusive::take_within(&path.with_added_extension("held"), PATIENCE);
        let alone = alone.map_err(|fault| match fault {
            LockFault::Failed(failed) => LogFault::Disk(failed),
            held => LogFault::Held(held),
        })?;
        let connection = path.exists().then(|| connect(path)).transpose()?;
        let newest = |open: &Connection| open.query_row("SELECT signed_at FROM clock", [], |row| row.get(0));
        let signed_at = connection.as_ref().map(newest).transpose()?.map_or(0, unsigned);
        Ok(Lock { path: path.to_owned(), connection, signed_at, _alone: alone })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its file is there.
    pub(super) fn exists(&self) -> bool {
        self.connection.is_some()
    }

    /// Every head that it holds.
    pub(super) fn heads(&self) -> Result<BTreeMap<String, Locked>, LogFault> {
        let Some(connection) = &self.connection else { return Ok(BTreeMap::new()) };
        let mut statement = connection.prepare("SELECT shard, size, root, checkpoint FROM head")?;
        let rows = statement.query_map([], |row| {
            let head = Head { size: unsigned(row.get(1)?), root: row.get(2)? };
            Ok((row.get(0)?, Locked { head, checkpoint: row.get(3)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest bundle of each site.
    pub(super) fn bundles(&self) -> Result<Vec<LockedBundle>, LogFault> {
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        let mut statement = connection.prepare("SELECT site, seq, digest FROM bundle ORDER BY site")?;
        let rows = statement.query_map([], |row| {
            Ok(LockedBundle { site: row.get(0)?, seq: unsigned(row.get(1)?), digest: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes note of a bundle that is about to go out; durable when it returns. The same one twice changes
    /// nothing.
    // log.md §4.6
    pub(super) fn note(&mut self, bundle: &LockedBundle) -> Result<(), LogFault> {
        let LockedBundle { site, seq, digest } = bundle;
        let moved = || LogFault::BundleMoved { site: site.clone(), seq: *seq };
        let connection = self.ready(moved())?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = transaction
            .prepare_cached(
                "INSERT INTO bundle (site, seq, digest) VALUES (?1, ?2, ?3)
                 ON CONFLICT (site) DO UPDATE SET seq = ?2, digest = ?3
                 WHERE seq < ?2 OR (seq = ?2 AND digest = ?3)",
            )?
            .execute((site, signed(*seq), digest))?;
        if changed != 1 {
            return Err(moved());
        }
        Ok(transaction.commit()?)
    }

    /// The file, made where nothing was ever signed; `moved` where another mint has made it since.
    fn ready(&mut self, moved: LogFault) -> Result<&mut Connection, LogFault> {
        let connection = match self.connection.take() {
            Some(open) if self.path.exists() => open,
            Some(_) => return Err(LogFault::LockMissing { path: self.path.clone() }),
            // Made by another mint since this one looked.
            None if self.path.exists() => return Err(moved),
            None => create(&self.path)?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Refuses a clock that stands at or before the newest signature.
    // log.md §4.3 (d)
    pub(super) fn refuse_clock(&self, now_micros: u64) -> Result<(), LogFault> {
        match now_micros > self.signed_at {
            true => Ok(()),
            false => Err(LogFault::Clock { now_micros, signed_at_micros: self.signed_at }),
        }
    }

    /// Takes the clock as it is, behind the newest signature: what was signed last was signed by a clock that
    /// was ahead.
    // log.md §4.5
    pub(super) fn accept_clock(&mut self, now_micros: u64) -> Result<(), LogFault> {
        let before = self.signed_at;
        let Some(open) = self.connection.as_ref().filter(|_| self.path.exists()) else {
            return Err(LogFault::LockMissing { path: self.path.clone() });
        };
        let turned = open.execute(
            "UPDATE clock SET signed_at = ?1 WHERE signed_at = ?2",
            (signed(now_micros), signed(before)),
        )?;
        if turned != 1 {
            return Err(LogFault::Moved { shard: String::new() });
        }
        self.signed_at = now_micros;
        Ok(())
    }

    /// When anything was signed last, in microseconds.
    pub(super) fn signed_at(&self) -> u64 {
        self.signed_at
    }

    /// Moves every step's shard from its old head to its new one, or none of them; durable when it returns.
    // log.md §4.1 (d)
    pub(super) fn swap(&mut self, steps: &[Step], now_micros: u64) -> Result<(), LogFault> {
        let before = self.signed_at;
        let shard = steps.first().map_or_else(String::new, |step| step.shard.clone());
        let connection = self.ready(LogFault::Moved { shard })?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let turned = transaction.execute(
            "UPDATE clock SET signed_at = ?1 WHERE signed_at = ?2",
            (signed(now_micros), signed(before)),
        )?;
        for step in steps {
            if turned != 1 || !moved(&transaction, step, now_micros)? {
                return Err(LogFault::Moved { shard: step.shard.clone() });
            }
        }
        transaction.commit()?;
        self.signed_at = now_micros;
        Ok(())
    }
}

fn moved(connection: &Connection, step: &Step, now_micros: u64) -> Result<bool, rusqlite::Error> {
    let Step { shard, old, new } = step;
    let (size, at) = (signed(new.head.size), signed(now_micros));
    let changed = match old {
        None => connection
            .prepare_cached(
                "INSERT INTO head (shard, size, root, checkpoint, signed_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
            )?
            .execute((shard, size, new.head.root, &new.checkpoint, at))?,
        Some(old) => connection
            .prepare_cached(
                "UPDATE head SET size = ?2, root = ?3, checkpoint = ?4, signed_at = ?5
                 WHERE shard = ?1 AND size = ?6 AND root = ?7",
            )?
            .execute((shard, size, new.head.root, &new.checkpoint, at, signed(old.size), old.root))?,
    };
    Ok(changed == 1)
}

// Under its name only once it is whole: a file that was being made when the power went is not the lock.
fn create(path: &Path) -> Result<Connection, LogFault> {
    let draft = path.with_added_extension("new");
    durable::write(&draft, b"", Mode::Private)?;
    let connection = open(&draft)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "user_version", VERSION)?;
    }
    drop(connection);
    durable::rename(&draft, path)?;
    connect(path)
}

fn connect(path: &Path) -> Result<Connection, LogFault> {
    let connection = open(path)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => Ok(connection),
        held => Err(LogFault::LockVersion { held, known: VERSION }),
    }
}

fn open(path: &Path) -> Result<Connection, LogFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // One file without a companion: with `extra` the folder is synchronised once the journal is removed, so a
    // commit that was reported stays.
    let _mode: Option<String> =
        connection.query_row("PRAGMA journal_mode = delete", [], |row| row.get(0)).optional()?;
    connection.pragma_update(None, "synchronous", "extra")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}
