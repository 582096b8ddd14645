//! From a bundle's bytes to changed rows, inside one transaction: believe, judge, check each component,
//! write.
//!
//! Nothing here looks at a clock or a folder. Whatever fails takes the whole transaction back.

use farside_crossing::bundle::{self, Opened};
use farside_crossing::charter;
use farside_crossing::{
    Acceptance, Base, Charter, Clock, Code, PolicyDocument, ReceiptKey, RecipientSecret, Refusal,
    StatusDocument, Stream,
};
use farside_service::cli::Failure;
use farside_verify::{Algorithm, KeySet};
use rusqlite::Transaction;

use super::log::{self, BelievedRun, Runs};
use super::parcels;
use super::past;
use super::report::{Applied, Chartered, HeadLetGo, Outcome, ParcelsIn};
use super::status::{self, Ground};
use crate::known::Believers;
use crate::store::{self, AppliedRow, ForkRow, MintAhead, StoreFault};
use crate::trust::{self, BUILT_AT, Believed, LEEWAY_SECONDS_DEFAULT, TrustFault};

/// What the judgement is made with.
pub(super) struct Scene<'a> {
    pub(super) site: &'a str,
    pub(super) secret: Option<&'a RecipientSecret>,
    /// Who verifies.
    pub(super) believers: &'a Believers,
    pub(super) now: u64,
}

/// What is to be committed.
pub(super) enum Considered {
    Applied(Applied),
    AlreadyApplied {
        seq: u64,
    },
    Superseded {
        held: u64,
        offered: u64,
        refusal: Refusal,
    },
    /// A file of charters alone.
    Chartered(Chartered),
    /// A fork: the stream is frozen, which must be committed although the bundle is refused.
    Forked(Refusal),
}

/// Why nothing is committed.
pub(super) type Trouble = crate::trouble::Trouble<Instead>;

/// What there is instead.
pub(super) enum Instead {
    /// Refused, since by its signed time it was made later than it is here.
    FromLater(Refusal, MintAhead),
    /// Nothing was to be changed.
    DryRun(Box<Outcome>),
}

impl Considered {
    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Considered::Applied(applied) => Outcome::Applied(applied),
            Considered::AlreadyApplied { seq } => Outcome::AlreadyApplied { seq },
            Considered::Superseded { held, offered, refusal } => {
                Outcome::Superseded { held, offered, refusal }
            }
            Considered::Chartered(chartered) => Outcome::Chartered(chartered),
            Considered::Forked(refusal) => Outcome::Refused { refusal, kept: None },
        }
    }
}

/// Judges a bundle and writes what follows from it.
// bundle.md §10
pub(super) fn consider(tx: &Transaction<'_>, scene: &Scene<'_>, bytes: &[u8]) -> Result<Considered, Trouble> {
    let trusted = newest_charter(tx)?;
    if charter::is_chain_file(bytes) {
        return follow(tx, scene, &trusted, bytes).map(Considered::Chartered);
    }
    let held = Held::read(tx)?;
    let opened = match bundle::open(bytes, &trusted, scene.site) {
        Ok(opened) => opened,
        Err(refusal) => return past::judge(tx, scene, bytes, held.stream.seq(), refusal),
    };
    // A clock that was set back must not bring expired bundles back to life.
    let now = scene.now.max(held.time_floor).max(held.lived);
    let clock = Clock { now, leeway_seconds: held.leeway_seconds() };
    let judged = farside_crossing::judge(&held.stream, &opened, clock);
    let acceptance = judged.map_err(|refusal| match refusal.code() {
        Code::NotYetIssued => {
            let (seq, issued_at) = (opened.manifest().seq, opened.manifest().issued_at);
            Trouble::Otherwise(Instead::FromLater(refusal, MintAhead { seq, issued_at, seen_at: now }))
        }
        _ => Trouble::Refused(refusal),
    })?;
    let told = acceptance.refusal();
    match acceptance {
        Acceptance::AlreadyApplied => Ok(Considered::AlreadyApplied { seq: opened.manifest().seq }),
        Acceptance::Superseded { held, offered } => {
            store::count_superseded(tx)?;
            let refusal = told.unwrap_or_else(|| Refusal::new(Code::Rollback, ""));
            Ok(Considered::Superseded { held, offered, refusal })
        }
        Acceptance::Forked { next, refusal } => {
            freeze(tx, scene, &opened, &next)?;
            Ok(Considered::Forked(refusal))
        }
        Acceptance::Apply { next, missing, thawed } => {
            let judged = Judged { next, missing, thawed };
            match log::believe(tx, &opened, held.stream.fence_acts(&opened), scene.now)? {
                Runs::Believed(runs) => {
                    apply(tx, scene, &opened, &held, judged, runs).map(Considered::Applied)
                }
                // log.md §7.4
                Runs::Forked(refusal) => {
                    let offered = Base { seq: opened.manifest().seq, digest: opened.digest() };
                    let frozen = Stream { frozen: Some(offered), ..held.stream };
                    store::set_stream(tx, &marks(&frozen)?)?;
                    Ok(Considered::Forked(refusal))
                }
            }
        }
    }
}

