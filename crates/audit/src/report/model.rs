//! What the report says, counted once: the page and the JSON are two spellings of it.

use std::collections::{BTreeMap, HashMap};

use farside_crossing::evidence::RevokedKind;
use serde::Serialize;

use super::controls::{Control, controls};
use super::glass::{self, Broken};
use crate::evidence::{Act, BundleRefused, Carriage, Check, Evidence, Far, Leaf, Near};
use crate::finding::{Code, Finding, Gravity};
use crate::life::{Life, State};
use crate::reconcile::scope;

const DAY_SECONDS: u64 = 86_400;

/// Everything on the page.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) realm: String,
    /// When the exports were made: the newest of them.
    pub(super) exported_at: u64,
    /// First and last moment of which anything is told.
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) scope: Vec<String>,
    pub(super) alarms: u64,
    pub(super) notices: u64,
    pub(super) figures: Figures,
    pub(super) counts: Vec<Counted>,
    pub(super) findings: Vec<Finding>,
    /// Orders of broken glass; `None` where no gate's export was brought.
    pub(super) breakglass: Option<Vec<Broken>>,
    pub(super) days: Vec<Day>,
    pub(super) refusals: BTreeMap<String, u64>,
    pub(super) bundles: Vec<Life>,
    pub(super) bundles_refused: Vec<BundleRefused>,
    pub(super) not_carried: Vec<Carriage>,
    pub(super) media: Vec<Medium>,
    pub(super) keys: Vec<KeyUse>,
    pub(super) revocations: Vec<Revoked>,
    pub(super) checks: Vec<Check>,
    pub(super) controls: Vec<Control>,
    pub(super) acts: Vec<Act>,
}

/// The numbers at the top. `None` where what was brought cannot tell.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) issued: Option<u64>,
    pub(super) void: Option<u64>,
    pub(super) carried: Option<u64>,
    pub(super) admitted: Option<u64>,
    pub(super) refused: Option<u64>,
    pub(super) revoked_tried: Option<u64>,
    pub(super) bundles_made: Option<u64>,
    pub(super) bundles_applied: Option<u64>,
    pub(super) bundles_missing: u64,
    pub(super) decisions: u64,
}

/// How often one thing was found.
#[derive(Debug, Serialize)]
pub(super) struct Counted {
    pub(super) gravity: Gravity,
    pub(super) code: Code,
    pub(super) count: u64,
    pub(super) sentence: &'static str,
}

/// One day, UTC.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Day {
    /// Its first second.
    pub(super) day: u64,
    pub(super) issued: u64,
    pub(super) admitted: u64,
    pub(super) refused: u64,
}

/// A medium, by what ferries could tell of it.
#[derive(Debug, Serialize)]
pub(super) struct Medium {
    pub(super) medium: String,
    pub(super) lane: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// A key, its calendar, and what it did.
#[derive(Debug, Serialize)]
pub(super) struct KeyUse {
    pub(super) site: String,
    pub(super) kid: String,
    pub(super) algorithm: Option<String>,
    pub(super) sign_from: Option<u64>,
    pub(super) sign_until: Option<u64>,
    pub(super) accept_until: Option<u64>,
    pub(super) signed: u64,
    pub(super) first_signed: Option<u64>,
    pub(super) last_signed: Option<u64>,
    pub(super) admitted: u64,
    pub(super) last_admitted: Option<u64>,
    pub(super) revoked_at: Option<u64>,
    /// When its private half was destroyed: by the journals, else by the mint's word.
    pub(super) destroyed_at: Option<u64>,
}

/// A revocation and its way.
#[derive(Debug, Serialize)]
pub(super) struct Revoked {
    pub(super) site: String,
    pub(super) kind: RevokedKind,
    pub(super) what: String,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) at: u64,
    /// When a gate of the site first applied a bundle that was made later.
    pub(super) known_at: Option<u64>,
}

