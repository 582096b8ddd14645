//! Where refused bundles lie: `quarantine/<utc>-<first 16 of SHA-256>/{blob,reason.json}`. For the people who
//! look into it later; nothing here is ever parsed again. It refuses to grow without end.

use std::path::{Path, PathBuf};

use farside_crossing::Refusal;
use farside_service::durable::{self, Failed, Mode};
use farside_service::{digest, time};
use serde::Serialize;

use crate::config::Config;

/// Most entries kept; further ones stand in the journal alone.
pub const ENTRIES_MAX: usize = 10_000;

/// Of a file too large to be a bundle, this much is kept.
pub const HEAD_BYTES_MAX: usize = 1 << 20;

/// What was refused.
pub struct Refused<'a> {
    /// The file's name, as found.
    pub name: &'a str,
    /// What is kept of it.
    pub bytes: &'a [u8],
    /// How large the file is.
    pub file_bytes: u64,
    /// Why.
    pub refusal: &'a Refusal,
}

/// The text of `reason.json`.
#[derive(Serialize)]
struct Reason<'a> {
    at: String,
    file: &'a str,
    file_bytes: u64,
    kept_bytes: usize,
    sha256: &'a str,
    #[serde(flatten)]
    refusal: &'a Refusal,
}

/// Keeps a refused file with its reason. The same bytes are kept once; `None` if the quarantine is full of
/// entries.
///
/// # Errors
/// The quarantine cannot be written.
pub fn keep(config: &Config, refused: &Refused<'_>, now: u64) -> Result<Option<PathBuf>, Failed> {
    let folder = config.quarantine();
    let sha256 = digest::hex(&digest::sha256(refused.bytes));
    let (mark, _) = sha256.split_at(16);
    let held = Held::look(&folder);
    if let Some(before) = held.entries.iter().find(|name| name.ends_with(mark)) {
        return Ok(Some(folder.join(before)));
    }
    if held.entries.len() >= ENTRIES_MAX {
        return Ok(None);
    }
    let room = held.bytes + refused.bytes.len() as u64 <= config.quarantine_bytes_max;
    let blob = if room { refused.bytes } else { &[] };
    let reason = Reason {
        at: time::rfc3339(now),
        file: refused.name,
        file_bytes: refused.file_bytes,
        kept_bytes: blob.len(),
        sha256: &sha256,
        refusal: refused.refusal,
    };
    let reason = serde_json::to_vec_pretty(&reason).unwrap_or_default();
    let name = format!("{}-{mark}", time::rfc3339(now).replace(['-', ':'], ""));
    let (staging, entry) = (folder.join(format!(".{name}")), folder.join(&name));
    durable::create_dir_all(&staging, Mode::Private)?;
    durable::write(&staging.join("blob"), blob, Mode::Private)?;
    durable::write(&staging.join("reason.json"), &reason, Mode::Private)?;
    durable::rename(&staging, &entry)?;
    Ok(Some(entry))
}

/// How many refused bundles lie there.
pub fn count(config: &Config) -> usize {
    Held::look(&config.quarantine()).entries.len()
}

struct Held {
    entries: Vec<String>,
    bytes: u64,
}

impl Held {
    /// What lies there; a folder that cannot be read counts as empty, and writing to it will say why.
    fn look(folder: &Path) -> Held {
        let mut held = Held { entries: Vec::new(), bytes: 0 };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            held.bytes += std::fs::metadata(entry.path().join("blob")).map_or(0, |blob| blob.len());
            held.entries.push(name);
        }
        held
    }
}
