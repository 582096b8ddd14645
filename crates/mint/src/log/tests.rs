//! Power cuts after every write and every sync, disks that fail: no position is ever proven durable that a
//! restart cannot find.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use farside_service::append::{Framing, Tape};

use super::*;

const NOW: u64 = 1_764_000_000;

/// What reached the disk, in order.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Vec<Step>>>);

#[derive(Clone)]
enum Step {
    Written(Vec<u8>),
    Synced,
}

impl Disk {
    fn steps(&self) -> MutexGuard<'_, Vec<Step>> {
        self.0.lock().unwrap()
    }
}

/// A tape on that disk; from step `fails_at` on, every operation fails.
struct TestTape {
    disk: Disk,
    fails_at: usize,
}

impl TestTape {
    fn step(&mut self, step: Step) -> io::Result<()> {
        let mut steps = self.disk.steps();
        if steps.len() >= self.fails_at {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        steps.push(step);
        Ok(())
    }
}

impl Tape for TestTape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.step(Step::Written(bytes.to_vec()))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step(Step::Synced)
    }
}

/// One line for each record: what a cut line held was never whole.
struct Lines;

impl Framing for Lines {
    fn frame(&mut self, batch: &[Vec<u8>], out: &mut Vec<u8>) {
        for record in batch {
            out.extend_from_slice(record);
            out.push(b'\n');
        }
    }
}

fn log_on(disk: &Disk, fails_at: usize) -> Arc<IssuanceLog> {
    let tape = TestTape { disk: disk.clone(), fails_at };
    let group = Group::over(tape, Lines, 0).unwrap();
    // Nothing is published here.
    let folder = tempfile::tempdir().unwrap();
    let lock = Lock::take(&folder.path().join("heads.db")).unwrap();
    let heads = Heads::new(folder.path(), lock, log_key(), || 0);
    Arc::new(IssuanceLog { group, shards: Mutex::default(), heads })
}

fn log_key() -> LogKeyFile {
    LogKeyFile::opened(crate::keys::ephemeral_log("acme-log").unwrap())
}

pub(super) fn open(folder: &Path, now: u64) -> (Arc<IssuanceLog>, Recovered) {
    let (lock, key) = (&folder.join("heads.db"), log_key());
    let opening = Opening { folder, lock, key, clock: || 0, carried: &[] };
    IssuanceLog::open(opening, now, 0).unwrap()
}

fn entry(name: &str) -> TokenEntry {
    TokenEntry {
        requester: "operator:test".to_owned(),
        subject: name.to_owned(),
        audience: "historian".to_owned(),
        expires_at: NOW + 900,
        kid: "x7Qd1234".to_owned(),
        profile: "access".to_owned(),
        signing_input_sha256: farside_verify::encode::base64url([7; 32]),
        assertion: None,
    }
}

fn issue(log: &Arc<IssuanceLog>, shard: &str) -> Result<TokenPosition, LogFault> {
    let reservation = log.reserve(shard, NOW)?;
    let position = reservation.position().clone();
    let _durable: Durable = reservation.commit(entry("ada"))?.wait()?;
    Ok(position)
}

/// What a restart makes of a disk that lost everything past `kept` bytes of what was written and not synced.
fn restart(steps: &[Step], kept: usize) -> Shards {
    let mut durable = Vec::new();
    let mut unsynced = Vec::new();
    for step in steps {
        match step {
            Step::Written(bytes) => unsynced.extend_from_slice(bytes),
            Step::Synced => durable.append(&mut unsynced),
        }
    }
    durable.extend_from_slice(&unsynced[..kept.min(unsynced.len())]);
    let whole = durable.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut replay = Replay::new(0);
    for (number, bytes) in (0..).zip(durable[..whole].split_inclusive(|byte| *byte == b'\n')) {
        replay.add(append::Record { number, bytes: &bytes[..bytes.len() - 1] });
    }
    replay.finish(&append::Recovery::default()).unwrap().shards
}

fn holds(shards: &mut Shards, position: &TokenPosition) -> bool {
    // A position that a restart knows is never given out again.
    shards.add(position.shard(), position.index(), tree::Leaf(None)) == Err(Fork)
}

