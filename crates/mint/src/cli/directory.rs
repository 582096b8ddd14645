//! `mint directory`: the whole directory from a file, with a dry run that shows what would change.

use std::path::PathBuf;

use clap::Subcommand;
use farside_service::cli::{Failure, operator, printable, table};
use farside_service::time::now_unix;
use serde_json::json;

use super::{Program, joined};
use crate::import::{self, Plan, Reach, Run};

/// How many names of each list are printed for people; JSON has them all.
const NAMES_SHOWN_MAX: usize = 20;

/// The directory as a whole.
#[derive(Debug, Subcommand)]
pub enum Directory {
    /// Bring in people, bots, agents and groups from a `.csv` or `.json` file: all of it, or nothing.
    Import {
        /// The file.
        file: PathBuf,
        /// Only show what would change.
        #[arg(long)]
        dry_run: bool,
        /// The file is the whole directory: disable whoever it does not name.
        #[arg(long)]
        whole: bool,
    },
    /// Everybody.
    List,
}

pub(super) fn run(command: &Directory, program: &Program) -> Result<(), Failure> {
    match command {
        Directory::Import { file, dry_run, whole } => {
            let mint = program.mint()?;
            let csv = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
            let entries = if csv { import::read_csv(file) } else { import::read_json(file) };
            let entries = entries.map_err(import::ImportFault::from)?;
            let reach = if *whole { Reach::Whole } else { Reach::Named };
            let run = if *dry_run { Run::Dry } else { Run::Real };
            let diary = mint.diary()?;
            let plan = import::import(&mint.store()?, &entries, (reach, run), &operator(), now_unix)?;
            if run == Run::Real {
                diary.record("directory_imported", counts(&plan))?;
            }
            say(&plan, run, program)
        }
        Directory::List => {
            let directory = program.mint()?.store()?.directory()?;
            let subjects = directory.subjects();
            let value: Vec<_> = subjects.iter().copied().map(super::subject::as_json).collect();
            program.output.say(|| super::subject::as_table(subjects.iter().copied()), &value)
        }
    }
}

fn counts(plan: &Plan) -> serde_json::Value {
    json!({
        "added": plan.added.len(), "changed": plan.changed.len(), "disabled": plan.disabled.len(),
        "unchanged": plan.unchanged, "revoked": plan.revoked,
    })
}

fn say(plan: &Plan, run: Run, program: &Program) -> Result<(), Failure> {
    let value = json!({
        "dry_run": run == Run::Dry, "added": plan.added, "changed": plan.changed, "disabled": plan.disabled,
        "unchanged": plan.unchanged, "revoked": plan.revoked,
    });
    program.output.say(
        || {
            let verb = if run == Run::Dry { "Would add" } else { "Added" };
            let mut text = format!(
                "{verb} {}, change {}, disable {}; {} as they were.",
                plan.added.len(),
                plan.changed.len(),
                plan.disabled.len(),
                plan.unchanged
            );
            if run == Run::Real {
                text = text.replace(", change ", ", changed ").replace(", disable ", ", disabled ");
            }
            if !plan.revoked.is_empty() {
                let are = if run == Run::Dry { "would be" } else { "are" };
                text.push_str(&format!(
                    "\nWhat was issued for {} who hold less than before {are} revoked with the next bundles.",
                    plan.revoked.len()
                ));
            }
            let rows = rows(plan);
            if !rows.is_empty() {
                text.push_str("\n\n");
                text.push_str(&table(&["", "name", "what"], &rows));
            }
            let hidden = plan.added.len() + plan.changed.len() + plan.disabled.len() - rows.len();
            if hidden > 0 {
                text.push_str(&format!("\n… and {hidden} more; --json lists them all"));
            }
            text
        },
        &value,
    )
}

fn rows(plan: &Plan) -> Vec<Vec<String>> {
    let row =
        |sign: &str, name: &str, what: String| vec![sign.to_owned(), printable(name).into_owned(), what];
    let added = plan.added.iter().take(NAMES_SHOWN_MAX).map(|name| row("+", name, String::new()));
    let changed =
        plan.changed.iter().take(NAMES_SHOWN_MAX).map(|change| row("~", &change.name, joined(&change.what)));
    let disabled = plan.disabled.iter().take(NAMES_SHOWN_MAX).map(|name| row("-", name, "disabled".into()));
    added.chain(changed).chain(disabled).collect()
}
