//! Order, durability, poison, and every way a crash can leave the file.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::lock;

fn records(path: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    read(path, |record| found.push(record.bytes.to_vec())).unwrap();
    found
}

fn log_of(path: &Path, batches: &[&[u8]]) {
    let (group, _) = Log::open(path, |_| {}).unwrap();
    for record in batches {
        group.append(record.to_vec()).unwrap().wait().unwrap();
    }
}

#[test]
fn many_threads_append_and_all_is_there_in_order_of_position() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (group, recovery) = Log::open(&path, |_| {}).unwrap();
    assert_eq!(recovery, Recovery::default());
    let position = Mutex::new(0u64);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let mut position = position.lock().unwrap();
                    let ticket = group.append(position.to_le_bytes().to_vec()).unwrap();
                    assert_eq!(ticket.number(), *position);
                    *position += 1;
                    drop(position);
                    ticket.wait().unwrap();
                }
            });
        }
    });
    assert_eq!(group.durable(), 400);
    let expected: Vec<_> = (0..400u64).map(|n| n.to_le_bytes().to_vec()).collect();
    assert_eq!(records(&path), expected);
}

/// Holds each sync until it is let through, and tells of each.
struct Gated {
    told: mpsc::Sender<usize>,
    through: mpsc::Receiver<()>,
}

impl Tape for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let _ = self.told.send(bytes.len());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.through.recv().map_err(io::Error::other)
    }
}

struct AsTheyAre;

impl Framing for AsTheyAre {
    fn frame(&mut self, batch: &[Vec<u8>], out: &mut Vec<u8>) {
        batch.iter().for_each(|record| out.extend_from_slice(record));
    }
}

#[test]
fn what_nobody_waits_for_is_written_with_others_and_without_being_asked() {
    let ((told, batches), (let_through, through)) = (mpsc::channel(), mpsc::channel());
    let group = Group::over(Gated { told, through }, AsTheyAre, 0).unwrap();
    // The first keeps the writer busy while the others gather.
    let first = group.append(b"a".to_vec()).unwrap();
    assert_eq!(batches.recv().unwrap(), 1);
    let soon = |text: &[u8]| match group.try_append(text.to_vec(), Haste::Soon).unwrap() {
        Tried::Taken(ticket) => ticket,
        Tried::Full(_) => panic!("there is room"),
    };
    for _ in 0..10 {
        let _nobody_waits = soon(b"b");
    }
    let last = group.append(b"c".to_vec()).unwrap();
    let_through.send(()).unwrap();
    first.wait().unwrap();
    assert_eq!(batches.recv().unwrap(), 11, "one write for all");
    let_through.send(()).unwrap();
    last.wait().unwrap();
    // Nothing urgent follows, and it is written all the same.
    let alone = soon(b"dd");
    assert_eq!(batches.recv().unwrap(), 2);
    let_through.send(()).unwrap();
    alone.wait().unwrap();
    // Nor does the end lose any.
    let _nobody_waits = soon(b"eee");
    let_through.send(()).unwrap();
    drop(group);
    assert_eq!(batches.recv().unwrap(), 3);
}

#[test]
fn a_batch_framed_in_parts_is_one_batch() {
    let ((told, batches), (let_through, through)) = (mpsc::channel(), mpsc::channel());
    let group = Group::over(Gated { told, through }, AsTheyAre, 0).unwrap();
    let first = group.append(b"a".to_vec()).unwrap();
    assert_eq!(batches.recv().unwrap(), 1);
    let soon = || match group.try_append(b"b".to_vec(), Haste::Soon).unwrap() {
        Tried::Taken(ticket) => ticket,
        Tried::Full(_) => panic!("there is room"),
    };
    let tickets: Vec<Ticket> = (0..5 * PART_RECORDS + 7).map(|_| soon()).collect();
    let_through.send(()).unwrap();
    first.wait().unwrap();
    assert_eq!(batches.recv().unwrap(), tickets.len(), "one write for all");
    assert_eq!(group.durable(), 1, "framed is not durable");
    let_through.send(()).unwrap();
    tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());

    let records: Vec<Vec<u8>> = (0..9).map(|n| vec![n; usize::from(n)]).collect();
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    let (mut one, mut other) = (frame::Frames::behind(7), frame::Frames::behind(7));
    one.frame_all(&records, &mut whole);
    records.chunks(4).for_each(|part| other.frame(part, &mut parts));
    other.close(&mut parts);
    assert_eq!(whole, parts);
}

