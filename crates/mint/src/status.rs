//! What this mint's keys are doing and what people will have to do about them: one picture for people, the
//! same one for programs, and the warnings that `serve` tells.
//!
//! ```text
//!   calendar, bundles, receipts, drafts, charters ─▶ look ─▶ Status: what signs, what follows, until when
//!                                                             └─▶ warnings: what to do, with the command
//! ```

mod revoked;
mod roles;
mod shown;
mod warnings;

use farside_crossing::Charter;
use farside_service::cli::Failure;
use rusqlite::OptionalExtension;
use serde::Serialize;

use crate::ceremony;
use crate::config::Mint;
use crate::release::{self, Kind};
use crate::rotation::Doubt;
use crate::store::{Purpose, Site, Store, StoreFault, unsigned};

pub use revoked::{Measured, RevokedShown};
pub use roles::RoleKeyShown;
pub use warnings::Warning;

/// The whole picture, as `status --json` prints it. Times are Unix seconds.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The realm.
    pub realm: String,
    /// This machine's clock.
    pub now: u64,
    /// The charter in force.
    pub charter: Option<u64>,
    /// Its keys, with their age.
    pub roles: Vec<RoleKeyShown>,
    /// Every site.
    pub sites: Vec<SiteShown>,
    /// Documents that wait for signatures.
    pub waiting: Vec<DraftShown>,
    /// What somebody should do.
    pub warnings: Vec<Warning>,
}

/// One site.
#[derive(Debug, Serialize)]
pub struct SiteShown {
    /// Its name.
    pub site: String,
    /// Whether anything is issued for it.
    pub enabled: bool,
    /// Whether bundles can be made for it: it is unsealed, or its gate's recipient key is known.
    pub enrolled: bool,
    /// What signs, for each use.
    pub uses: Vec<UseShown>,
    /// The newest bundle.
    pub bundle: Option<BundleShown>,
    /// When the next one is made.
    pub next_bundle_at: Option<u64>,
    /// The newest receipt.
    pub receipt: Option<ReceiptShown>,
    /// What is revoked there, and how much room that takes in its bundles.
    pub revoked: RevokedShown,
}

/// The keys of one use.
#[derive(Debug, Serialize)]
pub struct UseShown {
    /// `sig` or `jwt-svid`.
    pub r#use: &'static str,
    /// The key that signs.
    pub signing: Option<SigningShown>,
    /// The key that takes over.
    pub next: Option<NextShown>,
    /// Until when released keys follow each other without a gap.
    pub calendar_reaches: Option<u64>,
    /// Where none signs: when one will, or what is missing.
    pub ahead: Option<String>,
}

/// The key that signs.
#[derive(Debug, Serialize)]
pub struct SigningShown {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// Until when it signs.
    pub until: u64,
}

/// The key that takes over.
#[derive(Debug, Serialize)]
pub struct NextShown {
    /// Its id.
    pub kid: String,
    /// From when it is to sign.
    pub from: u64,
    /// From when it may: `None` where it is not released, or no bundle has carried it.
    pub usable_from: Option<u64>,
    /// Whether release people have signed it.
    pub released: bool,
}

/// A bundle.
#[derive(Debug, Serialize)]
pub struct BundleShown {
    /// Its number.
    pub seq: u64,
    /// When it was made.
    pub issued_at: u64,
}

/// A receipt.
#[derive(Debug, Serialize)]
pub struct ReceiptShown {
    /// The bundle's number.
    pub seq: u64,
    /// When the receipt was entered.
    pub at: u64,
    /// When the first bundle after that one was made.
    pub waiting_since: Option<u64>,
}

/// A document that waits for signatures.
#[derive(Debug, Serialize)]
pub struct DraftShown {
    /// Its file.
    pub file: String,
    /// Its sites.
    pub sites: Vec<String>,
    /// Which document.
    pub kind: Kind,
    /// Its number; of many, the first one's.
    pub version: u64,
    /// Who has signed.
    pub signed: Vec<String>,
    /// How many it takes.
    pub threshold: usize,
}

