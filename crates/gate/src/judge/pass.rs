//! The judgement of a pass: exactly what its order says, for as long as the glass is broken. Trust that has
//! expired and a clock that is wrong are no reason to refuse it; everything else that the policy says is.

use farside_crossing::GlassOrder;
use farside_service::time::Reading;
use farside_verify::{Code, Refusal};

use super::{Deed, Inspection, Pending, Shown, Wanted, policy};
use crate::breakglass::Over;
use crate::trust::{Believed, TrustState};

/// Whoever comes through a broken glass. Made by [`inspect_pass`] alone.
#[derive(Debug)]
pub struct ByGlass {
    order: GlassOrder,
    expires_at: u64,
}

impl ByGlass {
    /// What the cards signed.
    pub fn order(&self) -> &GlassOrder {
        &self.order
    }

    /// Until when, by the clock that was asked.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }
}

/// When a pass is shown.
#[derive(Debug, Clone, Copy)]
pub struct Clocks<'a> {
    /// The gate's time, Unix seconds: only told, never judged by.
    pub now: u64,
    /// The machine's clocks.
    pub reading: &'a Reading,
}

/// Judges a pass, by its hash, for one audience.
///
/// # Errors
/// `breakglass_over`, `audience_mismatch`, `policy_denied`, `revoked`; `stale` where this gate holds nothing.
// breakglass.md §5
pub fn judge_pass(
    trust: &TrustState,
    sha256: &[u8; 32],
    wanted: Wanted<'_>,
    clocks: Clocks<'_>,
) -> Result<Pending, Refusal> {
    // A door that names no audience opens none.
    let wanted = Wanted { audience: Some(wanted.audience.unwrap_or_default()), ..wanted };
    Ok(Pending::new(asked(trust, sha256, wanted, clocks)?, Vec::new()))
}

/// Judges a pass without admitting anyone: for introspection.
///
/// # Errors
/// As [`judge_pass`].
pub fn inspect_pass(
    trust: &TrustState,
    sha256: &[u8; 32],
    audience: Option<&str>,
    clocks: Clocks<'_>,
) -> Result<Inspection, Refusal> {
    asked(trust, sha256, Wanted { deed: Deed::Introspect, ..audience.into() }, clocks)
}

// policy.md §6
fn asked(
    trust: &TrustState,
    sha256: &[u8; 32],
    wanted: Wanted<'_>,
    clocks: Clocks<'_>,
) -> Result<Inspection, Refusal> {
    let mut inspection = sound_pass(trust, sha256, wanted.audience, clocks)?;
    inspection.policies = policy::permitted(trust, &inspection, &wanted, &[], clocks.now)?;
    Ok(inspection)
}

/// Judges a pass by everything but the site's Cedar policies.
///
/// # Errors
/// As [`judge_pass`], but for what the policies say.
pub(crate) fn sound_pass(
    trust: &TrustState,
    sha256: &[u8; 32],
    audience: Option<&str>,
    clocks: Clocks<'_>,
) -> Result<Inspection, Refusal> {
    let held = trust.believed().ok_or_else(|| trust.holds_nothing())?;
    let glass = trust.glasses().of_pass(sha256).ok_or_else(|| Refusal::new(Code::BreakglassOver, "", ""))?;
    let order = glass.order();
    let left = glass.life().seconds_left(clocks.reading).map_err(|over| {
        let detail = match over {
            Over::Expired => "its time has passed",
            Over::Restarted => "this machine was started anew since",
        };
        Refusal::new(Code::BreakglassOver, detail, "")
    })?;
    // breakglass.md §5.2
    if audience.is_some_and(|audience| audience != order.audience) {
        let detail = format!("the pass of order {} is for another audience", order.id);
        return Err(Refusal::new(Code::AudienceMismatch, detail, "Use it where its order says."));
    }
    still_allowed(held, order)?;
    let through = ByGlass { order: order.clone(), expires_at: clocks.now.saturating_add(left) };
    let audience = audience.map(str::to_owned);
    // breakglass.md §5.7: it counts each time, until it ends.
    Ok(Inspection { shown: Shown::Pass(Box::new(through)), audience, once: None, policies: None })
}

// breakglass.md §5.5
fn still_allowed(held: &Believed, order: &GlassOrder) -> Result<(), Refusal> {
    let Some(policy) = held.audience(&order.audience) else {
        return Err(Refusal::new(Code::AudienceMismatch, "the policy knows this audience no longer", ""));
    };
    if !policy.opens_by_breakglass() {
        let detail = "the policy allows no break-glass here any more";
        return Err(Refusal::new(Code::PolicyDenied, detail, ""));
    }
    match held.revocations().subject(&order.subject, Some(order.drafted_at)) {
        Some(reason) => Err(Refusal::new(Code::Revoked, reason, "")),
        None => Ok(()),
    }
}