#[test]
fn a_power_cut_at_any_step_loses_no_token_that_was_released() {
    let disk = Disk::default();
    let log = log_on(&disk, usize::MAX);
    let released: Mutex<Vec<(TokenPosition, usize)>> = Mutex::default();
    std::thread::scope(|scope| {
        for shard in ["plant7", "plant7", "mine2", "mine2", "plant7", "mine2"] {
            let (log, disk, released) = (&log, &disk, &released);
            scope.spawn(move || {
                for _ in 0..20 {
                    let position = issue(log, shard).unwrap();
                    let steps = disk.steps().len();
                    released.lock().unwrap().push((position, steps));
                }
            });
        }
    });
    let (steps, released) = (disk.steps().clone(), released.into_inner().unwrap());
    assert_eq!(released.len(), 120);
    for cut in 0..=steps.len() {
        for kept in [0, 1, 100, 333, 1_000, usize::MAX] {
            let mut shards = restart(&steps[..cut], kept);
            for (position, known_at) in released.iter().filter(|(_, known_at)| *known_at <= cut) {
                assert!(
                    holds(&mut shards, position),
                    "{position} lost: cut at {cut}, kept {kept}, {known_at}"
                );
            }
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_step_releases_nothing_that_is_not_on_it() {
    for fails_at in 0..24 {
        let disk = Disk::default();
        let log = log_on(&disk, fails_at);
        let outcomes: Vec<_> = (0..12).map(|_| issue(&log, "plant7")).collect();
        let mut shards = restart(&disk.steps(), 0);
        for position in outcomes.iter().flatten() {
            assert!(holds(&mut shards, position), "{position}, failing at {fails_at}");
        }
        let first_failure = outcomes.iter().position(Result::is_err).unwrap_or(outcomes.len());
        assert!(outcomes[first_failure..].iter().all(Result::is_err), "a failed log stays failed");
        assert_eq!(first_failure, fails_at / 2, "each token here takes one write and one sync");
        assert_eq!(log.healthy().is_ok(), first_failure == outcomes.len());
    }
}

#[test]
fn a_position_without_a_token_becomes_void_and_leaves_no_hole() {
    let disk = Disk::default();
    let log = log_on(&disk, usize::MAX);
    drop(log.reserve("plant7", NOW).unwrap());
    let position = issue(&log, "plant7").unwrap();
    assert_eq!(position.index(), 1);
    assert_eq!(log.len("plant7"), 2);
    let void = TokenPosition::new("plant7", 0).unwrap();
    assert_eq!(log.leaves("plant7", 0..1).unwrap()[0], farside_verify::leaf::void_hash(&void));
}

#[test]
fn a_restart_voids_the_positions_that_were_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(folder.path(), NOW);
    let lost = log.reserve("plant7", NOW).unwrap();
    issue(&log, "plant7").unwrap();
    assert_eq!(log.len("plant7"), 0, "nothing past the gap is shown");
    // As a crash would: neither committed nor dropped.
    std::mem::forget(lost);
    drop(log);
    let (log, recovered) = open(folder.path(), NOW);
    assert_eq!((recovered.records, recovered.voided, log.len("plant7")), (1, 1, 2));
    assert_eq!(issue(&log, "plant7").unwrap().index(), 2);
    drop(log);
    assert_eq!(check(folder.path()).unwrap().shards, [ShardLength { shard: "plant7".into(), leaves: 3 }]);
}

#[test]
fn callers_that_go_away_do_not_hold_up_the_bundler() {
    let disk = Disk::default();
    let log = log_on(&disk, usize::MAX);
    let _forgotten = log.reserve("plant7", NOW).unwrap().commit(entry("ada")).unwrap();
    issue(&log, "plant7").unwrap();
    assert_eq!(log.len("plant7"), 2);
}

#[test]
fn a_foreign_record_and_a_repeated_position_are_named() {
    let spelled = |index| {
        let entry = Entry::Void { reason: VoidReason::Lost };
        Record { shard: "plant7".into(), index, at: NOW, entry }.to_bytes().unwrap()
    };
    let outcome = |records: &[&[u8]]| {
        let mut replay = Replay::new(0);
        for (number, bytes) in (0..).zip(records) {
            replay.add(append::Record { number, bytes });
        }
        replay.finish(&append::Recovery::default())
    };
    assert!(matches!(outcome(&[b"{}"]), Err(LogFault::Record { number: 0, .. })));
    assert!(matches!(outcome(&[&spelled(0), &spelled(0)]), Err(LogFault::Forked { number: 1 })));
    assert!(matches!(
        outcome(&[b"{\"shard\":\"A B\",\"index\":0,\"at\":1,\"entry\":{\"void\":{\"reason\":\"lost\"}}}"]),
        Err(LogFault::Record { .. })
    ));
}

#[test]
fn positions_are_taken_once_by_however_many_at_a_time() {
    let disk = Disk::default();
    let log = log_on(&disk, usize::MAX);
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    issue(&log, "plant7").unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(log.len("plant7"), count.into_inner() as u64);
}
