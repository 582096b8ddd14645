//! What this gate holds and how fresh it is: one picture for people, the same one for programs.

use farside_service::cli::{Failure, Style, table};
use farside_service::digest::hex;
use farside_service::time::{read_clocks, rfc3339};
use rusqlite::Transaction;
use serde::Serialize;

use crate::breakglass::shown::GlassShown;
use crate::clock::Seen;
use crate::config::Config;
use crate::published::PublishedKey;
use crate::quarantine;
use crate::revocations::Counts;
use crate::store::{self, AppliedRow, ForkRow, LogForkRow, LogRow, MissingRow, ParcelCounts, StoreFault};
use crate::trust::{self, Gate, TrustState};

/// How much of a root people are shown; programs get all of it.
const ROOT_SHOWN_CHARS: usize = 16;

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
    /// Numbers that never came.
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
    /// This machine's clock against what is proven.
    pub clock: Seen,
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
    Ok(Status {
        site: trust.site().to_owned(),
        realm: trust.realm().map(str::to_owned),
        charter: charters.last().map(|note| shown_charter(note)).transpose()?,
        issuer: trust.issuer().map(str::to_owned),
        audiences: trust.audiences().map(str::to_owned).collect(),
        bundle: trust.applied().cloned(),
        freshness: trust.freshness(now).name(),
        ready: ready.is_ok(),
        not_ready: ready.err().map(|refusal| format!("{}: {refusal}", refusal.code())),
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
        clock: Seen::of(&trust, &gate.moment(), now),
    })
}

fn glasses(tx: &Transaction<'_>, now: u64) -> Result<Vec<GlassShown>, StoreFault> {
    let reading = read_clocks();
    let shown = store::breakglass::every(tx)?.into_iter().map(|row| GlassShown::of(row, &reading));
    let told = |glass: &Result<GlassShown, StoreFault>| glass.as_ref().map_or(true, |one| one.is_told(now));
    shown.filter(told).collect()
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

impl Status {
    /// The picture for people.
    pub fn human(&self, style: Style) -> String {
        let mut lines = vec![format!(
            "{} · site {} of {}",
            self.headline(style),
            style.bold(&self.site),
            self.realm.as_deref().unwrap_or("no realm yet"),
        )];
        if let Some(why) = &self.not_ready {
            lines.push(format!("  {}", style.red(why)));
        }
        self.trust_lines(style, &mut lines);
        self.alarm_lines(style, &mut lines);
        self.holding_lines(&mut lines);
        if !self.keys.is_empty() {
            lines.push(String::new());
            lines.push(self.key_table());
        }
        lines.join("\n")
    }

    fn headline(&self, style: Style) -> String {
        match self.freshness {
            _ if !self.ready && self.freshness != "expired" => style.red("NOT READY"),
            "fresh" => style.green("FRESH"),
            "late" => style.yellow("LATE"),
            other => style.red(&other.to_uppercase()),
        }
    }

    fn trust_lines(&self, style: Style, lines: &mut Vec<String>) {
        if let Some(charter) = &self.charter {
            lines.push(format!("  charter   version {}, {}", charter.version, style.dim(&charter.words)));
        }
        if let Some(bundle) = &self.bundle {
            lines.push(format!(
                "  bundle    {} ({}), made {}, applied {}",
                bundle.seq,
                bundle.kind,
                rfc3339(bundle.issued_at),
                rfc3339(bundle.applied_at),
            ));
            lines.push(format!(
                "  next      by {}; this one is good until {}",
                rfc3339(bundle.next_by),
                rfc3339(bundle.not_after),
            ));
        }
        if let Some(issuer) = &self.issuer {
            lines.push(format!("  issuer    {issuer} for {}", self.audiences.join(", ")));
        }
    }

    fn alarm_lines(&self, style: Style, lines: &mut Vec<String>) {
        lines.extend(self.breakglass.iter().map(|glass| glass.line(style)));
        if self.frozen {
            lines
                .push(style.red("  FROZEN    two histories came, of the bundles or of a log; see the forks"));
        }
        for fork in &self.forks {
            lines.push(format!("  fork      bundle {}: {} and {}", fork.seq, fork.held, fork.other));
        }
        for LogForkRow { shard, held_size, held_root, size, root, .. } in &self.log_forks {
            lines.push(format!("  log fork  {shard}: {held_size} {held_root} and {size} {root}"));
        }
        if !self.missing.is_empty() {
            let holes: Vec<String> = self.missing.iter().map(hole).collect();
            lines.push(style.yellow(&format!("  missing   bundles {}", holes.join(", "))));
        }
        lines.extend(self.clock.lines(style));
    }

    fn holding_lines(&self, lines: &mut Vec<String>) {
        lines.push(format!("  revoked   {}", revoked(&self.revoked)));
        lines
            .push(format!("  parcels   {} waiting, {} collected", self.parcels.held, self.parcels.collected));
        for LogShown { shard, size, root, seq, stapled_heads, .. } in &self.logs {
            let waiting = match stapled_heads {
                0 => String::new(),
                heads => format!(", {heads} heads brought by tokens to be confirmed"),
            };
            let root = &root[..ROOT_SHOWN_CHARS];
            lines.push(format!("  log       {shard}: {size} leaves, root {root}…, of bundle {seq}{waiting}"));
        }
        lines.push(format!("  leaves    {} kept for proof of logging", self.leaves));
        lines.push(format!(
            "  refused   {} in quarantine, {} older ones passed over",
            self.quarantine, self.superseded
        ));
    }

    fn key_table(&self) -> String {
        let day = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), rfc3339);
        let row = |key: &KeyShown| {
            let alg = key.alg.clone().unwrap_or_else(|| "-".to_owned());
            vec![
                key.kid.clone(),
                alg,
                key.state.to_owned(),
                day(key.sign_from),
                day(key.sign_until),
                day(key.accept_until),
            ]
        };
        let rows: Vec<Vec<String>> = self.keys.iter().map(row).collect();
        table(&["key", "algorithm", "state", "signs from", "signs until", "believed until"], &rows)
    }
}

fn revoked(counts: &Counts) -> String {
    let Counts { tokens, subjects, clients, groups, keys, all_before } = counts;
    let all = all_before.map_or_else(String::new, |at| format!(", all issued until {}", rfc3339(at)));
    format!("{tokens} tokens, {subjects} subjects, {clients} clients, {groups} groups, {keys} keys{all}")
}

fn hole(missing: &MissingRow) -> String {
    let MissingRow { first, last, .. } = missing;
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}
