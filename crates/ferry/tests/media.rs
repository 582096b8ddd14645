//! The media lane as a courier meets it: sticks that are full, protected, pulled, half-written and not only
//! ours.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use farside_ferry::lane::{Coming, Out, Put};
use farside_ferry::{Cargo, Left, Name};
use farside_service::journal;
use support::{Tmpfs, World, ferry, names};

#[test]
fn files_cross_bit_for_bit_and_only_once_and_both_sides_can_prove_it() {
    let world = World::new();
    let first = world.bundle(1, 70_000);
    world.bundle(2, 0);
    world.send(&["--medium", "red 7"]).expect(0).says("carried  dome-00000001.fbundle");
    world.receive(&[]).expect(0).says("carried  dome-00000002.fbundle");
    assert_eq!(names(&world.inbox()), ["dome-00000001.fbundle", "dome-00000002.fbundle"]);
    assert_eq!(fs::read(world.inbox().join("dome-00000001.fbundle")).unwrap(), fs::read(first).unwrap());

    fs::remove_file(world.inbox().join("dome-00000001.fbundle")).unwrap();
    world.receive(&[]).expect(0).says("2 received before");
    assert_eq!(
        names(&world.inbox()),
        ["dome-00000002.fbundle"],
        "what the gate has taken is not brought again"
    );
    world.receive(&["--again"]).expect(0).says("carried  dome-00000001.fbundle");
    world.send(&[]).expect(0).says("2 already there");

    for (side, event, files, crossings) in [("near", "sent", 2, 2), ("far", "received", 3, 3)] {
        let path = world.path(side).join("journal/ferry.jsonl");
        assert_eq!(journal::verify(&path).unwrap().lines, files + crossings, "{side}");
        let lines = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count() as u64;
        assert_eq!((of(event), of("crossing_ended")), (files, crossings), "{side}");
        if side == "near" {
            assert_eq!(lines[0]["medium"]["label"], "red 7");
            assert_eq!(lines[2]["carried"], 2);
        }
    }
}

#[test]
fn the_newest_files_are_kept_so_that_a_late_site_can_bridge() {
    let world = World::new();
    for number in 1..=35 {
        world.bundle(number, 100);
    }
    world.send(&[]).expect(0).says("5 older not sent");
    assert_eq!(names(&world.on_stick()).len(), 30);
    world.bundle(36, 100);
    world.send(&[]).expect(0).says("1 older removed");
    let kept = names(&world.on_stick());
    assert_eq!(kept.len(), 30);
    assert!(kept[0].starts_with("dome-00000007.") && kept[29].starts_with("dome-00000036."), "{kept:?}");
}

#[test]
fn what_is_no_file_to_carry_is_refused_by_name_and_the_rest_goes() {
    let world = World::new();
    world.bundle(1, 100);
    symlink("/etc/passwd", world.outbox().join("link.fbundle")).unwrap();
    fs::create_dir(world.outbox().join("folder")).unwrap();
    fs::write(world.outbox().join("with space.fbundle"), "x").unwrap();
    fs::File::create(world.outbox().join("huge.fbundle")).unwrap().set_len((256 << 20) + 1).unwrap();
    pipe(&world.outbox().join("pipe.fbundle"));
    let answer = world.send(&[]).expect(1);
    for refused in [
        "link.fbundle: a symbolic link",
        "folder: a folder",
        "with space.fbundle: the name",
        "huge.fbundle: 268435457 bytes",
        "pipe.fbundle: a device, pipe",
    ] {
        assert!(answer.out.contains(refused), "{refused:?} in {}", answer.out);
    }
    assert!(answer.out.contains("carried  dome-00000001.fbundle"));
    assert_eq!(names(&world.on_stick()).len(), 1);
}

