//! Broken glass as people and programs see it: what counts now, and what did.

use farside_crossing::breakglass;
use farside_service::time::{Reading, rfc3339};
use serde::Serialize;

use super::Life;
use crate::store::{GlassRow, StoreFault};

/// How long a status tells of a pass that is over.
pub const TOLD_SECONDS: u64 = 30 * 86_400;

/// One order that has been opened.
#[derive(Debug, Clone, Serialize)]
pub struct GlassShown {
    /// The order's id.
    pub id: String,
    /// Who.
    pub subject: String,
    /// Where to.
    pub audience: String,
    /// As what.
    pub role: String,
    /// Why.
    pub reason: String,
    /// Whose cards signed.
    pub signers: Vec<String>,
    /// When it was opened, Unix seconds.
    pub opened_at: u64,
    /// For how long its pass still counts; absent once it is over.
    pub seconds_left: Option<u64>,
    /// When it was over, where that has been noticed.
    pub closed_at: Option<u64>,
    /// Why.
    pub why: Option<String>,
}

impl GlassShown {
    pub(crate) fn of(row: GlassRow, reading: &Reading) -> Result<GlassShown, StoreFault> {
        let life = Life::of(&row);
        let seen = breakglass::review(&row.note).map_err(|_| StoreFault::Damaged("break-glass order"))?;
        let order = seen.order;
        Ok(GlassShown {
            id: order.id,
            subject: order.subject,
            audience: order.audience,
            role: order.role,
            reason: order.reason,
            signers: seen.signer_names,
            opened_at: row.opened_at,
            seconds_left: row.pass_sha256.and_then(|_| life.seconds_left(reading).ok()),
            closed_at: row.closed_at,
            why: row.why,
        })
    }

    /// Whether a status still tells of it.
    // breakglass.md §6.2
    pub(crate) fn is_told(&self, now: u64) -> bool {
        self.seconds_left.is_some() || now.saturating_sub(self.opened_at) <= TOLD_SECONDS
    }

    /// Whether it lets somebody in now.
    pub(crate) fn is_broken(&self) -> bool {
        self.seconds_left.is_some()
    }

    /// What a status says of it.
    pub(crate) fn sentence(&self) -> String {
        let GlassShown { id, subject, audience, role, .. } = self;
        let who = format!("{subject} as {role} at {audience}");
        match self.seconds_left {
            Some(left) => format!("BROKEN for {who}: {} min left, order {id}", left.div_ceil(60)),
            None => format!("was broken for {who} at {}, order {id}", rfc3339(self.opened_at)),
        }
    }
}
