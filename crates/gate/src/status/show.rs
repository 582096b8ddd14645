//! The picture for people, at a glance and within eighty columns: a headline, what needs a hand, what is
//! trusted, what comes next, what is held.

use farside_service::cli::page::{Page, Paint, TIED, instant, plain, until};
use farside_service::cli::{Style, printable};
use farside_service::duration::about;
use farside_service::time::rfc3339;

use super::{KeyShown, LogShown, Missing, Status, Tier};
use crate::config::Audit;
use crate::revocations::Counts;
use crate::store::{LogForkRow, MissingRow};

/// How much of a root people are shown; programs get all of it.
const ROOT_SHOWN_CHARS: usize = 16;
/// How many coming events people are shown; programs get all of them.
const NEXT_SHOWN_MAX: usize = 10;
/// What ends within this time stands out.
const SOON_SECONDS: u64 = 3_600;
/// How many audiences are shown with all that they are served for.
const AUDIENCES_SHOWN_MAX: usize = 12;

impl Status {
    /// The picture for people.
    pub fn human(&self, style: Style) -> String {
        let mut page = Page::new(style);
        page.lines.push(self.headline(style));
        self.attention(&mut page);
        self.trust(&mut page);
        self.next(&mut page);
        self.holds(&mut page);
        page.lines.join("\n")
    }

    fn headline(&self, style: Style) -> String {
        let word = match self.freshness {
            _ if !self.ready && self.freshness != "expired" => style.red("NOT READY"),
            "fresh" if self.missing_now.is_empty() => style.green("FRESH"),
            "fresh" => style.yellow("FRESH, BUT NOT WHOLE"),
            "late" => style.yellow("LATE"),
            other => style.red(&other.to_uppercase()),
        };
        let age = match &self.bundle {
            Some(bundle) => {
                format!(
                    " · bundle {}, {} old",
                    bundle.seq,
                    about(self.clock.now.saturating_sub(bundle.issued_at))
                )
            }
            None => " · no bundle yet".to_owned(),
        };
        let realm = self.realm.as_deref().unwrap_or("no realm yet");
        format!("{} · site {} of {}{age}", style.bold(&word), style.bold(&self.site), printable(realm))
    }

    /// What somebody should look at, and what to do about it.
    fn attention(&self, page: &mut Page) {
        let before = page.lines.len();
        if let Some(why) = &self.not_ready {
            page.row("refuses", &format!("{}. {}", why.trim_end_matches('.'), self.cure), Style::red);
        }
        for glass in &self.breakglass {
            let paint = if glass.is_broken() { Style::red } else { Style::yellow };
            page.row("glass", &glass.sentence(), paint);
        }
        if self.frozen {
            page.row("frozen", "two histories came, of the bundles or of a log; see the forks", Style::red);
        }
        for fork in &self.forks {
            page.row("fork", &format!("bundle {}: {} and {}", fork.seq, fork.held, fork.other), Style::red);
        }
        for LogForkRow { shard, held_size, held_root, size, root, .. } in &self.log_forks {
            page.row("log fork", &format!("{shard}: {held_size} {held_root} and {size} {root}"), Style::red);
        }
        for (name, text, alarm) in self.clock.facts() {
            page.row(name, &text, if alarm { Style::red } else { plain });
        }
        for missing in &self.missing_now {
            page.row("missing", &missing.sentence(self.clock.now), Style::yellow);
        }
        for tier in self.tiers.iter().filter(|tier| self.ready && tier.ended(self.clock.now)) {
            let ago = about(self.clock.now - tier.until);
            page.row("stopped", &format!("{} at {}, {ago} ago", tier.doing(), tier.audience), Style::yellow);
        }
        if page.lines.len() > before {
            page.lines.insert(before, String::new());
        }
    }

    fn trust(&self, page: &mut Page) {
        page.title("trust");
        let now = self.clock.now;
        if let Some(bundle) = &self.bundle {
            let made = format!(
                "{} ({}), made {}, applied {} ago",
                bundle.seq,
                bundle.kind,
                instant(bundle.issued_at),
                about(now.saturating_sub(bundle.applied_at))
            );
            page.row("bundle", &made, plain);
            page.row("good until", &until(bundle.not_after, now), plain);
        }
        if let Some(issuer) = &self.issuer {
            page.row("issuer", issuer, plain);
        }
        for (place, audience) in self.audiences.iter().take(AUDIENCES_SHOWN_MAX).enumerate() {
            page.row(if place == 0 { "audiences" } else { "" }, &self.served(audience), plain);
        }
        if self.audiences.len() > AUDIENCES_SHOWN_MAX {
            let more = self.audiences.len() - AUDIENCES_SHOWN_MAX;
            page.row("", &format!("and {more} more (--json)"), Style::dim);
        }
        for (place, key) in self.keys.iter().filter(|key| key.state != "retired").enumerate() {
            page.row(if place == 0 { "keys" } else { "" }, &key.sentence(), key.paint());
        }
        if let Some(charter) = &self.charter {
            page.row("charter", &format!("version {}", charter.version), plain);
            page.row("", &charter.words, Style::dim);
        }
    }

