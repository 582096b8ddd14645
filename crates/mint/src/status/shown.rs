//! The picture for people.

use farside_service::cli::{Style, table};
use farside_service::time::rfc3339;

use super::{RoleKeyShown, SiteShown, Status, UseShown};

const DAY_SECONDS: u64 = 86_400;

impl Status {
    /// The picture for people.
    pub fn human(&self, style: Style) -> String {
        let mut lines = vec![self.headline(style)];
        for warning in &self.warnings {
            lines.push(format!("  {}", style.yellow(&warning.sentence())));
            lines.push(format!("    {}", style.dim(&warning.cure)));
        }
        for site in &self.sites {
            lines.push(String::new());
            lines.extend(self.site_lines(site, style));
        }
        if !self.waiting.is_empty() {
            lines.push(String::new());
            lines.extend(self.waiting.iter().map(|draft| {
                let (have, of) = (draft.signed.len(), draft.threshold);
                format!("waiting   {}: {have} of {of} release signatures", draft.file)
            }));
        }
        if !self.roles.is_empty() {
            lines.push(String::new());
            lines.push(self.role_table());
        }
        lines.join("\n")
    }

    fn headline(&self, style: Style) -> String {
        let state = match self.warnings.len() {
            0 => style.green("NOTHING TO DO"),
            1 => style.yellow("1 THING TO DO"),
            many => style.yellow(&format!("{many} THINGS TO DO")),
        };
        let charter = self.charter.map_or_else(|| "no charter yet".to_owned(), |n| format!("charter {n}"));
        format!("{state} · realm {} · {charter}", style.bold(&self.realm))
    }

    fn site_lines(&self, site: &SiteShown, style: Style) -> Vec<String> {
        let name = style.bold(&site.site);
        let mut lines =
            vec![if site.enabled { format!("site {name}") } else { format!("site {name}, disabled") }];
        for seen in &site.uses {
            lines.extend(self.use_lines(seen, style));
        }
        if let Some(bundle) = &site.bundle {
            let next =
                site.next_bundle_at.map_or_else(String::new, |at| format!(", next at {}", rfc3339(at)));
            lines.push(format!("  bundle    {}, made {}{next}", bundle.seq, rfc3339(bundle.issued_at)));
        }
        lines.push(match &site.receipt {
            Some(receipt) => format!("  receipt   bundle {}, entered {}", receipt.seq, rfc3339(receipt.at)),
            None => "  receipt   none: a key signs once its bundle has had the courier interval".to_owned(),
        });
        lines
    }

    fn use_lines(&self, seen: &UseShown, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        match (&seen.signing, &seen.ahead) {
            (Some(key), _) => lines.push(format!(
                "  signs     {} ({}, {}) until {}, {} more",
                style.green(&key.kid),
                key.algorithm,
                seen.r#use,
                rfc3339(key.until),
                days(key.until.saturating_sub(self.now)),
            )),
            (None, ahead) => {
                let ahead = ahead.as_deref().unwrap_or_default();
                lines.push(format!(
                    "  {}",
                    style.red(&format!("signs     nothing ({}); {ahead}", seen.r#use))
                ));
            }
        }
        if let Some(next) = &seen.next {
            let state = match (next.released, next.usable_from) {
                (false, _) => style.yellow("not released"),
                (true, None) => style.yellow("not carried yet"),
                (true, Some(from)) if from > next.from => {
                    style.yellow(&format!("may not sign before {}", rfc3339(from)))
                }
                (true, Some(_)) => "the site can know it".to_owned(),
            };
            lines.push(format!("  next      {} from {}: {state}", next.kid, rfc3339(next.from)));
        }
        if let Some(reaches) = seen.calendar_reaches {
            let left = days(reaches.saturating_sub(self.now));
            lines.push(format!("  calendar  reaches until {}, {left} more", rfc3339(reaches)));
        }
        lines
    }

    fn role_table(&self) -> String {
        let row = |key: &RoleKeyShown| {
            let age = days(self.now.saturating_sub(key.since));
            let here = if key.here { "on this disk" } else { "elsewhere" };
            vec![
                key.role.to_owned(),
                key.name.clone(),
                key.key.clone(),
                age,
                rfc3339(key.due),
                here.to_owned(),
            ]
        };
        let rows: Vec<Vec<String>> = self.roles.iter().map(row).collect();
        table(&["role", "name", "key", "age", "replace before", "private half"], &rows)
    }
}

fn days(seconds: u64) -> String {
    match seconds / DAY_SECONDS {
        0 => format!("{} h", seconds / 3_600),
        days => format!("{days} d"),
    }
}
