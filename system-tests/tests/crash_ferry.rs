//! A ferry whose power is cut, at either end: whatever the medium or the disk kept, no file stands there in
//! half, what was said to be carried is there, and the next run brings the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use farside_system_tests::crash::{Image, Recorder};
use farside_system_tests::programs::{command, farside_in};

const NAMES: [&str; 2] = ["dome-00000001.fbundle", "dome-00000002.fbundle"];

/// A near side with two bundles, a far side that waits, and an empty stick.
fn sides() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder for both sides");
    for folder in ["near/outbox/dome", "near/journal", "far/inbox", "far/journal", "stick"] {
        fs::create_dir_all(root.path().join(folder)).expect("a folder");
    }
    for (name, bytes) in NAMES.iter().zip([300_000, 700]) {
        fs::write(root.path().join("near/outbox/dome").join(name), content(name, bytes)).expect("a bundle");
    }
    root
}

fn content(name: &str, bytes: usize) -> Vec<u8> {
    name.bytes().cycle().zip(1u8..=251).map(|(a, b)| a ^ b).cycle().take(bytes).collect()
}

fn record(root: &Path, recorded: &str, args: &[&str]) -> Vec<Image> {
    let recorder = Recorder::new(&root.join(recorded));
    let mut ferry: Command = command(args);
    assert!(recorder.attach(ferry.current_dir(root)).output().expect("it runs").status.success());
    recorder.finish().images().collect()
}

fn lay_out(root: &Path, image: &Image) {
    let cut = root.join("cut");
    let _ = fs::remove_dir_all(&cut);
    fs::create_dir(&cut).expect("a folder for the image");
    image.lay_out(&cut);
}

/// The bundles that stand in a folder under names that a reader would take, each compared with its original.
fn whole(root: &Path, folder: &str, image: &Image) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let shown = entry.file_name().into_string().expect("a name");
        let Some(name) = NAMES.iter().find(|name| shown.starts_with(&name[..13])) else { continue };
        let original = fs::read(root.join("near/outbox/dome").join(name)).expect("the original");
        let there = fs::read(entry.path()).expect("the file");
        assert!(there == original, "{}: {shown} stands there with {} bytes", image.describe(), there.len());
        found.push((*name).to_owned());
    }
    found
}

fn told(image: &Image) -> impl Iterator<Item = &'static str> {
    let text = String::from_utf8_lossy(&image.told).into_owned();
    NAMES.into_iter().filter(move |name| text.contains(&format!("carried  {name}")))
}

#[test]
fn a_power_cut_while_sending_leaves_whole_files_and_the_next_send_the_rest() {
    let sides = sides();
    let root = sides.path();
    let send = ["ferry", "send", "--from", "near/outbox/dome", "--to", "stick"];
    let images = record(root, "stick", &send);
    let mut seen = BTreeSet::new();
    for image in &images {
        lay_out(root, image);
        let found = whole(root, "cut/FARSIDE/dome", image);
        seen.insert(found.len());
        assert!(told(image).all(|name| found.iter().any(|there| there == name)), "{}", image.describe());
        farside_in(root, &["ferry", "send", "--from", "near/outbox/dome", "--to", "cut"]);
        farside_in(root, &["ferry", "status", "cut"]);
        assert_eq!(whole(root, "cut/FARSIDE/dome", image).len(), 2, "{}", image.describe());
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]), "the power was cut before, between and after");
}

#[test]
fn a_power_cut_while_receiving_leaves_whole_files_and_the_next_receive_the_rest() {
    let sides = sides();
    let root = sides.path();
    farside_in(root, &["ferry", "send", "--from", "near/outbox/dome", "--to", "stick"]);
    let receive = ["ferry", "receive", "--from", "stick", "--to", "far/inbox"];
    let images = record(root, "far", &receive);
    let mut seen = BTreeSet::new();
    for image in &images {
        lay_out(root, image);
        let found = whole(root, "cut/inbox", image);
        seen.insert(found.len());
        assert!(told(image).all(|name| found.iter().any(|there| there == name)), "{}", image.describe());
        farside_in(root, &["ferry", "receive", "--from", "stick", "--to", "cut/inbox"]);
        assert_eq!(whole(root, "cut/inbox", image).len(), 2, "{}", image.describe());
        let left = fs::read_dir(root.join("cut/inbox")).expect("the inbox").count();
        assert_eq!(
            left,
            3,
            "{}: the two files, the inbox's memory, and nothing unfinished",
            image.describe()
        );
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]), "the power was cut before, between and after");
}
