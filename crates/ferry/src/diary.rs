//! What the ferry writes down: every file carried, with lane, name, digest, bytes and medium, in a journal
//! that only grows. It goes where a `journal` folder stands already, for nothing precious is created
//! implicitly.

use std::path::{Path, PathBuf};

use farside_service::cli::{Failure, operator};
use farside_service::journal::Journal;
use serde::Serialize;
use serde_json::{Value, json};

use crate::medium::Medium;

/// The ferry's file in a journal folder.
const PROGRAM: &str = "ferry";
const FOLDER: &str = "journal";

/// The journal of one crossing, or none where nobody named one and none stands near.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    journal: Option<Journal>,
    medium: Medium,
    by: String,
}

/// How a crossing ended, in numbers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ended<'a> {
    pub(crate) direction: &'static str,
    pub(crate) carried: usize,
    pub(crate) already: usize,
    pub(crate) refused: usize,
    pub(crate) forgotten: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<&'a str>,
}

impl Diary {
    /// The folder that was named; else a `journal` folder beside `home` or one level above.
    pub(crate) fn open(named: Option<&Path>, home: &Path, medium: Medium) -> Result<Self, Failure> {
        let folder = named.map(Path::to_owned).or_else(|| near(home));
        let journal = folder.map(|folder| Journal::open(&folder, PROGRAM)).transpose()?;
        Ok(Self { journal: journal.map(|(journal, _recovery)| journal), medium, by: operator() })
    }

    /// Writes nothing down.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.journal.is_some()
    }

    /// Writes a file down; returns once that is durable.
    // journal.md §6.3
    pub(crate) fn write(
        &self,
        now: u64,
        event: &str,
        lane: &str,
        folder: &str,
        file: &Value,
    ) -> Result<(), Failure> {
        self.record(now, event, json!({"lane": lane, "folder": folder, "file": file}))
    }

    /// Writes down how a crossing ended.
    pub(crate) fn end(&self, now: u64, lane: &str, folder: &str, ended: &Ended<'_>) -> Result<(), Failure> {
        let mut members = json!(ended);
        members["lane"] = json!(lane);
        members["folder"] = json!(folder);
        self.record(now, "crossing_ended", members)
    }

    fn record(&self, now: u64, event: &str, mut members: Value) -> Result<(), Failure> {
        let Some(journal) = &self.journal else { return Ok(()) };
        members["by"] = json!(self.by);
        members["medium"] = json!(self.medium);
        Ok(journal.record_at(now, event, members)?.wait()?)
    }
}

fn near(home: &Path) -> Option<PathBuf> {
    let home = home.canonicalize().ok()?;
    home.ancestors().skip(1).take(2).map(|above| above.join(FOLDER)).find(|folder| folder.is_dir())
}
