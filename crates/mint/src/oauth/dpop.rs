//! The key that a client asks its token to be bound to, proven by a DPoP proof (RFC 9449 §5).
//!
//! Refuses two proofs, one that does not hold, and one that has been used. A proof is for this endpoint
//! alone, so an address that clients do not know takes none.

use axum::http::HeaderMap;
use farside_verify::dpop::{self, Demand};
use farside_verify::encode::base64url;
use farside_verify::uri::HttpUri;

use super::client::ASSERTION_LEEWAY_SECONDS;
use super::error::{ErrorCode, OAuthError};
use super::replay::{SpentAssertions, Unspendable, mark};
use crate::claims::Confirmation;

/// The header of the proof.
const HEADER: &str = "dpop";

/// The key that the request proves to hold, if it offers to; each proof counts once.
pub(super) fn key(
    headers: &HeaderMap,
    endpoint: &str,
    spent: &SpentAssertions,
    now: u64,
) -> Result<Option<Confirmation>, OAuthError> {
    let invalid = |text: String| OAuthError::new(ErrorCode::InvalidDpopProof, text);
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // RFC 9449 §4.3, item 1
    let proof = value.to_str().ok().filter(|_| values.next().is_none());
    let proof = proof.ok_or_else(|| invalid("there must be one DPoP header".to_owned()))?;
    let uri = HttpUri::read(endpoint);
    let leeway_seconds = ASSERTION_LEEWAY_SECONDS;
    let demand = Demand { method: "POST", uri: uri.as_ref(), token: None, leeway_seconds };
    let proof = dpop::verify(proof, &demand, now).map_err(|refusal| invalid(refusal.detail().to_owned()))?;
    let thumbprint = base64url(proof.thumbprint());
    let until = proof.issued_at() + dpop::PROOF_AGE_SECONDS_MAX + leeway_seconds;
    // No client's id holds a line's end.
    match spent.spend(mark(&format!("dpop\n{thumbprint}"), proof.id()), until, now) {
        Ok(()) => Ok(Some(Confirmation::Jkt(thumbprint))),
        Err(Unspendable::Replayed) => Err(invalid("the DPoP proof has been used before".to_owned())),
        Err(Unspendable::Full) => {
            Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many proofs to remember"))
        }
    }
}
