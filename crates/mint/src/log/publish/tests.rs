//! What is published hangs together at every size, and a log that has been signed is never signed otherwise:
//! not after a backup was put back, beside a second mint, under a wrong clock, or after a crash between any
//! two steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use farside_crossing::LogKey;
use farside_verify::leaf::TokenPosition;
use farside_verify::merkle::{Frontier, is_consistent, root_of_inclusion};

use super::*;
use crate::keys::{self, LogSigner};
use crate::log::{Entry, Opening, Record, Row, TileName, VoidReason};

const NOW: u64 = 1_764_000_000;

/// A clock that moves on with every look.
fn ticking() -> u64 {
    static MICROS: AtomicU64 = AtomicU64::new(NOW * 1_000_000);
    MICROS.fetch_add(1, Ordering::Relaxed)
}

/// A clock that was set back by years.
fn set_back() -> u64 {
    1_000_000
}

/// A mint's folder, and the place of its lock.
struct Bed {
    folder: tempfile::TempDir,
    key: LogKey,
    seed_file: PathBuf,
}

impl Bed {
    fn new() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let seed_file = folder.path().join("log.key");
        let key = keys::create_log(&seed_file, "acme-log", &passphrase()).unwrap();
        Bed { folder, key, seed_file }
    }

    fn signer(&self) -> LogSigner {
        keys::open_log(&self.seed_file, &passphrase()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Arc<IssuanceLog> {
        self.try_open("log", "lock", ticking, &[]).unwrap()
    }

    fn refused(&self) -> LogFault {
        self.try_open("log", "lock", ticking, &[]).unwrap_err()
    }

    fn try_open(
        &self,
        log: &str,
        lock: &str,
        clock: Clock,
        carried: &[(String, u64)],
    ) -> Result<Arc<IssuanceLog>, LogFault> {
        let (folder, lock) = (&self.path(log), &self.path(lock).join("heads.db"));
        let key = LogKeyFile::opened(self.signer());
        Ok(IssuanceLog::open(Opening { folder, lock, key, clock, carried }, NOW, 0)?.0)
    }

    fn keep(&self, what: &str, copy: &str) {
        copy_tree(&self.path(what), &self.path(copy));
    }

    fn put_back(&self, copy: &str, what: &str) {
        fs::remove_dir_all(self.path(what)).unwrap();
        copy_tree(&self.path(copy), &self.path(what));
    }

    fn shown(&self, shard: &str) -> Option<Vec<u8>> {
        fs::read(self.path("log/tiles").join(shard).join("checkpoint")).ok()
    }

    /// The head that a checkpoint says, believed as a gate believes it.
    fn believed(&self, note: &[u8], shard: &str) -> Head {
        checkpoint::open(note, std::slice::from_ref(&self.key), shard).unwrap().head()
    }
}

fn passphrase() -> keys::Passphrase {
    keys::Passphrase::new(farside_service::secret_file::Secret::new(b"correct horse".to_vec().into()))
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Leaves of `shard`, each another.
fn grow(log: &Arc<IssuanceLog>, shard: &str, count: usize, salt: u8) {
    let mut last = None;
    for _ in 0..count {
        let reservation = log.reserve(shard, NOW).unwrap();
        let index = reservation.position().index();
        let mut hash = [salt; 32];
        hash[..8].copy_from_slice(&index.to_be_bytes());
        last = Some(reservation.commit(entry(hash)).unwrap());
    }
    let _durable = last.unwrap().wait().unwrap();
}

fn entry(hash: [u8; 32]) -> crate::log::TokenEntry {
    crate::log::TokenEntry {
        requester: "operator:test".into(),
        subject: "ada".into(),
        audience: "historian".into(),
        expires_at: NOW + 900,
        kid: "x7Qd1234".into(),
        profile: "access".into(),
        signing_input_sha256: farside_verify::encode::base64url(hash),
        assertion: None,
    }
}

fn root(log: &IssuanceLog, shard: &str, size: u64) -> merkle::Hash {
    let mut tree = Frontier::default();
    tree.extend(log.leaves(shard, 0..size).unwrap());
    tree.root()
}

#[test]
fn every_published_head_holds_its_leaves_and_extends_the_one_before() {
    let bed = Bed::new();
    let log = bed.open();
    let mut before: Vec<Head> = Vec::new();
    for count in [1, 4, 250, 1, 1, 300, 513] {
        grow(&log, "plant7", count, 1);
        grow(&log, "mine2", 1, 2);
        assert_eq!(log.publish().unwrap(), Progress { shards: 2, leaves: count as u64 + 1 });
        let head = log.head("plant7");
        assert_eq!(bed.believed(&bed.shown("plant7").unwrap(), "plant7"), head);
        assert_eq!((head.size, head.root), (log.len("plant7"), root(&log, "plant7", head.size)));
        for index in [0, head.size / 2, head.size - 1] {
            let leaf = log.leaves("plant7", index..index + 1).unwrap()[0];
            let proof = log.inclusion("plant7", index, head.size).unwrap();
            assert_eq!(root_of_inclusion(&leaf, index, head.size, &proof), Some(head.root));
        }
        for old in &before {
            let proof = log.consistency("plant7", old.size, head.size).unwrap();
            assert!(is_consistent((old.size, &old.root), (head.size, &head.root), &proof));
            let edge = Frontier::new(old.size, log.edge("plant7", old.size).unwrap()).unwrap();
            assert_eq!(edge.root(), old.root);
        }
        before.push(head);
    }
    assert_eq!(log.publish().unwrap(), Progress::default(), "nothing new, nothing signed");
    let head = log.head("plant7");
    drop(log);
    let log = bed.open();
    assert_eq!((log.head("plant7"), log.len("plant7")), (head, head.size), "over a restart");
    assert_eq!(log.head("nowhere").size, 0);
    assert!(matches!(log.inclusion("plant7", 0, head.size + 1), Err(LogFault::Beyond { .. })));
}

#[test]
fn tiles_hold_what_readers_of_tiles_expect() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 300, 1);
    drop(log.reserve("plant7", NOW).unwrap());
    grow(&log, "plant7", 1, 1);
    log.publish().unwrap();
    let leaves = log.leaves("plant7", 0..302).unwrap();
    let tile = |row, number, width| log.tile("plant7", &TileName { row, number, width }).unwrap();
    assert_eq!(tile(Row::Hashes(0), 0, 256).unwrap(), leaves[..256].as_flattened());
    assert_eq!(tile(Row::Hashes(0), 1, 46).unwrap(), leaves[256..].as_flattened());
    assert_eq!(tile(Row::Hashes(1), 0, 1).unwrap().len(), 32);
    let entries = tile(Row::Entries, 1, 46).unwrap();
    let void = Record {
        shard: "plant7".into(),
        index: 300,
        at: NOW,
        entry: Entry::Void { reason: VoidReason::Unsigned },
    };
    let position = TokenPosition::new("plant7", 300).unwrap();
    let text = farside_verify::leaf::entry(&position, None);
    assert!(entries.windows(text.len()).any(|part| part == text.as_bytes()));
    assert_eq!(leaves[300], void.leaf_hash().unwrap());
    assert!(
        !bed.path("log/tiles/plant7/tile/0/000.p").exists(),
        "partial tiles go once the full one is there"
    );
}

