//! What this gate trusts, how fresh it is, until when, what is missing and what happens next: one picture for
//! people, the same one for programs.
//!
//! ```text
//!   store, trust ──look──▶ Status ──▶ show (people)
//!                  next ──────┘  └──▶ JSON (programs)
//! ```

pub mod next;
mod show;

use farside_crossing::Action;
use farside_service::cli::Failure;
use farside_service::digest::hex;
use farside_service::time::read_clocks;
use rusqlite::Transaction;
use serde::Serialize;

use self::next::Coming;
use crate::breakglass::shown::GlassShown;
use crate::clock::{Moment, Seen};
use crate::config::Config;
use crate::freshness::{Freshness, doing};
use crate::published::PublishedKey;
use crate::quarantine;
use crate::replay::shown::ReplayShown;
use crate::revocations::Counts;
use crate::store::{self, AppliedRow, ForkRow, LogForkRow, LogRow, MissingRow, ParcelCounts, StoreFault};
use crate::trust::{self, Gate, TrustState};

/// The whole picture, as `status --json` prints it. Times are Unix seconds.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The site.
    pub site: String,
    /// The realm, once a charter is trusted.
    pub realm: Option<String>,
    /// The newest charter.
    pub charter: Option<CharterShown>,
    /// Issuer of this site's tokens.
    pub issuer: Option<String>,
    /// Its audiences.
    pub audiences: Vec<String>,
    /// The bundle applied last.
    pub bundle: Option<AppliedRow>,
    /// `untrusted`, `fresh`, `late` or `expired`.
    pub freshness: &'static str,
    /// Whether a door would judge at all now; if not, why.
    pub ready: bool,
    /// Code and detail of what stands in the way.
    pub not_ready: Option<String>,
    /// Broken glass: orders opened that count now, or did within 30 days.
    pub breakglass: Vec<GlassShown>,
    /// What to do about it; empty where nothing stands in the way.
    pub cure: String,
    /// What each audience is served for, where its policy ends that before the bundle does.
    pub tiers: Vec<Tier>,
    /// What should be here and is not.
    pub missing_now: Vec<Missing>,
    /// What happens by itself from here on, in the order of time.
    pub next: Vec<Coming>,
    /// Every number that never came.
    pub missing: Vec<MissingRow>,
    /// Numbers under which two bundles came.
    pub forks: Vec<Forked>,
    /// Whether the stream is frozen by a fork.
    pub frozen: bool,
    /// The keys and their windows.
    pub keys: Vec<KeyShown>,
    /// How much is revoked.
    pub revoked: Counts,
    /// Live parcels, and how many of them were collected.
    pub parcels: ParcelCounts,
    /// Log leaves held.
    pub leaves: u64,
    /// Each log shard with the newest head that has crossed.
    pub logs: Vec<LogShown>,
    /// Heads of one shard that cannot be of one log.
    pub log_forks: Vec<LogForkRow>,
    /// Refused bundles kept in quarantine.
    pub quarantine: usize,
    /// Older bundles offered since.
    pub superseded: u64,
    /// What is remembered of what counts once.
    pub replay: ReplayShown,
    /// This machine's clock against what is proven.
    pub clock: Seen,
    /// When a decision counts as written down: `strict` or `batched`, as `gate.toml` has it.
    pub audit: &'static str,
}

/// The newest charter.
#[derive(Debug, Serialize)]
pub struct CharterShown {
    /// Its number.
    pub version: u64,
    /// In hexadecimal.
    pub fingerprint: String,
    /// As words.
    pub words: String,
}

/// What one audience is served for.
#[derive(Debug, Serialize)]
pub struct Tier {
    /// The audience.
    pub audience: String,
    /// For this action.
    pub action: Action,
    /// Up to this second, on what is held.
    pub until: u64,
}

impl Tier {
    fn ended(&self, now: u64) -> bool {
        now > self.until
    }

