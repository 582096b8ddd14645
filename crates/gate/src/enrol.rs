//! How a gate begins: made on its own machine, with a recipient key that never leaves it, and bound to a
//! realm by a charter whose fingerprint people compared.

use std::net::SocketAddr;
use std::path::Path;

use farside_crossing::{Charter, ExpectedFingerprint, RecipientPublic, charter};
use farside_service::cli::{Failure, operator};
use farside_service::durable::{self, Mode};
use farside_service::journal::Journal;
use farside_service::lock::Exclusive;
use serde_json::{Value, json};

use crate::config::{self, Config};
use crate::import::JOURNAL_NAME;
use crate::recipient;
use crate::store::{self, Store};

/// Largest charter, in bytes.
const CHARTER_BYTES_MAX: u64 = 1 << 20;

/// Where a new gate is to listen.
pub struct Doors {
    /// The doors.
    pub listen: SocketAddr,
    /// Metrics and health.
    pub admin: SocketAddr,
}

/// Makes a gate for `site` in `home`: configuration, store, folders, recipient key. Overwrites nothing.
///
/// # Errors
/// The name is no site's, a gate stands there already, or something cannot be written.
pub fn init(home: &Path, site: &str, doors: &Doors, now: u64) -> Result<(Config, RecipientPublic), Failure> {
    check_site(site)?;
    let file = home.join(config::FILE_NAME);
    if file.exists() {
        return Err(Failure::refused(format!("{} is there already", file.display()))
            .hint("a gate is never overwritten; choose another folder"));
    }
    durable::create_dir_all(home, Mode::Private)?;
    for folder in ["keys", "quarantine", "journal"] {
        durable::create_dir_all(&home.join(folder), Mode::Private)?;
    }
    durable::create_dir_all(&home.join("inbox"), Mode::Shared)?;
    let key = home.join("keys").join("recipient.key");
    let public = recipient::create(&key, site)?;
    durable::write(&home.join("recipient.pub"), format!("{public}\n").as_bytes(), Mode::Shared)?;
    Store::create(&home.join("gate.db"), site)?;
    durable::sync_dir(home)?;
    // The configuration comes last: where it stands, everything stands.
    durable::write_new(&file, config::initial_text(site, doors).as_bytes(), Mode::Shared)?;
    let made = Config::load(&file)?;
    record(&made, now, "gate_made", json!({"site": site, "recipient": public.key_id()}))?;
    Ok((made, public))
}

/// A charter that has been read but not yet believed.
pub struct Candidate {
    bytes: Vec<u8>,
    review: charter::Review,
}

impl Candidate {
    /// Reads a charter file.
    ///
    /// # Errors
    /// It is missing, too large, or no charter.
    pub fn read(path: &Path) -> Result<Candidate, Failure> {
        let bytes = durable::read_limited(path, CHARTER_BYTES_MAX)?;
        let review = charter::review(&bytes).map_err(refused)?;
        Ok(Candidate { bytes, review })
    }

    /// What it says, unverified.
    pub fn review(&self) -> &charter::Review {
        &self.review
    }
}

/// Believes a charter whose fingerprint is the expected one, and binds the gate to its realm.
///
/// # Errors
/// The fingerprint differs, signatures are missing, or the gate trusts another charter already.
pub fn trust(
    config: &Config,
    candidate: &Candidate,
    expected: &ExpectedFingerprint,
    now: u64,
) -> Result<Charter, Failure> {
    let believed = charter::open_first(&candidate.bytes, expected).map_err(refused)?;
    let store = Store::open(&config.database())?;
    let _lock = Exclusive::take(&config.import_lock())?;
    let held = store.read(|tx| store::charters(tx))?;
    if held.iter().any(|held| held == believed.bytes()) {
        return Ok(believed);
    }
    if !held.is_empty() {
        return Err(Failure::refused("this gate trusts another charter already").hint(
            "later charters come in bundles and follow the one trusted; for another realm make another gate",
        ));
    }
    record(
        config,
        now,
        "charter_trusted",
        json!({"realm": believed.realm(), "version": believed.version(),
                "fingerprint": believed.fingerprint().hex()}),
    )?;
    store.write(|tx| {
        store::add_charter(tx, believed.version(), believed.bytes(), now)?;
        store::set_realm(tx, believed.realm())
    })?;
    Ok(believed)
}

/// Says what a refusal of `crossing` says, at the command line.
pub(crate) fn refused(refusal: farside_crossing::Refusal) -> Failure {
    Failure::refused(format!("{}: {refusal}", refusal.code().as_str())).hint(refusal.cure())
}

/// Writes an act of people's into the importer's journal; durable when it returns.
pub(crate) fn record(config: &Config, now: u64, event: &str, mut members: Value) -> Result<(), Failure> {
    let (journal, _) = Journal::open(&config.journal(), JOURNAL_NAME)?;
    members["by"] = operator().into();
    journal.record_at(now, event, members)?.wait()?;
    Ok(())
}

/// Site names stand in file names and first lines: small letters, digits and `- . _`.
fn check_site(site: &str) -> Result<(), Failure> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    let begins = site.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if begins && site.len() <= 64 && site.bytes().all(allowed) {
        return Ok(());
    }
    Err(Failure::refused("a site's name is 1 to 64 of a-z 0-9 - . _ and begins with a letter or digit"))
}
