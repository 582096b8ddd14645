//! The crash recorder itself: it must see what a program does to its files, or every crash test would be
//! hollow.

use std::process::Command;

use farside_system_tests::crash::{Loss, Recorder};

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
            (image.loss, std::fs::read_to_string(disk.path().join("state")).ok(), image.told)
        })
        .collect();
    assert!(found.iter().any(|(_, state, _)| state.as_deref() == Some("new\n")));
    // Nothing was synced, so after "done" was said the disk may still hold the old bytes: a lie that a crash
    // test must see.
    assert!(found.iter().any(|(loss, state, told)| {
        *loss == Loss::Unsynced && state.as_deref() == Some("old") && told == b"done\n"
    }));
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
