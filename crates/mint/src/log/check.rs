//! `farside mint log check`: reads the whole log as recovery does, and says what it holds.
//!
//! Works beside a running mint, since it only reads; positions that are being written then show as open.

use std::path::Path;

use serde::Serialize;

use super::replay::{Replay, Replayed};
use super::{LogFault, segments};

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Whole records.
    pub records: u64,
    /// Bytes after the last whole record: a record being written, or torn by a crash.
    pub torn_bytes: u64,
    /// Positions before a shard's last leaf that have no record (yet).
    pub open_positions: u64,
    /// Each shard with the number of its leaves.
    pub shards: Vec<ShardLength>,
}

/// One shard's length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardLength {
    /// The shard.
    pub shard: String,
    /// Its positions up to the last record: each is a leaf, or becomes a void one at the next start.
    pub leaves: u64,
}

/// Reads the log in `folder`: every record must be whole, ours, and the only one at its position.
pub fn check(folder: &Path) -> Result<Checked, LogFault> {
    let mut replay = Replay::new(u64::MAX);
    let recovery = segments(folder).read(0, |record| replay.add(record))?;
    let Replayed { shards, recovered, .. } = replay.finish(&recovery)?;
    let lengths = shards.extents().into_iter().map(|(shard, leaves)| ShardLength { shard, leaves });
    Ok(Checked {
        records: recovered.records,
        torn_bytes: recovered.torn_bytes,
        open_positions: shards.gaps().len() as u64,
        shards: lengths.collect(),
    })
}
