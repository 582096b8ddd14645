//! Discovery, keys and health: what anyone may see.

use super::realm::{HOUR, ISSUER, NOW, Realm, TokenKey, keys_of};
use super::{Far, Site, ask, doors_of};

#[tokio::test]
async fn software_that_verifies_by_itself_finds_issuer_and_keys() {
    let site = Site::open();
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let said = site.ask("GET", path, &[], "").await;
        assert_eq!(said.header("content-type"), "application/json");
        let found = said.json();
        assert_eq!(found["issuer"], ISSUER);
        assert_eq!(found["jwks_uri"], format!("{ISSUER}/jwks.json"));
        assert_eq!(found["id_token_signing_alg_values_supported"][0], "ES256");
        assert_eq!(found["subject_types_supported"][0], "public");
        assert!(!found["response_types_supported"].as_array().unwrap().is_empty());
    }
    let keys = site.ask("GET", "/jwks.json", &[], "").await;
    assert_eq!(keys.json()["keys"][0]["kid"], "key-1");
    assert_eq!(keys.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn only_keys_whose_trust_is_current_are_shown() {
    let three = |realm: &Realm| {
        let retired = TokenKey::new("old").jwk(&format!(",\"accept_until\":{}", NOW - 1));
        let ending = TokenKey::new("ending").jwk(&format!(",\"accept_until\":{}", NOW + HOUR));
        let mut plan = realm.plan();
        plan.keys = Some(keys_of(1, &[retired, ending, realm.key.jwk("")]));
        vec![plan]
    };
    let site = Site::at(|| NOW, three);
    let shown = site.ask("GET", "/jwks.json", &[], "").await.json();
    let ids: Vec<_> = shown["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert_eq!(ids, ["ending", "key-1"]);

    let expired = Site::at(|| NOW + 25 * HOUR, |realm| vec![realm.plan()]);
    assert_eq!(expired.ask("GET", "/jwks.json", &[], "").await.body, r#"{"keys":[]}"#);
}

#[tokio::test]
async fn before_anything_crossed_nothing_is_shown() {
    let (_realm, far) = Far::enrolled();
    let doors = doors_of(&far, || NOW);
    for path in ["/jwks.json", "/.well-known/openid-configuration", "/readyz"] {
        assert_eq!(ask(&doors, "GET", path, &[], "").await.status, 503, "{path}");
    }
    assert_eq!(ask(&doors, "GET", "/readyz", &[], "").await.body, "not ready\n");
    assert_eq!(ask(&doors, "GET", "/healthz", &[], "").await.body, "ok\n");
}

#[tokio::test]
async fn health_says_one_word_and_other_paths_are_no_doors() {
    let site = Site::open();
    assert_eq!(site.ask("GET", "/readyz", &[], "").await.body, "ready\n");
    assert_eq!(site.ask("HEAD", "/healthz", &[], "").await.status, 200);
    for path in
        ["/", "/verify/", "/verify/x", "//verify", "/VERIFY", "/metrics", "/%76erify", "/.well-known/other"]
    {
        assert_eq!(site.ask("GET", path, &[], "").await.status, 404, "{path}");
    }
    for path in ["/jwks.json", "/healthz", "/readyz"] {
        let said = site.ask("POST", path, &[], "").await;
        assert_eq!((said.status.as_u16(), said.header("allow")), (405, "GET, HEAD"), "{path}");
    }
}
