//! The last steps of a bundle, in the one order that survives a crash after any of them: file durable in
//! `staging/`, row committed, file renamed into the outbox. [`settle`] is what a crash leaves to do, and runs
//! before every bundle.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farside_service::digest::{hex, sha256};
use farside_service::durable::{self, Failed, Mode};
use farside_service::lock::Exclusive;
use rusqlite::OptionalExtension;

use super::BundleFault;
use super::content::Carried;
use crate::config::Home;
use crate::store::{Store, StoreFault};

/// Largest file that is read back: the largest bundle there can be, and room for its manifest.
const STAGED_BYTES_MAX: u64 = 257 << 20;

/// One bundler at a time for each site.
pub(super) fn take_turn(home: &Home, site: &str, patience: Duration) -> Result<Exclusive, BundleFault> {
    durable::create_dir_all(&home.staging(), Mode::Private)?;
    let lock = home.staging().join(format!("{site}.lock"));
    Ok(Exclusive::take_within(&lock, patience)?)
}

/// Stages, commits, publishes.
pub(super) fn publish(home: &Home, store: &Store, carried: &Carried<'_>) -> Result<PathBuf, BundleFault> {
    let site = &carried.packed.manifest.site;
    let file_sha256 = hex(&sha256(&carried.packed.bytes));
    let staged = staged_path(home, site, &file_sha256);
    durable::write(&staged, &carried.packed.bytes, Mode::Shared)?;
    store.write(|transaction| carried.insert(transaction, &file_sha256))?;
    release(home, site, &staged, &carried.file())
}

/// Publishes the staged files of `site` that were committed and throws away those that were not.
pub(super) fn settle(home: &Home, store: &Store, site: &str) -> Result<(), BundleFault> {
    for staged in staged_files(home, site)? {
        let file_sha256 = hex(&sha256(&durable::read_limited(&staged, STAGED_BYTES_MAX)?));
        let committed: Option<String> = store.read(|transaction| {
            transaction
                .query_row(
                    "SELECT file FROM bundle WHERE site = ?1 AND file_sha256 = ?2",
                    (site, &file_sha256),
                    |row| row.get(0),
                )
                .optional()
                .map_err(StoreFault::from)
        })?;
        match committed {
            Some(file) => {
                release(home, site, &staged, &file)?;
            }
            None => durable::remove(&staged)?,
        }
    }
    Ok(())
}

fn release(home: &Home, site: &str, staged: &Path, file: &str) -> Result<PathBuf, BundleFault> {
    let outbox = home.outbox(site);
    durable::create_dir_all(&outbox, Mode::Private)?;
    let path = outbox.join(file);
    durable::rename(staged, &path)?;
    Ok(path)
}

fn staged_path(home: &Home, site: &str, file_sha256: &str) -> PathBuf {
    home.staging().join(format!("{site}.{file_sha256}.staged"))
}

/// A site's name holds no dot, so the prefix cannot be another site's.
fn staged_files(home: &Home, site: &str) -> Result<Vec<PathBuf>, BundleFault> {
    let folder = home.staging();
    let failed = |source| Failed { action: "list", path: folder.clone(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let ours = name
            .to_str()
            .and_then(|name| name.strip_prefix(site)?.strip_prefix('.')?.strip_suffix(".staged"));
        if ours.is_some() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
