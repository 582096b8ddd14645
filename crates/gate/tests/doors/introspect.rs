//! `/introspect` (RFC 7662): only for its clients, over the same judgement as `/verify`.

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_gate::http::Doors;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::{Body, Bytes, Frame};

use super::realm::{HOUR, NOW, claims};
use super::{CLIENT_SECRET, Said, Site, ask};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(crate) async fn introspect(doors: &Doors, authorization: &str, body: &str) -> Said {
    ask(doors, "POST", "/introspect", &[("authorization", authorization), FORM], body).await
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

#[tokio::test]
async fn a_client_learns_what_a_good_token_says() {
    let site = Site::open();
    let more = r#","roles":["admin"],"active":false,"token_type":"evil","username":"root""#;
    let token = site.realm.token("anna", 1, more);
    let body = format!("token={token}&token_type_hint=access_token");
    let said = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &body).await;
    assert_eq!(said.status, 200);
    let found = said.json();
    assert_eq!(found["active"], true);
    assert_eq!(found["token_type"], "Bearer");
    assert_eq!((found["sub"].as_str(), found["aud"].as_str()), (Some("anna"), Some("db")));
    assert_eq!((found["exp"].as_u64(), found["jti"].as_str()), (Some(NOW + HOUR), Some("dome-1")));
    assert_eq!(found["roles"][0], "admin");
    assert!(found.get("username").is_none(), "only known claims are passed on");
    assert_eq!(said.header("cache-control"), "no-store");
    assert_eq!(site.journal("decision")[0]["door"], "introspect");
}

// RFC 9449 §6.2
#[tokio::test]
async fn a_token_bound_to_a_dpop_key_is_of_type_dpop() {
    let site = Site::open();
    for (index, cnf, kind) in [(1, "jkt", "DPoP"), (2, "x5t#S256", "Bearer")] {
        let token = site.realm.token("anna", index, &format!(r#","cnf":{{"{cnf}":"{}"}}"#, "A".repeat(43)));
        let said = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &format!("token={token}")).await;
        let found = said.json();
        assert_eq!((&found["active"], &found["token_type"]), (&true.into(), &kind.into()), "{found}");
        assert_eq!(found["cnf"][cnf], "A".repeat(43), "the resource server sees the key to ask for");
    }
}

#[tokio::test]
async fn every_refused_token_is_inactive_and_no_more_is_said() {
    let site = Site::open();
    let good = site.realm.token("anna", 1, "");
    let refused = [
        "a.b.c".to_owned(),
        good[..good.len() - 4].to_owned(),
        site.realm.key.sign("at+jwt", &claims("anna", 1, NOW - 2 * HOUR, "")),
        site.realm.key.sign("at+jwt", &claims("anna", 1, NOW, "").replace("\"db\"", "\"other\"")),
    ];
    for token in refused {
        let said = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &format!("token={token}")).await;
        assert_eq!((said.status.as_u16(), said.body.as_str()), (200, r#"{"active":false}"#));
    }
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let site = Site::open();
    let body = format!("token={}", site.realm.token("anna", 1, ""));
    let bearer = format!("Bearer {}", site.realm.token("anna", 1, ""));
    for authorization in [basic("wiki", "guess"), basic("other", CLIENT_SECRET), bearer, "Basic".to_owned()] {
        let said = introspect(&site.doors, &authorization, &body).await;
        assert_eq!(said.status, 401, "{said:?}");
        assert_eq!(said.header("www-authenticate"), "Basic realm=\"farside\"");
        assert_eq!(said.body, r#"{"error":"invalid_client"}"#);
    }
    assert_eq!(site.ask("POST", "/introspect", &[FORM], &body).await.status, 401);
    assert!(site.journal("decision").is_empty());
}

#[tokio::test]
async fn only_a_form_by_post_is_read() {
    let site = Site::open();
    let (client, token) = (basic("wiki", CLIENT_SECRET), site.realm.token("anna", 1, ""));
    let authorization = ("authorization", client.as_str());
    let get = site.ask("GET", &format!("/introspect?token={token}"), &[authorization], "").await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST"));
    for (kind, body) in [
        ("application/json", format!(r#"{{"token":"{token}"}}"#)),
        ("text/plain", format!("token={token}")),
        (FORM.1, format!("token={token}&token={token}")),
        (FORM.1, "token=".to_owned()),
        (FORM.1, "other=1".to_owned()),
        (FORM.1, format!("token={}", "a".repeat(70_000))),
    ] {
        let said = site.ask("POST", "/introspect", &[authorization, ("content-type", kind)], &body).await;
        assert_eq!(said.status, 400, "{kind} {said:?}");
    }
}

#[tokio::test]
async fn a_gate_that_cannot_judge_says_so_instead_of_inactive() {
    let site = Site::at(|| NOW + 25 * HOUR, |realm| vec![realm.plan()]);
    let token = site.realm.token("anna", 1, "");
    let said = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &format!("token={token}")).await;
    assert_eq!(said.code(), (503, "stale".to_owned()));
}

/// A body that was announced and never comes.
pub(crate) struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

/// The runtime's clock runs ahead by itself while everyone waits, so this takes no time.
#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_given_up() {
    let site = Site::open();
    for (path, kind) in [("/introspect", FORM.1), ("/pickup", "application/json")] {
        let request = Request::post(path).header("content-type", kind);
        let request = request.header("authorization", basic("wiki", CLIENT_SECRET)).body(Never).unwrap();
        let answer = site.doors.answer(request).await;
        assert_eq!(answer.status(), 400, "{path}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("took longer"), "{path}");
    }
}
