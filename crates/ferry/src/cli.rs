//! The ferry's command line: `send`, `receive`, `status`. Says of every file what became of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, value_parser};
use farside_service::cli::{self, Failure, Output, printable};
use farside_service::{journal, time};

use crate::Name;
use crate::diary::Diary;
use crate::lane::media::{MediaIn, MediaOut, folders};
use crate::left::Left;
use crate::medium::Medium;
use crate::receive::{Again, Inbox, Receiving, receive_into};
use crate::send::{Carried, Refused, Sending, folder_name, send_from};
use crate::status::{self, Health, status};

/// How many old files a medium keeps, so that a site that missed some crossings can bridge them.
const KEEP_DEFAULT: u32 = 30;
/// Foreign names that are listed before the rest is counted.
const FOREIGN_SHOWN_MAX: usize = 5;

/// Carries files across the gap, one way.
#[derive(Debug, Parser)]
#[command(name = "farside-ferry", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Results as one JSON object.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What the ferry does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put the newest files of a folder on a medium, durably, and read them back.
    Send(SendArgs),
    /// Bring what a medium holds into a folder: each file once, whole or not at all.
    Receive(ReceiveArgs),
    /// Read everything a medium holds and say whether it is whole.
    Status {
        /// Where the medium is mounted.
        stick: PathBuf,
    },
    /// The journal of what was carried.
    #[command(subcommand)]
    Audit(Audit),
}

/// `ferry audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Follow the hash chain from the first line to the last.
    Verify {
        /// The ferry's journal, or the folder it lies in.
        journal: PathBuf,
        /// How far back.
        #[command(flatten)]
        reach: journal::Reach,
    },
}

/// `ferry send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The folder whose files are sent, such as near/outbox/dome.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Where the medium is mounted.
    #[arg(long, value_name = "STICK")]
    pub to: PathBuf,
    /// How many files, the newest, the medium is to hold.
    #[arg(long, value_name = "N", default_value_t = KEEP_DEFAULT)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub keep: u32,
    /// What people call the medium, for the journal; by default the label of its file system.
    #[arg(long, value_name = "LABEL")]
    pub medium: Option<String>,
    /// The folder of the ferry's journal; by default one called `journal` near DIR, where it exists.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
}

/// `ferry receive`.
#[derive(Debug, Args)]
pub struct ReceiveArgs {
    /// Where the medium is mounted; it may be read-only.
    #[arg(long, value_name = "STICK")]
    pub from: PathBuf,
    /// The folder that takes the files, such as far/inbox.
    #[arg(long, value_name = "INBOX")]
    pub to: PathBuf,
    /// The folder on the medium, where it holds several; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub folder: Vec<String>,
    /// Bring also what was brought before.
    #[arg(long)]
    pub again: bool,
    /// What people call the medium, for the journal; by default the label of its file system.
    #[arg(long, value_name = "LABEL")]
    pub medium: Option<String>,
    /// The folder of the ferry's journal; by default one called `journal` near INBOX, where it exists.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
}

/// The whole program: arguments in, exit code out.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::run(args, run)
}

/// Runs one command.
///
/// # Errors
/// Exit 1: some files stayed behind. Exit 2: the crossing could not be begun or finished.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let output = Output { json: cli.json };
    match cli.command {
        Command::Send(args) => send(&args, output),
        Command::Receive(args) => receive(&args, output),
        Command::Status { stick } => show(&stick, output),
        Command::Audit(Audit::Verify { journal, reach }) => journal::audit(&reach, &[journal], &[], output),
    }
}

fn send(args: &SendArgs, output: Output) -> Result<(), Failure> {
    let folder = folder_name(&args.from)?;
    let diary =
        open_diary(args.journal.as_deref(), &args.from, Medium::of(&args.to, args.medium.as_deref()))?;
    let mut lane = MediaOut::open(&args.to, &folder).map_err(could_not)?;
    let sending = send_from(&args.from, &folder, args.keep as usize, &mut lane, &diary, time::now_unix())?;
    output.say(|| tell_sending(&sending), &sending)?;
    judge(&sending.refused, sending.stopped.as_deref())
}

fn receive(args: &ReceiveArgs, output: Output) -> Result<(), Failure> {
    let chosen = choose(&args.from, &args.folder)?;
    let diary =
        open_diary(args.journal.as_deref(), &args.to, Medium::of(&args.from, args.medium.as_deref()))?;
    let mut inbox = Inbox::open(&args.to)?;
    let again = if args.again { Again::Yes } else { Again::No };
    let mut all = Receiving::default();
    for folder in chosen {
        let mut lane = MediaIn::open(&args.from, &folder).map_err(could_not)?;
        all.foreign.extend_from_slice(lane.foreign());
        let one = receive_into(&mut inbox, folder.as_str(), &mut lane, again, &diary, time::now_unix())?;
        all.carried.extend(one.carried);
        all.already.extend(one.already);
        all.refused.extend(one.refused);
        all.stopped = one.stopped;
        if all.stopped.is_some() {
            break;
        }
    }
    output.say(|| tell_receiving(&all), &all)?;
    judge(&all.refused, all.stopped.as_deref())
}