#[test]
fn a_backup_of_the_log_that_was_put_back_stops_the_mint() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 3, 1);
    log.publish().unwrap();
    bed.keep("log", "backup");
    grow(&log, "plant7", 2, 1);
    log.publish().unwrap();
    drop(log);
    bed.put_back("backup", "log");
    assert!(matches!(bed.refused(), LogFault::RolledBack { held: 3, known: 5, .. }));
}

#[test]
fn a_backup_that_went_on_with_other_tokens_stops_the_mint() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 3, 1);
    bed.keep("log", "backup");
    grow(&log, "plant7", 2, 1);
    log.publish().unwrap();
    drop(log);
    // Another mint was started on the backup, with no lock or one of its own.
    let other = bed.try_open("backup", "elsewhere", ticking, &[]).unwrap();
    grow(&other, "plant7", 9, 2);
    drop(other);
    bed.put_back("backup", "log");
    assert!(matches!(bed.refused(), LogFault::HeadForked { size: 5, .. }));
}

#[test]
fn a_second_mint_on_a_copy_gets_no_turn_while_the_first_runs() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 1, 1);
    bed.keep("log", "copy");
    let second = bed.try_open("copy", "lock", ticking, &[]);
    assert!(matches!(second, Err(LogFault::Held(_))));
}

#[test]
fn a_lock_that_somebody_else_moved_stops_the_mint_for_good() {
    for change in
        ["UPDATE clock SET signed_at = signed_at + 1", "UPDATE head SET size = 2", "DELETE FROM head"]
    {
        let bed = Bed::new();
        let log = bed.open();
        grow(&log, "plant7", 1, 1);
        log.publish().unwrap();
        let (shown, head) = (bed.shown("plant7"), log.head("plant7"));
        rusqlite::Connection::open(bed.path("lock/heads.db")).unwrap().execute_batch(change).unwrap();
        grow(&log, "plant7", 1, 1);
        assert!(matches!(log.publish(), Err(LogFault::Moved { .. })), "{change}");
        assert!(matches!(log.publish(), Err(LogFault::Stopped { .. })));
        assert!(matches!(log.reserve("plant7", NOW), Err(LogFault::Stopped { .. })), "no token either");
        assert!(log.healthy().is_err());
        assert_eq!((bed.shown("plant7"), log.head("plant7")), (shown, head));
    }
}

