//! Holders collect the tokens that were carried for them: people by a claim phrase, bots by a proof of their
//! key, programs on this machine as files.
//!
//! A wrong phrase, a wrong key, an unknown subject and an empty shelf get one answer at the door, so that
//! nobody learns who has something waiting; the journal has the reason. What is handed over has been judged
//! again just before.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use farside_verify::{Claims, Code, KeySet, Policy, Refusal, Verified, Verifier};
use zeroize::Zeroizing;

use crate::judge;
use crate::store::{self, Store, StoreFault, StoredParcel};
use crate::trust::TrustState;

/// Most tokens handed over at once.
pub const COLLECTED_MAX: usize = 64;

/// Longest life of a proof: it is made for one request.
pub const PROOF_LIFETIME_SECONDS_MAX: u64 = 300;

/// Clock difference tolerated between a bot and its gate.
const PROOF_LEEWAY_SECONDS: u64 = 60;

/// Longest claim phrase.
const PHRASE_BYTES_MAX: usize = 1024;

/// What a proof's audience ends in, after the gate's issuer.
const PICKUP_PATH: &str = "/pickup";

/// Who says what to collect tokens.
pub enum Claimant<'a> {
    /// A person: the name, and the phrase that was told.
    Phrase {
        /// The person's name.
        subject: &'a str,
        /// The phrase.
        phrase: &'a str,
    },
    /// A bot: its name, and a JWT signed by its key (`iss` and `sub` its name, `aud` the issuer and
    /// `/pickup`, `jti` used once, at most 300 seconds long).
    Key {
        /// The bot's name.
        subject: &'a str,
        /// The proof.
        proof: &'a str,
    },
}

/// A token handed to its holder.
pub struct Collected {
    /// The token; wiped when dropped.
    pub token: Zeroizing<String>,
    /// Whom it is for.
    pub subject: String,
    /// Where it is to be shown, where the mint said so.
    pub audience: Option<String>,
    /// Its `exp`.
    pub expires_at: u64,
    /// Its `jti`.
    pub token_id: String,
}

/// Why nothing is handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Nothing lies here for whoever asked so.
    #[error("nothing is waiting here under this claim")]
    NothingToCollect,
    /// The proof of the bot's key does not hold. That there is a key to prove is known to its holder alone,
    /// so whoever asked is told [`Refused::NothingToCollect`].
    #[error("the proof of the holder's key is refused: {0}")]
    ProofRefused(Refusal),
    /// The proof holds, but has been shown before.
    #[error("the proof of the holder's key counts once: {0}")]
    ProofReplayed(Refusal),
    /// This gate cannot judge tokens at present.
    #[error("this gate cannot judge tokens: {0}")]
    CannotJudge(Refusal),
    /// The store failed.
    #[error(transparent)]
    StoreUnreadable(#[from] StoreFault),
}

/// Hands over every live token that lies here under the claim: the newest for each audience.
///
/// # Errors
/// See [`Refused`].
pub fn collect(
    store: &Store,
    trust: &TrustState,
    claimant: Claimant<'_>,
    now: u64,
) -> Result<Vec<Collected>, Refused> {
    trust.ready(now).map_err(Refused::CannotJudge)?;
    let parcels = match claimant {
        Claimant::Phrase { subject, phrase } => by_phrase(store, subject, phrase, now)?,
        Claimant::Key { subject, proof } => by_key(store, trust, subject, proof, now)?,
    };
    hand_over(store, trust, parcels, now)
}

/// Hands over what is to be kept as files on this machine. Only whoever may read the store can ask.
///
/// # Errors
/// See [`Refused`].
pub fn collect_files(
    store: &Store,
    trust: &TrustState,
    subject: &str,
    now: u64,
) -> Result<Vec<Collected>, Refused> {
    trust.ready(now).map_err(Refused::CannotJudge)?;
    let parcels = store.read(|tx| store::waiting(tx, subject, "file", None, now))?;
    hand_over(store, trust, parcels, now)
}

/// The phrase as the mint digested it.
pub fn phrase_digest(phrase: &str) -> String {
    URL_SAFE_NO_PAD.encode(farside_service::digest::sha256(phrase.trim().as_bytes()))
}

