//! `farside audit`: for auditors, on either side of the gap.

use clap::Subcommand;
use farside_service::cli::{Failure, Output};

use crate::journals;

/// Proves afterwards what happened.
#[derive(Debug, clap::Args)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the hash chain of journals from the first line to the last.
    ///
    /// Exit code 0: all are as they were written; 1: one is not, and the place is named; 2: could not read.
    Verify(journals::Verify),
}

/// Does what was asked.
///
/// # Errors
/// Something is not as it was written, or cannot be read.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let output = Output { json: cli.json };
    match &cli.command {
        Command::Verify(verify) => verify.run(output),
    }
}