/// Looks at everything; `doubt` is what is doubted of this machine's clock, and what is `measured` already is
/// not measured again.
///
/// # Errors
/// The database, the charters or the key files cannot be read.
pub fn look(
    mint: &Mint,
    store: &Store,
    now: u64,
    (doubt, measured): (Option<Doubt>, &Measured),
) -> Result<Status, Failure> {
    let directory = store.directory()?;
    let chain = ceremony::chain(store)?;
    let newest = chain.last();
    let sites = directory.sites().map(|site| {
        let revoked = measured.look(store, directory.realm(), site, now)?;
        show(store, site, revoked, now)
    });
    let mut status = Status {
        realm: directory.realm().to_owned(),
        now,
        charter: newest.map(Charter::version),
        roles: roles::look(mint, store, &chain, now)?,
        sites: sites.collect::<Result<_, Failure>>()?,
        waiting: newest.map_or_else(|| Ok(Vec::new()), |newest| waiting(mint, store, newest))?,
        warnings: Vec::new(),
    };
    status.warnings = doubt.map(warnings::doubted).into_iter().collect();
    status.warnings.extend(warnings::of(&status, mint, store, (&directory, newest))?);
    Ok(status)
}

fn show(store: &Store, site: &Site, revoked: RevokedShown, now: u64) -> Result<SiteShown, Failure> {
    let bundle = site.last_bundle.map(|last| BundleShown { seq: last.seq, issued_at: last.issued_at });
    Ok(SiteShown {
        site: site.name.clone(),
        enabled: site.enabled,
        enrolled: !site.terms.sealed || site.recipient.is_some(),
        uses: site.purposes().map(|purpose| show_use(site, purpose, now)).collect(),
        next_bundle_at: site.bundle_due_at(),
        receipt: receipt(store, &site.name)?,
        revoked,
        bundle,
    })
}

fn show_use(site: &Site, purpose: Purpose, now: u64) -> UseShown {
    let signing = site.signing_key(purpose, now);
    UseShown {
        r#use: purpose.as_str(),
        signing: signing.map(|key| SigningShown {
            kid: key.kid.clone(),
            algorithm: key.algorithm.name().to_owned(),
            until: key.sign_until,
        }),
        next: site.next_key(purpose, now).map(|key| NextShown {
            kid: key.kid.clone(),
            from: key.sign_from,
            usable_from: key.usable_from,
            released: key.adopted_at.is_some(),
        }),
        calendar_reaches: site.calendar_reaches(purpose, now),
        ahead: signing.is_none().then(|| site.ahead(purpose, now).to_string()),
    }
}

fn receipt(store: &Store, site: &str) -> Result<Option<ReceiptShown>, StoreFault> {
    store.read(|transaction| {
        let newest = transaction
            .prepare_cached(
                "SELECT seq, receipted_at FROM bundle WHERE site = ?1 AND receipted_at IS NOT NULL
                 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([site], |row| Ok((row.get::<_, i64>(0)?, unsigned(row.get(1)?))))
            .optional()?;
        let Some((seq, at)) = newest else { return Ok(None) };
        let waiting_since = transaction
            .prepare_cached("SELECT issued_at FROM bundle WHERE site = ?1 AND seq > ?2 ORDER BY seq LIMIT 1")?
            .query_row((site, seq), |row| Ok(unsigned(row.get(0)?)))
            .optional()?;
        Ok(Some(ReceiptShown { seq: unsigned(seq), at, waiting_since }))
    })
}

/// Drafts that were left for release people and can still be adopted.
fn waiting(mint: &Mint, store: &Store, charter: &Charter) -> Result<Vec<DraftShown>, Failure> {
    let Ok(listing) = std::fs::read_dir(mint.home.drafts()) else { return Ok(Vec::new()) };
    let mut waiting = Vec::new();
    for entry in listing.flatten() {
        let Ok(bytes) = farside_service::durable::read_limited(&entry.path(), release::SHEAF_BYTES_MAX)
        else {
            continue;
        };
        let (mut sites, mut first) = (Vec::new(), None);
        for note in release::untie(&bytes).unwrap_or_default() {
            let Some((kind, site, version)) = release::place(note, charter.realm()) else { continue };
            if waits(store, charter, (kind, &site, version))? {
                first = first.or(Some((kind, version)));
                sites.push(site);
            }
        }
        let Some((kind, version)) = first else { continue };
        let Ok((signed, threshold)) = release::progress(charter.release(), &bytes) else { continue };
        let file = entry.path().display().to_string();
        waiting.push(DraftShown { file, sites, kind, version, signed, threshold });
    }
    waiting.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(waiting)
}

fn waits(
    store: &Store,
    charter: &Charter,
    (kind, site, version): (Kind, &str, u64),
) -> Result<bool, Failure> {
    let adopted = store.read(|transaction| release::adopted_version(transaction, site, kind))?;
    let again = version == adopted && release::in_force_unsigned(store, site, kind, charter.release())?;
    Ok(version > adopted || again)
}
