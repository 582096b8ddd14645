//! The one judgement behind every door: a token, an audience and the time in; a `Grant` or a reasoned refusal
//! out.
//!
//! ```text
//!   can this gate judge? ─▶ token holds ─▶ audience ─▶ fresh ─▶ floor ─▶ revoked? ─▶ logged ─▶ Inspection
//!   trust, clock, expiry    verify                                                                 │
//!                              ┌─ site's Cedar policies ◀─ bound to a key? proven, or refused ◀────┘
//!                              └───────────────────────────────────────────────────────────────▶ Pending
//!   a pass instead ─▶ its order ─▶ counts still ─▶ audience ─▶ revoked? ─▶ Cedar policies ──────▶ Pending
//!                                                     what counts once is remembered (replay) ─▶ Grant
//! ```
//!
//! What is remembered is only that a signature holds ([`crate::known`]); all else is judged every time.
//!
//! No clock; no I/O but for proof of logging, where the policy demands it: a leaf that is not in memory yet
//! is looked up, and a head that a token brought along is kept before anybody enters by it.

mod explain;
mod grant;
mod holder;
mod once;
mod pass;
mod policy;
mod requested;
mod wanted;

use std::borrow::Cow;
use std::sync::Arc;

use farside_crossing::{Action, AudiencePolicy, Logged, Staple, staple};
use farside_verify::leaf::{self, TokenPosition};
use farside_verify::{Claims, Code, Confirmation, Refusal, Verified};

use crate::known::Room;
use crate::trust::{Believed, TrustState};

pub use explain::{Explained, Step, explain, explain_pass};
pub use grant::{Grant, Pending};
pub(crate) use once::Prover;
pub use once::{Kind, Once};
pub(crate) use pass::sound_pass;
pub use pass::{ByGlass, Clocks, inspect_pass, judge_pass};
pub use policy::Deed;
pub use requested::{METHOD_BYTES_MAX, Requested, RequestedFault, TARGET_BYTES_MAX};
pub(crate) use wanted::Kept;
pub use wanted::{Holder, ShownAs, Wanted};

/// What holds, for whoever asks about it (RFC 7662). It opens no door: a token bound to a key may stand here
/// without its proof.
#[derive(Debug)]
pub struct Inspection {
    shown: Shown,
    audience: Option<String>,
    /// What of it counts once.
    once: Option<Once>,
    /// Which of the site's Cedar policies permit it, where it has any.
    policies: Option<Vec<String>>,
}

/// What was shown and holds.
#[derive(Debug)]
pub enum Shown {
    /// A token.
    Token(Arc<Verified<Claims>>),
    /// The pass of a broken glass.
    Pass(Box<ByGlass>),
}

impl AsRef<Inspection> for Inspection {
    fn as_ref(&self) -> &Inspection {
        self
    }
}

impl Inspection {
    /// The audience it was judged for, if one was named.
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// What was shown.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// The token, where it was one.
    pub fn token(&self) -> Option<&Verified<Claims>> {
        match &self.shown {
            Shown::Token(claims) => Some(claims),
            Shown::Pass(_) => None,
        }
    }

    /// The broken glass, where it was a pass.
    pub fn by_glass(&self) -> Option<&ByGlass> {
        match &self.shown {
            Shown::Token(_) => None,
            Shown::Pass(through) => Some(through),
        }
    }

    /// Who it is.
    pub fn subject(&self) -> Option<&str> {
        match &self.shown {
            Shown::Token(claims) => claims.subject(),
            Shown::Pass(through) => Some(&through.order().subject),
        }
    }

    /// In which roles: of a pass the one that its order names.
    pub fn roles(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let by_order = self.by_glass().map(|through| Cow::Borrowed(through.order().role.as_str()));
        self.token().into_iter().flat_map(|claims| claims.roles()).chain(by_order)
    }

    /// Of which groups; a pass says of none.
    pub fn groups(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.token().into_iter().flat_map(|claims| claims.groups())
    }

    /// Within which scope; a pass says of none.
    pub fn scope(&self) -> Option<&str> {
        self.token()?.scope()
    }

