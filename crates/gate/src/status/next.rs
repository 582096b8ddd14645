//! What comes next at this gate if nothing crosses any more: each moment at which something changes by
//! itself, in the order of time.
//!
//! Pure: the trust and a moment in, a list out.

use std::collections::{BTreeMap, BTreeSet};

use farside_crossing::Action;
use serde::Serialize;

use crate::freshness::doing;
use crate::published::PublishedKey;
use crate::trust::{Believed, TrustState};

/// Something that will happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// When, in Unix seconds. What ends, holds up to this second and not longer.
    pub at: u64,
    /// What kind of thing.
    pub event: Event,
    /// In a few words.
    pub detail: String,
}

/// The kinds of things that come by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The next bundle should have come; without it the gate is late.
    BundleDue,
    /// A key begins to sign.
    KeyTakesOver,
    /// No key of the calendar signs any more.
    CalendarEnds,
    /// Tokens of a key are believed no longer.
    KeyRetires,
    /// An audience is no longer served for an action.
    TierEnds,
    /// Nobody is admitted any more.
    Expires,
}

impl Event {
    /// Whether it takes something away from somebody.
    pub fn ends_something(self) -> bool {
        matches!(self, Event::BundleDue | Event::TierEnds | Event::Expires | Event::CalendarEnds)
    }
}

/// Everything that is still to come after `now`.
pub fn coming(trust: &TrustState, now: u64) -> Vec<Coming> {
    let mut list = Vec::new();
    let mut add = |at: u64, event, detail: String| {
        if at > now {
            list.push(Coming { at, event, detail });
        }
    };
    if let Some(held) = trust.applied() {
        add(held.next_by, Event::BundleDue, format!("bundle {} is due, or this gate is late", held.seq + 1));
        add(held.not_after, Event::Expires, "everything stops: nobody is admitted".to_owned());
    }
    for (at, detail) in tiers(trust) {
        add(at, Event::TierEnds, detail);
    }
    if let Some(held) = trust.believed() {
        keys(held, &mut add);
    }
    list.sort_by_key(|coming| (coming.at, coming.event));
    list
}

/// The ends of all tiers that end before everything does; those of one moment in one sentence.
fn tiers(trust: &TrustState) -> Vec<(u64, String)> {
    let (Some(held), Some(policy)) = (trust.applied(), trust.policy()) else { return Vec::new() };
    let mut ends: BTreeMap<(u64, &str), BTreeSet<Action>> = BTreeMap::new();
    for audience in &policy.audiences {
        for action in
            Action::ALL.into_iter().filter(|action| audience.stale_seconds_max.own(*action).is_some())
        {
            let until = trust.served_until(audience, action).filter(|until| *until < held.not_after);
            if let Some(until) = until {
                ends.entry((until, &audience.name)).or_default().insert(action);
            }
        }
    }
    // What is not the policy's own word ends with the laxer action before it.
    let stop = |actions: &BTreeSet<Action>| {
        let all = actions.iter().map(|action| doing(*action)).collect::<Vec<_>>().join(" and ");
        let single = actions.len() == 1 && !actions.contains(&Action::Safety);
        format!("{all} {}", if single { "stops" } else { "stop" })
    };
    ends.iter().map(|((at, audience), actions)| (*at, format!("{} at {audience}", stop(actions)))).collect()
}

fn keys(held: &Believed, add: &mut impl FnMut(u64, Event, String)) {
    let live: Vec<&PublishedKey> =
        held.keys().iter().filter(|key| held.revocations().key(&key.kid).is_none()).collect();
    for key in &live {
        if let Some(from) = key.sign_from {
            add(from, Event::KeyTakesOver, format!("key {} takes over", key.kid));
        }
        if let Some(until) = key.accept_until {
            add(until, Event::KeyRetires, format!("key {} is believed no longer", key.kid));
        }
    }
    // A key without an end signs for good: then the calendar has none.
    let ends: Option<Vec<u64>> = live.iter().map(|key| key.sign_until).collect();
    if let Some(last) = ends.and_then(|ends| ends.into_iter().max()) {
        add(last, Event::CalendarEnds, "the calendar ends: no key signs any more".to_owned());
    }
}
