//! What somebody should do before it is too late, each with the command for it.

use farside_crossing::Charter;
use farside_service::cli::Failure;
use farside_service::time::rfc3339;
use serde::Serialize;

use super::{DraftShown, NextShown, SiteShown, Status, UseShown};
use crate::bundler;
use crate::config::Mint;
use crate::release::{self, ReleaseFault};
use crate::rotation::Doubt;
use crate::store::{Ahead, Directory, Purpose, Site, Store, StoreFault, unsigned};

/// Courier rounds that people are given to notice and to act.
const COURIER_ROUNDS: u64 = 2;

/// How long destroying a key may take.
const DESTROYING_SECONDS_MAX: u64 = 60;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// What kind, for scripts: it never changes.
    pub code: &'static str,
    /// The site, where it is about one.
    pub site: Option<String>,
    /// What is the matter.
    pub detail: String,
    /// The command that helps.
    pub cure: String,
}

impl Warning {
    fn of_site(code: &'static str, site: &Site, detail: String, cure: String) -> Warning {
        Warning { code, site: Some(site.name.clone()), detail, cure }
    }

    /// As a sentence.
    pub fn sentence(&self) -> String {
        match &self.site {
            Some(site) => format!("{}: site {site}: {}", self.code, self.detail),
            None => format!("{}: {}", self.code, self.detail),
        }
    }
}

/// Every warning, the gravest first.
pub(super) fn of(
    status: &Status,
    mint: &Mint,
    store: &Store,
    (directory, newest): (&Directory, Option<&Charter>),
) -> Result<Vec<Warning>, Failure> {
    let (now, release_seconds) = (status.now, mint.config.rotation.release_time.0);
    let mut warnings = Vec::new();
    for (site, shown) in directory.sites().zip(&status.sites).filter(|(site, _)| site.enabled) {
        for (purpose, seen) in site.purposes().zip(&shown.uses) {
            warnings.extend(calendar(site, purpose, seen, now, release_seconds));
            warnings.extend(seen.next.as_ref().and_then(|next| not_ready(site, next, now)));
        }
        warnings.extend(revocations(site, shown));
        warnings.extend(overdue(site, shown, now));
        warnings.extend(unreceipted(site, shown, now));
        if site.keys.is_empty() {
            let cure = format!("mint keys plan --site {}", site.name);
            warnings.push(Warning::of_site("no_key", site, "it has no token key".to_owned(), cure));
        }
    }
    if let Some(newest) = newest {
        warnings.extend(outdated(store, newest)?);
    }
    warnings.extend(status.waiting.iter().map(waits));
    warnings.extend(role_keys(status, release_seconds));
    warnings.extend(store.read(|transaction| undestroyed(transaction, now))?);
    Ok(warnings)
}

/// No key is destroyed by the clock as it is.
// keys.md §5.4
pub(super) fn doubted(Doubt { clock, at_most, until }: Doubt) -> Warning {
    Warning {
        code: "clock_doubted",
        site: None,
        detail: format!(
            "this machine's clock says {}, and it can be {} at most; no key is destroyed by it before {}",
            rfc3339(clock),
            rfc3339(at_most),
            rfc3339(until)
        ),
        cure:
            "set the clock right; if it is, and this mint was off for long: mint keys destroy-due --reason \
               REASON"
                .to_owned(),
    }
}

