//! `/pickup`: a holder collects the token that a bundle carried for it.
//!
//! People say a claim phrase, bots prove their key. Failed attempts are counted against the name and against
//! the door, every attempt is journalled before it is answered, and a wrong name is answered like a wrong
//! phrase or key.

use farside_service::digest;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Doors;
use super::answer::{self, Answer, RequestFault};
use super::attempts::{Attempts, TooMany};
use super::body::{self, RequestBody};
use crate::pickup::{self, Claimant, Collected, Refused};

/// A proof with the largest signature fits.
const BODY_BYTES_MAX: usize = 32 * 1024;
/// A name longer than this is nobody's.
const SUBJECT_BYTES_MAX: usize = 1024;

/// What a holder sends: its name, and one of the two proofs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    subject: String,
    #[serde(default)]
    phrase: Option<String>,
    #[serde(default)]
    assertion: Option<String>,
}

/// Answers one attempt to collect.
pub(crate) async fn answer(doors: &Doors, request: &Parts, body: impl RequestBody) -> Answer {
    if request.method != Method::POST {
        return answer::method_not_allowed("POST");
    }
    let claim = match read_claim(request, body).await {
        Ok(claim) => claim,
        Err(fault) => {
            super::count_wrong("pickup", fault.as_str());
            return answer::wrong(&fault);
        }
    };
    let (name, now) = (digest::sha256(claim.subject.as_bytes()), doors.now());
    let taken = attempts(doors).take(&name, now);
    if let Err(too_many) = taken {
        return wait(doors, &claim, too_many, now).await;
    }
    let collected = collect(doors, &claim, now).await;
    if collected.is_ok() {
        attempts(doors).succeeded(&name, now);
    }
    let members = journalled(&claim, &collected);
    match doors.write_down("pickup", now, members).await {
        Ok(()) => said(collected),
        Err(unwritten) => answer::refused(&unwritten),
    }
}

async fn read_claim(request: &Parts, body: impl RequestBody) -> Result<Claim, RequestFault> {
    // A browser cannot send this type to another site unasked.
    let bytes = body::read(request, "application/json", body, BODY_BYTES_MAX).await?;
    let wanted = || {
        RequestFault::BodyInvalid(
            "the body is not {\"subject\", \"phrase\"} or {\"subject\", \"assertion\"}".into(),
        )
    };
    let claim: Claim = serde_json::from_slice(&bytes).map_err(|_| wanted())?;
    let proofs = usize::from(claim.phrase.is_some()) + usize::from(claim.assertion.is_some());
    if proofs != 1 || claim.subject.is_empty() || claim.subject.len() > SUBJECT_BYTES_MAX {
        return Err(wanted());
    }
    Ok(claim)
}

/// The store blocks, so it is asked on a thread that may.
async fn collect(doors: &Doors, claim: &Claim, now: u64) -> Result<Vec<Collected>, Refused> {
    let trust = doors.gate.trust().map_err(Refused::CannotJudge)?;
    let gate = doors.gate.clone();
    let (subject, phrase) = (claim.subject.clone(), claim.phrase.clone());
    let proof = claim.assertion.clone().unwrap_or_default();
    let asked = tokio::task::spawn_blocking(move || {
        let claimant = match &phrase {
            Some(phrase) => Claimant::Phrase { subject: &subject, phrase },
            None => Claimant::Key { subject: &subject, proof: &proof },
        };
        pickup::collect(gate.store(), &trust, claimant, now)
    });
    asked.await.unwrap_or(Err(Refused::NothingToCollect))
}

fn said(collected: Result<Vec<Collected>, Refused>) -> Answer {
    match collected {
        Ok(tokens) => {
            let tokens: Vec<Value> = tokens.iter().map(shown).collect();
            answer::json_answer(StatusCode::OK, &json!({"tokens": tokens}))
        }
        // To a stranger a bot with tokens waiting looks like one without: no proof, no word of the key.
        Err(Refused::NothingToCollect | Refused::ProofRefused(_)) => {
            let cure = "Check the name, and the phrase or the key and clock that made the proof; a token that \
                        has expired, or has not crossed yet, is not here. The gate's journal has the reason.";
            let body = json!({"error": "not_found", "code": "nothing_to_collect", "cure": cure});
            answer::json_answer(StatusCode::NOT_FOUND, &body)
        }
        Err(Refused::ProofReplayed(refusal) | Refused::CannotJudge(refusal)) => answer::refused(&refusal),
        Err(fault) => {
            tracing::error!(%fault, "tokens cannot be handed over");
            answer::bare(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn shown(collected: &Collected) -> Value {
    json!({
        "token": collected.token.as_str(),
        "subject": collected.subject,
        "audience": collected.audience,
        "token_id": collected.token_id,
        "expires_at": collected.expires_at,
    })
}

/// What the journal keeps: who was asked for, how, and which ids left; never a phrase, a proof or a token.
fn journalled(claim: &Claim, collected: &Result<Vec<Collected>, Refused>) -> Value {
    let by = if claim.phrase.is_some() { "phrase" } else { "key" };
    let (verdict, code, ids) = match collected {
        Ok(tokens) => ("collected", "", tokens.iter().map(|one| json!(one.token_id)).collect()),
        Err(Refused::NothingToCollect) => ("refuse", "nothing_to_collect", Vec::new()),
        Err(
            Refused::ProofRefused(refusal) | Refused::ProofReplayed(refusal) | Refused::CannotJudge(refusal),
        ) => ("refuse", refusal.code().as_str(), Vec::new()),
        Err(_) => ("refuse", "store_unreadable", Vec::new()),
    };
    count(by, verdict, code);
    json!({"sub": claim.subject, "by": by, "verdict": verdict, "code": code, "token_ids": ids})
}

async fn wait(doors: &Doors, claim: &Claim, too_many: TooMany, now: u64) -> Answer {
    let by = if claim.phrase.is_some() { "phrase" } else { "key" };
    count(by, "refuse", "too_many_attempts");
    let members = json!({"sub": claim.subject, "by": by, "verdict": "refuse", "code": "too_many_attempts"});
    if let Err(unwritten) = doors.write_down("pickup", now, members).await {
        return answer::refused(&unwritten);
    }
    let body = json!({"error": "slow_down", "code": "too_many_attempts", "detail": too_many.to_string()});
    let mut answer = answer::json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(too_many.wait_seconds));
    answer
}

fn count(by: &'static str, verdict: &'static str, code: &'static str) {
    let labels = [("by", by), ("verdict", verdict), ("code", code)];
    metrics::counter!("farside_gate_pickups_total", &labels).increment(1);
}

/// The counters; whoever panicked while holding them left them whole, as each step is one assignment.
fn attempts(doors: &Doors) -> std::sync::MutexGuard<'_, Attempts> {
    doors.attempts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
