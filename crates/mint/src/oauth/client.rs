//! Who is asking: client authentication by signed assertion (RFC 7523) or generated secret (RFC 6749 §2.3.1).
//!
//! Refuses a request that offers no proof, or two. The assertion is believed by `farside_verify`, as a gate
//! believes a token; a secret is 256 random bits, so its plain SHA-256 is what the directory holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_service::digest;
use farside_verify::encode::base64url_decode;
use farside_verify::{Claims, Code, KeySet, Policy, Refusal, Verified, Verifier};

use super::dpop;
use super::error::{ErrorCode, OAuthError};
use super::form::{self, Form};
use super::replay::{SpentAssertions, Unspendable, mark};
use crate::claims::Confirmation;
use crate::store::{Directory, Kind, Subject};

/// `client_assertion_type` of RFC 7523 §2.2.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Longest remaining life of an assertion.
pub const ASSERTION_SECONDS_MAX: u64 = 600;

/// Forgiven difference between a client's clock and ours.
pub const ASSERTION_LEEWAY_SECONDS: u64 = 60;

/// Checks clients' proofs.
#[derive(Debug)]
pub(super) struct Authenticator {
    /// What an assertion may name as its audience: our issuer identifier and our token endpoint.
    audiences: [String; 2],
    spent: SpentAssertions,
    /// Owns one verifier for each client's keys, beside the text that it was made from.
    verifiers: Mutex<HashMap<String, (String, Arc<Verifier>)>>,
}

/// A client that has proved who it is.
pub(super) struct Client<'d> {
    pub(super) subject: &'d Subject,
    /// What stands for the assertion that was spent, if it was one.
    pub(super) assertion: Option<String>,
}

/// What a request offers as proof.
enum Proof<'r> {
    Secret { client_id: String, secret: String },
    Assertion { client_id: Option<&'r str>, assertion: &'r str },
}

impl Authenticator {
    pub(super) fn new(issuer: &str, token_endpoint: &str, spent: SpentAssertions) -> Authenticator {
        let audiences = [issuer.to_owned(), token_endpoint.to_owned()];
        Authenticator { audiences, spent, verifiers: Mutex::default() }
    }

    /// The client that this request proves to come from.
    pub(super) fn client<'d>(
        &self,
        directory: &'d Directory,
        headers: &HeaderMap,
        form: &Form,
        now: u64,
    ) -> Result<Client<'d>, OAuthError> {
        match proof(headers, form)? {
            Proof::Secret { client_id, secret } => by_secret(directory, &client_id, &secret),
            Proof::Assertion { client_id, assertion } => {
                self.by_assertion(directory, client_id, assertion, now)
            }
        }
    }

    /// The key that this request, of a client that has proved who it is, wants its token to be bound to.
    pub(super) fn key(&self, headers: &HeaderMap, now: u64) -> Result<Option<Confirmation>, OAuthError> {
        let [_, endpoint] = &self.audiences;
        dpop::key(headers, endpoint, &self.spent, now)
    }

    fn by_assertion<'d>(
        &self,
        directory: &'d Directory,
        client_id: Option<&str>,
        assertion: &str,
        now: u64,
    ) -> Result<Client<'d>, OAuthError> {
        // Only a hint where to look for the key; what the verifier believes must say the same.
        let named = claimed_subject(assertion).ok_or_else(unauthenticated)?;
        if client_id.is_some_and(|id| id != named) {
            return Err(invalid_client("client_id and the assertion name two clients"));
        }
        let subject = usable_client(directory, &named).ok_or_else(unauthenticated)?;
        let verifier = self.verifier(subject).ok_or_else(unauthenticated)?;
        let claims = verifier.verify(assertion, now).map_err(assertion_refused)?;
        // RFC 7523 §3, item 2.B: for client authentication the subject is the client_id.
        if claims.subject() != Some(named.as_str()) {
            return Err(invalid_client("iss and sub of the assertion must both be the client_id"));
        }
        let spent = self.spend(&claims, &named, now)?;
        Ok(Client { subject, assertion: Some(spent) })
    }

    fn spend(&self, claims: &Verified<Claims>, client_id: &str, now: u64) -> Result<String, OAuthError> {
        // RFC 7523 §3, item 4: exp is required, and one unreasonably far in the future may be refused.
        let expires_at = claims.expires_at().ok_or_else(|| invalid_client("the assertion has no exp"))?;
        let latest = now + ASSERTION_SECONDS_MAX + ASSERTION_LEEWAY_SECONDS;
        let long = claims.lifetime_seconds().is_some_and(|lifetime| lifetime > ASSERTION_SECONDS_MAX);
        if expires_at > latest || long {
            return Err(invalid_client("the assertion lives longer than 600 seconds"));
        }
        // One audience: an assertion that another server may spend too is not for us alone.
        if claims.audiences().count() != 1 {
            return Err(invalid_client("the assertion must be for this token endpoint alone"));
        }
        let id = claims.token_id().filter(|id| !id.is_empty());
        let mark = mark(client_id, id.ok_or_else(|| invalid_client("the assertion has no jti"))?);
        match self.spent.spend(mark.clone(), expires_at + ASSERTION_LEEWAY_SECONDS, now) {
            Ok(()) => Ok(mark),
            Err(Unspendable::Replayed) => Err(invalid_client("the assertion has been used before")),
            Err(Unspendable::Full) => {
                Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many assertions to remember"))
            }
        }
    }

    fn verifier(&self, subject: &Subject) -> Option<Arc<Verifier>> {
        let jwks = subject.auth.jwks.as_ref()?;
        let mut verifiers = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((text, verifier)) = verifiers.get(&subject.client_id)
            && text == jwks
        {
            return Some(Arc::clone(verifier));
        }
        let keys = KeySet::from_jwks(jwks.as_bytes()).ok()?;
        let policy = Policy::undemanding()
            .issuer(&subject.client_id)
            .audiences(&self.audiences)
            .leeway_seconds(ASSERTION_LEEWAY_SECONDS);
        let verifier = Arc::new(Verifier::new(keys, policy));
        verifiers.insert(subject.client_id.clone(), (jwks.clone(), Arc::clone(&verifier)));
        Some(verifier)
    }
}

