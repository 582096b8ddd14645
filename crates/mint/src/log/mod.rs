//! The issuance log: one file for all shards, one record for every position ever taken.
//!
//! ```text
//! reserve(shard) ─▶ Reservation ─commit(entry)─▶ Committed ─wait─▶ Durable ─▶ the token may leave
//!      takes a position   │ dropped: a void record          one fsync for all who wait
//! ```
//! For [`issue`](crate::issue), which cannot release a token without a [`Durable`], and for the bundler,
//! which carries leaves. Refuses a second writer, a second leaf at one position, and everything after the
//! first write that failed.

mod check;
pub mod index;
mod read;
mod record;
mod redact;
mod shards;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farside_service::append::{self, Group, Segments, Ticket};
use farside_service::durable;
use farside_verify::leaf::{HASH_BYTES, PositionError, TokenPosition};

pub use check::{Checked, ShardLength, check};
pub use read::read;
pub use record::{Entry, RECORD_BYTES_MAX, Record, RecordFault, RedactedEntry, TokenEntry, VoidReason};
pub use redact::{RedactFault, Redacted};
use shards::{Fork, Shards};

/// How the names of the files of records begin.
const NAME: &str = "issued";

/// The log, held for writing.
#[derive(Debug)]
pub struct IssuanceLog {
    group: Group,
    /// Owns positions: who holds it may take one, or put a record into the file's order.
    shards: Mutex<Shards>,
}

/// What opening the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that were there.
    pub records: u64,
    /// Bytes of a record that was being written when the mint stopped; they are gone, and were no token's.
    pub torn_bytes: u64,
    /// Positions that had been taken without a record and are void now.
    pub voided: u64,
    /// Client assertions spent at or after the moment asked for, with that moment.
    pub assertions: Vec<(String, u64)>,
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The folder could not be made.
    #[error("the issuance log could not be opened: {0}")]
    Folder(#[from] durable::Failed),
    /// The file could not be opened: the disk, another writer, or damage.
    #[error("the issuance log could not be opened: {0}")]
    Unopened(#[from] append::LogFault),
    /// A write failed: nothing more is taken until the log has been opened again.
    #[error("the issuance log failed: {0}")]
    Unwritten(#[from] append::Refused),
    /// A record is whole and yet not one of ours.
    #[error("record {number} of the issuance log cannot be believed: {fault}")]
    Record {
        /// Which one, from 0.
        number: u64,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// A record could not be spelled.
    #[error("a record for the issuance log could not be written: {fault}")]
    Unwritable {
        /// Why not.
        fault: RecordFault,
    },
    /// Two records claim one position.
    #[error("record {number} of the issuance log repeats a position: the log has forked")]
    Forked {
        /// The second of them, from 0.
        number: u64,
    },
    /// The shard's name is not allowed.
    #[error("{shard:?} cannot be the name of a log shard: {fault}")]
    Shard {
        /// The name.
        shard: String,
        /// Why not.
        fault: PositionError,
    },
    /// The log is shorter than what has crossed: an old copy was put back, or the file was cut.
    #[error(
        "log shard {shard} holds {held} leaves, but {carried} have been carried: the log was rolled back"
    )]
    RolledBack {
        /// The shard.
        shard: String,
        /// Leaves in the log.
        held: u64,
        /// Leaves that bundles have carried.
        carried: u64,
    },
}

/// A position taken. Dropped without [`commit`](Reservation::commit) it becomes a void leaf.
#[derive(Debug)]
#[must_use]
pub struct Reservation<'log> {
    log: &'log Arc<IssuanceLog>,
    position: TokenPosition,
    now: u64,
    open: bool,
}

/// A record on its way to the disk.
#[derive(Debug)]
#[must_use]
pub struct Committed {
    log: Arc<IssuanceLog>,
    ticket: Ticket,
}

/// Proof that a record is on the disk. Only waiting for a [`Committed`] makes one.
#[derive(Debug)]
pub struct Durable {
    _made_here: (),
}

impl IssuanceLog {
    /// Opens the log in `folder` for writing, alone, and mends what a crash has left: a torn batch is set
    /// aside, positions without a record become void. Assertions spent since `assertions_since` are handed
    /// back, so that they stay spent.
    pub fn open(folder: &Path, now: u64, assertions_since: u64) -> Result<(Arc<Self>, Recovered), LogFault> {
        durable::create_dir_all(folder, durable::Mode::Private)?;
        let mut replay = Replay::new(assertions_since);
        let (group, recovery) = segments(folder).open(0, |record| replay.add(record))?;
        let (shards, mut recovered) = replay.finish(&recovery)?;
        let log = IssuanceLog::over(group, shards);
        recovered.voided = log.fill_gaps(now)?;
        Ok((log, recovered))
    }

    fn over(group: Group, shards: Shards) -> Arc<Self> {
        Arc::new(IssuanceLog { group, shards: Mutex::new(shards) })
    }

