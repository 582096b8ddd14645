//! `farside audit report`: what happened, on one page that needs nothing else, and the same as JSON.
//!
//! ```text
//!   Evidence + findings ──model──▶ Report ──▶ JSON
//!                                     └──page──▶ HTML: tables, and charts drawn here as SVG
//! ```
//! Refuses to let any text from outside be read as markup: see [`page::Page`].

mod charts;
mod controls;
mod glass;
mod html;
mod model;
mod page;
mod tables;

use std::path::{Path, PathBuf};

use farside_service::cli::{Failure, Output, Style};
use farside_service::durable::{self, Mode};
use serde_json::json;

use crate::brought::Brought;
use crate::evidence::Evidence;
use crate::reconcile::{exit, reconcile};
use model::Report;

/// `farside audit report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    #[command(flatten)]
    brought: Brought,
    /// The page; the same as JSON is written beside it, with the ending `.json`.
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,
}

/// Reads, compares and writes both files.
pub(crate) fn run(command: &Command, output: Output) -> Result<(), Failure> {
    let json_file = command.out.with_extension("json");
    if json_file == command.out {
        return Err(Failure::could_not("the page and its JSON would be one file").hint("name it FILE.html"));
    }
    let mut evidence = Evidence::read(&command.brought)?;
    let lives = reconcile(&mut evidence);
    let report = Report::of(&evidence, lives);
    // It names people, like the exports.
    write(&command.out, html::render(&report).as_bytes())?;
    let mut text = serde_json::to_vec(&report).map_err(|fault| Failure::could_not(fault.to_string()))?;
    text.push(b'\n');
    write(&json_file, &text)?;
    let told = json!({"alarms": report.alarms, "notices": report.notices,
                      "page": command.out, "json": json_file});
    output.say(|| human(&report, &command.out), &told)?;
    exit(&evidence)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    Ok(durable::write(path, bytes, Mode::Private)?)
}

fn human(report: &Report, page: &Path) -> String {
    let style = Style::stdout();
    let verdict = match report.alarms {
        0 => style.green("no alarm"),
        1 => style.red("1 alarm"),
        many => style.red(&format!("{many} alarms")),
    };
    format!("{verdict}, {} notices: {}", report.notices, page.display())
}

#[cfg(test)]
mod tests;
