//! `/kubernetes/tokenreview`: an API server asks whose token it was shown (webhook token authentication,
//! `authentication.k8s.io/v1`).
//!
//! Answered only where `[kubernetes]` is configured, and only to whoever knows the secret that the API
//! server's kubeconfig holds. A refused token is `authenticated: false` with its code; that the gate cannot
//! judge is 503, and the API server asks again. Names that Kubernetes keeps to itself (`system:…`) are
//! nobody's here, whatever a token says.

use farside_service::digest;
use farside_verify::{Code, Refusal};
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer, RequestFault};
use super::body::{self, RequestBody};
use super::{Door, Doors, credential};
use crate::config::Kubernetes;
use crate::judge::{self, Inspection};

const API_VERSION: &str = "authentication.k8s.io/v1";
const KIND: &str = "TokenReview";

/// The largest token fits, and whatever else an API server writes around it.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// An API server has a handful of audiences.
const AUDIENCES_MAX: usize = 16;
/// What Kubernetes reserves for itself: `system:masters` may do everything.
const RESERVED_PREFIX: &str = "system:";

/// What an API server sends. Members of other names (`metadata`, `status`) say nothing here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    token: String,
    #[serde(default)]
    audiences: Option<Vec<String>>,
}

/// Answers one review.
pub(crate) async fn answer(doors: &Doors, request: &Parts, body: impl RequestBody) -> Answer {
    let Some(kubernetes) = &doors.kubernetes else {
        return answer::bare(StatusCode::NOT_FOUND);
    };
    if request.method != Method::POST {
        return answer::method_not_allowed("POST");
    }
    if !is_api_server(kubernetes, request) {
        return unknown_client();
    }
    match read(request, body).await {
        Ok(spec) => review(doors, kubernetes, &spec).await,
        Err(fault) => {
            super::count_wrong("tokenreview", fault.as_str());
            answer::wrong(&fault)
        }
    }
}

async fn review(doors: &Doors, kubernetes: &Kubernetes, spec: &Spec) -> Answer {
    let asked = spec.audiences.as_deref().unwrap_or_default();
    let names = kubernetes.names.clone();
    let trust = match doors.gate.trust() {
        Ok(trust) => trust,
        Err(refusal) => return answer::refused(&refusal),
    };
    let audiences = if asked.is_empty() { std::slice::from_ref(&kubernetes.audience) } else { asked };
    // bundle.md §13.4
    let wanted = (audiences, kubernetes.action);
    let admitted = doors.admit_to_one(Door::TokenReview, &trust, &spec.token, wanted, move |pending| {
        // replay.md §4.2
        pending.of_many_uses("an API server asks once for many requests")?;
        user(&names, pending).map(drop)
    });
    let status = match admitted.await {
        Ok(grant) => match user(&kubernetes.names, &grant) {
            Ok(user) if asked.is_empty() => json!({"authenticated": true, "user": user}),
            Ok(user) => json!({"authenticated": true, "user": user, "audiences": [grant.audience()]}),
            Err(refusal) => told(&refusal),
        },
        Err(refusal) if judge::cannot_judge(refusal.code()) => return answer::refused(&refusal),
        Err(refusal) => told(&refusal),
    };
    // The published schema demands a spec with a token; the one that was asked about is not sent back.
    let spec = json!({"token": ""});
    let body = json!({"apiVersion": API_VERSION, "kind": KIND, "spec": spec, "status": status});
    answer::json_answer(StatusCode::OK, &body)
}

fn told(refusal: &Refusal) -> Value {
    json!({"authenticated": false, "error": format!("{}: {}", refusal.code().as_str(), refusal.sentence())})
}

/// The token's holder as Kubernetes knows people: a name and groups.
fn user(names: &crate::config::KubernetesNames, holder: &Inspection) -> Result<Value, Refusal> {
    let Some(subject) = holder.subject() else {
        return Err(Refusal::new(Code::ClaimMissing, "sub", ""));
    };
    let username = unreserved(format!("{}{subject}", names.username_prefix))?;
    let prefixed = |prefix: &str, name: &str| unreserved(format!("{prefix}{name}"));
    let mut groups = Vec::new();
    for group in holder.groups() {
        groups.push(prefixed(&names.groups_prefix, &group)?);
    }
    if let Some(prefix) = &names.roles_prefix {
        for role in holder.roles() {
            groups.push(prefixed(prefix, &role)?);
        }
    }
    let roles: Vec<_> = holder.roles().collect();
    let mut extra = json!({});
    let mut keep = |name: &str, values: Vec<&str>| {
        if !values.is_empty() {
            extra[name] = json!(values);
        }
    };
    keep("farside/token-id", holder.token_id().into_iter().collect());
    keep("farside/roles", roles.iter().map(AsRef::as_ref).collect());
    keep("farside/scope", holder.scope().into_iter().collect());
    Ok(json!({"username": username, "uid": subject, "groups": groups, "extra": extra}))
}

fn unreserved(name: String) -> Result<String, Refusal> {
    if !name.starts_with(RESERVED_PREFIX) {
        return Ok(name);
    }
    let cure = "Give the directory another name for it, or set a prefix in [kubernetes] of gate.toml.";
    Err(Refusal::new(Code::PolicyDenied, "a name that begins with `system:` is Kubernetes' own", cure))
}

async fn read(request: &Parts, body: impl RequestBody) -> Result<Spec, RequestFault> {
    let bytes = body::read(request, "application/json", body, BODY_BYTES_MAX).await?;
    let wrong = |what: &str| RequestFault::BodyInvalid(what.to_owned());
    let review: Review =
        serde_json::from_slice(&bytes).map_err(|_| wrong("the body is no TokenReview with a token"))?;
    if review.api_version != API_VERSION || review.kind != KIND {
        // kube-apiserver asks in v1beta1 unless told otherwise.
        return Err(wrong(
            "only authentication.k8s.io/v1 TokenReview is known: start the API server with \
             --authentication-token-webhook-version=v1",
        ));
    }
    match review.spec.audiences.as_deref().unwrap_or_default().len() {
        0..=AUDIENCES_MAX => Ok(review.spec),
        _ => Err(wrong("the review names more than 16 audiences")),
    }
}

/// Whoever asks knows the secret of the API server's kubeconfig.
fn is_api_server(kubernetes: &Kubernetes, request: &Parts) -> bool {
    let offered = credential::bearer(&request.headers).map(|secret| digest::sha256(secret.as_bytes()));
    offered.is_ok_and(|offered| {
        aws_lc_rs::constant_time::verify_slices_are_equal(&offered, &kubernetes.secret_sha256).is_ok()
    })
}

fn unknown_client() -> Answer {
    super::count_wrong("tokenreview", "invalid_client");
    let mut answer = answer::json_answer(StatusCode::UNAUTHORIZED, &json!({"error": "invalid_client"}));
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"farside\""));
    answer
}
