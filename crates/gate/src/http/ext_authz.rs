//! Envoy's `ext_authz` over gRPC (`envoy.service.auth.v3.Authorization/Check`): the question of `/verify`,
//! asked in another form and answered the same.
//!
//! ```text
//!   CheckRequest ── client's headers ─────────┐                   ┌─ ok: identity set over whatever came in
//!                └─ context_extensions ─ said ┴─▶ verify::ask ────┤
//!                   of Envoy's configuration                      └─ denied: as /verify says it
//! ```
//!
//! Every refusal is a *denied* answer, never an error of gRPC and never Envoy's `error_response`: a filter
//! that lets requests through where the gate fails would let those through too. Bounded in bytes and in
//! time.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{
    HeaderMap as RawHeaders, HeaderValue as Line, HeaderValueOption,
};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc::Status as Verdict;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode};
use tonic::codegen::Service as _;
use tonic::{Code, Status};

use super::answer::{Answer, RequestFault};
use super::body::RequestBody;
use super::form::Form;
use super::verify::{self, Question};
use super::{Door, Doors, forwarded, wanted};
use crate::judge::Requested;

/// Where Envoy calls.
const SERVICE: &str = "/envoy.service.auth.v3.Authorization/";

/// A check larger than this is not read: Envoy's own default for all headers of a request is 60 KiB.
const CHECK_BYTES_MAX: usize = 128 * 1024;
/// A request has no more header lines than this; Envoy's own default is 100.
const HEADERS_MAX: usize = 256;
/// A check that takes longer than this to arrive and be answered is given up.
const CHECK_SECONDS_MAX: u64 = 10;

/// What the proxy's configuration may say beside audience and action: whether the application is shown the
/// credential too.
const CREDENTIAL: &str = "credential";
/// The one word for it.
const KEEP: &str = "keep";
/// The proof that goes with a bound token (RFC 9449 §4).
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// What the doors answer: bytes of a known length, or a message of gRPC's.
pub type AnyAnswer = Response<Either<Full<Bytes>, tonic::body::Body>>;

impl Doors {
    /// Answers one request: a check of Envoy's over gRPC, or any other.
    pub async fn answer_any<B>(self: Arc<Self>, request: Request<B>) -> AnyAnswer
    where
        B: RequestBody + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    {
        if !request.uri().path().starts_with(SERVICE) {
            return self.answer(request).await.map(Either::Left);
        }
        let mut service = AuthorizationServer::from_arc(self).max_decoding_message_size(CHECK_BYTES_MAX);
        let checked = tokio::time::timeout(Duration::from_secs(CHECK_SECONDS_MAX), service.call(request));
        let answer = match checked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(never)) => match never {},
            Err(_late) => {
                super::count_wrong(Door::ExtAuthz.name(), "body_invalid");
                Status::deadline_exceeded("the check took too long").into_http()
            }
        };
        answer.map(Either::Right)
    }
}

#[tonic::async_trait]
impl Authorization for Doors {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let keeps = attributes.context_extensions.get(CREDENTIAL).is_some_and(|word| word == KEEP);
        let answer = answer(self, attributes).await;
        Ok(tonic::Response::new(told(self.finished(answer), keeps).await))
    }
}

async fn answer(doors: &Doors, attributes: AttributeContext) -> Answer {
    let said = said(&attributes.context_extensions);
    let certificate = attributes.source.as_ref().map_or("", |source| source.certificate.as_str());
    let certificate = forwarded::certificate_of_pem(certificate);
    let Some(http) = attributes.request.and_then(|request| request.http) else {
        return verify::wrong(Door::ExtAuthz, &unreadable("the check is about no HTTP request"));
    };
    let received = Received { method: http.method, scheme: http.scheme, host: http.host, path: http.path };
    match headers(http.header_map, http.headers) {
        Ok(headers) => {
            let question = Question { headers: &headers, said, request: received.read(), certificate };
            verify::ask(doors, Door::ExtAuthz, question).await
        }
        Err(fault) => verify::wrong(Door::ExtAuthz, &fault),
    }
}

/// What Envoy says that it received: its own word, beside the client's headers and never among them.
struct Received {
    method: String,
    scheme: String,
    host: String,
    path: String,
}

