//! New heads, in the one order in which a log that crashes anywhere does not fork (log.md §4.1):
//!
//! ```text
//!   records durable ─▶ full tiles durable ─▶ sign ─▶ lock moves old → new ─▶ checkpoint ─▶ carried, served
//!        (a)                  (b)             (c)            (d)                (e)             (f)
//!        crash up to here: nothing was said        │  crash from here on: the lock knows, and starting
//!                                                  │  does (e) and (f)
//! ```
//!
//! For every shard with new leaves in one go. Refuses to go on, for good, once lock, clock or disk are not as
//! this mint has left them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use farside_crossing::{Head, checkpoint};
use farside_verify::merkle::{self, Hash};
use serde::Serialize;

use super::lock::{Lock, Locked, LockedBundle, Step};
use super::replay::refuse_lost_lock;
use super::tile::{Tile, Tiles};
use super::tree::Tree;
use super::{IssuanceLog, LogFault};
use crate::keys::{LogKeyFile, LogKeysInForce};

/// Roots of subtrees that are remembered of one shard; enough for the proofs of a bundle many times over.
const NODES_KNOWN_MAX: usize = 4_096;

/// A [`Clock`] counts microseconds.
const MICROS_PER_SECOND: u64 = 1_000_000;

/// The clock in microseconds since 1970. It is asked while the lock is held: an instant taken before another
/// publisher's turn would seem to go back.
pub type Clock = fn() -> u64;

/// The heads that have been published, and all it takes to publish the next ones.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) tiles: Tiles,
    key: LogKeyFile,
    clock: Clock,
    /// Owns the turn: who holds it publishes.
    lock: Mutex<Lock>,
    /// Owns what is published; held to look one up and to put new ones in.
    trees: RwLock<BTreeMap<String, Arc<Published>>>,
    /// The charter by whose log keys every head was looked at last.
    believed_by: AtomicU64,
    /// Why nothing more may be signed.
    stopped: OnceLock<String>,
}

/// A shard's published head, and the tree that it is the head of.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) tree: Tree,
    pub(super) locked: Locked,
    /// Hashes of the leaves behind the last full tile: a bundle's proofs ask for them many times.
    tail: OnceLock<Vec<Hash>>,
    /// Owns roots of perfect subtrees that were worked out once; they are the next head's as well.
    nodes: Arc<Mutex<BTreeMap<(u32, u64), Hash>>>,
}

impl Published {
    /// What follows `before`, where something of the shard was published.
    fn new(tree: Tree, locked: Locked, before: Option<&Arc<Published>>) -> Arc<Published> {
        let nodes = before.map(|before| Arc::clone(&before.nodes)).unwrap_or_default();
        Arc::new(Published { tree, locked, tail: OnceLock::new(), nodes })
    }

    /// The root of the perfect subtree of 2^level leaves that is the `index`-th of its level, where it was
    /// worked out before.
    pub(super) fn known_node(&self, level: u32, index: u64) -> Option<Hash> {
        self.nodes().get(&(level, index)).copied()
    }

    /// Remembers one.
    pub(super) fn know_node(&self, level: u32, index: u64, hash: Hash) {
        let mut nodes = self.nodes();
        if nodes.len() < NODES_KNOWN_MAX {
            nodes.insert((level, index), hash);
        }
    }

    // Each insertion is whole.
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<(u32, u64), Hash>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hashes of a level behind its last full tile.
    pub(super) fn row(&self, level: usize) -> Vec<Hash> {
        match level {
            0 => self.tail.get_or_init(|| self.tree.row(0)).clone(),
            _ => self.tree.row(level),
        }
    }
}

/// What publishing has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Shards with a new head.
    pub shards: usize,
    /// Leaves that are under a head now and were not before.
    pub leaves: u64,
}

/// A shard's tree with its new leaves.
struct Grown {
    old: Option<Head>,
    tree: Tree,
    full: Vec<Tile>,
    leaves: u64,
}

impl IssuanceLog {
    /// Publishes a new head for every shard that has new leaves.
    ///
    /// # Errors
    /// A reason of log.md §4.3, or lock, disk or key failed. Nothing was published under a head that the lock
    /// does not hold; but for a key that did not open, the log takes nothing more until it is opened again.
    pub fn publish(&self) -> Result<Progress, LogFault> {
        let mut lock = self.heads.turn();
        self.heads.refuse_stopped()?;
        self.publish_in_order(&mut lock).inspect_err(|fault| self.heads.stop_after(fault))
    }

