//! Revocation from the command to the doors: a token by its own text, in any spelling, at once and urgently.

#[path = "../../crates/verify/tests/support/twin.rs"]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod twin;

use farside_service::time::now_unix;
use farside_system_tests::http;
use farside_system_tests::peers::Oracle;
use farside_system_tests::sides::{ARCHIVE, CONTROL, Sides};
use farside_verify::encode::base64url_decode;
use farside_verify::status_list::StatusList;
use serde_json::{Value, json};
use twin::twin;

/// A site with bundle 1 applied.
fn opened() -> Sides {
    let sides = Sides::founded();
    sides.bundle("full");
    sides.cross();
    sides
}

fn checked(sides: &Sides, token: &str) -> String {
    let line = format!("gate check {token} --audience {CONTROL} --json --config far/gate.toml");
    let verdict = sides.attempt(&line).json();
    verdict["code"].as_str().unwrap_or("accept").to_owned()
}

#[test]
fn a_token_revoked_by_itself_is_refused_at_every_door_in_any_spelling() {
    let sides = opened();
    let stapled = {
        sides.mint(&format!(
            "token issue --site dome --subject ada --audience {CONTROL} --with-proof --out issued.jwt"
        ));
        sides.text("issued.jwt")
    };
    let (token, kept) = (stapled.split('~').next().expect("a token").to_owned(), sides.token("ada", CONTROL));
    let spellings = [token.clone(), twin(&token), stapled.clone(), stapled.replace(&token, &twin(&token))];
    let _mint = sides.serve_mint();
    let _gate = sides.serve_gate();
    for spelling in &spellings {
        assert_eq!(sides.knock(spelling, CONTROL).status, 200);
    }
    // What was found is the twin with a staple; it lies in a file.
    sides.put("found.jwt", spellings[3].as_bytes());
    let revoked = sides.mint("revoke token found.jwt --reason \"found on a train\" --urgent --json").json();
    assert_eq!(revoked["new"], 1, "{revoked}");
    let bundle = revoked["bundles"][0]["path"].as_str().expect("an urgent bundle").to_owned();
    for spelling in &spellings {
        assert_eq!(sides.knock(spelling, CONTROL).status, 200, "nothing has crossed yet");
    }
    // Another process imports; the running gate refuses from then on.
    sides.gate(&format!("import {bundle}"));
    for spelling in &spellings {
        assert_eq!(sides.knock(spelling, CONTROL).status, 401);
        assert_eq!(checked(&sides, spelling), "revoked");
    }
    assert_eq!(sides.knock(&kept, CONTROL).status, 200);
    let listed = sides.mint("revoke list --json").json();
    assert_eq!((&listed[0]["kind"], &listed[0]["reason"]), (&"token".into(), &"found on a train".into()));
    assert!(listed[0]["by"].as_str().is_some_and(|by| by.starts_with("uid ")), "{listed}");
    // No journal holds any part of the token.
    for journal in ["near/journal/mint.jsonl", "near/journal/mint-cli.jsonl"] {
        let text = sides.text(journal);
        assert!(token.split('.').skip(1).all(|part| !text.contains(part)), "{journal}");
        assert!(journal.ends_with("mint.jsonl") || text.contains("found on a train"));
    }
}