#[test]
fn who_may_not_wait_gets_the_record_back_from_a_full_queue() {
    let ((told, batches), (let_through, through)) = (mpsc::channel(), mpsc::channel());
    let group = Group::over(Gated { told, through }, AsTheyAre, 0).unwrap();
    let first = group.append(vec![0; 8]).unwrap();
    batches.recv().unwrap();
    let large = || vec![1; RECORD_BYTES_MAX];
    let mut taken = 0;
    while let Tried::Taken(_) = group.try_append(large(), Haste::Soon).unwrap() {
        taken += 1;
    }
    assert_eq!(taken, QUEUE_BYTES_MAX / RECORD_BYTES_MAX);
    assert!(
        matches!(group.try_append(large(), Haste::Now).unwrap(), Tried::Full(record) if record == large())
    );
    let_through.send(()).unwrap();
    first.wait().unwrap();
    batches.recv().unwrap();
    assert!(matches!(group.try_append(large(), Haste::Now).unwrap(), Tried::Taken(_)));
    drop(let_through);
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    log_of(&path, &[b"one", b""]);
    let (group, recovery) = Log::open(&path, |_| {}).unwrap();
    assert_eq!((recovery.records, recovery.torn), (2, None));
    let ticket = group.append(b"three".to_vec()).unwrap();
    assert_eq!(ticket.number(), 2);
    ticket.wait().unwrap();
    drop(group);
    assert_eq!(records(&path), [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
}

#[test]
fn two_processes_cannot_write_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (_group, _) = Log::open(&path, |_| {}).unwrap();
    let second = fs::File::open(&path).unwrap();
    assert!(lock::hold(&second, &path, std::time::Duration::ZERO).is_err());
}

#[test]
fn a_tail_cut_anywhere_is_set_aside_and_the_rest_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    log_of(&path, &[b"first", b"second"]);
    let whole = fs::read(&path).unwrap();
    let boundary = whole.len() / 2;
    let first = 28 + 4 + 5;
    assert!(first >= boundary - 1, "two frames of nearly equal length");
    for cut in first + 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (group, recovery) = Log::open(&path, |_| {}).unwrap();
        let torn = recovery.torn.unwrap();
        assert_eq!((recovery.records, torn.offset, torn.bytes), (1, first as u64, (cut - first) as u64));
        assert_eq!(fs::read(torn.kept.unwrap()).unwrap(), &whole[first..cut]);
        group.append(b"again".to_vec()).unwrap().wait().unwrap();
        drop(group);
        assert_eq!(records(&path), [b"first".to_vec(), b"again".to_vec()]);
    }
}

#[test]
fn a_tail_of_zeros_or_of_noise_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    log_of(&path, &[b"first"]);
    let whole = fs::read(&path).unwrap();
    for tail in
        [vec![0; 5000], vec![0xa5; 29], b"FSB1FSB1FSB1FSB1FSB1FSB1FSB1FSB1FSB1".to_vec(), whole.clone()]
    {
        fs::write(&path, [&whole[..], &tail[..]].concat()).unwrap();
        let (_, recovery) = Log::open(&path, |_| {}).unwrap();
        assert_eq!(recovery.torn.map(|torn| torn.bytes), Some(tail.len() as u64));
    }
}

#[test]
fn damage_in_the_middle_is_refused_and_nothing_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    log_of(&path, &[b"first", b"second", b"third"]);
    let whole = fs::read(&path).unwrap();
    let second = 28 + 4 + 5;
    let third = second + 28 + 4 + 6;
    for offset in (second..third).step_by(3) {
        let mut damaged = whole.clone();
        damaged[offset] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let refused = Log::open(&path, |_| {}).unwrap_err();
        assert!(matches!(refused, LogFault::Damaged { offset, .. } if offset == second as u64), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "left as it was found");
    }
}

/// A tape that fails at a chosen call and says what was asked of it.
struct Failing {
    calls_left: usize,
    seen: mpsc::Sender<&'static str>,
}