    /// Lets the log go on behind a signature of a clock that was ahead. `order` is told when that was and
    /// what time it is now, in seconds, before anything changes; what it refuses is not done.
    ///
    /// # Errors
    /// The clock is not behind, another mint has moved the lock, or the order could not be written down.
    // log.md §4.5
    pub fn accept_clock<E: From<LogFault>>(
        &self,
        order: impl FnOnce(u64, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut lock = self.heads.turn();
        self.heads.refuse_stopped()?;
        let now_micros = (self.heads.clock)();
        if lock.refuse_clock(now_micros).is_ok() {
            return Err(LogFault::ClockSound.into());
        }
        order(lock.signed_at() / MICROS_PER_SECOND, now_micros / MICROS_PER_SECOND)?;
        Ok(lock.accept_clock(now_micros)?)
    }

    /// Takes note, in the lock, of a bundle that is about to go out.
    ///
    /// # Errors
    /// Another one has gone out under its number, or a later one; or the lock failed. Nothing is signed then
    /// until the log has been opened again.
    // log.md §4.6
    pub fn note_bundle(&self, bundle: &LockedBundle) -> Result<(), LogFault> {
        let mut lock = self.heads.turn();
        self.heads.refuse_stopped()?;
        lock.note(bundle).inspect_err(|fault| self.heads.stop_after(fault))
    }

    /// The newest bundle of each site that has gone out; `None` where nothing was ever signed.
    ///
    /// # Errors
    /// The lock cannot be read.
    pub fn locked_bundles(&self) -> Result<Option<Vec<LockedBundle>>, LogFault> {
        let lock = self.heads.turn();
        if lock.exists() { lock.bundles().map(Some) } else { Ok(None) }
    }

    fn publish_in_order(&self, lock: &mut Lock) -> Result<Progress, LogFault> {
        // log.md §4.1 (a): what is not durable is not here yet.
        let mut grown = self.grown()?;
        let charter = self.heads.add_unbelieved(&mut grown)?;
        if grown.is_empty() {
            self.heads.believed_by.store(charter, Ordering::Relaxed);
            return Ok(Progress::default());
        }
        let leaves = grown.iter().map(|grown| grown.leaves).sum();
        let now_micros = (self.heads.clock)();
        lock.refuse_clock(now_micros)?;
        // log.md §4.1 (b)
        self.heads.tiles.keep(grown.iter().flat_map(Grown::full))?;
        // log.md §4.1 (c)
        let steps = grown.iter().map(|grown| self.heads.sign(grown)).collect::<Result<Vec<_>, _>>()?;
        // log.md §4.1 (d)
        lock.swap(&steps, now_micros)?;
        // log.md §4.1 (e) and (f)
        let shards = steps.len();
        for (grown, step) in grown.into_iter().zip(steps) {
            self.heads.release(grown.tree, step.new, &grown.full)?;
            self.shards().released(&step.shard, grown.leaves);
        }
        self.heads.believed_by.store(charter, Ordering::Relaxed);
        Ok(Progress { shards, leaves })
    }

    fn grown(&self) -> Result<Vec<Grown>, LogFault> {
        self.settled()?;
        let unpublished = self.shards().unpublished()?;
        let grown = unpublished.into_iter().map(|(origin, leaves)| {
            let published = self.heads.published(origin.shard());
            let old = published.as_ref().map(|published| published.locked.head);
            let mut tree = published.map_or_else(|| Tree::new(origin), |published| published.tree.clone());
            let full = tree.grow(&leaves);
            Grown { old, tree, full, leaves: leaves.len() as u64 }
        });
        Ok(grown.collect())
    }
}

impl Grown {
    fn full(&self) -> impl Iterator<Item = (&str, &Tile)> {
        self.full.iter().map(|tile| (self.tree.shard(), tile))
    }
}

impl Heads {
    pub(super) fn new(log: &Path, lock: Lock, key: LogKeyFile, clock: Clock) -> Heads {
        let (tiles, lock) = (Tiles::of(log), Mutex::new(lock));
        Heads {
            tiles,
            key,
            clock,
            lock,
            trees: RwLock::default(),
            believed_by: AtomicU64::new(0),
            stopped: OnceLock::new(),
        }
    }