#[test]
fn a_hostile_stick_brings_nothing_but_whole_files_under_safe_names() {
    let world = World::new();
    world.bundle(1, 100);
    world.send(&[]).expect(0);
    let stick = world.on_stick();
    symlink("/etc/passwd", stick.join("passwd.0123456789abcdef.fbundle")).unwrap();
    pipe(&stick.join("pipe.0123456789abcdef.fbundle"));
    fs::File::create(stick.join("huge.0123456789abcdef.fbundle")).unwrap().set_len((256 << 20) + 1).unwrap();
    fs::write(stick.join("holiday\u{1b}[2J.jpg"), "x").unwrap();
    fs::write(stick.join("notes.txt"), "x").unwrap();
    let answer = world.receive(&[]).expect(1).says("2 not ours");
    for refused in
        ["passwd.0123456789abcdef.fbundle: a symbolic link", "pipe.0123456789abcdef.fbundle", "huge."]
    {
        assert!(answer.out.contains(refused), "{refused:?} in {}", answer.out);
    }
    assert!(!answer.out.contains('\u{1b}'));
    assert_eq!(names(&world.inbox()), ["dome-00000001.fbundle"]);
    assert!(stick.join("notes.txt").exists());
}

#[test]
fn a_link_in_the_place_of_our_folder_leads_nowhere() {
    let world = World::new();
    world.bundle(1, 100);
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, world.path("stick/FARSIDE")).unwrap();
    world.send(&[]).expect(2).says("symbolic link");
    world.receive(&[]).expect(2).says("symbolic link");
    assert!(names(&elsewhere).is_empty());
}

#[test]
fn a_half_written_file_stays_and_is_repaired_by_the_next_send() {
    let world = World::new();
    world.bundle(1, 5000);
    let second = world.bundle(2, 5000);
    world.send(&[]).expect(0);
    let cut = world.on_stick().join(&names(&world.on_stick())[1]);
    fs::File::options().write(true).open(&cut).unwrap().set_len(4096).unwrap();
    fs::write(world.on_stick().join(".dome.0011.farside-part"), "torn").unwrap();
    world.status().expect(1).says("damaged  dome-00000002.fbundle").says("1 unfinished");
    world.receive(&[]).expect(1).says("half-written or damaged").says("hint: send it again");
    assert_eq!(names(&world.inbox()), ["dome-00000001.fbundle"]);
    world.send(&[]).expect(0).says("carried  dome-00000002.fbundle");
    world.status().expect(0);
    world.receive(&[]).expect(0).says("carried  dome-00000002.fbundle");
    assert_eq!(fs::read(world.inbox().join("dome-00000002.fbundle")).unwrap(), fs::read(second).unwrap());
}

#[test]
fn two_files_of_one_name_are_both_kept() {
    let world = World::new();
    world.bundle(1, 100);
    world.send(&[]).expect(0);
    world.receive(&[]).expect(0);
    world.bundle(1, 200);
    world.send(&[]).expect(0);
    world.receive(&[]).expect(0);
    let landed = names(&world.inbox());
    assert_eq!(landed.len(), 2, "{landed:?}");
    assert!(landed.iter().all(|name| name.ends_with(".fbundle")), "{landed:?}");
}

#[test]
fn a_stick_with_several_folders_asks_which() {
    let world = World::new();
    world.bundle(1, 100);
    world.send(&[]).expect(0);
    fs::create_dir(world.path("stick/FARSIDE/mare")).unwrap();
    world.receive(&[]).expect(2).says("dome, mare").says("--folder");
    world.receive(&["--folder", "crater"]).expect(2).says("dome, mare");
    world.receive(&["--folder", "dome"]).expect(0);
    assert_eq!(names(&world.inbox()).len(), 1);
}

#[test]
fn a_full_stick_loses_nothing_and_what_fits_still_goes() {
    let world = World::new();
    let Some(stick) = Tmpfs::mount(world.path("small"), "size=64k") else { return };
    world.bundle(1, 8_000);
    world.bundle(2, 100_000);
    world.bundle(3, 8_000);
    let answer = world.send_to(&stick.0, &[]).expect(1).says("hint: the medium is full");
    assert!(answer.out.contains("left     dome-00000002.fbundle"), "{}", answer.out);
    let there = names(&stick.0.join("FARSIDE/dome"));
    assert_eq!(there.len(), 2, "{there:?}");
    world.receive_from(&stick.0, &[]).expect(0);
    assert_eq!(names(&world.inbox()), ["dome-00000001.fbundle", "dome-00000003.fbundle"]);
}

