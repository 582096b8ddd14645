//! Whether a new status may follow the one held, and what is held afterwards. Nothing is taken back but by a
//! pardon, or once everything that an entry covers has expired.

use std::collections::{BTreeMap, BTreeSet};

use super::bits::Lists;
use super::{RevokedAll, RevokedKey, RevokedName, StatusDocument};
use crate::breakglass;
use crate::pardon::PardonDocument;
use crate::policy::LEEWAY_SECONDS_MAX;
use crate::refusal::{Code, Refusal};

/// How long after its last token has expired an entry still stands: the clocks of the mint, of the gate and
/// of the time floor may each be off by the longest leeway there is.
pub const COVERED_SLACK_SECONDS: u64 = 3 * LEEWAY_SECONDS_MAX;

/// What a subject's entries are called.
const SUBJECT: &str = "subject";

/// What a gate knows by itself of the time that has passed.
#[derive(Clone, Copy)]
pub struct Horizon<'h> {
    /// `issued_at` of the bundle that is judged: the gate's time floor, once it is applied.
    pub issued_at: u64,
    /// The longest token lifetime that any policy has ever allowed here.
    pub lifetime_seconds_highest: u64,
    /// Until when tokens of a key are accepted: 0 for an unknown key, `u64::MAX` for one without end.
    pub key_ends: &'h dyn Fn(&str) -> u64,
}

// bundle.md §7.5
impl Horizon<'_> {
    /// Whether every token issued up to `before` has expired.
    pub fn outlives(&self, before: u64) -> bool {
        self.is_past(before.saturating_add(self.lifetime_seconds_highest))
    }

    /// The same of a subject, whose entry ends break-glass passes as well.
    fn outlives_subject(&self, before: u64) -> bool {
        let passes_end = before.saturating_add(breakglass::LIFETIME_SECONDS_MAX);
        self.outlives(before) && self.is_past(passes_end)
    }

    fn outlives_name(&self, what: &str, before: u64) -> bool {
        if what == SUBJECT { self.outlives_subject(before) } else { self.outlives(before) }
    }

    /// Whether that moment has passed on every clock.
    pub fn is_past(&self, until: u64) -> bool {
        until.saturating_add(COVERED_SLACK_SECONDS) < self.issued_at
    }

    fn is_past_key(&self, kid: &str) -> bool {
        self.is_past((self.key_ends)(kid))
    }
}

/// Refuses a status that takes back what the held one revoked, unless a pardon or the time excuses it.
///
/// `decode` opens `lst` within a number of bytes. For the gate, before it applies a bundle with a full list.
///
/// # Errors
/// `loosening`, naming the first revocation taken back; `malformed` where a list does not decode.
// bundle.md §7.4, §7.5
pub fn judge_change(
    held: &StatusDocument,
    new: &StatusDocument,
    pardon: Option<&PardonDocument>,
    horizon: &Horizon<'_>,
    decode: impl Fn(&str, usize) -> Option<Vec<u8>>,
) -> Result<(), Refusal> {
    judge_tokens(held, new, pardon, horizon, decode)?;
    let pardoned = |of: fn(&PardonDocument) -> &Vec<String>| -> BTreeSet<&str> {
        pardon.iter().flat_map(|pardon| of(pardon)).map(String::as_str).collect()
    };
    // bundle.md §7.11: what the new list says of everything is held from now on.
    let new_all = new.all.as_ref();
    let kinds = [pardoned(|p| &p.subjects), pardoned(|p| &p.clients), pardoned(|p| &p.groups)];
    for (((what, old), (_, new)), pardoned) in held.named().into_iter().zip(new.named()).zip(kinds) {
        let still: BTreeMap<&str, u64> = new.iter().map(|e| (e.name.as_str(), e.before)).collect();
        let covered = |old: &RevokedName| match new_all {
            None => false,
            Some(all) if what == SUBJECT => all.covers_subject(old.before, horizon.issued_at),
            Some(all) => all.covers(old.before),
        };
        let gone = |old: &&RevokedName| {
            !pardoned.contains(old.name.as_str())
                && !horizon.outlives_name(what, old.before)
                && !covered(old)
                && still.get(old.name.as_str()).is_none_or(|before| *before < old.before)
        };
        if old.iter().any(|old| gone(&old)) {
            return Err(loosening(&format!("a revoked {what}")));
        }
    }
    let pardoned = pardoned(|p| &p.keys);
    let still: BTreeSet<&str> = new.keys.iter().map(|k| k.kid.as_str()).collect();
    for old in held.keys.iter().map(|old| old.kid.as_str()) {
        if !still.contains(old) && !pardoned.contains(old) && !horizon.is_past_key(old) {
            return Err(loosening("a revoked key"));
        }
    }
    let old = held.all.as_ref().filter(|old| !horizon.outlives(old.before));
    let still = new.all.as_ref().map_or(0, |new| new.before);
    match old.is_some_and(|old| still < old.before) && !pardon.is_some_and(|pardon| pardon.all) {
        true => Err(loosening("what was issued up to a moment")),
        false => Ok(()),
    }
}

