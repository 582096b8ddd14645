//! Founding a realm is one step: either there is a mint, or there is none.
//!
//! ```text
//!   mark ─▶ folders ─▶ keys ─▶ database ─▶ configuration ─▶ charter ─▶ mark taken away
//!     └─────────── crash: no command works here; the next founding begins anew ──┘
//! ```
//!
//! The mark is durable before anything else is, and gone only after everything else is durable. What lies
//! under it has never been shown to anybody, so it may be thrown away; what lies there without it is never
//! touched.
//! Everything happens in the folder itself, which may be one that was made for the mint: a mounted volume, or
//! one in a folder where the mint's user may not write.

use std::path::PathBuf;

use farside_service::durable::{self, Failed, Mode, TEMPORARY_SUFFIX, failed};
use farside_service::lock::{Exclusive, LockFault};

use crate::config::Home;

/// What the mark says to a person who finds it.
const MARK: &str = "A mint was being founded here. `mint init` clears this away and begins anew.\n";

/// Every name that founding puts into the folder, and what SQLite puts beside its own.
const MADE: [&str; 10] = [
    "mint.toml",
    "mint.db",
    "mint.db-wal",
    "mint.db-shm",
    "charter.note",
    "keys",
    "offline",
    "journal",
    "staging",
    "outbox",
];

/// Why a realm was not founded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundingFault {
    /// A mint is there.
    #[error("{} exists: a mint stands here already", .0.display())]
    Standing(PathBuf),
    /// Another founding is at work in this folder.
    #[error("{0}")]
    Turn(#[from] LockFault),
    /// The disk failed.
    #[error("{0}")]
    Disk(#[from] Failed),
}

impl From<FoundingFault> for farside_service::cli::Failure {
    fn from(fault: FoundingFault) -> Self {
        match fault {
            FoundingFault::Standing(_) => {
                Self::refused(fault.to_string()).hint("nothing was touched; choose another --dir")
            }
            FoundingFault::Turn(fault) => fault.into(),
            FoundingFault::Disk(fault) => fault.into(),
        }
    }
}

/// A founding that has begun. Dropped before it is finished, it leaves what a crash leaves.
#[derive(Debug)]
pub struct Founding {
    home: Home,
    /// Owns the folder: two foundings at once would throw away each other's work.
    _turn: Exclusive,
}

impl Founding {
    /// Takes the folder, clears away what a founding that was cut short left there, and marks it.
    ///
    /// # Errors
    /// [`FoundingFault`]; then nothing was touched, or the mark stands.
    pub fn begin(home: &Home) -> Result<Founding, FoundingFault> {
        durable::create_dir_all(&home.0, Mode::Private)?;
        let turn = Exclusive::take_folder(&home.0)?;
        refuse_standing(home)?;
        if home.founding().exists() {
            clear(home)?;
        }
        durable::write(&home.founding(), MARK.as_bytes(), Mode::Private)?;
        Ok(Founding { home: home.clone(), _turn: turn })
    }

    /// Everything is made: from now on it is a mint.
    ///
    /// # Errors
    /// The disk failed; the next founding begins anew.
    pub fn finish(self) -> Result<(), FoundingFault> {
        durable::sync_dir(&self.home.0)?;
        Ok(durable::remove(&self.home.founding())?)
    }
}

/// Refuses a folder with a mint in it, or with parts of one that no founding left behind.
///
/// # Errors
/// [`FoundingFault::Standing`].
pub fn refuse_standing(home: &Home) -> Result<(), FoundingFault> {
    if home.founding().exists() {
        return Ok(());
    }
    match MADE.iter().map(|name| home.0.join(name)).find(|path| path.exists()) {
        Some(path) => Err(FoundingFault::Standing(path)),
        None => Ok(()),
    }
}

/// Throws away what bears a name of ours; the mark, if it is there, stays until all of that is gone.
fn clear(home: &Home) -> Result<(), FoundingFault> {
    let folder = &home.0;
    for entry in std::fs::read_dir(folder).map_err(|source| failed("list", folder, source))? {
        let entry = entry.map_err(|source| failed("list", folder, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if MADE.contains(&name.as_str()) || name.ends_with(TEMPORARY_SUFFIX) {
            let path = entry.path();
            let gone =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            gone.map_err(|source| failed("remove", &path, source))?;
        }
    }
    Ok(durable::sync_dir(folder)?)
}
