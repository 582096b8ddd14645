//! The issuance log: one file for all shards, one record for every position ever taken.
//!
//! ```text
//! reserve(shard) ─▶ Reservation ─commit(entry)─▶ Committed ─wait─▶ Durable ─▶ the token may leave
//!      takes a position   │ dropped: a void record          one fsync for all who wait
//!                                                            └─▶ publish ─▶ heads, tiles, proofs
//! ```
//! For [`issue`](crate::issue), which cannot release a token without a [`Durable`], and for the bundler,
//! which carries leaves under a published head. Refuses a second writer, a second leaf at one position,
//! everything after the first write that failed, and a log that is not the one whose heads it has signed.

mod check;
mod fault;
pub mod http;
pub mod index;
mod lock;
mod logged;
mod proof;
mod prove;
mod publish;
mod read;
mod record;
mod redact;
mod replay;
mod shards;
mod tile;
mod tree;
pub mod witness;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farside_service::append::{self, Group, Segments, Ticket};
use farside_service::durable;
use farside_verify::leaf::TokenPosition;

use crate::keys::LogKeyFile;
pub use check::{Checked, ShardLength, check};
pub use fault::LogFault;
use lock::Lock;
pub use lock::LockedBundle;
pub use logged::{LineProof, Logged, ProvenExport};
use publish::Heads;
pub use publish::{Clock, Progress};
pub use read::read;
pub use record::{Entry, RECORD_BYTES_MAX, Record, RecordFault, RedactedEntry, TokenEntry, VoidReason};
pub use redact::{RedactFault, Redacted};
use replay::{Replay, Replayed};
use shards::{Fork, Shards};
pub use tile::{Row, TileName};

/// How the names of the files of records begin.
const NAME: &str = "issued";

/// The log, held for writing.
#[derive(Debug)]
pub struct IssuanceLog {
    group: Group,
    /// Owns positions: who holds it may take one, or put a record into the file's order.
    shards: Mutex<Shards>,
    heads: Heads,
}

/// All it takes to open a log.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The folder of records and tiles.
    pub folder: &'a Path,
    /// The lock, which is never restored from a backup.
    pub lock: &'a Path,
    /// What signs heads.
    pub key: LogKeyFile,
    /// The clock that heads are published by.
    pub clock: Clock,
    /// How far bundles have carried each shard.
    pub carried: &'a [(String, u64)],
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
    /// Opens the log for writing, alone, and mends what a crash has left: a torn batch is set aside,
    /// positions without a record become void, a head that was signed and not shown is shown. Assertions that
    /// were spent since `assertions_since` are handed back, so that they stay spent.
    ///
    /// # Errors
    /// A reason of log.md §4.3, records that cannot be believed, another writer, or the disk.
    pub fn open(
        opening: Opening<'_>,
        now: u64,
        assertions_since: u64,
    ) -> Result<(Arc<Self>, Recovered), LogFault> {
        let Opening { folder, lock, key, clock, carried } = opening;
        durable::create_dir_all(folder, durable::Mode::Private)?;
        let lock = Lock::take(lock)?;
        let held = lock.heads()?;
        let heads = Heads::new(folder, lock, key, clock);
        heads.refuse_lost_lock(carried)?;
        let mut replay = Replay::new(assertions_since).against(held, heads.tiles.clone())?;
        let (group, recovery) = segments(folder).open(0, |record| replay.add(record))?;
        let Replayed { shards, signed, mut recovered } = replay.finish(&recovery)?;
        // log.md §4.4
        signed.into_values().try_for_each(|signed| heads.release(signed.tree, signed.locked, &[]))?;
        let log = Arc::new(IssuanceLog { group, shards: Mutex::new(shards), heads });
        recovered.voided = log.fill_gaps(now)?;
        Ok((log, recovered))
    }

    /// Takes the next position of `shard`.
    pub fn reserve<'log>(
        self: &'log Arc<Self>,
        shard: &str,
        now: u64,
    ) -> Result<Reservation<'log>, LogFault> {
        let fault = |fault| LogFault::Shard { shard: shard.to_owned(), fault };
        TokenPosition::new(shard, 0).map_err(fault)?;
        self.heads.refuse_stopped()?;
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
        self.heads.refuse_stopped()?;
        self.group.healthy().map_err(broken)
    }

    fn append(self: &Arc<Self>, record: &Record) -> Result<Committed, LogFault> {
        let unwritable = |fault| LogFault::Unwritable { fault };
        let bytes = record.to_bytes().map_err(unwritable)?;
        let leaf = record.leaf().map_err(unwritable)?;
        let mut shards = self.shards();
        let ticket = self.group.append(bytes)?;
        shards.appended(ticket.number(), &record.shard, record.index, leaf);
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

fn broken(broken: append::Broken) -> LogFault {
    LogFault::Unwritten(append::Refused::Broken(broken))
}

fn segments(folder: &Path) -> Segments {
    Segments::new(folder, NAME)
}

#[cfg(test)]
mod tests;
