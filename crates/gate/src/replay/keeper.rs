//! Beside the doors: keeps the replay store small, and connected, and tells what has changed about it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farside_service::time::rfc3339;
use farside_service::web::Shutdown;
use serde_json::json;

use super::{Replay, Tended};
use crate::http::Doors;
use crate::trust::Gate;

/// How often the store is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// A store that is so full is told of before it refuses, in parts of a hundred.
pub(super) const CROWDED_PERCENT: u64 = 80;

/// What has been told, until it is otherwise.
#[derive(Debug, Default)]
struct Told {
    away: bool,
    crowded: bool,
}

/// Keeps the store until the end. `lost` is what it had lost when it was opened.
pub(crate) async fn keep(doors: Arc<Doors>, gate: Arc<Gate>, lost: Option<u64>, shutdown: Shutdown) {
    let replay = doors.replay();
    let mut told = Told::default();
    if let Some(since) = lost {
        tell_lost(&doors, gate.moment().now, since).await;
    }
    loop {
        let now = gate.moment().now;
        let tended = replay.tend(now).await;
        metrics::gauge!("farside_gate_replay_usable").set(if tended.is_ok() { 1.0 } else { 0.0 });
        match tended {
            Ok(Tended { entries, lost }) => {
                if std::mem::take(&mut told.away) {
                    tracing::warn!("the replay store is there again");
                }
                if let Some(since) = lost {
                    tell_lost(&doors, now, since).await;
                }
                replay.show(entries, &mut told);
            }
            Err(failure) => {
                if !std::mem::replace(&mut told.away, true) {
                    tracing::error!(%failure, "the replay store cannot be looked after");
                }
            }
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

// journal.md §6.5
async fn tell_lost(doors: &Doors, now: u64, since: u64) {
    let since = rfc3339(since);
    tracing::error!(since, "what was used until then is not known: it is refused where it counts once");
    if doors.write_down("replay_lost", now, json!({"since": since})).await.is_err() {
        tracing::error!("this could not be written to the journal");
    }
}

impl Replay {
    fn show(&self, entries: u64, told: &mut Told) {
        metrics::gauge!("farside_gate_replay_entries").set(entries as f64);
        metrics::gauge!("farside_gate_replay_entries_max").set(self.entries_max as f64);
        let crowded = entries.saturating_mul(100) >= self.entries_max.saturating_mul(CROWDED_PERCENT);
        if crowded && !told.crowded {
            let entries_max = self.entries_max;
            tracing::warn!(entries, entries_max, "the replay store is nearly full");
        }
        if !crowded {
            self.full.store(false, Ordering::Relaxed);
        }
        told.crowded = crowded;
    }
}
