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
