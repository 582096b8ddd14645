//! The page: verdict first, then figures, charts and tables, then what everything rests on.

use super::model::Report;
use super::page::{Page, grouped, moment};
use super::{charts, glass, tables};

/// The whole page. It runs nothing and loads nothing, and a browser is told to hold it to that.
// audit.md §5.1
const OPENING: &str = concat!(
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    "<meta name=\"referrer\" content=\"no-referrer\"><meta name=\"robots\" content=\"noindex\"><style>\n",
    include_str!("style.css"),
    "</style><title>"
);

pub(super) fn render(report: &Report) -> String {
    let mut page = Page::default();
    page.raw(OPENING).text(format!("Farside audit of {}", report.realm)).raw("</title></head><body><main>");
    verdict(&mut page, report);
    tiles(&mut page, report);
    let sections: [(&'static str, &'static str, fn(&mut Page, &Report)); 9] = [
        ("<section><h2>What was found</h2>", "", tables::findings),
        ("<section><h2>Broken glass</h2>", "", glass::section),
        ("<section><h2>Tokens</h2>", TOKENS_LEGEND, tokens),
        ("<section><h2>Bundles and their custody</h2>", CROSSINGS_LEGEND, crossings),
        ("<section><h2>Keys and their calendar</h2>", CALENDAR_LEGEND, keys),
        ("<section><h2>Revocations</h2>", REVOCATIONS_SAY, tables::revocations),
        ("<section><h2>What this rests on</h2>", CHECKS_SAY, tables::checks),
        ("<section><h2>Controls</h2>", CONTROLS_SAY, tables::controls),
        ("<section><h2>Administrative acts</h2>", "", tables::acts),
    ];
    for (heading, say, body) in sections {
        page.raw(heading).raw(say);
        body(&mut page, report);
        page.raw("</section>");
    }
    page.raw(
        "<footer>Made by <code>farside audit report</code>. All times are UTC. The same as JSON lies beside.",
    );
    page.raw("</footer></main></body></html>\n");
    page.finish()
}

const TOKENS_LEGEND: &str = concat!(
    "<ul class=\"legend\"><li><i class=\"c1\"></i>issued</li><li><i class=\"c2\"></i>admitted</li>",
    "<li><i class=\"c3\"></i>refused</li></ul>"
);
const CROSSINGS_LEGEND: &str = concat!(
    "<p>How long each bundle took from being made to being applied.</p>",
    "<ul class=\"legend\"><li><i class=\"c1\"></i>applied</li><li><i class=\"c3\"></i>missing</li>",
    "<li><i class=\"c0\"></i>under way</li></ul>"
);
const CALENDAR_LEGEND: &str = concat!(
    "<ul class=\"legend\"><li><i class=\"k1\"></i>may sign</li><li><i class=\"k0\"></i>is still believed</li>",
    "<li><i class=\"k2\"></i>has signed</li></ul>"
);
const REVOCATIONS_SAY: &str = "<p>A revocation binds a gate once it has applied a bundle that was made later; until then nobody there can know.</p>";
const CHECKS_SAY: &str = concat!(
    "<p><b>Proven</b> follows from signatures, hashes and chains below the charter. <b>Stated</b> is the exporter’s word ",
    "alone. <b>Broken</b> contradicts itself.</p>"
);
const CONTROLS_SAY: &str = "<p>What on this page is evidence for which demand. Whether a demand is met is for the auditor to say.</p>";

fn verdict(page: &mut Page, report: &Report) {
    page.raw("<header><p class=\"brand\">Farside audit</p><h1>")
        .text(&report.realm)
        .raw("</h1><p class=\"when\">");
    page.text(moment(report.from)).raw(" to ").text(moment(report.until)).raw(" · exported ");
    page.text(moment(report.exported_at)).raw("</p>");
    match report.alarms {
        0 => page.raw("<p class=\"verdict good\">No alarm. "),
        1 => page.raw("<p class=\"verdict bad\">1 alarm needs an explanation. "),
        many => page
            .raw("<p class=\"verdict bad\">")
            .text(grouped(Some(many)))
            .raw(" alarms need an explanation. "),
    };
    match report.notices {
        0 => page.raw("No notice.</p>"),
        1 => page.raw("1 notice.</p>"),
        many => page.text(grouped(Some(many))).raw(" notices.</p>"),
    };
    if !report.scope.is_empty() {
        page.raw("<ul class=\"scope\">");
        for line in &report.scope {
            page.tag("<li>", line, "</li>");
        }
        page.raw("</ul>");
    }
    page.raw("</header>");
}

fn tiles(page: &mut Page, report: &Report) {
    let figures = &report.figures;
    let tiles = [
        ("tokens issued", figures.issued),
        ("carried", figures.carried),
        ("admitted", figures.admitted),
        ("refused", figures.refused),
        ("tried though revoked", figures.revoked_tried),
        ("bundles made", figures.bundles_made),
        ("bundles applied", figures.bundles_applied),
        ("bundles missing", Some(figures.bundles_missing)),
    ];
    page.raw("<dl class=\"tiles\">");
    for (name, number) in tiles {
        page.raw("<div>").tag("<dt>", name, "</dt>").tag("<dd>", grouped(number), "</dd>").raw("</div>");
    }
    page.raw("</dl>");
}

fn tokens(page: &mut Page, report: &Report) {
    figure(page, report, charts::days);
    page.raw("<h3>Why tokens were refused</h3>");
    figure(page, report, charts::refusals);
}

fn crossings(page: &mut Page, report: &Report) {
    figure(page, report, charts::crossings);
    tables::bundles(page, report);
    page.raw("<h3>Media</h3>");
    tables::media(page, report);
    page.raw("<h3>What did not get through</h3>");
    tables::refused(page, report);
}

fn keys(page: &mut Page, report: &Report) {
    figure(page, report, charts::calendar);
    tables::keys(page, report);
}

fn figure(page: &mut Page, report: &Report, chart: fn(&mut Page, &Report)) {
    page.raw("<figure>");
    chart(page, report);
    page.raw("</figure>");
}
