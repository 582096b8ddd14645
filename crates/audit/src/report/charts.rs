//! The charts, drawn as SVG: what a person would rather see than read. Colours are the page's own, so that
//! they follow light and dark; every mark tells its figures when it is pointed at.

use super::model::{Day, KeyUse, Report};
use super::page::{Page, day, grouped, moment};
use crate::finding::duration;
use crate::life::{Life, State};

/// Width and height of a drawing, in its own units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
/// Room for the axes.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 26.0;
const TOP: f64 = 12.0;
/// Bars of one chart; more days are taken together.
const BARS_MAX: usize = 62;
/// Keys of the calendar that are drawn.
const KEYS_MAX: usize = 40;
const DAY_SECONDS: u64 = 86_400;
/// Nothing takes longer: what an export says of times may be anything.
const CENTURY_SECONDS: u64 = 36_525 * DAY_SECONDS;

/// A scale from figures to places.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    span: f64,
    start: f64,
    length: f64,
}

impl Scale {
    fn new(from: u64, until: u64, start: f64, length: f64) -> Scale {
        Scale { from: from as f64, span: until.saturating_sub(from).max(1) as f64, start, length }
    }

    fn place(&self, figure: u64) -> f64 {
        self.start + (figure as f64 - self.from) / self.span * self.length
    }
}

/// A round figure at or above the highest, and the step between lines below it.
fn rounded(highest: u64) -> (u64, u64) {
    let mut step = 1;
    for factor in [2, 5, 10].iter().cycle() {
        if step * 4 >= highest {
            break;
        }
        let base = 10u64.pow(step.ilog10());
        step = base.saturating_mul(*factor);
    }
    (highest.div_ceil(step).max(1) * step, step)
}

/// Tokens issued, admitted and refused, day by day.
pub(super) fn days(page: &mut Page, report: &Report) {
    let days = taken_together(&report.days);
    let highest = days.iter().flat_map(|day| [day.issued, day.admitted, day.refused]).max().unwrap_or(0);
    if highest == 0 {
        page.raw("<p class=\"none\">No token was issued, admitted or refused.</p>");
        return;
    }
    let (top, step) = rounded(highest);
    let up = Scale::new(0, top, HEIGHT - BOTTOM, -(HEIGHT - BOTTOM - TOP));
    open(page, HEIGHT, "Tokens issued, admitted and refused");
    for line in (0..=top).step_by(usize::try_from(step).unwrap_or(1)) {
        rule(page, up.place(line), &grouped(Some(line)));
    }
    let slot = (WIDTH - LEFT) / days.len() as f64;
    let bar = (slot / 3.6).min(22.0);
    for (seen, place) in days.iter().zip(0u32..) {
        let middle = LEFT + slot * (f64::from(place) + 0.5);
        let left = middle - bar * 1.5;
        let bars = [
            ("<rect class=\"c1\" x=\"", seen.issued, "issued"),
            ("<rect class=\"c2\" x=\"", seen.admitted, "admitted"),
            ("<rect class=\"c3\" x=\"", seen.refused, "refused"),
        ];
        for ((markup, count, what), offset) in bars.into_iter().zip([0.0, 1.0, 2.0]) {
            // A single one among thousands must still be seen.
            let height = (up.place(0) - up.place(count)).max(if count > 0 { 1.5 } else { 0.0 });
            page.raw(markup).at(left + bar * offset).raw("\" y=\"").at(up.place(0) - height);
            page.raw("\" width=\"").at((bar - 1.0).max(0.8)).raw("\" height=\"").at(height).raw("\"><title>");
            page.text(format!("{}: {} {what}", day(seen.day), grouped(Some(count))));
            page.raw("</title></rect>");
        }
    }
    let every = days.len().div_ceil(8);
    for (seen, place) in days.iter().zip(0u32..).step_by(every) {
        below(page, LEFT + slot * (f64::from(place) + 0.5), "middle", &day(seen.day)[5..]);
    }
    page.raw("</svg>");
}

/// As many bars as fit: each a number of days, named by its first.
fn taken_together(days: &[Day]) -> Vec<Day> {
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Vec::new() };
    let whole = usize::try_from((last.day - first.day) / DAY_SECONDS + 1).unwrap_or(usize::MAX);
    let each = whole.div_ceil(BARS_MAX) as u64 * DAY_SECONDS;
    let mut bars: Vec<Day> = (first.day..=last.day)
        .step_by(usize::try_from(each).unwrap_or(usize::MAX))
        .map(|day| Day { day, ..Day::default() })
        .collect();
    for seen in days {
        let place = usize::try_from((seen.day - first.day) / each).unwrap_or(usize::MAX);
        if let Some(bar) = bars.get_mut(place) {
            bar.issued += seen.issued;
            bar.admitted += seen.admitted;
            bar.refused += seen.refused;
        }
    }
    bars
}

