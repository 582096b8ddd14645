//! The mint's command line: one file for each noun. Results go to stdout as short sentences and tables, or as
//! one JSON object with `--json`; everything else goes to stderr.

mod at_hand;
mod audit;
mod bundle;
mod charter;
mod clock;
mod directory;
mod enrol;
mod init;
mod key;
mod keys;
mod log;
mod order;
mod release;
mod revoke;
mod serve;
mod site;
mod status;
mod subject;
mod terms;
mod token;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use farside_service::cli::{self, Failure, Output};

use crate::config::Mint;
use crate::keys::Tokens;
use crate::release::SHEAF_BYTES_MAX;
use crate::store::Kind;

/// The signing service on the connected side.
#[derive(Debug, Parser)]
#[command(name = "farside-mint", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The mint's configuration; its folder is where everything lies.
    #[arg(long, global = true, default_value = "mint.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// Results as JSON, one object a line.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Found a realm: configuration, database, keys, charter.
    Init(init::Init),
    /// Keys of root and release signers, for other media.
    #[command(subcommand)]
    Key(key::Key),
    /// Who may sign what in this realm.
    #[command(subcommand)]
    Charter(charter::Charter),
    /// Root's way back after bundles whose time was wrong.
    #[command(subcommand)]
    Clock(clock::Clock),
    /// People, bots, agents and groups, from a file.
    #[command(subcommand)]
    Directory(directory::Directory),
    /// People.
    #[command(subcommand)]
    Person(subject::Subject),
    /// Programs.
    #[command(subcommand)]
    Bot(subject::Client),
    /// AI agents.
    #[command(subcommand)]
    Agent(subject::Client),
    /// Groups, whose roles their members hold.
    #[command(subcommand)]
    Group(subject::Group),
    /// Isolated networks.
    #[command(subcommand)]
    Site(site::Site),
    /// Token keys and their calendar.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Documents that release people sign: key calendars and policies.
    #[command(subcommand)]
    Release(release::Release),
    /// Tokens by command.
    #[command(subcommand)]
    Token(token::Command),
    /// Tokens that are carried to a site in each of its bundles.
    #[command(subcommand)]
    Order(order::Command),
    /// What crosses, and what is known to have arrived.
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// What signs, what follows, until when, and what to do next.
    Status(status::Command),
    /// Open the token endpoint and make bundles on each site's cadence.
    Serve(serve::Command),
    /// The issuance log.
    #[command(subcommand)]
    Log(log::Command),
    /// Take back a token, what a subject, client or group was issued, a key, or everything up to a moment.
    #[command(subcommand)]
    Revoke(revoke::Revoke),
    /// The journals.
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// Parses arguments, runs, tells, and answers the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::run(args, run)
}

/// Runs one command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let program = Program { config: cli.config, output: Output { json: cli.json } };
    match cli.command {
        Command::Init(command) => init::run(&command, &program),
        Command::Key(command) => key::run(&command, &program),
        Command::Charter(command) => charter::run(&command, &program),
        Command::Clock(command) => clock::run(&command, &program),
        Command::Directory(command) => directory::run(&command, &program),
        Command::Person(command) => subject::run_subject(&command, Kind::Person, &program),
        Command::Bot(command) => subject::run_client(&command, Kind::Bot, &program),
        Command::Agent(command) => subject::run_client(&command, Kind::Agent, &program),
        Command::Group(command) => subject::run_group(&command, &program),
        Command::Site(command) => site::run(&command, &program),
        Command::Keys(command) => keys::run(&command, &program),
        Command::Release(command) => release::run(&command, &program),
        Command::Token(command) => token::run(command, &program),
        Command::Order(command) => order::run(command, &program),
        Command::Bundle(command) => bundle::run(command, &program),
        Command::Status(command) => status::run(&command, &program),
        Command::Serve(command) => serve::run(command, &program),
        Command::Log(command) => log::run(command, &program),
        Command::Revoke(command) => revoke::run(&command, &program),
        Command::Audit(command) => audit::run(&command, &program),
    }
}

