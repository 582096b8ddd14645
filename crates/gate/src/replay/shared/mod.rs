//! The replay store that several gates share: a Redis or Valkey that evicts nothing.
//!
//! ```text
//!   gate A ─┐            ┌ mark   epoch · run · durable · evicted · since · forgotten · entries
//!   gate B ─┼─▶ scripts ─┼ spans  which sets there are
//!   gate C ─┘            └ sets   the keys whose ends lie in one span of time
//! ```
//!
//! Each script is one step for all gates. No key has an expiry of Redis' own: its clock is nobody's guard, so
//! gates let go by theirs, as they do on their disks. Whether Redis still knows what it was told is asked at
//! each connection and every second; a Redis that may have forgotten begins a new epoch, in which whatever
//! can have been shown before is refused. Where it does not answer, nobody enters.

mod connect;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::RedisError;

use self::connect::Live;
use super::seen::{SPAN_SECONDS, Untaken, short, span};
use super::settings::RedisSettings;
use crate::judge::Once;

/// How long Redis is waited for, to connect and to answer.
pub(crate) const REDIS_WAIT: Duration = Duration::from_secs(1);

/// Most sets that are let go at once.
const FORGOTTEN_AT_ONCE_MAX: usize = 256;

const TAKE: &str = include_str!("take.lua");
const FORGET: &str = include_str!("forget.lua");

/// A Redis, connected to or not.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: RedisSettings,
    prefix: String,
    entries_max: u64,
    live: ArcSwapOption<Live>,
}

/// What a new connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Began {
    /// All that was ever taken is known.
    Whole,
    /// It is not: what can have been shown until then is refused.
    Lost {
        /// When that was noticed.
        since: u64,
    },
}

/// Why a shared store cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedFault {
    /// It failed, or did not answer in time.
    #[error("Redis at {place} does not do what it is asked: {error}")]
    Redis {
        /// Where.
        place: String,
        /// What was said.
        error: RedisError,
    },
    /// It would let go what has not expired.
    #[error("Redis at {place} has maxmemory-policy {policy}, and so would let go what has not expired")]
    Evicts {
        /// Where.
        place: String,
        /// What it says.
        policy: String,
    },
    /// What it answers is not what our scripts say.
    #[error("Redis at {place} answers something else than was asked")]
    Strange {
        /// Where.
        place: String,
    },
    /// Something has changed there since it was connected to.
    #[error("Redis at {place} may have lost what it was told")]
    Changed {
        /// Where.
        place: String,
    },
    /// The password cannot be read.
    #[error("the password for Redis at {place} cannot be read: {reason}")]
    Password {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// The files for TLS cannot be used.
    #[error("the certificates for Redis at {place} cannot be used: {reason}")]
    Tls {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// There is no connection now.
    #[error("Redis at {place} is away")]
    Away {
        /// Where.
        place: String,
    },
}

/// Why entries were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedUntaken {
    /// They, or the store, do not allow it.
    #[error("{0}")]
    Untaken(Untaken),
    /// Nobody can tell.
    #[error(transparent)]
    Fault(#[from] SharedFault),
}

/// Whether entries are taken, or only looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Take,
    Look,
}

impl SharedFault {
    /// Whether waiting mends nothing: what it is told, or what this gate is told of it, is wrong.
    pub(crate) fn is_of_the_configuration(&self) -> bool {
        matches!(self, Self::Evicts { .. } | Self::Password { .. } | Self::Tls { .. })
    }

    /// What to do about it.
    pub(crate) fn cure(&self) -> &'static str {
        match self {
            SharedFault::Evicts { .. } => {
                "Set `maxmemory-policy noeviction` in that Redis, and give this gate one of its own if others \
                 need it otherwise."
            }
            SharedFault::Password { .. } => {
                "Write the password alone into the file that redis_password_file names, with mode 0600."
            }
            SharedFault::Tls { .. } => {
                "Have redis_ca, redis_certificate and redis_key name PEM files that this gate can read, the key \
                 with mode 0600."
            }
            _ => "Start that Redis, or mend the way to it; this gate connects again by itself.",
        }
    }
}

impl Shared {
    /// The store of a site, not connected to yet.
    pub(crate) fn new(settings: RedisSettings, site: &str, entries_max: u64) -> Shared {
        // The braces keep a site's keys on one node of a cluster.
        let prefix = format!("farside:{{{site}}}:replay:");
        Shared { settings, prefix, entries_max, live: ArcSwapOption::empty() }
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> &str {
        self.settings.place()
    }

    /// Whether it is connected to.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load().is_some()
    }