/// Each bundle: when it was made, and how long it took to be applied. Missing ones stand below the line.
pub(super) fn crossings(page: &mut Page, report: &Report) {
    let took = |life: &Life| {
        let applied = life.applied.iter().map(|applied| applied.at).min()?;
        Some(applied.saturating_sub(life.made_at?).min(CENTURY_SECONDS))
    };
    let made: Vec<u64> = report.bundles.iter().filter_map(|life| life.made_at).collect();
    let (Some(from), Some(until)) = (made.iter().min(), made.iter().max()) else {
        page.raw("<p class=\"none\">No bundle is known.</p>");
        return;
    };
    let longest = report.bundles.iter().filter_map(took).max().unwrap_or(0);
    let unit = [86_400, 3_600, 60].into_iter().find(|unit| longest >= 2 * unit).unwrap_or(1);
    let (top, step) = rounded(longest.div_ceil(unit));
    let up = Scale::new(0, top * unit, HEIGHT - BOTTOM - 14.0, -(HEIGHT - BOTTOM - TOP - 14.0));
    let along = Scale::new(*from, *until, LEFT + 8.0, WIDTH - LEFT - 24.0);
    open(page, HEIGHT, "From made to applied");
    let name = match unit {
        86_400 => "d",
        3_600 => "h",
        60 => "min",
        _ => "s",
    };
    for line in (0..=top).step_by(usize::try_from(step).unwrap_or(1)) {
        rule(page, up.place(line * unit), &format!("{line} {name}"));
    }
    for life in &report.bundles {
        let Some(made_at) = life.made_at else { continue };
        let x = along.place(made_at);
        let (markup, y, told) = match (life.state, took(life)) {
            (State::Applied, Some(took)) => (
                "<circle class=\"c1\" r=\"3\" cx=\"",
                up.place(took),
                format!("applied after {}", duration(took)),
            ),
            (State::Missing, _) => {
                ("<circle class=\"c3\" r=\"3.5\" cx=\"", HEIGHT - BOTTOM - 4.0, "never applied".to_owned())
            }
            _ => ("<circle class=\"c0\" r=\"3\" cx=\"", HEIGHT - BOTTOM - 4.0, "not applied yet".to_owned()),
        };
        page.raw(markup).at(x).raw("\" cy=\"").at(y).raw("\"><title>");
        page.text(format!("bundle {} for {}, made {}: {told}", life.seq, life.site, moment(made_at)));
        page.raw("</title></circle>");
    }
    ends(page, *from, *until);
    page.raw("</svg>");
}

/// The codes by which tokens were refused.
pub(super) fn refusals(page: &mut Page, report: &Report) {
    let mut refusals: Vec<(&String, &u64)> = report.refusals.iter().collect();
    refusals.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    refusals.truncate(12);
    let Some((_, highest)) = refusals.first() else {
        page.raw("<p class=\"none\">No token was refused.</p>");
        return;
    };
    let name_width = 170.0;
    let along = Scale::new(0, **highest, 0.0, WIDTH - name_width - 90.0);
    let height = refusals.len() as f64 * 26.0 + 6.0;
    open(page, height, "Refusals by code");
    for ((code, count), row) in refusals.iter().zip(0u32..) {
        let y = f64::from(row) * 26.0 + 4.0;
        page.raw("<text class=\"l\" text-anchor=\"end\" x=\"")
            .at(name_width - 8.0)
            .raw("\" y=\"")
            .at(y + 14.0);
        page.tag("\">", code, "</text>");
        page.raw("<rect class=\"c3\" x=\"").at(name_width).raw("\" y=\"").at(y);
        page.raw("\" height=\"19\" width=\"").at(along.place(**count).max(2.0)).raw("\"/>");
        page.raw("<text class=\"l\" x=\"").at(name_width + along.place(**count) + 8.0);
        page.raw("\" y=\"").at(y + 14.0).tag("\">", grouped(Some(**count)), "</text>");
    }
    page.raw("</svg>");
}

