//! Whether whoever shows a token is its holder: every key that the token names is proven, by what came with
//! the request and nothing else.
//!
//! ```text
//!   cnf ─┬─ jkt ──────▶ scheme DPoP, a proof of this request, this token and this key ─▶ counts once
//!        ├─ x5t#S256 ─▶ the certificate of the client's TLS
//!        └─ neither ──▶ a bearer token, unless the audience wants them bound
//! ```

use farside_crossing::LEEWAY_SECONDS_MAX;
use farside_verify::{Code, Confirmation, Refusal, dpop};

use super::{Holder, Inspection, Once, Requested, ShownAs, Wanted};
use crate::trust::TrustState;

/// All that a token names as its holder's has been proven, and something where its audience wants that. Gives
/// the proofs, each of which counts once.
// token.md §5.6
pub(super) fn proven(
    trust: &TrustState,
    inspection: &Inspection,
    (credential, wanted): (&str, Wanted<'_>),
    now: u64,
) -> Result<Vec<Once>, Refusal> {
    let demanded = wanted.audience.and_then(|audience| trust.believed()?.audience(audience));
    match inspection.token().and_then(|claims| claims.confirmation()) {
        Some(bound) => {
            let leeway_seconds = trust.policy().map_or(0, |policy| policy.leeway_seconds);
            all(bound, (credential, wanted), leeway_seconds, now)
        }
        None if demanded.is_some_and(|policy| policy.holder_bound) => {
            let detail = "this audience admits only tokens that are bound to a key";
            let cure = "Ask for a token that is bound to your key.";
            Err(Refusal::new(Code::HolderProofRequired, detail, cure))
        }
        None if wanted.holder.shown == ShownAs::Bearer => Ok(Vec::new()),
        None => Err(unbound()),
    }
}

fn all(
    bound: &Confirmation,
    (credential, wanted): (&str, Wanted<'_>),
    leeway_seconds: u64,
    now: u64,
) -> Result<Vec<Once>, Refusal> {
    // What is not proven here, and what is not known here, is not passed over.
    if bound.ssh.is_some() || *bound == Confirmation::default() {
        return Err(required("it is bound in a way that is not proven at this door"));
    }
    let Wanted { request, holder, .. } = wanted;
    if let Some(thumbprint) = bound.x5t_s256 {
        certificate(&thumbprint, holder)?;
    }
    match (&bound.jkt, holder.shown) {
        (Some(thumbprint), ShownAs::Dpop(proof)) => {
            let proof = by_dpop(proof, (credential, request), leeway_seconds, now)?;
            if proof.thumbprint() != thumbprint {
                return Err(required("the DPoP proof that came with it is another key's"));
            }
            Ok(vec![once(&proof)])
        }
        (Some(_), ShownAs::Bearer) => Err(required("it was shown as a bearer token")),
        (None, ShownAs::Dpop(_)) => Err(unbound()),
        (None, ShownAs::Bearer) => Ok(Vec::new()),
    }
}

// RFC 8705 §3
fn certificate(demanded: &[u8; 32], holder: Holder<'_>) -> Result<(), Refusal> {
    match holder.certificate_sha256 {
        Some(shown) if shown == *demanded => Ok(()),
        Some(_) => Err(required("the client's certificate is another than it is bound to")),
        None => Err(required("it is bound to a client certificate, and none was shown")),
    }
}

// token.md §10
fn by_dpop(
    proof: &str,
    (credential, request): (&str, Option<&Requested<'_>>),
    leeway_seconds: u64,
    now: u64,
) -> Result<dpop::Proof, Refusal> {
    let Some(request) = request else {
        return Err(Refusal::new(Code::RequestUnknown, "a DPoP proof is about one request", ""));
    };
    let uri = request.uri();
    let demand =
        dpop::Demand { method: request.method(), uri: uri.as_ref(), token: Some(credential), leeway_seconds };
    dpop::verify(proof, &demand, now)
}

/// A proof, for the whole time in which any leeway could let it be shown.
// token.md §10.5
fn once(proof: &dpop::Proof) -> Once {
    let (made, age_max) = (proof.issued_at(), dpop::PROOF_AGE_SECONDS_MAX);
    let until = made.saturating_add(age_max + LEEWAY_SECONDS_MAX + 1);
    Once::proof(proof.thumbprint(), proof.id(), made.saturating_sub(LEEWAY_SECONDS_MAX), until)
}

fn required(detail: &'static str) -> Refusal {
    Refusal::new(Code::HolderProofRequired, detail, "")
}

// RFC 9449 §7.1: whoever counts on a bound token would not notice that this one is not.
fn unbound() -> Refusal {
    let detail = "it was shown with a DPoP proof, and is bound to no such key";
    Refusal::new(Code::HolderProofInvalid, detail, "Show it as a bearer token, or ask for one that is bound.")
}
