//! What the ferry writes down: every file carried, with lane, name, digest, bytes and time, in a journal that
//! only grows. It goes where a `journal` folder stands already, for nothing precious is created implicitly.

use std::path::{Path, PathBuf};

use farside_service::cli::Failure;
use farside_service::journal::Journal;
use serde_json::{Value, json};

/// The ferry's file in a journal folder.
const PROGRAM: &str = "ferry";
const FOLDER: &str = "journal";

/// The journal, or none where nobody named one and none stands near.
#[derive(Debug)]
pub(crate) struct Diary(Option<Journal>);

impl Diary {
    /// The folder that was named; else a `journal` folder beside `home` or one level above.
    pub(crate) fn open(named: Option<&Path>, home: &Path) -> Result<Self, Failure> {
        let Some(folder) = named.map(Path::to_owned).or_else(|| near(home)) else {
            return Ok(Self(None));
        };
        let (journal, _recovery) = Journal::open(&folder, PROGRAM)?;
        Ok(Self(Some(journal)))
    }

    /// Writes nothing down.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a file down; returns once that is durable.
    pub(crate) fn write(
        &self,
        now: u64,
        event: &str,
        lane: &str,
        folder: &str,
        file: &Value,
    ) -> Result<(), Failure> {
        let Some(journal) = &self.0 else { return Ok(()) };
        let members = json!({"lane": lane, "folder": folder, "file": file});
        Ok(journal.record_at(now, event, members)?.wait()?)
    }
}

fn near(home: &Path) -> Option<PathBuf> {
    let home = home.canonicalize().ok()?;
    home.ancestors().skip(1).take(2).map(|above| above.join(FOLDER)).find(|folder| folder.is_dir())
}
