//! A mint whose power is cut while it issues: a token that anybody has seen is in the log, whatever the disk
//! kept, and no position is ever given to two tokens.

use std::collections::BTreeSet;

use farside_system_tests::crash::{Image, Recorder};
use farside_system_tests::http;
use farside_system_tests::programs::Server;
use farside_system_tests::sides::{CONTROL, Sides};
use farside_verify::encode::base64url_decode;
use serde_json::Value;

/// Clients that ask at the same time, so that several tokens share one fsync.
const CLIENTS: usize = 4;
const TOKENS_EACH: usize = 2;

/// Lays the disk out beside the near side, so that relative paths in its configuration still lead somewhere.
fn lay_out(sides: &Sides, image: &Image) {
    let disk = sides.path("cut");
    let _ = std::fs::remove_dir_all(&disk);
    std::fs::create_dir(&disk).expect("a folder for the image");
    image.lay_out(&disk);
}

/// How many leaves the site's log holds after the cut.
fn leaves_after(sides: &Sides, image: &Image) -> u64 {
    lay_out(sides, image);
    let checked = sides.attempt("mint log check --json --config cut/mint.toml");
    assert_eq!(checked.code, 0, "{}: {checked:#?}", image.describe());
    let shards = checked.json()["shards"].as_array().cloned().unwrap_or_default();
    shards.iter().find(|shard| shard["shard"] == "dome").map_or(0, |shard| shard["leaves"].as_u64().unwrap())
}

/// The log position of every token in what was told.
fn positions(told: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(told);
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    words.filter_map(position).collect()
}

fn position(word: &str) -> Option<u64> {
    let claims =
        word.split('.').nth(1).filter(|_| word.starts_with("eyJ") && word.matches('.').count() == 2)?;
    let claims: Value = serde_json::from_slice(&base64url_decode(claims)?).ok()?;
    u64::from_str_radix(claims["jti"].as_str()?.rsplit_once('-')?.1, 36).ok()
}

#[test]
fn a_token_that_was_shown_is_in_the_log() {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let recorder = Recorder::new(&sides.path("near"));
    let issue =
        format!("mint token issue --site dome --subject ada --audience {CONTROL} --config near/mint.toml");
    assert!(recorder.attach(&mut sides.command(&issue)).output().expect("it runs").status.success());
    let recording = recorder.finish();

    let mut shown = 0;
    for image in recording.images() {
        let leaves = leaves_after(&sides, &image);
        assert!(leaves >= 1, "{}: an older leaf was lost", image.describe());
        for position in positions(&image.told) {
            shown += 1;
            assert!(position < leaves, "{}: token {position} without its leaf", image.describe());
        }
    }
    assert!(shown > 0, "the record ends after the token was shown");
}

#[test]
fn a_mint_started_after_the_cut_gives_no_position_twice() {
    let sides = Sides::founded();
    let recorder = Recorder::new(&sides.path("near"));
    let issue =
        format!("mint token issue --site dome --subject ada --audience {CONTROL} --config near/mint.toml");
    assert!(recorder.attach(&mut sides.command(&issue)).output().expect("it runs").status.success());
    for image in recorder.finish().images() {
        lay_out(&sides, &image);
        let next = sides.attempt(&issue.replace("near/mint.toml", "cut/mint.toml"));
        assert_eq!(next.code, 0, "{}: {next:#?}", image.describe());
        let fresh = positions(next.stdout.as_bytes());
        let shown = positions(&image.told);
        assert!(fresh.iter().all(|position| !shown.contains(position)), "{}: {fresh:?}", image.describe());
    }
}

#[test]
fn tokens_released_over_http_are_in_the_log_whatever_is_cut() {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let secret =
        sides.mint("bot secret lander-7 --json").json()["secret"].as_str().expect("a secret").to_owned();
    let recorder = Recorder::new(&sides.path("near"));
    let mut serve = sides.command("mint serve --config near/mint.toml");
    recorder.attach(&mut serve);
    let mut server = Server::start(serve);
    server.wait_for(sides.mint);
    std::thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| drop(scope.spawn(|| (0..TOKENS_EACH).for_each(|_| ask(&sides, &secret)))));
    });
    server.stop();

    let mut released = BTreeSet::new();
    for image in recorder.finish().images() {
        let told = positions(&image.told);
        let leaves = leaves_after(&sides, &image);
        let lost: Vec<_> = told.iter().filter(|position| **position >= leaves).collect();
        assert!(lost.is_empty(), "{}: {lost:?} of {leaves} without leaf", image.describe());
        released.extend(told);
    }
    assert_eq!(released.len(), CLIENTS * TOKENS_EACH, "every token was released, each at its own position");
}

fn ask(sides: &Sides, secret: &str) {
    let pair = format!("lander-7:{}", http::escaped(secret));
    let basic = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair));
    let form = [("grant_type", "client_credentials"), ("audience", CONTROL)];
    let answer = http::post_form(sides.mint, "/oauth2/token", &[("authorization", &basic)], &form);
    assert_eq!(answer.status, 200, "{answer:?}");
}
