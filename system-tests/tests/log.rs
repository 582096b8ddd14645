//! The issuance log as an auditor meets it: found, shown, exported, redacted; beside a mint that runs and
//! without one.

use farside_system_tests::sides::{ARCHIVE, CONTROL, Sides};
use serde_json::Value;

fn token_ids(found: &Value) -> Vec<&str> {
    found.as_array().expect("a list").iter().map(|line| line["token_id"].as_str().expect("an id")).collect()
}

#[test]
fn an_auditor_finds_shows_and_exports_records_beside_a_running_mint() {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let server = sides.serve_mint();
    sides.token("grace", ARCHIVE);
    sides.token("ada", ARCHIVE);
    let by_subject = sides.mint("log find --subject ada --json").json();
    assert_eq!(token_ids(&by_subject), ["dome-2", "dome-0"]);
    let all = sides.mint("log find --since 2020-01-01T00:00:00Z --limit 2 --json").json();
    assert_eq!(token_ids(&all), ["dome-2", "dome-1"]);
    assert!(token_ids(&sides.mint("log find --until 2020-01-01T00:00:00Z --json").json()).is_empty());
    let shown = sides.mint("log show dome-1 --json").json();
    assert_eq!(shown["entry"]["token"]["subject"], "grace");
    let requester = shown["entry"]["token"]["requester"].as_str().expect("a requester");
    let asked = sides.mint(&format!("log find --requester \"{requester}\" --json")).json();
    assert_eq!(token_ids(&asked), ["dome-2", "dome-1", "dome-0"]);
    sides.attempt("mint log show dome-3 --config near/mint.toml").expect_code(1);
    let export = sides.mint("log export").stdout;
    let lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[1]["token_id"], &lines[1]["leaf"]), (&shown["token_id"], &shown["leaf"]));
    assert!(server.stop().success());
}

#[test]
fn a_token_carried_by_hand_with_its_proof_is_admitted_before_its_leaf_has_crossed() {
    let sides = Sides::founded();
    sides.mint("site set dome --logged staple");
    sides.bundle("full");
    sides.cross();
    let server = sides.serve_mint();
    let issue = format!("token issue --site dome --subject ada --audience {CONTROL}");
    let bare = sides.token("ada", CONTROL);
    sides.mint(&format!("{issue} --with-proof --out stapled.jwt"));
    let stapled = sides.text("stapled.jwt");
    let (token, _) = stapled.split_once('~').expect("a staple");
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&bare, CONTROL).status, 401, "its leaf has not crossed");
    assert_eq!(sides.knock(token, CONTROL).status, 401, "nor has this one's");
    assert_eq!(sides.knock(&stapled, CONTROL).header("x-farside-subject"), Some("ada"));
    let shown = sides.mint(&format!("{issue} --with-proof --qr")).stdout;
    assert!(shown.contains('~') && shown.lines().filter(|line| line.contains('█')).count() > 20, "{shown}");
    sides.bundle("full");
    sides.cross();
    let answer = sides.knock(&bare, CONTROL);
    assert_eq!(answer.status, 200, "now it has: {answer:?}");
    assert!(gate.stop().success() && server.stop().success());
}

#[test]
fn a_proof_is_shown_as_other_logs_show_theirs() {
    let sides = Sides::founded();
    (0..3).for_each(|_| drop(sides.token("ada", CONTROL)));
    let text = sides.mint("log prove dome-1").stdout;
    let (proof, checkpoint) = text.split_once("\n\n").expect("a proof and a checkpoint");
    let lines: Vec<&str> = proof.lines().collect();
    assert_eq!(lines[..2], ["c2sp.org/tlog-proof@v1", "index 1"]);
    assert_eq!(lines.len(), 4, "two hashes lead to the root of three leaves: {proof}");
    assert!(checkpoint.contains("/dome\n3\n"), "{checkpoint}");
    assert_eq!(sides.mint("log prove dome-1 --json").json()["size"], 3);
    sides.attempt("mint log prove dome-3 --config near/mint.toml").expect_code(1);
}

#[test]
fn tokens_that_live_are_not_redacted_and_a_redaction_says_what_it_is_for() {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let server = sides.serve_mint();
    let redacted = sides.mint("log redact --subject ada --reason \"case 12\" --json").json();
    assert_eq!((&redacted["records"], &redacted["alive"]), (&Value::from(0), &Value::from(1)));
    sides.attempt("mint log redact --reason none --config near/mint.toml").expect_code(1);
    assert!(server.stop().success());
    sides.mint("log redact --until 2020-01-01T00:00:00Z --reason retention");
    assert_eq!(sides.mint("log show dome-0 --json").json()["entry"]["token"]["subject"], "ada");
    let journal = sides.text("near/journal/mint-cli.jsonl");
    assert!(journal.contains("log_redacted") && journal.contains("case 12"));
}