    /// Takes all of these, or none; or looks whether they could be taken.
    // replay.md §6
    pub(crate) async fn ask(&self, once: &[Once], asked: Asked) -> Result<(), SharedUntaken> {
        let live =
            self.live.load_full().ok_or_else(|| SharedFault::Away { place: self.place().to_owned() })?;
        let mut command = redis::cmd("EVALSHA");
        command.arg(&live.take_sha).arg(once.len() + 2).arg(self.mark()).arg(self.spans());
        for one in once {
            command.arg(self.set(span(one.until())));
        }
        command.arg(&live.epoch).arg(self.entries_max).arg(u8::from(asked == Asked::Take));
        for one in once {
            command.arg(span(one.until())).arg(one.until()).arg(one.from()).arg(&short(one.key())[..]);
        }
        let mut connection = live.connection.clone();
        let said: Result<(String, usize, u64), RedisError> = command.query_async(&mut connection).await;
        let said = said.map_err(|error| self.lost_sight(&live, self.failed(error)))?;
        self.understood(&live, once, &said)
    }

    /// Looks whether the connection still stands and nothing was lost, and lets go what has expired. Returns
    /// how many entries are remembered.
    pub(crate) async fn tend(&self, now: u64) -> Result<u64, SharedFault> {
        let live =
            self.live.load_full().ok_or_else(|| SharedFault::Away { place: self.place().to_owned() })?;
        let tended = async {
            self.unchanged(&live).await?;
            self.forget(&live, now).await?;
            self.entries(&live).await
        };
        tended.await.map_err(|fault| self.lost_sight(&live, fault))
    }

    async fn forget(&self, live: &Live, now: u64) -> Result<(), SharedFault> {
        let Some(newest) = (now / SPAN_SECONDS).checked_sub(1) else { return Ok(()) };
        let mut connection = live.connection.clone();
        let mut ended = redis::cmd("ZRANGEBYSCORE");
        ended.arg(self.spans()).arg("-inf").arg(newest).arg("LIMIT").arg(0).arg(FORGOTTEN_AT_ONCE_MAX);
        let ended: Vec<u64> = ended.query_async(&mut connection).await.map_err(|error| self.failed(error))?;
        for span in ended {
            let mut forget = redis::cmd("EVALSHA");
            forget.arg(&live.forget_sha).arg(3).arg(self.mark()).arg(self.spans()).arg(self.set(span));
            forget.arg(&live.epoch).arg(span).arg((span + 1).saturating_mul(SPAN_SECONDS));
            let _gone: u64 = forget.query_async(&mut connection).await.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    async fn entries(&self, live: &Live) -> Result<u64, SharedFault> {
        let mut connection = live.connection.clone();
        let mut entries = redis::cmd("HGET");
        entries.arg(self.mark()).arg("entries");
        let entries: Option<u64> =
            entries.query_async(&mut connection).await.map_err(|error| self.failed(error))?;
        entries.ok_or_else(|| SharedFault::Changed { place: self.place().to_owned() })
    }

    fn understood(
        &self,
        live: &Arc<Live>,
        once: &[Once],
        (word, which, number): &(String, usize, u64),
    ) -> Result<(), SharedUntaken> {
        let place = self.place().to_owned();
        let kind = which.checked_sub(1).and_then(|which| once.get(which)).map(Once::kind);
        Err(SharedUntaken::Untaken(match (word.as_str(), kind) {
            ("taken", _) => return Ok(()),
            ("full", _) => Untaken::Full(self.entries_max),
            ("seen", Some(kind)) => Untaken::Seen(kind),
            ("forgotten", Some(kind)) => Untaken::Forgotten(kind),
            ("before", Some(kind)) => Untaken::Before(kind, *number),
            ("other", _) => return Err(self.lost_sight(live, SharedFault::Changed { place }).into()),
            _ => return Err(self.lost_sight(live, SharedFault::Strange { place }).into()),
        }))
    }

    /// Whoever comes next is refused at once, until a new connection stands.
    fn lost_sight(&self, live: &Arc<Live>, fault: SharedFault) -> SharedFault {
        if self.live.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            self.live.store(None);
        }
        fault
    }

    fn failed(&self, error: RedisError) -> SharedFault {
        SharedFault::Redis { place: self.place().to_owned(), error }
    }

    fn mark(&self) -> String {
        format!("{}mark", self.prefix)
    }

    fn spans(&self) -> String {
        format!("{}spans", self.prefix)
    }

    fn set(&self, span: u64) -> String {
        format!("{}{span}", self.prefix)
    }
}
