//! Keys that come and go by themselves: who signs now is written down, what has ended is destroyed, and what
//! people will have to do is said before it is late.
//!
//! ```text
//!   calendar ─▶ takeover: journal, metrics      ended or revoked ─▶ destroy: intent, removal, record
//!                                       by a clock that is believed ┘
//! ```
//!
//! For [`serve`](crate::serve), at each round of its cadence, and for commands that hold the log themselves.

pub mod belief;
pub mod destroy;
pub mod outlook;
mod roles;
mod takeover;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farside_service::append::Broken;
use farside_service::journal::RecordFault;

use crate::bundler::Books;
use crate::config::Home;
use crate::keys::{KeyFault, Passphrase};
use crate::store::{Store, StoreFault};
pub use belief::Doubt;
use destroy::Ending;
pub use destroy::{Gone, Rests};

/// How long after a key could not be destroyed it is tried again.
const RETRY_SECONDS: u64 = 60;

/// Where keys come and go.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The mint's folder.
    pub home: &'a Home,
    /// Its database.
    pub store: &'a Store,
    /// What opens its keys: a file may lead to a token that holds the rest.
    pub passphrase: &'a Passphrase,
    /// Where it is written down, and who gave the order.
    pub books: Books<'a>,
    /// Now, in Unix seconds.
    pub now: u64,
    /// Why no key is destroyed by that time, where its clock is doubted.
    pub doubt: Option<Doubt>,
}

/// What one process remembers from round to round.
#[derive(Debug, Default)]
pub struct Rotation(
    /// Owns it; held for one round.
    Mutex<Memory>,
);

#[derive(Debug, Default)]
struct Memory {
    /// Whether keys that were destroyed once were looked for: a restored backup brings them back.
    looked_back: bool,
    /// The charter by which the mint's own keys were looked at last, and when.
    roles_looked_at: Option<(u64, u64)>,
    /// What could not be destroyed is not tried before this instant.
    not_before: u64,
    /// Keys that could not be destroyed when it was last tried.
    failed: BTreeSet<String>,
}

/// Why a round could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationFault {
    /// A private key could not be destroyed.
    #[error("the private key in {path} could not be destroyed: {fault}")]
    Key {
        /// Its file.
        path: String,
        /// Why not.
        fault: KeyFault,
    },
    /// The mint's own key files could not be read.
    #[error("{0}")]
    Roles(KeyFault),
    /// The charters could not be read.
    #[error("{0}")]
    Charter(String),
    /// It could not be written down, so nothing was done.
    #[error("{0}")]
    Record(#[from] RecordFault),
    /// The journal broke.
    #[error("{0}")]
    Journal(#[from] Broken),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<RotationFault> for farside_service::cli::Failure {
    fn from(fault: RotationFault) -> Self {
        match fault {
            RotationFault::Store(fault) => fault.into(),
            RotationFault::Record(fault) => fault.into(),
            RotationFault::Journal(fault) => fault.into(),
            RotationFault::Roles(fault) => fault.into(),
            fault => {
                Self::could_not(fault.to_string()).hint("it is tried again each minute; see `mint status`")
            }
        }
    }
}

impl Rotation {
    /// One round: writes down which keys took over, and destroys what has ended. Answers what is gone, for
    /// whoever holds it open.
    ///
    /// # Errors
    /// [`RotationFault`]; what was done is written down, and the rest is tried again.
    pub fn round(&self, scene: &Scene<'_>) -> Result<Gone, RotationFault> {
        takeover::round(scene)?;
        let mut memory = self.memory();
        if scene.now < memory.not_before {
            return Ok(Gone::default());
        }
        let mut due = destroy::due(scene)?;
        due.extend(memory.roles_due(scene)?);
        if !memory.looked_back {
            due.extend(destroy::returned(scene)?);
        }
        // keys.md §5.4
        if scene.doubt.is_some() {
            due.retain(|ending| ending.rests == Rests::OnPeople);
        }
        let ended = destroy::carry_out(scene, &due)?;
        memory.looked_back = true;
        memory.tell(ended.failed, scene.now);
        Ok(ended.gone)
    }

    // Who panicked while holding it has left it whole: each step is one assignment.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Looks at the mint's own keys when the charter has changed, and now and then for what waits.
    fn roles_due(&mut self, scene: &Scene<'_>) -> Result<Vec<Ending>, RotationFault> {
        let version = scene.store.charter_version()?;
        let again = |(known, at): (u64, u64)| known != version || scene.now >= at + RETRY_SECONDS;
        if !self.roles_looked_at.is_none_or(again) {
            return Ok(Vec::new());
        }
        let due = roles::due(scene)?;
        self.roles_looked_at = Some((version, scene.now));
        Ok(due)
    }

    /// Says each failure once, for as long as it lasts.
    fn tell(&mut self, failed: Vec<RotationFault>, now: u64) {
        let failed: BTreeSet<String> = failed.iter().map(RotationFault::to_string).collect();
        for news in failed.difference(&self.failed) {
            tracing::error!(reason = news, "a private key outlives its use");
        }
        if !failed.is_empty() {
            self.not_before = now.saturating_add(RETRY_SECONDS);
        }
        metrics::gauge!("farside_mint_keys_not_destroyed").set(failed.len() as f64);
        self.failed = failed;
    }
}
