//! `/verify`: who enters, what they are called, and every way of not entering.

use super::realm::{
    AUDIENCE, HOUR, NOW, Realm, TokenKey, audience, claims, policy, revoked_key, revoked_name, status,
};
use super::{Far, Site, ask, doors_of};
use farside_service::journal;

#[tokio::test]
async fn a_good_token_enters_and_the_five_headers_say_who_it_is() {
    let site = Site::open();
    let more = r#","roles":["admin","Über, all"],"groups":["dev"],"scope":"read write""#;
    let said = site.show(&site.realm.token("anna", 1, more)).await;
    assert_eq!(said.status, 200, "{said:?}");
    assert_eq!(said.header("x-farside-subject"), "anna");
    assert_eq!(said.header("x-farside-roles"), "admin,%C3%9Cber%2C%20all");
    assert_eq!(said.header("x-farside-groups"), "dev");
    assert_eq!(said.header("x-farside-scope"), "read write");
    assert_eq!(said.header("x-farside-token-id"), "dome-1");
    assert_eq!(said.header("cache-control"), "no-store");
    assert!(said.body.is_empty());
}

#[tokio::test]
async fn what_a_token_does_not_say_is_an_empty_header_that_overwrites() {
    let site = Site::open();
    let said = site.show(&site.realm.token("anna", 1, "")).await;
    for name in ["x-farside-roles", "x-farside-groups", "x-farside-scope"] {
        assert_eq!(said.headers.get(name).unwrap(), "", "{name}");
    }
}