    fn doing(&self) -> &'static str {
        doing(self.action)
    }
}

/// Something that should be here and is not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Missing {
    /// Bundles that were leapt over.
    Hole {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The next bundle, which is late.
    Due {
        /// Its number.
        seq: u64,
        /// Since when.
        since: u64,
    },
}

/// One log shard.
#[derive(Debug, Serialize)]
pub struct LogShown {
    /// Its name.
    pub shard: String,
    /// Leaves under its newest head.
    pub size: u64,
    /// The root over them, in hexadecimal.
    pub root: String,
    /// The bundle that brought this head.
    pub seq: u64,
    /// Leaves before this index are no longer kept.
    pub kept_from: u64,
    /// Heads that tokens brought along and no bundle has confirmed yet.
    pub stapled_heads: u64,
}

/// Two bundles under one number.
#[derive(Debug, Serialize)]
pub struct Forked {
    /// The number.
    pub seq: u64,
    /// Digest of the one applied.
    pub held: String,
    /// Digest of the other.
    pub other: String,
}

/// One key.
#[derive(Debug, Serialize)]
pub struct KeyShown {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub alg: Option<String>,
    /// From when tokens may be signed with it.
    pub sign_from: Option<u64>,
    /// Until when.
    pub sign_until: Option<u64>,
    /// Until when they are believed.
    pub accept_until: Option<u64>,
    /// `signing`, `coming`, `verifying`, `retired` or `revoked`.
    pub state: &'static str,
}

/// Looks at everything this gate holds.
///
/// # Errors
/// The store cannot be read.
pub fn look(config: &Config, now: u64) -> Result<Status, Failure> {
    look_by(config, &Moment::told(now))
}

/// As [`look`], with what is known of the clock.
///
/// # Errors
/// The store cannot be read.
pub fn look_by(config: &Config, moment: &Moment) -> Result<Status, Failure> {
    let now = moment.now;
    let gate = Gate::open(config)?;
    let trust =
        gate.trust().map_err(|refusal| Failure::could_not(refusal.to_string()).hint(refusal.cure()))?;
    let held = gate.store().read(|tx| {
        Ok((
            store::charters(tx)?,
            store::missing(tx)?,
            store::forks(tx)?,
            store::parcel_counts(tx, now)?,
            store::leaf_count(tx)?,
            logs(tx)?,
            store::log_forks(tx)?,
            store::state(tx)?.superseded,
            glasses(tx, now)?,
        ))
    })?;
    let (charters, missing, forks, parcels, leaves, logs, log_forks, superseded, breakglass) = held;
    let ready = trust.ready(now);
    let missing_now = missing_now(&trust, &missing, now);
    Ok(Status {
        site: trust.site().to_owned(),
        realm: trust.realm().map(str::to_owned),
        charter: charters.last().map(|note| shown_charter(note)).transpose()?,
        issuer: trust.issuer().map(str::to_owned),
        audiences: trust.audiences().map(str::to_owned).collect(),
        bundle: trust.applied().cloned(),
        freshness: trust.freshness(now).name(),
        ready: ready.is_ok(),
        not_ready: ready.as_ref().err().map(|refusal| format!("{}: {}", refusal.code(), refusal.detail())),
        cure: ready.err().map(|refusal| refusal.cure().to_owned()).unwrap_or_default(),
        tiers: tiers(&trust),
        missing_now,
        next: next::coming(&trust, now),
        breakglass,
        missing,
        forks: forks.into_iter().map(Forked::from).collect(),
        frozen: trust.frozen(),
        keys: keys(&trust, now),
        revoked: trust.believed().map(|held| held.revocations().counts()).unwrap_or_default(),
        parcels,
        leaves,
        logs,
        log_forks,
        quarantine: quarantine::count(config),
        superseded,
        replay: ReplayShown::look(config, now)?,
        clock: Seen::of(&trust, moment),
        audit: config.audit.as_str(),
    })
}

