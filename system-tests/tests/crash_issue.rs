//! A mint whose power is cut while it issues: a token that anybody has seen is in the log, whatever the disk
//! kept, and no position is ever given to two tokens.

use std::collections::BTreeSet;
use std::path::Path;

use farside_mint::config::Mint;
use farside_system_tests::crash::{Image, Recording};
use farside_system_tests::faults::{Rig, Struck, never_synced_again, struck_at};
use farside_system_tests::ledger::{self, SHARD, recover};
use farside_system_tests::programs::{Server, scratch};
use farside_system_tests::recorder::{Fault, Recorder};
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::told::{Told, before, tokens};
use farside_system_tests::{http, torture};

/// Clients that ask at the same time, so that several tokens share one fsync.
const CLIENTS: usize = 6;
/// States that are taken of one recording, at the most.
const STATES_A_RECORDING: usize = 2_250;
/// States that one token's way to its client brings, at the least.
const STATES_A_TOKEN: usize = 12;
/// Power cuts tried after each fault.
const IMAGES_AFTER_A_FAULT: usize = 8;
/// One byte of the log in so many has a bit turned after it was durable.
const DAMAGE_EVERY_BYTES: usize = 7;

/// A mint that has issued once, and the secret of a bot that may ask it for tokens.
fn about_to_serve() -> (Sides, Rig, String) {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let secret =
        sides.mint("bot secret lander-7 --json").json()["secret"].as_str().expect("a secret").to_owned();
    let rig = Rig::of(&sides.path("near"), &[sides.path("near.passphrase")]);
    (sides, rig, secret)
}

/// A mint that serves clients, recorded from its start to its end.
fn serving(sides: &Sides, rig: &Rig, secret: &str, tokens_each: usize) -> Recording {
    let (recorder, server) = rig.mint_serving(sides);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                (0..tokens_each)
                    .for_each(|_| assert_eq!(http::ask_token(sides.mint, "lander-7", secret, CONTROL).0, 200))
            });
        }
    });
    server.stop();
    recorder.finish()
}

/// Starts the mint on the disk as it was left, and demands of it what was promised.
fn start(image: &Image, near: &Path, told: &[Told]) {
    let at = image.describe();
    let mint = Mint::open(&near.join("mint.toml")).unwrap_or_else(|fault| panic!("{at}: {fault}"));
    let store = mint.store().unwrap_or_else(|fault| panic!("{at}: {fault}"));
    assert!(store.directory().is_ok_and(|directory| directory.site(SHARD).is_some()), "{at}: no directory");
    let log = recover(&at, near, told);
    assert!(log.len(SHARD) > 0, "{at}: an older leaf was lost");
}

/// The power goes right after what was recorded.
fn recover_after(recording: &Recording, told: &[Told]) {
    for image in recording.images_at_the_end().take(IMAGES_AFTER_A_FAULT) {
        let near = scratch();
        image.lay_out(near.path());
        start(&image, near.path(), told);
    }
}

#[test]
fn tokens_released_over_http_are_in_the_log_whatever_is_cut() {
    let (sides, rig, secret) = about_to_serve();
    for count in torture::rounds(torture::share(45), STATES_A_RECORDING) {
        let tokens_each = (count / STATES_A_TOKEN / CLIENTS).max(4);
        let recording = serving(&sides, &rig, &secret, tokens_each);
        let told = tokens(recording.told());
        let positions: BTreeSet<u64> = told.iter().map(|token| token.position.index()).collect();
        let wanted = CLIENTS * tokens_each;
        assert_eq!(positions.len(), wanted, "every token was released, each at its own position");
        torture::judge("issuing", &recording, count, |image, near| start(image, near, before(&told, image)));
    }
}

#[test]
fn a_mint_started_after_the_cut_issues_and_gives_no_position_twice() {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let recorder = Recorder::new(&sides.path("near"));
    let issue = format!("mint token issue --site dome --subject ada --audience {CONTROL}");
    let mut first = sides.command(&format!("{issue} --config near/mint.toml"));
    assert!(recorder.attach(&mut first).output().expect("it runs").status.success());
    let recording = recorder.finish();
    let told = tokens(recording.told());
    assert_eq!(told.len(), 1);
    let cut = sides.path("cut");
    let (mut shown, mut started) = (0, 0);
    for image in recording.states(torture::share(1) / 5) {
        let _ = std::fs::remove_dir_all(&cut);
        std::fs::create_dir(&cut).expect("a folder for the image");
        image.lay_out(&cut);
        let next = sides.attempt(&format!("{issue} --config cut/mint.toml"));
        assert_eq!(next.code, 0, "{}: {next:#?}", image.describe());
        let fresh = tokens(next.stdout.as_bytes());
        let before = before(&told, &image);
        assert!(fresh[0].position.index() > 0 && fresh.len() == 1, "{}", image.describe());
        assert!(before.iter().all(|token| token.position != fresh[0].position), "{}", image.describe());
        (shown, started) = (shown + before.len(), started + 1);
    }
    assert!(started > shown && shown > 0, "{shown} of {started} cuts came after the token was shown");
}

