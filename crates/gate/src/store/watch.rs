//! Notices what any process commits to the store, at every request, in a fraction of a microsecond.
//!
//! ```text
//!   WAL index as it was? ─ yes ─▶ nothing was committed
//!            └── no ─▶ SQLite's change counter as it was? ── no ─▶ read the generation of trust
//! ```
//!
//! The header of SQLite's WAL index (`gate.db-shm`) changes with every commit: it holds a counter, the number
//! of frames and a checksum over them. SQLite itself knows by it whether what it has read is still so
//! (sqlite.org/walformat.html §2.1); asking SQLite costs two locks of the file more.
//!
//! SQLite's locks on that file are the process's, and closing any handle of the file lets go of them all
//! (fcntl), of a transaction under way too. So a handle of ours is not closed while the file is there: the
//! process keeps one of each index that it has ever watched ([`kept`]).

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::{StoreFault, connect, unsigned};

/// Both copies of the header. A commit writes the one after the other, and has returned only then.
const HEADER_BYTES: usize = 96;

/// What is appended to the store's name for the WAL index.
const INDEX_SUFFIX: &str = "-shm";

/// Holds a connection of its own, so that the WAL index stays the same file.
pub struct Watch {
    connection: Connection,
    data_version: i64,
    generation: u64,
    /// The WAL index; without it SQLite is asked each time.
    index: Option<Arc<File>>,
    header: [u8; HEADER_BYTES],
}

impl Watch {
    /// Begins to watch the store at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Watch, StoreFault> {
        let connection = connect(path)?;
        let header = [0; HEADER_BYTES];
        let mut watch = Watch { connection, data_version: -1, generation: 0, index: None, header };
        // SQLite makes the index when it first reads.
        watch.ask()?;
        let mut index = path.as_os_str().to_owned();
        index.push(INDEX_SUFFIX);
        watch.index = kept(&PathBuf::from(index));
        watch.generation()?;
        Ok(watch)
    }

    /// The generation of trust as committed now. It changes with the very commit that changes trust.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn generation(&mut self) -> Result<u64, StoreFault> {
        let header = self.header_now();
        if header.is_some_and(|header| header == self.header) {
            return Ok(self.generation);
        }
        // Whatever is committed from here on changes the header again.
        let generation = self.ask()?;
        self.header = header.unwrap_or([0; HEADER_BYTES]);
        Ok(generation)
    }

    /// The header as it stands; nothing where it cannot be read or has never been written.
    fn header_now(&self) -> Option<[u8; HEADER_BYTES]> {
        let mut header = [0; HEADER_BYTES];
        self.index.as_ref()?.read_exact_at(&mut header, 0).ok()?;
        (header != [0; HEADER_BYTES]).then_some(header)
    }

    fn ask(&mut self) -> Result<u64, StoreFault> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        let data_version: i64 = statement.query_row([], |row| row.get(0))?;
        if data_version != self.data_version {
            let mut statement = self.connection.prepare_cached("SELECT generation FROM state")?;
            let generation: i64 = statement.query_row([], |row| row.get(0))?;
            self.generation = unsigned(generation, "generation")?;
            self.data_version = data_version;
        }
        Ok(self.generation)
    }
}

/// The process's handle of a WAL index. It is closed when SQLite has removed the file, as it does with the
/// last connection: then nobody locks it any more. While it is open no other file can get the same number,
/// so it is still the index that SQLite has.
fn kept(path: &Path) -> Option<Arc<File>> {
    /// Owns every handle there is.
    static KEPT: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());
    let number = |found: Metadata| (found.dev(), found.ino());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let is_there = |file: &File| file.metadata().map_or(true, |found| found.nlink() > 0);
    kept.retain(|file| is_there(file) || Arc::strong_count(file) > 1);
    let wanted = std::fs::metadata(path).map(number).ok()?;
    let known = kept.iter().find(|file| file.metadata().map(number).is_ok_and(|held| held == wanted));
    if let Some(known) = known {
        return Some(Arc::clone(known));
    }
    let file = Arc::new(File::open(path).ok()?);
    kept.push(Arc::clone(&file));
    Some(file)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::store::{Store, changed};

    /// Every commit is seen at once, whoever makes it and whatever becomes of the log: other connections,
    /// checkpoints that begin the log anew, and a store that was closed in between.
    #[test]
    fn every_commit_is_seen_at_once_and_without_one_sqlite_is_not_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.db");
        let store = Store::create(&path, "alpha").unwrap();
        let mut watch = Watch::open(&path).unwrap();
        assert!(watch.index.is_some(), "the index is read");
        let sees = |watch: &mut Watch, expected: u64| {
            assert_eq!(watch.generation().unwrap(), expected);
            assert_eq!(watch.header_now(), Some(watch.header), "no commit, no question");
        };
        let before = watch.generation().unwrap();
        for round in 1..=40 {
            let (one, other) = (Store::open(&path).unwrap(), &store);
            let writer = if round % 2 == 0 { &one } else { other };
            writer.write(|tx| changed(tx)).unwrap_or_else(|fault: StoreFault| panic!("{fault}"));
            sees(&mut watch, before + round);
            if round % 5 == 0 {
                let raw = Connection::open(&path).unwrap();
                raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
                sees(&mut watch, before + round);
            }
        }
    }

    /// A watch that ends takes no lock along: while a transaction is open here, no other process writes.
    #[test]
    fn a_watch_that_ends_lets_go_of_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.db");
        let store = Store::create(&path, "alpha").unwrap();
        let another_may_write = || {
            let code = "import sqlite3, sys\n\
                        store = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n\
                        try: store.execute('BEGIN IMMEDIATE')\n\
                        except sqlite3.OperationalError as error: sys.exit('locked' in str(error) and 7)";
            let tried = Command::new("python3").args(["-c", code]).arg(&path).status().unwrap();
            assert!(matches!(tried.code(), Some(0 | 7)), "{tried}");
            tried.success()
        };
        assert!(another_may_write());
        store
            .write(|tx| {
                changed(tx)?;
                drop(Watch::open(&path)?);
                assert!(!another_may_write(), "the transaction's lock is gone");
                drop((Watch::open(&path)?, Watch::open(&path)?));
                assert!(!another_may_write(), "the transaction's lock is gone");
                Ok::<_, StoreFault>(())
            })
            .unwrap();
        assert!(another_may_write());
    }

    #[test]
    fn of_a_store_that_is_gone_no_handle_stays() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = dir.path().join(format!("{round}.db"));
            let _store = Store::create(&path, "alpha").unwrap();
            assert!(Watch::open(&path).unwrap().index.is_some());
        }
        let handles = std::fs::read_dir("/proc/self/fd").unwrap();
        let files = handles.filter_map(|handle| std::fs::read_link(handle.ok()?.path()).ok());
        // The last one goes when the next is opened.
        assert!(files.filter(|file| file.starts_with(dir.path())).count() <= 1);
    }
}
