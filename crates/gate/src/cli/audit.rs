//! `gate audit`: are this gate's records as they were written, and what is an auditor given of them?

use std::path::{Path, PathBuf};

use farside_service::cli::{Failure, Output};
use farside_service::{journal, time};
use serde_json::json;

use crate::config::Config;
use crate::evidence;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    /// Check every journal's chain from its first line to its last.
    Verify(journal::Reach),
    /// Put all that an auditor needs into a new folder: charters, bundles applied and missing, keys,
    /// revocations, log leaves, journals. It names people: keep it like the journals themselves.
    Export {
        /// The folder; it must not exist yet.
        folder: PathBuf,
    },
}

pub(super) fn run(command: &Audit, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        Audit::Verify(reach) => journal::audit(reach, &[config.journal()], &[], output),
        Audit::Export { folder } => export(config, folder, output),
    }
}

fn export(config: &Config, folder: &Path, output: Output) -> Result<(), Failure> {
    let files = evidence::export(config, folder, time::now_unix())?;
    let told = || format!("{} files for an auditor in {}", files.len(), folder.display());
    output.say(told, &json!({ "folder": folder, "files": files }))
}
