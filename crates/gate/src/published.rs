//! The site's keys as they crossed: shown again to software that verifies by itself, each to the byte as the
//! release people signed it.

use serde::Deserialize;
use serde_json::value::RawValue;

/// `use` of a key that signs JWT-SVIDs.
const SVID_USE: &str = "jwt-svid";

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
    /// What it is for: `sig`, `jwt-svid`, or not said.
    pub usage: Option<String>,
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
    #[serde(rename = "use")]
    usage: Option<String>,
}

/// Reads a set that the verifier has loaded before.
pub(crate) fn read(jwks: &[u8]) -> Result<Vec<PublishedKey>, serde_json::Error> {
    let set: Set = serde_json::from_slice(jwks)?;
    set.keys.into_iter().map(key).collect()
}

fn key(jwk: Box<RawValue>) -> Result<PublishedKey, serde_json::Error> {
    let Members { kid, alg, sign_from, sign_until, accept_until, usage } = serde_json::from_str(jwk.get())?;
    Ok(PublishedKey { kid, alg, sign_from, sign_until, accept_until, usage, jwk })
}

/// Writes a JWK Set (RFC 7517 §5) of these keys.
pub(crate) fn jwks<'a>(keys: impl Iterator<Item = &'a PublishedKey>) -> String {
    let keys: Vec<&str> = keys.map(|key| key.jwk.get()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

/// Of a set, the keys that sign JWT-SVIDs: all that a SPIFFE trust bundle of ours may hold.
// SPIFFE Trust Domain and Bundle §4.2: `use` and `kid` must be set.
pub(crate) fn for_svids(keys: &[PublishedKey]) -> Vec<String> {
    let svid = |key: &&PublishedKey| key.usage.as_deref() == Some(SVID_USE) && !key.kid.is_empty();
    keys.iter().filter(svid).map(|key| key.jwk.get().to_owned()).collect()
}