#[test]
fn only_a_token_of_the_log_can_be_revoked_by_its_text() {
    let sides = opened();
    let token = sides.token("ada", CONTROL);
    let (input, signature) = token.rsplit_once('.').expect("a token");
    let (header, payload) = input.split_once('.').expect("a token");
    let changed =
        format!("{}.{payload}.{signature}", farside_verify::encode::base64url(r#"{"alg":"ES256"}"#));
    assert!(!changed.starts_with(header));
    for (text, words) in [
        (changed.as_str(), "another token"),
        ("eyJhbGciOiJFUzI1NiJ9.e30.AA", "no token that this mint has issued"),
        ("dome-zz", "holds no token"),
    ] {
        let refused = sides.attempt(&format!("mint revoke token {text} --reason x --config near/mint.toml"));
        let refused = refused.expect_code(1);
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert_eq!(sides.mint("revoke list --json").json(), serde_json::json!([]));
}

#[test]
fn disabling_a_person_takes_back_what_they_hold_with_the_next_bundle() {
    let sides = opened();
    let (ada, grace) = (sides.token("ada", CONTROL), sides.token("grace", CONTROL));
    sides.mint("person disable ada");
    sides.bundle("delta");
    sides.cross();
    assert_eq!([checked(&sides, &ada), checked(&sides, &grace)], ["revoked", "accept"]);
    sides.mint("person enable ada");
    sides.bundle("full");
    sides.cross();
    assert_eq!(checked(&sides, &ada), "revoked", "enabling takes nothing back");
    sides.mint("revoke group crew --reason \"shift is over\"");
    sides.bundle("delta");
    sides.cross();
    assert_eq!(checked(&sides, &grace), "revoked", "by membership: the token names no group");
}

#[test]
fn an_ordinary_third_party_finds_the_status_of_a_token_at_the_gate() {
    let sides = Sides::founded();
    sides.mint("site set dome --status-claim yes");
    sides.bundle("full");
    sides.cross();
    let (ada, grace) = (sides.token("ada", CONTROL), sides.token("grace", CONTROL));
    let _gate = sides.serve_gate();
    let discovery = format!("http://{}/.well-known/openid-configuration", sides.gate);
    let mut third = Oracle::node("status.mjs", &[&discovery]);
    let mut look =
        |token: &str| -> Value { serde_json::from_str(&third.ask(token)).expect("an answer in JSON") };
    let before = look(&ada);
    assert_eq!((&before["status"], &before["ttl"]), (&json!(0), &json!(3_600)), "{before}");
    assert_eq!(before["type"], "application/statuslist+jwt");
    assert_eq!((&before["asToken"], &before["maxAge"]), (&json!(false), &json!("max-age=3600")));
    // By its number, and by its subject: a list says so of both.
    sides.put("ada.jwt", ada.as_bytes());
    sides.mint("revoke token ada.jwt --reason lost");
    sides.mint("person disable grace");
    let (edith, lander) = (sides.token("lander-7", CONTROL), sides.token("lander-7", ARCHIVE));
    sides.bundle("delta");
    sides.cross();
    assert_eq!(
        [look(&ada), look(&grace), look(&edith), look(&lander)].map(|seen| seen["status"].clone()),
        [1, 1, 0, 0]
    );
    let list = format!("/status/dome/{}", 0);
    let asked = |accept| http::get(sides.gate, &list, &[("accept", accept)]).status;
    assert_eq!([asked("*/*"), asked("application/statuslist+cwt")], [200, 406]);
    // A list that no bundle has brought yet is not one that there never will be.
    assert_eq!(http::get(sides.gate, "/status/dome/9", &[]).status, 503);
    assert_eq!(http::get(sides.gate, "/status/crater/0", &[]).status, 404);
    // Shown at a door it is no token.
    let list = http::get(sides.gate, &list, &[]).body;
    assert_eq!(sides.knock(list.trim(), CONTROL).status, 401);
}

/// What a signed list says of a token.
fn bit(list: &str, token: &str) -> Option<u8> {
    let claims = |jws: &str| -> Value {
        let claims = jws.split('.').nth(1).and_then(base64url_decode).expect("claims");
        serde_json::from_slice(&claims).expect("JSON")
    };
    let index = claims(token)["status"]["status_list"]["idx"].as_u64().expect("an index");
    let list = claims(list);
    let lst = list["status_list"]["lst"].as_str().expect("a list");
    StatusList::decode_within(1, lst, 1 << 20).expect("a list of bits").get(index)
}

#[test]
fn status_lists_are_shown_on_the_near_side_and_lie_in_the_trust_folder_and_tell_of_a_revoked_key() {
    let sides = Sides::founded();
    let configuration = format!("{}\n\n[trust_folder]\npath = \"trust\"\n", sides.text("far/gate.toml"));
    sides.put("far/gate.toml", configuration.as_bytes());
    sides.mint("site set dome --status-claim yes");
    let token = sides.token("ada", CONTROL);
    let kid = sides.mint("keys list --json").json()[0]["key"]["kid"].as_str().expect("a key").to_owned();
    sides.mint(&format!("keys new --site dome --sign-from {}", now_unix()));
    sides.bundle("full");
    sides.cross();
    let code = sides.gate("receipt --json").json()["code"].as_str().expect("a code").to_owned();
    sides.mint(&format!("bundle receipt --site dome --seq 1 {code}"));
    let in_folder = || sides.text("far/trust/status/dome/0.jwt");
    assert_eq!(bit(&in_folder(), &token), Some(0));
    let shown = sides.text("far/trust/status.json");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["status_lists"]["seq"], 1, "{shown}");

    let later = sides.token("ada", CONTROL);
    sides.mint(&format!("revoke key {kid} --reason stolen"));
    std::fs::write(sides.path("far/trust/status/dome/77.jwt"), "of long ago").expect("written");
    sides.bundle("full");
    sides.cross();
    let _mint = sides.serve_mint();
    let near = http::get(sides.mint, "/status/dome/0", &[("accept", "application/statuslist+jwt")]);
    assert_eq!(near.status, 200);
    for list in [in_folder(), near.body.clone()] {
        assert_eq!((bit(&list, &token), bit(&list, &later)), (Some(1), Some(0)), "by the key that signed");
    }
    assert!(!sides.path("far/trust/status/dome/77.jwt").exists(), "what no longer counts is gone");
    let status = |path: &str| http::get(sides.mint, path, &[]).status;
    assert_eq!(
        [status("/status/dome/99"), status("/status/crater/0"), status("/status/dome/x")],
        [404, 404, 400]
    );
}
