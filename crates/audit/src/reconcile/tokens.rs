//! Tokens: what was issued, what was admitted, and whether the one follows from the other.

use std::collections::{BTreeMap, HashMap};

use farside_crossing::evidence::KeyRow;
use farside_verify::leaf::{self, TokenPosition};
use farside_verify::merkle::Hash;

use super::revoked::Revoked;
use crate::evidence::{Admitted, Evidence, Far, Leaf, Near, Record};
use crate::finding::{Code, Findings, Found, duration};

pub(super) fn compare(evidence: &Evidence, findings: &mut Findings) {
    for far in &evidence.far {
        let revoked = Revoked::of(evidence, far);
        let keys = calendar(evidence, &far.site);
        for admitted in &far.admitted {
            let position = admitted.position();
            issued(evidence, far, admitted, position.as_ref(), findings);
            revoked.judge(far, admitted, position.as_ref(), findings);
            past_key(evidence, far, admitted, &keys, findings);
        }
    }
    two_sites(evidence, findings);
    if let Some(near) = &evidence.near {
        for (shard, log) in &near.log.shards {
            never_carried(near, shard, &log.leaves, findings);
            off_calendar(evidence, near, shard, &log.leaves, findings);
        }
    }
}

/// The keys of a site by id, whoever knows them.
fn calendar<'e>(evidence: &'e Evidence, site: &str) -> HashMap<u32, &'e KeyRow> {
    let near = evidence.near.iter().flat_map(|near| &near.keys);
    let far = evidence.far.iter().flat_map(|far| &far.keys);
    let of_site = near.chain(far).filter(|key| key.site == site);
    of_site.filter_map(|key| Some((evidence.names.find(&key.kid)?, key))).collect()
}

/// Whether an admitted token stands in the log.
// audit.md §4.3
fn issued(
    evidence: &Evidence,
    far: &Far,
    admitted: &Admitted,
    position: Option<&TokenPosition>,
    findings: &mut Findings,
) {
    let found = |detail: String| Found::token(&far.site, &admitted.token, admitted.at, detail);
    let Some(position) = position else {
        findings.alarm(Code::AdmittedNeverIssued, found("it names no position in the log".to_owned()));
        return;
    };
    let site = Near::site_of(position.shard());
    if site != far.site {
        findings.alarm(Code::AdmittedElsewhere, found(format!("it stands in the log of {site}")));
    }
    let hash = leaf::hash(position, &admitted.signing_input);
    match verdict(evidence, far, admitted, position, &hash) {
        Verdict::Issued => {}
        Verdict::Forged(detail) => findings.alarm(Code::AdmittedNeverIssued, found(detail.to_owned())),
        Verdict::Unknown(detail) => findings.notice(Code::AdmittedUnproven, found(detail.to_owned())),
    }
}

enum Verdict {
    Issued,
    Forged(&'static str),
    Unknown(&'static str),
}

fn verdict(
    evidence: &Evidence,
    far: &Far,
    admitted: &Admitted,
    position: &TokenPosition,
    hash: &Hash,
) -> Verdict {
    let Some(near) = &evidence.near else {
        return match far.log.leaf(position) {
            Some(held) if held == hash => Verdict::Issued,
            Some(_) => Verdict::Forged("another leaf crossed for its position"),
            None => Verdict::Unknown("no leaf of its position is held"),
        };
    };
    match near.log.leaf(position) {
        Some(Leaf { hash: held, .. }) if held == hash => Verdict::Issued,
        Some(Leaf { token: None, .. }) => Verdict::Forged("no token was signed at its position"),
        Some(_) => Verdict::Forged("another token was signed at its position"),
        None if admitted.at > near.made_at => {
            Verdict::Unknown("it may have been issued after the mint's export")
        }
        None => Verdict::Forged("the mint has no record of its position"),
    }
}

fn past_key(
    evidence: &Evidence,
    far: &Far,
    admitted: &Admitted,
    keys: &HashMap<u32, &KeyRow>,
    findings: &mut Findings,
) {
    let ended = keys.get(&admitted.kid).and_then(|key| key.accept_until);
    if let Some(until) = ended.filter(|until| admitted.at > *until) {
        let kid = evidence.names.word(admitted.kid);
        let detail = format!("key {kid} was believed until {} before", duration(admitted.at - until));
        findings.alarm(Code::UsedPastKey, Found::token(&far.site, &admitted.token, admitted.at, detail));
    }
}

/// One token, by what was signed, at two sites.
fn two_sites(evidence: &Evidence, findings: &mut Findings) {
    let mut sites: BTreeMap<&str, Vec<&Far>> = BTreeMap::new();
    for far in &evidence.far {
        sites.entry(&far.site).or_default().push(far);
    }
    if sites.len() < 2 {
        return;
    }
    let mut first: HashMap<&Hash, (&str, u64)> = HashMap::new();
    for (site, gates) in sites {
        for admitted in gates.iter().flat_map(|far| &far.admitted) {
            match first.get(&admitted.signing_input) {
                None => drop(first.insert(&admitted.signing_input, (site, admitted.at))),
                Some((other, _)) if *other == site => {}
                Some((other, at)) => {
                    let detail =
                        format!("{other} admitted it too, {} apart", duration(admitted.at.abs_diff(*at)));
                    let found = Found::token(site, &admitted.token, admitted.at, detail);
                    findings.alarm(Code::UsedAtTwoSites, found);
                }
            }
        }
    }
}

/// Tokens behind the last leaf that any bundle of their site carried.
fn never_carried(near: &Near, shard: &str, leaves: &[Leaf], findings: &mut Findings) {
    let site = Near::site_of(shard);
    let bundles = near.bundles.get(site).into_iter().flat_map(BTreeMap::values);
    let carried = bundles.filter_map(|made| made.leaves.get(shard)).max().copied().unwrap_or(0);
    let patience = near.sites.get(site).map_or(0, |row| row.courier_seconds);
    for (leaf, index) in leaves.iter().zip(0..).skip(usize::try_from(carried).unwrap_or(usize::MAX)) {
        let (Some(_), Ok(position)) = (leaf.token, TokenPosition::new(shard, index)) else { continue };
        let waits = near.made_at.saturating_sub(leaf.at);
        let found = Found::token(
            site,
            position,
            leaf.at,
            format!("it had waited {} when the mint exported", duration(waits)),
        );
        match waits > patience {
            true => findings.alarm(Code::IssuedNeverCarried, found),
            false => findings.notice(Code::IssuedNeverCarried, found),
        }
    }
}

fn off_calendar(evidence: &Evidence, near: &Near, shard: &str, leaves: &[Leaf], findings: &mut Findings) {
    let site = Near::site_of(shard);
    let known = near.keys.iter().filter(|key| key.site == site);
    let keys: HashMap<u32, &KeyRow> =
        known.filter_map(|key| Some((evidence.names.find(&key.kid)?, key))).collect();
    for (leaf, index) in leaves.iter().zip(0..) {
        let Some(Record { kid, .. }) = leaf.token else { continue };
        let within = keys.get(&kid).map(|key| {
            key.sign_from.is_none_or(|from| leaf.at >= from) && key.sign_until.is_none_or(|to| leaf.at <= to)
        });
        let name = evidence.names.word(kid);
        let detail = match within {
            Some(true) => continue,
            Some(false) => format!("key {name} may not have signed then"),
            None => format!("the mint knows no key {name} of this site"),
        };
        let Ok(position) = TokenPosition::new(shard, index) else { continue };
        findings.alarm(Code::SignedOffCalendar, Found::token(site, position, leaf.at, detail));
    }
}
