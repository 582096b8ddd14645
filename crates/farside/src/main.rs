//! The front door: one program that starts the mint, the ferry or the gate, believes tokens, opens bundles and
//! shows the whole journey. It has no logic of its own beyond the demonstration's story.

mod batch;
mod bundle;
mod lines;
mod verify;

use std::process::ExitCode;

use farside_service::cli::{self, Failure};

/// Identity across an air gap.
#[derive(Debug, clap::Parser)]
#[command(name = "farside", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Verify(verify::Arguments),
    #[command(subcommand)]
    Bundle(bundle::Command),
}

fn main() -> ExitCode {
    farside_service::harden();
    cli::run(std::env::args_os(), run)
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Verify(arguments) => verify::run(arguments),
        Command::Bundle(command) => bundle::run(command),
    }
}
