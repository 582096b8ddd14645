//! Token revocation (RFC 7009): a client takes back a token of its own. Durable before it is answered; it
//! takes effect at the site with the next bundle.

use std::fmt::Debug;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use farside_service::cli::Failure;
use farside_service::time::now_unix;
use serde_json::{Value, json};

use super::error::{ErrorCode, OAuthError, never_stored};
use super::{Endpoints, read_form};
use crate::issue::IssueFault;
use crate::log::index::{Index, IndexFault};
use crate::revocation::{self, LoggedToken, Order, RevocationFault, TokenFault, What};
use crate::store::Store;

/// Path of the revocation endpoint.
pub const REVOCATION_PATH: &str = "/oauth2/revoke";

/// Why a client's token was revoked, as others read it.
const REASON: &str = "revoked by its client";

/// Whoever holds the log and the journal.
pub trait Backroom: Debug + Send + Sync {
    /// Where in the log a token stands.
    fn index(&self) -> Result<Index, IndexFault>;
    /// Writes an act down; returns once that is durable.
    fn record(&self, event: &str, members: Value) -> Result<(), Failure>;
}

pub(super) async fn revoke(
    State(endpoints): State<Arc<Endpoints>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let outcome = answer(&endpoints, &uri, &headers, body).await;
    let name = outcome.as_ref().map_or_else(|error| error.code().as_str(), |()| "done");
    metrics::counter!("farside_mint_revocation_requests_total", "outcome" => name).increment(1);
    match outcome {
        // RFC 7009 §2.2: the content of the body is ignored by the client.
        Ok(()) => {
            let mut response = StatusCode::OK.into_response();
            never_stored(&mut response);
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn answer(
    endpoints: &Arc<Endpoints>,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), OAuthError> {
    // RFC 7009 §2.1: as at the token endpoint; `token_type_hint` is a hint, and there is one type.
    let form = read_form(uri, headers, body)?;
    let now = now_unix();
    let directory = endpoints.issuer.store().directory().map_err(IssueFault::from)?;
    let client = endpoints.authenticator.client(&directory, headers, &form, now)?;
    let token = form.value("token");
    let token = token.ok_or_else(|| OAuthError::new(ErrorCode::InvalidRequest, "token is missing"))?;
    let asked = Asked {
        token: token.to_owned(),
        subject: client.subject.name.clone(),
        client_id: client.subject.client_id.clone(),
    };
    let (backroom, store) = (Arc::clone(&endpoints.backroom), Arc::clone(endpoints.issuer.store()));
    let done = tokio::task::spawn_blocking(move || asked.take_back(&*backroom, &store, now)).await;
    done.unwrap_or_else(|_| Err(OAuthError::new(ErrorCode::ServerError, "the token was not revoked")))
}

/// A token that an authenticated client wants taken back.
struct Asked {
    token: String,
    subject: String,
    client_id: String,
}

impl Asked {
    fn take_back(&self, backroom: &dyn Backroom, store: &Store, now: u64) -> Result<(), OAuthError> {
        let found = backroom.index().map_err(TokenFault::from);
        let found = match found.and_then(|index| revocation::identify(&index, &self.token)) {
            Ok(found) => found,
            Err(TokenFault::Index(fault)) => {
                tracing::error!(%fault, "a token was not revoked");
                return Err(unavailable());
            }
            // RFC 7009 §2.2: there is nothing to revoke, and the client can do nothing about it.
            Err(_) => return Ok(()),
        };
        let LoggedToken { position, expires_at, subject } = found;
        // RFC 7009 §2.1: a token that was issued to another client is refused.
        match subject {
            None => return Ok(()),
            Some(subject) if subject != self.subject => {
                let reason = "the token was issued to another client";
                return Err(OAuthError::new(ErrorCode::UnauthorizedClient, reason));
            }
            Some(_) => {}
        }
        let order = Order {
            what: What::Token { position, expires_at: Some(expires_at) },
            site: None,
            before: None,
            reason: REASON.to_owned(),
            by: format!("client:{}", self.client_id),
        };
        let outcome = revocation::revoke(store, &order, now).map_err(|fault| match fault {
            RevocationFault::NoShard(_) => OAuthError::new(ErrorCode::ServerError, "its site is gone"),
            fault => {
                tracing::error!(%fault, "a token was not revoked");
                unavailable()
            }
        })?;
        let mut members = order.journalled(&outcome);
        members["by"] = json!(order.by);
        backroom.record("revoked", members).map_err(|failure| {
            tracing::error!(reason = %failure, "a revocation is not in the journal");
            unavailable()
        })
    }
}

// RFC 7009 §2.2.1: the client must assume that the token still exists, and may try again.
fn unavailable() -> OAuthError {
    OAuthError::new(ErrorCode::TemporarilyUnavailable, "the token could not be revoked now")
}
