//! The crash recorder itself: it must see what a program does to its files, or every crash test would be
//! hollow.

use std::process::Command;

use farside_system_tests::disk::Change;
use farside_system_tests::loss::Loss;
use farside_system_tests::recorder::{Fault, Recorder};

#[test]
fn a_rename_without_sync_may_lose_the_new_bytes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("state"), "old").unwrap();
    let recorder = Recorder::new(folder.path());
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo new > state.tmp && mv state.tmp state && echo done"]).current_dir(folder.path());
    assert!(recorder.attach(&mut shell).status().unwrap().success());
    let recording = recorder.finish();
    let found: Vec<(Loss, Option<String>, Vec<u8>)> = recording
        .images()
        .map(|image| {
            let disk = tempfile::tempdir().unwrap();
            image.lay_out(disk.path());
            let state = std::fs::read_to_string(disk.path().join("state")).ok();
            (image.loss, state, image.told().to_vec())
        })
        .collect();
    assert!(found.iter().any(|(_, state, _)| state.as_deref() == Some("new\n")));
    // Nothing was synced, so after "done" was said the disk may still hold the old bytes, or the name may
    // have moved before the bytes were there: lies that a crash test must see.
    let after_done = |wanted: &str| {
        found.iter().any(|(_, state, told)| state.as_deref() == Some(wanted) && told == b"done\n")
    };
    assert!(after_done("old") && after_done(""));
}

#[test]
fn bytes_synced_before_the_rename_survive_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("state"), "old").unwrap();
    let recorder = Recorder::new(folder.path());
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "dd if=/dev/zero of=t bs=4096 count=1 conv=fsync 2>/dev/null && mv t state && sync -d . && sync .",
    ]);
    assert!(recorder.attach(shell.current_dir(folder.path())).status().unwrap().success());
    for image in recorder.finish().images() {
        let disk = tempfile::tempdir().unwrap();
        image.lay_out(disk.path());
        let state = std::fs::read(disk.path().join("state")).unwrap();
        assert!(state == b"old" || state == [0; 4096], "{}: {} bytes", image.describe(), state.len());
    }
}

#[test]
fn states_are_different_and_a_part_of_them_is_always_the_same_part() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(folder.path());
    let mut shell = Command::new("sh");
    let twice = "for i in 1 2; do dd if=/dev/zero of=f$i bs=9000 count=3 2>/dev/null; done";
    assert!(
        recorder.attach(shell.args(["-c", twice]).current_dir(folder.path())).status().unwrap().success()
    );
    let recording = recorder.finish();
    let told = |count| recording.states(count).map(|image| image.describe()).collect::<Vec<_>>();
    let all = recording.images().count();
    assert!(all > 100, "{all}");
    assert_eq!(told(100).len(), 100);
    assert_eq!(told(100), told(100));
}

#[test]
fn a_fault_strikes_the_call_it_was_meant_for() {
    let run = |fault, nth| {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(folder.path());
        let mut shell = Command::new("dd");
        shell.args(["if=/dev/zero", "of=f", "bs=1000", "count=4", "conv=fsync"]).current_dir(folder.path());
        let ended = recorder.attach_with(&mut shell, fault, nth, "f").output().unwrap();
        let struck = recorder.finish().changes().iter().find_map(|change| match change {
            Change::Fault(path, call) => Some(format!("{call} {path}")),
            _ => None,
        });
        let size = std::fs::metadata(folder.path().join("f")).map_or(0, |about| about.len());
        (struck, ended.status.success(), size)
    };
    let struck = |call: &str| Some(format!("{call} f"));
    assert_eq!(run(Fault::Full, 1), (struck("open"), false, 0));
    assert_eq!(run(Fault::Full, 4), (struck("write"), false, 2000));
    assert_eq!(run(Fault::Short, 3), (struck("write"), false, 2500));
    assert_eq!(run(Fault::Broken, 2), (struck("write"), false, 0));
    assert_eq!(run(Fault::Unsynced, 1), (struck("fsync"), false, 4000));
    assert_eq!(run(Fault::ReadOnly, 5), (struck("write"), false, 3000));
    assert_eq!(run(Fault::Unsynced, 2), (None, true, 4000));
}
