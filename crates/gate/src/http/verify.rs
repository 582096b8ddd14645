//! `/verify`: the question a reverse proxy asks before it lets a request through (nginx `auth_request` and
//! its kin).
//!
//! The answer rests on the token, the gate's trust, and the audience and action that the proxy's own
//! configuration names. What the proxy says of the request that it received counts where the gate's own
//! configuration says that it sets these headers (`forwarded`). Nothing else decides, and a request that
//! brings an identity header of ours is refused whole.

use farside_service::web::PeerCertificate;
use farside_verify::{Code, Refusal};
use hyper::body::Bytes;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode};

use super::answer::{self, Answer, RequestFault, Schemes, Spaces};
use super::credential::{self, Credential, CredentialFault};
use super::form::Form;
use super::{Door, Doors, forwarded, wanted};
use crate::judge::{Deed, Grant, Holder, Requested, Wanted};
use crate::trust::TrustState;

const ROLES: HeaderName = HeaderName::from_static("x-farside-roles");
const GROUPS: HeaderName = HeaderName::from_static("x-farside-groups");
const SCOPE: HeaderName = HeaderName::from_static("x-farside-scope");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-farside-token-id");
const BREAKGLASS: HeaderName = HeaderName::from_static("x-farside-breakglass");

/// What the proxy's configuration may set, beside the action.
pub(super) const AUDIENCE: &str = "aud";

/// Why nobody is let through.
enum Closed {
    /// The request itself is wrong.
    Wrong(RequestFault),
    /// The token is refused, or there is none.
    Refused(Refusal),
}

/// What a proxy asks, whichever way it does.
pub(super) struct Question<'a> {
    /// The client's headers.
    pub(super) headers: &'a HeaderMap,
    /// What the proxy's own configuration says.
    pub(super) said: Result<Form<'a>, RequestFault>,
    /// The request that it received, where it is believed to say so.
    pub(super) request: Result<Option<Requested<'a>>, RequestFault>,
    /// SHA-256 of the certificate that the client has shown, where there is one.
    pub(super) certificate: Result<Option<[u8; 32]>, RequestFault>,
}

/// Answers one forward-auth question.
pub(crate) async fn answer(doors: &Doors, request: &Parts) -> Answer {
    let headers = &request.headers;
    let received = forwarded::request(headers, &doors.proxy);
    let (said, certificate) = (read_query(request), certificate(doors, request));
    ask(doors, Door::Verify, Question { headers, said, request: received, certificate }).await
}

/// Answers the question.
pub(super) async fn ask(doors: &Doors, door: Door, question: Question<'_>) -> Answer {
    let schemes = Schemes {
        dpop_taken: matches!(question.request, Ok(Some(_))),
        dpop_shown: credential::is_dpop(question.headers),
    };
    match decide(doors, door, question).await {
        Ok(grant) => admitted(&grant),
        Err(Closed::Refused(refusal)) => answer::refused_by(&refusal, schemes),
        Err(Closed::Wrong(fault)) => wrong(door, &fault),
    }
}

/// The request itself is wrong: counted and told.
pub(super) fn wrong(door: Door, fault: &RequestFault) -> Answer {
    // Counted below; clients alone could fill a log with it.
    tracing::debug!(door = door.name(), code = fault.as_str(), "a proxy's request is wrong");
    super::count_wrong(door.name(), fault.as_str());
    answer::wrong(fault)
}

async fn decide(doors: &Doors, door: Door, question: Question<'_>) -> Result<Grant, Closed> {
    let Question { headers, said, request, certificate } = question;
    if let Some(name) = credential::forged_identity(headers) {
        return Err(Closed::Wrong(RequestFault::IdentityHeaderForged(printable(name))));
    }
    let said = said.map_err(Closed::Wrong)?;
    let request = request.map_err(Closed::Wrong)?;
    let Credential { token, shown } = credential_of(headers)?;
    let trust = doors.gate.trust().map_err(Closed::Refused)?;
    let audience = Some(audience_of(&trust, &said).map_err(Closed::Wrong)?);
    let action = wanted::action_of(&said).map_err(Closed::Wrong)?;
    let holder = Holder { shown, certificate_sha256: certificate.map_err(Closed::Wrong)? };
    let wanted = Wanted { audience, action, request: request.as_ref(), holder, deed: Deed::Request };
    doors.admit(door, &trust, token, wanted).await.map_err(Closed::Refused)
}

