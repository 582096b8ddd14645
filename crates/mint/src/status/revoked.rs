//! What is revoked at a site, and how much room that takes in its bundles.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use farside_crossing::status::STATUS_BYTES_MAX;
use farside_service::cli::Failure;
use serde::Serialize;

use crate::bundler;
use crate::revocation::{self, Mark};
use crate::store::{Site, Store};

/// Entries end by themselves: so long a list that is not large may be shown as larger than it is.
const MEASURED_SECONDS_MAX: u64 = 3_600;

/// What a full bundle would tell of revocations.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RevokedShown {
    /// Entries; each revoked token is one.
    pub entries: u64,
    /// Bytes of the component that lists them.
    pub bytes: u64,
    /// Bytes that it may have.
    pub bytes_max: u64,
}

impl RevokedShown {
    /// Whether people should do something before it is too late.
    pub fn is_large(&self) -> bool {
        self.bytes >= self.bytes_max / 2
    }

    /// Whether no bundle can be made with it.
    pub fn is_too_large(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// For eyes.
    pub fn sentence(&self) -> String {
        let entries = match self.entries {
            1 => "1 entry".to_owned(),
            many => format!("{many} entries"),
        };
        format!("{entries}, {} of the {} that a bundle has for them", size(self.bytes), size(self.bytes_max))
    }
}

/// What was measured, for whoever looks again and again: a list is packed to be measured, and that is done
/// anew once something was revoked or pardoned there.
#[derive(Debug, Default)]
pub struct Measured(
    /// Owns the measures, by site; held while one is looked up or exchanged.
    Mutex<HashMap<String, Measure>>,
);

#[derive(Debug, Clone, Copy)]
struct Measure {
    mark: Mark,
    at: u64,
    shown: RevokedShown,
}

impl Measured {
    /// The list that the next full bundle would bring.
    pub(super) fn look(
        &self,
        store: &Store,
        realm: &str,
        site: &Site,
        now: u64,
    ) -> Result<RevokedShown, Failure> {
        let mark = store.read(|transaction| revocation::mark(transaction, &site.name))?;
        let holds = |held: &Measure| {
            held.mark == mark && now.abs_diff(held.at) < MEASURED_SECONDS_MAX && !held.shown.is_large()
        };
        // Who panicked while holding it has left it whole.
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(measure) = held().get(&site.name).copied().filter(holds) {
            return Ok(measure.shown);
        }
        let (entries, bytes) = store.read(|transaction| bundler::measure(transaction, realm, site, now))?;
        let shown = RevokedShown { entries, bytes, bytes_max: STATUS_BYTES_MAX as u64 };
        held().insert(site.name.clone(), Measure { mark, at: now, shown });
        Ok(shown)
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
