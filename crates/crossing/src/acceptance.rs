//! Whether an opened bundle may be applied: the nine rules, as one pure function of what the gate holds, what
//! the bundle says and what time it is. `spec/bundle.md` §10 numbers them.
//!
//! The caller persists the [`Stream`] that comes back in the same transaction as the bundle's content (rule
//! 9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bundle::Opened;
use crate::fence::FenceDocument;
pub use crate::manifest::Held;
use crate::manifest::{Base, ComponentType, Kind, Manifest};
use crate::pardon::PardonDocument;
use crate::refusal::{Code, Refusal};

/// Furthest a number may jump without a fence.
pub const SEQ_JUMP_MAX: u64 = 10_000;

/// What a gate remembers of its stream: the high-water marks. Plain data, so that it can be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The last bundle applied.
    pub last: Option<Base>,
    /// The last one that was no beacon: what deltas and beacons build on.
    pub content: Option<Base>,
    /// `issued_at` of the last bundle.
    pub issued_at: u64,
    /// `next_by` of the last bundle.
    pub next_by: u64,
    /// `not_after` of the last bundle.
    pub not_after: u64,
    /// Each component held.
    pub components: BTreeMap<ComponentType, Held>,
    /// The other bundle, where two claimed one place: nothing is applied until a fence goes on.
    pub frozen: Option<Base>,
}

impl Stream {
    /// The stream of a gate that has applied nothing.
    pub fn new() -> Stream {
        Stream::default()
    }

    /// The pardon that a bundle brings, if it acts: once, like a fence, so that a thief cannot show an old
    /// one again. For [`crate::status::judge_change`].
    // bundle.md §7.9
    pub fn fresh_pardon<'o>(&self, bundle: &'o Opened<'_>) -> Option<&'o PardonDocument> {
        bundle.pardon().filter(|pardon| pardon.version > self.version_of(ComponentType::Pardon))
    }

    /// Whether the bundle's fence acts: for what begins anew beside the stream, such as a log.
    // bundle.md §10.10
    pub fn fence_acts(&self, bundle: &Opened<'_>) -> bool {
        fence_acts(self, bundle.manifest(), bundle.fence())
    }

    /// Version of a component held; 0 where there is none.
    fn version_of(&self, kind: ComponentType) -> u64 {
        self.components.get(&kind).map_or(0, |held| held.version)
    }

    /// Number of the last bundle applied; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.last.map_or(0, |last| last.seq)
    }
}

/// The time at the gate: its own clock, raised to its time floor by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Unix seconds.
    pub now: u64,
    /// Tolerance between clocks.
    pub leeway_seconds: u64,
}

/// What is to be done with a bundle that is not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// Apply it and persist `next`.
    Apply {
        /// The stream afterwards.
        next: Stream,
        /// First and last number that never came; to be journalled, with an alarm.
        missing: Option<(u64, u64)>,
        /// Whether a fence took the stream out of a fork.
        thawed: bool,
    },
    /// It is the one applied last: nothing to do.
    AlreadyApplied,
    /// It is older than the one applied last: count it, do nothing.
    Superseded {
        /// Number of the last bundle applied.
        held: u64,
        /// Number of this one.
        offered: u64,
    },
    /// Two bundles claim one place. Persist `next`, keep both files, alarm.
    Forked {
        /// The stream afterwards: frozen.
        next: Stream,
        /// What to put beside the quarantined file.
        refusal: Refusal,
    },
}

impl Acceptance {
    /// What to tell a person who offered a bundle that is not applied.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Acceptance::Superseded { held, offered } => {
                Some(Refusal::new(Code::Rollback, format!("bundle {offered}; this gate holds {held}")))
            }
            Acceptance::Forked { refusal, .. } => Some(refusal.clone()),
            Acceptance::Apply { .. } | Acceptance::AlreadyApplied => None,
        }
    }
}

/// Judges an opened bundle against the stream. Changes nothing.
///
/// # Errors
/// `frozen`, `expired`, `not_yet_issued`, `rollback`, `sequence_jump`, `gap`, `component_rollback`,
/// `component_conflict`. (Rule 8's realm and site, and rules on signatures, have been checked by
/// [`crate::bundle::open`].)
pub fn judge(stream: &Stream, bundle: &Opened<'_>, clock: Clock) -> Result<Acceptance, Refusal> {
    let manifest = bundle.manifest();
    let offered = Base { seq: manifest.seq, digest: bundle.digest() };
    let fenced = fence_acts(stream, manifest, bundle.fence());
    if let Some(verdict) = judge_place(stream, manifest, offered, fenced) {
        return Ok(verdict);
    }
    if stream.frozen.is_some() && !fenced {
        let held = stream.seq();
        return Err(Refusal::new(Code::Frozen, format!("at bundle {held}, offered {}", manifest.seq)));
    }
    judge_time(stream, manifest, clock)?;
    judge_distance(stream, manifest, fenced)?;
    judge_base(stream, manifest)?;
    judge_components(stream, bundle.contents(), fenced)?;
    Ok(Acceptance::Apply {
        next: advance(stream, bundle, offered),
        missing: missing(stream, manifest),
        thawed: stream.frozen.is_some(),
    })
}

