//! What must be refused, tried by files and commands on both sides: each test is an attempt somebody would
//! make.

use aws_lc_rs::rand::SystemRandom;
use farside_mint::config::Mint;
use farside_mint::keys::{self, KeyPair};
use farside_system_tests::http;
use farside_system_tests::sides::{ARCHIVE, CONTROL, Sides};
use farside_verify::encode::{base64url, base64url_decode};
use serde_json::{Value, json};

/// A site with bundle 1 applied.
fn opened() -> Sides {
    let sides = Sides::founded();
    sides.bundle("full");
    sides.cross();
    sides
}

fn check(sides: &Sides, token: &str, audience: &str) -> Value {
    let line = format!("gate check {token} --audience {audience} --json --config far/gate.toml");
    sides.attempt(&line).json()
}

#[test]
fn tokens_that_do_not_belong_are_refused_each_for_its_reason() {
    let sides = opened();
    let token = sides.token("ada", CONTROL);
    assert_eq!(check(&sides, &token, CONTROL)["verdict"], "accept");
    assert_eq!(check(&sides, &token, ARCHIVE)["code"], "audience_mismatch");
    assert_eq!(
        check(&sides, &with_claim(&token, "roles", json!(["admin"])), CONTROL)["code"],
        "signature_invalid"
    );
    let unsigned = token.rsplit_once('.').expect("a token has a signature").0;
    assert_eq!(check(&sides, unsigned, CONTROL)["code"], "malformed");

    let expiry = claims(&token)["exp"].as_u64().unwrap();
    let late = format!("gate check {token} --now {} --json --config far/gate.toml", expiry + 3_600);
    assert_eq!(sides.attempt(&late).json()["code"], "expired");

    sides
        .mint("site add crater --issuer https://crater.example --audience https://crater.example --unsealed");
    sides.mint("keys new --site crater");
    let other = "token issue --site crater --subject ada --audience https://crater.example --out other.jwt";
    sides.mint(other);
    assert_eq!(check(&sides, &sides.text("other.jwt"), CONTROL)["code"], "key_unknown");
}

#[test]
fn a_gate_kept_stale_refuses_fresh_tokens() {
    let sides = opened();
    sides.bundle("full");
    let token = sides.token("ada", CONTROL);
    let refusal = check(&sides, &token, CONTROL);
    assert_eq!(refusal["code"], "floor_ahead");
    assert!(refusal["cure"].as_str().unwrap().contains('2'), "the cure names the bundle: {refusal}");
    sides.cross();
    assert_eq!(check(&sides, &token, CONTROL)["verdict"], "accept");
}

#[test]
fn a_revoked_subject_is_refused_once_the_bundle_is_applied() {
    let sides = opened();
    let token = sides.token("grace", CONTROL);
    assert_eq!(check(&sides, &token, CONTROL)["verdict"], "accept");
    sides.mint("revoke subject grace --reason left");
    sides.bundle("full");
    sides.cross();
    assert_eq!(check(&sides, &token, CONTROL)["code"], "revoked");
}

