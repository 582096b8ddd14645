//! Envoy's question over gRPC, without an Envoy: what is asked, what is answered, and that it is what
//! `/verify` would have said. What a real Envoy makes of it stands in `proxies` and `smuggling`.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization as _;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, OkHttpResponse};
use tonic::Code;

use super::introspect::Never;
use super::process::Running;
use super::realm::{HOUR, NOW};
use super::{Said, Site};

/// A check about a request with these header lines, each by itself, as `encode_raw_headers` has it.
fn check(lines: &[(&str, &str)], extensions: &[(&str, &str)]) -> CheckRequest {
    let line = |(name, value): &(&str, &str)| HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    let pseudo = [(":method", "GET"), (":path", "/page"), (":authority", "a"), (":scheme", "http")];
    let headers = pseudo.iter().chain(lines).map(line).collect();
    about(HttpRequest { header_map: Some(HeaderMap { headers }), ..HttpRequest::default() }, extensions)
}

fn about(http: HttpRequest, extensions: &[(&str, &str)]) -> CheckRequest {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Request { http: Some(http), ..Request::default() }),
            context_extensions: extensions.iter().map(text).collect(),
            ..AttributeContext::default()
        }),
    }
}

async fn asked(site: &Site, check: CheckRequest) -> HttpResponse {
    let answer = site.doors.check(tonic::Request::new(check)).await.unwrap().into_inner();
    let code = answer.status.unwrap().code;
    let response = answer.http_response.unwrap();
    let admitted = matches!(response, HttpResponse::OkResponse(_));
    assert_eq!(code == i32::from(Code::Ok), admitted, "Envoy goes by the code: {code} {response:?}");
    response
}

async fn admitted(site: &Site, check: CheckRequest) -> OkHttpResponse {
    match asked(site, check).await {
        HttpResponse::OkResponse(ok) => ok,
        other => panic!("{other:?}"),
    }
}

/// Status, code and what it says, of a refusal.
async fn denied(site: &Site, check: CheckRequest) -> (u16, String, HashMap<String, String>) {
    match asked(site, check).await {
        HttpResponse::DeniedResponse(denied) => {
            (u16::try_from(denied.status.unwrap().code).unwrap(), denied.body, lines(denied.headers))
        }
        other => panic!("{other:?}"),
    }
}

/// The status for whoever shows this token.
pub(crate) async fn status_for(site: &Site, token: &str) -> u16 {
    let good = ("authorization", &*format!("Bearer {token}"));
    match asked(site, check(&[good], &[])).await {
        HttpResponse::OkResponse(_) => 200,
        _ => denied(site, check(&[good], &[])).await.0,
    }
}

/// Header lines by name; each overwrites, and none is left out for being empty.
fn lines(headers: Vec<HeaderValueOption>) -> HashMap<String, String> {
    let line = |option: HeaderValueOption| {
        assert!(option.append_action == 2 && option.keep_empty_value, "{option:?}");
        let header = option.header.unwrap();
        (header.key, header.value)
    };
    headers.into_iter().map(line).collect()
}

