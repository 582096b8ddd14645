//! The replay store: what may be seen once, and has been.
//!
//! ```text
//!   Pending ─▶ take ─┬─ disk    this gate's own: sets in memory, a log behind them
//!                    └─ shared  one Redis for several gates
//! ```
//!
//! It is bounded and never lets go what has not expired: full means that nobody more is admitted. What it
//! could not remember was not admitted. What it has lost counts as used.

mod disk;
pub(crate) mod keeper;
mod record;
mod seen;
mod settings;
mod shared;
mod shares;
pub mod shown;

use std::sync::atomic::{AtomicBool, Ordering};

use farside_service::cli::{Failure, OrFailure as _};
use farside_verify::{Code, Refusal};

use self::disk::{Disk, DiskUntaken, Found, OpenFault, Past};
use self::seen::Untaken;
use self::shared::{Asked, Began, Shared, SharedFault, SharedUntaken};
use self::shares::Shares;
use crate::config::Config;
use crate::judge::{Kind, Once};
use crate::store::{self, KeptBy, Store};

pub(crate) use settings::Table;
pub use settings::{ENTRIES_MAX_DEFAULT, RedisSettings, Settings};

/// What this gate has seen that may be seen once.
#[derive(Debug)]
pub struct Replay {
    keeps: Keeps,
    shares: Shares,
    entries_max: u64,
    /// What had been lost when this was opened, if anything.
    lost: Option<u64>,
    /// It was full, and that has been told.
    full: AtomicBool,
}

/// What looking after a store found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tended {
    /// How many entries are remembered.
    pub entries: u64,
    /// Until when what was used is not known, where that has just been noticed.
    pub lost: Option<u64>,
}

#[derive(Debug)]
enum Keeps {
    Disk(Box<Disk>),
    Shared {
        store: Box<Shared>,
        /// This gate has taken entries elsewhere; until a connection has told of it.
        elsewhere: AtomicBool,
    },
}

impl Replay {
    /// Opens the store that `gate.toml` names, as the one process that does. Nothing is asked of a Redis yet:
    /// see [`Replay::meet`].
    ///
    /// # Errors
    /// The gate's own store is damaged, or another process has it.
    pub fn open(config: &Config, trust: &Store, now: u64) -> Result<Replay, Failure> {
        let kept_by = trust.read(store::replay_kept_by)?;
        let (keeps, replay) = match &config.replay.redis {
            None => (KeptBy::Disk, Replay::on_disk(config, kept_by, now)?),
            Some(settings) => {
                let store = Shared::new(settings.clone(), &config.site, config.replay.entries_max);
                // What stands on this gate's disk no other gate knows.
                let elsewhere = kept_by == KeptBy::Disk && shown::entries_on_disk(config, now)? > 0;
                let keeps = Keeps::Shared { store: Box::new(store), elsewhere: AtomicBool::new(elsewhere) };
                (KeptBy::Redis, Replay::of(keeps, config, None))
            }
        };
        if kept_by != keeps {
            trust.write(|tx| store::set_replay_kept_by(tx, keeps))?;
        }
        Ok(replay)
    }

    /// Connects to the Redis, where there is one. One that is away is waited for, and nobody enters
    /// meanwhile. Returns until when what was used is not known, where something has been lost.
    ///
    /// # Errors
    /// The Redis would let go what has not expired, or its password or a certificate cannot be read.
    pub async fn meet(&self, now: u64) -> Result<Option<u64>, Failure> {
        let Keeps::Shared { store, elsewhere } = &self.keeps else { return Ok(self.lost) };
        match connect(store, elsewhere, now).await {
            Ok(lost) => Ok(lost),
            Err(fault) if fault.is_of_the_configuration() => Err(fault.into()),
            Err(fault) => {
                tracing::error!(%fault, "nothing that counts once is admitted");
                Ok(None)
            }
        }
    }

    /// Lets go what has expired, and looks after the way to the Redis: to be called every second or so.
    ///
    /// # Errors
    /// It cannot be done now; where there is a Redis, nobody enters until it can.
    pub async fn tend(&self, now: u64) -> Result<Tended, Failure> {
        self.shares.forget(now);
        match &self.keeps {
            Keeps::Disk(disk) => {
                disk.tidy(now).await.or_could_not(|| "tidy the replay store".to_owned())?;
                Ok(Tended { entries: disk.entries(), lost: None })
            }
            Keeps::Shared { store, elsewhere } => {
                let lost = if store.is_live() { None } else { connect(store, elsewhere, now).await? };
                Ok(Tended { entries: store.tend(now).await?, lost })
            }
        }
    }

