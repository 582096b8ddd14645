//! The chain names what was changed, and a crash costs nothing that was promised.

use std::fs;

use serde_json::json;

use super::*;

fn written(dir: &Path, lines: u64) -> PathBuf {
    let (journal, _) = Journal::open(dir, "gate").unwrap();
    for n in 1..=lines {
        let ticket =
            journal.record_at(1_795_464_000 + n, "admitted", json!({"subject": "ana", "hash_of": n}));
        ticket.unwrap().wait().unwrap();
    }
    journal.path().to_owned()
}

#[test]
fn a_journal_goes_on_over_restarts_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 3);
    let path = written(dir.path(), 2);
    let summary = verify(&path).unwrap();
    assert_eq!((summary.lines, summary.unfinished_bytes), (5, 0));
    assert_eq!(summary.last_at.as_deref(), Some("2026-11-23T20:00:02Z"));
    let first = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
    assert!(
        first.starts_with(r#"{"n":1,"batch":1,"at":"2026-11-23T20:00:01Z","event":"admitted","#),
        "{first}"
    );
    let parsed: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(parsed["subject"], "ana");
}

#[test]
fn a_changed_removed_swapped_or_added_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), 4);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let wrong_line = |lines: &[&str]| {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        match verify(&path).unwrap_err() {
            JournalFault::Wrong { line, .. } => line,
            JournalFault::Failed(fault) => panic!("{fault}"),
        }
    };
    let changed = lines[1].replace("ana", "eve");
    assert_eq!(wrong_line(&[lines[0], &changed, lines[2], lines[3]]), 2);
    assert_eq!(wrong_line(&[lines[0], lines[2], lines[3]]), 2);
    assert_eq!(wrong_line(&[lines[0], lines[1], lines[3], lines[2]]), 3);
    assert_eq!(wrong_line(&[lines[0], lines[0], lines[1]]), 2);
    assert_eq!(wrong_line(&[lines[1], lines[2]]), 1);
    assert_eq!(wrong_line(&[lines[0], "", lines[1]]), 2);
}

#[test]
fn a_line_torn_anywhere_is_set_aside_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), 2);
    let whole = fs::read(&path).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in (first + 1..whole.len()).step_by(7).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..cut]).unwrap();
        let (journal, recovery) = Journal::open(dir.path(), "gate").unwrap();
        assert_eq!(recovery.torn.map(|torn| torn.bytes), Some((cut - first) as u64));
        journal.record("restarted", json!({})).unwrap().wait().unwrap();
        drop(journal);
        assert_eq!(verify(&path).unwrap().lines, 2);
    }
}

#[test]
fn damage_before_a_later_batch_is_refused_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), 3);
    let damaged = fs::read_to_string(&path).unwrap().replacen("ana", "eva", 2);
    let damaged = damaged.replacen("eva", "ana", 1);
    fs::write(&path, &damaged).unwrap();
    let refused = Journal::open(dir.path(), "gate").unwrap_err();
    assert!(matches!(refused, OpenFault::Damaged { line: 1, reason: LineFault::Hash, .. }), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn a_long_journal_is_opened_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), "mint").unwrap();
    let tickets: Vec<_> = (0..2000)
        .map(|n| journal.record("issued", json!({"pad": "x".repeat(300), "i": n})).unwrap())
        .collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    drop(journal);
    let (journal, recovery) = Journal::open(dir.path(), "mint").unwrap();
    assert_eq!((recovery.records, recovery.torn), (2000, None));
    journal.record("issued", json!({})).unwrap().wait().unwrap();
    assert_eq!(verify(journal.path()).unwrap().lines, 2001);
}

#[test]
fn members_cannot_forge_what_the_journal_writes_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), "gate").unwrap();
    assert!(matches!(journal.record("x", json!({"hash": "0"})), Err(RecordFault::Reserved(_))));
    assert!(matches!(journal.record("x", json!("text")), Err(RecordFault::NotAnObject)));
    assert!(matches!(journal.record("x", json!({"a": "x".repeat(70_000)})), Err(RecordFault::TooLong)));
    journal.record("line\nend\",\"hash\":\"", json!({"a": "\n\",\"hash\":\""})).unwrap().wait().unwrap();
    assert_eq!(verify(journal.path()).unwrap().lines, 1);
}

proptest::proptest! {
    #[test]
    fn whatever_a_crash_leaves_of_the_last_batch_the_chain_goes_on_behind_what_was_promised(
        promised in 0u64..5,
        unfinished in 1usize..9,
        length in 0usize..4_000,
        lost_sectors: u8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Chain { last: 0, head: [0; SHA256_BYTES] };
        let (mut image, mut last) = (Vec::new(), Vec::new());
        let members = r#""at":"2026-11-23T20:00:00Z","event":"x","pad":"PAD""#;
        let line = || members.replace("PAD", &"y".repeat(90)).into_bytes();
        (0..promised).for_each(|_| chain.frame(&[line()], &mut image));
        chain.frame(&vec![line(); unfinished], &mut last);
        last.truncate(length);
        for (at, byte) in last.iter_mut().enumerate() {
            if lost_sectors >> (at / 512 % 8) & 1 == 1 {
                *byte = 0;
            }
        }
        image.extend_from_slice(&last);
        fs::write(dir.path().join("gate.jsonl"), &image).unwrap();

        let (journal, recovery) = Journal::open(dir.path(), "gate").unwrap();
        proptest::prop_assert!(recovery.records >= promised);
        journal.record("restarted", json!({})).unwrap().wait().unwrap();
        proptest::prop_assert_eq!(verify(journal.path()).unwrap().lines, recovery.records + 1);
    }
}
