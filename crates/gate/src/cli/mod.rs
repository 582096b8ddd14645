//! `farside gate …`: enrolment, import, service and a look at what is held.

mod agent;
mod audit;
mod breakglass;
mod check;
mod clock;
mod doorstep;
mod enrol;
mod explain;
mod import;
mod pickup;
mod receipt;
mod ssh_keys;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use farside_service::cli::{Exit, Failure, Output, Style};

use crate::config::Config;
use crate::trust::Gate;
use crate::{serve, status};

/// The verifier on the isolated side.
#[derive(Debug, clap::Parser)]
#[command(name = "farside-gate", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The gate's configuration.
    #[arg(long, global = true, default_value = "./gate.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a gate for a site: its folder, its store and the recipient key that never leaves it.
    Init(enrol::Init),
    /// Make a gate and believe a realm's charter, walked through at the terminal.
    Enrol(enrol::Enrol),
    /// Believe a realm's charter, once its fingerprint has been compared.
    Trust(enrol::Trust),
    /// Import a bundle, or every bundle of a folder.
    Import(import::Import),
    /// Open the doors, and import what arrives in the inbox.
    Serve,
    /// Show what this gate trusts, how fresh that is and until when, what is missing and what happens next.
    Status {
        /// Exit with 1 where something needs a hand: late, refusing, frozen, bundles missing, a tier run out.
        #[arg(long)]
        check: bool,
    },
    /// Judge tokens as a door would, admitting nobody; the site's Cedar policies are not asked.
    Check(check::Check),
    /// Say check by check why a door would let somebody in or not, admitting nobody: docs/policies.md.
    Explain(explain::Explain),
    /// The clock that this gate goes by.
    #[command(subcommand)]
    Clock(clock::Clock),
    /// Show the receipt code of the bundle applied last.
    Receipt(receipt::Receipt),
    /// Collect the tokens that were carried for a holder.
    Pickup(pickup::Pickup),
    /// Let one named person in when nothing else helps, with the cards of several: docs/breakglass.md.
    #[command(subcommand)]
    Breakglass(breakglass::Breakglass),
    /// Keep a workload's token file fresh, on any machine that can reach the gate.
    Agent(agent::Agent),
    /// For sshd's AuthorizedKeysCommand: print the key if it may log in now.
    SshKeys(ssh_keys::SshKeys),
    /// Check this gate's records.
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// The program: parses the arguments, runs, answers the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    farside_service::cli::run(args, run)
}

/// Runs one command.
///
/// # Errors
/// What was asked is refused, or could not be done.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let output = Output { json: cli.json };
    let config = || Config::load(&cli.config);
    match cli.command {
        Command::Init(init) => init.run(output),
        Command::Enrol(enrol) => enrol.run(output),
        Command::Trust(trust) => trust.run(&config()?, output),
        Command::Import(import) => import.run(&config()?, output),
        Command::Serve => serve::run(&config()?),
        Command::Status { check } => show_status(&config()?, check, output),
        Command::Check(check) => check.run(&config()?, output),
        Command::Explain(explain) => explain.run(&config()?, output),
        Command::Clock(command) => clock::run(&command, &config()?, output),
        Command::Receipt(receipt) => receipt.show(&config()?, output),
        Command::Pickup(pickup) => pickup.run(config, output),
        Command::Agent(agent) => agent.run(config, output),
        Command::SshKeys(ssh_keys) => ssh_keys.run(config, output),
        Command::Breakglass(command) => breakglass::run(command, &config()?, output),
        Command::Audit(command) => audit::run(&command, &config()?, output),
    }
}

fn show_status(config: &Config, check: bool, output: Output) -> Result<(), Failure> {
    let seen = status::look_by(config, &Gate::open(config)?.moment())?;
    output.say(|| seen.human(Style::stdout()), &seen)?;
    let sound = seen.is_sound() && seen.clock.off_by_seconds == 0;
    if check && !sound { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
}
