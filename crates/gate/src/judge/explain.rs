//! A judgement step by step, for people who ask why. It admits nobody, uses nothing up and writes nothing
//! down; each step is the very check that a door makes, in its order.

use std::sync::Arc;

use farside_crossing::{Logged, staple};
use farside_service::time::rfc3339;
use farside_verify::{Claims, Code, Refusal, Verified};

use super::{Inspection, Shown, Wanted, pass, policy};
use crate::judge::Clocks;
use crate::trust::TrustState;

/// Every check of a token, in the order of a door.
const CHECKS: [&str; 9] =
    ["trust", "token", "audience", "floor", "revocation", "log", "holder", "policy", "once"];

/// One check, and what came of it.
#[derive(Debug)]
pub struct Step {
    /// Which one.
    pub check: &'static str,
    /// What it found.
    pub found: Result<String, Refusal>,
}

/// What each check found, up to the first that failed.
#[derive(Debug, Default)]
pub struct Explained {
    /// The checks that were made.
    pub steps: Vec<Step>,
    /// Those that were not, since one before them failed.
    pub not_reached: Vec<&'static str>,
    /// Which of the site's policies permit it; `None` where it has none, or they were not asked.
    pub policies: Option<Vec<String>>,
    /// Where no policy permits it: those that permit something else, and why not this.
    pub misses: Vec<String>,
    /// Whose it is, where every check held.
    holder: Option<Inspection>,
}

impl Explained {
    /// The refusal that a door would answer with.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.steps.iter().find_map(|step| step.found.as_ref().err())
    }

    /// A check of one door's own, after all others.
    pub(crate) fn also(
        &mut self,
        check: &'static str,
        ask: impl FnOnce(&Inspection) -> Result<String, Refusal>,
    ) {
        match &self.holder {
            Some(holder) => self.steps.push(Step { check, found: ask(holder) }),
            None => self.not_reached.push(check),
        }
    }

    fn check<T>(
        &mut self,
        check: &'static str,
        found: Result<T, Refusal>,
        told: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let (found, value) = match found {
            Ok(value) => (Ok(told(&value)), Some(value)),
            Err(refusal) => (Err(refusal), None),
        };
        self.steps.push(Step { check, found });
        value
    }
}

/// Explains the judgement of a token. What stands in `taken` is taken as proven by its holder.
pub fn explain(
    trust: &TrustState,
    credential: &str,
    wanted: Wanted<'_>,
    taken: &[&str],
    now: u64,
) -> Explained {
    let mut explained = Explained::default();
    token(&mut explained, trust, credential, (wanted, taken), now);
    let made: Vec<&str> = explained.steps.iter().map(|step| step.check).collect();
    explained.not_reached = CHECKS.into_iter().filter(|check| !made.contains(check)).collect();
    explained
}

/// Explains the judgement of a pass.
pub fn explain_pass(
    trust: &TrustState,
    sha256: &[u8; 32],
    wanted: Wanted<'_>,
    clocks: Clocks<'_>,
) -> Explained {
    let mut explained = Explained::default();
    let found = pass::sound_pass(trust, sha256, wanted.audience, clocks);
    let sound = explained.check("pass", found, |inspection| {
        let order = inspection.by_glass().map(|through| through.order().id.as_str()).unwrap_or_default();
        format!("order {order} lets {} in until {}", who(inspection), until(inspection))
    });
    match sound {
        Some(inspection) => asked(&mut explained, trust, &inspection, (wanted, &[]), clocks.now),
        None => explained.not_reached.push("policy"),
    }
    explained
}