/// Rules 3, 4 and 5: the same number, or a lower one; and rule 1's predecessor, which tells a fork too.
fn judge_place(stream: &Stream, manifest: &Manifest, offered: Base, fenced: bool) -> Option<Acceptance> {
    let last = stream.last?;
    if offered == last {
        return Some(Acceptance::AlreadyApplied);
    }
    if offered.seq < last.seq {
        return Some(Acceptance::Superseded { held: last.seq, offered: offered.seq });
    }
    let same_place = offered.seq == last.seq;
    let other_past = offered.seq == last.seq + 1 && manifest.prev != Some(last.digest);
    if fenced || !(same_place || other_past) {
        return None;
    }
    let frozen = Some(stream.frozen.unwrap_or(offered));
    let detail = match same_place {
        true => format!("bundle {}: {} is held, {} was offered", last.seq, last.digest, offered.digest),
        false => format!("bundle {} follows another bundle {} than is held", offered.seq, last.seq),
    };
    let next = Stream { frozen, ..stream.clone() };
    Some(Acceptance::Forked { next, refusal: Refusal::new(Code::Fork, detail) })
}

/// bundle.md §10.10: a fence works once, for a full bundle further on than what is held.
fn fence_acts(stream: &Stream, manifest: &Manifest, fence: Option<&FenceDocument>) -> bool {
    let Some(fence) = fence else { return false };
    manifest.kind == Kind::Full
        && manifest.seq > stream.seq()
        && fence.version > stream.version_of(ComponentType::Fence)
        && fence.covers(manifest.seq)
}

/// Rule 8, as far as time goes, and that time does not run backwards along the sequence.
fn judge_time(stream: &Stream, manifest: &Manifest, clock: Clock) -> Result<(), Refusal> {
    if clock.now > manifest.not_after {
        let ago = clock.now - manifest.not_after;
        return Err(Refusal::new(Code::Expired, format!("bundle {}, {ago} s ago", manifest.seq)));
    }
    if manifest.issued_at > clock.now.saturating_add(clock.leeway_seconds) {
        let ahead = manifest.issued_at - clock.now;
        let detail = format!("bundle {}, {ahead} s ahead of this clock", manifest.seq);
        return Err(Refusal::new(Code::NotYetIssued, detail));
    }
    if manifest.issued_at < stream.issued_at {
        let detail = format!("bundle {} was issued before bundle {}", manifest.seq, stream.seq());
        return Err(Refusal::new(Code::Rollback, detail).with_cure("set the mint's clock and pack again"));
    }
    Ok(())
}

/// Rule 7. A gate that has applied nothing takes any first number.
fn judge_distance(stream: &Stream, manifest: &Manifest, fenced: bool) -> Result<(), Refusal> {
    let Some(last) = stream.last else { return Ok(()) };
    if manifest.seq - last.seq > SEQ_JUMP_MAX && !fenced {
        let detail = format!("from {} to {}, more than {SEQ_JUMP_MAX}", last.seq, manifest.seq);
        return Err(Refusal::new(Code::SequenceJump, detail));
    }
    Ok(())
}

/// Rule 2: a delta or beacon applies on exactly its base, a full bundle anywhere.
fn judge_base(stream: &Stream, manifest: &Manifest) -> Result<(), Refusal> {
    match manifest.base {
        None => Ok(()),
        Some(base) if stream.content == Some(base) => Ok(()),
        Some(base) => {
            let held = stream.content.map_or_else(|| "nothing".to_owned(), |held| held.seq.to_string());
            let kind = manifest.kind.as_str();
            let detail = format!("{kind} {} builds on {}; this gate holds {held}", manifest.seq, base.seq);
            Err(Refusal::new(Code::Gap, detail))
        }
    }
}

/// Rule 6. A fence lets what the online key alone vouches for begin anew, so that a thief who raised those
/// versions to the sky cannot lock the realm out; what release people signed only ever rises.
fn judge_components(
    stream: &Stream,
    contents: &[(ComponentType, Held)],
    fenced: bool,
) -> Result<(), Refusal> {
    for (kind, offered) in contents {
        let Some(held) = stream.components.get(kind) else { continue };
        if fenced && kind.is_online() {
            continue;
        }
        let detail = || format!("{} {}, held is {}", kind.as_str(), offered.version, held.version);
        if offered.version < held.version {
            return Err(Refusal::new(Code::ComponentRollback, detail()));
        }
        if offered.version == held.version && offered.sha256 != held.sha256 {
            return Err(Refusal::new(Code::ComponentConflict, detail()));
        }
    }
    Ok(())
}

fn advance(stream: &Stream, bundle: &Opened<'_>, offered: Base) -> Stream {
    let manifest = bundle.manifest();
    let mut components = stream.components.clone();
    components.extend(bundle.contents().iter().copied());
    Stream {
        last: Some(offered),
        content: if manifest.kind == Kind::Beacon { stream.content } else { Some(offered) },
        issued_at: manifest.issued_at,
        next_by: manifest.next_by,
        not_after: manifest.not_after,
        components,
        frozen: None,
    }
}

fn missing(stream: &Stream, manifest: &Manifest) -> Option<(u64, u64)> {
    let last = stream.last?;
    (manifest.seq > last.seq + 1).then(|| (last.seq + 1, manifest.seq - 1))
}
