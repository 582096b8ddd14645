//! Broken glass: each order has to be explained, and whatever one witness tells the others must tell too.

use farside_crossing::breakglass;
use farside_service::cli::times;
use farside_service::time::rfc3339;

use crate::evidence::{Evidence, Far, Glass, GlassTold};
use crate::finding::{Code, Findings, Found, duration};

pub(super) fn compare(evidence: &Evidence, findings: &mut Findings) {
    for far in &evidence.far {
        far.glasses.values().for_each(|glass| opened(far, glass, findings));
        untold(far, findings);
    }
    counted(evidence, findings);
}

fn used(told: &GlassTold) -> String {
    match told.last_used {
        Some(last) => format!("used {}, last {}", times(told.uses), rfc3339(last)),
        None => "never used".to_owned(),
    }
}

// audit.md §4.6
fn opened(far: &Far, glass: &Glass, findings: &mut Findings) {
    let row = &glass.row;
    let nothing = GlassTold::default();
    let told = far.glass_told.get(&row.id).unwrap_or(&nothing);
    let used = used(told);
    let life = match (row.closed_at, &row.why) {
        (Some(at), Some(why)) => format!("{why} after {}", duration(at.saturating_sub(row.opened_at))),
        _ => "open when the gate exported".to_owned(),
    };
    let detail = match (&glass.signed, breakglass::review(row.note.as_bytes())) {
        (Some(signed), _) => {
            let (order, signers) = (signed.order(), signed.signers().join(" and "));
            let (subject, role, audience) = (&order.subject, &order.role, &order.audience);
            format!("{signers} let {subject} in as {role} at {audience}: {}; {used}; {life}", order.reason)
        }
        (None, Ok(seen)) => format!("said to be for {}; {used}; {life}", seen.order.subject),
        (None, Err(_)) => format!("no order that reads; {used}; {life}"),
    };
    findings.alarm(Code::BreakglassOpened, found(far, &row.id, Some(row.opened_at), detail));
}

/// Store and journal of one gate.
fn untold(far: &Far, findings: &mut Findings) {
    for (id, glass) in &far.glasses {
        if !far.glass_told.get(id).is_some_and(|told| told.accepted) {
            let detail = "the store has it, and no journal tells of it".to_owned();
            findings.alarm(Code::BreakglassUntold, found(far, id, Some(glass.row.opened_at), detail));
        }
    }
    // One that is told of only as accepted was cut off before it counted.
    let gone =
        |(id, told): &(&String, &GlassTold)| (told.opened || told.uses > 0) && !far.glasses.contains_key(*id);
    for (id, told) in far.glass_told.iter().filter(gone) {
        let detail = format!("the journal tells of it, {}, and the store has it not", used(told));
        findings.alarm(Code::BreakglassUntold, found(far, id, told.last_used, detail));
    }
}

/// What receipts told the mint, against what the gates of the site export.
fn counted(evidence: &Evidence, findings: &mut Findings) {
    for (site, at, count) in evidence.near.iter().flat_map(|near| &near.glass_counted) {
        // Of several gates of one site nobody can tell whose receipt it was.
        let mut gates = evidence.far.iter().filter(|far| far.site == *site);
        let (Some(far), None) = (gates.next(), gates.next()) else { continue };
        let held = far.glasses.len() as u64;
        if held < *count && far.made_at > *at {
            let detail = format!("a receipt told the mint of {count} orders, and the gate exports {held}");
            let place = "receipt".to_owned();
            findings.alarm(Code::BreakglassUntold, Found { of: site.clone(), place, at: Some(*at), detail });
        }
    }
}

fn found(far: &Far, id: &str, at: Option<u64>, detail: String) -> Found {
    Found { of: far.site.clone(), place: format!("order {id}"), at, detail }
}
