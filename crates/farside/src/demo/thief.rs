//! A thief who has the whole mint server: its disk, its passphrase, its unattended online key. With these a
//! bundle is forged that is perfect but for one thing: the new token key in it is signed by a key that may
//! not add any. Everything here uses the mint's own library, as a thief with its disk could.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use farside_crossing::{
    Charter, Draft, ExpectedFingerprint, KeysDocument, Kind, Opened, RawJson, Writer, bundle, charter, note,
};
use farside_mint::config::Mint;
use farside_mint::keys::{self, KeyPair, PairSigner};
use farside_service::cli::{Failure, OrFailure};
use farside_service::time;
use farside_verify::encode::base64url;
use serde_json::{Value, json};

/// How long the forged bundle claims to be good.
const FORGED_SECONDS: u64 = 86_400;

/// Forges the successor of a site's newest bundle, with the thief's key among the site's token keys.
pub(crate) fn forge(mint_file: &Path, charter: &[u8], newest: &[u8], jwk: &str) -> Result<Vec<u8>, Failure> {
    let stolen = stolen_key(mint_file)?;
    let charter = public_charter(charter)?;
    let site = site_of(newest)?;
    let genuine = bundle::open(newest, &charter, &site).or_could_not(|| "read the newest bundle".into())?;
    let keys = keys_with(&genuine, jwk)?;
    let keys = note::sign(&keys, &[&stolen]).or_could_not(|| "sign the keys".into())?;
    pack(&genuine, &keys, &stolen)
}

/// Forges a token with the site's own token key: that of an honest token with another role, far along in the
/// log. Its signature holds, and no leaf of it stands in the log.
pub(crate) fn forge_token(mint_file: &Path, site: &str, claims: &Value) -> Result<String, Failure> {
    let mint = Mint::open(mint_file)?;
    let directory = mint.store()?.directory()?;
    let known = directory.site(site).ok_or_else(|| Failure::could_not("the site is not known"))?;
    let record = known.keys.first().ok_or_else(|| Failure::could_not("the site has no token key"))?;
    let key = keys::open_token_at(&record.place, &record.jwk, &mint.home.0, &mint.passphrase()?);
    let key = key.or_could_not(|| "open the token key".into())?;
    let KeyPair::Ecdsa(pair) = &key.pair else { return Err(Failure::could_not("not an ECDSA key")) };
    let mut claims = claims.clone();
    claims["roles"] = json!(["operator"]);
    let place = claims["jti"].as_str().unwrap_or_default().to_owned();
    let shard = place.rsplit_once('-').map_or(site, |(shard, _)| shard);
    claims["jti"] = json!(format!("{shard}-zzzz"));
    let header = json!({"alg": key.algorithm.name(), "typ": "at+jwt", "kid": key.kid});
    let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature =
        pair.sign(&SystemRandom::new(), input.as_bytes()).or_could_not(|| "sign the forged token".into())?;
    Ok(format!("{input}.{}", base64url(signature.as_ref())))
}

fn stolen_key(mint_file: &Path) -> Result<PairSigner, Failure> {
    let mint = Mint::open(mint_file)?;
    let passphrase = mint.passphrase()?;
    keys::open_signer(&mint.home.online_key(), &passphrase).or_could_not(|| "open the online key".into())
}

/// The charter is no secret; the thief reads it as anyone may.
fn public_charter(bytes: &[u8]) -> Result<Charter, Failure> {
    let review = charter::review(bytes).or_could_not(|| "read the charter".into())?;
    let expected = ExpectedFingerprint::from(review.fingerprint);
    charter::open_first(bytes, &expected).or_could_not(|| "open the charter".into())
}

fn site_of(newest: &[u8]) -> Result<String, Failure> {
    let seen = farside_crossing::inspect::inspect(newest);
    seen.manifest
        .map(|manifest| manifest.site)
        .ok_or_else(|| Failure::could_not("the newest bundle does not read"))
}

/// The site's key set, one version on, with one key more.
fn keys_with(genuine: &Opened<'_>, jwk: &str) -> Result<String, Failure> {
    let held = genuine.keys().ok_or_else(|| Failure::could_not("the newest bundle carries no keys"))?;
    let mut set: Value = read(held.jwks.as_str())?;
    let mut key: Value = read(jwk)?;
    key["kid"] = json!("thief-01");
    if let Some(keys) = set["keys"].as_array_mut() {
        keys.push(key);
    }
    let jwks = RawJson::new(&set.to_string()).or_could_not(|| "write the key set".into())?;
    let document =
        KeysDocument { version: held.version + 1, issued_at: time::now_unix(), jwks, ..held.clone() };
    document.text().or_could_not(|| "write the keys document".into())
}

fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).or_could_not(|| "read JSON".into())
}

fn pack(genuine: &Opened<'_>, keys: &[u8], stolen: &PairSigner) -> Result<Vec<u8>, Failure> {
    let (manifest, now) = (genuine.manifest(), time::now_unix());
    let draft = Draft {
        realm: manifest.realm.clone(),
        site: manifest.site.clone(),
        seq: manifest.seq + 1,
        prev: Some(genuine.digest()),
        kind: Kind::Full,
        base: None,
        issued_at: now,
        not_after: now + FORGED_SECONDS,
        next_by: now + FORGED_SECONDS,
    };
    let policy = genuine.component(farside_crossing::ComponentType::Policy);
    let parts = policy.zip(genuine.status());
    let (policy, status) = parts.ok_or_else(|| Failure::could_not("the newest bundle is not a full one"))?;
    let writer = Writer::new(draft).keys(keys).and_then(|writer| writer.policy(policy));
    let writer = writer.and_then(|writer| writer.status(status));
    let packed = writer.and_then(|writer| writer.finish(&[stolen]));
    Ok(packed.or_could_not(|| "pack the forged bundle".into())?.bytes)
}
