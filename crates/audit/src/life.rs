//! Every bundle with its life on both sides: made, sent, received, applied, receipted.

use std::collections::BTreeMap;

use farside_crossing::{Digest, Kind};
use serde::Serialize;

use crate::evidence::{Carriage, Evidence};

/// One number of one site.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Life {
    pub(crate) site: String,
    pub(crate) seq: u64,
    pub(crate) kind: Option<Kind>,
    pub(crate) digest: Option<Digest>,
    pub(crate) bytes: Option<u64>,
    pub(crate) made_at: Option<u64>,
    pub(crate) next_by: Option<u64>,
    pub(crate) sent: Vec<Carriage>,
    pub(crate) received: Vec<Carriage>,
    pub(crate) applied: Vec<Application>,
    pub(crate) receipted_at: Option<u64>,
    pub(crate) state: State,
}

/// A gate's part in it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Application {
    pub(crate) gate: String,
    pub(crate) at: u64,
    pub(crate) digest: Digest,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// A gate has applied it.
    Applied,
    /// No gate has, though one has applied a later one.
    Missing,
    /// No gate has yet, as far as is known.
    Underway,
}

/// The lives of all bundles, by site and number.
pub(crate) fn lives(evidence: &Evidence) -> Vec<Life> {
    let mut lives: BTreeMap<(String, u64), Life> = BTreeMap::new();
    if let Some(near) = &evidence.near {
        for made in near.bundles.values().flat_map(BTreeMap::values) {
            let life = life(&mut lives, &made.site, made.seq);
            (life.kind, life.digest, life.bytes) = (Some(made.kind), Some(made.digest), Some(made.bytes));
            (life.made_at, life.next_by) = (Some(made.issued_at), Some(made.next_by));
            life.receipted_at = made.receipted_at;
        }
    }
    for far in &evidence.far {
        for row in far.bundles.values() {
            let life = life(&mut lives, &far.site, row.seq);
            life.kind.get_or_insert(row.kind);
            life.digest.get_or_insert(row.digest);
            life.made_at.get_or_insert(row.issued_at);
            life.next_by.get_or_insert(row.next_by);
            let gate = far.label.clone();
            life.applied.push(Application { gate, at: row.applied_at, digest: row.digest });
        }
        for seq in far.missing.iter().flat_map(|hole| hole.first..=hole.last).take(MISSING_MAX) {
            life(&mut lives, &far.site, seq);
        }
    }
    carry(evidence, &mut lives);
    judge(evidence, &mut lives);
    lives.into_values().collect()
}

/// Missing numbers of one gate that are listed one by one: a jump over more needs a fence (bundle.md §10.7).
const MISSING_MAX: usize = 10_000;

fn life<'l>(lives: &'l mut BTreeMap<(String, u64), Life>, site: &str, seq: u64) -> &'l mut Life {
    lives.entry((site.to_owned(), seq)).or_insert_with(|| Life {
        site: site.to_owned(),
        seq,
        kind: None,
        digest: None,
        bytes: None,
        made_at: None,
        next_by: None,
        sent: Vec::new(),
        received: Vec::new(),
        applied: Vec::new(),
        receipted_at: None,
        state: State::Underway,
    })
}

/// Hands each carriage to its bundle: by the file's digest where the mint's export knows it; else by its
/// name, which is a hint.
fn carry(evidence: &Evidence, lives: &mut BTreeMap<(String, u64), Life>) {
    let mut by_digest: BTreeMap<String, (String, u64)> = BTreeMap::new();
    for made in evidence.near.iter().flat_map(|near| near.bundles.values()).flat_map(BTreeMap::values) {
        by_digest.insert(made.file_sha256.hex(), (made.site.clone(), made.seq));
    }
    for carriage in &evidence.carriages {
        let proven = carriage.sha256.as_ref().and_then(|sha256| by_digest.get(sha256).cloned());
        let hinted = || if by_digest.is_empty() { number_in(&carriage.name) } else { None };
        let Some(life) = proven.or_else(hinted).and_then(|key| lives.get_mut(&key)) else { continue };
        match carriage.event.as_str() {
            "sent" => life.sent.push(carriage.clone()),
            "received" => life.received.push(carriage.clone()),
            _ => {}
        }
    }
}

/// Site and number of `<site>-<number>.fbundle`.
fn number_in(name: &str) -> Option<(String, u64)> {
    let (stem, _) = name.split_once(".fbundle")?;
    let (site, number) = stem.rsplit_once('-')?;
    Some((site.to_owned(), number.parse().ok()?))
}

fn judge(evidence: &Evidence, lives: &mut BTreeMap<(String, u64), Life>) {
    for life in lives.values_mut() {
        let begun = |applied: &BTreeMap<u64, _>| {
            // What was made before a gate's first bundle was never meant for it.
            applied.keys().next().is_some_and(|first| *first < life.seq)
                && applied.keys().next_back().is_some_and(|last| *last > life.seq)
        };
        let mut gates = evidence.far.iter().filter(|far| far.site == life.site);
        life.state = match life.applied.is_empty() {
            false => State::Applied,
            true if gates.any(|far| begun(&far.bundles)) => State::Missing,
            true => State::Underway,
        };
    }
}
