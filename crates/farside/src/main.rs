//! The front door: one program that starts the mint, the ferry or the gate, believes tokens, opens bundles,
//! audits and shows the whole journey. It has no logic of its own beyond the demonstration's story.

mod batch;
mod bundle;
mod demo;
mod lines;
mod plan;
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
    /// The signing service on the connected side.
    Mint(farside_mint::cli::Cli),
    /// Carries bundles across the gap, one way.
    Ferry(farside_ferry::cli::Cli),
    /// The verifier on the isolated side.
    Gate(farside_gate::cli::Cli),
    Audit(farside_audit::cli::Cli),
    Verify(verify::Arguments),
    #[command(subcommand)]
    Bundle(bundle::Command),
    Plan(plan::Arguments),
    Demo(demo::Arguments),
}

fn main() -> ExitCode {
    farside_service::harden();
    cli::run(std::env::args_os(), run)
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Mint(cli) => farside_mint::cli::run(cli),
        Command::Ferry(cli) => farside_ferry::cli::run(cli),
        Command::Gate(cli) => farside_gate::cli::run(cli),
        Command::Audit(cli) => farside_audit::cli::run(&cli),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Bundle(command) => bundle::run(command),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}
