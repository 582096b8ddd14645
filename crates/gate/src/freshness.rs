//! How old what this gate holds may be, and until when it serves whom.
//!
//! ```text
//!   issued ──────────────── next_by ─────────────────────────── not_after
//!            fresh            │           late: an alarm            │  expired: nobody is admitted
//!   safety ──────▶ writing ───┼──────────▶ reading ────────────────▶│
//! ```
//!
//! A policy may set, for each audience, how old the state may be on which it is still read, written or acted
//! upon where that may hurt somebody. Whoever does not say what a token is for is held to the strictest.

pub(crate) mod keeper;
pub mod vigil;

use farside_crossing::{Action, AudiencePolicy};
use farside_service::duration::about;
use farside_service::time::rfc3339;
use farside_verify::{Code, Refusal};

use crate::trust::TrustState;

/// How recent this gate's knowledge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing has been applied yet.
    Untrusted,
    /// The next bundle is not due yet.
    Fresh,
    /// The next bundle is overdue since this Unix time.
    Late {
        /// When it was due.
        since: u64,
    },
    /// Nothing is believed any more since this Unix time.
    Expired {
        /// When belief ended.
        since: u64,
    },
}

impl Freshness {
    /// One word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Freshness::Untrusted => "untrusted",
            Freshness::Fresh => "fresh",
            Freshness::Late { .. } => "late",
            Freshness::Expired { .. } => "expired",
        }
    }

    /// Since when, where that is more than ordinary.
    pub fn since(self) -> Option<u64> {
        match self {
            Freshness::Late { since } | Freshness::Expired { since } => Some(since),
            Freshness::Untrusted | Freshness::Fresh => None,
        }
    }
}

impl TrustState {
    /// How recent this gate's knowledge is.
    // bundle.md §13.3
    pub fn freshness(&self, now: u64) -> Freshness {
        match self.applied() {
            None => Freshness::Untrusted,
            Some(held) if now > held.not_after => Freshness::Expired { since: held.not_after },
            Some(held) if now > held.next_by => Freshness::Late { since: held.next_by },
            Some(_) => Freshness::Fresh,
        }
    }

    /// The last moment at which an audience serves this action on what is held; `None` where nothing is.
    // bundle.md §13.4
    pub fn served_until(&self, audience: &AudiencePolicy, action: Action) -> Option<u64> {
        let held = self.applied()?;
        let tier = audience.stale_seconds_max.of(action).map(|most| held.issued_at.saturating_add(most));
        Some(tier.map_or(held.not_after, |until| until.min(held.not_after)))
    }

    /// For this audience and action the applied bundle is recent enough. Without an action the strictest tier
    /// holds.
    // bundle.md §13.4
    pub(crate) fn fresh_for(
        &self,
        audience: &AudiencePolicy,
        action: Option<Action>,
        now: u64,
    ) -> Result<(), Refusal> {
        let tier = action.unwrap_or(Action::Safety);
        let (Some(held), Some(most)) = (self.applied(), audience.stale_seconds_max.of(tier)) else {
            return Ok(());
        };
        let age = now.saturating_sub(held.issued_at);
        if age <= most {
            return Ok(());
        }
        let (seq, age, most) = (held.seq, about(age), about(most));
        let detail = match action {
            Some(action) => {
                format!("bundle {seq} is {age} old; for {} {} allows {most}", doing(action), audience.name)
            }
            None => format!(
                "bundle {seq} is {age} old; nothing says what for, and {} allows {most} at the strictest",
                audience.name
            ),
        };
        let cure = format!("Import bundle {} or newer{}.", seq + 1, self.still_served(audience, tier, now));
        Err(Refusal::new(Code::Stale, detail, cure))
    }

    /// What is still admitted where `refused` no longer is.
    fn still_served(&self, audience: &AudiencePolicy, refused: Action, now: u64) -> String {
        let laxer = Action::ALL.into_iter().rev().filter(|action| *action < refused);
        let until = |action| self.served_until(audience, action).filter(|until| now <= *until);
        let served = laxer.filter_map(|action| Some((action, until(action)?)));
        served
            .map(|(action, until)| format!("; {} is admitted until {}", doing(action), rfc3339(until)))
            .collect()
    }
}

/// The action in a sentence.
pub fn doing(action: Action) -> &'static str {
    match action {
        Action::Read => "reading",
        Action::Write => "writing",
        Action::Safety => "safety actions",
    }
}
