//! Both sides laid side by side: what one says and the other does not. Each finding has a test that plants it
//! (`reconcile/tests.rs`).
//!
//! ```text
//!   Evidence ──bundles──▶ forged, forked, missing, late, unwitnessed
//!            ──glass────▶ opened, unproven, untold
//!            ──tokens───▶ never issued, never carried, elsewhere, after revocation, past its key
//!            ──keys─────▶ past its end and not destroyed
//! ```

mod bundles;
mod glass;
mod keys;
mod revoked;
mod tokens;

use farside_service::cli::{Exit, Failure, Output, Style, table};
use farside_service::time::rfc3339;
use serde_json::json;

use crate::brought::Brought;
use crate::evidence::{Evidence, Proof};
use crate::finding::{Gravity, LISTED_MAX};
use crate::life::{Life, lives};

/// What can be compared with what was brought.
// audit.md §4.1
pub(crate) fn scope(evidence: &Evidence) -> Vec<String> {
    let mut scope = Vec::new();
    if evidence.near.is_none() {
        scope.push(
            "No export of the mint: tokens are compared with the leaves that crossed, and nothing is said of \
             what was issued or made and did not arrive."
                .to_owned(),
        );
    }
    for site in evidence.near.iter().flat_map(|near| near.sites.keys()) {
        if !evidence.far.iter().any(|far| far.site == *site) {
            scope.push(format!("No export of a gate at {site}: nothing is said of what happened there."));
        }
    }
    if !evidence.charters.compared {
        scope.push(
            "No fingerprint was given: everything hangs on a charter that nobody has compared.".to_owned(),
        );
    }
    scope
}

/// Compares everything with everything; findings go into the evidence.
pub(crate) fn reconcile(evidence: &mut Evidence) -> Vec<Life> {
    let lives = lives(evidence);
    let mut findings = std::mem::take(&mut evidence.findings);
    bundles::compare(evidence, &lives, &mut findings);
    glass::compare(evidence, &mut findings);
    tokens::compare(evidence, &mut findings);
    evidence.findings = findings;
    keys::compare(evidence);
    lives
}

/// `farside audit reconcile`.
pub(crate) fn run(brought: &Brought, output: Output) -> Result<(), Failure> {
    let mut evidence = Evidence::read(brought)?;
    reconcile(&mut evidence);
    let counts: Vec<_> = evidence
        .findings
        .counts()
        .map(|(gravity, code, count)| {
            json!({"gravity": gravity, "code": code, "count": count, "sentence": code.sentence()})
        })
        .collect();
    let value = json!({
        "realm": evidence.realm(),
        "alarms": evidence.findings.total(Gravity::Alarm),
        "notices": evidence.findings.total(Gravity::Notice),
        "scope": scope(&evidence),
        "counts": counts,
        "findings": evidence.findings.listed(),
        "checks": evidence.checks,
    });
    output.say(|| human(&evidence), &value)?;
    exit(&evidence)
}

/// Exit 1 where somebody has to explain something.
pub(crate) fn exit(evidence: &Evidence) -> Result<(), Failure> {
    match evidence.findings.total(Gravity::Alarm) {
        0 => Ok(()),
        _ => Err(Failure::told(Exit::Refused)),
    }
}

fn human(evidence: &Evidence) -> String {
    let style = Style::stdout();
    let mut lines = scope(evidence);
    let rows: Vec<Vec<String>> = evidence
        .findings
        .listed()
        .into_iter()
        .map(|finding| {
            let at = finding.at.map_or_else(|| "-".to_owned(), rfc3339);
            let (code, of) = (finding.code.name().to_owned(), finding.of.clone());
            vec![code, of, finding.place.clone(), at, finding.detail.clone()]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(table(&["finding", "of", "place", "when", "what"], &rows));
    }
    for (_, code, count) in evidence.findings.counts().filter(|(.., count)| *count > LISTED_MAX as u64) {
        lines.push(format!("{}: {count} in all", code.name()));
    }
    let broken = evidence.checks.iter().filter(|check| check.proof == Proof::Broken).count();
    let (alarms, notices) =
        (evidence.findings.total(Gravity::Alarm), evidence.findings.total(Gravity::Notice));
    let verdict = match alarms {
        0 => style.green("no alarm"),
        1 => style.red("1 alarm"),
        many => style.red(&format!("{many} alarms")),
    };
    lines.push(format!("{verdict}, {notices} notices; {} checks, {broken} broken", evidence.checks.len()));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
