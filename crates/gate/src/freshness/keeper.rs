//! Keeps the vigil while `serve` runs: what has changed about freshness, by a bundle or by time alone, goes
//! into log, journal and metrics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use farside_crossing::Action;
use farside_service::web::Shutdown;

use super::Freshness;
use super::vigil::{Change, View};
use crate::http::Doors;
use crate::trust::{Gate, TrustState};

/// How often freshness is looked at.
const VIGIL: Duration = Duration::from_secs(1);

/// Looks at freshness every second until the end, and tells each change once: in the log and in the
/// journal. The metrics show how long everything still holds.
pub(crate) async fn keep(doors: Arc<Doors>, gate: Arc<Gate>, shutdown: Shutdown) {
    let mut seen = View::unseen();
    let mut shown = Shown::default();
    loop {
        match gate.trust() {
            Ok(trust) => {
                let now = doors.now();
                shown.renew(&trust, now);
                let view = View::of(&trust, now);
                for change in view.since(&seen) {
                    tell(&doors, &change, now).await;
                }
                seen = view;
            }
            Err(_) => metrics::gauge!("farside_gate_trust").set(0.0),
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(VIGIL) => {}
        }
    }
}

async fn tell(doors: &Doors, change: &Change, now: u64) {
    let sentence = change.sentence();
    match change.is_alarm() {
        true => tracing::warn!("{sentence}"),
        false => tracing::info!("{sentence}"),
    }
    let (event, members) = change.record();
    if doors.write_down(event, now, members).await.is_err() {
        tracing::error!("a change of freshness could not be written to the journal");
    }
}

/// The gauges of tiers that have been set, so that one whose audience is gone ends.
#[derive(Default)]
struct Shown(BTreeSet<(String, &'static str)>);

impl Shown {
    fn renew(&mut self, trust: &TrustState, now: u64) {
        show_trust(trust, now);
        let gauge = |(audience, action): &(String, &'static str)| {
            metrics::gauge!("farside_gate_tier_seconds_left",
                "aud" => audience.clone(), "action" => *action)
        };
        let mut renewed = BTreeSet::new();
        let audiences = trust.policy().into_iter().flat_map(|policy| &policy.audiences);
        for (audience, action) in audiences.flat_map(|one| Action::ALL.map(|action| (one, action))) {
            let Some(until) = trust.served_until(audience, action) else { continue };
            let place = (audience.name.clone(), action.as_str());
            // Below nothing: for how long it has been refused.
            gauge(&place).set(seconds(until) - seconds(now));
            renewed.insert(place);
        }
        self.0.difference(&renewed).for_each(|gone| gauge(gone).set(f64::NAN));
        self.0 = renewed;
    }
}

/// Puts into the metrics what an operator watches: how far the gate has come and how long that will hold.
fn show_trust(trust: &TrustState, now: u64) {
    let freshness = match trust.freshness(now) {
        Freshness::Untrusted => 0.0,
        Freshness::Expired { .. } => 1.0,
        Freshness::Late { .. } => 2.0,
        Freshness::Fresh => 3.0,
    };
    metrics::gauge!("farside_gate_trust").set(freshness);
    if let Some(applied) = trust.applied() {
        metrics::gauge!("farside_gate_bundle_sequence").set(seconds(applied.seq));
        metrics::gauge!("farside_gate_bundle_issued_at_seconds").set(seconds(applied.issued_at));
        metrics::gauge!("farside_gate_bundle_next_by_seconds").set(seconds(applied.next_by));
        metrics::gauge!("farside_gate_bundle_not_after_seconds").set(seconds(applied.not_after));
    }
}

/// Exact for every date and number that will ever be shown.
fn seconds(value: u64) -> f64 {
    value as f64
}
