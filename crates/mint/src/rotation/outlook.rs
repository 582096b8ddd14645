//! What people will have to do, looked at now and then by a mint that runs: told once when it comes up and
//! once when it is done, counted in the metrics, and shown with the health of the mint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farside_service::cli::Failure;

use super::belief;
use crate::config::Mint;
use crate::desk::Clocks;
use crate::status::{self, Measured, Warning};
use crate::store::Store;

/// How often it is looked.
const EVERY_SECONDS: u64 = 60;

/// What was seen last.
#[derive(Debug, Default)]
pub struct Outlook {
    /// Owns it; held while it is exchanged.
    seen: Mutex<Seen>,
    measured: Measured,
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<u64>,
    warnings: BTreeSet<Warning>,
    /// Codes that have been shown in the metrics: those that are gone are shown as 0.
    codes: BTreeSet<&'static str>,
}

impl Outlook {
    /// Looks, where it is time, and tells what is new.
    ///
    /// # Errors
    /// What there is cannot be read.
    pub fn look(&self, mint: &Mint, store: &Store, now: u64, clocks: Clocks) -> Result<(), Failure> {
        if self.seen().at.is_some_and(|at| now < at.saturating_add(EVERY_SECONDS)) {
            return Ok(());
        }
        let doubt = belief::doubt(store, &clocks())?;
        let status = status::look(mint, store, now, (doubt, &self.measured))?;
        for shown in &status.sites {
            metrics::gauge!("farside_mint_revoked_bytes", "site" => shown.site.clone())
                .set(shown.revoked.bytes as f64);
        }
        let warnings: BTreeSet<Warning> = status.warnings.into_iter().collect();
        let mut seen = self.seen();
        for Warning { code, site, detail, cure } in warnings.difference(&seen.warnings) {
            tracing::warn!(code, site, detail, cure, "something is to be done");
        }
        for Warning { code, site, detail, .. } in seen.warnings.difference(&warnings) {
            tracing::info!(code, site, detail, "that is done");
        }
        seen.at = Some(now);
        seen.show(&warnings);
        seen.warnings = warnings;
        Ok(())
    }

    /// What is to be done, a line each.
    pub fn lines(&self) -> Vec<String> {
        self.seen().warnings.iter().map(Warning::sentence).collect()
    }

    // Who panicked while holding it has left it whole: each step is one assignment.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn show(&mut self, warnings: &BTreeSet<Warning>) {
        let mut counts: BTreeMap<&'static str, u32> = self.codes.iter().map(|code| (*code, 0)).collect();
        for warning in warnings {
            *counts.entry(warning.code).or_default() += 1;
        }
        for (code, count) in counts {
            metrics::gauge!("farside_mint_warnings", "code" => code).set(f64::from(count));
            self.codes.insert(code);
        }
    }
}
