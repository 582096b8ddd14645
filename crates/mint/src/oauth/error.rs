//! The token endpoint's errors, as RFC 6749 §5.2 spells them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::issue::IssueFault;
use crate::judge::Refused;

/// When a client may try again after `temporarily_unavailable`.
const RETRY_SECONDS: &str = "30";

/// An error code with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// A parameter is missing, repeated, or malformed (RFC 6749 §5.2).
    InvalidRequest,
    /// Client authentication failed (RFC 6749 §5.2).
    InvalidClient,
    /// The client may not use this grant (RFC 6749 §5.2).
    UnauthorizedClient,
    /// The grant type is not offered (RFC 6749 §5.2).
    UnsupportedGrantType,
    /// The scope is unknown, malformed or not the client's (RFC 6749 §5.2).
    InvalidScope,
    /// The audience is missing, unknown or more than one (RFC 8707 §2).
    InvalidTarget,
    /// A DPoP proof does not hold (RFC 9449 §5).
    InvalidDpopProof,
    /// This mint failed (the name is RFC 6749 §4.1.2.1's).
    ServerError,
    /// This mint cannot issue at the moment (the name is RFC 6749 §4.1.2.1's).
    TemporarilyUnavailable,
}

/// An error answer.
#[derive(Debug)]
pub struct OAuthError {
    code: ErrorCode,
    description: String,
    status: Option<StatusCode>,
}

impl ErrorCode {
    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidRequest => "invalid_request",
            ErrorCode::InvalidClient => "invalid_client",
            ErrorCode::UnauthorizedClient => "unauthorized_client",
            ErrorCode::UnsupportedGrantType => "unsupported_grant_type",
            ErrorCode::InvalidScope => "invalid_scope",
            ErrorCode::InvalidTarget => "invalid_target",
            ErrorCode::InvalidDpopProof => "invalid_dpop_proof",
            ErrorCode::ServerError => "server_error",
            ErrorCode::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            ErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
            ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl OAuthError {
    pub(super) fn new(code: ErrorCode, description: impl Into<String>) -> OAuthError {
        OAuthError { code, description: description.into(), status: None }
    }

    /// The same error under another status, where HTTP has a better one than 400.
    pub(super) fn with_status(mut self, status: StatusCode) -> OAuthError {
        self.status = Some(status);
        self
    }

    /// The error's code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }
}

// RFC 6749 §5.2, §5.1: JSON, never stored; 401 with a challenge.
impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "error": self.code.as_str(),
            "error_description": describable(&self.description),
        });
        let mut response = (self.status.unwrap_or(self.code.status()), Json(body)).into_response();
        never_stored(&mut response);
        let headers = response.headers_mut();
        if self.code == ErrorCode::InvalidClient {
            let challenge = HeaderValue::from_static("Basic realm=\"farside\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.code == ErrorCode::TemporarilyUnavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }
}

/// Marks an answer that no cache may keep.
pub(super) fn never_stored(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

// RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
fn describable(text: &str) -> String {
    let allowed = |c: char| (' '..='~').contains(&c) && c != '"' && c != '\\';
    text.chars().map(|c| if allowed(c) { c } else { '\'' }).collect()
}

impl From<IssueFault> for OAuthError {
    fn from(fault: IssueFault) -> Self {
        match fault {
            IssueFault::Refused(refused) => refused.into(),
            IssueFault::Log(_) => {
                OAuthError::new(ErrorCode::TemporarilyUnavailable, "the issuance log cannot be written")
            }
            IssueFault::Store(_) => {
                OAuthError::new(ErrorCode::TemporarilyUnavailable, "the directory cannot be read")
            }
            fault if fault.is_away() => {
                OAuthError::new(ErrorCode::TemporarilyUnavailable, "the key of that audience is away")
            }
            IssueFault::Key { .. } | IssueFault::PublicKey { .. } | IssueFault::Sign(_) => {
                OAuthError::new(ErrorCode::ServerError, "the token could not be signed")
            }
        }
    }
}

impl From<Refused> for OAuthError {
    fn from(refused: Refused) -> Self {
        let code = match &refused {
            Refused::SubjectUnknown { .. }
            | Refused::SubjectDisabled { .. }
            | Refused::NotForOthers { .. } => ErrorCode::UnauthorizedClient,
            Refused::AudienceUnknown { .. } | Refused::SiteDisabled { .. } => ErrorCode::InvalidTarget,
            Refused::RoleNotHeld { .. } | Refused::RoleNotAllowed { .. } | Refused::GroupNotHeld { .. } => {
                ErrorCode::InvalidScope
            }
            Refused::Lifetime { .. }
            | Refused::ProfileNotAllowed { .. }
            | Refused::Profile { .. }
            | Refused::Unbound { .. }
            | Refused::TooLarge { .. } => ErrorCode::InvalidRequest,
            Refused::NoKey { .. } => ErrorCode::TemporarilyUnavailable,
        };
        OAuthError::new(code, refused.to_string())
    }
}
