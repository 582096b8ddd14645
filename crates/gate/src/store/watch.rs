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

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

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
    /// The WAL index; without it SQLite is asked each time. Closing it lets go of all locks that this
    /// process has on the file (fcntl): it closes with the gate, when nothing of this store is in use.
    index: Option<File>,
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
        watch.index = File::open(PathBuf::from(index)).ok();
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

#[cfg(test)]
mod tests {
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
}
