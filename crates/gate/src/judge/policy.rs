//! The last question of a judgement: whether the site's Cedar policies let this holder do this. They loosen
//! nothing that was judged before. A site without them asks nobody.
//!
//! Refuses what it cannot ask whole: a request that the gate is not told of, a path that two programs could
//! read differently, a token of nobody.

use std::borrow::Cow;

use farside_crossing::cedar::{
    Circumstances, Doing, Policies, Principal, Question, Target, TokenFacts, Verdict,
};
use farside_verify::{Claims, Code, Refusal, Verified};

use super::{ByGlass, Inspection, Requested, Shown, Wanted};
use crate::revocations;
use crate::trust::{Believed, TrustState};

/// What a holder is about to do, by the door at which a token is shown.
// policy.md §3.1
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Deed<'a> {
    /// The request that a proxy received: [`Wanted::request`].
    #[default]
    Request,
    /// A login by SSH key.
    Login {
        /// To this account.
        account: &'a str,
    },
    /// A resource server asks about the token.
    Introspect,
    /// A Kubernetes API server asks whose the token is.
    Authenticate,
    /// The holder collects it.
    Collect,
}

/// What is proven by an SSH key, as policies are told it; sshd sees to it afterwards.
pub(super) const SSH: &str = "ssh";

/// What policies are told of a holder who has proven every key that the token names.
pub(super) fn proven(inspection: &Inspection) -> Vec<&'static str> {
    let Some(bound) = inspection.token().and_then(|claims| claims.confirmation()) else { return Vec::new() };
    let by = [(bound.jkt.is_some(), "dpop"), (bound.x5t_s256.is_some(), "certificate")];
    by.into_iter().filter_map(|(proven, name)| proven.then_some(name)).collect()
}

/// The names of the policies that permit it; `None` where the site has no Cedar policies.
///
/// # Errors
/// `policy_denied`, `policy_failed`, `request_unknown`, `request_ambiguous`, `claim_missing`.
// policy.md §5
pub(super) fn permitted(
    trust: &TrustState,
    inspection: &Inspection,
    wanted: &Wanted<'_>,
    proven: &[&str],
    now: u64,
) -> Result<Option<Vec<String>>, Refusal> {
    let Some(held) = trust.believed() else { return Err(trust.holds_nothing()) };
    let Some(policies) = held.cedar() else { return Ok(None) };
    let mut outcome = Err(denied(Vec::new(), None, "it"));
    each_question(trust, inspection, (wanted, proven), now, |question| {
        outcome = decide(policies, question);
        // policy.md §3.3
        outcome.as_ref().is_err_and(|refusal| refusal.code() == Code::PolicyDenied)
    })?;
    outcome.map(Some)
}

