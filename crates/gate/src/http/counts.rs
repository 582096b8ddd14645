//! What the doors count at every decision, by handles that are looked up once: looking them up by name and
//! labels would cost as much as the judgement of a token that is known.

use std::time::Duration;

use farside_verify::Refusal;
use metrics::{Counter, Histogram};

use super::Door;

/// The counts of all doors.
pub(super) struct Counts([OfDoor; Door::ALL.len()]);

struct OfDoor {
    admitted: Counter,
    seconds: Histogram,
}

impl Counts {
    /// To be made after the recorder was installed; without one nothing is counted.
    pub(super) fn new() -> Counts {
        Counts(Door::ALL.map(|door| OfDoor {
            admitted: decisions(door, "admit", ""),
            seconds: metrics::histogram!("farside_gate_decision_seconds", "door" => door.name()),
        }))
    }

    /// A decision was made and written down, so long after it was asked for.
    pub(super) fn decided(&self, door: Door, refused: Option<&Refusal>, took: Duration) {
        let Self(doors) = self;
        let of_door = &doors[door as usize];
        match refused {
            None => of_door.admitted.increment(1),
            Some(refusal) => decisions(door, "refuse", refusal.code().as_str()).increment(1),
        }
        of_door.seconds.record(took);
    }
}

fn decisions(door: Door, verdict: &'static str, code: &'static str) -> Counter {
    metrics::counter!("farside_gate_decisions_total",
        "door" => door.name(), "verdict" => verdict, "code" => code)
}
