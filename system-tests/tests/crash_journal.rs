//! A gate whose power is cut while it decides: every answer that a door gave stands in its journal, whatever
//! the disk kept, and what was once written there cannot change unseen.

use std::collections::BTreeMap;
use std::path::Path;

use farside_service::journal::{self, Journal};
use farside_system_tests::crash::{Image, Recording};
use farside_system_tests::disk::Change;
use farside_system_tests::faults::{Rig, never_synced_again, struck_at};
use farside_system_tests::programs::scratch;
use farside_system_tests::recorder::Fault;
use farside_system_tests::sides::{ARCHIVE, CONTROL, Sides};
use farside_system_tests::{told, torture};
use serde_json::Value;

/// People at the door at the same time, so that several decisions share one fsync.
const CLIENTS: usize = 6;
/// States that are taken of one recording, at the most.
const STATES_A_RECORDING: usize = 1_000;
/// States that one answer brings, at the least.
const STATES_AN_ANSWER: usize = 4;
/// The serving gate's journal.
const FILE: &str = "journal/gate.jsonl";
/// How the answers that refuse begin.
const REFUSED: &[u8] = b"HTTP/1.1 401";

/// How often each verdict was given: `admit <token id>`, or `refuse`.
type Verdicts = BTreeMap<String, usize>;

/// A gate that holds a bundle, and two people's tokens.
fn about_to_serve() -> (Sides, Rig, [String; 2]) {
    let sides = Sides::founded();
    let tokens = ["ada", "grace"].map(|name| sides.token(name, CONTROL));
    sides.bundle("full");
    sides.cross();
    sides.serve_gate().stop();
    let rig = Rig::of(&sides.path("far"), &[]);
    (sides, rig, tokens)
}

/// A gate that answers at its door, recorded from its start to its end.
fn serving(sides: &Sides, rig: &Rig, tokens: &[String], asks_each: usize) -> Recording {
    rig.gate_answering(sides, CLIENTS, |client| {
        for ask in 0..asks_each {
            // Every third comes to a door that is not theirs.
            let (audience, status) = if ask % 3 == 2 { (ARCHIVE, 401) } else { (CONTROL, 200) };
            let answer = sides.knock(&tokens[(client + ask) % tokens.len()], audience);
            assert_eq!(answer.status, status, "{answer:?}");
        }
    })
}

/// The verdicts in what was told, each with the place where its telling ended.
fn verdicts(told: &[u8]) -> Vec<(usize, String)> {
    let refused = |at: &usize| told[*at..].starts_with(REFUSED);
    let refused = (0..told.len()).filter(refused).map(|at| (at + REFUSED.len(), "refuse".to_owned()));
    let admitted = told::admitted(told).into_iter().map(|(end, id)| (end, format!("admit {id}")));
    let mut verdicts: Vec<_> = refused.chain(admitted).collect();
    verdicts.sort();
    verdicts
}

/// The verdicts in the journal as the next start of the gate finds it.
fn written(image: &Image, far: &Path) -> Verdicts {
    let fault = |fault: &dyn std::fmt::Display| -> ! { panic!("{}: {fault}", image.describe()) };
    let opened = Journal::open(&far.join("journal"), "gate");
    let (journal, _) = opened.unwrap_or_else(|broken| fault(&broken));
    let path = journal.path().to_owned();
    drop(journal);
    journal::verify(&path).unwrap_or_else(|broken| fault(&broken));
    let text = std::fs::read_to_string(&path).expect("a journal is text");
    let mut verdicts = Verdicts::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let verdict = match (line["event"].as_str(), line["verdict"].as_str()) {
            (Some("decision"), Some("admit")) => {
                format!("admit {}", line["jti"].as_str().unwrap_or_default())
            }
            (Some("decision"), _) => "refuse".to_owned(),
            _ => continue,
        };
        *verdicts.entry(verdict).or_default() += 1;
    }
    verdicts
}

