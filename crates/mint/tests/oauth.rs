//! The token endpoint as the RFCs have it: what it answers, in which words, and what no client gets past it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod common;
#[path = "oauth/dpop.rs"]
mod dpop;

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{AUDIENCE, ISSUER_URL, Realm};
use farside_mint::config::Home;
use farside_mint::log::index::{Index, IndexFault};
use farside_mint::oauth::{ASSERTION_TYPE, Backroom, Endpoints, SpentAssertions};
use farside_mint::revocation;
use farside_service::cli::Failure;
use farside_service::journal::Journal;
use farside_service::time::now_unix;
use farside_verify::encode::base64url;
use farside_verify::{KeySet, Policy, Verifier};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const URL: &str = "https://mint.example";
const SECRET: &str = "NDhkNTM0YjAtYzY2Ni00MzJkLTk1MjMtMzE4ZTg4Nzk";

/// A mint with two bots: `p1` has a secret and a key, `b1` a key of its own.
struct Mint {
    realm: Realm,
    endpoints: Arc<Endpoints>,
    poller: EcdsaKeyPair,
    backup: EcdsaKeyPair,
}

/// Where the log and the journal lie.
#[derive(Debug)]
struct Room(Home);

impl Backroom for Room {
    fn index(&self) -> Result<Index, IndexFault> {
        Index::open(&self.0.log())
    }

