//! What the doors say: statuses, headers and small JSON bodies, each spelled once for all doors.
//!
//! 200 admits · 400 the request itself is wrong · 401 the token is refused or absent · 403 the holder may not
//! · 503 the gate cannot judge. Nothing here decides: it only puts a decision into words.

use std::borrow::Cow;
use std::fmt::Write as _;

use farside_service::time::rfc3339;
use farside_verify::{Algorithm, Code, Refusal};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::freshness::Freshness;
use crate::judge;

/// Who it is.
pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("x-farside-subject");
/// How recent what the answer rests on is.
const FRESHNESS: HeaderName = HeaderName::from_static("x-farside-freshness");

/// Every body of ours is short and known before it is sent.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Longest text put into a header of ours that is meant for people.
const DESCRIPTION_CHARACTERS_MAX: usize = 512;

/// As many headers as an answer has, about.
const HEADERS_MAX: usize = 10;

const JSON: &str = "application/json";

/// Why a request is wrong before any token in it is looked at. Answered with 400: the client or the proxy
/// must change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// Two `Authorization` headers: nobody may choose between them.
    #[error("the request carries more than one Authorization header")]
    AuthorizationDuplicate,
    /// What follows `Bearer` is not one token.
    #[error("the Authorization header does not hold exactly one token")]
    AuthorizationMalformed,
    /// Two proofs, or one that is no text.
    #[error("the request does not carry exactly one DPoP header of visible ASCII")]
    ProofMalformed,
    /// A header that only the gate may set came in.
    #[error("the request already carries the header {0}, which only the gate may set")]
    IdentityHeaderForged(String),
    /// The proxy does not say for which audience it asks, and the policy has several.
    #[error("the policy has several audiences and the proxy does not say which one it protects")]
    AudienceUnspecified,
    /// The proxy asks for an audience that the site's policy does not have.
    #[error("the proxy asks for an audience that the site's policy does not have")]
    AudienceUnknown,
    /// The proxy is configured to say what it received, and does not, or not so that it can be read.
    #[error("the proxy does not say what it received: {0}")]
    ForwardedInvalid(String),
    /// The query or the form cannot be read, or holds what this door has no use for.
    #[error("{0}")]
    ParametersInvalid(String),
    /// The body is not what this door takes.
    #[error("{0}")]
    BodyInvalid(String),
}

impl RequestFault {
    /// The stable snake_case name, documented in `docs/doors.md`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AuthorizationDuplicate => "authorization_duplicate",
            Self::AuthorizationMalformed => "authorization_malformed",
            Self::ProofMalformed => "dpop_malformed",
            Self::IdentityHeaderForged(_) => "identity_header_forged",
            Self::AudienceUnspecified => "audience_unspecified",
            Self::AudienceUnknown => "audience_unknown",
            Self::ForwardedInvalid(_) => "forwarded_invalid",
            Self::ParametersInvalid(_) => "parameters_invalid",
            Self::BodyInvalid(_) => "body_invalid",
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::AuthorizationDuplicate => "Send one Authorization header.",
            Self::AuthorizationMalformed => {
                "Send `Authorization: Bearer <token>`, and nothing else in that header."
            }
            Self::ProofMalformed => "Send one DPoP header, with one proof in it.",
            Self::IdentityHeaderForged(_) => "Leave out every header that begins with X-Farside-.",
            Self::AudienceUnspecified => "Have the proxy ask /verify?aud=<audience>.",
            Self::AudienceUnknown => {
                "Correct `aud` in the proxy's configuration, or import a policy that has it."
            }
            Self::ForwardedInvalid(_) => {
                "Ask for a plain path, or have the proxy set each of X-Forwarded-Method, -Proto, -Host and -Uri \
                 once, as deploy/ has it."
            }
            Self::ParametersInvalid(_) => "Send only the parameters that docs/doors.md names, each once.",
            Self::BodyInvalid(_) => "Send the body that docs/doors.md describes for this door.",
        }
    }
}

/// The status that a refusal is answered with: one table for all doors.
pub(crate) fn status_of(code: Code) -> StatusCode {
    match code {
        code if judge::cannot_judge(code) => StatusCode::SERVICE_UNAVAILABLE,
        Code::PolicyDenied | Code::PolicyFailed => StatusCode::FORBIDDEN,
        Code::RequestAmbiguous => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNAUTHORIZED,
    }
}

