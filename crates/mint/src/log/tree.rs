//! A shard's tree at one size: only what is not in full tiles is held, at most 255 leaves and as many hashes
//! for each level above.
//!
//! ```text
//!   rows[1]   ▢▢▢                      roots of full tiles of level 1
//!   rows[0]   ▢▢▢▢▢▢▢                  roots of full tiles of leaves
//!   tail      ▪▪▪▪▪                    leaves behind the last full tile
//! ```
//!
//! For publishing, which grows a tree from the one before it, and for proofs, which read one that stays as it
//! is.

use farside_verify::leaf::{self, TokenPosition};
use farside_verify::merkle::{self, Frontier, Hash};

use super::tile::{TILE_WIDTH, Tile};

/// What a leaf commits to: the hash of a signing input, or nothing where no token was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf(pub(super) Option<Hash>);

impl Leaf {
    /// Its entry.
    // token.md §7.2
    pub(super) fn entry(&self, position: &TokenPosition) -> String {
        leaf::entry(position, self.0.as_ref())
    }

    /// Its hash.
    // log.md §3.1
    pub(super) fn hash(&self, position: &TokenPosition) -> Hash {
        merkle::leaf_hash(self.entry(position).as_bytes())
    }
}

/// The tree.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Position 0 of its shard.
    origin: TokenPosition,
    size: u64,
    tail: Vec<Leaf>,
    rows: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree without leaves of the shard that `origin` names.
    pub(super) fn new(origin: TokenPosition) -> Tree {
        Tree { origin, size: 0, tail: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn shard(&self) -> &str {
        self.origin.shard()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds leaves, and hands out the tiles that they have filled.
    pub(super) fn grow(&mut self, leaves: &[Leaf]) -> Vec<Tile> {
        let mut full = Vec::new();
        for leaf in leaves {
            self.tail.push(*leaf);
            self.size += 1;
            if self.tail.len() == TILE_WIDTH {
                self.close_tail(&mut full);
            }
        }
        full
    }

    /// The root.
    pub(super) fn root(&self) -> Hash {
        let mut nodes = Vec::new();
        for row in (0..=self.rows.len()).rev() {
            nodes.extend_from_slice(edge_of(&self.row(row)).nodes());
        }
        // Each row's width is a digit of the size, to the base of 256: so the nodes are as many as its bits.
        Frontier::new(self.size, nodes).unwrap_or_default().root()
    }

    /// The tiles that are not full.
    pub(super) fn partial(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        if !self.tail.is_empty() {
            tiles.push(Tile::of_entries(self.full_tiles(0), &self.entries()));
        }
        for (level, hashes) in (0_u8..).zip((0..=self.rows.len()).map(|row| self.row(row))) {
            if !hashes.is_empty() {
                tiles.push(Tile::of_hashes(level, self.full_tiles(level), &hashes));
            }
        }
        tiles
    }

    /// How many full tiles a level has.
    pub(super) fn full_tiles(&self, level: u8) -> u64 {
        self.size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0)
    }

    /// The hashes of a level behind its last full tile.
    pub(super) fn row(&self, level: usize) -> Vec<Hash> {
        match level.checked_sub(1) {
            Some(row) => self.rows.get(row).cloned().unwrap_or_default(),
            None => self.positions().map(|(position, leaf)| leaf.hash(&position)).collect(),
        }
    }

    fn entries(&self) -> Vec<String> {
        self.positions().map(|(position, leaf)| leaf.entry(&position)).collect()
    }

    fn positions(&self) -> impl Iterator<Item = (TokenPosition, Leaf)> {
        let first = self.size - self.tail.len() as u64;
        (first..).map(|index| self.origin.at(index)).zip(self.tail.iter().copied())
    }

    fn close_tail(&mut self, full: &mut Vec<Tile>) {
        // The size counts the tail already, so the tile that it fills is the last full one.
        full.push(Tile::of_entries(self.full_tiles(0) - 1, &self.entries()));
        let mut hashes = self.row(0);
        self.tail.clear();
        for level in 0_u8.. {
            full.push(Tile::of_hashes(level, self.full_tiles(level) - 1, &hashes));
            let root = edge_of(&hashes).root();
            let above = usize::from(level);
            if self.rows.len() == above {
                self.rows.push(Vec::new());
            }
            let Some(row) = self.rows.get_mut(above) else { return };
            row.push(root);
            if row.len() < TILE_WIDTH {
                return;
            }
            hashes = std::mem::take(row);
        }
    }
}

/// The root over hashes of one level that fill a part of a tile.
pub(super) fn root_of(hashes: &[Hash]) -> Hash {
    edge_of(hashes).root()
}

fn edge_of(hashes: &[Hash]) -> Frontier {
    let mut edge = Frontier::default();
    edge.extend(hashes.iter().copied());
    edge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_the_root_of_its_leaves_at_every_size() {
        let origin = TokenPosition::new("plant7", 0).unwrap();
        let (mut tree, mut expected) = (Tree::new(origin.clone()), Frontier::default());
        let mut full = Vec::new();
        for index in 0..70_000_u64 {
            let leaf = Leaf((index % 7 != 0).then(|| merkle::leaf_hash(&index.to_be_bytes())));
            full.extend(tree.grow(&[leaf]));
            expected.push(leaf.hash(&origin.at(index)));
            if index % 997 == 0 || index > 69_990 || [255, 256, 65_535, 65_536].contains(&index) {
                assert_eq!((tree.size(), tree.root()), (index + 1, expected.root()));
            }
        }
        let names: Vec<_> = full.iter().map(|tile| (tile.name.row.to_string(), tile.name.number)).collect();
        assert_eq!(names.iter().filter(|(row, _)| row == "0").count(), 273);
        assert!(names.contains(&("1".to_owned(), 0)) && !names.contains(&("1".to_owned(), 1)));
        let partial: Vec<_> =
            tree.partial().iter().map(|tile| tile.name).map(|name| (name.number, name.width)).collect();
        assert_eq!(partial, [(273, 112), (273, 112), (1, 17), (0, 1)]);
    }
}
