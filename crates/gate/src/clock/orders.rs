//! What people may order about time: to take the machine's clock as right, on their own word but never before
//! what bundles prove; and to take back what bundles of a wrong time have proven, on root's.

use std::path::Path;

use farside_crossing::{Charter, ClockDocument, Note, Stream};
use farside_service::cli::Failure;
use farside_service::durable;
use farside_service::lock::Exclusive;
use farside_service::time::{Reading, rfc3339};
use rusqlite::Transaction;
use serde::Serialize;
use serde_json::json;

use super::Witness;
use super::told::span;
use crate::config::Config;
use crate::enrol::{record, refused};
use crate::store::{self, ClockNoteRow, Store, StoreFault};
use crate::trust::{self, BUILT_AT, Gate, LEEWAY_SECONDS_DEFAULT};

/// Largest note, in bytes.
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// The clock that was taken as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// What this gate went by, Unix seconds.
    pub from: u64,
    /// What it goes by from now on.
    pub to: u64,
}

/// The floor that was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// The floor before, Unix seconds.
    pub floor_before: u64,
    /// The floor from now on.
    pub floor: u64,
}

/// Takes the machine's clock as right: the steady clock begins anew at it.
///
/// # Errors
/// The clock stands before what a bundle proves, or the store or journal failed.
// bundle.md §13.8
pub fn accept(config: &Config, reading: &Reading) -> Result<Accepted, Failure> {
    let _lock = Exclusive::take(&config.import_lock())?;
    let gate = Gate::open(config)?;
    let trust =
        gate.trust().map_err(|refusal| Failure::could_not(refusal.to_string()).hint(refusal.cure()))?;
    let (proven, to) = (trust.proven(), reading.wall_ms / 1_000);
    if to.saturating_add(proven.leeway_seconds) < proven.floor {
        return Err(Failure::refused(format!(
            "the clock says {}, and bundle {} was made at {}",
            rfc3339(to),
            trust.seq(),
            rfc3339(proven.floor),
        ))
        .hint(
            "set this machine's clock; if it is that bundle whose time was wrong, root signs a way back: \
             `farside mint clock draft`, then `farside gate clock reset NOTE`",
        ));
    }
    let lived = trust.clock().witness.as_ref().map_or(0, |witness| witness.steady_ms / 1_000);
    let accepted = Accepted { from: gate.moment().steady.unwrap_or(lived), to };
    let by_seconds = i64::try_from(to).unwrap_or(i64::MAX) - i64::try_from(accepted.from).unwrap_or(0);
    record(
        config,
        to,
        "clock_accepted",
        json!({"from": rfc3339(accepted.from), "to": rfc3339(to), "by_seconds": by_seconds}),
    )?;
    gate.store().write(|tx| store::begin_clock(tx, &Witness::begun(reading)))?;
    Ok(accepted)
}

/// Sets the time floor back as a note of root's says.
///
/// # Errors
/// The note is not root's or not for what this gate holds, it has acted before, or the machine's clock has
/// not been set right yet.
// bundle.md §13.10
pub fn reset(config: &Config, note: &Path, reading: &Reading) -> Result<Reset, Failure> {
    let bytes = durable::read_limited(note, NOTE_BYTES_MAX)?;
    let _lock = Exclusive::take(&config.import_lock())?;
    let store = Store::open(&config.database())?;
    let held = store.read(Held::read)?;
    let document = held.believe(config, &bytes)?;
    let row = held.judge(&document, reading.wall_ms / 1_000)?;
    let right = store.read(|tx| store::issued_before(tx, document.seq_min))?;
    let stream = held.stream_after(right, row.floor)?;
    record(
        config,
        row.acted_at,
        "clock_reset",
        json!({"issued_at": document.issued_at, "seq": row.seq, "floor_before": rfc3339(row.floor_before),
               "floor": rfc3339(row.floor)}),
    )?;
    store.write(|tx| {
        store::set_time_back(tx, &row, &bytes, &stream)?;
        store::begin_clock(tx, &Witness::begun(reading))
    })?;
    Ok(Reset { floor_before: row.floor_before, floor: row.floor })
}

