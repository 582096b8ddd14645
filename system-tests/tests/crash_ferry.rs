//! A ferry whose power is cut, at either end: whatever the medium or the disk kept, no file stands there in
//! half, what was said to be carried is there, and the next run brings the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use farside_ferry::lane::media::{MediaIn, MediaOut};
use farside_ferry::{Again, Name};
use farside_system_tests::crash::{Image, Recording};
use farside_system_tests::programs::{command, farside_in, scratch};
use farside_system_tests::recorder::Recorder;
use farside_system_tests::torture;

const SEND: [&str; 8] = ["ferry", "send", "--from", "near/outbox/dome", "--to", "stick", "--keep", "1000"];
/// Files that a medium keeps here: all of them.
const KEEP: usize = 1_000;
/// States that are taken of one recording, at the most.
const STATES_A_RECORDING: usize = 250;
/// States that one file's way brings, at the least.
const STATES_A_FILE: usize = 25;
/// Bytes of every other bundle, many sectors and some pages, and of the rest, about a sector.
const BYTES: [usize; 2] = [150_000, 300];

/// A near side with so many bundles, a far side that waits, and an empty stick.
fn sides(bundles: usize) -> tempfile::TempDir {
    let root = scratch();
    for folder in ["near/outbox/dome", "near/journal", "far/inbox", "far/journal", "stick"] {
        fs::create_dir_all(root.path().join(folder)).expect("a folder");
    }
    for number in 1..=bundles {
        let (name, bytes) = (format!("dome-{number:08}.fbundle"), BYTES[number % 2] + number * 37);
        fs::write(root.path().join("near/outbox/dome").join(&name), content(&name, bytes)).expect("a bundle");
    }
    root
}

fn content(name: &str, bytes: usize) -> Vec<u8> {
    name.bytes().cycle().zip(1u8..=251).map(|(a, b)| a ^ b).cycle().take(bytes).collect()
}

fn record(root: &Path, recorded: &str, args: &[&str]) -> Recording {
    let recorder = Recorder::new(&root.join(recorded));
    let mut ferry: Command = command(args);
    assert!(recorder.attach(ferry.current_dir(root)).output().expect("it runs").status.success());
    recorder.finish()
}

/// The bundles that stand in a folder under names that a reader would take, each compared with its original.
fn whole(root: &Path, folder: &Path, image: &Image) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let shown = entry.file_name().into_string().expect("a name");
        if !shown.starts_with("dome-") || !shown.ends_with(".fbundle") {
            continue;
        }
        let name = format!("{}.fbundle", &shown[..13]);
        let original = fs::read(root.join("near/outbox/dome").join(&name)).expect("the original");
        let there = fs::read(entry.path()).expect("the file");
        assert!(there == original, "{}: {shown} stands there with {} bytes", image.describe(), there.len());
        found.insert(name);
    }
    found
}

/// The bundles that the ferry said it has carried.
fn told(image: &Image) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(image.told()).into_owned();
    let names =
        text.match_indices("carried  ").filter_map(|(at, word)| text.get(at + word.len()..)?.get(..21));
    names.map(str::to_owned).collect()
}

fn dome() -> Name {
    Name::new("dome".as_ref()).expect("a fit name")
}

#[test]
fn a_power_cut_while_sending_leaves_whole_files_and_the_next_send_the_rest() {
    torture::rounds(torture::share(5), STATES_A_RECORDING).for_each(cut_while_sending);
}

fn cut_while_sending(count: usize) {
    let bundles = (count / STATES_A_FILE).max(2);
    let sides = sides(bundles);
    let root = sides.path();
    let recording = record(root, "stick", &SEND);
    let seen = Mutex::new(BTreeSet::new());
    torture::judge("sending", &recording, count, |image, stick| {
        let folder = stick.join("FARSIDE/dome");
        let found = whole(root, &folder, image);
        seen.lock().expect("whole").insert(found.len());
        assert!(told(image).is_subset(&found), "{}", image.describe());
        let mut lane = MediaOut::open(stick, &dome()).expect("the medium");
        let sent = farside_ferry::send(&root.join("near/outbox/dome"), &dome(), KEEP, &mut lane);
        assert!(sent.is_ok_and(|sent| sent.stopped.is_none()), "{}", image.describe());
        assert_eq!(whole(root, &folder, image).len(), bundles, "{}", image.describe());
    });
    let seen = seen.into_inner().expect("whole");
    assert!(seen.into_iter().eq(0..=bundles), "the power was cut before, between and after all of them");
}

#[test]
fn a_power_cut_while_receiving_leaves_whole_files_and_the_next_receive_the_rest() {
    torture::rounds(torture::share(5), STATES_A_RECORDING).for_each(cut_while_receiving);
}

fn cut_while_receiving(count: usize) {
    let bundles = (count / STATES_A_FILE).max(2);
    let sides = sides(bundles);
    let root = sides.path();
    farside_in(root, &SEND);
    let recording = record(root, "far", &["ferry", "receive", "--from", "stick", "--to", "far/inbox"]);
    let seen = Mutex::new(BTreeSet::new());
    torture::judge("receiving", &recording, count, |image, far| {
        let inbox = far.join("inbox");
        let found = whole(root, &inbox, image);
        seen.lock().expect("whole").insert(found.len());
        assert!(told(image).is_subset(&found), "{}", image.describe());
        let mut lane = MediaIn::open(&root.join("stick"), &dome()).expect("the medium");
        let received = farside_ferry::receive(&inbox, &mut lane, Again::No);
        assert!(received.is_ok_and(|received| received.stopped.is_none()), "{}", image.describe());
        assert_eq!(whole(root, &inbox, image).len(), bundles, "{}", image.describe());
        let left = fs::read_dir(&inbox).expect("the inbox").count();
        // The files, the inbox's memory, and what was torn of that: nothing unfinished.
        assert!(left <= bundles + 2, "{}: {left} entries", image.describe());
    });
    let seen = seen.into_inner().expect("whole");
    assert!(seen.into_iter().eq(0..=bundles), "the power was cut before, between and after all of them");
}