fn calendar(
    site: &Site,
    purpose: Purpose,
    seen: &UseShown,
    now: u64,
    release_seconds: u64,
) -> Option<Warning> {
    let name = &site.name;
    let plan = format!("mint keys plan --site {name}");
    let Some(reaches) = seen.calendar_reaches else {
        let ahead = site.ahead(purpose, now);
        let cure = match ahead {
            Ahead::Signs { .. } | Ahead::Uncarried(_) => format!("mint bundle make --site {name}"),
            Ahead::Unreleased(_) => "mint release sign --key KEY FILE".to_owned(),
            Ahead::Nothing => plan,
        };
        let detail = format!("no key may sign {} tokens; {ahead}", seen.r#use);
        return Some(Warning::of_site("no_key_signs", site, detail, cure));
    };
    // People need their time, the calendar a courier, and one courier may fail.
    let needed = COURIER_ROUNDS * site.terms.courier_seconds + release_seconds;
    (reaches.saturating_sub(now) < needed).then(|| {
        let detail = format!("its calendar for {} ends at {}", seen.r#use, rfc3339(reaches));
        Warning::of_site("calendar_ends", site, detail, plan)
    })
}

/// The next key is to take over soon and may not.
fn not_ready(site: &Site, next: &NextShown, now: u64) -> Option<Warning> {
    let soon = next.from <= now.saturating_add(COURIER_ROUNDS * site.terms.courier_seconds);
    let ready = next.usable_from.is_some_and(|from| from <= next.from.max(now));
    if !soon || ready {
        return None;
    }
    let (kid, from) = (&next.kid, rfc3339(next.from));
    let (why, cure) = match (next.released, next.usable_from) {
        (false, _) => ("is not released", "mint release sign --key KEY FILE".to_owned()),
        (true, None) => ("stands in no bundle", format!("mint bundle make --site {}", site.name)),
        (true, Some(_)) => {
            let cure = "enter the site's receipt: mint bundle receipt --site SITE --seq N CODE";
            ("has not had the courier interval then", cure.replace("SITE", &site.name))
        }
    };
    Some(Warning::of_site("key_waits", site, format!("key {kid} is to sign from {from}, and {why}"), cure))
}

/// What is revoked has little room left in a bundle, or none.
// bundle.md §7.12
fn revocations(site: &Site, shown: &SiteShown) -> Option<Warning> {
    let revoked = Some(&shown.revoked).filter(|revoked| revoked.is_large())?;
    // In whole MiB: a size that is told anew with every entry is soon read by nobody.
    let (size, room) = (revoked.bytes.div_ceil(1 << 20), revoked.bytes_max >> 20);
    let (code, detail) = match revoked.is_too_large() {
        true => (
            "revocations_too_large",
            format!(
                "no bundle can be made: what is revoked takes {size} MiB, and a bundle has {room} for it"
            ),
        ),
        false => (
            "revocations_large",
            format!("what is revoked takes {size} of the {room} MiB that a bundle has for it"),
        ),
    };
    Some(Warning::of_site(code, site, detail, bundler::way_out(&site.name)))
}

/// The next bundle is overdue.
fn overdue(site: &Site, shown: &SiteShown, now: u64) -> Option<Warning> {
    let at = shown.next_bundle_at.filter(|at| now > at.saturating_add(site.terms.courier_seconds))?;
    let detail = format!("its next bundle was due at {}", rfc3339(at));
    let cure = format!("mint serve, or mint bundle make --site {}", site.name);
    Some(Warning::of_site("bundle_overdue", site, detail, cure))
}

/// Receipts have stopped, where they come back at all.
fn unreceipted(site: &Site, shown: &SiteShown, now: u64) -> Option<Warning> {
    let receipt = shown.receipt.as_ref()?;
    let patience = COURIER_ROUNDS * site.terms.courier_seconds;
    let since = receipt.waiting_since.filter(|since| now > since.saturating_add(patience))?;
    let (seq, since) = (receipt.seq, rfc3339(since));
    let detail = format!("nothing after bundle {seq} is receipted, though bundles left since {since}");
    let cure = "ask the site for `farside gate receipt` and enter it: mint bundle receipt";
    Some(Warning::of_site("receipt_missing", site, detail, cure.to_owned()))
}

fn outdated(store: &Store, newest: &Charter) -> Result<Vec<Warning>, Failure> {
    let role = newest.release();
    let outdated = release::outdated(store, None, (role, role)).map_err(|fault: ReleaseFault| fault)?;
    Ok(outdated
        .into_iter()
        .map(|renewal| Warning {
            code: "document_outdated",
            detail: format!(
                "its {} document is not signed by the release people of charter {}",
                renewal.kind.as_str(),
                newest.version()
            ),
            cure: format!("mint release renew --site {}", renewal.site),
            site: Some(renewal.site),
        })
        .collect())
}

fn waits(draft: &DraftShown) -> Warning {
    let DraftShown { file, sites, kind, version, signed, threshold } = draft;
    let (have, kind) = (signed.len(), kind.as_str());
    let cure = match threshold.saturating_sub(have) {
        0 => format!("mint release adopt {file}"),
        _ => format!("mint release sign --key KEY {file}"),
    };
    Warning {
        code: "document_waits",
        site: sites.first().filter(|_| sites.len() == 1).cloned(),
        detail: match sites.len() {
            1 => format!("its {kind} document {version} has {have} of {threshold} release signatures"),
            many => {
                format!("the {kind} documents of {many} sites have {have} of {threshold} release signatures")
            }
        },
        cure,
    }
}

fn role_keys(status: &Status, release_seconds: u64) -> Vec<Warning> {
    let old = status.roles.iter().filter(|key| status.now.saturating_add(release_seconds) >= key.due);
    old.map(|key| {
        let (role, name, due) = (key.role, &key.name, rfc3339(key.due));
        let cure = match role {
            "online" => "mint charter draft --new-online --out FILE",
            "log" => "mint charter draft --new-log --out FILE",
            "release" => "mint charter draft --release PUB … --out FILE",
            _ => "mint charter draft --root PUB … --out FILE",
        };
        Warning {
            code: "role_key_old",
            site: None,
            detail: format!("the {role} key {name} ({}) is to be replaced before {due}", key.key),
            cure: cure.to_owned(),
        }
    })
    .collect()
}

fn undestroyed(transaction: &rusqlite::Transaction<'_>, now: u64) -> Result<Vec<Warning>, StoreFault> {
    let mut statement =
        transaction.prepare_cached("SELECT path, begun_at FROM destruction WHERE done_at IS NULL")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, unsigned(row.get(1)?))))?;
    let mut warnings = Vec::new();
    for row in rows {
        let (path, begun_at) = row?;
        if now > begun_at.saturating_add(DESTROYING_SECONDS_MAX) {
            warnings.push(Warning {
                code: "key_not_destroyed",
                site: None,
                detail: format!("the private key in {path} has ended and is still there"),
                cure: "let `farside mint serve` run, and see that it may write in keys/".to_owned(),
            });
        }
    }
    Ok(warnings)
}