impl Report {
    pub(super) fn of(evidence: &Evidence, lives: Vec<Life>) -> Report {
        let days = days(evidence);
        let made = evidence.near.iter().map(|near| near.made_at);
        let exported_at = made.chain(evidence.far.iter().map(|far| far.made_at)).max().unwrap_or(0);
        let (from, until) = period(evidence, &lives);
        let findings = &evidence.findings;
        let counted = |(gravity, code, count): (Gravity, Code, u64)| {
            let sentence = code.sentence();
            Counted { gravity, code, count, sentence }
        };
        let mut report = Report {
            realm: evidence.realm().to_owned(),
            exported_at,
            from,
            until,
            scope: scope(evidence),
            alarms: findings.total(Gravity::Alarm),
            notices: findings.total(Gravity::Notice),
            figures: figures(evidence, &lives),
            counts: findings.counts().map(counted).collect(),
            findings: findings.listed().into_iter().cloned().collect(),
            breakglass: (!evidence.far.is_empty()).then(|| glass::of(evidence)),
            days,
            refusals: refusals(evidence),
            bundles: lives,
            bundles_refused: evidence.far.iter().flat_map(|far| far.bundles_refused.clone()).collect(),
            not_carried: not_carried(evidence),
            media: media(evidence),
            keys: keys(evidence),
            revocations: revocations(evidence),
            checks: evidence.checks.clone(),
            controls: Vec::new(),
            acts: evidence.acts.clone(),
        };
        report.acts.sort_by_key(|act| act.at);
        report.controls = controls(&report);
        report
    }
}

fn leaves(near: &Near) -> impl Iterator<Item = &Leaf> {
    near.log.shards.values().flat_map(|shard| &shard.leaves)
}

fn figures(evidence: &Evidence, lives: &[Life]) -> Figures {
    let mut figures = Figures::default();
    if let Some(near) = &evidence.near {
        let (tokens, void): (Vec<&Leaf>, Vec<&Leaf>) = leaves(near).partition(|leaf| leaf.token.is_some());
        (figures.issued, figures.void) = (Some(tokens.len() as u64), Some(void.len() as u64));
        figures.carried = Some(carried(near));
        figures.bundles_made = Some(near.bundles.values().map(|of_site| of_site.len() as u64).sum());
    }
    if !evidence.far.is_empty() {
        let sum = |count: fn(&Far) -> u64| evidence.far.iter().map(count).sum::<u64>();
        figures.admitted = Some(sum(|far| far.admitted.len() as u64));
        figures.refused = Some(sum(|far| far.refused.values().sum()));
        figures.revoked_tried = Some(sum(|far| far.refused.get("revoked").copied().unwrap_or(0)));
        let applied = lives.iter().filter(|life| life.state == State::Applied);
        figures.bundles_applied = Some(applied.count() as u64);
        figures.decisions = figures.admitted.unwrap_or(0) + figures.refused.unwrap_or(0);
    }
    figures.bundles_missing = lives.iter().filter(|life| life.state == State::Missing).count() as u64;
    figures
}

/// Tokens before the last leaf that any bundle of their site carried.
fn carried(near: &Near) -> u64 {
    let of_shard = |(name, shard): (&String, &crate::evidence::Shard<Leaf>)| {
        let bundles = near.bundles.get(Near::site_of(name)).into_iter().flat_map(BTreeMap::values);
        let until = bundles.filter_map(|made| made.leaves.get(name)).max().copied().unwrap_or(0);
        let until = usize::try_from(until).unwrap_or(usize::MAX);
        shard.leaves.iter().take(until).filter(|leaf| leaf.token.is_some()).count() as u64
    };
    near.log.shards.iter().map(of_shard).sum()
}

fn days(evidence: &Evidence) -> Vec<Day> {
    let mut days: BTreeMap<u64, Day> = BTreeMap::new();
    let mut on = |day: u64, add: fn(&mut Day) -> &mut u64, count: u64| {
        *add(days.entry(day).or_default()) += count;
    };
    for leaf in evidence.near.iter().flat_map(leaves).filter(|leaf| leaf.token.is_some()) {
        on(leaf.at / DAY_SECONDS, |day| &mut day.issued, 1);
    }
    for far in &evidence.far {
        far.admitted.iter().for_each(|seen| on(seen.at / DAY_SECONDS, |day| &mut day.admitted, 1));
        far.refused_days.iter().for_each(|(day, count)| on(*day, |day| &mut day.refused, *count));
    }
    days.into_iter().map(|(day, counts)| Day { day: day * DAY_SECONDS, ..counts }).collect()
}

/// From the first bundle or token to the last.
fn period(evidence: &Evidence, lives: &[Life]) -> (u64, u64) {
    let made = lives.iter().filter_map(|life| life.made_at);
    let applied = lives.iter().flat_map(|life| &life.applied).map(|applied| applied.at);
    let issued = evidence.near.iter().flat_map(leaves).map(|leaf| leaf.at);
    let admitted = evidence.far.iter().flat_map(|far| &far.admitted).map(|seen| seen.at);
    let all = made.chain(applied).chain(issued).chain(admitted);
    let (from, until) = all.fold((u64::MAX, 0), |(from, until), at| (from.min(at), until.max(at)));
    (from.min(until), until)
}

