//! `mint audit`: whether the journals are whole, and what an auditor is given.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use farside_service::cli::{Exit, Failure, table};
use farside_service::{journal, time};
use serde_json::json;

use super::Program;
use crate::evidence;

/// The journals.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Follow every journal's hash chain from its first line to its last.
    Verify,
    /// Put all that an auditor needs into a new folder: charters, bundles, keys, revocations, the records of
    /// the issuance log, journals. It names people: keep it like the log itself
    Export {
        /// The folder; it must not exist yet
        folder: PathBuf,
    },
}

pub(super) fn run(command: &Audit, program: &Program) -> Result<(), Failure> {
    match command {
        Audit::Verify => verify(program),
        Audit::Export { folder } => export(folder, program),
    }
}

fn export(folder: &Path, program: &Program) -> Result<(), Failure> {
    let files = evidence::export(&program.mint()?, folder, time::now_unix())?;
    let told = || format!("{} files for an auditor in {}", files.len(), folder.display());
    program.output.say(told, &json!({ "folder": folder, "files": files }))
}

fn verify(program: &Program) -> Result<(), Failure> {
    let folder = program.mint()?.home.journal();
    let listing = std::fs::read_dir(&folder)
        .map_err(|fault| Failure::could_not(format!("cannot list {}: {fault}", folder.display())))?;
    let mut files: Vec<_> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    let mut rows = Vec::new();
    let mut value = Vec::new();
    let mut broken = false;
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match journal::verify(&file) {
            Ok(summary) => {
                value.push(
                    json!({ "journal": name, "whole": true, "lines": summary.lines, "head": summary.head }),
                );
                rows.push(vec![name, "whole".to_owned(), format!("{} lines", summary.lines)]);
            }
            Err(fault) => {
                broken = true;
                value.push(json!({ "journal": name, "whole": false, "fault": fault.to_string() }));
                rows.push(vec![name, "BROKEN".to_owned(), fault.to_string()]);
            }
        }
    }
    program.output.say(|| table(&["journal", "chain", ""], &rows), &value)?;
    if broken { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
}