fn glasses(tx: &Transaction<'_>, now: u64) -> Result<Vec<GlassShown>, StoreFault> {
    let reading = read_clocks();
    let shown = store::breakglass::every(tx)?.into_iter().map(|row| GlassShown::of(row, &reading));
    let told = |glass: &Result<GlassShown, StoreFault>| glass.as_ref().map_or(true, |one| one.is_told(now));
    shown.filter(told).collect()
}

fn tiers(trust: &TrustState) -> Vec<Tier> {
    let audiences = trust.policy().into_iter().flat_map(|policy| &policy.audiences);
    let every = audiences.flat_map(|audience| Action::ALL.map(|action| (audience, action)));
    let own = every.filter(|(audience, action)| audience.stale_seconds_max.own(*action).is_some());
    let tier = |(audience, action)| {
        let until = trust.served_until(audience, action)?;
        Some(Tier { audience: audience.name.clone(), action, until })
    };
    own.filter_map(tier).collect()
}

fn missing_now(trust: &TrustState, holes: &[MissingRow], now: u64) -> Vec<Missing> {
    let due = match trust.freshness(now) {
        Freshness::Late { .. } | Freshness::Expired { .. } => trust.applied(),
        Freshness::Untrusted | Freshness::Fresh => None,
    };
    let due = due.map(|held| Missing::Due { seq: held.seq + 1, since: held.next_by });
    // A hole right before the bundle held is news; one further back was bridged, and has been followed since.
    let fresh = holes.iter().filter(|hole| hole.last + 1 == trust.seq());
    let hole = |hole: &MissingRow| Missing::Hole { first: hole.first, last: hole.last };
    due.into_iter().chain(fresh.map(hole)).collect()
}

impl Status {
    /// Whether nothing of it needs a hand: for whoever watches by exit code.
    pub fn is_sound(&self) -> bool {
        let now = self.clock.now;
        let held = self.ready && self.freshness == "fresh" && !self.frozen && self.missing_now.is_empty();
        let glass = self.breakglass.iter().any(GlassShown::is_broken);
        held && !glass && !self.replay.needs_a_hand() && !self.tiers.iter().any(|tier| tier.ended(now))
    }
}

fn shown_charter(note: &[u8]) -> Result<CharterShown, StoreFault> {
    let trusted = trust::newest_charter(note)?;
    let seen = trusted.fingerprint();
    Ok(CharterShown { version: trusted.version(), fingerprint: seen.hex(), words: seen.words() })
}

fn logs(tx: &Transaction<'_>) -> Result<Vec<LogShown>, StoreFault> {
    let mut shown: Vec<LogShown> = Vec::new();
    for (shard, log) in store::logs(tx)? {
        let stapled_heads = store::count_stapled_heads(tx, &shard)?;
        let LogRow { size, seq, kept_from, root, .. } = log;
        shown.push(LogShown { shard, size, root: hex(&root), seq, kept_from, stapled_heads });
    }
    Ok(shown)
}

impl From<ForkRow> for Forked {
    fn from(row: ForkRow) -> Forked {
        Forked { seq: row.seq, held: row.held, other: row.digest }
    }
}

fn keys(trust: &TrustState, now: u64) -> Vec<KeyShown> {
    let Some(held) = trust.believed() else { return Vec::new() };
    let shown = |key: &PublishedKey| KeyShown {
        kid: key.kid.clone(),
        alg: key.alg.clone(),
        sign_from: key.sign_from,
        sign_until: key.sign_until,
        accept_until: key.accept_until,
        state: match key {
            key if held.revocations().key(&key.kid).is_some() => "revoked",
            key if key.accept_until.is_some_and(|until| now > until) => "retired",
            key if key.sign_from.is_some_and(|from| now < from) => "coming",
            key if key.sign_until.is_some_and(|until| now > until) => "verifying",
            _ => "signing",
        },
    };
    held.keys().iter().map(shown).collect()
}
