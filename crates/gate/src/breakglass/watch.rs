//! What a running gate does about broken glass: it says so in log and metrics, and ends what is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use farside_service::time::read_clocks;
use farside_service::web::Shutdown;

use super::Desk;
use super::shown::GlassShown;
use crate::config::Config;
use crate::judge::Clocks;
use crate::store::{self, StoreFault};
use crate::trust::Gate;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until the gate ends.
// breakglass.md §6.2
pub(crate) async fn keep(config: Arc<Config>, gate: Arc<Gate>, shutdown: Shutdown) {
    let mut seen = Seen::default();
    loop {
        if let Ok(trust) = gate.trust() {
            if let Err(fault) = seen.look(&gate, trust.generation()) {
                tracing::error!(%fault, "broken glass cannot be read");
            }
            if trust.glasses().has_over(&read_clocks()) {
                sweep(Arc::clone(&config), gate.moment().now).await;
            }
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Every order that was ever opened here, and whether its pass counted at the last look.
#[derive(Default)]
struct Seen {
    generation: Option<u64>,
    counting: BTreeMap<String, bool>,
}

impl Seen {
    /// Tells of each order once: also of one that was opened and closed between two looks.
    fn look(&mut self, gate: &Gate, generation: u64) -> Result<(), StoreFault> {
        let counts = self.counting.values().any(|counts| *counts);
        if self.generation == Some(generation) && !counts {
            return Ok(());
        }
        let first = self.generation.replace(generation).is_none();
        let reading = read_clocks();
        for row in gate.store().read(|tx| store::breakglass::every(tx))? {
            let glass = GlassShown::of(row, &reading)?;
            let counts = glass.seconds_left.is_some();
            let before = self.counting.insert(glass.id.clone(), counts);
            let new = before.is_none() && !first;
            if new || (before.is_none() && counts) {
                broken(&glass);
            }
            if !counts && (new || before == Some(true)) {
                tracing::warn!(id = glass.id, why = glass.why, "a break-glass pass is over");
            }
        }
        let open = self.counting.values().filter(|counts| **counts).count();
        metrics::gauge!("farside_gate_breakglass_open").set(open as f64);
        Ok(())
    }
}

fn broken(glass: &GlassShown) {
    let GlassShown { id, subject, audience, role, reason, .. } = glass;
    let signers = glass.signers.join(", ");
    tracing::error!(id, subject, audience, role, reason, signers, "the glass is broken");
}

async fn sweep(config: Arc<Config>, now: u64) {
    let swept = tokio::task::spawn_blocking(move || {
        let reading = read_clocks();
        Desk::take(&config)?.sweep(Clocks { now, reading: &reading })
    });
    if let Ok(Err(failure)) = swept.await {
        tracing::error!(%failure, "a pass that is over could not be closed; it opens nothing");
    }
}