    fn record(&self, event: &str, members: Value) -> Result<(), Failure> {
        let (journal, _) = Journal::open(&self.0.journal(), "mint")?;
        Ok(journal.record(event, members)?.wait()?)
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

fn key_pair() -> (EcdsaKeyPair, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (base64url(&point[1..33]), base64url(&point[33..65]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256"});
    (pair, json!({ "keys": [jwk] }).to_string())
}

impl Mint {
    fn open() -> Mint {
        let realm = Realm::founded();
        let ((poller, poller_jwks), (backup, backup_jwks)) = (key_pair(), key_pair());
        let hash = farside_service::digest::hex(&farside_service::digest::sha256(SECRET.as_bytes()));
        realm.sql(&format!(
            "UPDATE subject SET jwks = '{poller_jwks}', secret_sha256 = x'{hash}' WHERE name = 'poller';
             UPDATE subject SET jwks = '{backup_jwks}' WHERE name = 'backup';"
        ));
        let endpoints = endpoints(&realm);
        Mint { realm, endpoints, poller, backup }
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = Arc::clone(&self.endpoints).router().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body }
    }

    async fn post(&self, authorization: Option<&str>, body: &str) -> Answer {
        let mut request =
            Request::post("/oauth2/token").header("content-type", "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn revoke(&self, authorization: Option<&str>, body: &str) -> Answer {
        let kind = "application/x-www-form-urlencoded";
        let mut request = Request::post("/oauth2/revoke").header("content-type", kind);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn with_assertion(&self, assertion: &str) -> Answer {
        let body = format!(
            "grant_type=client_credentials&audience={AUDIENCE}&client_assertion_type={}\
             &client_assertion={assertion}",
            ASSERTION_TYPE.replace(':', "%3A")
        );
        self.post(None, &body).await
    }

    fn believes(&self, answer: &Answer) -> farside_verify::Verified<farside_verify::Claims> {
        let keys = KeySet::from_jwks(self.realm.jwks().as_bytes()).unwrap();
        let verifier = Verifier::new(keys, Policy::access_token(ISSUER_URL, [AUDIENCE]));
        verifier.verify(answer.body["access_token"].as_str().unwrap(), now_unix()).unwrap()
    }
}

fn endpoints(realm: &Realm) -> Arc<Endpoints> {
    let now = now_unix();
    let store = Arc::clone(&realm.store);
    let (issuer, recovered) =
        farside_mint::issue::Issuer::open(&realm.mint, store, common::passphrase(), now).unwrap();
    let spent = SpentAssertions::recovered(recovered.assertions, now);
    Endpoints::new(Arc::new(issuer), URL, spent, Arc::new(Room(realm.mint.home.clone())))
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn assertion(header: &Value, claims: &Value, key: &EcdsaKeyPair) -> String {
    let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    format!("{input}.{}", base64url(signature.as_ref()))
}

fn claims() -> Value {
    let now = now_unix();
    let id = base64url(farside_service::random::bytes::<12>().unwrap());
    let audience = format!("{URL}/oauth2/token");
    json!({"iss": "p1", "sub": "p1", "aud": audience, "iat": now, "exp": now + 300, "jti": id})
}

/// RFC 6749 §5.2: the code, a status, JSON, and nothing that a cache may keep.
fn assert_error(answer: &Answer, status: u16, code: &str, case: &str) {
    assert_eq!(answer.body["error"], code, "{case}: {}", answer.body);
    assert_eq!(answer.status.as_u16(), status, "{case}");
    assert_eq!(answer.headers["cache-control"], "no-store", "{case}");
    assert_eq!(answer.headers["pragma"], "no-cache", "{case}");
    assert_eq!(answer.headers["content-type"], "application/json", "{case}");
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{case}");
    assert!(answer.body.get("access_token").is_none(), "{case}");
    let description = answer.body["error_description"].as_str().unwrap();
    assert!(description.bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{case}");
}

#[tokio::test]
async fn a_bot_with_its_secret_gets_a_token() {
    let mint = Mint::open();
    let body = format!("grant_type=client_credentials&resource={AUDIENCE}&scope=reader");
    let answer = mint.post(Some(&basic("p1", SECRET)), &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 900);
    assert_eq!(answer.body["scope"], "reader");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let claims = mint.believes(&answer);
    assert_eq!((claims.subject(), claims.client_id()), (Some("poller"), Some("p1")));
    assert!(claims.roles().eq(["reader"]));
    assert_eq!(claims.scope(), Some("reader"));
}

#[tokio::test]
async fn a_client_takes_back_its_own_token_and_nobody_elses() {
    let mint = Mint::open();
    let auth = basic("p1", SECRET);
    let issue = format!("grant_type=client_credentials&audience={AUDIENCE}");
    let mine = mint.post(Some(&auth), &issue).await.body["access_token"].as_str().unwrap().to_owned();
    let in_force = || revocation::list(&mint.realm.store, None, now_unix()).unwrap();
    let mut others = claims();
    (others["iss"], others["sub"]) = ("b1".into(), "b1".into());
    let others = mint.with_assertion(&assertion(&json!({"alg": "ES256"}), &others, &mint.backup)).await;
    let others = others.body["access_token"].as_str().unwrap().to_owned();
    for (case, authorization, body, status, code) in [
        ("of another", Some(auth.as_str()), format!("token={others}"), 400, "unauthorized_client"),
        ("no token", Some(&auth), "token_type_hint=access_token".to_owned(), 400, "invalid_request"),
        ("two tokens", Some(&auth), format!("token={mine}&token={mine}"), 400, "invalid_request"),
        ("nobody", None, format!("token={mine}"), 401, "invalid_client"),
        ("wrong secret", Some(&basic("p1", "x")), format!("token={mine}"), 401, "invalid_client"),
    ] {
        assert_error(&mint.revoke(authorization, &body).await, status, code, case);
    }
    let huge = mint.revoke(Some(&auth), &format!("token={}", "a".repeat(20_000))).await;
    assert_error(&huge, 413, "invalid_request", "a large body");
    // RFC 7009 §2.2: an invalid token is no error.
    let (input, _) = mine.rsplit_once('.').unwrap();
    let (head, rest) = input.split_once('.').unwrap();
    let forged = format!("{}.{rest}.AA", base64url(r#"{"alg":"ES256"}"#));
    assert!(!forged.starts_with(head));
    for foreign in ["abc", "a.b.c", &forged] {
        let answer = mint.revoke(Some(&auth), &format!("token={foreign}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{foreign}");
    }
    assert!(in_force().is_empty());
    // In any spelling of its signature, twice with the same end.
    for text in [format!("{input}.AAAA"), mine.clone()] {
        let body = format!("token={text}&token_type_hint=refresh_token");
        let answer = mint.revoke(Some(&auth), &body).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, Value::Null));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let [row] = &in_force()[..] else { panic!("one revocation") };
    assert_eq!((row.kind.as_str(), row.what.as_str()), ("token", "plant7-0"));
    assert_eq!((row.by.as_str(), row.reason.as_str()), ("client:p1", "revoked by its client"));
    let journal = std::fs::read_to_string(mint.realm.mint.home.journal().join("mint.jsonl")).unwrap();
    assert!(journal.contains("plant7-0") && !journal.contains(rest), "its id is written down, not its text");
    let told = mint.ask(Request::get("/.well-known/oauth-authorization-server").body(Body::empty()).unwrap());
    assert_eq!(told.await.body["revocation_endpoint"], format!("{URL}/oauth2/revoke"));
}

#[tokio::test]
async fn a_bot_with_its_key_gets_a_token() {
    let mint = Mint::open();
    for audience in [URL.to_owned(), format!("{URL}/oauth2/token")] {
        let mut claims = claims();
        claims["aud"] = audience.into();
        let answer = mint.with_assertion(&assertion(&json!({"alg": "ES256"}), &claims, &mint.poller)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(mint.believes(&answer).roles().eq(["reader", "writer"]));
    }
}

#[tokio::test]
async fn errors_are_those_of_the_rfcs() {
    let mint = Mint::open();
    let good = basic("p1", SECRET);
    let auth = Some(good.as_str());
    let form = format!("grant_type=client_credentials&audience={AUDIENCE}");
    let bad_secret = basic("p1", "wrong");
    let unknown = basic("nobody", SECRET);
    let person = basic("ada", SECRET);
    let no_secret = basic("b1", SECRET);
    let form_plus = |more: &str| format!("{form}&{more}");
    let cases: Vec<(&str, Option<&str>, String, u16, &str)> = vec![
        ("no grant type", auth, format!("audience={AUDIENCE}"), 400, "invalid_request"),
        ("empty grant type", auth, format!("grant_type=&audience={AUDIENCE}"), 400, "invalid_request"),
        ("grant type twice", auth, form_plus("grant_type=client_credentials"), 400, "invalid_request"),
        ("broken escape", auth, form_plus("x=%g1"), 400, "invalid_request"),
        ("not UTF-8", auth, form_plus("x=%ff"), 400, "invalid_request"),
        (
            "other grant",
            auth,
            format!("grant_type=password&audience={AUDIENCE}"),
            400,
            "unsupported_grant_type",
        ),
        ("no audience", auth, "grant_type=client_credentials".into(), 400, "invalid_target"),
        (
            "unknown audience",
            auth,
            "grant_type=client_credentials&audience=moon".into(),
            400,
            "invalid_target",
        ),
        ("two audiences", auth, form_plus("audience=historian"), 400, "invalid_target"),
        ("audience and resource differ", auth, form_plus("resource=urn%3Ax"), 400, "invalid_target"),
        ("role not held", auth, form_plus("scope=admin"), 400, "invalid_scope"),
        ("malformed scope", auth, form_plus("scope=a++b"), 400, "invalid_scope"),
        ("scope with a quote", auth, form_plus("scope=%22"), 400, "invalid_scope"),
        ("no authentication", None, form.clone(), 401, "invalid_client"),
        ("client_id alone", None, form_plus("client_id=p1"), 401, "invalid_client"),
        ("wrong secret", Some(&bad_secret), form.clone(), 401, "invalid_client"),
        ("unknown client", Some(&unknown), form.clone(), 401, "invalid_client"),
        ("a person", Some(&person), form.clone(), 401, "invalid_client"),
        ("a client without a secret", Some(&no_secret), form.clone(), 401, "invalid_client"),
        ("bearer scheme", Some("Bearer abc"), form.clone(), 401, "invalid_client"),
        ("not base64", Some("Basic !!!"), form.clone(), 401, "invalid_client"),
        ("no colon", Some("Basic cDE="), form.clone(), 401, "invalid_client"),
        (
            "secret in the body",
            None,
            form_plus(&format!("client_id=p1&client_secret={SECRET}")),
            401,
            "invalid_client",
        ),
        ("two clients", auth, form_plus("client_id=b1"), 401, "invalid_client"),
        ("two ways", auth, form_plus("client_assertion=a.b.c"), 400, "invalid_request"),
        ("assertion without type", None, form_plus("client_assertion=a.b.c"), 400, "invalid_request"),
        (
            "unknown assertion type",
            None,
            form_plus("client_assertion_type=x&client_assertion=a"),
            401,
            "invalid_client",
        ),
    ];
    for (case, authorization, body, status, code) in cases {
        assert_error(&mint.post(authorization, &body).await, status, code, case);
    }
}

#[tokio::test]
async fn requests_of_another_shape_are_refused() {
    let mint = Mint::open();
    let body = format!("grant_type=client_credentials&audience={AUDIENCE}");
    let post = |uri: &str, kind: &str, body: String| {
        let request =
            Request::post(uri).header("content-type", kind).header("authorization", basic("p1", SECRET));
        request.body(Body::from(body)).unwrap()
    };
    let form = "application/x-www-form-urlencoded";
    let in_uri = mint.ask(post("/oauth2/token?audience=x", form, body.clone())).await;
    assert_error(&in_uri, 400, "invalid_request", "parameters in the URI");
    let json = mint.ask(post("/oauth2/token", "application/json", "{}".into())).await;
    assert_error(&json, 400, "invalid_request", "a JSON body");
    let large = mint.ask(post("/oauth2/token", form, format!("{body}&x={}", "a".repeat(20_000)))).await;
    assert_error(&large, 413, "invalid_request", "a large body");
    let charset = mint.ask(post("/oauth2/token", &format!("{form}; charset=UTF-8"), body)).await;
    assert_eq!(charset.status, StatusCode::OK);
    let get = Request::get("/oauth2/token").body(Body::empty()).unwrap();
    let answer = mint.ask(get).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn assertions_of_attackers_buy_nothing() {
    let mint = Mint::open();
    let header = json!({"alg": "ES256"});
    let now = now_unix();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        assertion(&header, &claims, &mint.poller)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assertion(&header, &claims, &mint.poller)
    };
    let unsigned =
        format!("{}.{}.", base64url(json!({"alg": "none"}).to_string()), base64url(claims().to_string()));
    let hmac = assertion(&json!({"alg": "HS256"}), &claims(), &mint.poller);
    let cases = [
        ("another server's audience", with("aud", json!("https://other.example/token"))),
        (
            "audiences of two servers",
            with("aud", json!([format!("{URL}/oauth2/token"), "https://other.example"])),
        ),
        ("no audience", without("aud")),
        ("expired", with("exp", json!(now - 120))),
        ("no expiry", without("exp")),
        ("longer than ten minutes", with("exp", json!(now + 3600))),
        ("from the future", with("iat", json!(now + 300))),
        ("not yet valid", with("nbf", json!(now + 300))),
        ("no jti", without("jti")),
        ("empty jti", with("jti", json!(""))),
        ("no subject", without("sub")),
        ("other issuer", with("iss", json!("b1"))),
        ("other subject", with("sub", json!("b1"))),
        (
            "unknown client",
            assertion(
                &header,
                &json!({"iss": "x", "sub": "x", "aud": URL, "exp": now + 60, "jti": "1"}),
                &mint.poller,
            ),
        ),
        ("another client's key", assertion(&header, &claims(), &mint.backup)),
        ("alg none", unsigned),
        ("alg HS256", hmac),
        ("not a token", "abc".to_owned()),
    ];
    for (case, assertion) in cases {
        assert_error(&mint.with_assertion(&assertion).await, 401, "invalid_client", case);
    }
    let mine = assertion(&header, &claims(), &mint.poller);
    let body = format!(
        "grant_type=client_credentials&audience={AUDIENCE}&client_id=b1\
         &client_assertion_type={ASSERTION_TYPE}&client_assertion={mine}"
    );
    assert_error(&mint.post(None, &body).await, 401, "invalid_client", "client_id of another client");
}

#[tokio::test]
async fn an_assertion_buys_one_token_even_over_a_restart() {
    let mut mint = Mint::open();
    let spent = assertion(&json!({"alg": "ES256"}), &claims(), &mint.poller);
    assert_eq!(mint.with_assertion(&spent).await.status, StatusCode::OK);
    assert_error(&mint.with_assertion(&spent).await, 401, "invalid_client", "replayed");
    drop(std::mem::replace(&mut mint.endpoints, endpoints(&Realm::founded())));
    mint.endpoints = endpoints(&mint.realm);
    assert_error(&mint.with_assertion(&spent).await, 401, "invalid_client", "replayed after a restart");
}

#[tokio::test]
async fn a_disabled_client_is_out_with_its_next_request() {
    let mint = Mint::open();
    let body = format!("grant_type=client_credentials&audience={AUDIENCE}");
    let auth = basic("p1", SECRET);
    assert_eq!(mint.post(Some(&auth), &body).await.status, StatusCode::OK);
    mint.realm.sql("UPDATE subject SET enabled = 0 WHERE name = 'poller'");
    assert_error(&mint.post(Some(&auth), &body).await, 401, "invalid_client", "disabled");
}

#[tokio::test]
async fn without_a_key_the_answer_is_to_come_back() {
    let mint = Mint::open();
    mint.realm.sql("DELETE FROM release_key");
    let body = format!("grant_type=client_credentials&audience={AUDIENCE}");
    let answer = mint.post(Some(&basic("p1", SECRET)), &body).await;
    assert_error(&answer, 503, "temporarily_unavailable", "no key");
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_issues_nothing() {
    let realm = Realm::founded();
    let hash = farside_service::digest::hex(&farside_service::digest::sha256(SECRET.as_bytes()));
    realm.sql(&format!("UPDATE subject SET secret_sha256 = x'{hash}' WHERE name = 'poller'"));
    std::fs::create_dir(realm.mint.home.log()).unwrap();
    // Every write to this file fails for want of space.
    std::os::unix::fs::symlink("/dev/full", realm.log_file()).unwrap();
    let ((poller, _), (backup, _)) = (key_pair(), key_pair());
    let endpoints = endpoints(&realm);
    let mint = Mint { realm, endpoints, poller, backup };
    let body = format!("grant_type=client_credentials&audience={AUDIENCE}");
    for attempt in ["the first", "every later"] {
        let answer = mint.post(Some(&basic("p1", SECRET)), &body).await;
        assert_error(&answer, 503, "temporarily_unavailable", attempt);
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn metadata_and_keys_are_published() {
    let mint = Mint::open();
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let metadata = mint.ask(get("/.well-known/oauth-authorization-server")).await.body;
    assert_eq!(metadata["issuer"], URL);
    assert_eq!(metadata["token_endpoint"], format!("{URL}/oauth2/token"));
    assert!(metadata["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
    let jwks_path = metadata["jwks_uri"].as_str().unwrap().strip_prefix(URL).unwrap();
    let keys = mint.ask(get(jwks_path)).await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    assert_eq!(keys.body["keys"][0]["kid"], mint.realm.kids[0].1.as_str());
    assert!(keys.body["keys"][0].get("d").is_none(), "public keys only");
}
