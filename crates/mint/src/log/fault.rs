//! Why the log cannot be used, and what a person can do about it.

use std::path::PathBuf;

use farside_crossing::Refusal;
use farside_service::cli::Failure;
use farside_service::lock::LockFault;
use farside_service::{append, durable, time};
use farside_verify::leaf::PositionError;

use super::RecordFault;
use crate::keys::KeyFault;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// A file or folder beside the records could not be read or written.
    #[error("the issuance log could not be kept: {0}")]
    Disk(#[from] durable::Failed),
    /// The file could not be opened: the disk, another writer, or damage.
    #[error("the issuance log could not be opened: {0}")]
    Unopened(#[from] append::LogFault),
    /// A write failed: nothing more is taken until the log has been opened again.
    #[error("the issuance log failed: {0}")]
    Unwritten(#[from] append::Refused),
    /// A record is whole and yet not one of ours.
    #[error("record {number} of the issuance log cannot be believed: {fault}")]
    Record {
        /// Which one, from 0.
        number: u64,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// A record could not be spelled.
    #[error("a record for the issuance log could not be written: {fault}")]
    Unwritable {
        /// Why not.
        fault: RecordFault,
    },
    /// Two records claim one position.
    #[error("record {number} of the issuance log repeats a position: the log has forked")]
    Forked {
        /// The second of them, from 0.
        number: u64,
    },
    /// The shard's name is not allowed.
    #[error("{shard:?} cannot be the name of a log shard: {fault}")]
    Shard {
        /// The name.
        shard: String,
        /// Why not.
        fault: PositionError,
    },
    /// The lock is not the one that this mint has left: another mint signs.
    // log.md §4.3 (a)
    #[error("the lock has moved from under this mint at log shard {shard}: another mint signs the same log")]
    Moved {
        /// The shard.
        shard: String,
    },
    /// The log is shorter than what has been signed: an old copy was put back, or a file was cut.
    // log.md §4.3 (b)
    #[error("log shard {shard} holds {held} leaves, but {known} have been signed: the log was rolled back")]
    RolledBack {
        /// The shard.
        shard: String,
        /// Leaves in the log.
        held: u64,
        /// Leaves under the head that the lock holds.
        known: u64,
    },
    /// The leaves do not make the root that has been signed.
    // log.md §4.3 (c)
    #[error(
        "the first {size} leaves of log shard {shard} are not those that have been signed: it has forked"
    )]
    HeadForked {
        /// The shard.
        shard: String,
        /// Leaves under the head that the lock holds.
        size: u64,
    },
    /// The clock stands at or before the newest signature.
    // log.md §4.3 (d)
    #[error(
        "the clock says {}, and a head was signed at {}: it stands still or was set back",
        moment(*now_micros),
        moment(*signed_at_micros)
    )]
    Clock {
        /// The clock.
        now_micros: u64,
        /// The newest signature that the lock holds.
        signed_at_micros: u64,
    },
    /// The clock stands after the newest signature: there is nothing to accept.
    #[error("the clock stands after the newest signature: nothing keeps the log from going on")]
    ClockSound,
    /// Heads have been signed, and the lock is not there.
    // log.md §4.3 (e)
    #[error("the lock {} is missing, but heads of this log have been signed", path.display())]
    LockMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The lock knows less than what was published or carried: it was restored from a backup.
    // log.md §4.3 (f)
    #[error(
        "the lock holds {locked} leaves of log shard {shard}, but {known} have gone out: it is an old copy"
    )]
    LockBehind {
        /// The shard.
        shard: String,
        /// Leaves under the head that the lock holds.
        locked: u64,
        /// Leaves under a head that was published or carried.
        known: u64,
    },
    /// Another bundle has gone out under this number, or a later one: another mint packs for the site.
    // log.md §4.6
    #[error("bundle {seq} of site {site} is not the next one: another mint has made bundles for it")]
    BundleMoved {
        /// The site.
        site: String,
        /// The number.
        seq: u64,
    },
    /// The database does not hold the bundle that has gone out last: an old copy was put back.
    // log.md §4.3 (g)
    #[error(
        "bundle {seq} of site {site} has gone out, and the database does not hold it: it was rolled back"
    )]
    BundleLost {
        /// The site.
        site: String,
        /// The number.
        seq: u64,
    },
    /// Another process holds the lock.
    #[error("the lock of the log's heads is in use: {0}")]
    Held(LockFault),
    /// The lock was made by another version.
    #[error("the lock of the log's heads has layout {held} and this program knows {known}")]
    LockVersion {
        /// Its layout.
        held: i64,
        /// Ours.
        known: i64,
    },
    /// The lock could not be read or written.
    #[error("the lock of the log's heads could not be used: {0}")]
    Lock(#[from] rusqlite::Error),
    /// The log's key could not be opened or could not sign.
    #[error("the log's key cannot sign: {0}")]
    Key(#[from] KeyFault),
    /// A head was signed, and the signature is not the log key's.
    #[error("a head that was signed does not verify: {0}")]
    Checkpoint(#[from] Refusal),
    /// A tile is missing or is not as long as a full one.
    #[error("the tile {} is missing or cut: start the mint again, which makes missing ones anew", path.display())]
    Tile {
        /// The tile.
        path: PathBuf,
    },
    /// More of a shard was asked for than it has.
    #[error("log shard {shard} has {size} leaves under its head, fewer than were asked for")]
    Beyond {
        /// The shard.
        shard: String,
        /// Its size.
        size: u64,
    },
    /// The log was stopped earlier, for the reason given.
    #[error("the issuance log was stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

impl LogFault {
    /// Whether nothing may be signed after it. What a failed write has left on the disk is not known until
    /// the log is opened again; whatever else is wrong with lock or clock will not mend itself.
    pub(super) fn is_final(&self) -> bool {
        !matches!(
            self,
            LogFault::Key(_) | LogFault::Beyond { .. } | LogFault::Shard { .. } | LogFault::ClockSound
        )
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            LogFault::Moved { .. } | LogFault::BundleMoved { .. } | LogFault::Held(_) => {
                "one mint alone may sign this log: stop the other one, and find out what it has issued"
            }
            LogFault::RolledBack { .. } | LogFault::HeadForked { .. } | LogFault::Forked { .. } => {
                "put back the newest copy of the log, all of its records: never an old one beside a newer lock"
            }
            LogFault::BundleLost { .. } => {
                "put back the newest copy of the mint's folder: never an old one beside a newer lock"
            }
            LogFault::Clock { .. } => {
                "set the clock right, then start the mint again; if it is right and was ahead when that head was \
                 signed: `mint log accept-clock`"
            }
            LogFault::LockMissing { .. } | LogFault::LockBehind { .. } => {
                "put the lock back where it was, as it was; a lock from a backup lets the log fork"
            }
            LogFault::Key(_) => "the passphrase and keys/log.key must belong together: see `mint key`",
            _ => "no token is issued without its record: mend the disk, then start the mint again",
        }
    }
}

impl From<LogFault> for Failure {
    fn from(fault: LogFault) -> Self {
        Failure::could_not(fault.to_string()).hint(fault.hint())
    }
}

fn moment(micros: u64) -> String {
    time::rfc3339(micros / 1_000_000)
}
