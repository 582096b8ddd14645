//! The tables: bundles with their custody, keys, revocations, findings, checks, controls, acts.

use farside_crossing::evidence::RevokedKind;

use super::model::Report;
use super::page::{Page, grouped};
use crate::evidence::{Carriage, Proof};
use crate::finding::{Gravity, duration};
use crate::life::{Life, State};

/// Acts that are shown on the page; the JSON has them all.
const ACTS_SHOWN_MAX: usize = 1_000;

/// What was found, gravest first.
pub(super) fn findings(page: &mut Page, report: &Report) {
    if report.counts.is_empty() {
        page.raw("<p class=\"none\">Nothing was found that needs a word.</p>");
        return;
    }
    head(page, &["", "finding", "#count", "what it means"]);
    for counted in &report.counts {
        page.raw("<tr>");
        gravity(page, counted.gravity);
        page.known(counted.code.name()).number(Some(counted.count)).cell(counted.sentence).raw("</tr>");
    }
    foot(page);
    head(page, &["", "finding", "of", "place", "when (UTC)", "what"]);
    for finding in &report.findings {
        page.raw("<tr>");
        gravity(page, finding.gravity);
        page.known(finding.code.name()).short(&finding.of).code(&finding.place).time(finding.at);
        page.tag("<td class=\"w\">", &finding.detail, "</td>").raw("</tr>");
    }
    foot(page);
}

fn gravity(page: &mut Page, gravity: Gravity) {
    page.raw(match gravity {
        Gravity::Alarm => "<td><span class=\"pill bad\">alarm</span></td>",
        Gravity::Notice => "<td><span class=\"pill note\">notice</span></td>",
    });
}

/// Every bundle with its life and its custody.
pub(super) fn bundles(page: &mut Page, report: &Report) {
    if report.bundles.is_empty() {
        page.raw("<p class=\"none\">No bundle is known.</p>");
        return;
    }
    head(page, &["", "site", "#number", "kind", "made", "sent", "received", "applied", "#took", "receipt"]);
    for life in &report.bundles {
        page.raw("<tr>");
        state(page, life);
        page.cell(&life.site).number(Some(life.seq));
        page.cell(life.kind.map_or("–", farside_crossing::Kind::as_str)).time(life.made_at);
        custody(page, &life.sent);
        custody(page, &life.received);
        let applied = life.applied.iter().map(|applied| applied.at).min();
        page.time(applied);
        let took = applied.zip(life.made_at).map(|(applied, made)| duration(applied.saturating_sub(made)));
        page.tag("<td class=\"n\">", took.unwrap_or_else(|| "–".to_owned()), "</td>");
        page.time(life.receipted_at).raw("</tr>");
    }
    foot(page);
}

/// When, and on what.
fn custody(page: &mut Page, carriages: &[Carriage]) {
    let Some(first) = carriages.first() else {
        page.raw("<td class=\"t\">–</td>");
        return;
    };
    page.raw("<td class=\"t\">").moment(Some(first.at));
    page.raw("<small>").text(first.medium.as_ref().unwrap_or(&first.lane));
    if let Some(by) = &first.by {
        page.text(format!(", {by}"));
    }
    if carriages.len() > 1 {
        page.text(format!(" and {} more", carriages.len() - 1));
    }
    page.raw("</small></td>");
}

fn state(page: &mut Page, life: &Life) {
    page.raw(match life.state {
        State::Applied => "<td><span class=\"pill good\">applied</span></td>",
        State::Missing => "<td><span class=\"pill bad\">missing</span></td>",
        State::Underway => "<td><span class=\"pill note\">under way</span></td>",
    });
}

/// What gates refused and ferries could not carry.
pub(super) fn refused(page: &mut Page, report: &Report) {
    if report.bundles_refused.is_empty() && report.not_carried.is_empty() {
        page.raw("<p class=\"none\">No gate refused a bundle, and no ferry left a file behind.</p>");
        return;
    }
    head(page, &["when (UTC)", "file", "what became of it", "why"]);
    for refused in &report.bundles_refused {
        page.raw("<tr>").time(Some(refused.at)).code(&refused.file);
        page.cell("refused by the gate").cell(format!("{}: {}", refused.code, refused.detail)).raw("</tr>");
    }
    for left in &report.not_carried {
        let became = if left.event == "not_sent" { "not sent" } else { "not received" };
        page.raw("<tr>").time(Some(left.at)).code(&left.name).cell(became);
        page.cell(left.reason.as_deref().unwrap_or("–")).raw("</tr>");
    }
    foot(page);
}

/// Each medium that ferries saw.
pub(super) fn media(page: &mut Page, report: &Report) {
    if report.media.is_empty() {
        page.raw("<p class=\"none\">No ferry's journal was brought.</p>");
        return;
    }
    head(page, &["lane", "medium", "#files sent", "#files received", "first", "last"]);
    for medium in &report.media {
        let name = if medium.medium.is_empty() { "without label" } else { &medium.medium };
        page.raw("<tr>")
            .cell(&medium.lane)
            .cell(name)
            .number(Some(medium.sent))
            .number(Some(medium.received));
        page.time(Some(medium.first)).time(Some(medium.last)).raw("</tr>");
    }
    foot(page);
}