fn judge_tokens(
    held: &StatusDocument,
    new: &StatusDocument,
    pardon: Option<&PardonDocument>,
    horizon: &Horizon<'_>,
    decode: impl Fn(&str, usize) -> Option<Vec<u8>>,
) -> Result<(), Refusal> {
    if held.tokens == new.tokens {
        return Lists::open(&new.tokens, decode).map(drop);
    }
    let pardoned: BTreeSet<(&str, u64)> =
        pardon.iter().flat_map(|p| &p.tokens).map(|t| (t.shard.as_str(), t.index)).collect();
    let (old, new) = (Lists::open(&held.tokens, &decode)?, Lists::open(&new.tokens, &decode)?);
    match old.lost(&new, |until| horizon.is_past(until)).find(|lost| !pardoned.contains(lost)) {
        Some((shard, index)) => Err(loosening(&format!("token {index} of shard {shard}"))),
        None => Ok(()),
    }
}

/// What is held once a delta has been added: everything held before that still covers something, and
/// everything new.
///
/// # Errors
/// `gap` where the delta adds to another status than is held; `malformed` where a list does not decode.
// bundle.md §7.6
pub fn apply_delta(
    held: &StatusDocument,
    delta: &StatusDocument,
    horizon: &Horizon<'_>,
    decode: impl Fn(&str, usize) -> Option<Vec<u8>>,
) -> Result<StatusDocument, Refusal> {
    if delta.since != Some(held.version) {
        let since = delta.since.unwrap_or_default();
        return Err(Refusal::new(Code::Gap, format!("status since {since}; held is {}", held.version)));
    }
    let mut lists = Lists::open(&held.tokens, &decode)?;
    lists.add(&Lists::open(&delta.tokens, &decode)?);
    lists.retain(|until| !horizon.is_past(until));
    let mut keys: BTreeMap<&str, &RevokedKey> = BTreeMap::new();
    for key in delta.keys.iter().chain(held.keys.iter().filter(|key| !horizon.is_past_key(&key.kid))) {
        keys.entry(&key.kid).or_insert(key);
    }
    let furthest = |all: &&RevokedAll| all.before;
    let all = held.all.iter().chain(&delta.all).filter(|all| !horizon.outlives(all.before));
    let all = all.max_by_key(furthest).cloned();
    Ok(StatusDocument {
        realm: delta.realm.clone(),
        site: delta.site.clone(),
        version: delta.version,
        issued_at: delta.issued_at,
        since: None,
        tokens: lists.close(),
        subjects: joined(&held.subjects, &delta.subjects, |before| horizon.outlives_subject(before)),
        clients: joined(&held.clients, &delta.clients, |before| horizon.outlives(before)),
        groups: joined(&held.groups, &delta.groups, |before| horizon.outlives(before)),
        keys: keys.into_values().cloned().collect(),
        all,
    })
}

/// Of each name the entry that reaches furthest.
fn joined(old: &[RevokedName], new: &[RevokedName], outlived: impl Fn(u64) -> bool) -> Vec<RevokedName> {
    let mut names: BTreeMap<&str, &RevokedName> = BTreeMap::new();
    for entry in old.iter().chain(new).filter(|entry| !outlived(entry.before)) {
        let held = names.entry(&entry.name).or_insert(entry);
        if held.before < entry.before {
            *held = entry;
        }
    }
    names.into_values().cloned().collect()
}

fn loosening(what: &str) -> Refusal {
    Refusal::new(Code::Loosening, format!("{what} is no longer listed"))
}
