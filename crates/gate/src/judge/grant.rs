//! The last step into a door: what counts once is remembered, and then the holder may enter.
//!
//! ```text
//!   judge ─▶ Pending (holds, but enters nobody) ─▶ remembered once, durable ─▶ Grant
//! ```

use std::ops::Deref;

use farside_verify::{Code, Refusal};

use super::{Inspection, Kind, Once};
use crate::replay::Replay;

/// A credential that every check has passed. It enters nobody before [`Pending::remember`].
#[derive(Debug)]
pub struct Pending {
    inspection: Inspection,
    once: Vec<Once>,
}

/// Leave to enter: every check has passed, and what counts once was remembered for this request alone. Only
/// [`Pending::remember`] makes one.
#[derive(Debug)]
pub struct Grant {
    inspection: Inspection,
}

impl Pending {
    /// What holds, and the proofs that came with it, each of which counts once.
    pub(super) fn new(inspection: Inspection, proofs: Vec<Once>) -> Pending {
        // Proofs first: a proof shown again spends no token that was not.
        let once = proofs.into_iter().chain(inspection.once).collect();
        Pending { inspection, once }
    }

    /// What of it counts once: the proofs, and the token where its audience says so.
    pub fn once(&self) -> &[Once] {
        &self.once
    }

    /// Refuses a token that counts once, at a door that cannot count: one question there is not one use.
    ///
    /// # Errors
    /// `policy_denied`, with `why`.
    // replay.md §4
    pub(crate) fn of_many_uses(&self, why: &str) -> Result<(), Refusal> {
        if self.once.iter().all(|one| one.kind() != Kind::Token) {
            return Ok(());
        }
        let detail = format!("this audience admits each token once, and {why}");
        let cure = "Give what is asked for at this door an audience of its own that is not single-use.";
        Err(Refusal::new(Code::PolicyDenied, detail, cure))
    }

    /// Admits the holder, once all that counts once has been remembered: all of it or nothing, for this
    /// request or for another.
    ///
    /// # Errors
    /// `replayed`; `replay_full` and `replay_unavailable` where it could not be remembered.
    // replay.md §3
    pub async fn remember(self, replay: &Replay, now: u64) -> Result<Grant, Refusal> {
        if !self.once.is_empty() {
            replay.take(&self.once, now).await?;
        }
        Ok(Grant { inspection: self.inspection })
    }
}

impl Deref for Pending {
    type Target = Inspection;

    fn deref(&self) -> &Inspection {
        &self.inspection
    }
}

impl Grant {
    /// The audience it was judged for.
    pub fn audience(&self) -> &str {
        self.inspection.audience().unwrap_or_default()
    }
}

impl Deref for Grant {
    type Target = Inspection;

    fn deref(&self) -> &Inspection {
        &self.inspection
    }
}

impl AsRef<Inspection> for Grant {
    fn as_ref(&self) -> &Inspection {
        &self.inspection
    }
}