/// The newest charter this gate trusts.
pub(super) fn newest_charter(tx: &Transaction<'_>) -> Result<Charter, Trouble> {
    let chain = store::charters(tx)?;
    let Some(bytes) = chain.last() else {
        return Err(Trouble::Broken(
            Failure::could_not("this gate trusts no charter yet")
                .hint("run `farside gate trust CHARTER` and compare its fingerprint first"),
        ));
    };
    Ok(trust::newest_charter(bytes)?)
}

struct Judged {
    next: Stream,
    missing: Option<(u64, u64)>,
    thawed: bool,
}

/// Follows charters that came alone.
// bundle.md §4.14
fn follow(
    tx: &Transaction<'_>,
    scene: &Scene<'_>,
    trusted: &Charter,
    bytes: &[u8],
) -> Result<Chartered, Trouble> {
    let new = charter::follow_chain_file(trusted, bytes)?;
    let heads_let_go = trust_charters(tx, &new, scene.now)?;
    if !new.is_empty() {
        store::changed(tx)?;
    }
    let newest = new.last().unwrap_or(trusted);
    Ok(Chartered {
        version: newest.version(),
        fingerprint: newest.fingerprint().hex(),
        charters: new.iter().map(Charter::version).collect(),
        heads_let_go,
    })
}

/// Stores new charters, and lets go what was held only by the word of a key that the newest no longer names.
// bundle.md §4.15
fn trust_charters(tx: &Transaction<'_>, new: &[Charter], now: u64) -> Result<Vec<HeadLetGo>, StoreFault> {
    for charter in new {
        store::add_charter(tx, charter.version(), charter.bytes(), now)?;
    }
    new.last().map_or_else(|| Ok(Vec::new()), |newest| log::let_go(tx, newest.log()))
}

/// What this gate held before.
struct Held {
    stream: Stream,
    time_floor: u64,
    lifetime_seconds_highest: u64,
    /// What this gate has lived through.
    lived: u64,
    mint_ahead: bool,
    keys: Option<Vec<u8>>,
    policy: Option<PolicyDocument>,
    status: Option<StatusDocument>,
}

impl Held {
    fn read(tx: &Transaction<'_>) -> Result<Held, Trouble> {
        let (state, clock) = (store::state(tx)?, store::clock(tx)?);
        let stream = if state.stream.is_empty() {
            Stream::new()
        } else {
            serde_json::from_str(&state.stream).map_err(|_| StoreFault::Damaged("high-water marks"))?
        };
        Ok(Held {
            stream,
            time_floor: state.time_floor.max(BUILT_AT),
            lifetime_seconds_highest: state.lifetime_seconds_highest,
            lived: clock.witness.map_or(0, |witness| witness.steady_ms / 1_000),
            mint_ahead: clock.mint.is_some(),
            keys: store::document(tx, "keys")?,
            policy: document(tx, "policy")?,
            status: document(tx, "status")?,
        })
    }

    fn leeway_seconds(&self) -> u64 {
        self.policy.as_ref().map_or(LEEWAY_SECONDS_DEFAULT, |policy| policy.leeway_seconds)
    }
}

fn document<T: serde::de::DeserializeOwned>(
    tx: &Transaction<'_>,
    kind: &'static str,
) -> Result<Option<T>, Trouble> {
    let body = store::document(tx, kind)?;
    let parsed = body.map(|body| serde_json::from_slice(&body)).transpose();
    Ok(parsed.map_err(|_| StoreFault::Damaged(kind))?)
}

/// Two bundles claim one number: nothing is applied until release people sign a fence, and both are kept.
// bundle.md §10.4
fn freeze(
    tx: &Transaction<'_>,
    scene: &Scene<'_>,
    opened: &Opened<'_>,
    next: &Stream,
) -> Result<(), Trouble> {
    let seq = opened.manifest().seq;
    let held = store::bundle(tx, seq)?.map(|bundle| bundle.digest).unwrap_or_default();
    let fork = ForkRow { seq, held, digest: opened.digest().hex(), noticed_at: scene.now };
    store::add_fork(tx, &fork, opened.manifest_note())?;
    store::set_stream(tx, &marks(next)?)?;
    Ok(())
}

