//! Signed status lists as files: `<shard>/<number>.jwt`, each replaced whole, and removed once it no longer
//! counts. They are looked at when what is said of them in `status.json` has changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use farside_service::cli::{Failure, OrFailure as _};
use farside_service::durable::{self, Mode};

use super::replace;
use crate::trust::TrustState;

const EXTENSION: &str = "jwt";

/// Brings the lists up to date; none stays that the gate would not show.
pub(super) fn write(folder: &Path, trust: Option<&TrustState>, now: u64) -> Result<(), Failure> {
    let mut kept = BTreeSet::new();
    for (shard, number, token) in trust.iter().flat_map(|trust| trust.lists().current(now)) {
        let path = folder.join(shard).join(format!("{number}.{EXTENSION}"));
        durable::create_dir_all(durable::parent(&path), Mode::Shared)?;
        replace(&path, token)?;
        kept.insert(path);
    }
    let stale = held(folder).or_could_not(|| format!("read {}", folder.display()))?;
    for path in stale.iter().filter(|path| !kept.contains(*path)) {
        durable::remove(path)?;
    }
    Ok(())
}

/// Every list that lies there.
fn held(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for shard in std::fs::read_dir(folder)? {
        let shard = shard?;
        if shard.file_type()?.is_dir() {
            for file in std::fs::read_dir(shard.path())? {
                let path = file?.path();
                if path.extension().is_some_and(|extension| extension == EXTENSION) {
                    files.push(path);
                }
            }
        }
    }
    Ok(files)
}
