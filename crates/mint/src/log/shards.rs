//! What is known of each shard: the next free position, and the leaf hashes that are durable without a gap.
//!
//! Records reach the file in the order in which their signatures were finished, so a shard may know leaf 7
//! before leaf 6; nothing past a gap is shown. Refuses two leaves at one position: that would be a fork.

use std::collections::{BTreeMap, VecDeque};

use farside_verify::leaf::HASH_BYTES;

type Hash = [u8; HASH_BYTES];

/// All shards of a log.
#[derive(Debug, Default)]
pub(super) struct Shards {
    by_name: BTreeMap<String, Shard>,
    /// Leaves handed to the file and not known to be durable, in the file's order.
    unsynced: VecDeque<Unsynced>,
}

#[derive(Debug, Default)]
struct Shard {
    /// The position that the next token takes.
    next: u64,
    /// Durable leaves without a gap, from position 0.
    whole: Vec<Hash>,
    /// Durable leaves past a gap.
    ahead: BTreeMap<u64, Hash>,
}

#[derive(Debug)]
struct Unsynced {
    number: u64,
    shard: String,
    index: u64,
    hash: Hash,
}

/// Two leaves at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fork;

impl Shards {
    /// Takes the next position of `shard`.
    pub(super) fn take(&mut self, shard: &str) -> u64 {
        if !self.by_name.contains_key(shard) {
            self.by_name.insert(shard.to_owned(), Shard::default());
        }
        let Some(shard) = self.by_name.get_mut(shard) else { return 0 };
        let index = shard.next;
        shard.next += 1;
        index
    }

    /// Remembers that the file's record `number` holds this leaf.
    pub(super) fn appended(&mut self, number: u64, shard: &str, index: u64, hash: Hash) {
        self.unsynced.push_back(Unsynced { number, shard: shard.to_owned(), index, hash });
    }

    /// The file's first `records` records are durable.
    pub(super) fn durable_before(&mut self, records: u64) -> Result<(), Fork> {
        while self.unsynced.front().is_some_and(|leaf| leaf.number < records) {
            if let Some(leaf) = self.unsynced.pop_front() {
                self.add(&leaf.shard, leaf.index, leaf.hash)?;
            }
        }
        Ok(())
    }

    /// Adds a durable leaf.
    pub(super) fn add(&mut self, name: &str, index: u64, hash: Hash) -> Result<(), Fork> {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.to_owned(), Shard::default());
        }
        self.by_name.get_mut(name).map_or(Ok(()), |shard| shard.add(index, hash))
    }

    /// How many leaves of `shard` are durable without a gap.
    pub(super) fn len(&self, shard: &str) -> u64 {
        self.by_name.get(shard).map_or(0, |shard| shard.whole.len() as u64)
    }

    /// The durable leaves of `shard` from position `from`.
    pub(super) fn leaves(&self, shard: &str, from: u64) -> Vec<Hash> {
        let whole = self.by_name.get(shard).map_or(&[][..], |shard| &shard.whole);
        usize::try_from(from).ok().and_then(|from| whole.get(from..)).unwrap_or(&[]).to_vec()
    }

    /// The positions that are missing before the last leaf of each shard.
    pub(super) fn gaps(&self) -> Vec<(String, u64)> {
        self.by_name
            .iter()
            .flat_map(|(name, shard)| shard.gaps().map(|index| (name.clone(), index)))
            .collect()
    }

    /// Each shard with the number of positions up to its last leaf, gaps included.
    pub(super) fn extents(&self) -> Vec<(String, u64)> {
        self.by_name.iter().map(|(name, shard)| (name.clone(), shard.next)).collect()
    }
}

impl Shard {
    fn add(&mut self, index: u64, hash: Hash) -> Result<(), Fork> {
        self.next = self.next.max(index.saturating_add(1));
        if index < self.whole.len() as u64 || self.ahead.insert(index, hash).is_some() {
            return Err(Fork);
        }
        while let Some(hash) = self.ahead.remove(&(self.whole.len() as u64)) {
            self.whole.push(hash);
        }
        Ok(())
    }

    fn gaps(&self) -> impl Iterator<Item = u64> {
        let end = self.ahead.last_key_value().map_or(0, |(index, _)| *index);
        (self.whole.len() as u64..end).filter(|index| !self.ahead.contains_key(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_past_a_gap_are_not_shown() {
        let mut shards = Shards::default();
        assert_eq!((shards.take("a"), shards.take("a"), shards.take("b")), (0, 1, 0));
        shards.appended(0, "a", 1, [1; 32]);
        shards.appended(1, "a", 0, [0; 32]);
        shards.durable_before(1).unwrap();
        assert_eq!((shards.len("a"), shards.gaps()), (0, vec![("a".to_owned(), 0)]));
        shards.durable_before(2).unwrap();
        assert_eq!(shards.leaves("a", 0), [[0; 32], [1; 32]]);
        assert_eq!(shards.leaves("a", 1), [[1; 32]]);
        assert!(shards.leaves("a", 3).is_empty());
    }

    #[test]
    fn two_leaves_at_one_position_are_a_fork() {
        let mut shards = Shards::default();
        shards.add("a", 0, [0; 32]).unwrap();
        assert_eq!(shards.add("a", 0, [0; 32]), Err(Fork));
        shards.add("a", 2, [0; 32]).unwrap();
        assert_eq!(shards.add("a", 2, [9; 32]), Err(Fork));
    }
}