    /// The token's id; a pass has none.
    pub fn token_id(&self) -> Option<&str> {
        self.token()?.token_id()
    }

    /// Until when.
    pub fn expires_at(&self) -> Option<u64> {
        match &self.shown {
            Shown::Token(claims) => claims.expires_at(),
            Shown::Pass(through) => Some(through.expires_at()),
        }
    }

    /// What of it is admitted once, where its audience admits each token once.
    pub fn once(&self) -> Option<&Once> {
        self.once.as_ref()
    }

    /// The names of the site's Cedar policies that permit it; `None` where the site has none.
    pub fn policies(&self) -> Option<&[String]> {
        self.policies.as_deref()
    }

    /// Whether it counts for nothing without the proof of a key.
    pub fn is_bound(&self) -> bool {
        self.token().is_some_and(|claims| claims.confirmation().is_some())
    }
}

/// Judges a bearer credential for one audience: a token, or one with its proof of logging stapled on. Nobody
/// enters by it before what counts once has been remembered.
///
/// # Errors
/// Every reason of `spec/token.md` §9. Those of [`cannot_judge`] say nothing about the token.
pub fn judge<'a>(
    trust: &TrustState,
    credential: &str,
    wanted: impl Into<Wanted<'a>>,
    now: u64,
) -> Result<Pending, Refusal> {
    let wanted = wanted.into();
    if wanted.audience.is_none() {
        return Err(Refusal::new(Code::AudienceMismatch, "nobody said for which audience", ""));
    }
    let mut inspection = sound(trust, credential, wanted, now)?;
    let proofs = holder::proven(trust, &inspection, (credential, wanted), now)?;
    let proven = policy::proven(&inspection);
    inspection.policies = policy::permitted(trust, &inspection, &wanted, &proven, now)?;
    Ok(Pending::new(inspection, proofs))
}

/// Judges a token that was carried for whoever logs in with an SSH key. The key is proven afterwards: sshd
/// lets nobody in who cannot sign with it. The token's own end counts to the second, without any leeway.
///
/// # Errors
/// As [`judge`]; `holder_proof_required` where the token is bound to another key, to more than this, or to
/// none.
// token.md §5.6
pub(crate) fn judge_for_ssh(
    trust: &TrustState,
    token: &str,
    wanted: Wanted<'_>,
    fingerprint: &[u8; 32],
    now: u64,
) -> Result<Pending, Refusal> {
    let mut inspection = sound(trust, token, wanted, now)?;
    let bound = Confirmation { ssh: Some(*fingerprint), ..Confirmation::default() };
    if inspection.token().and_then(|claims| claims.confirmation()) != Some(&bound) {
        return Err(Refusal::new(Code::HolderProofRequired, "it is not bound to this SSH key alone", ""));
    }
    if inspection.expires_at().is_none_or(|until| now >= until) {
        return Err(Refusal::new(Code::Expired, "no login after the token's end", ""));
    }
    inspection.policies = policy::permitted(trust, &inspection, &wanted, &[policy::SSH], now)?;
    let pending = Pending::new(inspection, Vec::new());
    // sshd asks twice before a key is proven, and whoever knows the public key makes it ask.
    pending.of_many_uses("sshd asks more than once for each login")?;
    Ok(pending)
}

/// Judges a credential without admitting anyone: for introspection.
///
/// # Errors
/// As [`judge`], but a token bound to a key is not refused for that.
pub fn inspect<'a>(
    trust: &TrustState,
    credential: &str,
    wanted: impl Into<Wanted<'a>>,
    now: u64,
) -> Result<Inspection, Refusal> {
    let wanted = Wanted { deed: Deed::Introspect, ..wanted.into() };
    let mut inspection = sound(trust, credential, wanted, now)?;
    inspection.policies = policy::permitted(trust, &inspection, &wanted, &[], now)?;
    Ok(inspection)
}

