//! `gate audit`: are this gate's records as they were written, and what is an auditor given of them?

use std::path::{Path, PathBuf};

use farside_service::cli::{Exit, Failure, OrFailure as _, Output, Style};
use farside_service::{journal, time};
use serde::Serialize;
use serde_json::json;

use crate::config::Config;
use crate::evidence;

/// One journal's verdict.
#[derive(Serialize)]
struct Audited {
    journal: String,
    intact: bool,
    summary: Option<journal::Summary>,
    fault: Option<String>,
}

pub(super) fn verify(config: &Config, output: Output) -> Result<(), Failure> {
    let mut broken = false;
    for path in journals(config)? {
        let (summary, fault) = match journal::verify(&path) {
            Ok(summary) => (Some(summary), None),
            Err(fault) => (None, Some(fault.to_string())),
        };
        broken |= fault.is_some();
        let journal = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let audited = Audited { journal, intact: fault.is_none(), summary, fault };
        output.say(|| audited.human(), &audited)?;
    }
    if broken { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
}

pub(super) fn export(config: &Config, folder: &Path, output: Output) -> Result<(), Failure> {
    let files = evidence::export(config, folder, time::now_unix())?;
    let told = || format!("{} files for an auditor in {}", files.len(), folder.display());
    output.say(told, &json!({ "folder": folder, "files": files }))
}

fn journals(config: &Config) -> Result<Vec<PathBuf>, Failure> {
    let folder = config.journal();
    let entries = std::fs::read_dir(&folder).or_could_not(|| format!("read {}", folder.display()))?;
    let mut journals: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    journals.sort();
    Ok(journals)
}

impl Audited {
    fn human(&self) -> String {
        let style = Style::stdout();
        match (&self.summary, &self.fault) {
            (Some(summary), _) => {
                format!(
                    "{} {}: {} lines, head {}",
                    style.green("intact"),
                    self.journal,
                    summary.lines,
                    summary.head
                )
            }
            (None, fault) => {
                let fault = fault.as_deref().unwrap_or_default();
                format!("{} {}: {fault}", style.red("BROKEN"), self.journal)
            }
        }
    }
}
