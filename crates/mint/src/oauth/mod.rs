//! The OAuth 2.0 face of the mint: token endpoint (RFC 6749, client credentials), revocation (RFC 7009),
//! metadata (RFC 8414), keys. A token is bound to the client's key where it shows a DPoP proof (RFC 9449 §5).
//!
//! Refuses whatever the RFCs refuse, in their words; what a token may say, [`judge`](crate::judge) decides.

mod client;
mod dpop;
mod error;
mod form;
mod replay;
mod revoke;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use farside_service::time::now_unix;
use farside_verify::Algorithm;

use crate::claims::Profile;
use crate::issue::{IssueFault, Issuer, SignedToken};
use crate::judge::{IssueRequest, Requester};
use crate::store::Directory;
use client::{Authenticator, Client};
use error::never_stored;
use form::Form;

pub use client::{ASSERTION_LEEWAY_SECONDS, ASSERTION_SECONDS_MAX, ASSERTION_TYPE};
pub use error::{ErrorCode, OAuthError};
pub use form::PARAMETERS_MAX;
pub use replay::{SPENT_ASSERTIONS_MAX, SpentAssertions};
pub use revoke::{Backroom, REVOCATION_PATH};

/// Largest body of a token request.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth2/token";

/// Path of the authorization server's metadata (RFC 8414 §3).
pub const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// Path of the public keys of every site.
pub const KEYS_PATH: &str = "/jwks.json";

/// What the endpoints work with.
#[derive(Debug)]
pub struct Endpoints {
    issuer: Arc<Issuer>,
    authenticator: Authenticator,
    backroom: Arc<dyn Backroom>,
    url: String,
}

impl Endpoints {
    /// Endpoints reached at `url`, which is also this authorization server's issuer identifier.
    pub fn new(
        issuer: Arc<Issuer>,
        url: &str,
        spent: SpentAssertions,
        backroom: Arc<dyn Backroom>,
    ) -> Arc<Endpoints> {
        let url = url.trim_end_matches('/').to_owned();
        let authenticator = Authenticator::new(&url, &format!("{url}{TOKEN_PATH}"), spent);
        Arc::new(Endpoints { issuer, authenticator, backroom, url })
    }

    /// The routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route(TOKEN_PATH, post(token))
            .route(REVOCATION_PATH, post(revoke::revoke))
            .route(METADATA_PATH, get(metadata))
            .route(KEYS_PATH, get(jwk_set))
            .route("/healthz", get(|| async { "ok\n" }))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }
}

async fn token(
    State(endpoints): State<Arc<Endpoints>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let outcome = endpoints.answer(&uri, &headers, body).await;
    if let Err(error) = &outcome {
        endpoints.issuer.tally().refused(error.code().as_str());
    }
    metrics::counter!("farside_mint_token_requests_total", "outcome" => outcome_name(&outcome)).increment(1);
    outcome.unwrap_or_else(OAuthError::into_response)
}

