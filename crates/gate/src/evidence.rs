//! What an auditor is given of the far side: one folder with the charters, every bundle applied with its
//! signed manifest, what is missing and what forked, keys, revocations, log leaves, and the journals with
//! every decision. Nothing secret is in it: no recipient key, no receipt's code, no parcel, no token's text,
//! no pass.
//! It names people, so only its owner may read it.

use std::ops::ControlFlow;
use std::path::Path;

use farside_crossing::charter;
use farside_crossing::evidence::{self, Head, KeyRow, MissingRow, Side};
use farside_service::cli::Failure;
use farside_service::export::{Entry, Writer};
use rusqlite::Transaction;

use crate::config::Config;
use crate::published;
use crate::store::{self, Store, StoreFault};

/// Writes the export into `folder`, which must not exist yet.
///
/// # Errors
/// The folder is there, the disk fails, or the store does not read.
// audit.md §2
pub fn export(config: &Config, folder: &Path, now: u64) -> Result<Vec<Entry>, Failure> {
    let store = Store::open(&config.database())?;
    let mut writer = Writer::create(folder)?;
    // Journals first: what happens meanwhile is then in the tables and not the other way round.
    writer.journals(&config.journal())?;
    let held = store.read(Held::read)?;
    for note in &held.charters {
        let version = charter::review(note).map_err(|_| StoreFault::Damaged("charter"))?.draft.version;
        writer.bytes(&format!("{}/{version}.note", evidence::CHARTERS), note)?;
    }
    writer.rows(evidence::BUNDLES, &held.bundles)?;
    writer.rows(evidence::MISSING, &held.missing)?;
    writer.rows(evidence::FORKS, &held.forks)?;
    writer.rows(evidence::BREAKGLASS, &held.breakglass)?;
    writer.rows(evidence::HEADS, &held.heads)?;
    writer.rows(evidence::KEYS, held.keys(&config.site)?)?;
    // Each component to the byte as the mint packed it, so that the manifest's digest proves it.
    for (seq, part) in &held.status {
        writer.bytes(&format!("{}/{seq}.json", evidence::STATUS), part)?;
    }
    leaves(&store, &mut writer)?;
    let realm = held.realm.unwrap_or_default();
    let site = Some(config.site.clone());
    let head = Head { version: evidence::VERSION, side: Side::Gate, realm, site, made_at: now };
    Ok(writer.finish(&head)?)
}

/// What the store holds, but for its leaves.
struct Held {
    realm: Option<String>,
    charters: Vec<Vec<u8>>,
    bundles: Vec<evidence::AppliedRow>,
    missing: Vec<MissingRow>,
    forks: Vec<evidence::ForkRow>,
    breakglass: Vec<evidence::GlassRow>,
    heads: Vec<evidence::HeadRow>,
    jwks: Option<Vec<u8>>,
    status: Vec<(u64, Vec<u8>)>,
}

impl Held {
    fn read(tx: &Transaction<'_>) -> Result<Held, StoreFault> {
        let missing = store::missing(tx)?.into_iter();
        Ok(Held {
            realm: store::realm(tx)?,
            charters: store::charters(tx)?,
            bundles: store::evidence::bundles(tx)?,
            missing: missing
                .map(|hole| MissingRow { first: hole.first, last: hole.last, noticed_at: hole.noticed_at })
                .collect(),
            forks: store::evidence::forks(tx)?,
            breakglass: store::evidence::breakglass(tx)?,
            heads: store::evidence::heads(tx)?,
            jwks: store::document(tx, "keys")?,
            status: store::status_parts(tx)?,
        })
    }

    fn keys(&self, site: &str) -> Result<Vec<KeyRow>, Failure> {
        let Some(jwks) = &self.jwks else { return Ok(Vec::new()) };
        let keys = published::read(jwks).map_err(|_| StoreFault::Damaged("keys"))?;
        let row = |key: published::PublishedKey| KeyRow {
            site: site.to_owned(),
            kid: key.kid,
            algorithm: key.alg,
            created_at: None,
            sign_from: key.sign_from,
            sign_until: key.sign_until,
            accept_until: key.accept_until,
            destroyed_at: None,
        };
        Ok(keys.into_iter().map(row).collect())
    }
}

fn leaves(store: &Store, writer: &mut Writer) -> Result<(), Failure> {
    let mut file = writer.file(evidence::LEAVES)?;
    let mut written = Ok(());
    store.read(|tx| {
        store::evidence::leaves(tx, |row| {
            written = file.line(row);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    })?;
    written?;
    Ok(file.finish()?)
}
