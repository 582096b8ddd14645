//! The picture for people.

use farside_service::cli::page::{Page, Paint, instant, plain, until};
use farside_service::cli::{Style, printable};
use farside_service::duration::about;

use super::{NextShown, RoleKeyShown, SiteShown, Status, UseShown};

impl Status {
    /// The picture for people, within eighty columns.
    pub fn human(&self, style: Style) -> String {
        let mut page = Page::new(style);
        page.lines.push(self.headline(style));
        for warning in &self.warnings {
            page.lines.push(String::new());
            page.wrapped("  ", &warning.sentence(), Style::yellow);
            page.wrapped("    ", &warning.cure, Style::dim);
        }
        for site in &self.sites {
            self.site(site, &mut page);
        }
        if !self.waiting.is_empty() {
            page.title("waiting");
        }
        for draft in &self.waiting {
            let (have, of) = (draft.signed.len(), draft.threshold);
            page.wrapped("  ", &format!("{}: {have} of {of} release signatures", draft.file), plain);
        }
        self.role_keys(&mut page);
        page.lines.join("\n")
    }

    fn headline(&self, style: Style) -> String {
        let state = match self.warnings.len() {
            0 => style.green("NOTHING TO DO"),
            1 => style.yellow("1 THING TO DO"),
            many => style.yellow(&format!("{many} THINGS TO DO")),
        };
        let charter = self.charter.map_or_else(|| "no charter yet".to_owned(), |n| format!("charter {n}"));
        format!("{} · realm {} · {charter}", style.bold(&state), style.bold(&printable(&self.realm)))
    }

    fn site(&self, site: &SiteShown, page: &mut Page) {
        page.title(&format!("site {}{}", site.site, if site.enabled { "" } else { ", disabled" }));
        for seen in &site.uses {
            self.signs(seen, page);
        }
        let (text, paint) = self.bundle(site);
        page.row("bundle", &text, paint);
        let (text, paint) = receipt(site);
        page.row("receipt", &text, paint);
        if site.revoked.entries > 0 {
            let paint = if site.revoked.is_large() { Style::yellow } else { plain as Paint };
            page.row("revoked", &site.revoked.sentence(), paint);
        }
    }

    /// The newest bundle, and when the next one is due.
    fn bundle(&self, site: &SiteShown) -> (String, Paint) {
        let Some(bundle) = &site.bundle else {
            return match site.enrolled {
                true => ("none yet".to_owned(), plain),
                false => {
                    ("none before its gate's line is entered: mint site recipient".to_owned(), Style::yellow)
                }
            };
        };
        let made = format!("{}, made {}", bundle.seq, instant(bundle.issued_at));
        let Some(at) = site.next_bundle_at.filter(|_| site.enabled) else { return (made, plain) };
        match at.checked_sub(self.now) {
            Some(left) => (format!("{made}; the next is due {}, in {}", instant(at), about(left)), plain),
            None => {
                let late = about(self.now - at);
                (format!("{made}; the next was due {}, {late} ago", instant(at)), Style::yellow)
            }
        }
    }

    fn signs(&self, seen: &UseShown, page: &mut Page) {
        match (&seen.signing, &seen.ahead) {
            (Some(key), _) => {
                let ends = until(key.until, self.now);
                page.row(
                    "signs",
                    &format!("{} ({}, {}) until {ends}", key.kid, key.algorithm, seen.r#use),
                    Style::green,
                );
            }
            (None, ahead) => {
                let ahead = ahead.as_deref().unwrap_or_default();
                page.row("signs", &format!("nothing ({}); {ahead}", seen.r#use), Style::red);
            }
        }
        if let Some(next) = &seen.next {
            let (state, waits) = next.state();
            let line = format!("{} from {}: {state}", next.kid, instant(next.from));
            page.row("then", &line, if waits { Style::yellow } else { plain });
        } else if seen.signing.is_some() {
            page.row("then", "no further key is planned", plain);
        }
        if let Some(reaches) = seen.calendar_reaches {
            page.row("calendar", &format!("reaches until {}", until(reaches, self.now)), plain);
        }
    }

    /// The charter's keys, a line each.
    fn role_keys(&self, page: &mut Page) {
        if self.roles.is_empty() {
            return;
        }
        page.title("keys of the charter, each to be replaced before its date");
        let width = self.roles.iter().map(|key| key.name.chars().count()).max().unwrap_or(0);
        for (place, RoleKeyShown { role, name, key, due, here, .. }) in self.roles.iter().enumerate() {
            let again = place > 0 && self.roles[place - 1].role == *role;
            let place = if *here { "on this disk" } else { "elsewhere" };
            let line = format!("{name:<width$}  {key}  {}  {place}", instant(*due));
            page.row(if again { "" } else { role }, &line, plain);
        }
    }
}

/// What the site has confirmed.
fn receipt(site: &SiteShown) -> (String, Paint) {
    let Some(receipt) = &site.receipt else {
        return ("none: a key signs once its bundle has had the courier interval".to_owned(), plain);
    };
    let entered = format!("bundle {}, entered {}", receipt.seq, instant(receipt.at));
    match receipt.waiting_since {
        Some(since) => (format!("{entered}; none of what left since {}", instant(since)), plain),
        None => (entered, plain),
    }
}

impl NextShown {
    /// How far it has come, and whether it waits for something.
    fn state(&self) -> (String, bool) {
        match (self.released, self.usable_from) {
            (false, _) => ("not released".to_owned(), true),
            (true, None) => ("not carried yet".to_owned(), true),
            (true, Some(from)) if from > self.from => {
                (format!("may not sign before {}", instant(from)), true)
            }
            (true, Some(_)) => ("the site can know it".to_owned(), false),
        }
    }
}