/// The `aud` of a proof.
pub fn proof_audience(issuer: &str) -> String {
    format!("{}{PICKUP_PATH}", issuer.trim_end_matches('/'))
}

fn by_phrase(store: &Store, subject: &str, phrase: &str, now: u64) -> Result<Vec<StoredParcel>, Refused> {
    if phrase.len() > PHRASE_BYTES_MAX {
        return Err(Refused::NothingToCollect);
    }
    // Looked up by its digest: how long that takes tells nothing of any phrase.
    let digest = phrase_digest(phrase);
    Ok(store.read(|tx| store::waiting(tx, subject, "phrase", Some(&digest), now))?)
}

fn by_key(
    store: &Store,
    trust: &TrustState,
    subject: &str,
    proof: &str,
    now: u64,
) -> Result<Vec<StoredParcel>, Refused> {
    let mut parcels = store.read(|tx| store::waiting(tx, subject, "key", None, now))?;
    let keys: HashSet<&str> = parcels.iter().map(|parcel| parcel.claim.as_str()).collect();
    let mut proven = None;
    let mut refusal = None;
    for jwk in keys {
        match proof_holds(trust, jwk, subject, proof, now) {
            Ok(shown) => proven = Some((jwk.to_owned(), shown)),
            Err(why) => refusal = Some(why),
        }
    }
    let Some((jwk, shown)) = proven else {
        return Err(refusal.map_or(Refused::NothingToCollect, Refused::ProofRefused));
    };
    shown_once(store, subject, &shown, now)?;
    parcels.retain(|parcel| parcel.claim == jwk);
    Ok(parcels)
}

fn proof_holds(
    trust: &TrustState,
    jwk: &str,
    subject: &str,
    proof: &str,
    now: u64,
) -> Result<Verified<Claims>, Refusal> {
    let keys = KeySet::from_jwks(format!("{{\"keys\":[{jwk}]}}").as_bytes())?;
    let demands = Policy::undemanding()
        .issuer(subject)
        .audiences([proof_audience(trust.issuer().unwrap_or_default())])
        .leeway_seconds(PROOF_LEEWAY_SECONDS)
        .lifetime_seconds_max(PROOF_LIFETIME_SECONDS_MAX);
    let claims = Verifier::new(keys, demands).verify(proof, now)?;
    if claims.subject() != Some(subject) {
        return Err(Refusal::new(Code::ClaimsInvalid, "sub is not the bot that asks", ""));
    }
    if claims.token_id().is_none_or(str::is_empty) {
        return Err(Refusal::new(Code::ClaimMissing, "jti", ""));
    }
    Ok(claims)
}

/// RFC 7523 §3: each proof counts once, and is remembered until it could not be shown again anyway.
fn shown_once(store: &Store, subject: &str, proof: &Claims, now: u64) -> Result<(), Refused> {
    let id = farside_service::digest::sha256(proof.token_id().unwrap_or_default().as_bytes());
    let until = proof.expires_at().unwrap_or(now).saturating_add(PROOF_LEEWAY_SECONDS);
    let new = store
        .write(|tx| store::show_proof(tx, subject, &farside_service::digest::hex(&id), until, now))
        .map_err(|fault: StoreFault| Refused::StoreUnreadable(fault))?;
    if new { Ok(()) } else { Err(Refused::ProofReplayed(Refusal::new(Code::Replayed, "jti", ""))) }
}

fn hand_over(
    store: &Store,
    trust: &TrustState,
    parcels: Vec<StoredParcel>,
    now: u64,
) -> Result<Vec<Collected>, Refused> {
    let mut served = HashSet::new();
    let mut collected = Vec::new();
    let mut rows = Vec::new();
    for parcel in parcels {
        let place = (parcel.subject.clone(), parcel.audience.clone());
        if served.contains(&place) || judge::still_good(trust, &parcel.token, now).is_err() {
            continue;
        }
        served.insert(place);
        rows.push(parcel.id);
        collected.push(Collected {
            token: parcel.token,
            subject: parcel.subject,
            audience: parcel.audience,
            expires_at: parcel.expires_at,
            token_id: parcel.token_id,
        });
    }
    if collected.is_empty() {
        return Err(Refused::NothingToCollect);
    }
    store.write(|tx| rows.iter().try_for_each(|row| store::mark_collected(tx, *row, now)))?;
    Ok(collected)
}