    /// An audience and what it is served for, where that ends before all else does.
    fn served(&self, audience: &str) -> String {
        let own = self.tiers.iter().filter(|tier| tier.audience == audience);
        let tiers: Vec<String> = own.map(|tier| tier.sentence(self.clock.now)).collect();
        if tiers.is_empty() { audience.to_owned() } else { format!("{audience}: {}", tiers.join(", ")) }
    }

    fn next(&self, page: &mut Page) {
        if self.next.is_empty() {
            return;
        }
        page.title("next");
        for coming in self.next.iter().take(NEXT_SHOWN_MAX) {
            let left = coming.at - self.clock.now;
            let when = format!("in {:<11} {}  ", about(left), instant(coming.at));
            let paint = match coming.event.ends_something() && left <= SOON_SECONDS {
                true => Style::yellow,
                false => plain as Paint,
            };
            page.wrapped(&format!("  {when}"), &coming.detail, paint);
        }
        if self.next.len() > NEXT_SHOWN_MAX {
            page.row("", &format!("and {} later (--json)", self.next.len() - NEXT_SHOWN_MAX), Style::dim);
        }
    }

    fn holds(&self, page: &mut Page) {
        page.title("holds");
        page.row("revoked", &revoked(&self.revoked), plain);
        let parcels = format!("{} waiting, {} collected", self.parcels.held, self.parcels.collected);
        page.row("parcels", &parcels, plain);
        for LogShown { shard, size, root, seq, stapled_heads, .. } in &self.logs {
            let waiting = match stapled_heads {
                0 => String::new(),
                heads => format!(", {heads} heads brought by tokens to be confirmed"),
            };
            let root = &root[..ROOT_SHOWN_CHARS];
            page.row(
                "log",
                &format!("{shard}: {size} leaves, root {root}…, of bundle {seq}{waiting}"),
                plain,
            );
        }
        page.row("leaves", &format!("{} kept for proof of logging", self.leaves), plain);
        let paint = if self.replay.needs_a_hand() { Style::red } else { plain };
        page.row("used once", &self.replay.sentence(), paint);
        if self.audit == Audit::Batched.as_str() {
            page.row("audit", "batched: a power cut takes the last decisions along", plain);
        }
        if !self.missing.is_empty() {
            let hole = |row: &MissingRow| match row {
                MissingRow { first, last, .. } if first == last => first.to_string(),
                MissingRow { first, last, .. } => format!("{first} to {last}"),
            };
            let holes: Vec<String> = self.missing.iter().map(hole).collect();
            page.row("missed", &format!("bundles {}, bridged by a full one", holes.join(", ")), plain);
        }
        let refused =
            format!("{} in quarantine, {} older ones passed over", self.quarantine, self.superseded);
        page.row("refused", &refused, if self.quarantine > 0 { Style::yellow } else { plain });
    }
}

fn revoked(counts: &Counts) -> String {
    let Counts { tokens, subjects, clients, groups, keys, all_before } = counts;
    let all = all_before.map_or_else(String::new, |at| format!(", all issued until {}", rfc3339(at)));
    format!("{tokens} tokens, {subjects} subjects, {clients} clients, {groups} groups, {keys} keys{all}")
}

impl Missing {
    fn sentence(&self, now: u64) -> String {
        match *self {
            Missing::Hole { first, last } if first == last => format!("bundle {first} never came"),
            Missing::Hole { first, last } => format!("bundles {first} to {last} never came"),
            Missing::Due { seq, since } => {
                format!("bundle {seq} or newer, due since {} ({} ago)", instant(since), about(now - since))
            }
        }
    }
}

impl Tier {
    fn sentence(&self, now: u64) -> String {
        let sentence = match self.ended(now) {
            true => format!("{} stopped", self.doing()),
            false => format!("{} until {}", self.doing(), instant(self.until)),
        };
        sentence.replace(' ', TIED)
    }
}

impl KeyShown {
    fn sentence(&self) -> String {
        let alg = self.alg.as_deref().unwrap_or("-");
        let at = |time: Option<u64>| time.map_or_else(|| "further notice".to_owned(), instant);
        let what = match self.state {
            "coming" => format!("takes over {}", at(self.sign_from)),
            "signing" => format!("signs until {}", at(self.sign_until)),
            "verifying" => format!("believed until {}", at(self.accept_until)),
            other => other.to_owned(),
        };
        format!("{}  {alg:<9} {what}", self.kid)
    }

    fn paint(&self) -> Paint {
        match self.state {
            "coming" | "verifying" => Style::dim,
            "revoked" => Style::red,
            _ => plain,
        }
    }
}
