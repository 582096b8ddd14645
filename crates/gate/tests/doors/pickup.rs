//! `/pickup`: holders collect what was carried for them, and nobody else does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use farside_crossing::{Claim, Parcel, RawJson};
use farside_service::digest;
use serde_json::json;

use super::realm::{ISSUER, NOW, Realm, TokenKey};
use super::{Said, Site};

const PHRASE: &str = "seven quiet moons";

async fn pick_up(site: &Site, body: &serde_json::Value) -> Said {
    site.ask("POST", "/pickup", &[("content-type", "application/json")], &body.to_string()).await
}

/// A gate that was brought a token for a person with a phrase, and one for a bot with a key.
fn with_parcels(bot: &TokenKey) -> Site {
    let (phrase, jwk) = (URL_SAFE_NO_PAD.encode(digest::sha256(PHRASE.as_bytes())), bot.jwk(""));
    Site::at(
        || NOW,
        |realm: &Realm| {
            let parcel = |sub: &str, index, claim| {
                let (token, sub) = (realm.token(sub, index, ""), sub.to_owned());
                Parcel { token, sub, aud: Some("db".to_owned()), claim }
            };
            let mut plan = realm.plan();
            plan.parcels = Some(vec![
                parcel("anna", 1, Claim::Phrase { sha256: phrase }),
                parcel("bot-7", 2, Claim::Key { jwk: RawJson::new(&jwk).unwrap() }),
            ]);
            vec![plan]
        },
    )
}

fn proof(bot: &TokenKey, subject: &str, audience: &str, id: &str) -> String {
    let claims =
        json!({"iss": subject, "sub": subject, "aud": audience, "iat": NOW, "exp": NOW + 60, "jti": id});
    bot.sign("JWT", &claims.to_string())
}

#[tokio::test]
async fn a_person_collects_with_the_phrase_and_enters_with_what_it_got() {
    let site = with_parcels(&TokenKey::new("bot"));
    let said = pick_up(&site, &json!({"subject": "anna", "phrase": PHRASE})).await;
    assert_eq!(said.status, 200, "{said:?}");
    assert_eq!(said.header("cache-control"), "no-store");
    let tokens = said.json()["tokens"].clone();
    assert_eq!((tokens[0]["subject"].as_str(), tokens[0]["audience"].as_str()), (Some("anna"), Some("db")));
    let token = tokens[0]["token"].as_str().unwrap();
    assert_eq!(site.show(token).await.status, 200);
    let line = &site.journal("pickup")[0];
    assert_eq!(
        (line["verdict"].as_str(), line["token_ids"][0].as_str()),
        (Some("collected"), Some("dome-1"))
    );
    let text = site.journal_text();
    assert!(!text.contains(PHRASE) && !text.contains(token.rsplit('.').next().unwrap()));
}

#[tokio::test]
async fn a_wrong_phrase_and_a_wrong_name_are_answered_alike() {
    let site = with_parcels(&TokenKey::new("bot"));
    let wrong_phrase = pick_up(&site, &json!({"subject": "anna", "phrase": "guess"})).await;
    let wrong_name = pick_up(&site, &json!({"subject": "nobody", "phrase": "guess"})).await;
    let someone_elses = pick_up(&site, &json!({"subject": "bert", "phrase": PHRASE})).await;
    for said in [&wrong_phrase, &wrong_name, &someone_elses] {
        assert_eq!(said.code(), (404, "nothing_to_collect".to_owned()));
        assert_eq!(said.body, wrong_phrase.body);
    }
    assert_eq!(site.journal("pickup").len(), 3);
}

#[tokio::test]
async fn phrases_cannot_be_found_by_trying() {
    let site = with_parcels(&TokenKey::new("bot"));
    for round in 0..5 {
        let said = pick_up(&site, &json!({"subject": "anna", "phrase": format!("guess {round}")})).await;
        assert_eq!(said.status, 404);
    }
    let said = pick_up(&site, &json!({"subject": "anna", "phrase": PHRASE})).await;
    assert_eq!(said.code(), (429, "too_many_attempts".to_owned()), "even with the right phrase");
    assert!(said.header("retry-after").parse::<u64>().unwrap() <= 300);
}

#[tokio::test]
async fn a_bot_collects_with_its_key_and_each_proof_counts_once() {
    let bot = TokenKey::new("bot");
    let site = with_parcels(&bot);
    let audience = format!("{ISSUER}/pickup");
    let good = json!({"subject": "bot-7", "assertion": proof(&bot, "bot-7", &audience, "1")});
    assert_eq!(pick_up(&site, &good).await.json()["tokens"][0]["token_id"], "dome-2");
    assert_eq!(pick_up(&site, &good).await.code(), (401, "replayed".to_owned()));
}

#[tokio::test]
async fn whoever_has_not_proven_the_key_does_not_learn_that_tokens_wait() {
    let (bot, stranger) = (TokenKey::new("bot"), TokenKey::new("bot"));
    let site = with_parcels(&bot);
    let audience = format!("{ISSUER}/pickup");
    let attempt = |subject: &str, assertion: String| json!({"subject": subject, "assertion": assertion});
    let nobody = pick_up(&site, &attempt("nobody", proof(&stranger, "nobody", &audience, "1"))).await;
    assert_eq!(nobody.code(), (404, "nothing_to_collect".to_owned()));
    let attempts = [
        (proof(&stranger, "bot-7", &audience, "2"), "signature_invalid"),
        (proof(&bot, "bot-7", "https://other.example/pickup", "3"), "audience_mismatch"),
        (proof(&bot, "bot-8", &audience, "4"), "issuer_mismatch"),
        ("no.such.proof".to_owned(), "malformed"),
    ];
    for (assertion, code) in attempts {
        let said = pick_up(&site, &attempt("bot-7", assertion)).await;
        assert_eq!((said.status, &said.body), (nobody.status, &nobody.body));
        let names = |said: &Said| said.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&said), names(&nobody));
        assert_eq!(site.journal("pickup").last().unwrap()["code"], code, "the operator learns why");
    }
}

#[tokio::test]
async fn only_one_proof_in_json_is_read() {
    let site = with_parcels(&TokenKey::new("bot"));
    for body in [
        json!({"subject": "anna"}),
        json!({"phrase": PHRASE}),
        json!({"subject": "", "phrase": PHRASE}),
        json!({"subject": "anna", "phrase": PHRASE, "assertion": "a.b.c"}),
        json!({"subject": "anna", "phrase": PHRASE, "extra": 1}),
        json!({"subject": ["anna"], "phrase": PHRASE}),
        json!({"subject": "a".repeat(2_000), "phrase": PHRASE}),
        json!([]),
    ] {
        assert_eq!(pick_up(&site, &body).await.code(), (400, "body_invalid".to_owned()), "{body}");
    }
    let body = json!({"subject": "anna", "phrase": PHRASE}).to_string();
    let form = site.ask("POST", "/pickup", &[("content-type", "text/plain")], &body).await;
    assert_eq!(form.status, 400, "what a foreign web page could make a browser send is not read");
    assert_eq!(site.ask("GET", "/pickup", &[], "").await.status, 405);
    assert!(site.journal("pickup").is_empty());
}