    fn on_disk(config: &Config, kept_by: KeptBy, now: u64) -> Result<Replay, Failure> {
        let past = match kept_by {
            KeptBy::Nothing => Past::None,
            KeptBy::Disk => Past::Here,
            KeptBy::Redis => Past::Elsewhere,
        };
        let opened = Disk::open(&config.replay_folder(), config.replay.entries_max, past, now);
        let (disk, found) = opened.map_err(|fault| unopened(&fault, config))?;
        let lost = match found {
            Found::Whole | Found::New => None,
            Found::Lost { at } => Some(at),
        };
        Ok(Replay::of(Keeps::Disk(Box::new(disk)), config, lost))
    }

    fn of(keeps: Keeps, config: &Config, lost: Option<u64>) -> Replay {
        let Settings { entries_max, holder_entries_max, .. } = config.replay;
        let shares = Shares::new(holder_entries_max);
        Replay { keeps, shares, entries_max, lost, full: AtomicBool::new(false) }
    }

    /// Remembers all of these, durably, or none. Of two requests that bring the same one, exactly one is told
    /// so.
    ///
    /// # Errors
    /// `replayed`, `replay_full`, `replay_unavailable`.
    // replay.md §3
    pub async fn take(&self, once: &[Once], now: u64) -> Result<(), Refusal> {
        if !self.shares.have_room(once) {
            // Whoever shows again what was used is told that.
            self.look(once).await?;
            return Err(self.share_used_up());
        }
        match &self.keeps {
            Keeps::Disk(disk) => disk.take(once, now).await.map_err(|why| match why {
                DiskUntaken::Untaken(untaken) => self.refusal(&untaken),
                fault => unavailable(&fault),
            }),
            Keeps::Shared { store, .. } => self.ask(store, once, Asked::Take).await,
        }?;
        self.shares.took(once);
        Ok(())
    }

    /// One holder's proofs fill what is one holder's; all others go on.
    // replay.md §3.4
    fn share_used_up(&self) -> Refusal {
        metrics::counter!("farside_gate_replay_share_used_up_total").increment(1);
        let cure = "Wait until some have expired, or raise `holder_entries_max` in [replay] of gate.toml.";
        let detail = format!("{} proofs of this holder are remembered already", self.shares.most());
        Refusal::new(Code::ReplayFull, detail, cure)
    }

    /// Whether these could be taken now. Takes nothing.
    ///
    /// # Errors
    /// As [`Replay::take`].
    pub async fn look(&self, once: &[Once]) -> Result<(), Refusal> {
        match &self.keeps {
            Keeps::Disk(disk) => disk.look(once).map_err(|untaken| self.refusal(&untaken)),
            Keeps::Shared { store, .. } => self.ask(store, once, Asked::Look).await,
        }
    }

    async fn ask(&self, store: &Shared, once: &[Once], asked: Asked) -> Result<(), Refusal> {
        store.ask(once, asked).await.map_err(|why| match why {
            SharedUntaken::Untaken(untaken) => self.refusal(&untaken),
            SharedUntaken::Fault(fault) => unavailable(&fault),
        })
    }

    fn refusal(&self, untaken: &Untaken) -> Refusal {
        let (code, cure) = match untaken {
            Untaken::Full(entries_max) => {
                if !self.full.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        entries_max,
                        "the replay store is full: nothing more that counts once is admitted"
                    );
                }
                metrics::counter!("farside_gate_replay_full_total").increment(1);
                (Code::ReplayFull, "")
            }
            Untaken::Seen(kind) | Untaken::Forgotten(kind) | Untaken::Before(kind, _) => match kind {
                Kind::Token => (Code::Replayed, "Ask for a new token for each request."),
                Kind::Proof => (Code::Replayed, "Make a new proof for each request."),
            },
        };
        Refusal::new(code, untaken.to_string(), cure)
    }
}

/// Connects anew, and tells what this gate knows that the store does not. Returns until when what was used is
/// not known, where something has been lost.
async fn connect(store: &Shared, elsewhere: &AtomicBool, now: u64) -> Result<Option<u64>, SharedFault> {
    let began = store.connect(now, elsewhere.load(Ordering::Relaxed)).await?;
    elsewhere.store(false, Ordering::Relaxed);
    Ok(match began {
        Began::Whole => None,
        Began::Lost { since } => Some(since),
    })
}

impl From<SharedFault> for Failure {
    fn from(fault: SharedFault) -> Failure {
        let cure = fault.cure();
        Failure::could_not(fault.to_string()).hint(cure)
    }
}

/// What has been looked for in vain is in the log; the client learns that it cannot be judged.
fn unavailable(fault: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%fault, "what counts once cannot be remembered");
    metrics::counter!("farside_gate_replay_failures_total").increment(1);
    Refusal::new(Code::ReplayUnavailable, "", "")
}

fn unopened(fault: &OpenFault, config: &Config) -> Failure {
    let folder = config.replay_folder();
    Failure::could_not(format!("open the replay store: {fault}")).hint(format!(
        "end the other gate; or, if it is damaged, move {} away: what was issued until then enters no \
         single-use audience any more",
        folder.display()
    ))
}
