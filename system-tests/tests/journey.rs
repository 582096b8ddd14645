//! The main job, by the commands of an operator: found, enrol, issue, pack, carry, admit; and the
//! demonstration.

use farside_system_tests::http;
use farside_system_tests::programs::{command, run};
use farside_system_tests::sides::{ARCHIVE, CONTROL, Sides};

#[test]
fn a_token_crosses_the_gap() {
    let sides = Sides::founded();
    let order =
        format!("order add --site dome --subject ada --audience {CONTROL} --lifetime 8h --claim phrase");
    let phrase =
        sides.mint(&format!("{order} --json")).json()["phrase"].as_str().expect("a phrase").to_owned();
    sides.put("ada.phrase", phrase.as_bytes());
    let own = sides.token("grace", ARCHIVE);

    sides.bundle("full");
    sides.cross();
    let receipt = sides.gate("receipt --json").json()["code"].as_str().expect("a code").to_owned();
    sides.mint(&format!("bundle receipt --site dome --seq 1 {receipt}"));

    let gate = sides.serve_gate();
    let picked = sides.gate("pickup --subject ada --phrase-file ada.phrase --json").json();
    let token = picked["token"].as_str().expect("a token").to_owned();
    let answer = sides.knock(&token, CONTROL);
    assert_eq!((answer.status, answer.header("x-farside-subject")), (200, Some("ada")), "{answer:?}");
    assert_eq!(answer.header("x-farside-roles"), Some("operator"));
    assert_eq!(sides.knock(&own, ARCHIVE).header("x-farside-subject"), Some("grace"));
    assert_eq!(sides.knock(&own, CONTROL).status, 401);
    assert_eq!(http::get(sides.gate, "/healthz", &[]).status, 200);
    assert!(gate.stop().success());

    // Either side can show afterwards what it did.
    sides.gate("audit verify");
    sides.mint("log check");
}

#[test]
fn the_first_journey_needs_no_second_bundle_to_be_repeated() {
    let sides = Sides::founded();
    sides.bundle("full");
    sides.cross();
    // The same stick again: nothing to do, and no error.
    sides.cross();
    assert_eq!(sides.gate("status --json").json()["bundle"]["seq"], 1);
}

#[test]
fn a_site_that_missed_bundles_bridges_them() {
    let sides = Sides::founded();
    (0..3).for_each(|_| drop(sides.bundle("full")));
    sides.cross();
    let status = sides.gate("status --json").json();
    assert_eq!(status["bundle"]["seq"], 3);
    assert_eq!(status["missing"].as_array().map(Vec::len), Some(0), "the stick keeps old bundles: {status}");
}

#[test]
fn the_demonstration_tells_its_story_and_leaves_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let told = run(command(&["demo", "--keep", &kept.to_string_lossy()])).expect_code(0);
    let refusals = [
        "signature_invalid",
        "audience_mismatch",
        "expired",
        "key_unknown",
        "floor_ahead",
        "rollback",
        "truncated",
        "role_forbidden",
        "not_logged",
    ];
    for code in refusals {
        assert!(told.stdout.contains(code), "the story lacks {code}:\n{}", told.stdout);
    }
    for side in ["near/mint.toml", "far/gate.toml", "stick"] {
        assert!(kept.join(side).exists(), "{side} was not kept");
    }
    // A second time into the same folder is refused: keys lie there.
    run(command(&["demo", "--keep", &kept.to_string_lossy()])).expect_code(2);
}
