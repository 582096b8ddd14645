//! Beside the doors: looks at the clock once a second, tells when it goes wrong or right again, and keeps the
//! steady clock for the next process.

use std::sync::Arc;
use std::time::Duration;

use farside_service::time::rfc3339;
use farside_service::web::Shutdown;
use serde_json::{Value, json};

use super::told::span;
use super::{Moment, Off};
use crate::http::Doors;
use crate::trust::Gate;

/// How often the clock is looked at when nobody asks.
const LOOK_SECONDS: u64 = 1;

/// How often the steady clock is kept: a power cut forgets no more than this.
const KEEP_SECONDS: u64 = 30;

/// A clock that drifts is told again once it has drifted by so much more than what was told last, in parts of
/// that: each time by half as much again.
const AGAIN_PARTS: u64 = 2;

/// Tells each change once.
#[derive(Debug, Default)]
pub struct Keeper {
    told: Option<Off>,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The clock is wrong, or by how much it is wrong has changed.
    Off {
        /// Seconds that it is ahead; negative behind.
        by_seconds: i64,
        /// Since when.
        since: Option<u64>,
    },
    /// The clock is right again.
    Righted {
        /// Seconds that it was ahead when that was told last.
        was_seconds: i64,
        /// Since when it had been wrong.
        since: Option<u64>,
    },
}

impl Keeper {
    /// What is to be told after this look.
    pub fn hear(&mut self, moment: &Moment) -> Option<News> {
        let news = match (self.told, moment.off) {
            (None, None) => None,
            (Some(was), None) => Some(News::Righted { was_seconds: was.by_seconds, since: was.since }),
            (Some(was), Some(off)) if !differs(was.by_seconds, off.by_seconds) => None,
            (_, Some(off)) => Some(News::Off { by_seconds: off.by_seconds, since: off.since }),
        };
        if news.is_some() {
            self.told = moment.off;
        }
        news
    }

    /// Looks, tells and keeps until the end.
    pub async fn run(mut self, gate: Arc<Gate>, doors: Arc<Doors>, shutdown: Shutdown) {
        let mut looks: u64 = 0;
        loop {
            let moment = gate.moment();
            let ahead = moment.off.map_or(0, |off| off.by_seconds);
            metrics::gauge!("farside_gate_clock_offset_seconds").set(ahead as f64);
            gate.tell_known();
            let news = self.hear(&moment);
            if let Some(news) = &news {
                tell(news, &moment, &doors).await;
            }
            if news.is_some() || looks.is_multiple_of(KEEP_SECONDS / LOOK_SECONDS) {
                keep(&gate).await;
            }
            looks += 1;
            tokio::select! {
                () = shutdown.wait() => break,
                () = tokio::time::sleep(Duration::from_secs(LOOK_SECONDS)) => {}
            }
        }
        gate.moment();
        keep(&gate).await;
    }
}

/// What was wrong a little more or less than told is no news.
fn differs(told: i64, now: i64) -> bool {
    told.signum() != now.signum()
        || told.abs_diff(now) > (told.unsigned_abs() / AGAIN_PARTS).max(LOOK_SECONDS)
}

// journal.md §6.5
async fn tell(news: &News, moment: &Moment, doors: &Doors) {
    let (event, members) = match news {
        News::Off { by_seconds, since } => {
            let (clock, by) = (rfc3339(moment.wall), span(by_seconds.unsigned_abs()));
            let way = if *by_seconds < 0 { "behind" } else { "ahead" };
            tracing::error!(
                clock,
                by_seconds,
                since = moment_of(*since),
                "this machine's clock is {by} {way}"
            );
            let from = moment.wall.saturating_add_signed(-by_seconds);
            (
                "clock_stepped",
                json!({"from": rfc3339(from), "to": clock, "by_seconds": by_seconds,
                                     "since": told(*since)}),
            )
        }
        News::Righted { was_seconds, since } => {
            tracing::warn!(was_seconds, since = moment_of(*since), "this machine's clock is right again");
            ("clock_righted", json!({"was_seconds": was_seconds, "since": told(*since)}))
        }
    };
    if doors.write_down(event, moment.now, members).await.is_err() {
        tracing::error!(event, "this could not be written to the journal");
    }
}

fn told(since: Option<u64>) -> Value {
    since.map_or(Value::Null, |since| rfc3339(since).into())
}

fn moment_of(since: Option<u64>) -> String {
    since.map_or_else(|| "unknown".to_owned(), rfc3339)
}

async fn keep(gate: &Arc<Gate>) {
    let gate = Arc::clone(gate);
    match tokio::task::spawn_blocking(move || gate.keep_clock()).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::error!(%fault, "the steady clock could not be kept"),
        Err(stopped) => tracing::error!(%stopped, "the steady clock could not be kept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(by_seconds: i64) -> Moment {
        let off = (by_seconds != 0).then_some(Off { by_seconds, since: Some(7) });
        Moment { now: 1_000, wall: 1_000, steady: Some(1_000), off }
    }

    #[test]
    fn each_change_is_told_once_and_a_drift_ever_more_seldom() {
        let mut keeper = Keeper::default();
        assert_eq!(keeper.hear(&off(0)), None);
        assert_eq!(keeper.hear(&off(-3_600)), Some(News::Off { by_seconds: -3_600, since: Some(7) }));
        assert_eq!(keeper.hear(&off(-3_601)), None);
        assert!(keeper.hear(&off(3_600)).is_some(), "ahead is other news than behind");
        assert_eq!(keeper.hear(&off(0)), Some(News::Righted { was_seconds: 3_600, since: Some(7) }));
        let told = (61..100_000).filter(|by| keeper.hear(&off(*by)).is_some()).count();
        assert!((10..30).contains(&told), "{told} times");
    }
}