#[test]
fn old_and_broken_bundles_are_refused_and_the_gate_goes_on() {
    let sides = opened();
    let token = sides.token("ada", CONTROL);
    let second = sides.bundle("full");
    sides.cross();
    assert_eq!(sides.refusal_of("near/outbox/dome/dome-00000001.fbundle")["code"], "rollback");

    let whole = sides.get(&second);
    for (cut, code) in [(whole.len() - 1, "truncated"), (whole.len() / 2, "truncated")] {
        sides.put("cut.fbundle", &whole[..cut]);
        assert_eq!(sides.refusal_of("cut.fbundle")["code"], code, "cut at {cut}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    sides.put("longer.fbundle", &longer);
    assert!(sides.refusal_of("longer.fbundle")["code"].is_string());
    assert_eq!(check(&sides, &token, CONTROL)["verdict"], "accept");
}

#[test]
fn a_bundle_changed_anywhere_is_refused() {
    let sides = opened();
    let whole = sides.get(&sides.bundle("full"));
    // Every region of the file: the first line, the manifest, its signatures, each blob.
    for at in (0..whole.len()).step_by(whole.len() / 24) {
        let mut changed = whole.clone();
        changed[at] ^= 0x20;
        sides.put("changed.fbundle", &changed);
        let refusal = sides.refusal_of("changed.fbundle");
        assert!(refusal["code"].is_string(), "byte {at} of {} may be changed unseen", whole.len());
    }
    assert_eq!(sides.gate("status --json").json()["bundle"]["seq"], 1);
}

#[test]
fn another_sites_bundle_is_refused() {
    let sides = opened();
    sides
        .mint("site add crater --issuer https://crater.example --audience https://crater.example --unsealed");
    sides.mint("keys new --site crater");
    let made = sides.mint("bundle make --site crater --kind full --json").json();
    assert_eq!(sides.refusal_of(made["path"].as_str().unwrap())["code"], "wrong_site");
}

#[test]
fn headers_that_name_an_identity_are_refused_at_the_door() {
    let sides = opened();
    let token = sides.token("grace", CONTROL);
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    let path = format!("/verify?aud={}", http::escaped(CONTROL));
    let bearer = format!("Bearer {token}");
    for forged in ["x-farside-roles", "X_Farside_Roles", "x-farside.roles"] {
        let answer = http::get(sides.gate, &path, &[("authorization", &bearer), (forged, "operator")]);
        assert_ne!(answer.header("x-farside-roles"), Some("operator"), "{forged} went through");
        assert_eq!(answer.status, 400, "{forged}: {answer:?}");
    }
    gate.stop();
}

#[test]
fn a_token_forged_with_the_stolen_key_enters_nowhere_once_proof_is_demanded() {
    let sides = Sides::founded();
    let token = sides.token("ada", CONTROL);
    sides.bundle("full");
    sides.cross();
    // At the next place of the log, at one far beyond it, and at the place of an honest token.
    let taken = claims(&token)["jti"].as_str().unwrap().to_owned();
    let (shard, _) = taken.rsplit_once('-').unwrap();
    let places = [format!("{shard}-1"), format!("{shard}-zzz"), taken.clone()];
    let forged = places.map(|jti| forged(&sides, &token, &jti));
    for forged in &forged {
        assert_eq!(check(&sides, forged, CONTROL)["verdict"], "accept", "its signature holds: {forged}");
    }
    sides.mint("site set dome --logged leaf");
    sides.bundle("full");
    sides.cross();
    let gate = sides.serve_gate();
    assert_eq!(check(&sides, &token, CONTROL)["verdict"], "accept");
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    for forged in &forged {
        assert_eq!(check(&sides, forged, CONTROL)["code"], "not_logged");
        assert_eq!(sides.knock(forged, CONTROL).status, 401);
    }
    gate.stop();
}

/// What a thief signs who has the site's token key off the mint's disk.
fn forged(sides: &Sides, token: &str, jti: &str) -> String {
    let mint = Mint::open(&sides.path("near/mint.toml")).unwrap();
    let directory = mint.store().unwrap().directory().unwrap();
    let record = &directory.site("dome").unwrap().keys[0];
    let passphrase = mint.passphrase().unwrap();
    let key = keys::open_token_at(&record.place, &record.jwk, &mint.home.0, &passphrase).unwrap();
    let KeyPair::Ecdsa(pair) = &key.pair else { panic!("the site's key is not ECDSA") };
    let changed = with_claim(&with_claim(token, "jti", json!(jti)), "sub", json!("eve"));
    let input = changed.rsplit_once('.').unwrap().0;
    let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    format!("{input}.{}", base64url(signature.as_ref()))
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).and_then(base64url_decode).expect("a token has claims");
    serde_json::from_slice(&payload).expect("claims are JSON")
}

fn with_claim(token: &str, name: &str, value: Value) -> String {
    let mut claims = claims(token);
    claims[name] = value;
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], base64url(claims.to_string()), parts[2])
}