/// The permits that did not apply, and why not, in sentences: for whoever asks why nobody was admitted.
pub(super) fn misses(
    trust: &TrustState,
    inspection: &Inspection,
    (wanted, proven): (&Wanted<'_>, &[&str]),
    now: u64,
) -> Vec<String> {
    let Some(policies) = trust.believed().and_then(Believed::cedar) else { return Vec::new() };
    let mut told = Vec::new();
    let asked = each_question(trust, inspection, (wanted, proven), now, |question| {
        let misses = policies.misses(question).into_iter().take(MISSES_TOLD_MAX);
        told.extend(misses.map(|(id, miss)| format!("{id} {}", miss.sentence())));
        false
    });
    asked.map_or_else(|_| Vec::new(), |()| told)
}

/// More permits that nearly fit are not told.
const MISSES_TOLD_MAX: usize = 10;

/// Asks about each audience in question, as long as `ask` wants another.
fn each_question(
    trust: &TrustState,
    inspection: &Inspection,
    (wanted, proven): (&Wanted<'_>, &[&str]),
    now: u64,
    mut ask: impl FnMut(&Question<'_>) -> bool,
) -> Result<(), Refusal> {
    let target = match wanted.deed {
        Deed::Request => Some(target(wanted.request)?),
        _ => None,
    };
    for audience in audiences(trust, inspection, wanted) {
        let doing = doing(wanted, target.as_ref())?;
        if !ask(&question(trust, inspection, (doing, &audience), wanted, proven, now)?) {
            break;
        }
    }
    Ok(())
}

fn decide(policies: &Policies, question: &Question<'_>) -> Result<Vec<String>, Refusal> {
    match policies.decide(question) {
        Verdict::Permitted { by } => Ok(by),
        Verdict::Denied { by, cure } => Err(denied(by, cure, question.doing.action())),
        Verdict::Broken { by, why } => {
            let who = if by.is_empty() { "the question".to_owned() } else { by.join(", ") };
            let why: String = why.chars().take(WHY_CHARACTERS_MAX).collect();
            Err(Refusal::new(Code::PolicyFailed, format!("{who}: {why}"), "").decided_by(by))
        }
    }
}

/// More of what Cedar says about a failed policy is not passed on.
const WHY_CHARACTERS_MAX: usize = 200;

fn denied(by: Vec<String>, cure: Option<String>, action: &str) -> Refusal {
    let detail = match by.is_empty() {
        true => format!("no policy permits {action} here"),
        false => format!("forbidden by {}", by.join(", ")),
    };
    Refusal::new(Code::PolicyDenied, detail, cure.unwrap_or_default()).decided_by(by)
}

// policy.md §3.4, §4
fn target(request: Option<&Requested<'_>>) -> Result<Target, Refusal> {
    let request = request.ok_or_else(|| {
        let detail = "the site's Cedar policies go by method, host and path";
        Refusal::new(Code::RequestUnknown, detail, "")
    })?;
    let authority = format!("{}:{}", request.host(), request.port());
    Target::read(request.scheme().as_str(), &authority, request.target())
        .map_err(|ambiguous| Refusal::new(Code::RequestAmbiguous, ambiguous.to_string(), ""))
}

fn doing<'a>(wanted: &Wanted<'a>, target: Option<&'a Target>) -> Result<Doing<'a>, Refusal> {
    Ok(match wanted.deed {
        Deed::Request => match (wanted.request, target) {
            (Some(request), Some(target)) => Doing::Request { method: request.method(), target },
            _ => return Err(Refusal::new(Code::RequestUnknown, "", "")),
        },
        Deed::Login { account } => Doing::Login { account },
        Deed::Introspect => Doing::Introspect,
        Deed::Authenticate => Doing::Authenticate,
        Deed::Collect => Doing::Collect,
    })
}

/// The audience asked about, or those of the token that the site has.
fn audiences<'a>(
    trust: &'a TrustState,
    inspection: &'a Inspection,
    wanted: &Wanted<'a>,
) -> Vec<Cow<'a, str>> {
    match (wanted.audience, inspection.shown()) {
        (Some(audience), _) => vec![audience.into()],
        (None, Shown::Pass(through)) => vec![through.order().audience.as_str().into()],
        (None, Shown::Token(claims)) => {
            claims.audiences().filter(|name| trust.audiences().any(|known| known == *name)).collect()
        }
    }
}

fn question<'a>(
    trust: &TrustState,
    inspection: &'a Inspection,
    (doing, audience): (Doing<'a>, &'a str),
    wanted: &Wanted<'_>,
    proven: &'a [&'a str],
    now: u64,
) -> Result<Question<'a>, Refusal> {
    let (principal, token) = match inspection.shown() {
        Shown::Token(claims) => (of_token(claims)?, Some(facts(claims))),
        Shown::Pass(through) => (of_pass(through), None),
    };
    let issued_at = trust.applied().map_or(0, |applied| applied.issued_at);
    let circumstances = Circumstances {
        audience,
        tier: wanted.action,
        now,
        freshness: trust.freshness(now).name(),
        age_seconds: now.saturating_sub(issued_at),
        breakglass: token.is_none(),
        proven,
        token,
    };
    Ok(Question { principal, doing, circumstances })
}

// policy.md §3.2
fn of_token(claims: &Verified<Claims>) -> Result<Principal<'_>, Refusal> {
    let Some(subject) = claims.subject() else { return Err(Refusal::new(Code::ClaimMissing, "sub", "")) };
    Ok(Principal {
        subject,
        roles: claims.roles().collect(),
        groups: claims.groups().collect(),
        client: claims.client_id(),
        actors: claims.actor().map(revocations::actor_names).unwrap_or_default(),
        scope: claims.scope(),
        entitlements: claims.entitlements().collect(),
    })
}

// policy.md §6.1
fn of_pass(through: &ByGlass) -> Principal<'_> {
    let order = through.order();
    Principal { subject: &order.subject, roles: vec![order.role.as_str().into()], ..Principal::default() }
}

fn facts(claims: &Verified<Claims>) -> TokenFacts<'_> {
    TokenFacts {
        id: claims.token_id().unwrap_or_default(),
        key: claims.key_id(),
        issued_at: claims.issued_at().unwrap_or_default(),
        expires_at: claims.expires_at().unwrap_or_default(),
    }
}
