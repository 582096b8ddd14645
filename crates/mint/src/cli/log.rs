//! `mint log check`: reads the whole issuance log and says whether it is whole.

use farside_service::cli::{Failure, table};

use super::Program;
use crate::log::{self, Checked};

/// The issuance log.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Read every record: whole, ours, one for each position. Also while the mint runs
    Check,
}

pub(crate) fn run(command: Command, program: &Program) -> Result<(), Failure> {
    let Command::Check = command;
    let mint = program.mint()?;
    let checked = log::check(&mint.home.log()).map_err(|fault| {
        Failure::refused(fault.to_string())
            .hint("a mint that has never issued has no log yet; any other: restore the log from a copy")
    })?;
    program.output.say(|| describe(&checked), &checked)
}

fn describe(checked: &Checked) -> String {
    let Checked { records, torn_bytes, open_positions, shards } = checked;
    let rows: Vec<_> =
        shards.iter().map(|length| vec![length.shard.clone(), length.leaves.to_string()]).collect();
    let mut text = table(&["shard", "leaves"], &rows);
    text.push_str(&format!("\n{records} records, every one whole and at a position of its own"));
    if *open_positions > 0 {
        text.push_str(&format!(
            "\n{open_positions} positions are open: tokens are being made there, or a crash \
             left them and the next start makes them void"
        ));
    }
    if *torn_bytes > 0 {
        text.push_str(&format!(
            "\n{torn_bytes} bytes of an unfinished batch at the end; no token depends on them"
        ));
    }
    text
}