fn read_query(request: &Parts) -> Result<Form<'_>, RequestFault> {
    let text = request.uri.query().unwrap_or_default();
    let query =
        Form::read(text.as_bytes()).map_err(|fault| RequestFault::ParametersInvalid(fault.to_string()))?;
    match query.stranger(&[AUDIENCE, wanted::ACTION]) {
        None => Ok(query),
        Some(name) => Err(RequestFault::ParametersInvalid(format!("the parameter {name} is not known here"))),
    }
}

/// The certificate that the client has shown to the proxy, or to this gate itself where no proxy is believed.
fn certificate(doors: &Doors, request: &Parts) -> Result<Option<[u8; 32]>, RequestFault> {
    match doors.proxy.certificate {
        Some(header) => forwarded::certificate(&request.headers, header),
        None => Ok(request.extensions.get::<PeerCertificate>().map(|shown| shown.sha256)),
    }
}

fn credential_of(headers: &HeaderMap) -> Result<Credential<'_>, Closed> {
    credential::shown(headers).map_err(|fault| match fault {
        CredentialFault::Absent | CredentialFault::OtherScheme => {
            Closed::Refused(Refusal::new(Code::MissingToken, fault.to_string(), ""))
        }
        CredentialFault::TooLarge => Closed::Refused(Refusal::new(Code::TooLarge, fault.to_string(), "")),
        CredentialFault::Duplicate => Closed::Wrong(RequestFault::AuthorizationDuplicate),
        CredentialFault::Malformed => Closed::Wrong(RequestFault::AuthorizationMalformed),
        CredentialFault::ProofAbsent => {
            Closed::Refused(Refusal::new(Code::HolderProofRequired, fault.to_string(), ""))
        }
        CredentialFault::ProofMalformed => Closed::Wrong(RequestFault::ProofMalformed),
    })
}

/// The audience the proxy protects: what its configuration says, or the only one that the policy has.
pub(crate) fn audience_of<'a>(trust: &'a TrustState, query: &'a Form<'_>) -> Result<&'a str, RequestFault> {
    let asked = query.get(AUDIENCE);
    if trust.policy().is_none() {
        // Nothing can be judged yet; the judge says so.
        return Ok(asked.unwrap_or_default());
    }
    match asked {
        Some(asked) if trust.audiences().any(|known| known == asked) => Ok(asked),
        Some(_) => Err(RequestFault::AudienceUnknown),
        None => trust.single_audience().ok_or(RequestFault::AudienceUnspecified),
    }
}

/// 200 and who it is. All seven headers are always set, empty where there is nothing to say, so that a proxy
/// which copies them overwrites whatever the client may have sent under these names.
fn admitted(grant: &Grant) -> Answer {
    let mut answer = answer::typed(StatusCode::OK, "text/plain", Bytes::new());
    let name = |text| answer::header_text(text, b"", Spaces::Encoded).into_owned();
    answer::insert(&mut answer, answer::SUBJECT, &name(grant.subject().unwrap_or_default()));
    answer::insert(&mut answer, ROLES, &list(grant.roles()));
    answer::insert(&mut answer, GROUPS, &list(grant.groups()));
    let scope = grant.scope();
    let scope = answer::header_text(scope.unwrap_or_default(), b"", Spaces::Kept);
    answer::insert(&mut answer, SCOPE, &scope);
    answer::insert(&mut answer, TOKEN_ID, &name(grant.token_id().unwrap_or_default()));
    // breakglass.md §5.6
    let order = grant.by_glass().map(|through| through.order().id.as_str());
    answer::insert(&mut answer, BREAKGLASS, order.unwrap_or_default());
    answer
}

/// Names joined by commas; a comma within a name is encoded.
fn list<S: AsRef<str>>(names: impl Iterator<Item = S>) -> String {
    let mut joined = String::new();
    for name in names {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(&answer::header_text(name.as_ref(), b",", Spaces::Encoded));
    }
    joined
}

fn printable(name: &HeaderName) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 40;
    name.as_str().chars().take(SHOWN_CHARACTERS_MAX).collect()
}
