//! A mint whose clock was three years ahead has driven a site's time floor with it: the whole way back, with
//! the real programs on both sides.

use farside_service::time::now_unix;
use farside_system_tests::faketime::FakeTime;
use farside_system_tests::programs::{Finished, run};
use farside_system_tests::sides::{CONTROL, Sides};
use serde_json::Value;

const YEARS: i64 = 3 * 365 * 86_400;

/// A command by the wrong clock.
fn ahead(sides: &Sides, line: &str) -> Finished {
    let clock = FakeTime::wall();
    clock.set(YEARS);
    run(clock.before(sides.command(line))).expect_code(0)
}

fn verdict(sides: &Sides, token: &str) -> Value {
    let said = sides
        .attempt(&format!("gate check {token} --audience {CONTROL} --json --config far/gate.toml"))
        .json();
    said.get("code").unwrap_or(&said["verdict"]).clone()
}

/// A site whose gate has applied bundle 2, made three years ahead, by a clock that was as wrong.
fn driven_ahead() -> Sides {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    sides.bundle("full");
    sides.cross();
    // A leaf for which the log will sign a head, by the wrong clock as well.
    sides.mint(&format!("token issue --site dome --subject ada --audience {CONTROL} --out waiting.jwt"));
    let line = "mint bundle make --site dome --kind full --json --config near/mint.toml";
    let made = ahead(&sides, line).json();
    let path = made["path"].as_str().expect("a path");
    ahead(&sides, &format!("gate import {path} --config far/gate.toml"));
    sides
}

#[test]
fn a_site_driven_years_ahead_comes_back_by_roots_note_and_the_mint_by_its_own_order() {
    let sides = driven_ahead();
    let token = sides.text("waiting.jwt");
    // The clocks are right again. The gate knows better, by bundle 2, and says what is wrong.
    let status = sides.gate("status --json").json();
    let off = status["clock"]["off_by_seconds"].as_i64().expect("a number");
    assert!((off + YEARS).abs() <= 120, "{status}");
    assert_eq!(verdict(&sides, &token), "key_retired", "three years on, its key is long over");
    let refused = sides.attempt("gate clock accept --config far/gate.toml").expect_code(1);
    assert!(refused.stderr.contains("farside mint clock draft"), "{}", refused.stderr);
    // The mint has not destroyed its key by the wrong clock, and goes on with it.
    let third = sides.bundle("full");
    assert_eq!(sides.refusal_of(&third)["code"], "expired", "by the wrong floor");

    // Root signs a note, and the gate comes back: once.
    let drafted = sides.mint("clock draft --site dome --out clock.note --json").json();
    let floor = drafted["document"]["floor"].as_u64().expect("a moment");
    assert!(now_unix() > floor, "a token that is issued from now on is issued after the note");
    let unsigned = sides.attempt("gate clock reset clock.note --config far/gate.toml").expect_code(1);
    assert!(unsigned.stderr.contains("root"), "{}", unsigned.stderr);
    sides.mint("clock sign clock.note --key near/offline/root-1.key --passphrase-file near.passphrase");
    let reset = sides.gate("clock reset clock.note --json").json();
    let back = reset["floor_before"].as_i64().unwrap() - reset["floor"].as_i64().unwrap();
    assert!((back - YEARS).abs() <= 120, "{reset}");
    assert_eq!(verdict(&sides, &token), "stale", "nobody enters by a bundle of a wrong time");
    let again = sides.attempt("gate clock reset clock.note --config far/gate.toml").expect_code(1);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
    sides.gate(&format!("import {third}"));
    let code = sides.gate("receipt --json").json()["code"].as_str().expect("a code").to_owned();
    sides.mint(&format!("bundle receipt --site dome --seq 3 {code}"));
    // What was issued before stays out: whether it was revoked, the wrong bundle may have forgotten.
    assert_eq!(verdict(&sides, &token), "revoked");
    assert_eq!(verdict(&sides, &sides.token("ada", CONTROL)), "accept");

    // The mint: its log has signed a head three years ahead, and stops until people say that it may go on.
    let stopped = sides.attempt("mint bundle make --site dome --kind full --config near/mint.toml");
    assert!(stopped.stderr.contains("mint log accept-clock"), "{}", stopped.stderr);
    sides.mint("log accept-clock --reason \"the receiver was three years ahead\"");
    let twice = sides.attempt("mint log accept-clock --reason again --config near/mint.toml").expect_code(2);
    assert!(twice.stderr.contains("nothing keeps the log"), "{}", twice.stderr);

    // Everything goes on by itself, and both sides have it in their journals.
    let fourth = sides.bundle("full");
    sides.gate(&format!("import {fourth}"));
    let status = sides.gate("status --json").json();
    assert_eq!((&status["bundle"]["seq"], &status["clock"]["off_by_seconds"]), (&4.into(), &0.into()));
    assert!(sides.text("far/journal/gate-import.jsonl").contains("clock_reset"));
    assert!(sides.text("near/journal/mint.jsonl").contains("log_clock_accepted"));
    assert!(sides.mint("log check").stdout.contains("records"));
}

#[test]
fn a_clock_note_of_another_site_of_other_bundles_or_of_release_people_moves_nothing() {
    let sides = driven_ahead();
    let floor = || sides.gate("status --json").json()["clock"]["floor"].clone();
    let before = floor();
    let reset = |note: &str| {
        let refused = sides.attempt(&format!("gate clock reset {note} --config far/gate.toml"));
        refused.expect_code(1).stderr
    };
    let sign = |note: &str, key: &str| {
        sides.mint(&format!(
            "clock sign {note} --key near/offline/{key}.key --passphrase-file near.passphrase"
        ));
    };
    sides.mint("clock draft --site dome --seq-min 7 --seq-max 9 --out others.note");
    sign("others.note", "root-1");
    assert!(reset("others.note").contains("holds bundle 2"));
    sides.mint("clock draft --site dome --out release.note");
    sign("release.note", "release-1");
    assert!(reset("release.note").contains("root"));
    sides.mint("site add crater --issuer https://c.example --audience https://c.example --unsealed");
    sides.mint("clock draft --site crater --seq-min 1 --seq-max 2 --out crater.note");
    sign("crater.note", "root-1");
    assert!(reset("crater.note").contains("site"));
    // Its clock still ahead, a gate would go on by the wrong time.
    sides.mint("clock draft --site dome --out good.note");
    sign("good.note", "root-1");
    let clock = FakeTime::wall();
    clock.set(YEARS + 86_400);
    let early = run(clock.before(sides.command("gate clock reset good.note --config far/gate.toml")));
    assert!(early.expect_code(1).stderr.contains("set this machine's clock right first"));
    assert_eq!(floor(), before);
    sides.gate("clock reset good.note");
}
