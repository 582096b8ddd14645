//! A gate whose power is cut while it imports: whatever the disk kept, the gate holds the old bundle or the
//! new one, whole, and never less than it has said.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use farside_gate::config::Config;
use farside_gate::import::{self, JOURNAL_NAME, Mode, Outcome};
use farside_gate::status;
use farside_service::journal::{self, Journal};
use farside_service::time::now_unix;
use farside_system_tests::crash::{Image, Recording};
use farside_system_tests::faults::{Rig, Struck};
use farside_system_tests::programs::{run, scratch};
use farside_system_tests::recorder::{Fault, Recorder};
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::torture;
use serde_json::Value;

/// Power cuts tried after each fault.
const IMAGES_AFTER_A_FAULT: usize = 8;
/// States that are taken of the import of one bundle, and of a refusal, at the most.
const STATES_AN_IMPORT: usize = 2_000;
const STATES_A_REFUSAL: usize = 100;
/// After one of so many states the courier comes again.
const AGAIN_EVERY: usize = 8;

/// Bundle 1 is applied; bundle 2, with a revocation, a parcel and so many leaves more than that needs, is
/// about to be.
fn about_to_import(leaves: usize) -> (Sides, String) {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    sides.bundle("full");
    sides.cross();
    (0..leaves).for_each(|_| drop(sides.token("grace", CONTROL)));
    sides.mint(&format!(
        "order add --site dome --subject ada --audience {CONTROL} --lifetime 8h --claim phrase"
    ));
    sides.mint("revoke subject grace --reason left");
    let second = sides.bundle("full");
    (sides, second)
}

fn record(sides: &Sides, command: &mut Command) -> Recording {
    let recorder = Recorder::new(&sides.path("far"));
    assert!(recorder.attach(command).output().expect("it runs").status.success());
    recorder.finish()
}

fn config(far: &Path) -> Config {
    Config::load(&far.join("gate.toml")).expect("the configuration was not touched")
}

/// What a gate holds after the cut, opened on the disk as it was left.
fn held_after(image: &Image, far: &Path) -> [u64; 4] {
    let status = status::look(&config(far), now_unix());
    let status = status.unwrap_or_else(|fault| panic!("{}: {fault}", image.describe()));
    held(&serde_json::to_value(status).expect("a status is JSON"))
}

/// Bundle 1 has no revocation, no parcel and one leaf; bundle 2 revokes a subject, brings a parcel and its
/// leaf.
fn held(status: &Value) -> [u64; 4] {
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    let parcels =
        status["parcels"]["live"].as_u64().or(status["parcels"]["held"].as_u64()).unwrap_or(u64::MAX);
    [
        number(&status["bundle"]["seq"]),
        number(&status["revoked"]["subjects"]),
        parcels,
        number(&status["leaves"]),
    ]
}

/// The importer's journal as the next import finds it: what was torn set aside, the rest one chain.
fn journal_after(image: &Image, far: &Path) -> journal::Summary {
    let opened = Journal::open(&config(far).journal(), JOURNAL_NAME);
    let (journal, _) = opened.unwrap_or_else(|fault| panic!("{}: {fault}", image.describe()));
    journal::verify(journal.path()).unwrap_or_else(|fault| panic!("{}: {fault}", image.describe()))
}

/// The courier comes again with the same bundle.
fn import_again(image: &Image, far: &Path, bundle: &Path) {
    let reports = import::path(&config(far), bundle, Mode::Apply, now_unix());
    let reports = reports.unwrap_or_else(|fault| panic!("{}: {fault}", image.describe()));
    let good =
        |outcome: &Outcome| matches!(outcome, Outcome::Applied(_) | Outcome::AlreadyApplied { seq: 2 });
    let said = serde_json::to_string(&reports).expect("reports are JSON");
    assert!(reports.iter().all(|report| good(&report.outcome)), "{}: {said}", image.describe());
}