fn refusals(evidence: &Evidence) -> BTreeMap<String, u64> {
    let mut refusals = BTreeMap::new();
    for (code, count) in evidence.far.iter().flat_map(|far| &far.refused) {
        *refusals.entry(code.clone()).or_insert(0) += count;
    }
    refusals
}

fn not_carried(evidence: &Evidence) -> Vec<Carriage> {
    let failed = evidence.carriages.iter().filter(|seen| seen.event.starts_with("not_"));
    failed.cloned().collect()
}

fn media(evidence: &Evidence) -> Vec<Medium> {
    let mut media: BTreeMap<(String, String), Medium> = BTreeMap::new();
    for seen in &evidence.carriages {
        let name = seen.medium.clone().unwrap_or_default();
        let medium = media.entry((seen.lane.clone(), name.clone())).or_insert_with(|| Medium {
            medium: name,
            lane: seen.lane.clone(),
            sent: 0,
            received: 0,
            first: seen.at,
            last: seen.at,
        });
        match seen.event.as_str() {
            "sent" => medium.sent += 1,
            "received" => medium.received += 1,
            _ => {}
        }
        (medium.first, medium.last) = (medium.first.min(seen.at), medium.last.max(seen.at));
    }
    media.into_values().collect()
}

fn keys(evidence: &Evidence) -> Vec<KeyUse> {
    let mut keys: BTreeMap<(String, String), KeyUse> = BTreeMap::new();
    let near = evidence.near.iter().flat_map(|near| &near.keys);
    for row in near.chain(evidence.far.iter().flat_map(|far| &far.keys)) {
        let place = (row.site.clone(), row.kid.clone());
        keys.entry(place).or_insert_with(|| KeyUse {
            site: row.site.clone(),
            kid: row.kid.clone(),
            algorithm: row.algorithm.clone(),
            sign_from: row.sign_from,
            sign_until: row.sign_until,
            accept_until: row.accept_until,
            signed: 0,
            first_signed: None,
            last_signed: None,
            admitted: 0,
            last_admitted: None,
            revoked_at: revoked_at(evidence, &row.site, &row.kid),
            destroyed_at: evidence.destroyed.get(&row.kid).copied().or(row.destroyed_at),
        });
    }
    let signed =
        span(evidence.near.iter().flat_map(leaves).filter_map(|leaf| Some((leaf.token?.kid, leaf.at))));
    let admitted = span(evidence.far.iter().flat_map(|far| &far.admitted).map(|seen| (seen.kid, seen.at)));
    for key in keys.values_mut() {
        let number = evidence.names.find(&key.kid);
        if let Some((count, first, last)) = number.and_then(|number| signed.get(&number)) {
            (key.signed, key.first_signed, key.last_signed) = (*count, Some(*first), Some(*last));
        }
        if let Some((count, _, last)) = number.and_then(|number| admitted.get(&number)) {
            (key.admitted, key.last_admitted) = (*count, Some(*last));
        }
    }
    keys.into_values().collect()
}

/// For each number how often it came, when first and when last.
fn span(seen: impl Iterator<Item = (u32, u64)>) -> HashMap<u32, (u64, u64, u64)> {
    let mut spans = HashMap::new();
    for (number, at) in seen {
        let (count, first, last) = spans.entry(number).or_insert((0, at, at));
        (*count, *first, *last) = (*count + 1, (*first).min(at), (*last).max(at));
    }
    spans
}

fn revoked_at(evidence: &Evidence, site: &str, kid: &str) -> Option<u64> {
    let rows = evidence.near.iter().flat_map(|near| &near.revocations);
    let mut of_key = rows.filter(|row| row.kind == RevokedKind::Key && row.site == site && row.what == kid);
    let held = || {
        let status = evidence.far.iter().filter(|far| far.site == site).filter_map(|far| far.status.as_ref());
        status.flat_map(|status| status.keys()).find(|key| key.kid == kid).map(|key| key.at)
    };
    of_key.next().map(|row| row.at).or_else(held)
}

fn revocations(evidence: &Evidence) -> Vec<Revoked> {
    let rows = evidence.near.iter().flat_map(|near| &near.revocations);
    let revoked = rows.map(|row| {
        let gates = evidence.far.iter().filter(|far| far.site == row.site);
        Revoked {
            site: row.site.clone(),
            kind: row.kind,
            what: row.what.clone(),
            reason: row.reason.clone(),
            by: row.by.clone(),
            at: row.at,
            known_at: gates.filter_map(|far| far.known_since(row)).min(),
        }
    });
    revoked.collect()
}
