//! The last steps of a bundle, in the one order that survives a crash after any of them: file durable in
//! `staging/`, row committed, number noted in the lock, file renamed into the outbox. [`settle`] is what a
//! crash leaves to do, and runs before every bundle.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farside_service::digest::{hex, sha256};
use farside_service::durable::{self, Failed, Mode};
use farside_service::lock::Exclusive;
use rusqlite::{OptionalExtension, Row};

use super::content::Carried;
use super::{BundleFault, Issuance, Order};
use crate::config::Home;
use crate::log::LockedBundle;
use crate::store::{Store, StoreFault, unsigned};

/// Largest file that is read back: the largest bundle there can be, and room for its manifest.
const STAGED_BYTES_MAX: u64 = 257 << 20;

/// One bundler at a time for each site.
pub(super) fn take_turn(home: &Home, site: &str, patience: Duration) -> Result<Exclusive, BundleFault> {
    durable::create_dir_all(&home.staging(), Mode::Private)?;
    let lock = home.staging().join(format!("{site}.lock"));
    Ok(Exclusive::take_within(&lock, patience)?)
}

/// Stages, commits, publishes.
pub(super) fn publish(
    order: &Order<'_>,
    carried: &Carried<'_>,
    issuance: &dyn Issuance,
) -> Result<PathBuf, BundleFault> {
    let packed = carried.packed;
    let file_sha256 = hex(&sha256(&packed.bytes));
    let staged = staged_path(order.home, &packed.manifest.site, &file_sha256);
    durable::write(&staged, &packed.bytes, Mode::Shared)?;
    order.store.write(|transaction| carried.insert(transaction, &file_sha256))?;
    let (site, seq, digest) = (packed.manifest.site.clone(), packed.manifest.seq, packed.digest.hex());
    release(order.home, (&staged, &carried.file()), &LockedBundle { site, seq, digest }, issuance)
}

/// Publishes the staged files of `site` that were committed and throws away those that were not.
pub(super) fn settle(
    home: &Home,
    store: &Store,
    site: &str,
    issuance: &dyn Issuance,
) -> Result<(), BundleFault> {
    for staged in staged_files(home, site)? {
        let file_sha256 = hex(&sha256(&durable::read_limited(&staged, STAGED_BYTES_MAX)?));
        let committed: Option<(String, LockedBundle)> = store.read(|transaction| {
            let bundle = |row: &Row<'_>| {
                let (site, seq) = (site.to_owned(), unsigned(row.get(1)?));
                Ok((row.get(0)?, LockedBundle { site, seq, digest: row.get(2)? }))
            };
            transaction
                .query_row(
                    "SELECT file, seq, digest FROM bundle WHERE site = ?1 AND file_sha256 = ?2",
                    (site, &file_sha256),
                    bundle,
                )
                .optional()
                .map_err(StoreFault::from)
        })?;
        match committed {
            Some((file, bundle)) => {
                release(home, (&staged, &file), &bundle, issuance)?;
            }
            None => durable::remove(&staged)?,
        }
    }
    Ok(())
}

// log.md §4.6: whoever sees the file in the outbox sees a number that the lock will never give again.
fn release(
    home: &Home,
    (staged, file): (&Path, &str),
    bundle: &LockedBundle,
    issuance: &dyn Issuance,
) -> Result<PathBuf, BundleFault> {
    issuance.note(bundle)?;
    let outbox = home.outbox(&bundle.site);
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