    /// Refuses a lock that is missing or older than what went out.
    // log.md §4.3 (e) and (f)
    pub(super) fn refuse_lost_lock(&self, carried: &[(String, u64)]) -> Result<(), LogFault> {
        refuse_lost_lock(&self.turn(), &self.tiles, carried)
    }

    /// What is published of a shard.
    pub(super) fn published(&self, shard: &str) -> Option<Arc<Published>> {
        self.trees.read().unwrap_or_else(PoisonError::into_inner).get(shard).cloned()
    }

    /// Refuses to go on where the log was stopped.
    pub(super) fn refuse_stopped(&self) -> Result<(), LogFault> {
        self.stopped.get().map_or(Ok(()), |reason| Err(LogFault::Stopped { reason: reason.clone() }))
    }

    /// Shows a head that the lock holds: by recovery those that it finds there, by normal work the new ones.
    // log.md §4.1 (e) and (f), §4.4
    pub(super) fn release(&self, tree: Tree, locked: Locked, full: &[Tile]) -> Result<(), LogFault> {
        let shard = tree.shard().to_owned();
        self.tiles.show(&shard, &tree.partial(), full)?;
        self.tiles.show_checkpoint(&shard, &locked.checkpoint)?;
        let published = Published::new(tree, locked, self.published(&shard).as_ref());
        self.trees.write().unwrap_or_else(PoisonError::into_inner).insert(shard, published);
        Ok(())
    }

    /// The shards that have a head.
    pub(super) fn shards(&self) -> Vec<String> {
        self.trees.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Shows a checkpoint with what witnesses have added, where it is still the newest.
    // log.md §5.3
    pub(super) fn cosign(&self, shard: &str, size: u64, checkpoint: Vec<u8>) -> Result<(), LogFault> {
        let _turn = self.turn();
        let Some(published) = self.published(shard) else { return Ok(()) };
        if published.locked.head.size != size {
            return Ok(());
        }
        self.tiles.show_checkpoint(shard, &checkpoint)?;
        let locked = Locked { head: published.locked.head, checkpoint };
        let cosigned = Published::new(published.tree.clone(), locked, Some(&published));
        self.trees.write().unwrap_or_else(PoisonError::into_inner).insert(shard.to_owned(), cosigned);
        Ok(())
    }

    /// Adds the heads, as they are, that no log key of the charter in force has signed: it has dropped the
    /// key that did. They are signed anew.
    // log.md §5.5
    fn add_unbelieved(&self, grown: &mut Vec<Grown>) -> Result<u64, LogFault> {
        let LogKeysInForce { version, keys } = self.key.in_force()?;
        if version == self.believed_by.load(Ordering::Relaxed) {
            return Ok(version);
        }
        let signed_anew: BTreeSet<String> = grown.iter().map(|grown| grown.tree.shard().to_owned()).collect();
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        let unbelieved = trees.iter().filter(|(shard, published)| {
            !signed_anew.contains(*shard)
                && checkpoint::open(&published.locked.checkpoint, &keys, shard).is_err()
        });
        grown.extend(unbelieved.map(|(_, published)| Grown {
            old: Some(published.locked.head),
            tree: published.tree.clone(),
            full: Vec::new(),
            leaves: 0,
        }));
        Ok(version)
    }

    fn sign(&self, grown: &Grown) -> Result<Step, LogFault> {
        let (shard, tree) = (grown.tree.shard(), &grown.tree);
        let head = Head { size: tree.size(), root: tree.root() };
        let signer = self.key.signer(shard)?;
        let signature = signer.sign(checkpoint::text(signer.public(), shard, &head).as_bytes());
        let signature = signature?;
        // The mint verifies what it signs.
        let checkpoint = checkpoint::note(signer.public(), shard, &head, &signature)?;
        Ok(Step { shard: shard.to_owned(), old: grown.old, new: Locked { head, checkpoint } })
    }

    fn stop_after(&self, fault: &LogFault) {
        if fault.is_final() && self.stopped.set(fault.to_string()).is_ok() {
            tracing::error!(%fault, "the log is stopped: nothing more is issued or signed");
        }
    }

    // Who panicked while publishing has moved the lock whole or not at all; the next turn finds out which.
    fn turn(&self) -> MutexGuard<'_, Lock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head of a log without leaves.
pub(super) fn empty() -> Head {
    Head { size: 0, root: merkle::empty_root() }
}

#[cfg(test)]
mod tests;