/// Each key's calendar, and within it the time in which it signed.
pub(super) fn calendar(page: &mut Page, report: &Report) {
    let keys: Vec<&KeyUse> =
        report.keys.iter().filter(|key| key.sign_from.is_some()).take(KEYS_MAX).collect();
    let from = keys.iter().filter_map(|key| key.sign_from).min();
    let until = keys.iter().filter_map(|key| key.accept_until).max();
    let (Some(from), Some(until)) = (from, until) else {
        page.raw("<p class=\"none\">No key with a calendar is known.</p>");
        return;
    };
    let name_width = 190.0;
    let along = Scale::new(from, until, name_width, WIDTH - name_width - 12.0);
    let height = keys.len() as f64 * 30.0 + BOTTOM + 4.0;
    open(page, height, "Keys and their calendar");
    for (key, row) in keys.iter().zip(0u32..) {
        key_row(page, key, along, name_width, f64::from(row) * 30.0 + 4.0);
    }
    let now = along.place(report.exported_at.clamp(from, until));
    page.raw("<line class=\"now\" x1=\"").at(now).raw("\" x2=\"").at(now).raw("\" y1=\"0\" y2=\"");
    page.at(height - BOTTOM).raw("\"><title>").text(format!("exported {}", moment(report.exported_at)));
    page.raw("</title></line>");
    for (at, anchor) in [(from, "start"), (until, "end")] {
        label(page, along.place(at), height - 8.0, anchor, &day(at));
    }
    page.raw("</svg>");
}

fn key_row(page: &mut Page, key: &KeyUse, along: Scale, name_width: f64, y: f64) {
    label(page, name_width - 10.0, y + 14.0, "end", &format!("{} · {}", key.site, key.kid));
    let told = |what: &str, from: u64, until: u64| format!("{what} {} to {}", moment(from), moment(until));
    let (from, sign, accept) = (key.sign_from, key.sign_until, key.accept_until);
    let used = key.first_signed.zip(key.last_signed);
    let bars = [
        ("<rect class=\"k0\" x=\"", from.zip(accept), 0.0, 20.0, "believed"),
        ("<rect class=\"k1\" x=\"", from.zip(sign), 0.0, 20.0, "may sign"),
        ("<rect class=\"k2\" x=\"", used, 7.0, 6.0, "signed"),
    ];
    for (markup, window, down, height, what) in bars {
        let Some((from, until)) = window else { continue };
        let (left, right) = (along.place(from), along.place(until));
        page.raw(markup).at(left).raw("\" y=\"").at(y + down).raw("\" height=\"").at(height);
        page.raw("\" width=\"").at((right - left).max(2.0)).raw("\"><title>");
        page.text(told(what, from, until)).raw("</title></rect>");
    }
    if let Some(at) = key.revoked_at {
        let x = along.place(at);
        page.raw("<line class=\"gone\" x1=\"").at(x).raw("\" x2=\"").at(x).raw("\" y1=\"").at(y - 2.0);
        page.raw("\" y2=\"").at(y + 22.0).raw("\"><title>").text(format!("revoked {}", moment(at)));
        page.raw("</title></line>");
    }
}

fn open(page: &mut Page, height: f64, title: &'static str) {
    page.raw("<svg role=\"img\" viewBox=\"0 0 ").at(WIDTH).raw(" ").at(height);
    page.raw("\"><title>").text(title).raw("</title>");
}

/// A line across, with its figure at the left.
fn rule(page: &mut Page, y: f64, figure: &str) {
    page.raw("<line class=\"g\" x1=\"").at(LEFT).raw("\" x2=\"").at(WIDTH).raw("\" y1=\"").at(y);
    page.raw("\" y2=\"").at(y).raw("\"/>");
    label(page, LEFT - 8.0, y + 4.0, "end", figure);
}

fn below(page: &mut Page, x: f64, anchor: &'static str, text: &str) {
    label(page, x, HEIGHT - 7.0, anchor, text);
}

fn ends(page: &mut Page, from: u64, until: u64) {
    below(page, LEFT, "start", &day(from));
    below(page, WIDTH - 4.0, "end", &day(until));
}

fn label(page: &mut Page, x: f64, y: f64, anchor: &'static str, text: &str) {
    page.raw("<text text-anchor=\"").raw(anchor).raw("\" x=\"").at(x).raw("\" y=\"").at(y);
    page.tag("\">", text, "</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_figures() {
        for (highest, expected) in [(1, (1, 1)), (4, (4, 1)), (7, (8, 2)), (33_600, (40_000, 10_000))] {
            assert_eq!(rounded(highest), expected, "{highest}");
        }
    }

    #[test]
    fn years_of_days_are_taken_together() {
        let day = |number: u64| Day { day: number * DAY_SECONDS, issued: 1, ..Day::default() };
        let bars = taken_together(&(0..730).map(day).collect::<Vec<_>>());
        assert!(bars.len() <= BARS_MAX);
        assert_eq!(bars.iter().map(|bar| bar.issued).sum::<u64>(), 730);
    }
}