/// Judges a credential by everything but its holder's proof and the site's Cedar policies: nobody enters by
/// this, and nobody is told it as an answer of a door.
///
/// # Errors
/// As [`inspect`], but for what the policies say.
pub(crate) fn sound(
    trust: &TrustState,
    credential: &str,
    wanted: Wanted<'_>,
    now: u64,
) -> Result<Inspection, Refusal> {
    let (token, staple) = parted(credential)?;
    let (claims, position) = examine(trust, token, wanted, now)?;
    logged(trust, (&claims, wanted.audience), &position, staple.as_ref(), now)?;
    let once = once::of_token(trust, &claims, wanted.audience)?;
    let audience = wanted.audience.map(str::to_owned);
    Ok(Inspection { shown: Shown::Token(claims), audience, once, policies: None })
}

/// Whether a token that lies here for its holder is still good, if only for reading. Whether it is in the
/// log, and what is held fresh enough for more, the door asks where it will be shown.
///
/// # Errors
/// As [`inspect`], but for `not_logged`.
pub(crate) fn still_good(trust: &TrustState, token: &str, now: u64) -> Result<(), Refusal> {
    trust.ready(now)?;
    let held = trust.believed().ok_or_else(|| trust.holds_nothing())?;
    let claims = held.believer().verify_carried(token, now)?;
    let wanted = Wanted { action: Some(Action::Read), deed: Deed::Collect, ..Wanted::default() };
    let (claims, _) = holds(trust, held, claims, wanted, now)?;
    let carried = Inspection { shown: Shown::Token(claims), audience: None, once: None, policies: None };
    policy::permitted(trust, &carried, &wanted, &[], now).map(drop)
}

/// Parts a credential from what is stapled to it.
// log.md §8.2
fn parted(credential: &str) -> Result<(&str, Option<Staple>), Refusal> {
    staple::split(credential).map_err(|fault| {
        let cure = "Show the token without what follows its `~`, or with its staple exactly as it was made.";
        Refusal::new(Code::Malformed, fault.to_string(), cure)
    })
}

/// Everything but proof of logging.
fn examine(
    trust: &TrustState,
    token: &str,
    wanted: Wanted<'_>,
    now: u64,
) -> Result<(Arc<Verified<Claims>>, TokenPosition), Refusal> {
    trust.ready(now)?;
    let held = trust.believed().ok_or_else(|| trust.holds_nothing())?;
    let verified = held.believer().verify(token, now, Room::Made);
    let claims = verified.map_err(|refusal| explain_key(trust, held, refusal))?;
    holds(trust, held, claims, wanted, now)
}

/// What is judged of a token that verifies.
fn holds(
    trust: &TrustState,
    held: &Believed,
    claims: Arc<Verified<Claims>>,
    wanted: Wanted<'_>,
    now: u64,
) -> Result<(Arc<Verified<Claims>>, TokenPosition), Refusal> {
    meant_for(trust, held, &claims, wanted, now)?;
    floor_reached(trust, &claims)?;
    let position = position(&claims)?;
    trust.issued_since_set_back(claims.issued_at())?;
    not_revoked(held, &claims, &position)?;
    Ok((claims, position))
}

/// Whether a refusal means that this gate cannot judge at all, whatever the token (an HTTP door answers 503).
pub fn cannot_judge(code: Code) -> bool {
    let of_the_gate = [
        Code::ClockFault,
        Code::Stale,
        Code::RequestUnknown,
        Code::JournalUnavailable,
        Code::ReplayFull,
        Code::ReplayUnavailable,
    ];
    of_the_gate.contains(&code)
}

/// A key this gate does not hold: say which it holds, and since which bundle.
fn explain_key(trust: &TrustState, held: &Believed, refusal: Refusal) -> Refusal {
    if refusal.code() != Code::KeyUnknown {
        return refusal;
    }
    let keys: Vec<&str> = held.verifier().keys().ids().collect();
    let cure = format!(
        "This gate holds bundle {} with {}: import the bundle that carries the token's key.",
        trust.seq(),
        if keys.is_empty() { "no key".to_owned() } else { format!("the keys {}", keys.join(", ")) },
    );
    Refusal::new(Code::KeyUnknown, refusal.detail().to_owned(), cure)
}

