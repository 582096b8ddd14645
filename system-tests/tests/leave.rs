//! What release people allow, from the command to the gate: a frozen stream goes on, a revocation is taken
//! back.

use std::process::Command;

use farside_system_tests::sides::{CONTROL, Sides};
use serde_json::Value;

fn verdict(sides: &Sides, token: &str) -> Value {
    let line = format!("gate check {token} --audience {CONTROL} --json --config far/gate.toml");
    let said = sides.attempt(&line).json();
    said.get("code").unwrap_or(&said["verdict"]).clone()
}

/// Imports one file, and says what became of it: a code, or that it was applied.
fn import(sides: &Sides, file: &str) -> String {
    let report = sides.attempt(&format!("gate import {file} --json --config far/gate.toml"));
    match report.code {
        0 => "applied".to_owned(),
        _ => report.json()["refusal"]["code"].as_str().expect("a refusal has its code").to_owned(),
    }
}

#[test]
fn a_gate_frozen_by_a_fork_goes_on_after_the_fence() {
    let sides = Sides::founded();
    assert_eq!(import(&sides, &sides.bundle("full")), "applied");
    // The mint as a backup has it, started by mistake beside the real one.
    let copied = Command::new("cp").arg("-a").arg(sides.path("near")).arg(sides.path("twin")).status();
    assert!(copied.expect("cp runs").success());
    assert_eq!(import(&sides, &sides.bundle("full")), "applied");
    let made =
        sides.farside("mint bundle make --site dome --kind full --json --config twin/mint.toml").json();
    assert_eq!(import(&sides, made["path"].as_str().expect("a path")), "fork");
    let token = sides.token("ada", CONTROL);
    assert_eq!(verdict(&sides, &token), "accept", "what was believed before is still believed");

    assert_eq!(import(&sides, &sides.bundle("full")), "frozen");
    sides.mint("release fence --site dome");
    let fenced = sides.bundle("full");
    assert_eq!(import(&sides, &fenced), "applied");
    let status = sides.gate("status --json").json();
    assert_eq!((&status["frozen"], &status["bundle"]["seq"]), (&Value::Bool(false), &Value::from(4)));
    assert_eq!(verdict(&sides, &sides.token("ada", CONTROL)), "accept");
    assert_eq!(import(&sides, &sides.bundle("full")), "applied", "the stream goes on by itself");
}

#[test]
fn a_pardon_takes_a_revocation_back_even_where_a_bundle_was_missed() {
    let sides = Sides::founded();
    let (ada, grace) = (sides.token("ada", CONTROL), sides.token("grace", CONTROL));
    sides.mint("revoke subject ada --reason left");
    sides.mint("revoke subject grace --reason left");
    assert_eq!(import(&sides, &sides.bundle("full")), "applied");
    assert_eq!([verdict(&sides, &ada), verdict(&sides, &grace)], ["revoked", "revoked"]);
    sides.mint("release pardon --site dome --subject grace");
    let missed = sides.bundle("full");
    sides.mint("release pardon --site dome --subject ada");
    assert_eq!(import(&sides, &sides.bundle("full")), "applied");
    assert_eq!([verdict(&sides, &ada), verdict(&sides, &grace)], ["accept", "accept"]);
    assert_eq!(import(&sides, &missed), "rollback");
    // Revoked again, it stays so: a pardon acts once.
    sides.mint("revoke subject ada --reason again");
    assert_eq!(import(&sides, &sides.bundle("full")), "applied");
    assert_eq!([verdict(&sides, &ada), verdict(&sides, &grace)], ["revoked", "accept"]);
}