impl Failing {
    fn call(&mut self, name: &'static str) -> io::Result<()> {
        let _ = self.seen.send(name);
        match self.calls_left.checked_sub(1) {
            Some(left) => self.calls_left = left,
            None => return Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
        Ok(())
    }
}

impl Tape for Failing {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<()> {
        self.call("write")
    }
    fn sync(&mut self) -> io::Result<()> {
        self.call("sync")
    }
}

#[test]
fn a_failed_write_or_fsync_breaks_the_log_for_good_and_is_never_retried() {
    for good_calls in 0..4 {
        let (seen, calls) = mpsc::channel();
        let group =
            Group::over(Failing { calls_left: good_calls, seen }, frame::Frames::behind(0), 0).unwrap();
        let outcomes: Vec<bool> = (0..3)
            .map(|_| group.append(b"record".to_vec()).is_ok_and(|ticket| ticket.wait().is_ok()))
            .collect();
        assert_eq!(outcomes.iter().filter(|durable| **durable).count(), good_calls / 2);
        assert!(group.healthy().unwrap_err().to_string().contains("nothing more"));
        drop(group);
        assert_eq!(calls.iter().count(), good_calls + 1, "nothing was asked after the failure");
    }
}

#[test]
fn a_ticket_can_be_awaited() {
    let dir = tempfile::tempdir().unwrap();
    let (group, _) = Log::open(&dir.path().join("log"), |_| {}).unwrap();
    let mut ticket = std::pin::pin!(group.append(b"record".to_vec()).unwrap());
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    while ticket.as_mut().poll(&mut context).is_pending() {
        thread::park();
    }
    assert_eq!(group.durable(), 1);
}

#[test]
fn a_record_over_the_limit_is_refused_and_the_log_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let (group, _) = Log::open(&dir.path().join("log"), |_| {}).unwrap();
    assert!(matches!(group.append(vec![0; RECORD_BYTES_MAX + 1]), Err(Refused::TooLong { .. })));
    let tickets: Vec<_> = (0..6).map(|_| group.append(vec![0; RECORD_BYTES_MAX]).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
}

/// What a crash leaves of an unfinished batch: cut short, and any sectors of it never written.
fn crashed(durable: &[u8], unfinished: &[u8], length: usize, lost_sectors: u32) -> Vec<u8> {
    const SECTOR_BYTES: usize = 512;
    let mut image = [durable, unfinished].concat();
    image.truncate(durable.len() + length.min(unfinished.len()));
    for (at, byte) in image.iter_mut().enumerate().skip(durable.len()) {
        if lost_sectors >> (at / SECTOR_BYTES % 32) & 1 == 1 {
            *byte = 0;
        }
    }
    image
}

proptest::proptest! {
    #[test]
    fn whatever_a_crash_leaves_of_the_last_batch_every_acknowledged_record_is_there(
        acknowledged in proptest::collection::vec(0usize..900, 0..6),
        unfinished in proptest::collection::vec(0usize..900, 1..12),
        length in 0usize..12_000,
        lost_sectors: u32,
    ) {
        let record = |(n, bytes): (usize, &usize)| vec![n as u8 ^ 0x5a; *bytes];
        let mut frames = frame::Frames::behind(0);
        let (mut durable, mut last) = (Vec::new(), Vec::new());
        let told: Vec<Vec<u8>> = acknowledged.iter().enumerate().map(record).collect();
        told.iter().for_each(|told| frames.frame_all(std::slice::from_ref(told), &mut durable));
        let batch: Vec<Vec<u8>> = unfinished.iter().enumerate().map(record).collect();
        frames.frame_all(&batch, &mut last);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let image = crashed(&durable, &last, length, lost_sectors);
        fs::write(&path, &image).unwrap();
        let mut found = Vec::new();
        let (group, _) = Log::open(&path, |record| found.push(record.bytes.to_vec())).unwrap();
        drop(group);
        let whole = image == [&durable[..], &last[..]].concat();
        let expected = if whole { [told, batch].concat() } else { told };
        proptest::prop_assert_eq!(&found, &expected);
        proptest::prop_assert_eq!(records(&path), expected, "and again when opened once more");
    }
}