fn apply(
    tx: &Transaction<'_>,
    scene: &Scene<'_>,
    opened: &Opened<'_>,
    held: &Held,
    judged: Judged,
    runs: Vec<BelievedRun<'_>>,
) -> Result<Applied, Trouble> {
    let manifest = opened.manifest();
    let seq = manifest.seq;
    let heads_let_go = trust_charters(tx, opened.charters_new(), scene.now)?;
    let believed = documents(tx, scene.believers, opened, held)?;
    let logs = log::keep(tx, runs, seq, manifest.issued_at)?;
    if let Some(policy) = believed.as_ref().map(Believed::policy) {
        log::prune(tx, manifest.issued_at.saturating_sub(log::kept_seconds(policy)))?;
    }
    let (parcels, nonce) = match &believed {
        Some(believed) => parcels::take_in(tx, scene, opened, believed)?,
        None => (ParcelsIn::default(), None),
    };
    let receipt =
        nonce.map(|nonce| farside_crossing::ReceiptCode::new(&nonce, seq, &opened.digest()).to_string());
    let row = AppliedRow {
        seq,
        digest: opened.digest().hex(),
        kind: manifest.kind.as_str().to_owned(),
        issued_at: manifest.issued_at,
        next_by: manifest.next_by,
        not_after: manifest.not_after,
        applied_at: scene.now,
        receipt: receipt.clone(),
    };
    store::add_bundle(tx, &row, opened.manifest_note())?;
    if let Some(nonce) = nonce {
        store::set_receipt_key(tx, seq, &ReceiptKey::new(&nonce, seq, &opened.digest()))?;
    }
    if let Some((first, last)) = judged.missing {
        store::add_missing(tx, first, last, scene.now)?;
    }
    // bundle.md §10.9: the high-water marks move in the transaction that applies, with the time floor.
    store::advance(tx, &marks(&judged.next)?, manifest.issued_at)?;
    if held.mint_ahead {
        store::set_mint_ahead(tx, None)?;
    }
    Ok(Applied {
        seq,
        digest: row.digest,
        kind: row.kind,
        issued_at: row.issued_at,
        not_after: row.not_after,
        time_floor: held.time_floor.max(row.issued_at),
        journals: manifest.journals.clone(),
        missing: judged.missing,
        thawed: judged.thawed,
        charters: opened.charters_new().iter().map(Charter::version).collect(),
        leaves: logs.leaves,
        heads_let_go,
        logs_anew: logs.anew,
        parcels,
        receipt,
    })
}

/// Checks and stores keys, policy and status, and makes of them what tokens will be judged by.
fn documents(
    tx: &Transaction<'_>,
    believers: &Believers,
    opened: &Opened<'_>,
    held: &Held,
) -> Result<Option<Believed>, Trouble> {
    let seq = opened.manifest().seq;
    if let Some(keys) = opened.keys() {
        every_key_usable(keys.jwks.as_str())?;
        store::set_document(tx, "keys", keys.version, seq, keys.jwks.as_str().as_bytes())?;
    }
    if let Some(policy) = opened.policy() {
        sane(policy)?;
        store::set_document(tx, "policy", policy.version, seq, &json(policy)?)?;
    }
    let keys = opened.keys().map(|keys| keys.jwks.as_str().as_bytes()).or(held.keys.as_deref());
    let policy = opened.policy().or(held.policy.as_ref());
    let lifetime_seconds_highest =
        policy.map_or(0, |policy| policy.lifetime_seconds_max).max(held.lifetime_seconds_highest);
    store::set_lifetime_highest(tx, lifetime_seconds_highest)?;
    let ground = Ground { pardon: held.stream.fresh_pardon(opened), jwks: keys, lifetime_seconds_highest };
    if let Some(lists) = opened.lists() {
        store::set_document(tx, "lists", lists.version, seq, &json(lists)?)?;
    }
    let taken = status::take_in(tx, opened, held.status.as_ref(), &ground)?;
    let status = taken.as_ref().or(held.status.as_ref());
    let (Some(keys), Some(policy), Some(status)) = (keys, policy, status) else { return Ok(None) };
    let believed = Believed::new(believers, keys, policy.clone(), status, None);
    let believed = believed.map_err(|fault| match fault {
        TrustFault::Document { what, reason } => {
            Trouble::from(Refusal::new(Code::Malformed, format!("its {what}: {reason}")))
        }
        fault => fault.into(),
    })?;
    Ok(Some(believed))
}

/// Every key must load, and none may be weak: release people who sign an unusable key did not mean to.
fn every_key_usable(jwks: &str) -> Result<(), Refusal> {
    let cure = "mend the key set at the mint and have it released again";
    let set = KeySet::from_jwks(jwks.as_bytes())
        .map_err(|error| Refusal::new(Code::Malformed, format!("its key set: {error}")).with_cure(cure))?;
    let Some(unusable) = set.unusable().first() else { return Ok(()) };
    let name = unusable.kid.as_deref().unwrap_or("without an id");
    let detail = format!("key {name} of its key set cannot be used: {}", unusable.reason);
    Err(Refusal::new(Code::Malformed, detail).with_cure(cure))
}

/// A policy that this gate cannot keep is refused, rather than kept in part.
fn sane(policy: &PolicyDocument) -> Result<(), Refusal> {
    let refuse = |detail: String| {
        Err(Refusal::new(Code::Malformed, format!("its policy: {detail}"))
            .with_cure("release a policy this gate can keep"))
    };
    if let Some(name) = policy.algorithms.iter().flatten().find(|name| Algorithm::from_name(name).is_none()) {
        return refuse(format!("algorithm {name} is unknown here"));
    }
    Ok(())
}

fn marks(stream: &Stream) -> Result<String, Trouble> {
    serde_json::to_string(stream).map_err(|_| StoreFault::Damaged("high-water marks").into())
}

fn json(document: &impl serde::Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(document).map_err(|_| StoreFault::Damaged("document").into())
}
