//! `farside audit`: for auditors, on either side of the gap.

use clap::Subcommand;
use farside_service::cli::{Failure, Output};

use crate::brought::Brought;
use crate::{forward, journals, reconcile, report};

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
    /// Send journals to a syslog receiver (RFC 5424), each line once.
    Send(forward::Send),
    /// Print journals as other systems read them.
    Export(forward::Export),
    /// Lay exports of both sides, or of the far side alone, side by side.
    ///
    /// Lists what was admitted but never issued, issued but never carried, used after its revocation or at
    /// two sites, and whatever does not hold by itself. Exit code 0: nothing needs an explanation; 1:
    /// something does; 2: could not read.
    Reconcile(Brought),
    /// Write what happened on one page, and the same as JSON.
    ///
    /// Every bundle with its life on both sides, custody of media, tokens, keys and their calendar,
    /// revocations, all that `reconcile` finds, and the controls of common catalogues. Exit code as there.
    Report(report::Command),
}

/// Does what was asked.
///
/// # Errors
/// Something is not as it was written, or cannot be read.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let output = Output { json: cli.json };
    match &cli.command {
        Command::Verify(verify) => verify.run(output),
        Command::Send(send) => send.run(output),
        Command::Export(export) => export.run(output),
        Command::Reconcile(brought) => reconcile::run(brought, output),
        Command::Report(command) => report::run(command, output),
    }
}
