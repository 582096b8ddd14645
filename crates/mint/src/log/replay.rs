//! What reading the records builds up, the same for recovery and for `log check`: positions, leaves, and the
//! trees under the heads that the lock holds.
//!
//! Refuses records that are not ours, two at one position, and a log that is not the one that was signed.

use std::collections::BTreeMap;

use farside_service::append;
use farside_verify::leaf::{PositionError, TokenPosition};

use super::lock::{Lock, Locked};
use super::shards::{Fork, Shards};
use super::tile::Tiles;
use super::tree::Tree;
use super::{Entry, LogFault, Record, Recovered, TokenEntry};

/// Leaves of a shard that are gathered before they go into its tree.
const LEAVES_GATHERED: u64 = 4096;

/// The state built so far.
pub(super) struct Replay {
    shards: Shards,
    signed: BTreeMap<String, Signed>,
    tiles: Option<Tiles>,
    recovered: Recovered,
    assertions_since: u64,
    fault: Option<LogFault>,
}

/// A head that the lock holds, and the tree on its way there.
pub(super) struct Signed {
    pub(super) tree: Tree,
    pub(super) locked: Locked,
}

/// What the records came to.
pub(super) struct Replayed {
    pub(super) shards: Shards,
    pub(super) signed: BTreeMap<String, Signed>,
    pub(super) recovered: Recovered,
}

impl Replay {
    pub(super) fn new(assertions_since: u64) -> Replay {
        Replay {
            shards: Shards::default(),
            signed: BTreeMap::new(),
            tiles: None,
            recovered: Recovered::default(),
            assertions_since,
            fault: None,
        }
    }

    /// The same, held against the heads in the lock; full tiles that are missing are made again.
    pub(super) fn against(
        mut self,
        heads: BTreeMap<String, Locked>,
        tiles: Tiles,
    ) -> Result<Replay, LogFault> {
        for (shard, locked) in heads {
            let fault = |fault: PositionError| LogFault::Shard { shard: shard.clone(), fault };
            let tree = Tree::new(TokenPosition::new(&shard, 0).map_err(fault)?);
            self.signed.insert(shard, Signed { tree, locked });
        }
        self.tiles = Some(tiles);
        Ok(self)
    }

    // The first fault is kept, and nothing after it is believed.
    pub(super) fn add(&mut self, record: append::Record<'_>) {
        if self.fault.is_none() {
            self.fault = self.believe(record).err();
        }
    }

    fn believe(&mut self, record: append::Record<'_>) -> Result<(), LogFault> {
        let number = record.number;
        let unbelievable = |fault| LogFault::Record { number, fault };
        let record = Record::parse(record.bytes).map_err(unbelievable)?;
        let leaf = record.leaf().map_err(unbelievable)?;
        self.shards.add(&record.shard, record.index, leaf).map_err(|Fork| LogFault::Forked { number })?;
        if self.shards.unreleased(&record.shard).1.len() as u64 >= LEAVES_GATHERED {
            self.grow(&record.shard)?;
        }
        if let Entry::Token(TokenEntry { assertion: Some(assertion), .. }) = record.entry
            && record.at >= self.assertions_since
        {
            self.recovered.assertions.push((assertion, record.at));
        }
        Ok(())
    }

    // Moves what stands under a signed head into its tree, so that it is not held leaf by leaf.
    fn grow(&mut self, shard: &str) -> Result<(), LogFault> {
        let Some(Signed { tree, locked }) = self.signed.get_mut(shard) else { return Ok(()) };
        let held = self.shards.unreleased(shard).1;
        let missing = usize::try_from(locked.head.size - tree.size()).unwrap_or(usize::MAX);
        let leaves = held.get(..missing.min(held.len())).unwrap_or_default();
        let full = tree.grow(leaves);
        if let Some(tiles) = &self.tiles {
            tiles.mend(shard, &full)?;
        }
        let count = leaves.len() as u64;
        self.shards.released(shard, count);
        Ok(())
    }

    /// Holds the records against the heads that were signed.
    pub(super) fn finish(mut self, recovery: &append::Recovery) -> Result<Replayed, LogFault> {
        self.recovered.records = recovery.records;
        self.recovered.torn_bytes = recovery.torn.as_ref().map_or(0, |torn| torn.bytes);
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let shards: Vec<String> = self.signed.keys().cloned().collect();
        shards.iter().try_for_each(|shard| self.grow(shard))?;
        for (shard, Signed { tree, locked }) in &self.signed {
            let (shard, size) = (shard.clone(), locked.head.size);
            // log.md §4.3 (b)
            if tree.size() < size {
                return Err(LogFault::RolledBack { shard, held: tree.size(), known: size });
            }
            // log.md §4.3 (c)
            if tree.root() != locked.head.root {
                return Err(LogFault::HeadForked { shard, size });
            }
        }
        Ok(Replayed { shards: self.shards, signed: self.signed, recovered: self.recovered })
    }
}

/// Refuses a lock that is missing or older than what went out under a head: `carried` in bundles, or as a
/// checkpoint that `tiles` show.
pub(super) fn refuse_lost_lock(
    lock: &Lock,
    tiles: &Tiles,
    carried: &[(String, u64)],
) -> Result<(), LogFault> {
    let heads = lock.heads()?;
    let shown = tiles.shards()?.into_iter().map(|shard| {
        let size = tiles.checkpoint(&shard)?.map_or(0, |note| size_of(&note));
        Ok((shard, size))
    });
    let shown: Vec<(String, u64)> = shown.collect::<Result<_, LogFault>>()?;
    for (shard, known) in carried.iter().chain(&shown).filter(|(_, known)| *known > 0) {
        // log.md §4.3 (e)
        if !lock.exists() {
            return Err(LogFault::LockMissing { path: lock.path().to_owned() });
        }
        // log.md §4.3 (f)
        let locked = heads.get(shard).map_or(0, |locked| locked.head.size);
        if locked < *known {
            return Err(LogFault::LockBehind { shard: shard.clone(), locked, known: *known });
        }
    }
    Ok(())
}

// Of a checkpoint that is only compared: one that a power cut has torn says nothing, and is shown anew.
fn size_of(note: &[u8]) -> u64 {
    let text = str::from_utf8(note).unwrap_or_default();
    text.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0)
}