#[test]
fn a_full_stick_gives_up_old_files_that_are_surplus_anyway() {
    let world = World::new();
    let Some(stick) = Tmpfs::mount(world.path("small"), "size=64k") else { return };
    for number in 1..=4 {
        world.bundle(number, 12_000);
    }
    world.send_to(&stick.0, &["--keep", "4"]).expect(0);
    world.bundle(5, 12_000);
    world.bundle(6, 12_000);
    world.send_to(&stick.0, &["--keep", "3"]).expect(0).says("3 older removed");
    let there = names(&stick.0.join("FARSIDE/dome"));
    assert!(there.len() == 3 && there[0].starts_with("dome-00000004."), "{there:?}");
}

#[test]
fn a_counterfeit_stick_is_found_out_when_it_is_read_back() {
    let world = World::new();
    let Some(chips) = Tmpfs::mount(world.path("chips"), "size=1200k") else { return };
    let Some(stick) = chips.counterfeit(world.path("counterfeit")) else { return };
    for number in 1..=6 {
        world.bundle(number, 300_000);
    }
    // The system calls all succeed; only the bytes are gone.
    let sent = world.send_to(&stick.0, &[]);
    assert_ne!(sent.code, 0, "{}", sent.out);
    let carried = sent.out.lines().filter(|line| line.starts_with("carried")).count();
    assert!((1..6).contains(&carried), "{}", sent.out);
    world.receive_from(&stick.0, &[]).expect(0);
    let landed = names(&world.inbox());
    assert_eq!(landed.len(), carried, "what was said to be carried arrives");
    for name in landed {
        assert_eq!(
            fs::read(world.inbox().join(&name)).unwrap(),
            fs::read(world.outbox().join(&name)).unwrap()
        );
    }
}

#[test]
fn a_full_inbox_is_said_and_leaves_no_halves() {
    let world = World::new();
    world.bundle(1, 8_000);
    world.bundle(2, 100_000);
    world.send(&[]).expect(0);
    let Some(_inbox) = Tmpfs::mount(world.inbox(), "size=64k") else { return };
    world.receive(&[]).expect(1).says("left     dome-00000002").says("hint: make room");
    assert_eq!(names(&world.inbox()), ["dome-00000001.fbundle"]);
}

#[test]
fn a_read_only_stick_is_refused_for_sending_and_serves_for_receiving() {
    let world = World::new();
    let Some(stick) = Tmpfs::mount(world.path("protected"), "size=1m") else { return };
    world.bundle(1, 8_000);
    world.send_to(&stick.0, &[]).expect(0);
    stick.make_read_only();
    world.bundle(2, 8_000);
    world.send_to(&stick.0, &[]).expect(2).says("read-only").says("write-protect");
    world.receive_from(&stick.0, &[]).expect(0);
    assert_eq!(names(&world.inbox()), ["dome-00000001.fbundle"]);
}

#[test]
fn no_stick_at_all_is_said_with_a_hint() {
    let world = World::new();
    world.bundle(1, 10);
    world.send_to(&world.path("nowhere"), &[]).expect(2).says("find the medium").says("hint:");
    assert!(!world.path("nowhere").exists(), "no folder is made where no medium is mounted");
    world.receive(&[]).expect(2).says("holds nothing of ours").says("hint:");
    world.status().expect(0).says("bytes free");
}

/// A lane whose medium is pulled out after some files.
struct Pulled {
    files_left: usize,
}

