//! Files that follow each other: what is read, what is refused, and what rewriting leaves.

use super::*;

/// One record a frame, two frames a file.
fn log_of(folder: &Path, records: u64) -> Segments {
    let log = Segments::new(folder, "issued").closed_after(2 * (28 + 4 + 8));
    let (group, _) = log.open(0, |_| {}).unwrap();
    for number in 0..records {
        group.append(record(number)).unwrap().wait().unwrap();
    }
    log
}

fn record(number: u64) -> Vec<u8> {
    format!("rec{number:05}").into_bytes()
}

fn read(log: &Segments, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    log.read(from, |record| found.push((record.number, record.bytes.to_vec()))).unwrap();
    found
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    numbers.map(|number| (number, record(number))).collect()
}

#[test]
fn a_log_goes_on_in_the_next_file_and_reads_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 5);
    assert_eq!(log.firsts().unwrap(), [0, 2, 4]);
    assert_eq!(read(&log, 0), expected(0..5));
    let mut found = Vec::new();
    let (group, recovery) = log.open(3, |record| found.push(record.number)).unwrap();
    assert_eq!((recovery.records, found), (5, vec![3, 4]));
    assert_eq!(group.append(record(5)).unwrap().number(), 5);
    drop(group);
    assert_eq!(read(&log, 0), expected(0..6));
}

#[test]
fn starting_late_reads_no_file_that_holds_only_earlier_records() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 5);
    fs::write(log.path(0), b"not read").unwrap();
    assert_eq!(log.open(2, |_| {}).unwrap().1.records, 5);
    assert!(matches!(log.open(1, |_| {}), Err(LogFault::Damaged { .. })));
}

#[test]
fn a_missing_or_cut_file_is_refused_and_a_torn_newest_one_mended() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 5);
    let newest = fs::read(log.path(4)).unwrap();
    fs::write(log.path(4), &newest[..newest.len() - 1]).unwrap();
    let (_, recovery) = log.open(0, |_| {}).unwrap();
    assert_eq!((recovery.records, recovery.torn.unwrap().offset), (4, 0));
    let middle = fs::read(log.path(2)).unwrap();
    fs::write(log.path(2), &middle[..middle.len() - 1]).unwrap();
    assert!(matches!(log.open(0, |_| {}), Err(LogFault::Damaged { .. })), "torn where nothing can be torn");
    fs::write(log.path(2), &middle[..middle.len() / 2]).unwrap();
    assert!(matches!(log.open(0, |_| {}), Err(LogFault::Missing { .. })), "a frame too few");
    fs::remove_file(log.path(2)).unwrap();
    assert!(matches!(log.open(0, |_| {}), Err(LogFault::Missing { path }) if path == log.path(2)));
    fs::remove_file(log.path(0)).unwrap();
    assert!(matches!(log.open(0, |_| {}), Err(LogFault::Missing { path }) if path == log.path(0)));
}

#[test]
fn two_processes_cannot_write_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 3);
    let (_group, _) = log.open(0, |_| {}).unwrap();
    assert!(Exclusive::take(&dir.path().join("issued.lock")).is_err());
}

#[test]
fn a_follower_sees_each_record_once_across_files_and_notices_a_log_that_changed_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 3);
    let follow = |cursor: Cursor, seen: &mut Vec<u64>| {
        let next = log.follow(cursor, |place, record| {
            assert_eq!(log.read_at(place).unwrap().as_deref(), Some(record.bytes));
            seen.push(record.number);
        });
        next.unwrap()
    };
    let mut seen = Vec::new();
    let cursor = follow(Cursor::default(), &mut seen).unwrap();
    assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), Some(cursor));
    let (group, _) = log.open(0, |_| {}).unwrap();
    (3..7).for_each(|number| group.append(record(number)).unwrap().wait().unwrap());
    drop(group);
    let cursor = follow(cursor, &mut seen).unwrap();
    assert_eq!((seen, cursor.number()), ((0..7).collect(), 7));
    // What stood unsynced at the end is gone after a power cut, and another record took its number.
    fs::remove_file(log.path(6)).unwrap();
    let (group, _) = log.open(0, |_| {}).unwrap();
    group.turn().unwrap();
    group.append(b"another".to_vec()).unwrap().wait().unwrap();
    assert_eq!(follow(cursor, &mut Vec::new()), None);
}

#[test]
fn a_record_is_replaced_in_closed_files_and_in_the_newest_while_the_log_grows() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 5);
    let (group, _) = log.open(0, |_| {}).unwrap();
    let mut places = Vec::new();
    let replace = |record: Record<'_>| format!("gone {}", record.number).into_bytes();
    let placed = |place: Place, first: u64| places.push((place, first));
    log.rewrite(&group, &BTreeSet::from([1, 4]), replace, placed).unwrap();
    group.append(record(5)).unwrap().wait().unwrap();
    drop(group);
    let mut wanted = expected(0..6);
    (wanted[1].1, wanted[4].1) = (b"gone 1".to_vec(), b"gone 4".to_vec());
    assert_eq!(read(&log, 0), wanted);
    assert_eq!(log.firsts().unwrap(), [0, 2, 4, 5]);
    assert_eq!(places.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [0, 1, 4]);
    for (place, number) in places {
        let expected = &wanted[number as usize].1;
        assert_eq!(log.read_at(place).unwrap().as_ref(), Some(expected));
    }
    let files = log.names().unwrap();
    for name in &files {
        let bytes = fs::read(dir.path().join(name)).unwrap();
        assert!(!bytes.windows(8).any(|bytes| bytes == record(1) || bytes == record(4)), "{name}");
    }
}

#[test]
fn what_an_interrupted_rewriting_or_a_torn_write_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 1);
    fs::write(dir.path().join(format!(".issued.log.ab{TEMPORARY_SUFFIX}")), b"half").unwrap();
    let torn = [fs::read(log.path(0)).unwrap(), b"half a frame".to_vec()].concat();
    fs::write(log.path(0), torn).unwrap();
    drop(log.open(0, |_| {}).unwrap());
    let mut names = log.names().unwrap();
    names.sort();
    assert_eq!(names, ["issued.lock", "issued.log", "issued.log.torn-40"]);
    log.remove_torn().unwrap();
    assert_eq!(log.names().unwrap().len(), 2);
}

#[test]
fn a_log_that_forgets_lets_whole_files_go_from_the_front_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let kept = log_of(dir.path(), 7);
    kept.let_go(6).unwrap();
    assert_eq!(kept.firsts().unwrap(), [0, 2, 4, 6], "another log forgets nothing");
    let log = kept.clone().that_forgets();
    log.let_go(5).unwrap();
    assert_eq!(log.firsts().unwrap(), [4, 6], "records 4 and 5 lie in one file");
    let mut found = Vec::new();
    let (group, recovery) = log.open(0, |record| found.push(record.number)).unwrap();
    assert_eq!((recovery.records, found), (7, vec![4, 5, 6]));
    assert_eq!(group.append(record(7)).unwrap().number(), 7);
    drop(group);
    log.let_go(u64::MAX).unwrap();
    assert_eq!(log.firsts().unwrap(), [6], "the newest file is written to");
    assert_eq!(read(&log, 0), expected(6..8));
    assert!(matches!(kept.read(0, |_| {}), Err(LogFault::Missing { .. })));
}