#[test]
fn a_disk_that_fails_while_a_command_issues_shows_no_token_that_is_not_on_it() {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let rig = Rig::of(&sides.path("near"), &[sides.path("near.passphrase")]);
    let issue = |near: &Path| {
        let toml = near.join("mint.toml");
        sides.command(&format!(
            "mint token issue --site dome --subject ada --audience {CONTROL} --config {}",
            toml.display()
        ))
    };
    let struck = rig.strike(3, issue, |Struck { what, finished, recording }| {
        let told = tokens(finished.stdout.as_bytes());
        match finished.code {
            0 => assert_eq!(told.len(), 1, "{what}: {finished:#?}"),
            _ => assert!(
                told.is_empty() && finished.stderr.contains("farside: error:"),
                "{what}: {finished:#?}"
            ),
        }
        recover_after(recording, &told);
    });
    assert!(struck >= Fault::ALL.len(), "only {struck} faults struck");
}

#[test]
fn a_log_that_fails_under_a_serving_mint_issues_nothing_more_and_the_mint_says_so() {
    // One write and one fsync for each token: the second token's.
    let faults = [
        (Fault::Full, 2),
        (Fault::Broken, 3),
        (Fault::Broken, 4),
        (Fault::Short, 2),
        (Fault::Unsynced, 2),
        (Fault::ReadOnly, 2),
    ];
    let (sides, rig, secret) = about_to_serve();
    for (fault, nth) in faults {
        let recorder = rig.fresh();
        let toml = rig.folder().join("mint.toml");
        let mut serve = sides.command(&format!("mint serve --config {}", toml.display()));
        recorder.attach_with(&mut serve, fault, nth, "log/issued.log");
        let mut server = Server::start(serve);
        server.wait_for(sides.mint);
        let answers: Vec<_> =
            (0..5).map(|_| http::ask_token(sides.mint, "lander-7", &secret, CONTROL)).collect();
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        let what = format!("{fault:?} at call {nth}");
        assert_eq!(statuses, [200, 503, 503, 503, 503], "{what}: {}", server.words());
        assert!(server.words().contains("the log could not be written"), "{what}: {}", server.words());
        server.stop();
        let recording = recorder.finish();
        let told = tokens(recording.told());
        assert!(struck_at(&recording).is_some() && told.len() == 1, "{what}: {} tokens told", told.len());
        never_synced_again(&what, &recording);
        recover_after(&recording, &told);
    }
}

#[test]
fn a_bit_turned_in_the_durable_log_is_refused_and_never_believed() {
    let sides = Sides::founded();
    (0..5).for_each(|_| drop(sides.token("ada", CONTROL)));
    let (home, whole) = (sides.path("near"), sides.get("near/log/issued.log"));
    let leaves =
        |near: &Path| ledger::open(near).map(|log| log.leaves(SHARD, 0..log.len(SHARD)).expect("leaves"));
    let honest = leaves(&home).expect("the log is whole");
    let last = whole.windows(4).rposition(|window| window == b"FSB1").expect("frames have a mark");
    let scratch = scratch();
    for at in (0..whole.len()).step_by(DAMAGE_EVERY_BYTES) {
        let folder = scratch.path().join(at.to_string());
        std::fs::create_dir_all(folder.join("log")).expect("a folder for the damage");
        std::fs::copy(home.join("mint.toml"), folder.join("mint.toml")).expect("the configuration");
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(folder.join("log/issued.log"), bytes).expect("the log can be written");
        match leaves(&folder) {
            // Before the last batch it is damage. In the last it cannot be told from a torn write: what
            // stands there is set aside, and never read as something else.
            Ok(held) => {
                assert!(at >= last && held == honest[..4], "byte {at}: {} leaves believed", held.len())
            }
            Err(fault) => assert!(fault.to_string().contains("damaged"), "byte {at}: {fault}"),
        }
    }
}