#[tokio::test]
async fn every_refused_token_is_a_401_with_code_and_cure() {
    let site = Site::open();
    let (realm, stranger) = (&site.realm, TokenKey::new("key-9"));
    let good = realm.token("anna", 1, "");
    let sign = |claims: &str| realm.key.sign("at+jwt", claims);
    let mut tampered = good.clone().into_bytes();
    let middle = good.find('.').unwrap() + 20;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    let cases = [
        (good[..good.len() - 6].to_owned(), "signature_invalid"),
        (String::from_utf8(tampered).unwrap(), "signature_invalid"),
        (stranger.sign("at+jwt", &claims("anna", 1, NOW, "")), "key_unknown"),
        (sign(&claims("anna", 1, NOW - 2 * HOUR, "")), "expired"),
        (sign(&claims("anna", 1, NOW + 2 * HOUR, "")), "issued_in_future"),
        (sign(&claims("anna", 1, NOW, "").replace("\"db\"", "\"other\"")), "audience_mismatch"),
        (sign(&claims("anna", 1, NOW, "").replace("gate.dome", "gate.elsewhere")), "issuer_mismatch"),
        (sign(&claims("anna", 1, NOW, ",\"flr\":7")), "floor_ahead"),
        (
            sign(&claims("anna", 1, NOW, &format!(r#","cnf":{{"jkt":"{}"}}"#, "A".repeat(43)))),
            "holder_proof_required",
        ),
        (realm.key.sign("JWT", &claims("anna", 1, NOW, "")), "typ_mismatch"),
        ("a.b".to_owned(), "malformed"),
        ("x".repeat(16 * 1024 + 1), "too_large"),
    ];
    for (token, code) in cases {
        let said = site.show(&token).await;
        assert_eq!(said.code(), (401, code.to_owned()), "{said:?}");
        let challenge = said.header("www-authenticate");
        let begins =
            format!("Bearer realm=\"farside\", error=\"invalid_token\", error_description=\"{code}: ");
        assert!(challenge.starts_with(&begins), "{challenge}");
        assert!(!said.json()["cure"].as_str().unwrap().is_empty(), "{said:?}");
        assert_eq!(said.headers.keys().filter(|name| name.as_str().starts_with("x-farside")).count(), 0);
    }
}

#[tokio::test]
async fn a_request_without_bearer_token_is_only_challenged() {
    let site = Site::open();
    for headers in [&[][..], &[("authorization", "Basic YTpi")], &[("cookie", "token=a.b.c")]] {
        let said = site.verify(headers).await;
        assert_eq!(said.code(), (401, "missing_token".to_owned()));
        assert_eq!(said.header("www-authenticate"), "Bearer realm=\"farside\"");
    }
}

#[tokio::test]
async fn a_wrong_request_is_a_400_however_good_its_token() {
    let site = Site::open();
    let good = format!("Bearer {}", site.realm.token("anna", 1, ""));
    let authorization = ("authorization", good.as_str());
    let twice = site.verify(&[authorization, authorization]).await;
    assert_eq!(twice.code(), (400, "authorization_duplicate".to_owned()));
    let basic_too = site.verify(&[authorization, ("authorization", "Basic YTpi")]).await;
    assert_eq!(basic_too.code(), (400, "authorization_duplicate".to_owned()));
    let joined = format!("{good}, {good}");
    let joined = site.verify(&[("authorization", &joined)]).await;
    assert_eq!(joined.code(), (400, "authorization_malformed".to_owned()));
    for (path, code) in [
        ("/verify?aud=unknown", "audience_unknown"),
        ("/verify?aud=", "audience_unknown"),
        ("/verify?aud=db&aud=db", "parameters_invalid"),
        ("/verify?aud=db&%61ud=other", "parameters_invalid"),
        ("/verify?aud=db&skip=1", "parameters_invalid"),
        ("/verify?aud=%zz", "parameters_invalid"),
    ] {
        let said = site.ask("GET", path, &[authorization], "").await;
        assert_eq!(said.code(), (400, code.to_owned()), "{path}");
    }
    assert_eq!(site.ask("POST", "/verify?aud=db", &[authorization], "body").await.status, 200);
}

#[tokio::test]
async fn an_identity_header_that_comes_in_is_refused_in_every_spelling() {
    let site = Site::open();
    let good = format!("Bearer {}", site.realm.token("anna", 1, ""));
    for name in [
        "X-Farside-Subject",
        "x-farside-roles",
        "X_Farside_Subject",
        "x.farside.groups",
        "X-FARSIDE_SCOPE",
        "x_farside.token-id",
    ] {
        let said = site.verify(&[("authorization", &good), (name, "root")]).await;
        assert_eq!(said.code(), (400, "identity_header_forged".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn nothing_that_a_proxy_forwards_decides_anything() {
    let site = Site::open();
    let good = format!("Bearer {}", site.realm.token("anna", 1, ""));
    let forwarded = [
        ("x-forwarded-uri", "/healthz"),
        ("x-forwarded-method", "OPTIONS"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-original-url", "/public?aud=other"),
        ("x-forwarded-user", "root"),
        ("user-agent", "kube-probe/1.30"),
    ];
    assert_eq!(site.verify(&forwarded).await.code(), (401, "missing_token".to_owned()));
    let with_token: Vec<_> = forwarded.into_iter().chain([("authorization", good.as_str())]).collect();
    let said = site.verify(&with_token).await;
    assert_eq!((said.status.as_u16(), said.header("x-farside-subject")), (200, "anna"));
}

#[tokio::test]
async fn with_several_audiences_the_proxy_must_say_which() {
    let two = |realm: &Realm| {
        let mut plan = realm.plan();
        let mut policy = policy(1);
        policy.audiences.push(audience("https://wiki.example/"));
        plan.policy = Some(policy);
        vec![plan]
    };
    let site = Site::at(|| NOW, two);
    let good = format!("Bearer {}", site.realm.token("anna", 1, ""));
    let headers = [("authorization", good.as_str())];
    assert_eq!(site.verify(&headers).await.code(), (400, "audience_unspecified".to_owned()));
    assert_eq!(site.ask("GET", "/verify?aud=db", &headers, "").await.status, 200);
    let other = site.ask("GET", "/verify?aud=https%3A%2F%2Fwiki.example%2F", &headers, "").await;
    assert_eq!(other.code(), (401, "audience_mismatch".to_owned()));
}

#[tokio::test]
async fn a_gate_that_cannot_judge_says_503_and_never_200() {
    let (realm, far) = Far::enrolled();
    let good = format!("Bearer {}", realm.token("anna", 1, ""));
    let headers = [("authorization", good.as_str())];
    let untrusting = ask(&doors_of(&far, || NOW), "GET", "/verify?aud=db", &headers, "").await;
    assert_eq!(untrusting.code(), (503, "stale".to_owned()));

    let behind = Site::at(|| NOW - HOUR, |realm| vec![realm.plan()]);
    let good = behind.realm.token("anna", 1, "");
    assert_eq!(behind.show(&good).await.code(), (503, "clock_fault".to_owned()));
    assert_eq!(behind.ask("GET", "/readyz", &[], "").await.status, 503);

    let expired = Site::at(|| NOW + 25 * HOUR, |realm| vec![realm.plan()]);
    let good = expired.realm.key.sign("at+jwt", &claims("anna", 1, NOW + 25 * HOUR, ""));
    let said = expired.show(&good).await;
    assert_eq!(said.code(), (503, "stale".to_owned()));
    assert_eq!(said.header("retry-after"), "5");
    assert!(said.headers.get("www-authenticate").is_none(), "no credential would help");
    assert_eq!(
        expired.ask("GET", "/readyz", &[], "").await.body,
        "not ready\nexpired since 2027-01-16T08:00:00Z\n"
    );
    assert_eq!(expired.ask("GET", "/healthz", &[], "").await.body, "ok\n");
}

#[tokio::test]
async fn an_audience_goes_stale_by_its_own_tier() {
    let tiered = |realm: &Realm| {
        let mut plan = realm.plan();
        let mut strict = audience("strict");
        strict.stale_seconds_max.read = Some(60);
        let mut policy = policy(1);
        policy.audiences.push(strict);
        plan.policy = Some(policy);
        vec![plan]
    };
    let site = Site::at(|| NOW + 120, tiered);
    let ordinary = format!("Bearer {}", site.realm.token("anna", 1, ""));
    let strict = site.realm.key.sign("at+jwt", &claims("anna", 2, NOW, "").replace("\"db\"", "\"strict\""));
    let strict = format!("Bearer {strict}");
    let said = site.ask("GET", "/verify?aud=db", &[("authorization", &ordinary)], "").await;
    assert_eq!(said.status, 200);
    let said = site.ask("GET", "/verify?aud=strict", &[("authorization", &strict)], "").await;
    assert_eq!(said.code(), (503, "stale".to_owned()));
}

#[tokio::test]
async fn a_revocation_holds_from_the_moment_its_bundle_is_applied() {
    let mut site = Site::open();
    let (anna, bert) = (site.realm.token("anna", 1, ""), site.realm.token("bert", 2, ""));
    assert_eq!(site.show(&anna).await.status, 200);

    let mut plan = site.realm.plan();
    let mut revoked = status(2);
    revoked.subjects.push(revoked_name("anna", NOW));
    plan.status = Some(revoked.clone());
    let bundle = site.realm.send(plan);
    site.far.import(&bundle);
    assert_eq!(site.show(&anna).await.code(), (401, "revoked".to_owned()));
    assert_eq!(site.show(&bert).await.status, 200);

    // The second import in a row is seen as soon as the first.
    let mut plan = site.realm.plan();
    revoked.version = 3;
    revoked.keys.push(revoked_key(&site.realm.key.kid));
    plan.status = Some(revoked);
    let bundle = site.realm.send(plan);
    site.far.import(&bundle);
    assert_eq!(site.show(&bert).await.code(), (401, "revoked".to_owned()));
    let keys = site.ask("GET", "/jwks.json", &[], "").await;
    assert_eq!(keys.body, r#"{"keys":[]}"#);
}

#[tokio::test]
async fn each_decision_is_in_the_journal_before_it_is_answered_and_no_token_is() {
    let site = Site::open();
    let good = site.realm.token("anna", 1, "");
    let bad = site.realm.key.sign("at+jwt", &claims("mallory", 2, NOW - 2 * HOUR, ""));
    for round in 1..=3 {
        site.show(&good).await;
        assert_eq!(site.journal("decision").len(), 2 * round - 1, "durable before the answer");
        site.show(&bad).await;
    }
    let lines = site.journal("decision");
    let (admitted, refused) = (&lines[0], &lines[1]);
    assert_eq!((admitted["verdict"].as_str(), admitted["sub"].as_str()), (Some("admit"), Some("anna")));
    assert_eq!((admitted["jti"].as_str(), admitted["aud"].as_str()), (Some("dome-1"), Some(AUDIENCE)));
    assert_eq!((refused["verdict"].as_str(), refused["code"].as_str()), (Some("refuse"), Some("expired")));
    assert_eq!(refused["token_sha256"].as_str().map(str::len), Some(64));
    let text = site.journal_text();
    for token in [&good, &bad] {
        for part in token.split('.') {
            assert!(!text.contains(part), "no part of a token is written down");
        }
    }
    assert!(!text.contains("mallory"), "what a refused token says of itself is not believed");
    journal::verify(&site.far.config.journal().join("gate.jsonl")).unwrap();
}
