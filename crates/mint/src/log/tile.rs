//! Tiles on disk as c2sp.org/tlog-tiles names them: 256 hashes of one level of a shard's tree, or the entries
//! of 256 leaves.
//!
//! ```text
//!   tiles/<shard>/tile/0/x001/234          a full tile: written once, durable before a head needs it
//!   tiles/<shard>/tile/0/x001/235.p/17     the newest partial one: it replaces the partial one before
//!   tiles/<shard>/tile/entries/x001/234    the leaves' entries, each behind its length
//!   tiles/<shard>/checkpoint               the head that these tiles make
//! ```
//!
//! For clients and witnesses that read tiles, and for proofs. A partial tile and a checkpoint hold nothing
//! that records and lock do not hold: they are not made durable, and recovery makes them again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farside_service::durable::{self, Failed, Mode, failed};
use farside_verify::merkle::Hash;

use super::LogFault;

/// Hashes or entries of a full tile.
// log.md §3.3
pub(super) const TILE_WIDTH: usize = 256;

/// Largest file that is read here: a full tile of entries, each some 120 bytes.
const TILE_BYTES_MAX: u64 = 256 << 10;

/// Bytes before each entry, big-endian.
const ENTRY_LENGTH_BYTES: usize = 2;

/// What a row of tiles holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Leaf entries.
    Entries,
    /// Hashes, level 0 being those of leaves; each level's hash covers 256 of the level below.
    Hashes(u8),
}

/// One tile by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileName {
    /// What it holds.
    pub row: Row,
    /// Its number in the row.
    pub number: u64,
    /// How many hashes or entries, 1 to 256.
    pub width: usize,
}

/// A tile to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) name: TileName,
    pub(super) bytes: Vec<u8>,
}

/// The folder of all shards' tiles.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    folder: PathBuf,
}

impl Tile {
    pub(super) fn of_hashes(level: u8, number: u64, hashes: &[Hash]) -> Tile {
        let name = TileName { row: Row::Hashes(level), number, width: hashes.len() };
        Tile { name, bytes: hashes.as_flattened().to_vec() }
    }

    // c2sp.org/tlog-tiles: each entry behind its length in two bytes.
    pub(super) fn of_entries(number: u64, entries: &[String]) -> Tile {
        let name = TileName { row: Row::Entries, number, width: entries.len() };
        let mut bytes = Vec::new();
        for entry in entries {
            let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(entry.as_bytes());
        }
        Tile { name, bytes }
    }
}

impl Tiles {
    /// The tiles of the log in `log`.
    pub(super) fn of(log: &Path) -> Tiles {
        Tiles { folder: log.join("tiles") }
    }

