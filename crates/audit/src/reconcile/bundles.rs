//! Bundles: what was made, what came, what came twice or never.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Far, Near};
use crate::finding::{Code, Findings, Found, duration};
use crate::life::{Life, State};

pub(super) fn compare(evidence: &Evidence, lives: &[Life], findings: &mut Findings) {
    for far in &evidence.far {
        if let Some(near) = &evidence.near {
            forged(near, far, findings);
        }
        forked(far, findings);
        late(far, findings);
    }
    for life in lives {
        twice(life, findings);
        missing(life, findings);
        receipted(evidence, life, findings);
        unwitnessed(evidence, life, findings);
    }
}

fn forged(near: &Near, far: &Far, findings: &mut Findings) {
    let none = BTreeMap::new();
    let made = near.bundles.get(&far.site).unwrap_or(&none);
    for row in far.bundles.values() {
        let detail = match made.get(&row.seq) {
            // The mint made it after it had exported.
            None if row.issued_at > near.made_at => continue,
            None => "the mint knows no such number".to_owned(),
            Some(known) if known.digest == row.digest => continue,
            Some(known) => {
                format!("the mint made {}, the gate applied {}", known.digest.hex(), row.digest.hex())
            }
        };
        let found = Found::bundle(&far.site, row.seq, Some(row.applied_at), detail);
        findings.alarm(Code::BundleForged, found);
    }
}

fn forked(far: &Far, findings: &mut Findings) {
    for fork in &far.forks {
        let detail = format!("{} holds {} and was offered {}", far.label, fork.held.hex(), fork.digest.hex());
        let found = Found::bundle(&far.site, fork.seq, Some(fork.noticed_at), detail);
        findings.alarm(Code::BundleForked, found);
    }
}

/// Two gates of one site that have applied different bundles under one number.
fn twice(life: &Life, findings: &mut Findings) {
    let mut applied = life.applied.iter();
    let Some(one) = applied.next() else { return };
    if let Some(other) = applied.find(|other| other.digest != one.digest) {
        let detail = format!("{} and {} have applied different ones", one.gate, other.gate);
        findings.alarm(Code::BundleForked, Found::bundle(&life.site, life.seq, Some(other.at), detail));
    }
}

fn late(far: &Far, findings: &mut Findings) {
    let mut due: Option<u64> = None;
    for row in far.bundles.values() {
        if let Some(by) = due.filter(|by| row.applied_at > *by) {
            let detail = format!("{} after it was due", duration(row.applied_at - by));
            findings
                .notice(Code::BundleLate, Found::bundle(&far.site, row.seq, Some(row.applied_at), detail));
        }
        due = Some(row.next_by);
    }
    if let (Some(by), Some((last, _))) = (due.filter(|by| far.made_at > *by), far.bundles.last_key_value()) {
        let detail = format!("{} overdue when {} exported", duration(far.made_at - by), far.label);
        findings.notice(Code::BundleLate, Found::bundle(&far.site, last.saturating_add(1), Some(by), detail));
    }
}

fn missing(life: &Life, findings: &mut Findings) {
    if life.state == State::Missing {
        let detail = match (life.sent.len(), life.received.len()) {
            (0, 0) => "no ferry saw it",
            (_, 0) => "it was sent and never received",
            _ => "it was received and never applied",
        };
        findings.notice(Code::BundleMissing, Found::bundle(&life.site, life.seq, life.made_at, detail));
    }
}

fn receipted(evidence: &Evidence, life: &Life, findings: &mut Findings) {
    let Some(at) = life.receipted_at else { return };
    let mut gates = evidence.far.iter().filter(|far| far.site == life.site).peekable();
    // A gate that exported before the receipt was given may have applied it since.
    if life.applied.is_empty() && gates.peek().is_some() && gates.all(|far| far.made_at > at) {
        let found = Found::bundle(&life.site, life.seq, Some(at), "no gate of the site has applied it");
        findings.alarm(Code::ReceiptUnapplied, found);
    }
}

fn unwitnessed(evidence: &Evidence, life: &Life, findings: &mut Findings) {
    let far_ferry = |of: &str| of != "mint";
    let kept = evidence.carriages.iter().any(|seen| seen.event == "received" && far_ferry(&seen.of));
    if let (Some(applied), true, true) = (life.applied.first(), kept, life.received.is_empty()) {
        let detail = format!("{} applied it, and no ferry's journal saw it arrive", applied.gate);
        findings.notice(Code::Unwitnessed, Found::bundle(&life.site, life.seq, Some(applied.at), detail));
    }
}