/// What this gate holds that the note speaks of.
struct Held {
    charter: Option<Charter>,
    stream: Stream,
    floor: u64,
    newest_note: Option<ClockNoteRow>,
}

impl Held {
    fn read(tx: &Transaction<'_>) -> Result<Held, StoreFault> {
        let state = store::state(tx)?;
        let stream: Stream = match state.stream.as_str() {
            "" => Stream::new(),
            text => serde_json::from_str(text).map_err(|_| StoreFault::Damaged("high-water marks"))?,
        };
        let charter = store::charters(tx)?.last().map(|note| trust::newest_charter(note)).transpose()?;
        Ok(Held {
            charter,
            stream,
            floor: state.time_floor.max(BUILT_AT),
            newest_note: store::newest_clock_note(tx)?,
        })
    }

    fn believe(&self, config: &Config, bytes: &[u8]) -> Result<ClockDocument, Failure> {
        let charter = self.charter.as_ref().ok_or_else(|| {
            Failure::could_not("this gate trusts no charter yet")
                .hint("run `farside gate trust CHARTER` first")
        })?;
        let note = Note::parse(bytes).map_err(refused)?;
        let believed = charter.root().verify(&note).map_err(refused)?;
        ClockDocument::read(&believed, charter.realm(), &config.site).map_err(refused)
    }

    /// It acts once, on the bundles that it names, and only for a clock that has been set right.
    fn judge(&self, document: &ClockDocument, wall: u64) -> Result<ClockNoteRow, Failure> {
        if self.newest_note.is_some_and(|newest| newest.issued_at >= document.issued_at) {
            return Err(Failure::refused("this note, or a later one, has acted here already")
                .hint("each acts once; have root sign a new one where bundles were wrong again"));
        }
        let (seq, floor) = (self.stream.seq(), document.floor.max(BUILT_AT));
        if !document.covers(seq) {
            let (first, last) = (document.seq_min, document.seq_max);
            return Err(Failure::refused(format!(
                "it is about bundles {first} to {last}, and this gate holds bundle {seq}"
            ))
            .hint("draft one for the bundle that this gate holds: `farside mint clock draft`"));
        }
        if floor >= self.floor {
            return Err(Failure::refused(format!(
                "the time floor is {}, no later than this note's: nothing is to be set back",
                rfc3339(self.floor)
            )));
        }
        let leeway = LEEWAY_SECONDS_DEFAULT;
        if wall.saturating_add(leeway) < floor || wall >= self.floor {
            return Err(Failure::refused(format!(
                "this machine's clock says {}; by root's word it is later than {} and earlier than {}",
                rfc3339(wall),
                rfc3339(floor),
                rfc3339(self.floor)
            ))
            .hint("set this machine's clock right first"));
        }
        Ok(ClockNoteRow {
            issued_at: document.issued_at,
            seq,
            floor_before: self.floor,
            floor,
            acted_at: wall,
        })
    }

    /// The marks as they would be had the wrong bundles been made at the floor: the sequence goes on behind
    /// the last bundle that was right.
    fn stream_after(&self, right: u64, floor: u64) -> Result<String, StoreFault> {
        let Stream { issued_at, next_by, not_after, .. } = self.stream;
        let back = issued_at.saturating_sub(floor);
        // Nothing builds on a bundle of a wrong time.
        let stream = Stream {
            content: None,
            issued_at: right.min(floor),
            next_by: next_by.saturating_sub(back),
            not_after: not_after.saturating_sub(back),
            ..self.stream.clone()
        };
        serde_json::to_string(&stream).map_err(|_| StoreFault::Damaged("high-water marks"))
    }
}

impl Accepted {
    /// `3 h back`, `2 days forward`.
    pub fn step(&self) -> String {
        let way = if self.to < self.from { "back" } else { "forward" };
        format!("{} {way}", span(self.from.abs_diff(self.to)))
    }
}