    /// Takes the next position of `shard`.
    pub fn reserve<'log>(
        self: &'log Arc<Self>,
        shard: &str,
        now: u64,
    ) -> Result<Reservation<'log>, LogFault> {
        let fault = |fault| LogFault::Shard { shard: shard.to_owned(), fault };
        TokenPosition::new(shard, 0).map_err(fault)?;
        let index = self.shards().take(shard);
        let position = TokenPosition::new(shard, index).map_err(fault)?;
        Ok(Reservation { log: self, position, now, open: true })
    }

    /// How many leaves of `shard` are durable without a gap.
    pub fn len(&self, shard: &str) -> u64 {
        self.shards().len(shard)
    }

    /// How many records are durable.
    pub fn records(&self) -> u64 {
        self.group.durable()
    }

    /// Whether the log still takes records.
    pub fn healthy(&self) -> Result<(), LogFault> {
        self.group.healthy().map_err(broken)
    }

    /// The durable leaf hashes of `shard` from position `from` on, as a bundle carries them.
    pub fn leaves(&self, shard: &str, from: u64) -> Vec<[u8; HASH_BYTES]> {
        self.shards().leaves(shard, from)
    }

    /// Refuses to go on where the log holds less than what has been carried already.
    pub fn refuse_rollback(&self, shard: &str, carried: u64) -> Result<(), LogFault> {
        let held = self.len(shard);
        if held < carried {
            return Err(LogFault::RolledBack { shard: shard.to_owned(), held, carried });
        }
        Ok(())
    }

    fn append(self: &Arc<Self>, record: &Record) -> Result<Committed, LogFault> {
        let unwritable = |fault| LogFault::Unwritable { fault };
        let bytes = record.to_bytes().map_err(unwritable)?;
        let hash = record.leaf_hash().map_err(unwritable)?;
        let mut shards = self.shards();
        let ticket = self.group.append(bytes)?;
        shards.appended(ticket.number(), &record.shard, record.index, hash);
        Ok(Committed { log: Arc::clone(self), ticket })
    }

    // Also settles the records of callers who have gone away without waiting.
    fn settled(&self) -> Result<Durable, LogFault> {
        let durable = self.group.durable();
        self.shards().durable_before(durable).map_err(|Fork| LogFault::Forked { number: durable })?;
        Ok(Durable { _made_here: () })
    }

    fn fill_gaps(self: &Arc<Self>, now: u64) -> Result<u64, LogFault> {
        let gaps = self.shards().gaps();
        let mut last = None;
        for (shard, index) in &gaps {
            let entry = Entry::Void { reason: VoidReason::Lost };
            last = Some(self.append(&Record { shard: shard.clone(), index: *index, at: now, entry })?);
        }
        last.map(Committed::wait).transpose()?;
        Ok(gaps.len() as u64)
    }

    // A thread that panicked while holding positions has at worst left a gap, which recovery voids.
    fn shards(&self) -> MutexGuard<'_, Shards> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// The position that the token must carry in `jti`.
    pub fn position(&self) -> &TokenPosition {
        &self.position
    }

    /// Hands the record to the disk.
    pub fn commit(mut self, token: TokenEntry) -> Result<Committed, LogFault> {
        let committed = self.log.append(&self.record(Entry::Token(token)))?;
        self.open = false;
        Ok(committed)
    }

    fn record(&self, entry: Entry) -> Record {
        let (shard, index) = (self.position.shard().to_owned(), self.position.index());
        Record { shard, index, at: self.now, entry }
    }
}

impl Drop for Reservation<'_> {
    // design: what cannot be signed leaves a void leaf, never a hole.
    fn drop(&mut self) {
        if self.open
            && let Err(fault) = self.log.append(&self.record(Entry::Void { reason: VoidReason::Unsigned }))
        {
            tracing::error!(position = %self.position, %fault, "a position could not be voided");
        }
    }
}

impl Committed {
    /// Blocks until the record is durable.
    pub fn wait(self) -> Result<Durable, LogFault> {
        self.ticket.wait().map_err(broken)?;
        self.log.settled()
    }

    /// Waits until the record is durable.
    pub async fn durable(self) -> Result<Durable, LogFault> {
        self.ticket.await.map_err(broken)?;
        self.log.settled()
    }
}

/// What reading the file from the start builds up, the same for recovery and for `log check`.
struct Replay {
    shards: Shards,
    recovered: Recovered,
    assertions_since: u64,
    fault: Option<LogFault>,
}

impl Replay {
    fn new(assertions_since: u64) -> Replay {
        let (shards, recovered) = (Shards::default(), Recovered::default());
        Replay { shards, recovered, assertions_since, fault: None }
    }

    // The first fault is kept, and nothing after it is believed.
    fn add(&mut self, record: append::Record<'_>) {
        if self.fault.is_none() {
            self.fault = self.believe(record).err();
        }
    }

    fn believe(&mut self, record: append::Record<'_>) -> Result<(), LogFault> {
        let number = record.number;
        let unbelievable = |fault| LogFault::Record { number, fault };
        let record = Record::parse(record.bytes).map_err(unbelievable)?;
        let hash = record.leaf_hash().map_err(unbelievable)?;
        self.shards.add(&record.shard, record.index, hash).map_err(|Fork| LogFault::Forked { number })?;
        if let Entry::Token(TokenEntry { assertion: Some(assertion), .. }) = record.entry
            && record.at >= self.assertions_since
        {
            self.recovered.assertions.push((assertion, record.at));
        }
        Ok(())
    }

    fn finish(mut self, recovery: &append::Recovery) -> Result<(Shards, Recovered), LogFault> {
        self.recovered.records = recovery.records;
        self.recovered.torn_bytes = recovery.torn.as_ref().map_or(0, |torn| torn.bytes);
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok((self.shards, self.recovered)),
        }
    }
}

fn broken(broken: append::Broken) -> LogFault {
    LogFault::Unwritten(append::Refused::Broken(broken))
}

fn segments(folder: &Path) -> Segments {
    Segments::new(folder, NAME)
}

#[cfg(test)]
mod tests;