impl Out for Pulled {
    fn name(&self) -> &'static str {
        "pulled"
    }

    fn put(&mut self, cargo: &Cargo, _tick: &mut dyn FnMut(u64)) -> Result<Put, Left> {
        let gone = || std::io::Error::from_raw_os_error(19);
        let path = std::path::Path::new(cargo.name.as_str());
        self.files_left = self
            .files_left
            .checked_sub(1)
            .ok_or_else(|| farside_service::durable::failed("write", path, gone()))?;
        Ok(Put::Carried)
    }

    fn forget(&mut self, _keep: usize, _coming: &[Coming]) -> Result<Vec<Name>, Left> {
        panic!("nothing may be forgotten on a medium that is gone");
    }
}

#[test]
fn a_stick_pulled_in_the_middle_ends_the_crossing_and_loses_nothing() {
    let world = World::new();
    for number in 1..=4 {
        world.bundle(number, 100);
    }
    let folder = Name::new("dome".as_ref()).unwrap();
    let sending = farside_ferry::send(&world.outbox(), &folder, 30, &mut Pulled { files_left: 2 }).unwrap();
    assert_eq!((sending.carried.len(), sending.refused.len()), (2, 1));
    assert!(sending.stopped.is_some());
    assert!(sending.refused[0].hint.unwrap().contains("gone"), "{sending:?}");
    assert_eq!(names(&world.outbox()).len(), 4);
}

#[test]
fn killed_at_any_moment_neither_side_shows_a_half_and_the_next_run_finishes() {
    let world = World::new();
    let big = world.bundle(1, 24 << 20);
    let (stick, inbox) = (world.path("stick"), world.inbox());
    for pause in [0, 4, 8, 16, 32, 64] {
        let mut send = ferry();
        send.arg("send").arg("--from").arg(world.outbox()).arg("--to").arg(&stick);
        kill_after(send, pause);
        let there = world.on_stick();
        assert!(!there.exists() || names(&there).len() <= 1);
        if there.exists() && names(&there).len() == 1 {
            world.status().expect(0);
            fs::remove_file(there.join(&names(&there)[0])).unwrap();
        }
    }
    world.send(&[]).expect(0);
    assert_eq!(fs::read_dir(world.on_stick()).unwrap().count(), 1, "leftovers are cleared");
    for pause in [0, 4, 8, 16, 32, 64] {
        let mut receive = ferry();
        receive.arg("receive").arg("--from").arg(&stick).arg("--to").arg(&inbox).arg("--again");
        kill_after(receive, pause);
        for name in names(&inbox) {
            assert_eq!(fs::read(inbox.join(&name)).unwrap(), fs::read(&big).unwrap());
            fs::remove_file(inbox.join(name)).unwrap();
        }
    }
    world.receive(&["--again"]).expect(0);
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 2, "the file and the inbox's memory, no leftovers");
    assert_eq!(fs::read(inbox.join("dome-00000001.fbundle")).unwrap(), fs::read(&big).unwrap());
}

fn kill_after(mut command: Command, milliseconds: u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds));
    // It may have ended by itself: then the outcome is looked at all the same.
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_carried_is_left_for_the_next_time() {
    let world = World::new();
    let path = world.bundle(1, 1000);
    let mut lane = farside_ferry::lane::media::MediaOut::open(&world.path("stick"), &name("dome")).unwrap();
    let cargo = Cargo::open(&path).unwrap();
    fs::write(&path, vec![7; 1000]).unwrap();
    assert!(matches!(lane.put(&cargo, &mut |_| {}), Err(Left::Changed)));
    assert!(names(&world.on_stick()).is_empty());
    assert!(cargo.modified < SystemTime::now());
}

#[test]
fn two_ferries_do_not_write_one_folder_at_once() {
    let world = World::new();
    world.bundle(1, 10);
    let _first = farside_ferry::lane::media::MediaOut::open(&world.path("stick"), &name("dome")).unwrap();
    world.send(&[]).expect(2).says("another ferry is writing there");
}

fn name(text: &str) -> Name {
    Name::new(text.as_ref()).unwrap()
}

fn pipe(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}