#[test]
fn a_power_cut_at_import_leaves_one_bundle_or_the_other() {
    let rounds = torture::rounds(torture::share(24), STATES_AN_IMPORT);
    rounds.enumerate().for_each(|(round, count)| cut_at_import(round, count));
}

fn cut_at_import(leaves: usize, count: usize) {
    let (sides, second) = about_to_import(leaves);
    let before = held(&sides.gate("status --json").json());
    let mut import = sides.command(&format!("gate import {second} --json --config far/gate.toml"));
    let recording = record(&sides, &mut import);
    let after = held(&sides.gate("status --json").json());
    assert_eq!((before[0], after[0]), (1, 2));

    let (olds, news, bundle) = (AtomicUsize::new(0), AtomicUsize::new(0), sides.path(&second));
    torture::judge("importing", &recording, count, |image, far| {
        let found = held_after(image, far);
        let counted = match found {
            found if found == before => &olds,
            found if found == after => &news,
            mixture => panic!("{}: {mixture:?} is neither {before:?} nor {after:?}", image.describe()),
        };
        let told = String::from_utf8_lossy(image.told()).contains("\"applied\"");
        assert!(!told || found == after, "{}: said to be applied, and lost", image.describe());
        journal_after(image, far);
        if counted.fetch_add(1, Ordering::Relaxed) % AGAIN_EVERY == 0 {
            import_again(image, far, &bundle);
            assert_eq!(held_after(image, far), after, "{}", image.describe());
            journal_after(image, far);
        }
    });
    let (olds, news) = (olds.into_inner(), news.into_inner());
    assert!(olds > 5 && news > 5, "cuts before and after the commit were tried: {olds}, {news}");
}

#[test]
fn a_refused_bundle_leaves_no_trace_in_what_is_trusted_whatever_is_cut() {
    let (sides, second) = about_to_import(0);
    let whole = sides.get(&second);
    let before = held(&sides.gate("status --json").json());
    let rig = Rig::of(&sides.path("far"), &[]);
    for (round, count) in torture::rounds(torture::share(1), STATES_A_REFUSAL).enumerate() {
        sides.put("cut.fbundle", &whole[..whole.len() - 1 - 999 * round]);
        let recorder = rig.fresh();
        let toml = rig.folder().join("gate.toml");
        let mut import =
            sides.command(&format!("gate import cut.fbundle --json --config {}", toml.display()));
        recorder.attach(&mut import);
        assert_eq!(run(import).code, 1);
        torture::judge("refusing", &recorder.finish(), count, |image, far| {
            assert_eq!(held_after(image, far), before, "{}", image.describe());
            journal_after(image, far);
        });
    }
}

#[test]
fn a_disk_that_fails_at_import_leaves_one_bundle_or_the_other_and_is_said() {
    let (sides, second) = about_to_import(0);
    let rig = Rig::of(&sides.path("far"), &[]);
    let (before, bundle) = (held(&sides.gate("status --json").json()), sides.path(&second));
    let import = |far: &Path| {
        let toml = far.join("gate.toml");
        sides.command(&format!("gate import {second} --json --config {}", toml.display()))
    };
    let struck = rig.strike(10, import, |Struck { what, finished, recording }| {
        let applied = finished.stdout.contains("\"applied\"");
        assert!(applied || finished.stderr.contains("farside: error:"), "{what}: {finished:#?}");
        for image in recording.images_at_the_end().take(IMAGES_AFTER_A_FAULT) {
            let far = scratch();
            image.lay_out(far.path());
            let found = held_after(&image, far.path());
            assert!(found == before || found[0] == 2, "{what}: {found:?}");
            assert!(!applied || found[0] == 2, "{what}: said to be applied, and lost; {}", image.describe());
            import_again(&image, far.path(), &bundle);
            journal_after(&image, far.path());
        }
    });
    assert!(struck >= Fault::ALL.len(), "only {struck} faults struck");
}