// RFC 6749 §2.3: a client must not use more than one authentication method in one request.
fn proof<'r>(headers: &HeaderMap, form: &'r Form) -> Result<Proof<'r>, OAuthError> {
    let basic = basic(headers)?;
    if form.value("client_secret").is_some() {
        let reason = "client_secret belongs into the Authorization header: client_secret_basic";
        return Err(invalid_client(reason));
    }
    match (basic, form.value("client_assertion_type"), form.value("client_assertion")) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            Err(OAuthError::new(ErrorCode::InvalidRequest, "the client is authenticated in two ways"))
        }
        (Some((client_id, secret)), None, None) => {
            if form.value("client_id").is_some_and(|id| id != client_id) {
                return Err(invalid_client("client_id and the Authorization header name two clients"));
            }
            Ok(Proof::Secret { client_id, secret })
        }
        (None, Some(ASSERTION_TYPE), Some(assertion)) => {
            Ok(Proof::Assertion { client_id: form.value("client_id"), assertion })
        }
        (None, Some(ASSERTION_TYPE), None) => {
            Err(OAuthError::new(ErrorCode::InvalidRequest, "client_assertion is missing"))
        }
        (None, Some(_), _) => Err(invalid_client("client_assertion_type is not one that is supported")),
        (None, None, Some(_)) => {
            Err(OAuthError::new(ErrorCode::InvalidRequest, "client_assertion_type is missing"))
        }
        (None, None, None) => Err(invalid_client("the client is not authenticated")),
    }
}

// RFC 6749 §2.3.1: id and secret are form-encoded, then joined for HTTP Basic (RFC 7617 §2).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(OAuthError::new(ErrorCode::InvalidRequest, "there are two Authorization headers"));
    }
    let value = value.as_bytes();
    let (scheme, credentials) = value.split_at_checked(6).ok_or_else(unauthenticated)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Err(invalid_client("the Authorization scheme is not Basic"));
    }
    let pair = STANDARD.decode(credentials.trim_ascii()).map_err(|_| unauthenticated())?;
    let mut halves = pair.splitn(2, |byte| *byte == b':');
    let mut half = || halves.next().and_then(form::decode).ok_or_else(unauthenticated);
    Ok(Some((half()?, half()?)))
}

fn by_secret<'d>(directory: &'d Directory, client_id: &str, secret: &str) -> Result<Client<'d>, OAuthError> {
    let subject = usable_client(directory, client_id);
    let held = subject.and_then(|subject| subject.auth.secret_sha256);
    let presented = digest::sha256(secret.as_bytes());
    // An unknown client is compared all the same, so that time does not tell it from a wrong secret.
    let expected = held.unwrap_or_default();
    let equal = aws_lc_rs::constant_time::verify_slices_are_equal(&presented, &expected).is_ok();
    match (subject, held) {
        (Some(subject), Some(_)) if equal => Ok(Client { subject, assertion: None }),
        _ => Err(unauthenticated()),
    }
}

fn usable_client<'d>(directory: &'d Directory, client_id: &str) -> Option<&'d Subject> {
    directory.client(client_id).filter(|subject| subject.enabled && subject.kind != Kind::Person)
}

fn claimed_subject(assertion: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        sub: String,
    }
    let payload = base64url_decode(assertion.split('.').nth(1)?)?;
    serde_json::from_slice::<Named>(&payload).ok().map(|named| named.sub)
}

fn assertion_refused(refusal: Refusal) -> OAuthError {
    match refusal.code() {
        // What is said of a key or a signature stays vague: it would tell which clients exist.
        Code::KeyUnknown | Code::KeyAmbiguous | Code::KeyUnusable | Code::SignatureInvalid => {
            unauthenticated()
        }
        code => invalid_client(format!("the assertion is refused: {}", code.as_str())),
    }
}

fn unauthenticated() -> OAuthError {
    invalid_client("the client could not be authenticated")
}

fn invalid_client(description: impl Into<String>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, description)
}
