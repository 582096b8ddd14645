//! `/introspect` (RFC 7662): a resource server asks what a token says, over the same judgement as every other
//! door.
//!
//! POST of a form alone, from a configured client alone. A token that is refused for any reason is `active:
//! false` and nothing more; that the gate cannot judge is not a property of the token, and answered with 503.

use farside_crossing::Action;
use farside_verify::Refusal;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, Answer, RequestFault};
use super::body::{self, RequestBody};
use super::form::{FORM_BYTES_MAX, Form};
use super::{Doors, wanted};
use crate::config::IntrospectionClient;
use crate::judge::{ByGlass, Inspection, Shown, Wanted};

/// The claims shown to a resource server, as signed. A claim of another name is nobody's business here, and
/// could otherwise pass itself off as `active`.
const SHOWN_CLAIMS: [&str; 14] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "client_id",
    "scope",
    "roles",
    "groups",
    "entitlements",
    "act",
    "cnf",
];

/// Answers one introspection request.
pub(crate) async fn answer(doors: &Doors, request: &Parts, body: impl RequestBody) -> Answer {
    if request.method != Method::POST {
        return answer::method_not_allowed("POST");
    }
    // RFC 7662 §2.1: the endpoint demands authorization, against token scanning.
    let Some(client) = doors.clients.authenticate(&request.headers) else {
        return unknown_client();
    };
    match read_question(request, body).await {
        Ok((token, action)) => inspect(doors, client, &token, action).await,
        Err(fault) => {
            super::count_wrong("introspect", fault.as_str());
            answer::wrong(&fault)
        }
    }
}

async fn inspect(doors: &Doors, client: &IntrospectionClient, token: &str, action: Option<Action>) -> Answer {
    let trust = match doors.gate.trust() {
        Ok(trust) => trust,
        Err(refusal) => return answer::refused(&refusal),
    };
    // A client that stands for no audience in particular may ask about tokens of any audience of the site.
    let wanted = Wanted { audience: client.audience.as_deref(), action, ..Wanted::default() };
    match doors.inspect(&trust, token, wanted).await {
        Ok(inspection) => answer::json_answer(StatusCode::OK, &active(&inspection, trust.issuer())),
        Err(refusal) if cannot_judge(&refusal) => answer::refused(&refusal),
        // RFC 7662 §2.2: no reason is given to the one who asks; it stands in the journal.
        Err(_) => answer::json_answer(StatusCode::OK, &json!({"active": false})),
    }
}

/// The token, and what the resource server is about to do for its holder.
async fn read_question(
    request: &Parts,
    body: impl RequestBody,
) -> Result<(String, Option<Action>), RequestFault> {
    let bytes = body::read(request, "application/x-www-form-urlencoded", body, FORM_BYTES_MAX).await?;
    let form = Form::read(&bytes).map_err(|fault| RequestFault::ParametersInvalid(fault.to_string()))?;
    match form.get("token") {
        Some(token) if !token.is_empty() => Ok((token.to_owned(), wanted::action_of(&form)?)),
        _ => Err(RequestFault::ParametersInvalid("the parameter token is missing".into())),
    }
}

fn active(inspection: &Inspection, issuer: Option<&str>) -> Value {
    let claims = match inspection.shown() {
        Shown::Token(claims) => claims,
        Shown::Pass(through) => return by_glass(through, issuer),
    };
    // RFC 9449 §6.2. RFC 8705 has no type of its own for a certificate's tokens.
    let dpop = claims.confirmation().is_some_and(|bound| bound.jkt.is_some());
    let mut answer = json!({"active": true, "token_type": if dpop { "DPoP" } else { "Bearer" }});
    // replay.md §4.1
    if inspection.once().is_some() {
        answer["single_use"] = json!(true);
    }
    for name in SHOWN_CLAIMS {
        let value = claims.get(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(value) = value {
            answer[name] = value;
        }
    }
    answer
}

/// A pass says what its order says, and that it is one.
fn by_glass(through: &ByGlass, issuer: Option<&str>) -> Value {
    let order = through.order();
    json!({"active": true, "token_type": "Bearer", "iss": issuer, "sub": order.subject, "aud": order.audience,
           "roles": [order.role], "exp": through.expires_at(), "breakglass": order.id})
}

fn cannot_judge(refusal: &Refusal) -> bool {
    answer::status_of(refusal.code()) == StatusCode::SERVICE_UNAVAILABLE
}

fn unknown_client() -> Answer {
    super::count_wrong("introspect", "invalid_client");
    let mut answer = answer::json_answer(StatusCode::UNAUTHORIZED, &json!({"error": "invalid_client"}));
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"farside\""));
    answer
}