/// Under which schemes a door takes tokens, beside Bearer, and this one was shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Schemes {
    /// Whether DPoP proofs can be checked there.
    pub(crate) dpop_taken: bool,
    /// Whether the token came under the DPoP scheme.
    pub(crate) dpop_shown: bool,
}

/// A refused token: 401, 403 or 503 with its code, what was found and the cure.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    refused_by(refusal, Schemes::default())
}

/// [`refused`], at a door that takes more than bearer tokens.
pub(crate) fn refused_by(refusal: &Refusal, schemes: Schemes) -> Answer {
    let status = status_of(refusal.code());
    let found = if refusal.detail().is_empty() { refusal.sentence() } else { refusal.detail() };
    let body = json!({
        "error": oauth_error(status, refusal.code(), schemes),
        "code": refusal.code().as_str(),
        "sentence": refusal.sentence(),
        "detail": refusal.detail(),
        "cure": refusal.cure(),
    });
    let mut answer = json_answer(status, &body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    } else {
        let error = oauth_error(status, refusal.code(), schemes);
        let words = format!("{}: {found}. {}", refusal.code().as_str(), refusal.cure());
        challenge(
            &mut answer,
            refusal.code(),
            &format!("error=\"{error}\", error_description=\"{}\"", quotable(&words)),
            schemes,
        );
    }
    answer
}

/// A wrong request: 400, and why.
pub(crate) fn wrong(fault: &RequestFault) -> Answer {
    let body = json!({
        "error": "invalid_request",
        "code": fault.as_str(),
        "detail": fault.to_string(),
        "cure": fault.cure(),
    });
    let mut answer = json_answer(StatusCode::BAD_REQUEST, &body);
    let words = format!("{}: {fault}. {}", fault.as_str(), fault.cure());
    let value = format!(
        "Bearer realm=\"farside\", error=\"invalid_request\", error_description=\"{}\"",
        quotable(&words)
    );
    insert(&mut answer, WWW_AUTHENTICATE, &value);
    answer
}

/// An answer with a JSON body that nobody may store.
pub(crate) fn json_answer(status: StatusCode, body: &serde_json::Value) -> Answer {
    typed(status, JSON, body.to_string().into())
}

/// An answer of a given type that nobody may store.
pub(crate) fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    // What the fullest answer needs, at once instead of in three steps.
    answer.headers_mut().reserve(HEADERS_MAX);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer that says nothing but its status.
pub(crate) fn bare(status: StatusCode) -> Answer {
    let words = status.canonical_reason().unwrap_or_default().to_ascii_lowercase();
    typed(status, "text/plain", format!("{words}\n").into())
}

/// 405 with the methods that would do.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = bare(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Sets a header to text made of visible ASCII; anything else was encoded before.
pub(crate) fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// Every answer of a gate that is late or worse says so, and since when; one that admits somebody always says
/// how fresh it is, so that a proxy which copies the header overwrites whatever the client may have sent.
// bundle.md §13.3
pub(crate) fn say_freshness(answer: &mut Answer, freshness: Freshness) {
    match freshness.since() {
        Some(since) => {
            insert(answer, FRESHNESS, &format!("{}; since={}", freshness.name(), rfc3339(since)));
        }
        None if answer.headers().contains_key(SUBJECT) => {
            answer.headers_mut().insert(FRESHNESS, HeaderValue::from_static(freshness.name()));
        }
        None => {}
    }
}

/// Percent-encodes whatever a header cannot carry unambiguously: all but visible ASCII, `%` itself and
/// `reserved`.
pub(crate) fn header_text<'a>(text: &'a str, reserved: &[u8], spaces: Spaces) -> Cow<'a, str> {
    let plain = |byte: u8| match byte {
        b' ' => spaces == Spaces::Kept,
        b'%' => false,
        other => other.is_ascii_graphic() && !reserved.contains(&other),
    };
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

/// What becomes of a space in a header's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spaces {
    /// It separates, as in `scope`.
    Kept,
    /// It belongs to a name, and is encoded.
    Encoded,
}

