//! A gate whose power is cut while it imports: whatever the disk kept, the gate holds the old bundle or the
//! new one, whole, and never less than it has said.

use std::process::Command;

use farside_system_tests::crash::{Image, Recorder, Recording};
use farside_system_tests::programs::run;
use farside_system_tests::sides::{CONTROL, Sides};
use serde_json::Value;

/// Bundle 1 is applied; bundle 2, with a revocation, a parcel and leaves, is about to be.
fn about_to_import() -> (Sides, String) {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    sides.bundle("full");
    sides.cross();
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

/// What a gate says of itself after the cut, started on the disk as it was left.
fn status_after(sides: &Sides, image: &Image) -> Value {
    let disk = sides.path("cut");
    let _ = std::fs::remove_dir_all(&disk);
    std::fs::create_dir(&disk).expect("a folder for the image");
    image.lay_out(&disk);
    let status = sides.attempt("gate status --json --config cut/gate.toml");
    assert_eq!(status.code, 0, "{}: {status:#?}", image.describe());
    status.json()
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

#[test]
fn a_power_cut_at_import_leaves_one_bundle_or_the_other() {
    let (sides, second) = about_to_import();
    let before = held(&sides.gate("status --json").json());
    let mut import = sides.command(&format!("gate import {second} --json --config far/gate.toml"));
    let recording = record(&sides, &mut import);
    let after = held(&sides.gate("status --json").json());
    assert_eq!((before[0], after[0]), (1, 2));

    let (mut olds, mut news) = (0, 0);
    for image in recording.images() {
        let found = held(&status_after(&sides, &image));
        match found {
            found if found == before => olds += 1,
            found if found == after => news += 1,
            mixture => panic!("{}: {mixture:?} is neither {before:?} nor {after:?}", image.describe()),
        }
        let told = String::from_utf8_lossy(&image.told).contains("\"applied\"");
        assert!(!told || found == after, "{}: said to be applied, and lost", image.describe());
        if image.after % 8 == 0 {
            // The courier tries again, and the journal's chain still holds.
            let again = sides.attempt(&format!("gate import {second} --json --config cut/gate.toml"));
            assert_eq!(again.code, 0, "{}: {again:#?}", image.describe());
            assert_eq!(held(&sides.farside("gate status --json --config cut/gate.toml").json()), after);
            sides.farside("gate audit verify --config cut/gate.toml");
        }
    }
    assert!(olds > 5 && news > 0, "cuts before and after the commit were tried: {olds}, {news}");
}

#[test]
fn a_refused_bundle_leaves_no_trace_in_what_is_trusted_whatever_is_cut() {
    let (sides, second) = about_to_import();
    let whole = sides.get(&second);
    sides.put("cut.fbundle", &whole[..whole.len() - 1]);
    let before = held(&sides.gate("status --json").json());
    let recorder = Recorder::new(&sides.path("far"));
    let mut import = sides.command("gate import cut.fbundle --json --config far/gate.toml");
    recorder.attach(&mut import);
    assert_eq!(run(import).code, 1);
    for image in recorder.finish().images() {
        assert_eq!(held(&status_after(&sides, &image)), before, "{}", image.describe());
    }
}