#[test]
fn a_clock_that_was_set_back_or_stands_still_signs_nothing() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 1, 1);
    log.publish().unwrap();
    drop(log);
    let log = bed.try_open("log", "lock", set_back, &[]).unwrap();
    grow(&log, "plant7", 1, 1);
    assert!(matches!(log.publish(), Err(LogFault::Clock { now_micros: 1_000_000, .. })));
    assert!(matches!(log.reserve("plant7", NOW), Err(LogFault::Stopped { .. })));
    assert_eq!(bed.believed(&bed.shown("plant7").unwrap(), "plant7").size, 1);
    drop(log);
    let log = bed.open();
    assert_eq!(log.publish().unwrap().leaves, 1, "with a clock set right it goes on");
}

#[test]
fn a_lock_that_is_gone_stops_the_mint_that_has_published() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 1, 1);
    log.publish().unwrap();
    drop(log);
    bed.keep("lock", "kept");
    fs::remove_file(bed.path("lock/heads.db")).unwrap();
    assert!(matches!(bed.refused(), LogFault::LockMissing { .. }), "a checkpoint is shown");
    fs::remove_dir_all(bed.path("log/tiles")).unwrap();
    let carried = [("plant7".to_owned(), 1)];
    let refused = bed.try_open("log", "lock", ticking, &carried);
    assert!(matches!(refused, Err(LogFault::LockMissing { .. })), "a bundle has carried it");
    bed.put_back("kept", "lock");
    let log = bed.open();
    fs::remove_file(bed.path("lock/heads.db")).unwrap();
    grow(&log, "plant7", 1, 1);
    assert!(matches!(log.publish(), Err(LogFault::LockMissing { .. })), "also while the mint runs");
}

#[test]
fn a_lock_from_a_backup_stops_the_mint() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 1, 1);
    log.publish().unwrap();
    bed.keep("lock", "old");
    grow(&log, "plant7", 1, 1);
    log.publish().unwrap();
    drop(log);
    bed.put_back("old", "lock");
    assert!(matches!(bed.refused(), LogFault::LockBehind { locked: 1, known: 2, .. }));
}

#[test]
fn what_was_locked_and_not_shown_is_shown_at_the_next_start() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 700, 1);
    log.publish().unwrap();
    bed.keep("log/tiles", "tiles before");
    grow(&log, "plant7", 7, 1);
    log.publish().unwrap();
    let (head, shown) = (log.head("plant7"), bed.shown("plant7"));
    drop(log);
    // As a power cut leaves it behind step (d): whatever was not synchronised is gone or torn.
    bed.put_back("tiles before", "log/tiles");
    fs::write(bed.path("log/tiles/plant7/tile/0/002.p/188"), b"torn").unwrap();
    fs::remove_dir_all(bed.path("log/tiles/plant7/tile/entries/002.p")).unwrap();
    let log = bed.open();
    assert_eq!((log.head("plant7"), bed.shown("plant7")), (head, shown));
    assert_eq!(root(&log, "plant7", head.size), head.root);
    let partial = TileName { row: Row::Hashes(0), number: 2, width: 195 };
    assert_eq!(
        log.tile("plant7", &partial).unwrap().unwrap(),
        log.leaves("plant7", 512..707).unwrap().as_flattened()
    );
    assert_eq!(log.publish().unwrap(), Progress::default());
}

#[test]
fn tiles_that_are_gone_are_made_again_from_the_records() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 700, 1);
    log.publish().unwrap();
    drop(log);
    fs::remove_dir_all(bed.path("log/tiles")).unwrap();
    let log = bed.open();
    assert_eq!(root(&log, "plant7", 700), log.head("plant7").root);
    assert!(bed.shown("plant7").is_some());
}

#[test]
fn a_disk_that_refuses_a_tile_moves_no_head_and_stops_the_mint() {
    let bed = Bed::new();
    let log = bed.open();
    grow(&log, "plant7", 256, 1);
    fs::create_dir_all(bed.path("log")).unwrap();
    fs::write(bed.path("log/tiles"), b"in the way").unwrap();
    assert!(matches!(log.publish(), Err(LogFault::Disk(_))));
    assert!(matches!(log.reserve("plant7", NOW), Err(LogFault::Stopped { .. })));
    assert_eq!(log.head("plant7").size, 0);
    assert!(!bed.path("lock/heads.db").exists(), "nothing was locked");
    drop(log);
    fs::remove_file(bed.path("log/tiles")).unwrap();
    let log = bed.open();
    assert_eq!(log.publish().unwrap().leaves, 256);
}