impl Received {
    fn read(&self) -> Result<Option<Requested<'_>>, RequestFault> {
        let Received { method, scheme, host, path } = self;
        if [method, scheme, host, path].iter().all(|part| part.is_empty()) {
            return Ok(None);
        }
        let read = Requested::read(method, scheme, host, path);
        read.map(Some).map_err(|fault| RequestFault::ForwardedInvalid(fault.to_string()))
    }
}

/// What Envoy's own configuration says: the audience, the action, what becomes of the credential.
fn said(extensions: &HashMap<String, String>) -> Result<Form<'_>, RequestFault> {
    let invalid = |what: String| RequestFault::ParametersInvalid(what);
    let said = Form::of(extensions).map_err(|fault| invalid(fault.to_string()))?;
    if let Some(name) = said.stranger(&[verify::AUDIENCE, wanted::ACTION, CREDENTIAL]) {
        return Err(invalid(format!("the context extension {name} is not known here")));
    }
    match said.get(CREDENTIAL) {
        None | Some(KEEP) => Ok(said),
        Some(_) => Err(invalid("the context extension credential says something else than `keep`".into())),
    }
}

/// The client's headers, each line by itself where Envoy sends them raw; otherwise joined by Envoy, so that
/// two credentials are no one token.
fn headers(raw: Option<RawHeaders>, joined: HashMap<String, String>) -> Result<HeaderMap, RequestFault> {
    let mut headers = HeaderMap::new();
    let raw = raw.map(|map| map.headers).unwrap_or_default();
    if raw.len().saturating_add(joined.len()) > HEADERS_MAX {
        return Err(unreadable("the request has too many header lines"));
    }
    let raw = raw.into_iter().map(|Line { key, value, raw_value }| {
        let bytes = if raw_value.is_empty() { value.into_bytes() } else { raw_value };
        (key, bytes)
    });
    let joined = joined.into_iter().map(|(key, value)| (key, value.into_bytes()));
    for (name, value) in raw.chain(joined) {
        // Method, path, scheme and authority stand beside the headers too.
        if name.starts_with(':') {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(&value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(unreadable("a header line of the request is none"));
        };
        headers.try_append(name, value).map_err(|_| unreadable("the request has too many header lines"))?;
    }
    Ok(headers)
}

fn unreadable(what: &str) -> RequestFault {
    RequestFault::BodyInvalid(what.to_owned())
}

/// The answer of `/verify` in Envoy's words. An admission sets every identity header over whatever came in,
/// and takes the credential away unless Envoy's configuration keeps it.
async fn told(answer: Answer, keeps: bool) -> CheckResponse {
    let (head, body) = answer.into_parts();
    let verdict = |code: Code| Some(Verdict { code: code.into(), ..Verdict::default() });
    if head.status == StatusCode::OK {
        let ours = |name: &HeaderName| name.as_str().starts_with(super::credential::IDENTITY_PREFIX);
        let removed = if keeps { Vec::new() } else { vec![AUTHORIZATION.to_string(), DPOP.to_string()] };
        let ok = OkHttpResponse {
            headers: lines(&head.headers, ours),
            headers_to_remove: removed,
            ..OkHttpResponse::default()
        };
        return CheckResponse {
            status: verdict(Code::Ok),
            http_response: Some(HttpResponse::OkResponse(ok)),
            ..CheckResponse::default()
        };
    }
    let whole = match body.collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(never) => match never {},
    };
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(head.status.as_u16()) }),
        headers: lines(&head.headers, |_| true),
        body: String::from_utf8_lossy(&whole).into_owned(),
    };
    CheckResponse {
        status: verdict(code_of(head.status)),
        http_response: Some(HttpResponse::DeniedResponse(denied)),
        ..CheckResponse::default()
    }
}

/// These headers of an answer, each to stand in the place of any other of its name, even where it is empty.
fn lines(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> Vec<HeaderValueOption> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| HeaderValueOption {
        header: Some(Line {
            key: name.to_string(),
            value: value.to_str().unwrap_or_default().to_owned(),
            ..Line::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: true,
        ..HeaderValueOption::default()
    };
    headers.iter().filter(|(name, _)| wanted(name)).map(line).collect()
}

/// Anything but `Ok` denies; which it is, Envoy's statistics show.
fn code_of(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::PermissionDenied,
    }
}