fn show(stick: &Path, output: Output) -> Result<(), Failure> {
    let medium = status(stick).map_err(could_not)?;
    output.say(|| tell_medium(&medium), &medium)?;
    let mut files = medium.folders.iter().flat_map(|folder| &folder.files);
    match files.any(|file| file.health == Health::Damaged) {
        true => Err(Failure::refused("some files are half-written or damaged")
            .hint("send them again from the near side")),
        false => Ok(()),
    }
}

/// The folders asked for; without a word, the only one there is.
fn choose(stick: &Path, asked: &[String]) -> Result<Vec<Name>, Failure> {
    let there = folders(stick).map_err(could_not)?;
    let names = || there.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    if asked.is_empty() {
        return match there.len() {
            0 => Err(Failure::could_not(format!("{} holds nothing of ours", stick.display()))
                .hint("is the right medium mounted there, and was something sent to it?")),
            1 => Ok(there),
            _ => Err(Failure::could_not(format!("the medium holds several folders: {}", names()))
                .hint("choose with --folder NAME")),
        };
    }
    let find = |asked: &String| {
        let found = there.iter().find(|name| name.as_str() == asked).cloned();
        found.ok_or_else(|| {
            Failure::could_not(format!("the medium holds no folder {asked}"))
                .hint(format!("it holds: {}", names()))
        })
    };
    asked.iter().map(find).collect()
}

fn open_diary(named: Option<&Path>, home: &Path, medium: Medium) -> Result<Diary, Failure> {
    let diary = Diary::open(named, home, medium)?;
    if !diary.is_kept() {
        eprintln!(
            "farside: note: no journal folder near {}: this crossing is not written down",
            home.display()
        );
    }
    Ok(diary)
}

/// Everything that stayed behind is on stdout already; the exit code and the first hint remain.
fn judge(refused: &[Refused], stopped: Option<&str>) -> Result<(), Failure> {
    let hint = refused.iter().rev().find_map(|file| file.hint);
    let failure = match (stopped, refused.len()) {
        (Some(reason), _) => Failure::could_not(format!("the crossing stopped: {reason}")),
        (None, 0) => return Ok(()),
        (None, 1) => Failure::refused(format!("{} stayed behind: {}", refused[0].name, refused[0].reason)),
        (None, many) => Failure::refused(format!("{many} files stayed behind")),
    };
    Err(failure.with_hint(hint))
}

fn could_not(left: Left) -> Failure {
    Failure::could_not(left.to_string()).with_hint(left.hint())
}

fn tell_sending(sending: &Sending) -> String {
    let mut lines = tell_carried(&sending.carried, &sending.refused);
    count(&mut lines, sending.already.len(), "already there");
    count(&mut lines, sending.forgotten.len(), "older removed from the medium");
    count(&mut lines, sending.older, "older not sent");
    finish(lines)
}

fn tell_receiving(receiving: &Receiving) -> String {
    let mut lines = tell_carried(&receiving.carried, &receiving.refused);
    count(&mut lines, receiving.already.len(), "received before (--again brings them once more)");
    tell_foreign(&mut lines, &receiving.foreign);
    finish(lines)
}

fn tell_medium(medium: &status::Medium) -> String {
    let mut lines = Vec::new();
    for folder in &medium.folders {
        lines.push(format!("{}:", folder.name));
        for file in &folder.files {
            let health = if file.health == Health::Whole { "whole  " } else { "damaged" };
            lines.push(format!("  {health}  {}  {} bytes", file.name, file.bytes));
        }
        count(&mut lines, folder.unfinished.len(), "unfinished, cleared by the next send");
        tell_foreign(&mut lines, &folder.foreign);
    }
    lines.push(format!("{} bytes free", medium.free_bytes));
    finish(lines)
}

fn tell_carried(carried: &[Carried], refused: &[Refused]) -> Vec<String> {
    let carried = carried
        .iter()
        .map(|file| format!("carried  {}  {} bytes  sha256 {}", file.name, file.bytes, file.sha256));
    let refused =
        refused.iter().map(|file| format!("left     {}: {}", printable(&file.name), printable(&file.reason)));
    carried.chain(refused).collect()
}

fn tell_foreign(lines: &mut Vec<String>, foreign: &[String]) {
    count(lines, foreign.len(), "not ours, untouched:");
    let shown = foreign.iter().take(FOREIGN_SHOWN_MAX);
    lines.extend(shown.map(|name| format!("         {}", printable(name))));
    if foreign.len() > FOREIGN_SHOWN_MAX {
        lines.push("         …".to_owned());
    }
}

fn count(lines: &mut Vec<String>, number: usize, what: &str) {
    if number > 0 {
        lines.push(format!("{number} {what}"));
    }
}

fn finish(lines: Vec<String>) -> String {
    if lines.is_empty() { "nothing to carry".to_owned() } else { lines.join("\n") }
}