    /// Writes full tiles: durable when it returns.
    pub(super) fn keep<'t>(
        &self,
        tiles: impl IntoIterator<Item = (&'t str, &'t Tile)>,
    ) -> Result<(), Failed> {
        let tiles: Vec<_> =
            tiles.into_iter().map(|(shard, tile)| (self.path(shard, &tile.name), tile)).collect();
        for (path, _) in &tiles {
            durable::create_dir_all(durable::parent(path), Mode::Shared)?;
        }
        durable::write_each(
            tiles.iter().map(|(path, tile)| (path.as_path(), tile.bytes.as_slice())),
            Mode::Shared,
        )
    }

    /// Writes the full tiles that are missing. One that is there is whole: see [`keep`](Self::keep).
    pub(super) fn mend(&self, shard: &str, tiles: &[Tile]) -> Result<(), Failed> {
        self.keep(
            tiles.iter().filter(|tile| !self.path(shard, &tile.name).exists()).map(|tile| (shard, tile)),
        )
    }

    /// Puts the partial tiles in the place of those that were before; `full` are the tiles that need no
    /// partial ones any more.
    pub(super) fn show(&self, shard: &str, partial: &[Tile], full: &[Tile]) -> Result<(), Failed> {
        for tile in partial {
            let path = self.path(shard, &tile.name);
            let folder = durable::parent(&path);
            put(&path, &tile.bytes)?;
            for other in files(folder)?.into_iter().filter(|other| *other != path) {
                fs::remove_file(&other).map_err(|source| failed("remove", &other, source))?;
            }
        }
        for tile in full {
            let folder = self.partial_folder(shard, &tile.name);
            match fs::remove_dir_all(&folder) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &folder, source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts a checkpoint in the place of the one before.
    pub(super) fn show_checkpoint(&self, shard: &str, note: &[u8]) -> Result<(), Failed> {
        put(&self.checkpoint_path(shard), note)
    }

    /// The checkpoint that is shown.
    pub(super) fn checkpoint(&self, shard: &str) -> Result<Option<Vec<u8>>, Failed> {
        read(&self.checkpoint_path(shard))
    }

    /// The shards that have tiles.
    pub(super) fn shards(&self) -> Result<Vec<String>, Failed> {
        let names = files(&self.folder)?.into_iter();
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// The hashes of a full tile.
    pub(super) fn hashes(&self, shard: &str, level: u8, number: u64) -> Result<Vec<Hash>, LogFault> {
        let name = TileName { row: Row::Hashes(level), number, width: TILE_WIDTH };
        let path = self.path(shard, &name);
        match read(&path)?.map(|bytes| bytes.as_chunks().0.to_vec()) {
            Some(hashes) if hashes.len() == TILE_WIDTH => Ok(hashes),
            _ => Err(LogFault::Tile { path }),
        }
    }

    /// What a reader of tiles asks for: cut from the full tile or from the newest partial one, since a tile
    /// begins with what every narrower one of its name holds.
    pub(super) fn read(&self, shard: &str, name: &TileName) -> Result<Option<Vec<u8>>, Failed> {
        let full = self.path(shard, &TileName { width: TILE_WIDTH, ..*name });
        if let Some(bytes) = read(&full)? {
            return Ok(name.cut(bytes));
        }
        let newest = files(&self.partial_folder(shard, name))?.into_iter().max_by_key(|path| width(path));
        match newest {
            Some(path) => Ok(read(&path)?.and_then(|bytes| name.cut(bytes))),
            None => Ok(None),
        }
    }

    fn checkpoint_path(&self, shard: &str) -> PathBuf {
        self.folder.join(shard).join("checkpoint")
    }

    fn path(&self, shard: &str, name: &TileName) -> PathBuf {
        match name.width == TILE_WIDTH {
            true => self.folder.join(shard).join("tile").join(name.row.to_string()).join(number(name.number)),
            false => self.partial_folder(shard, name).join(name.width.to_string()),
        }
    }

    fn partial_folder(&self, shard: &str, name: &TileName) -> PathBuf {
        let full = self.path(shard, &TileName { width: TILE_WIDTH, ..*name });
        full.with_added_extension("p")
    }
}

impl TileName {
    // The first `width` hashes or entries, if there are so many.
    fn cut(&self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let length = match self.row {
            Row::Hashes(_) => self.width * size_of::<Hash>(),
            Row::Entries => {
                let mut end = 0;
                for _ in 0..self.width {
                    let length = bytes.get(end..)?.first_chunk::<ENTRY_LENGTH_BYTES>()?;
                    end += ENTRY_LENGTH_BYTES + usize::from(u16::from_be_bytes(*length));
                }
                end
            }
        };
        (length <= bytes.len()).then(|| {
            bytes.truncate(length);
            bytes
        })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Row::Entries => f.write_str("entries"),
            Row::Hashes(level) => write!(f, "{level}"),
        }
    }
}

// c2sp.org/tlog-tiles: groups of three digits, all but the last behind an `x`.
fn number(number: u64) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

fn width(path: &Path) -> Option<usize> {
    path.file_name()?.to_str()?.parse().ok()
}

// In one step, so that no reader sees half of it; not durable.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let hidden = path.with_added_extension(durable::TEMPORARY_SUFFIX.trim_start_matches('.'));
    fs::create_dir_all(durable::parent(path)).map_err(|source| failed("create", path, source))?;
    fs::write(&hidden, bytes).map_err(|source| failed("write", path, source))?;
    fs::rename(&hidden, path).map_err(|source| failed("name", path, source))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Failed> {
    match durable::read_limited(path, TILE_BYTES_MAX) {
        Err(Failed { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let fail = |source| failed("list", folder, source);
    match fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listing => {
            listing.map_err(fail)?.map(|entry| entry.map(|entry| entry.path()).map_err(fail)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_in_groups_of_three() {
        let spelled = [0, 255, 1000, 1_234_067].map(number);
        assert_eq!(spelled, ["000", "255", "x001/000", "x001/x234/067"]);
    }

    #[test]
    fn a_narrower_tile_is_cut_from_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let tiles = Tiles::of(folder.path());
        let hashes: Vec<Hash> = (0..9).map(|n| [n; 32]).collect();
        let entries: Vec<String> = (0..9).map(|n| "e".repeat(n + 1)).collect();
        for width in [5, 9] {
            let partial = [Tile::of_hashes(0, 0, &hashes[..width]), Tile::of_entries(0, &entries[..width])];
            tiles.show("plant7", &partial, &[]).unwrap();
        }
        let name = |row, width| TileName { row, number: 0, width };
        let read = |row, width| tiles.read("plant7", &name(row, width)).unwrap();
        assert_eq!(read(Row::Hashes(0), 5), Some(hashes[..5].as_flattened().to_vec()));
        assert_eq!(read(Row::Entries, 2), Some(b"\0\x01e\0\x02ee".to_vec()));
        assert_eq!(read(Row::Hashes(0), 10), None);
        assert_eq!(read(Row::Hashes(1), 1), None);
        let left = files(&tiles.partial_folder("plant7", &name(Row::Hashes(0), 9))).unwrap();
        assert_eq!(left.len(), 1, "the narrower file is gone");
    }
}
