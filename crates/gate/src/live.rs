//! The live leaves in memory: ten million in 33 bytes each, found in well under a microsecond.
//!
//! ```text
//!   store ──new chunks──▶ refresh ──▶ Live ──leaf──▶ judge      what is not here yet, the store is asked for
//! ```
//!
//! A cache and no more. What may be asked for at all (which log of that name, from which leaf to which) the
//! caller knows from its own picture of the store; so a refresh may lag behind an import without holding up
//! a door or showing one a leaf of a log that has ended.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use farside_verify::merkle::Hash;

use crate::store::{self, CHUNK_LEAVES_MAX, LeafChunk, LogRow, Store, StoreFault};

/// Every leaf that has been brought into memory.
#[derive(Default)]
pub(crate) struct Live {
    shards: ArcSwap<HashMap<String, Arc<Shard>>>,
}

/// The leaves of one log. Chunks are shared with the picture before, never copied.
#[derive(Clone, Default)]
struct Shard {
    /// The bundle with which this log began.
    began: u64,
    /// The store's newest row that is here.
    newest: i64,
    /// In order, without overlap.
    chunks: Vec<Chunk>,
}

#[derive(Clone)]
struct Chunk {
    first: u64,
    hashes: Arc<[Hash]>,
}

impl Chunk {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.hashes.get(usize::try_from(index.checked_sub(self.first)?).ok()?).copied()
    }
}

impl Live {
    /// The leaf at `index` of the log of this name that began with bundle `began`, if it is in memory.
    pub(crate) fn leaf(&self, shard: &str, began: u64, index: u64) -> Option<Hash> {
        let shards = self.shards.load();
        let shard = shards.get(shard).filter(|shard| shard.began == began)?;
        shard.leaf(index)
    }

    /// Brings in what has come to the store since the last time, and lets go what it has forgotten. One at a
    /// time.
    ///
    /// # Errors
    /// The store cannot be read; what is in memory stays as it is.
    pub(crate) fn refresh(&self, store: &Store) -> Result<(), StoreFault> {
        let before = self.shards.load_full();
        let renewed = store.read(|tx| {
            let mut shards = HashMap::new();
            for (name, log) in store::logs(tx)? {
                let known = before.get(&name).filter(|shard| shard.began == log.began);
                let mut shard = known.map_or_else(Shard::default, |shard| Shard::clone(shard));
                shard.began = log.began;
                shard.forget(&log);
                let since = shard.newest;
                store::chunks_after(tx, &name, since, |chunk| shard.take(chunk))?;
                shards.insert(name, Arc::new(shard));
            }
            Ok(shards)
        })?;
        self.shards.store(Arc::new(renewed));
        Ok(())
    }

    /// How many leaves are in memory.
    pub(crate) fn count(&self) -> u64 {
        let count =
            |shard: &Arc<Shard>| shard.chunks.iter().map(|chunk| chunk.hashes.len() as u64).sum::<u64>();
        self.shards.load().values().map(count).sum()
    }
}

impl Shard {
    fn leaf(&self, index: u64) -> Option<Hash> {
        // Chunks are full but for a few: where all before it are, this is the one, found without a search.
        let foreseen = index.checked_sub(self.chunks.first()?.first)? / CHUNK_LEAVES_MAX as u64;
        let foreseen = usize::try_from(foreseen).ok().and_then(|place| self.chunks.get(place));
        if let Some(leaf) = foreseen.and_then(|chunk| chunk.leaf(index)) {
            return Some(leaf);
        }
        let place = self.chunks.partition_point(|chunk| chunk.first <= index).checked_sub(1)?;
        self.chunks.get(place)?.leaf(index)
    }

    fn forget(&mut self, log: &LogRow) {
        self.chunks.retain(|chunk| chunk.first + chunk.hashes.len() as u64 > log.kept_from);
    }

    /// Takes a row in. One that was filled up since replaces what is here of it.
    fn take(&mut self, row: LeafChunk) {
        self.newest = self.newest.max(row.id);
        let end = row.first + row.hashes.len() as u64;
        let from = self.chunks.partition_point(|chunk| chunk.first < row.first);
        let to = from + self.chunks[from..].partition_point(|chunk| chunk.first < end);
        self.chunks.splice(from..to, [Chunk { first: row.first, hashes: row.hashes }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: Hash = [7; 32];

    fn hashes(range: std::ops::Range<u64>) -> Vec<Hash> {
        range.map(|n| std::array::from_fn(|i| (n >> (8 * (i % 8))) as u8)).collect()
    }

    fn log(size: u64, began: u64, kept_from: u64) -> LogRow {
        LogRow { size, root: HASH, seq: began, began, kept_from }
    }

    /// Everything that the store holds is here, and nothing else.
    fn agrees(live: &Live, store: &Store, began: u64, until: u64) {
        live.refresh(store).unwrap();
        for index in 0..until {
            let held = store.read(|tx| store::leaf(tx, "a", index)).unwrap();
            assert_eq!(live.leaf("a", began, index), held, "leaf {index}");
        }
    }

    #[test]
    fn it_follows_the_store_through_runs_holes_pruning_and_a_new_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("gate.db"), "alpha").unwrap();
        let live = Live::default();
        let add = |first, last| {
            let change = store.write(|tx| {
                store::set_log(tx, "a", &log(last, 1, 0), b"")?;
                store::add_run(tx, ("a", first), first, &hashes(first..last))
            });
            change.map(drop)
        };
        // Small runs that fill a chunk, a large one, a hole and what fills it.
        for (first, last) in [(0, 3), (3, 7), (7, 3_000), (3_005, 3_010), (2_990, 3_007)] {
            add(first, last).unwrap_or_else(|fault: StoreFault| panic!("{fault}"));
            agrees(&live, &store, 1, 3_020);
        }
        store
            .write(|tx| {
                let kept_from = store::prune_leaves(tx, "a", 8, 3_010)?.unwrap();
                store::set_kept_from(tx, "a", kept_from)
            })
            .unwrap();
        agrees(&live, &store, 1, 3_020);
        store
            .write(|tx| {
                store::forget_log(tx, "a")?;
                store::set_log(tx, "a", &log(4, 9, 0), b"")?;
                store::add_run(tx, ("a", 9), 0, &hashes(70..74)).map(drop)
            })
            .unwrap_or_else(|fault: StoreFault| panic!("{fault}"));
        agrees(&live, &store, 9, 10);
        assert_eq!(live.leaf("a", 1, 0), None, "the log before it has ended");
        assert_eq!(live.count(), 4);
    }
}
