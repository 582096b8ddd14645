//! Discovery and keys, for software on the far side that verifies by itself.
//!
//! Shows what the gate believes right now: the site's issuer, and only keys whose trust is current. A key
//! that is revoked, or past its `accept_until`, or held by a gate whose trust has expired, is not shown.

use farside_verify::{Code, Refusal};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde_json::{Value, json};

use super::Doors;
use super::answer::{self, Answer};

/// `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
///
/// The gate issues nothing, so the members that name an authorization or token endpoint are left out, as
/// Kubernetes leaves them out of its own discovery document.
pub(crate) fn configuration(doors: &Doors) -> Answer {
    let trust = match doors.gate.trust() {
        Ok(trust) => trust,
        Err(refusal) => return answer::refused(&refusal),
    };
    let Some(issuer) = trust.issuer() else {
        return answer::refused(&no_trust());
    };
    // OpenID Connect Discovery §4.1: a terminating slash is removed before a path is appended.
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let jwks = trust.current_jwks(doors.now());
    let body = json!({
        "issuer": issuer,
        "jwks_uri": format!("{base}/jwks.json"),
        "introspection_endpoint": format!("{base}/introspect"),
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms(&jwks),
    });
    revalidated(answer::json_answer(StatusCode::OK, &body))
}

/// `/jwks.json` (RFC 7517 §5).
pub(crate) fn jwks(doors: &Doors) -> Answer {
    match doors.gate.trust() {
        Err(refusal) => answer::refused(&refusal),
        Ok(trust) if trust.issuer().is_none() => answer::refused(&no_trust()),
        Ok(trust) => {
            let keys = trust.current_jwks(doors.now());
            revalidated(answer::typed(StatusCode::OK, "application/jwk-set+json", keys.into()))
        }
    }
}

/// A key may be revoked at any moment: whoever keeps a copy must ask again before using it.
fn revalidated(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// The algorithms of the keys shown, each once.
fn algorithms(jwks: &str) -> Vec<String> {
    let keys = serde_json::from_str::<Value>(jwks).unwrap_or_default();
    let mut names: Vec<String> =
        keys["keys"].as_array().into_iter().flatten().filter_map(algorithm_of).collect();
    names.sort_unstable();
    names.dedup();
    names
}

// token.md: a key without `alg` is loaded only where its type leaves one choice.
fn algorithm_of(key: &Value) -> Option<String> {
    if let Some(named) = key["alg"].as_str() {
        return Some(named.to_owned());
    }
    let implied = match key["crv"].as_str()? {
        "P-256" => "ES256",
        "P-384" => "ES384",
        "P-521" => "ES512",
        "Ed25519" => "EdDSA",
        _ => return None,
    };
    Some(implied.to_owned())
}

fn no_trust() -> Refusal {
    Refusal::new(Code::Stale, "this gate has not yet been given anything to trust", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_algorithm_once() {
        let jwks = r#"{"keys":[{"kty":"EC","crv":"P-256"},{"kty":"AKP","alg":"ML-DSA-65"},
            {"kty":"EC","crv":"P-256","alg":"ES256"},{"kty":"OKP","crv":"Ed25519"},{"kty":"oct"}]}"#;
        assert_eq!(algorithms(jwks), ["ES256", "EdDSA", "ML-DSA-65"]);
        assert!(algorithms("{\"keys\":[]}").is_empty());
    }
}
