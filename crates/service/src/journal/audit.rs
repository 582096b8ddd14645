//! `… audit verify`, said once for every program: reads journals and tells of each whether it is whole.

use std::path::PathBuf;

use serde::Serialize;

use super::verify::{Beginning, JournalFault, Noted, Stored, Summary};
use crate::cli::{Exit, Failure, Output, Style, printable};

/// How far back `audit verify` goes, in every program.
#[derive(Debug, Clone, clap::Args)]
pub struct Reach {
    /// Take each journal to begin with the first line at hand: earlier files lie in an archive.
    #[arg(long)]
    pub archived: bool,
}

/// One journal's verdict.
#[derive(Serialize)]
struct Verdict {
    journal: PathBuf,
    intact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

/// Reads every journal of `paths` (journals, or folders of them) to its end, whatever is wrong with others,
/// and tells of each. A head that was `noted` elsewhere is looked for in the journals of its name.
///
/// # Errors
/// Exit 1: one is not as it was written, and the place has been told. Exit 2: a path cannot be read, or holds
/// no journal.
pub fn audit(reach: &Reach, paths: &[PathBuf], noted: &[Noted], output: Output) -> Result<(), Failure> {
    let beginning = if reach.archived { Beginning::Archived } else { Beginning::Whole };
    let mut journals: Vec<Stored> = Vec::new();
    for path in paths {
        let found = Stored::at(path)?;
        if found.is_empty() {
            return Err(Failure::could_not(format!("{} holds no journal", path.display()))
                .hint("name a journal (`….jsonl`) or the folder it lies in"));
        }
        journals.extend(found);
    }
    let mut broken = false;
    for journal in &journals {
        let mut noted = noted.to_vec();
        noted.retain(|noted| noted.head.name == journal.name());
        let verdict = Verdict::on(journal, journal.verify(beginning, &noted));
        broken |= !verdict.intact;
        output.say(|| verdict.human(), &verdict)?;
    }
    if broken { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
}

impl Verdict {
    fn on(journal: &Stored, verified: Result<Summary, JournalFault>) -> Verdict {
        let journal = journal.path();
        match verified {
            Ok(summary) => Verdict { journal, intact: true, summary: Some(summary), fault: None, line: None },
            Err(fault) => {
                let (line, fault) = (fault.line(), Some(fault.to_string()));
                Verdict { journal, intact: false, summary: None, fault, line }
            }
        }
    }

    fn human(&self) -> String {
        let (style, journal) = (Style::stdout(), self.journal.display());
        let Some(seen) = &self.summary else {
            let fault = printable(self.fault.as_deref().unwrap_or_default()).into_owned();
            return format!("{} {journal}: {fault}", style.red("BROKEN"));
        };
        let begins = if seen.begins > 1 { format!(" (from line {})", seen.begins) } else { String::new() };
        let noted = match seen.noted {
            0 => String::new(),
            1 => ", agrees with 1 head noted elsewhere".to_owned(),
            many => format!(", agrees with {many} heads noted elsewhere"),
        };
        let Summary { lines, head, .. } = seen;
        format!("{} {journal}: {lines} lines{begins}, head {head}{noted}", style.green("intact"))
    }
}
