//! Journals, wherever they lie: are they as they were written?

use std::path::{Path, PathBuf};

use farside_service::cli::{Exit, Failure, OrFailure as _, Output, Style};
use farside_service::journal;
use serde::Serialize;

/// One journal's verdict.
#[derive(Serialize)]
struct Verdict {
    journal: PathBuf,
    intact: bool,
    summary: Option<journal::Summary>,
    fault: Option<String>,
}

pub(crate) fn verify(paths: &[PathBuf], output: Output) -> Result<(), Failure> {
    let mut broken = false;
    for path in paths.iter().map(|path| files(path)).collect::<Result<Vec<_>, _>>()?.concat() {
        let verdict = Verdict::on(path);
        broken |= !verdict.intact;
        output.say(|| verdict.human(), &verdict)?;
    }
    if broken { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
}

/// A journal itself, or all of a folder.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).or_could_not(|| format!("read {}", path.display()))?;
    let entries: Vec<_> =
        entries.collect::<Result<_, _>>().or_could_not(|| format!("read {}", path.display()))?;
    let mut journals: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    journals.sort();
    Ok(journals)
}

impl Verdict {
    fn on(journal: PathBuf) -> Verdict {
        match journal::verify(&journal) {
            Ok(summary) => Verdict { journal, intact: true, summary: Some(summary), fault: None },
            Err(fault) => Verdict { journal, intact: false, summary: None, fault: Some(fault.to_string()) },
        }
    }

    fn human(&self) -> String {
        let (style, journal) = (Style::stdout(), self.journal.display());
        match (&self.summary, &self.fault) {
            (Some(seen), _) => {
                format!("{} {journal}: {} lines, head {}", style.green("intact"), seen.lines, seen.head)
            }
            (None, fault) => {
                format!("{} {journal}: {}", style.red("BROKEN"), fault.as_deref().unwrap_or_default())
            }
        }
    }
}