/// What every command is given.
pub(crate) struct Program {
    pub(crate) config: PathBuf,
    pub(crate) output: Output,
}

impl Program {
    /// The founded mint that the configuration names.
    pub(crate) fn mint(&self) -> Result<Mint, Failure> {
        if !self.config.exists() {
            return Err(Failure::could_not(format!("there is no mint at {}", self.config.display())).hint(
                "name its configuration with --config, or found one with `mint init --dir near --realm NAME`",
            ));
        }
        Mint::open(&self.config)
    }

    /// The tokens for key files that may lie on a machine without a mint: those of the configuration, where
    /// there is one, and those that the files name with their module.
    pub(crate) fn tokens(&self, pin_file: Option<&Path>) -> Result<Arc<Tokens>, Failure> {
        match pin_file {
            None if self.config.exists() => Ok(Arc::clone(self.mint()?.tokens())),
            pin_file => Ok(Arc::new(Tokens::of_key_files(pin_file))),
        }
    }

    /// Module and PIN file of a token that the configuration describes.
    pub(crate) fn described_token(&self, label: &str) -> Result<(PathBuf, Option<PathBuf>), Failure> {
        let unknown = || {
            Failure::refused(format!("nothing says through which module token {label:?} is reached"))
                .hint("name the module with --module")
        };
        if !self.config.exists() {
            return Err(unknown());
        }
        let mint = self.mint()?;
        let described = mint.config.pkcs11.iter().find(|token| token.label.as_deref() == Some(label));
        let described = described.ok_or_else(unknown)?;
        let at_home = |path: &PathBuf| mint.home.0.join(path);
        Ok((at_home(&described.module), described.pin_file.as_ref().map(at_home)))
    }
}

/// Reads a small text file, or stdin for `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    const TEXT_BYTES_MAX: u64 = 1 << 20;
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let stdin = std::io::stdin().lock();
        std::io::Read::read_to_end(&mut std::io::Read::take(stdin, TEXT_BYTES_MAX), &mut bytes)
            .map_err(|fault| Failure::could_not(format!("cannot read stdin: {fault}")))?;
        bytes
    } else {
        farside_service::durable::read_limited(path, TEXT_BYTES_MAX)?
    };
    String::from_utf8(bytes).map_err(|_| Failure::refused(format!("{} is not text", path.display())))
}

/// Reads a draft, or a sheaf of them.
pub(crate) fn read_sheaf(path: &Path) -> Result<Vec<u8>, Failure> {
    if path == Path::new("-") {
        return read_text(path).map(String::into_bytes);
    }
    Ok(farside_service::durable::read_limited(path, SHEAF_BYTES_MAX)?)
}

/// `1 signature`, `2 signatures`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `a, b and c`; `-` for nothing.
pub(crate) fn joined(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

/// A SHA-256 as `cnf` has it.
// token.md §5.6
pub(crate) fn thumbprint(text: &str) -> Result<String, String> {
    match farside_verify::encode::base64url_decode(text) {
        Some(hash) if hash.len() == 32 => Ok(text.to_owned()),
        _ => Err("that is not 32 bytes in base64url: 43 characters".to_owned()),
    }
}

/// What binds a token to the SSH public key in a `.pub` file.
fn ssh_confirmation(path: &std::path::Path) -> Result<crate::claims::Confirmation, Failure> {
    let bytes = farside_service::durable::read_limited(path, farside_verify::SSH_KEY_BYTES_MAX as u64)?;
    let key = farside_verify::SshKey::parse(&String::from_utf8_lossy(&bytes)).map_err(|fault| {
        Failure::refused(format!("{}: {fault}", path.display())).hint(
            "give the .pub file of an Ed25519, ECDSA or RSA key (2,048 bits or more), not a certificate",
        )
    })?;
    Ok(crate::claims::Confirmation::Ssh(farside_verify::encode::base64url(key.fingerprint())))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_two_arguments_of_a_command_share_a_name() {
        super::Cli::command().debug_assert();
    }
}