impl Endpoints {
    async fn answer(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Response, OAuthError> {
        let form = read_form(uri, headers, body)?;
        let now = now_unix();
        let directory = self.issuer.store().directory().map_err(IssueFault::from)?;
        let client = self.authenticator.client(&directory, headers, &form, now)?;
        let mut request = request(&directory, &client, &form)?;
        request.confirmation = self.authenticator.key(headers, now)?;
        // RFC 9449 §5
        let token_type = if request.confirmation.is_some() { "DPoP" } else { "Bearer" };
        let token = self.issue(&directory, request, now).await?;
        Ok(token_response(&token, token_type, now))
    }

    // A slow signature (RSA) is made beside the event loop, not in it.
    async fn issue(
        &self,
        directory: &Arc<Directory>,
        request: IssueRequest,
        now: u64,
    ) -> Result<SignedToken, OAuthError> {
        let issued = if self.issuer.is_slow(directory, &request, now) {
            let issuer = Arc::clone(&self.issuer);
            match tokio::task::spawn_blocking(move || issuer.issue(&request, now)).await {
                Ok(issued) => issued,
                Err(_) => {
                    return Err(OAuthError::new(ErrorCode::ServerError, "the token could not be signed"));
                }
            }
        } else {
            match self.issuer.begin(directory, &request, now) {
                Ok(pending) => pending.released().await,
                Err(fault) => Err(fault),
            }
        };
        issued.map_err(|fault| {
            if !matches!(fault, IssueFault::Refused(_)) {
                tracing::error!(%fault, "no token was issued");
            }
            fault.into()
        })
    }
}

fn read_form(
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Form, OAuthError> {
    let invalid = |text: &str| OAuthError::new(ErrorCode::InvalidRequest, text);
    // RFC 6749 §2.3.1: credentials must not be in the URI; nothing else of ours ever is.
    if uri.query().is_some() {
        return Err(invalid("this endpoint takes no parameters in its URI"));
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(invalid("the body must be application/x-www-form-urlencoded"));
    }
    let body = body.map_err(|rejection| {
        let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let error = invalid(if too_large { "the body is too large" } else { "the body cannot be read" });
        error.with_status(rejection.status())
    })?;
    Form::parse(&body)
}

fn request(directory: &Directory, client: &Client<'_>, form: &Form) -> Result<IssueRequest, OAuthError> {
    let error = |code, text: &str| Err(OAuthError::new(code, text));
    match form.value("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return error(ErrorCode::UnsupportedGrantType, "only client_credentials is offered"),
        None => return error(ErrorCode::InvalidRequest, "grant_type is missing"),
    }
    let audience = match (form.value("audience"), form.value("resource")) {
        (Some(audience), Some(resource)) if audience != resource => {
            return error(ErrorCode::InvalidTarget, "audience and resource name two audiences");
        }
        (Some(audience), _) | (None, Some(audience)) => audience,
        (None, None) => return error(ErrorCode::InvalidTarget, "audience or resource is missing"),
    };
    if directory.site_of_audience(audience).is_none() {
        return error(ErrorCode::InvalidTarget, "no site has that audience");
    }
    let scope = form.value("scope").map(scope).transpose()?;
    Ok(IssueRequest {
        requester: Requester::Client(client.subject.client_id.clone()),
        subject: client.subject.name.clone(),
        audience: audience.to_owned(),
        roles: scope.as_ref().map(|roles| roles.iter().map(|role| (*role).to_owned()).collect()),
        groups: Vec::new(),
        scope: scope.map(|roles| roles.join(" ")),
        lifetime_seconds: None,
        profile: Profile::Access,
        confirmation: None,
        assertion: client.assertion.clone(),
    })
}

// RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ). A scope of ours is a role the client holds.
fn scope(text: &str) -> Result<Vec<&str>, OAuthError> {
    let token =
        |part: &&str| !part.is_empty() && part.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    let mut parts: Vec<&str> = text.split(' ').collect();
    if !parts.iter().all(token) {
        return Err(OAuthError::new(ErrorCode::InvalidScope, "the scope is malformed"));
    }
    parts.sort_unstable();
    parts.dedup();
    Ok(parts)
}

/// A successful answer.
// RFC 6749 §5.1
#[derive(serde::Serialize)]
struct TokenAnswer<'t> {
    access_token: &'t str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'t str>,
}

fn token_response(token: &SignedToken, token_type: &'static str, now: u64) -> Response {
    let answer = TokenAnswer {
        access_token: token.expose(),
        token_type,
        expires_in: token.draft().expires_at().saturating_sub(now),
        scope: token.draft().scope(),
    };
    let mut response = Json(answer).into_response();
    never_stored(&mut response);
    response
}

/// How clients prove themselves at either endpoint.
const AUTH_METHODS: [&str; 2] = ["private_key_jwt", "client_secret_basic"];

fn algorithms() -> Vec<&'static str> {
    Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect()
}

// RFC 8414 §2
async fn metadata(State(endpoints): State<Arc<Endpoints>>) -> Json<serde_json::Value> {
    let url = &endpoints.url;
    Json(serde_json::json!({
        "issuer": url,
        "token_endpoint": format!("{url}{TOKEN_PATH}"),
        "jwks_uri": format!("{url}{KEYS_PATH}"),
        // RFC 7009 §4, RFC 8414 §2
        "revocation_endpoint": format!("{url}{REVOCATION_PATH}"),
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms(),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": algorithms(),
        // RFC 9449 §5.1
        "dpop_signing_alg_values_supported": algorithms(),
    }))
}

/// Every public key with which a token may still be verified, of all sites.
async fn jwk_set(State(endpoints): State<Arc<Endpoints>>) -> Response {
    match endpoints.issuer.store().directory() {
        Ok(directory) => {
            let body = published_keys(&directory, now_unix());
            ([(header::CONTENT_TYPE, "application/jwk-set+json")], body).into_response()
        }
        Err(fault) => OAuthError::from(IssueFault::from(fault)).into_response(),
    }
}

fn published_keys(directory: &Directory, now: u64) -> String {
    let keys = directory.sites().flat_map(|site| &site.keys);
    let current = keys.filter(|key| !key.revoked && now < key.accept_until);
    let texts: Vec<&str> = current.map(|key| key.jwk.as_str()).collect();
    format!("{{\"keys\":[{}]}}", texts.join(","))
}

fn outcome_name(outcome: &Result<Response, OAuthError>) -> &'static str {
    outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| "issued")
}
