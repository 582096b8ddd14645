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
        verify(&path).unwrap_err().line().unwrap()
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

/// A journal of `lines` lines in files of a few lines each, every line a batch of its own.
fn rotated(dir: &Path, lines: u64) -> Stored {
    let (journal, _) = Journal::open_with(dir, "gate", 1_000).unwrap();
    for n in 1..=lines {
        journal.record("admitted", json!({"i": n, "pad": "x".repeat(60)})).unwrap().wait().unwrap();
    }
    drop(journal);
    Stored::at(dir).unwrap().remove(0)
}

#[test]
fn full_files_are_closed_and_the_chain_goes_on_over_them_and_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    rotated(dir.path(), 7);
    let stored = rotated(dir.path(), 6);
    let names: Vec<_> = stored.files().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names[..2], ["gate-000000000001.jsonl", "gate-000000000004.jsonl"]);
    assert_eq!(*names.last().unwrap(), "gate.jsonl");
    let summary = verify(&stored.path()).unwrap();
    assert_eq!((summary.lines, summary.begins, summary.files), (13, 1, names.len()));
    assert_eq!(heads(dir.path()).unwrap()[0].lines, 13);
}

#[test]
fn a_crash_between_closing_a_file_and_beginning_the_next_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lines = rotated(dir.path(), 3).verify(Beginning::Whole, &[]).unwrap().lines;
    fs::rename(dir.path().join("gate.jsonl"), dir.path().join("gate-000000000001.jsonl")).unwrap();
    assert_eq!(heads(dir.path()).unwrap()[0].lines, lines);
    let stored = rotated(dir.path(), 2);
    assert_eq!(stored.verify(Beginning::Whole, &[]).unwrap().lines, lines + 2);
}

#[test]
fn a_closed_file_that_is_missing_changed_or_archived_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let stored = rotated(dir.path(), 12);
    let files: Vec<_> = stored.files().map(Path::to_owned).collect();
    let second = fs::read(&files[1]).unwrap();
    fs::write(&files[1], [&second[..], b"{"].concat()).unwrap();
    let fault = stored.verify(Beginning::Whole, &[]).unwrap_err();
    assert!(fault.to_string().starts_with("line 7, in gate-000000000004.jsonl"), "{fault}");
    fs::remove_file(&files[1]).unwrap();
    let missing = Stored::at(dir.path()).unwrap().remove(0).verify(Beginning::Whole, &[]).unwrap_err();
    assert_eq!(missing.line(), Some(4), "{missing}");
    fs::remove_file(&files[0]).unwrap();
    let rest = Stored::at(dir.path()).unwrap().remove(0);
    assert!(matches!(rest.verify(Beginning::Whole, &[]), Err(JournalFault::Headless { line: 7 })));
    assert_eq!(rest.verify(Beginning::Archived, &[]).unwrap().begins, 7);
    let reopened = rotated(dir.path(), 1);
    assert_eq!(reopened.verify(Beginning::Archived, &[]).unwrap().lines, 13);
}

#[test]
fn a_tail_cut_off_and_a_chain_written_anew_show_against_a_head_noted_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), 3);
    let noted = |by: &str| Noted { head: heads(dir.path()).unwrap().remove(0), by: by.to_owned() };
    let early = noted("bundle 1");
    written(dir.path(), 3);
    let notes = [noted("bundle 2"), early];
    let against = |notes: &[Noted]| Stored::at(&path).unwrap().remove(0).verify(Beginning::Whole, notes);
    assert_eq!(against(&notes).unwrap().noted, 2);

    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    fs::write(&path, lines[..5].concat()).unwrap();
    verify(&path).unwrap();
    let fault = against(&notes).unwrap_err();
    assert!(matches!(&fault, JournalFault::Cut { lines: 5, noted: 6, by } if by == "bundle 2"), "{fault}");

    fs::write(&path, lines[..4].concat()).unwrap();
    written(dir.path(), 2);
    assert_eq!(verify(&path).unwrap().lines, 6);
    let fault = against(&notes).unwrap_err();
    assert!(matches!(fault, JournalFault::Rewritten { line: 6, agreed: 3, .. }), "{fault}");
}

#[test]
fn a_long_journal_is_read_in_pieces_and_its_faults_have_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (mut chain, mut bytes) = (Chain::behind(Mark::default()), Vec::new());
    let line = |n: usize| {
        let pad = "y".repeat(n % 97 * 9);
        format!("\"at\":\"2026-11-23T20:00:00Z\",\"event\":\"x\",\"pad\":\"{pad}\"").into_bytes()
    };
    (0..12_000).for_each(|n| chain.frame_all(&[line(n)], &mut bytes));
    let path = dir.path().join("gate.jsonl");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(verify(&path).unwrap().head, crate::digest::hex(&chain.end.head));
    let starts: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    for wrong in [2_000, 7_000, 11_999] {
        let mut changed = bytes.clone();
        changed[starts[wrong - 2] + 60] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(verify(&path).unwrap_err().line(), Some(wrong as u64));
        let cut = [&bytes[..starts[wrong - 2]], &bytes[starts[wrong - 1]..]].concat();
        fs::write(&path, &cut).unwrap();
        assert_eq!(verify(&path).unwrap_err().line(), Some(wrong as u64));
    }
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
        let mut chain = Chain::behind(Mark::default());
        let (mut image, mut last) = (Vec::new(), Vec::new());
        let members = r#""at":"2026-11-23T20:00:00Z","event":"x","pad":"PAD""#;
        let line = || members.replace("PAD", &"y".repeat(90)).into_bytes();
        (0..promised).for_each(|_| chain.frame_all(&[line()], &mut image));
        chain.frame_all(&vec![line(); unfinished], &mut last);
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