/// The token names the audience asked for, and for what is to be done there this gate's knowledge is fresh
/// enough.
fn meant_for(
    trust: &TrustState,
    held: &Believed,
    claims: &Claims,
    wanted: Wanted<'_>,
    now: u64,
) -> Result<(), Refusal> {
    let named = |policy: &&AudiencePolicy| claims.audiences().any(|aud| aud == policy.name.as_str());
    let fresh = |policy: &AudiencePolicy| trust.fresh_for(policy, wanted.action, now);
    match wanted.audience {
        Some(audience) => {
            let Some(policy) = held.audience(audience) else {
                let cure = format!("The site's audiences are {}.", held.audience_names().join(", "));
                return Err(Refusal::new(Code::AudienceMismatch, "the policy knows no such audience", cure));
            };
            if !named(&policy) {
                return Err(Refusal::new(Code::AudienceMismatch, format!("this is {audience}"), ""));
            }
            fresh(policy)
        }
        // Whoever names no audience learns only that some audience of the token would still be served.
        None => {
            let mut outcome = Err(Refusal::new(Code::AudienceMismatch, "", ""));
            for policy in held.policy().audiences.iter().filter(named) {
                outcome = fresh(policy);
                if outcome.is_ok() {
                    break;
                }
            }
            outcome
        }
    }
}

/// Nobody brings fresh tokens to a gate that is kept stale.
// token.md §5.5
fn floor_reached(trust: &TrustState, claims: &Claims) -> Result<(), Refusal> {
    match claims.floor() {
        Some(floor) if floor > trust.seq() => {
            let held = trust.seq();
            let missing = match floor - held {
                1 => format!("import {floor}"),
                2 => format!("import {} and {floor}", held + 1),
                _ => format!("import {} to {floor}", held + 1),
            };
            let detail = format!("it demands bundle {floor}; this gate holds {held}");
            Err(Refusal::new(Code::FloorAhead, detail, format!("This gate holds bundle {held}: {missing}.")))
        }
        _ => Ok(()),
    }
}

/// The token's place in the issuance log. A token without one could be neither revoked nor accounted for.
fn position(claims: &Claims) -> Result<TokenPosition, Refusal> {
    let Some(token_id) = claims.token_id() else {
        return Err(Refusal::new(Code::ClaimMissing, "jti", ""));
    };
    token_id.parse().map_err(|error| Refusal::new(Code::ClaimsInvalid, format!("jti: {error}"), ""))
}

fn not_revoked(held: &Believed, claims: &Verified<Claims>, position: &TokenPosition) -> Result<(), Refusal> {
    match held.revocations().covering(claims.key_id(), claims, position) {
        Some(reason) => Err(Refusal::new(Code::Revoked, reason, "")),
        None => Ok(()),
    }
}

/// The token is proven to be in the log, as far as its audience demands it.
// log.md §8.3, §8.4
fn logged(
    trust: &TrustState,
    (claims, audience): (&Verified<Claims>, Option<&str>),
    position: &TokenPosition,
    staple: Option<&Staple>,
    now: u64,
) -> Result<(), Refusal> {
    let staple = match demanded(trust, claims, audience) {
        Logged::No => return Ok(()),
        Logged::Staple => staple,
        Logged::Leaf => None,
    };
    let leaf = leaf::hash(position, &claims.signing_input_sha256());
    trust.logs().prove(position, &leaf, staple, now)
}

/// What the token's audience demands; of several that it may be for, the strictest.
fn demanded(trust: &TrustState, claims: &Claims, audience: Option<&str>) -> Logged {
    let Some(held) = trust.believed() else { return Logged::Leaf };
    match audience {
        Some(audience) => held.audience(audience).map_or(Logged::Leaf, |policy| policy.logged),
        None => {
            let named = |policy: &&AudiencePolicy| claims.audiences().any(|aud| aud == policy.name.as_str());
            held.policy().audiences.iter().filter(named).map(|policy| policy.logged).max().unwrap_or_default()
        }
    }
}