#[test]
fn a_key_that_does_not_open_signs_nothing_and_stops_no_token() {
    let bed = Bed::new();
    let (folder, lock) = (&bed.path("log"), &bed.path("lock/heads.db"));
    let key = LogKeyFile::new(bed.path("no such file"), Arc::new(passphrase()));
    let opening = Opening { folder, lock, key, clock: ticking, carried: &[] };
    let (log, _) = IssuanceLog::open(opening, NOW, 0).unwrap();
    grow(&log, "plant7", 1, 1);
    assert!(matches!(log.publish(), Err(LogFault::Key(_))));
    grow(&log, "plant7", 1, 1);
    assert!(log.healthy().is_ok());
}

#[test]
fn of_many_shards_only_those_that_grew_are_touched() {
    use std::os::unix::fs::MetadataExt as _;
    let bed = Bed::new();
    let log = bed.open();
    let names: Vec<String> = (0..500).map(|n| format!("site-{n}")).collect();
    let commit = |name: &String| log.reserve(name, NOW).unwrap().commit(entry([1; 32])).unwrap();
    let waiting: Vec<_> = names.iter().map(commit).collect();
    for committed in waiting {
        let _durable = committed.wait().unwrap();
    }
    assert_eq!(log.publish().unwrap(), Progress { shards: 500, leaves: 500 });
    let inode =
        |name: &String| fs::metadata(bed.path("log/tiles").join(name).join("checkpoint")).unwrap().ino();
    let before: Vec<_> = names.iter().map(inode).collect();
    for name in ["site-7", "site-99", "site-410"] {
        grow(&log, name, 2, 1);
    }
    assert_eq!(log.publish().unwrap(), Progress { shards: 3, leaves: 6 });
    let changed = names.iter().map(inode).zip(&before).filter(|(now, before)| now != *before).count();
    assert_eq!(changed, 3);
}

/// The charter as it changes under a running log.
#[derive(Debug)]
struct Changing(std::sync::RwLock<(keys::LogKeysInForce, Arc<LogSigner>)>);

impl keys::LogKeys for Changing {
    fn signer(&self, _: &str) -> Result<Arc<LogSigner>, keys::KeyFault> {
        Ok(Arc::clone(&self.0.read().unwrap().1))
    }

    fn in_force(&self) -> Result<LogKeysInForce, keys::KeyFault> {
        Ok(self.0.read().unwrap().0.clone())
    }
}

#[test]
fn heads_of_a_key_that_the_charter_drops_are_signed_anew_and_the_log_goes_on() {
    let bed = Bed::new();
    let new = Arc::new(keys::ephemeral_log("acme-log").unwrap());
    let named = |version, keys: &[&LogKey]| keys::LogKeysInForce {
        version,
        keys: keys.iter().map(|key| (*key).clone()).collect(),
    };
    let both = named(1, &[&bed.key]);
    let charter = Arc::new(Changing(std::sync::RwLock::new((both, Arc::new(bed.signer())))));
    let (folder, lock) = (&bed.path("log"), &bed.path("lock/heads.db"));
    let key = LogKeyFile::of_charter(Arc::<Changing>::clone(&charter));
    let opening = Opening { folder, lock, key, clock: ticking, carried: &[] };
    let (log, _) = IssuanceLog::open(opening, NOW, 0).unwrap();
    grow(&log, "plant7", 3, 1);
    grow(&log, "plant8", 2, 1);
    log.publish().unwrap();
    let before = bed.believed(&bed.shown("plant7").unwrap(), "plant7");

    // Both are named: what the old one signed still counts, and nothing is signed for nothing.
    *charter.0.write().unwrap() = (named(2, &[new.public(), &bed.key]), Arc::clone(&new));
    assert_eq!(log.publish().unwrap(), Progress::default());
    grow(&log, "plant8", 1, 1);
    log.publish().unwrap();
    bed.believed(&bed.shown("plant7").unwrap(), "plant7");

    *charter.0.write().unwrap() = (named(3, &[new.public()]), Arc::clone(&new));
    assert_eq!(log.publish().unwrap(), Progress { shards: 1, leaves: 0 });
    let opened = |shard: &str| {
        let note = bed.shown(shard).unwrap();
        checkpoint::open(&note, std::slice::from_ref(new.public()), shard).unwrap().head()
    };
    assert_eq!(opened("plant7"), before, "the same head, under the new key");
    assert_eq!(opened("plant8").size, 3);
    assert_eq!(log.publish().unwrap(), Progress::default(), "once");
    grow(&log, "plant7", 1, 1);
    log.publish().unwrap();
    assert_eq!(opened("plant7").size, 4);
    let proof = log.consistency("plant7", 3, 4).unwrap();
    let (old, grown) = ((3, &before.root), opened("plant7"));
    assert!(is_consistent(old, (4, &grown.root), &proof), "the log goes on where it was");
}
