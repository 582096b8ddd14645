//! What is known of each shard: the next free position, and the leaves that are durable without a gap and not
//! yet under a published head.
//!
//! Records reach the file in the order in which their signatures were finished, so a shard may know leaf 7
//! before leaf 6; nothing past a gap is shown. Refuses two leaves at one position: that would be a fork.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use farside_verify::leaf::{PositionError, TokenPosition};

use super::LogFault;
use super::tree::Leaf;

/// All shards of a log.
#[derive(Debug, Default)]
pub(super) struct Shards {
    by_name: BTreeMap<String, Shard>,
    /// Leaves handed to the file and not known to be durable, in the file's order.
    unsynced: VecDeque<Unsynced>,
    /// Shards that hold whole leaves: so that of ten thousand only these are looked at.
    grown: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Shard {
    /// The position that the next token takes.
    next: u64,
    /// Leaves that were released to the published tree.
    released: u64,
    /// Durable leaves without a gap, from there on.
    whole: Vec<Leaf>,
    /// Durable leaves past a gap.
    ahead: BTreeMap<u64, Leaf>,
}

#[derive(Debug)]
struct Unsynced {
    number: u64,
    shard: String,
    index: u64,
    leaf: Leaf,
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
    pub(super) fn appended(&mut self, number: u64, shard: &str, index: u64, leaf: Leaf) {
        self.unsynced.push_back(Unsynced { number, shard: shard.to_owned(), index, leaf });
    }

    /// The file's first `records` records are durable.
    pub(super) fn durable_before(&mut self, records: u64) -> Result<(), Fork> {
        while self.unsynced.front().is_some_and(|leaf| leaf.number < records) {
            if let Some(next) = self.unsynced.pop_front() {
                self.add(&next.shard, next.index, next.leaf)?;
            }
        }
        Ok(())
    }

    /// Adds a durable leaf.
    pub(super) fn add(&mut self, name: &str, index: u64, leaf: Leaf) -> Result<(), Fork> {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.to_owned(), Shard::default());
        }
        let Some(shard) = self.by_name.get_mut(name) else { return Ok(()) };
        shard.add(index, leaf)?;
        if !shard.whole.is_empty() && !self.grown.contains(name) {
            self.grown.insert(name.to_owned());
        }
        Ok(())
    }

    /// How many leaves of `shard` are durable without a gap.
    pub(super) fn len(&self, shard: &str) -> u64 {
        self.by_name.get(shard).map_or(0, Shard::len)
    }

    /// The durable leaves of `shard` that are under no published head, with the position of the first.
    pub(super) fn unreleased(&self, shard: &str) -> (u64, &[Leaf]) {
        self.by_name.get(shard).map_or((0, &[]), |shard| (shard.released, &shard.whole))
    }

    /// All such leaves, with position 0 of each shard that has any.
    pub(super) fn unpublished(&self) -> Result<Vec<(TokenPosition, Vec<Leaf>)>, LogFault> {
        let origin = |name: &String| {
            let fault = |fault: PositionError| LogFault::Shard { shard: name.clone(), fault };
            Ok((TokenPosition::new(name, 0).map_err(fault)?, self.unreleased(name).1.to_vec()))
        };
        self.grown.iter().map(origin).collect()
    }

    /// The next `count` leaves of `shard` are under a published head: from now on its tree holds them.
    pub(super) fn released(&mut self, name: &str, count: u64) {
        if let Some(shard) = self.by_name.get_mut(name) {
            let count = shard.whole.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            shard.whole.drain(..count);
            shard.released += count as u64;
            if shard.whole.is_empty() {
                shard.whole = Vec::new();
                self.grown.remove(name);
            }
        }
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
    fn len(&self) -> u64 {
        self.released + self.whole.len() as u64
    }

    fn add(&mut self, index: u64, leaf: Leaf) -> Result<(), Fork> {
        self.next = self.next.max(index.saturating_add(1));
        if index < self.len() || self.ahead.insert(index, leaf).is_some() {
            return Err(Fork);
        }
        while let Some(leaf) = self.ahead.remove(&self.len()) {
            self.whole.push(leaf);
        }
        Ok(())
    }

    fn gaps(&self) -> impl Iterator<Item = u64> {
        let end = self.ahead.last_key_value().map_or(0, |(index, _)| *index);
        (self.len()..end).filter(|index| !self.ahead.contains_key(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u8) -> Leaf {
        Leaf(Some([n; 32]))
    }

    #[test]
    fn leaves_past_a_gap_are_not_shown() {
        let mut shards = Shards::default();
        assert_eq!((shards.take("a"), shards.take("a"), shards.take("b")), (0, 1, 0));
        shards.appended(0, "a", 1, leaf(1));
        shards.appended(1, "a", 0, leaf(0));
        shards.durable_before(1).unwrap();
        assert_eq!((shards.len("a"), shards.gaps()), (0, vec![("a".to_owned(), 0)]));
        shards.durable_before(2).unwrap();
        assert_eq!(shards.unreleased("a"), (0, &[leaf(0), leaf(1)][..]));
    }

    #[test]
    fn released_leaves_are_held_no_longer_and_still_count() {
        let mut shards = Shards::default();
        for index in 0..3 {
            shards.add("a", index, leaf(index as u8)).unwrap();
        }
        shards.released("a", 2);
        assert_eq!((shards.len("a"), shards.unreleased("a")), (3, (2, &[leaf(2)][..])));
        shards.released("a", 1);
        assert!(shards.unpublished().unwrap().is_empty());
        assert_eq!((shards.len("a"), shards.take("a")), (3, 3));
        assert_eq!(shards.add("a", 1, leaf(1)), Err(Fork), "a released position is taken");
    }

    #[test]
    fn two_leaves_at_one_position_are_a_fork() {
        let mut shards = Shards::default();
        shards.add("a", 0, leaf(0)).unwrap();
        assert_eq!(shards.add("a", 0, leaf(0)), Err(Fork));
        shards.add("a", 2, leaf(0)).unwrap();
        assert_eq!(shards.add("a", 2, leaf(9)), Err(Fork));
    }
}