/// Keys, their calendar and their use.
pub(super) fn keys(page: &mut Page, report: &Report) {
    let calendar = ["site", "key", "algorithm", "signs from", "signs until", "believed until"];
    head(page, &[&calendar[..], &["destroyed", "#signed", "#admitted"]].concat());
    for key in &report.keys {
        page.raw("<tr>").cell(&key.site).code(&key.kid).cell(key.algorithm.as_deref().unwrap_or("–"));
        page.time(key.sign_from).time(key.sign_until).time(key.accept_until).time(key.destroyed_at);
        page.number(Some(key.signed)).number(Some(key.admitted)).raw("</tr>");
    }
    foot(page);
}

/// Revocations and how long their way was.
pub(super) fn revocations(page: &mut Page, report: &Report) {
    if report.revocations.is_empty() {
        page.raw("<p class=\"none\">Nothing was revoked, as far as is known.</p>");
        return;
    }
    head(page, &["site", "what", "", "why", "by", "revoked", "known at the gate", "#took"]);
    for revoked in &report.revocations {
        let kind = match revoked.kind {
            RevokedKind::Token => "token",
            RevokedKind::Subject => "subject",
            RevokedKind::Client => "client",
            RevokedKind::Group => "group",
            RevokedKind::Key => "key",
            RevokedKind::All => "all",
        };
        let took = revoked.known_at.map(|known| duration(known.saturating_sub(revoked.at)));
        page.raw("<tr>").cell(&revoked.site).cell(kind).code(&revoked.what).cell(&revoked.reason);
        page.cell(&revoked.by);
        page.time(Some(revoked.at)).time(revoked.known_at);
        page.tag("<td class=\"n\">", took.unwrap_or_else(|| "not yet".to_owned()), "</td>").raw("</tr>");
    }
    foot(page);
}

/// What was checked, and whether it held.
pub(super) fn checks(page: &mut Page, report: &Report) {
    head(page, &["", "of", "what", "how"]);
    for check in &report.checks {
        page.raw("<tr>").raw(match check.proof {
            Proof::Proven => "<td><span class=\"pill good\">proven</span></td>",
            Proof::Stated => "<td><span class=\"pill note\">stated</span></td>",
            Proof::Broken => "<td><span class=\"pill bad\">broken</span></td>",
        });
        page.short(&check.of).cell(&check.what).tag("<td class=\"w\">", &check.detail, "</td>").raw("</tr>");
    }
    foot(page);
}

/// Catalogues of controls.
pub(super) fn controls(page: &mut Page, report: &Report) {
    head(page, &["catalogue", "control", "title", "evidence here", ""]);
    for control in &report.controls {
        page.raw("<tr>").short(control.catalogue).short(control.number).cell(control.title);
        page.tag("<td class=\"w\">", &control.evidence, "</td>").raw(match control.contradicted {
            true => "<td><span class=\"pill bad\">see findings</span></td>",
            false => "<td></td>",
        });
        page.raw("</tr>");
    }
    foot(page);
}

/// What people did.
pub(super) fn acts(page: &mut Page, report: &Report) {
    if report.acts.is_empty() {
        page.raw("<p class=\"none\">No journal tells of any.</p>");
        return;
    }
    head(page, &["when (UTC)", "journal of", "event", "members"]);
    for act in report.acts.iter().take(ACTS_SHOWN_MAX) {
        let members: Vec<String> =
            act.members.iter().map(|(name, value)| format!("{name}={value}")).collect();
        page.raw("<tr>").time(Some(act.at)).short(&act.of);
        page.tag("<td class=\"s\"><code>", &act.event, "</code></td>");
        page.tag("<td class=\"w\">", members.join(" "), "</td>").raw("</tr>");
    }
    foot(page);
    if let Some(more) = report.acts.len().checked_sub(ACTS_SHOWN_MAX).filter(|more| *more > 0) {
        page.raw("<p class=\"none\">").text(grouped(Some(more as u64))).raw(" more stand in the JSON.</p>");
    }
}

pub(super) fn head(page: &mut Page, headings: &[&'static str]) {
    page.raw("<div class=\"scroll\"><table><thead><tr>");
    for heading in headings {
        // A column of numbers stands at the right, and so does its heading.
        match heading.strip_prefix('#') {
            Some(number) => page.raw("<th class=\"n\">").raw(number).raw("</th>"),
            None => page.raw("<th>").raw(heading).raw("</th>"),
        };
    }
    page.raw("</tr></thead><tbody>");
}

pub(super) fn foot(page: &mut Page) {
    page.raw("</tbody></table></div>");
}
