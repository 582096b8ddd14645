//! Notices when freshness changes: by a bundle that came, or by time alone. Pure: two looks in, what changed
//! between them out; whoever keeps the vigil tells each change once.

use std::collections::BTreeMap;

use farside_crossing::Action;
use farside_service::time::rfc3339;
use serde_json::{Value, json};

use super::{Freshness, doing};
use crate::trust::TrustState;

/// What can change about freshness, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// `None`: nobody has looked yet.
    state: Option<Freshness>,
    seq: u64,
    not_after: u64,
    /// Tiers that have run out, each with the last moment at which it admitted.
    closed: BTreeMap<(String, Action), u64>,
}

/// One change, to be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Fresh, late or expired.
    State {
        /// What it was; `None` where nobody had looked.
        was: Option<Freshness>,
        /// What it is.
        is: Freshness,
        /// The bundle held.
        seq: u64,
        /// Until when it is good.
        not_after: u64,
    },
    /// A tier of one audience ran out, or is served again.
    Tier {
        /// The audience.
        audience: String,
        /// Which tier.
        action: Action,
        /// The last moment at which it admitted; `None`: it admits again.
        closed_after: Option<u64>,
        /// The bundle held.
        seq: u64,
    },
}

impl View {
    /// Before anything was looked at. A gate that starts late says so; one that starts fresh has nothing to
    /// tell.
    pub fn unseen() -> View {
        View { state: None, seq: 0, not_after: 0, closed: BTreeMap::new() }
    }

    /// How things stand now.
    pub fn of(trust: &TrustState, now: u64) -> View {
        let mut closed = BTreeMap::new();
        let audiences = trust.policy().into_iter().flat_map(|policy| &policy.audiences);
        for (audience, action) in audiences.flat_map(|one| Action::ALL.map(|action| (one, action))) {
            // A tier that is not the policy's own ends with another one, and that one is told.
            let own =
                audience.stale_seconds_max.own(action).and_then(|_| trust.served_until(audience, action));
            if let Some(until) = own.filter(|until| now > *until) {
                closed.insert((audience.name.clone(), action), until);
            }
        }
        let not_after = trust.applied().map_or(0, |held| held.not_after);
        View { state: Some(trust.freshness(now)), seq: trust.seq(), not_after, closed }
    }

    /// What is different from `before`.
    pub fn since(&self, before: &View) -> Vec<Change> {
        let seq = self.seq;
        let mut changes = Vec::new();
        let (was, is) = (before.state, self.state.unwrap_or(Freshness::Untrusted));
        if is.name() != was.unwrap_or(Freshness::Fresh).name() {
            changes.push(Change::State { was, is, seq, not_after: self.not_after });
        }
        let tier = |(audience, action): &(String, Action), closed_after| Change::Tier {
            audience: audience.clone(),
            action: *action,
            closed_after,
            seq,
        };
        let closed = self.closed.iter().filter(|(place, _)| !before.closed.contains_key(place));
        changes.extend(closed.map(|(place, until)| tier(place, Some(*until))));
        let opened = before.closed.keys().filter(|place| !self.closed.contains_key(place));
        changes.extend(opened.map(|place| tier(place, None)));
        changes
    }
}

impl Change {
    /// Whether somebody must do something.
    pub fn is_alarm(&self) -> bool {
        match self {
            Change::State { is, .. } => *is != Freshness::Fresh,
            Change::Tier { closed_after, .. } => closed_after.is_some(),
        }
    }

    /// For the log: what happened, and what to do.
    pub fn sentence(&self) -> String {
        match self {
            Change::State { is: Freshness::Fresh, seq, .. } => format!("fresh again with bundle {seq}"),
            Change::State { is: Freshness::Untrusted, .. } => {
                "nothing is held yet: trust the charter and import a full bundle".to_owned()
            }
            Change::State { is: Freshness::Late { since }, seq, not_after, .. } => format!(
                "LATE: bundle {} was due by {}; import the newest one: without it everything stops after {}",
                seq + 1,
                rfc3339(*since),
                rfc3339(*not_after)
            ),
            Change::State { is: Freshness::Expired { since }, seq, .. } => format!(
                "EXPIRED: bundle {seq} was good until {}; nobody is admitted until a newer one is imported",
                rfc3339(*since)
            ),
            Change::Tier { audience, action, closed_after: Some(until), seq } => format!(
                "{} at {audience} stopped after {}: bundle {seq} is too old for it; import a newer one",
                doing(*action),
                rfc3339(*until)
            ),
            Change::Tier { audience, action, closed_after: None, seq } => {
                format!("{} at {audience}: admitted again with bundle {seq}", doing(*action))
            }
        }
    }

    /// For the journal: the event and its members.
    pub fn record(&self) -> (&'static str, Value) {
        match self {
            Change::State { was, is, seq, .. } => (
                "freshness_changed",
                json!({"state": is.name(), "was": was.map(Freshness::name), "since": is.since(), "seq": seq}),
            ),
            Change::Tier { audience, action, closed_after, seq } => (
                "tier_changed",
                json!({"aud": audience, "action": action, "admits": closed_after.is_none(),
                       "closed_after": closed_after, "seq": seq}),
            ),
        }
    }
}