// RFC 6750 §3.1: without any credential the challenge names no error. RFC 9449 §7.1: where proofs can be
// checked the scheme for them is offered beside, and a fault is told under the scheme that the token was
// shown under.
fn challenge(answer: &mut Answer, code: Code, fault: &str, schemes: Schemes) {
    let dpop = |fault: &str| format!("DPoP realm=\"farside\", {fault}algs=\"{}\"", algorithms());
    let bearer = match code {
        Code::MissingToken => "Bearer realm=\"farside\"".to_owned(),
        _ => format!("Bearer realm=\"farside\", {fault}"),
    };
    let offered = matches!(code, Code::MissingToken | Code::HolderProofRequired);
    let value = match schemes {
        Schemes { dpop_shown: true, .. } => dpop(&format!("{fault}, ")),
        Schemes { dpop_taken: true, .. } if offered => format!("{bearer}, {}", dpop("")),
        _ => bearer,
    };
    insert(answer, WWW_AUTHENTICATE, &value);
}

fn algorithms() -> String {
    let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    names.join(" ")
}

fn oauth_error(status: StatusCode, code: Code, schemes: Schemes) -> &'static str {
    match (status, code) {
        (StatusCode::BAD_REQUEST, _) => "invalid_request",
        (StatusCode::FORBIDDEN, _) => "insufficient_scope",
        (StatusCode::SERVICE_UNAVAILABLE, _) => "temporarily_unavailable",
        (_, Code::HolderProofInvalid) if schemes.dpop_shown => "invalid_dpop_proof",
        _ => "invalid_token",
    }
}

// RFC 6750 §3: error_description holds %x20-21 / %x23-5B / %x5D-7E alone.
fn quotable(text: &str) -> String {
    let safe = |character| match character {
        '"' | '`' => '\'',
        '\\' => '/',
        ' '..='~' => character,
        _ => '?',
    };
    text.chars().take(DESCRIPTION_CHARACTERS_MAX).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(answer: &Answer, name: HeaderName) -> &str {
        answer.headers().get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn a_refused_token_gets_401_with_code_and_cure_quoted_safely() {
        let refusal = Refusal::new(
            Code::KeyUnknown,
            "key \"x\\7\r\nSet-Cookie: a=ü\" is in bundle 41",
            "import 40 and 41",
        );
        let answer = refused(&refusal);
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            header(&answer, WWW_AUTHENTICATE),
            "Bearer realm=\"farside\", error=\"invalid_token\", error_description=\"key_unknown: \
             key 'x/7??Set-Cookie: a=?' is in bundle 41. import 40 and 41\""
        );
        assert_eq!(header(&answer, CACHE_CONTROL), "no-store");
    }

    #[test]
    fn a_description_is_bounded() {
        let answer = refused(&Refusal::new(Code::Malformed, "a".repeat(5_000), ""));
        assert!(header(&answer, WWW_AUTHENTICATE).len() < DESCRIPTION_CHARACTERS_MAX + 100);
    }

    #[test]
    fn every_code_has_a_status_and_none_is_a_success() {
        for code in Code::ALL {
            let expected = match code {
                Code::ClockFault | Code::Stale | Code::RequestUnknown | Code::JournalUnavailable => 503,
                Code::ReplayFull | Code::ReplayUnavailable => 503,
                Code::PolicyDenied | Code::PolicyFailed => 403,
                Code::RequestAmbiguous => 400,
                _ => 401,
            };
            let answer = refused(&Refusal::new(*code, "found", ""));
            assert_eq!(answer.status().as_u16(), expected, "{code:?}");
            assert_eq!(answer.headers().contains_key(WWW_AUTHENTICATE), expected != 503, "{code:?}");
        }
    }

    #[test]
    fn a_request_without_credential_is_challenged_without_an_error() {
        let answer = refused(&Refusal::new(Code::MissingToken, "", ""));
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(header(&answer, WWW_AUTHENTICATE), "Bearer realm=\"farside\"");
    }

    #[test]
    fn names_survive_the_way_through_a_header() {
        for (text, expected) in [
            ("anna", "anna"),
            ("spiffe://moon/ns/x", "spiffe://moon/ns/x"),
            ("Änne Müller", "%C3%84nne%20M%C3%BCller"),
            ("a,b", "a%2Cb"),
            ("100%", "100%25"),
            ("a\r\nX-Farside-Roles: admin", "a%0D%0AX-Farside-Roles:%20admin"),
        ] {
            assert_eq!(header_text(text, b",", Spaces::Encoded), expected);
        }
        assert_eq!(header_text("read write", b"", Spaces::Kept), "read write");
    }
}