fn token(
    explained: &mut Explained,
    trust: &TrustState,
    credential: &str,
    (wanted, taken): (Wanted<'_>, &[&str]),
    now: u64,
) -> Option<()> {
    explained.check("trust", trust.ready(now), |()| {
        let issued_at = trust.applied().map_or(0, |applied| applied.issued_at);
        format!("bundle {} of {}, {}", trust.seq(), rfc3339(issued_at), trust.freshness(now).name())
    })?;
    let held = trust.believed()?;
    let verified = super::parted(credential).and_then(|(token, _)| {
        let claims = held.verifier().verify(token, now);
        claims.map_err(|refusal| super::explain_key(trust, held, refusal))
    });
    let claims = explained.check("token", verified, |claims| {
        format!("signed by key {} for {}", claims.key_id(), claims.subject().unwrap_or("nobody"))
    })?;
    explained.check("audience", super::meant_for(trust, held, &claims, wanted, now), |()| {
        let tier = wanted.action.map_or("the strictest use", |action| action.as_str());
        format!("{} is one of its audiences, and fresh enough for {tier}", wanted.audience.unwrap_or("one"))
    })?;
    explained.check("floor", super::floor_reached(trust, &claims), |()| match claims.floor() {
        Some(floor) => format!("it demands bundle {floor}"),
        None => "it demands no bundle".to_owned(),
    })?;
    let position = super::position(&claims).and_then(|position| {
        trust.issued_since_set_back(claims.issued_at())?;
        super::not_revoked(held, &claims, &position).map(|()| position)
    });
    let position = explained.check("revocation", position, |position| {
        format!("neither {position} nor subject, client, group or key are revoked")
    })?;
    log(explained, trust, &claims, &position, (credential, wanted), now)?;
    let inspection =
        Inspection { audience: wanted.audience.map(str::to_owned), ..Inspection::of_token(claims) };
    held_by(explained, trust, (credential, inspection), (wanted, taken), now)
}

fn log(
    explained: &mut Explained,
    trust: &TrustState,
    claims: &Verified<Claims>,
    position: &farside_verify::leaf::TokenPosition,
    (credential, wanted): (&str, Wanted<'_>),
    now: u64,
) -> Option<()> {
    let staple = staple::split(credential).ok().and_then(|(_, staple)| staple);
    let audience = wanted.audience;
    let logged = super::logged(trust, (claims, audience), position, staple.as_ref(), now);
    explained.check("log", logged, |()| match super::demanded(trust, claims, audience) {
        Logged::No => "no proof of logging is demanded".to_owned(),
        Logged::Staple => "its leaf has crossed, or its staple proves it".to_owned(),
        Logged::Leaf => "its leaf has crossed".to_owned(),
    })
}

fn held_by(
    explained: &mut Explained,
    trust: &TrustState,
    (credential, inspection): (&str, Inspection),
    (wanted, taken): (Wanted<'_>, &[&str]),
    now: u64,
) -> Option<()> {
    let proven = match taken {
        // The door's own word: what comes after the holder is asked about below.
        [] => match super::judge(trust, credential, wanted, now) {
            Err(refusal) if of_the_holder(refusal.code()) => Err(refusal),
            _ => Ok(policy::proven(&inspection)),
        },
        taken => Ok(taken.to_vec()),
    };
    let proven = explained.check("holder", proven, |proven| match &proven[..] {
        [] => "a bearer token, and the audience takes those".to_owned(),
        ways if taken.is_empty() => format!("proven by {}", ways.join(", ")),
        ways => format!("taken as proven by {}", ways.join(", ")),
    })?;
    asked(explained, trust, &inspection, (wanted, &proven), now);
    explained.refusal().is_none().then_some(())?;
    let once = super::once::of_token(trust, inspection.token()?, wanted.audience);
    explained.check("once", once, |once| match once {
        Some(_) => "a door would use this token up".to_owned(),
        None => "it may be shown again".to_owned(),
    })?;
    explained.holder = Some(inspection);
    Some(())
}

fn asked(
    explained: &mut Explained,
    trust: &TrustState,
    inspection: &Inspection,
    (wanted, proven): (Wanted<'_>, &[&str]),
    now: u64,
) {
    let permitted = policy::permitted(trust, inspection, &wanted, proven, now);
    if permitted.as_ref().is_err_and(|refusal| refusal.policies().is_some_and(<[String]>::is_empty)) {
        explained.misses = policy::misses(trust, inspection, (&wanted, proven), now);
    }
    let policies = explained.check("policy", permitted, |by| match by {
        Some(by) => format!("permitted by {}", by.join(", ")),
        None => "the site has none: the audience decides".to_owned(),
    });
    explained.policies = policies.flatten();
}

fn of_the_holder(code: Code) -> bool {
    matches!(code, Code::HolderProofRequired | Code::HolderProofInvalid)
}

fn who(inspection: &Inspection) -> &str {
    inspection.subject().unwrap_or("nobody")
}

fn until(inspection: &Inspection) -> String {
    inspection.expires_at().map_or_else(|| "-".to_owned(), rfc3339)
}

impl Inspection {
    fn of_token(claims: Verified<Claims>) -> Inspection {
        Inspection { shown: Shown::Token(Arc::new(claims)), audience: None, once: None, policies: None }
    }
}
