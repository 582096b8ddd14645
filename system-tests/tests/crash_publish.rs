//! A mint whose power is cut while it publishes heads of its log: whatever the disk kept, it starts again,
//! no two heads of one size ever differ, and every token that was released is proven to stand under the next
//! one. An old copy of the log beside the lock that was never restored starts no mint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use farside_crossing::Head;
use farside_mint::log::LogFault;
use farside_system_tests::crash::{Image, Recording};
use farside_system_tests::disk::{Change, Disk, lay_out};
use farside_system_tests::faults::Rig;
use farside_system_tests::ledger::{self, SHARD, recover};
use farside_system_tests::programs::run;
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::told::{before, tokens};
use farside_system_tests::{http, torture};
use farside_verify::merkle::{Frontier, Hash};

/// States that are taken of one recording, at the most.
const STATES_A_RECORDING: usize = 1_000;
/// Heads that are published in one recording, and tokens before each.
const HEADS: usize = 4;
const TOKENS_A_HEAD: usize = 3;
/// The file that is replaced when a new head is shown.
const SHOWN: &str = "log/tiles/dome/checkpoint";

/// A mint that has published once, and a bot's secret.
fn about_to_publish() -> (Sides, Rig, String) {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    sides.bundle("full");
    let secret =
        sides.mint("bot secret lander-7 --json").json()["secret"].as_str().expect("a secret").to_owned();
    let rig = Rig::of(&sides.path("near"), &[sides.path("near.passphrase")]);
    (sides, rig, secret)
}

/// Serves, issues and packs, so that heads are published between tokens; recorded from start to end.
fn publishing(sides: &Sides, rig: &Rig, secret: &str) -> Recording {
    let (recorder, server) = rig.mint_serving(sides);
    let toml = rig.folder().join("mint.toml");
    for _ in 0..HEADS {
        for _ in 0..TOKENS_A_HEAD {
            assert_eq!(http::ask_token(sides.mint, "lander-7", secret, CONTROL).0, 200);
        }
        let mut pack = sides.command(&format!("mint bundle make --site dome --config {}", toml.display()));
        recorder.attach(&mut pack);
        run(pack).expect_code(0);
    }
    server.stop();
    recorder.finish()
}

/// Every head that was shown, with the number of the change that showed it.
fn shown(recording: &Recording) -> Vec<(usize, Head)> {
    let (mut written, mut heads) = (BTreeMap::<&str, Vec<u8>>::new(), Vec::new());
    for (index, change) in recording.changes().iter().enumerate() {
        match change {
            Change::Write(path, 0, bytes) => drop(written.insert(path, bytes.clone())),
            Change::Rename(from, to) if to == SHOWN => {
                heads.push((index + 1, head(&written[from.as_str()])));
            }
            _ => {}
        }
    }
    heads
}

/// Size and root are the second and third line of a checkpoint.
fn head(note: &[u8]) -> Head {
    use base64::Engine as _;
    let lines: Vec<&str> = std::str::from_utf8(note).expect("a note is text").lines().collect();
    let root = base64::engine::general_purpose::STANDARD.decode(lines[2]).expect("base64");
    Head { size: lines[1].parse().expect("a size"), root: root.try_into().expect("a hash") }
}

/// The roots of a tree of these leaves at each of its sizes.
fn roots(leaves: &[Hash]) -> Vec<Hash> {
    let mut tree = Frontier::default();
    let grown = leaves.iter().map(|leaf| {
        tree.push(*leaf);
        tree.root()
    });
    let grown: Vec<Hash> = grown.collect();
    std::iter::once(Frontier::default().root()).chain(grown).collect()
}

/// What must hold after a cut: every head that was shown is the beginning of this log, and the head that the
/// lock holds is one that the mint has signed.
fn judge(image: &Image, near: &Path, heads: &[(usize, Head)]) {
    let at = image.describe();
    let log = ledger::open(near).unwrap_or_else(|fault| panic!("{at}: {fault}"));
    let leaves = log.leaves(SHARD, 0..log.len(SHARD)).unwrap_or_else(|fault| panic!("{at}: {fault}"));
    let (roots, locked) = (roots(&leaves), log.head(SHARD));
    let signed = heads.iter().find(|(_, head)| head.size == locked.size);
    assert!(signed.is_none_or(|(_, head)| *head == locked), "{at}: two heads of size {}", locked.size);
    for (_, head) in heads.iter().filter(|(shown, _)| *shown <= image.after) {
        assert!(head.size <= locked.size, "{at}: the head of size {} was shown, and forgotten", head.size);
        assert_eq!(roots[head.size as usize], head.root, "{at}: the log forked at size {}", head.size);
    }
}

#[test]
fn a_power_cut_while_publishing_forks_no_log_and_loses_no_proof() {
    let (sides, rig, secret) = about_to_publish();
    for count in torture::rounds(torture::share(15), STATES_A_RECORDING) {
        let recording = publishing(&sides, &rig, &secret);
        let (told, heads) = (tokens(recording.told()), shown(&recording));
        assert!(told.len() == HEADS * TOKENS_A_HEAD && heads.len() >= HEADS, "{} heads", heads.len());
        torture::judge("publishing", &recording, count, |image, near| {
            judge(image, near, &heads);
            recover(&image.describe(), near, before(&told, image));
        });
    }
}

#[test]
fn an_old_copy_of_the_log_beside_its_lock_starts_no_mint() {
    let (sides, rig, secret) = about_to_publish();
    for count in torture::rounds(torture::share(2), STATES_A_RECORDING) {
        let recording = publishing(&sides, &rig, &secret);
        let lock: Vec<_> = Disk::read(&rig.folder()).seen().into_iter().collect();
        let lock = lock.into_iter().filter(|(path, _)| path.starts_with("lock")).collect();
        let newest = shown(&recording).last().map(|(_, head)| *head).expect("heads were shown");
        let refused = AtomicUsize::new(0);
        torture::judge("restoring", &recording, count, |image, near| {
            let _ = std::fs::remove_dir_all(near.join("lock"));
            lay_out(&lock, near);
            match ledger::open(near) {
                Ok(log) => assert_eq!(log.head(SHARD), newest, "{}", image.describe()),
                Err(LogFault::RolledBack { known, .. }) => {
                    assert_eq!(known, newest.size, "{}", image.describe());
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(other) => panic!("{}: {other}", image.describe()),
            }
        });
        assert!(refused.into_inner() > count / 2, "most of what was copied is older than the lock");
    }
}
