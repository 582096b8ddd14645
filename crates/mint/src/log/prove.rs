//! What can be read of the published trees: heads, leaves, tiles and proofs. Each look works on the tree as
//! it was when the look began, and waits for nobody who publishes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use farside_crossing::Head;
use farside_verify::leaf::TokenPosition;
use farside_verify::merkle::Hash;

use super::proof::{self, Nodes};
use super::publish::{self, Published};
use super::tile::{TILE_WIDTH, TileName, Tiles};
use super::tree::root_of;
use super::{IssuanceLog, LogFault};

/// Levels of a tile.
const TILE_LEVELS: u32 = TILE_WIDTH.ilog2();

impl IssuanceLog {
    /// The published head of `shard` with its checkpoint; `None` where nothing is published.
    pub fn signed_head(&self, shard: &str) -> Option<(Head, Vec<u8>)> {
        let published = self.heads.published(shard)?;
        Some((published.locked.head, published.locked.checkpoint.clone()))
    }

    /// The published head of `shard`; that of no leaves where none is.
    pub fn head(&self, shard: &str) -> Head {
        self.heads.published(shard).map_or_else(publish::empty, |published| published.locked.head)
    }

    /// The published checkpoint of `shard`, as a note.
    pub fn checkpoint(&self, shard: &str) -> Option<Vec<u8>> {
        self.heads.published(shard).map(|published| published.locked.checkpoint.clone())
    }

    /// A published tile of `shard`, or as much of it as its name asks for.
    pub fn tile(&self, shard: &str, name: &TileName) -> Result<Option<Vec<u8>>, LogFault> {
        match self.heads.published(shard) {
            Some(_) => Ok(self.heads.tiles.read(shard, name)?),
            None => Ok(None),
        }
    }

    /// The durable leaf hashes of `shard` in that range, also those that are under no head yet.
    pub fn leaves(&self, shard: &str, range: Range<u64>) -> Result<Vec<Hash>, LogFault> {
        let beyond = |size| LogFault::Beyond { shard: shard.to_owned(), size };
        let origin = TokenPosition::new(shard, 0);
        let origin = origin.map_err(|fault| LogFault::Shard { shard: shard.to_owned(), fault })?;
        // First what is not published: what is published in between is then in the tree and in both.
        let (first, unpublished) = {
            let shards = self.shards();
            let (first, leaves) = shards.unreleased(shard);
            if first + (leaves.len() as u64) < range.end {
                return Err(beyond(first + leaves.len() as u64));
            }
            let from = usize::try_from(range.start.saturating_sub(first)).unwrap_or(usize::MAX);
            let until = usize::try_from(range.end.saturating_sub(first)).unwrap_or(usize::MAX);
            (first.max(range.start), leaves.get(from..until).unwrap_or_default().to_vec())
        };
        let mut hashes = match range.start < first.min(range.end) {
            true => self.reader(shard, first.min(range.end))?.leaves(range.start..first.min(range.end))?,
            false => Vec::new(),
        };
        hashes.extend((first..).zip(&unpublished).map(|(index, leaf)| leaf.hash(&origin.at(index))));
        Ok(hashes)
    }

    /// The right edge of the first `size` leaves: the roots of their perfect subtrees, largest first.
    pub fn edge(&self, shard: &str, size: u64) -> Result<Vec<Hash>, LogFault> {
        match size {
            0 => Ok(Vec::new()),
            _ => proof::edge(&mut self.reader(shard, size)?, size),
        }
    }

    /// The proof that the leaf at `index` stands under the root of `size` leaves (RFC 9162 §2.1.3).
    pub fn inclusion(&self, shard: &str, index: u64, size: u64) -> Result<Vec<Hash>, LogFault> {
        let mut reader = self.reader(shard, size)?;
        match index < size {
            true => proof::inclusion(&mut reader, index, size),
            false => Err(LogFault::Beyond { shard: shard.to_owned(), size }),
        }
    }

    /// The proof that the tree of `old` leaves is how that of `size` leaves began (RFC 9162 §2.1.4).
    pub fn consistency(&self, shard: &str, old: u64, size: u64) -> Result<Vec<Hash>, LogFault> {
        let mut reader = self.reader(shard, size)?;
        match old {
            0 => Ok(Vec::new()),
            _ if old > size => Err(LogFault::Beyond { shard: shard.to_owned(), size }),
            _ => proof::consistency(&mut reader, old, size),
        }
    }

    fn reader(&self, shard: &str, size: u64) -> Result<Reader<'_>, LogFault> {
        let beyond = |size| LogFault::Beyond { shard: shard.to_owned(), size };
        let published = self.heads.published(shard).ok_or_else(|| beyond(0))?;
        match published.tree.size() {
            held if held < size => Err(beyond(held)),
            _ => Ok(Reader { tiles: &self.heads.tiles, published, read: BTreeMap::new() }),
        }
    }
}

/// Reads one published tree, each tile once.
struct Reader<'log> {
    tiles: &'log Tiles,
    published: Arc<Published>,
    read: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Reader<'_> {
    fn leaves(&mut self, range: Range<u64>) -> Result<Vec<Hash>, LogFault> {
        let mut hashes = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let (tile, from) = place(next);
            let until = from + usize::try_from(range.end - next).unwrap_or(TILE_WIDTH);
            let held = self.fetch(0, tile)?;
            let part = held.get(from..until.min(held.len())).unwrap_or_default();
            if part.is_empty() {
                let (shard, size) = (self.published.tree.shard().to_owned(), next);
                return Err(LogFault::Beyond { shard, size });
            }
            next += part.len() as u64;
            hashes.extend_from_slice(part);
        }
        Ok(hashes)
    }

    fn row(&mut self, level: u8, number: u64) -> Result<&[Hash], LogFault> {
        if !self.read.contains_key(&(level, number)) {
            let hashes = self.fetch(level, number)?;
            self.read.insert((level, number), hashes);
        }
        Ok(self.read.get(&(level, number)).map_or(&[], Vec::as_slice))
    }

    fn fetch(&self, level: u8, number: u64) -> Result<Vec<Hash>, LogFault> {
        let tree = &self.published.tree;
        match number < tree.full_tiles(level) {
            true => self.tiles.hashes(tree.shard(), level, number),
            false => Ok(self.published.row(usize::from(level))),
        }
    }
}

impl Nodes for Reader<'_> {
    type Fault = LogFault;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, LogFault> {
        let (row, inside) = (level / TILE_LEVELS, level % TILE_LEVELS);
        let published = Arc::clone(&self.published);
        if let Some(known) = published.known_node(level, index) {
            return Ok(known);
        }
        let (number, from) = place(index << inside);
        let hashes = self.row(u8::try_from(row).unwrap_or(u8::MAX), number)?;
        let (shard, size) = (published.tree.shard(), published.tree.size());
        let part = hashes.get(from..from + (1 << inside));
        let found = part.map(root_of).ok_or_else(|| LogFault::Beyond { shard: shard.to_owned(), size })?;
        published.know_node(level, index, found);
        Ok(found)
    }
}

// The tile of a hash of one level, and its place in the tile.
fn place(index: u64) -> (u64, usize) {
    let width = TILE_WIDTH as u64;
    (index / width, usize::try_from(index % width).unwrap_or(0))
}
