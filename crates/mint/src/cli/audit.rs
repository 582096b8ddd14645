//! `mint audit`: whether the journals are whole, and what an auditor is given.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use farside_service::cli::Failure;
use farside_service::{journal, time};
use serde_json::json;

use super::Program;
use crate::evidence;

/// The journals.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Follow every journal's hash chain from its first line to its last.
    Verify(journal::Reach),
    /// Put all that an auditor needs into a new folder: charters, bundles, keys, revocations, the records of
    /// the issuance log, journals. It names people: keep it like the log itself
    Export {
        /// The folder; it must not exist yet
        folder: PathBuf,
    },
}

pub(super) fn run(command: &Audit, program: &Program) -> Result<(), Failure> {
    match command {
        Audit::Verify(reach) => journal::audit(reach, &[program.mint()?.home.journal()], &[], program.output),
        Audit::Export { folder } => export(folder, program),
    }
}

fn export(folder: &Path, program: &Program) -> Result<(), Failure> {
    let files = evidence::export(&program.mint()?, folder, time::now_unix())?;
    let told = || format!("{} files for an auditor in {}", files.len(), folder.display());
    program.output.say(told, &json!({ "folder": folder, "files": files }))
}