/// Every verdict told stands in the journal.
fn all_written(image: &Image, far: &Path, told: &[(usize, String)]) {
    let written = written(image, far);
    let mut answered = Verdicts::new();
    for (_, verdict) in told.iter().take_while(|(end, _)| *end <= image.told().len()) {
        *answered.entry(verdict.clone()).or_default() += 1;
    }
    for (verdict, times) in answered {
        let found = written.get(&verdict).copied().unwrap_or(0);
        assert!(found >= times, "{}: `{verdict}` told {times}, written {found}", image.describe());
    }
}

#[test]
fn every_answer_at_a_door_is_in_the_journal_whatever_is_cut() {
    let (sides, rig, tokens) = about_to_serve();
    for count in torture::rounds(torture::share(20), STATES_A_RECORDING) {
        let asks_each = (count / STATES_AN_ANSWER / CLIENTS).max(6);
        let recording = serving(&sides, &rig, &tokens, asks_each);
        let told = verdicts(recording.told());
        assert_eq!(told.len(), CLIENTS * asks_each, "every answer was told");
        torture::judge("journalling", &recording, count, |image, far| all_written(image, far, &told));
    }
}

#[test]
fn a_journal_that_fails_closes_the_doors_and_is_never_synced_again() {
    let (sides, rig, [token, _]) = about_to_serve();
    let knocked = |fault: Option<(Fault, usize)>, knocks: usize| {
        let (recorder, server) = rig.gate_serving(&sides, |recorder, serve| {
            match fault {
                Some((fault, nth)) => recorder.attach_with(serve, fault, nth, FILE),
                None => recorder.attach(serve),
            };
        });
        let statuses: Vec<u16> = (0..knocks).map(|_| sides.knock(&token, CONTROL).status).collect();
        let words = server.words();
        server.stop();
        (statuses, words, recorder.finish())
    };
    // What a gate writes from its start to its first answer goes well; the second answer's line does not.
    let lines = synced_before_an_answer(&knocked(None, 1).2);
    let (write, call) = (lines + 1, 2 * lines + 1);
    let faults = [
        (Fault::Full, write),
        (Fault::Broken, call),
        (Fault::Broken, call + 1),
        (Fault::Short, write),
        (Fault::Unsynced, write),
        (Fault::ReadOnly, write),
    ];
    for (fault, nth) in faults {
        let (statuses, words, recording) = knocked(Some((fault, nth)), 5);
        let what = format!("{fault:?} at call {nth}");
        assert_eq!(statuses, [200, 503, 503, 503, 503], "{what}: {words}");
        assert!(words.contains("the log could not be written"), "{what}: {words}");
        let told = verdicts(recording.told());
        assert!(struck_at(&recording).is_some() && told.len() == 1, "{what}: {told:?}");
        never_synced_again(&what, &recording);
        for image in recording.images_at_the_end() {
            let far = scratch();
            image.lay_out(far.path());
            all_written(&image, far.path(), &told);
        }
    }
}

/// How often the journal was synced before the first answer was told: once for each line, as nobody else
/// knocks.
fn synced_before_an_answer(recording: &Recording) -> usize {
    let answer = |change: &Change| matches!(change, Change::Told(bytes) if !verdicts(bytes).is_empty());
    let before = recording.changes().iter().take_while(|change| !answer(change));
    before.filter(|change| matches!(change, Change::Sync(path) if path == FILE)).count()
}

#[test]
fn a_bit_turned_in_a_durable_journal_is_named_with_its_line() {
    let folder = scratch();
    let (journal, _) = Journal::open(folder.path(), "gate").expect("a journal");
    for seq in 0..6 {
        let line = journal.record_at(1_000 + seq, "bundle_applied", serde_json::json!({"seq": seq}));
        line.expect("recorded").wait().expect("durable");
    }
    let path = journal.path().to_owned();
    drop(journal);
    let whole = std::fs::read(&path).expect("the journal");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let line = whole[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        std::fs::write(&path, bytes).expect("the journal can be written");
        match journal::verify(&path) {
            Err(fault) => assert_eq!(fault.line(), Some(line), "byte {at}: {fault}"),
            // The last line end: what stands before it is no line yet.
            Ok(summary) => assert!(at == whole.len() - 1 && summary.lines == 5, "byte {at} was believed"),
        }
    }
}