fn said(said: &Said) -> HashMap<String, String> {
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    said.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[tokio::test]
async fn whoever_is_admitted_is_named_as_verify_names_them_and_the_credential_is_taken_away() {
    let site = Site::open();
    let token = site.realm.token("anna", 1, r#","roles":["admin","Über, all"],"scope":"read write""#);
    let good = [("authorization", &*format!("Bearer {token}")), ("cookie", "a=b")];
    let ok = admitted(&site, check(&good, &[("aud", "db"), ("action", "read")])).await;
    let mut expected = said(&site.show(&token).await);
    expected.retain(|name, _| name.starts_with("x-farside-"));
    assert_eq!(expected.len(), 7, "{expected:?}");
    assert_eq!(lines(ok.headers), expected);
    assert_eq!(ok.headers_to_remove, ["authorization", "dpop"]);
    let kept = admitted(&site, check(&good, &[("credential", "keep")])).await;
    assert!(kept.headers_to_remove.is_empty(), "{kept:?}");

    let written = site.journal("decision");
    assert_eq!(written[0]["door"], "ext_authz", "{written:?}");
    assert_eq!(written[0]["verdict"], "admit");
    assert_eq!(written[0]["action"], "read");
    assert!(!site.journal_text().contains(&token));
}

// policy.md §3.1
#[tokio::test]
async fn policies_decide_by_the_request_that_envoy_received() {
    let site = super::policies::site(super::policies::LINES);
    let token = site.realm.token("anna", 1, r#","roles":["operator"]"#);
    let good = format!("Bearer {token}");
    // What the client says in headers counts for nothing.
    let forged = [("authorization", good.as_str()), ("x-forwarded-uri", "/lines/2"), (":path", "/lines/2")];
    let received = |method: &str, host: &str, path: &str| {
        let mut check = check(&forged, &[]);
        let http = check.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
        (http.method, http.host) = (method.to_owned(), host.to_owned());
        (http.scheme, http.path) = ("https".to_owned(), path.to_owned());
        check
    };
    for (method, host, path, status, by) in [
        ("GET", "hmi.example", "/lines/2?x=/lines/3", 200, &["operators-look"][..]),
        ("GET", "HMI.example:443", "/lines/2", 200, &["operators-look"]),
        ("POST", "hmi.example", "/lines/2", 403, &[]),
        ("GET", "other.example", "/lines/2", 403, &[]),
        ("GET", "hmi.example", "/lines/%33/valves", 403, &["line-3-is-shut"]),
    ] {
        let check = received(method, host, path);
        if status == 200 {
            admitted(&site, check).await;
        } else {
            let (said, body, _) = denied(&site, check).await;
            assert!(said == status && body.contains("policy_denied"), "{said} {body}");
        }
        let decision = site.journal("decision").pop().unwrap();
        assert_eq!(decision["policies"], serde_json::json!(by), "{method} {host} {path} {decision}");
    }
    let twisted = received("GET", "hmi.example", "/lines/2/..;/3");
    let (status, body, _) = denied(&site, twisted).await;
    assert!(status == 400 && body.contains("request_ambiguous"), "{status} {body}");
}

#[tokio::test]
async fn whoever_is_refused_hears_what_verify_says() {
    let site = Site::open();
    let token = site.realm.token("anna", 1, "");
    let good = &*format!("Bearer {token}");
    let cases: [&[(&str, &str)]; 9] = [
        &[],
        &[("authorization", "Basic YTpi")],
        &[("authorization", "Bearer a.b.c")],
        &[("authorization", good), ("authorization", good)],
        &[("authorization", &format!("{good},{good}"))],
        &[("authorization", good), ("x-farside-subject", "root")],
        &[("authorization", good), ("X_Farside.Roles", "root")],
        &[("authorization", good), ("x.farside.later", "")],
        &[("authorization", &format!("Bearer {}", "a".repeat(20_000)))],
    ];
    for headers in cases {
        let straight = site.verify(headers).await;
        let (status, body, lines) = denied(&site, check(headers, &[("aud", "db")])).await;
        assert_ne!(status, 200);
        assert_eq!((status, &body), (straight.status.as_u16(), &straight.body), "{headers:?}");
        assert_eq!(lines, said(&straight), "{headers:?}");
    }
    // Headers that Envoy has joined by name, as it does unless told otherwise.
    let joined = |value: String| {
        let headers = HashMap::from([("authorization".to_owned(), value)]);
        about(HttpRequest { headers, ..HttpRequest::default() }, &[])
    };
    assert_eq!(denied(&site, joined(format!("{good},{good}"))).await.0, 400);
    admitted(&site, joined(good.to_owned())).await;
}

#[tokio::test]
async fn what_the_proxy_says_amiss_or_no_request_can_be_admits_nobody() {
    let site = Site::open();
    let good = ("authorization", &*format!("Bearer {}", site.realm.token("anna", 1, "")));
    for (extensions, code) in [
        ([("aud", "wiki")], "audience_unknown"),
        ([("adu", "db")], "parameters_invalid"),
        ([("action", "reed")], "parameters_invalid"),
        ([("credential", "kept")], "parameters_invalid"),
    ] {
        let (status, body, _) = denied(&site, check(&[good], &extensions)).await;
        assert!(status == 400 && body.contains(code), "{extensions:?} {body}");
    }
    let odd = [("x-other", "a\r\nx-farside-subject: root"), ("x-other", "\0"), ("x other", "a"), ("", "a")];
    for line in odd {
        let (status, body, _) = denied(&site, check(&[good, line], &[])).await;
        assert!(status == 400 && body.contains("body_invalid"), "{line:?} {body}");
    }
    let many: Vec<_> = (0..300).map(|_| ("x-other", "a")).chain([good]).collect();
    assert_eq!(denied(&site, check(&many, &[])).await.0, 400);
    assert_eq!(denied(&site, CheckRequest { attributes: None }).await.0, 400);
    assert_eq!(site.journal("decision").len(), 0, "no token was looked at");
}

#[tokio::test]
async fn a_gate_that_cannot_judge_denies_and_never_fails() {
    let expired = Site::at(|| NOW + 100 * 24 * HOUR, |realm| vec![realm.plan()]);
    let empty = Site::at(|| NOW, |_| Vec::new());
    for site in [expired, empty] {
        let good = ("authorization", &*format!("Bearer {}", site.realm.token("anna", 1, "")));
        let (status, _, lines) = denied(&site, check(&[good], &[])).await;
        assert_eq!(status, 503);
        assert_eq!(lines["retry-after"], "5");
    }
}

/// The runtime's clock runs ahead by itself while everyone waits, so this takes no time.
#[tokio::test(start_paused = true)]
async fn a_check_that_never_comes_is_given_up() {
    let site = Site::open();
    let request = hyper::Request::post("/envoy.service.auth.v3.Authorization/Check");
    let request = request.header("content-type", "application/grpc").body(Never).unwrap();
    let answer = site.doors.clone().answer_any(request).await;
    assert_eq!(answer.headers()["grpc-status"], "4", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_is_too_large_is_not_read() {
    let gate = tokio::task::block_in_place(|| Running::start("", &[]));
    let mut client = AuthorizationClient::connect(format!("http://{}", gate.doors)).await.unwrap();
    let good = ("authorization", &*format!("Bearer {}", gate.token("anna", 1)));
    let answer = client.check(check(&[good], &[])).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0);
    let large = "a".repeat(200_000);
    let refused = client.check(check(&[good, ("x-other", &large)], &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    let answer = client.check(check(&[good], &[])).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0, "and others are answered");
}
