//! The site's keys as they crossed: shown again to software that verifies by itself, each to the byte as the
//! release people signed it.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One key of the site's JWK Set.
#[derive(Clone, Debug)]
pub struct PublishedKey {
    /// Its id.
    pub kid: String,
    /// Its algorithm, where the JWK names it.
    pub alg: Option<String>,
    /// From when tokens may be signed with it, Unix seconds.
    pub sign_from: Option<u64>,
    /// Until when.
    pub sign_until: Option<u64>,
    /// Until when such tokens are believed.
    pub accept_until: Option<u64>,
    jwk: Box<RawValue>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    kid: String,
    alg: Option<String>,
    sign_from: Option<u64>,
    sign_until: Option<u64>,
    accept_until: Option<u64>,
}

/// Reads a set that the verifier has loaded before.
pub(crate) fn read(jwks: &[u8]) -> Result<Vec<PublishedKey>, serde_json::Error> {
    let set: Set = serde_json::from_slice(jwks)?;
    set.keys.into_iter().map(key).collect()
}

fn key(jwk: Box<RawValue>) -> Result<PublishedKey, serde_json::Error> {
    let Members { kid, alg, sign_from, sign_until, accept_until } = serde_json::from_str(jwk.get())?;
    Ok(PublishedKey { kid, alg, sign_from, sign_until, accept_until, jwk })
}

/// Writes a JWK Set (RFC 7517 §5) of these keys.
pub(crate) fn jwks<'a>(keys: impl Iterator<Item = &'a PublishedKey>) -> String {
    let keys: Vec<&str> = keys.map(|key| key.jwk.get()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}
