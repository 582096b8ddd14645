//! Broken glass on the page: every order that a gate has opened, with all that store and journals tell of it.

use std::collections::BTreeSet;

use farside_crossing::breakglass;
use farside_service::cli::times;
use serde::Serialize;

use super::model::Report;
use super::page::Page;
use super::tables::{foot, head};
use crate::evidence::{Entry, Evidence, Far, Proof};
use crate::finding::duration;

/// One order. `None` where nothing that was brought tells it.
#[derive(Debug, Serialize)]
pub(super) struct Broken {
    /// Whose evidence it is.
    pub(super) of: String,
    pub(super) site: String,
    pub(super) id: String,
    /// Whether cards of the charter bear it out; stated where only the journal has it.
    pub(super) proof: Proof,
    pub(super) signers: Vec<String>,
    pub(super) subject: Option<String>,
    pub(super) role: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) drafted_at: Option<u64>,
    pub(super) not_after: Option<u64>,
    pub(super) opened_at: Option<u64>,
    pub(super) closed_at: Option<u64>,
    /// How it was over.
    pub(super) why: Option<String>,
    pub(super) uses: u64,
    /// The first entries by it.
    pub(super) entries: Vec<Entry>,
}

/// Every order that a gate's store or journals tell of, in the order in which they were opened.
// audit.md §5.2
pub(super) fn of(evidence: &Evidence) -> Vec<Broken> {
    let mut all: Vec<Broken> = evidence.far.iter().flat_map(of_gate).collect();
    all.sort_by_key(|broken| (broken.opened_at, broken.id.clone()));
    all
}

fn of_gate(far: &Far) -> impl Iterator<Item = Broken> {
    // One that is told of only as accepted was cut off before it counted (audit.md §4.6).
    let told = far.glass_told.iter().filter(|(_, told)| told.opened || told.uses > 0);
    let ids: BTreeSet<&String> = far.glasses.keys().chain(told.map(|(id, _)| id)).collect();
    ids.into_iter().map(|id| one(far, id))
}

fn one(far: &Far, id: &str) -> Broken {
    let mut broken = Broken {
        of: far.label.clone(),
        site: far.site.clone(),
        id: id.to_owned(),
        proof: Proof::Stated,
        signers: Vec::new(),
        subject: None,
        role: None,
        audience: None,
        reason: None,
        drafted_at: None,
        not_after: None,
        opened_at: None,
        closed_at: None,
        why: None,
        uses: 0,
        entries: Vec::new(),
    };
    if let Some(told) = far.glass_told.get(id) {
        (broken.uses, broken.entries) = (told.uses, told.entries.clone());
        (broken.closed_at, broken.why) = told.closed.clone().unzip();
        if let Some(said) = told.said.clone() {
            broken.signers = said.signers;
            (broken.subject, broken.role) = (Some(said.subject), Some(said.role));
            (broken.audience, broken.reason) = (Some(said.audience), Some(said.reason));
            (broken.drafted_at, broken.not_after) = (Some(said.drafted_at), Some(said.not_after));
        }
    }
    let Some(glass) = far.glasses.get(id) else { return broken };
    broken.opened_at = Some(glass.row.opened_at);
    (broken.closed_at, broken.why) = (glass.row.closed_at, glass.row.why.clone());
    let (order, signers, proof) = match (&glass.signed, breakglass::review(glass.row.note.as_bytes())) {
        (Some(signed), _) => (Some(signed.order().clone()), signed.signers().to_vec(), Proof::Proven),
        (None, Ok(seen)) => (Some(seen.order), Vec::new(), Proof::Broken),
        (None, Err(_)) => (None, Vec::new(), Proof::Broken),
    };
    (broken.signers, broken.proof) = (signers, proof);
    if let Some(order) = order {
        (broken.subject, broken.role) = (Some(order.subject), Some(order.role));
        (broken.audience, broken.reason) = (Some(order.audience), Some(order.reason));
        (broken.drafted_at, broken.not_after) = (Some(order.drafted_at), Some(order.not_after));
    }
    broken
}

/// The section of its own.
pub(super) fn section(page: &mut Page, report: &Report) {
    let Some(broken) = report.breakglass.as_deref() else {
        page.raw(
            "<p class=\"none\">No gate’s export was brought: whether any glass was broken is not known.</p>",
        );
        return;
    };
    if broken.is_empty() {
        page.raw("<p class=\"none\">No glass was broken: no gate that was brought has opened an order.</p>");
        return;
    }
    head(
        page,
        &["", "gate", "order", "who", "as", "where", "why", "signed by", "from", "until", "over", "used"],
    );
    for order in broken {
        row(page, order);
    }
    foot(page);
    if broken.iter().all(|order| order.entries.is_empty()) {
        page.raw("<p class=\"none\">Nobody entered by them.</p>");
        return;
    }
    page.raw("<h3>Every entry by them</h3>");
    head(page, &["when (UTC)", "order", "who", "door", "what for"]);
    for order in broken {
        for entry in &order.entries {
            page.raw("<tr>").time(Some(entry.at)).code(&order.id).cell(known(order.subject.as_ref()));
            page.short(&entry.door).cell(entry.request.as_deref().unwrap_or("–")).raw("</tr>");
        }
    }
    foot(page);
    let more: u64 = broken.iter().map(|order| order.uses.saturating_sub(order.entries.len() as u64)).sum();
    if more > 0 {
        page.raw("<p class=\"none\">").text(more).raw(" more stand in the journals.</p>");
    }
}

fn row(page: &mut Page, order: &Broken) {
    page.raw("<tr>").raw(match order.proof {
        Proof::Proven => "<td><span class=\"pill good\">proven</span></td>",
        Proof::Stated => "<td><span class=\"pill note\">stated</span></td>",
        Proof::Broken => "<td><span class=\"pill bad\">broken</span></td>",
    });
    page.short(&order.of)
        .code(&order.id)
        .cell(known(order.subject.as_ref()))
        .cell(known(order.role.as_ref()));
    page.cell(known(order.audience.as_ref())).cell(known(order.reason.as_ref()));
    let signers = if order.signers.is_empty() { "–".to_owned() } else { order.signers.join(", ") };
    page.cell(signers).time(order.opened_at.or(order.drafted_at)).time(order.not_after);
    page.raw("<td class=\"t\">")
        .moment(order.closed_at)
        .raw("<small>")
        .text(over(order))
        .raw("</small></td>");
    let used = if order.uses == 0 { "never".to_owned() } else { times(order.uses) };
    page.short(used).raw("</tr>");
}

/// How it was over, and after how long.
fn over(order: &Broken) -> String {
    let Some(why) = &order.why else { return "open when the gate exported".to_owned() };
    match order.closed_at.zip(order.opened_at) {
        Some((closed, opened)) => format!("{why} after {}", duration(closed.saturating_sub(opened))),
        None => why.clone(),
    }
}

fn known(text: Option<&String>) -> &str {
    text.map_or("–", String::as_str)
}
