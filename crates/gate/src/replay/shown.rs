//! How full the replay store is, for `farside gate status`: looked at from outside, while `serve` uses it.

use farside_service::cli::{Failure, OrFailure as _};
use farside_service::time::rfc3339;
use serde::Serialize;

use super::disk::{Survey, survey};
use super::keeper::CROWDED_PERCENT;
use super::shared::Shared;
use crate::config::Config;

/// What is remembered of what counts once.
#[derive(Debug, Serialize)]
pub struct ReplayShown {
    /// Where the Redis is, if several gates share one.
    pub redis: Option<String>,
    /// Entries that have not expired; none where the Redis does not answer.
    pub entries: Option<u64>,
    /// Most that are remembered.
    pub entries_max: u64,
    /// Bytes on this gate's disk.
    pub bytes: u64,
    /// Until when what was used is not known, where something was lost.
    pub lost_until: Option<u64>,
    /// Why the Redis does not answer.
    pub fault: Option<String>,
}

impl ReplayShown {
    /// Looks at the store that `gate.toml` names.
    ///
    /// # Errors
    /// The gate's own store cannot be read.
    pub fn look(config: &Config, now: u64) -> Result<ReplayShown, Failure> {
        let entries_max = config.replay.entries_max;
        let Some(settings) = &config.replay.redis else {
            let found = on_disk(config, now)?;
            let since = found.map_or(0, |found| found.since);
            return Ok(ReplayShown {
                redis: None,
                entries: Some(found.map_or(0, |found| found.entries)),
                entries_max,
                bytes: found.map_or(0, |found| found.bytes),
                lost_until: Some(since).filter(|since| *since > 0),
                fault: None,
            });
        };
        let store = Shared::new(settings.clone(), &config.site, entries_max);
        let found = alone(store.survey())?;
        let (entries, since) = found.as_ref().map_or((None, 0), |(entries, since)| (Some(*entries), *since));
        Ok(ReplayShown {
            redis: Some(store.place().to_owned()),
            entries,
            entries_max,
            bytes: 0,
            lost_until: Some(since).filter(|since| *since > 0),
            fault: found.err().map(|fault| fault.to_string()),
        })
    }

    /// For people.
    pub(crate) fn sentence(&self) -> String {
        let place = self.redis.as_ref().map_or_else(String::new, |place| format!(", in Redis at {place}"));
        let held = match (self.entries, &self.fault) {
            (Some(entries), _) => format!("{entries} of at most {} remembered{place}", self.entries_max),
            (None, fault) => fault.clone().unwrap_or_else(|| "unknown".to_owned()),
        };
        let lost =
            self.lost_until.map_or_else(String::new, |until| format!("; lost before {}", rfc3339(until)));
        format!("{held}{lost}")
    }

    /// Nearly full, or out of reach: somebody should look.
    pub fn needs_a_hand(&self) -> bool {
        self.entries.is_none_or(|entries| {
            entries.saturating_mul(100) >= self.entries_max.saturating_mul(CROWDED_PERCENT)
        })
    }
}

/// Entries on this gate's disk that have not expired.
pub(super) fn entries_on_disk(config: &Config, now: u64) -> Result<u64, Failure> {
    Ok(on_disk(config, now)?.map_or(0, |found| found.entries))
}

fn on_disk(config: &Config, now: u64) -> Result<Option<Survey>, Failure> {
    let folder = config.replay_folder();
    // A file may be let go by `serve` while it is about to be read: then the next look finds it gone.
    let found = survey(&folder, now).or_else(|_| survey(&folder, now));
    found.or_could_not(|| format!("read the replay store in {}", folder.display()))
}

/// Waits for an answer on a thread of its own: whoever shows the status may be running on a runtime already.
fn alone<T: Send>(asked: impl Future<Output = T> + Send) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_could_not(|| "ask Redis".to_owned())?;
    let answered = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(asked)).join());
    answered.map_err(|_| Failure::could_not("ask Redis"))
}
