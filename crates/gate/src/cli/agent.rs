//! `gate agent`: on a far-side machine, keeps a workload's token file fresh out of what bundles carry.
//!
//! ```text
//!   ask the gate (/pickup) ─▶ not what the file holds? ─▶ replace it whole, 0600 ─▶ tell the workload
//!          ▲                                                                               │
//!          └───────────── wait: as configured, longer after each failure ◀─────────────────┘
//! ```
//!
//! Whatever fails, the file keeps the last good token, and the log says until when that is. It holds no store
//! and no lock: killed at any moment, it leaves the old file or the new one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use farside_service::cli::{Exit, Failure, OrFailure as _, Output, printable};
use farside_service::durable::{self, Mode};
use farside_service::duration::Seconds;
use farside_service::logging;
use farside_service::random;
use farside_service::time::{now_unix, rfc3339};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::doorstep::Where;
use super::pickup::read_phrase;
use crate::config::Config;
use crate::http::pickup_client::{self, Doorstep, Proof, Token};

/// No token is longer (token.md §3.1).
const TOKEN_BYTES_MAX: u64 = 16 * 1024;
/// Longest file with a process's number.
const PID_BYTES_MAX: u64 = 32;
/// A command that takes longer to hear of a new token is ended.
const NOTIFY_SECONDS_MAX: u64 = 60;
/// How often that command is looked at.
const NOTIFY_LOOK: Duration = Duration::from_millis(50);
/// The first wait after a gate that could not be asked; it doubles with each failure.
const RETRY_SECONDS_MIN: u64 = 1;
/// The longest.
const RETRY_SECONDS_MAX: u64 = 60;
/// The shortest wait after a refusal: the door lets five failed attempts of one name through in five minutes.
const REFUSED_SECONDS_MIN: u64 = 90;
/// Waits are stretched by up to a fifth, so that a thousand agents do not ask in one moment.
const STRETCH: u64 = 5;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("claim").required(true))]
pub(super) struct Agent {
    /// Whose token: `sub` as it stands in the token.
    #[arg(long)]
    subject: String,
    /// The workload's private key, PKCS#8; it stays here and signs one proof for each question.
    #[arg(long, group = "claim", value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file with the claim phrase.
    #[arg(long, group = "claim", value_name = "FILE")]
    phrase_file: Option<PathBuf>,
    /// For which audience, where tokens for several are carried.
    #[arg(long)]
    audience: Option<String>,
    /// The file to keep fresh. Its folder must be there.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How often to ask.
    #[arg(long, default_value = "1m")]
    every: Seconds,
    /// After each new token, signal the process whose number stands in this file.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// The signal.
    #[arg(long, value_enum, default_value = "hup", requires = "pid_file")]
    signal: SignalName,
    /// Ask once, and end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    at: Where,
    /// After each new token, run this command: no shell, at most a minute.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SignalName {
    Hup,
    Usr1,
    Usr2,
    Term,
}

/// What the file holds, as far as this agent knows.
#[derive(Default)]
struct Held {
    /// When its token expires.
    expires_at: Option<u64>,
    /// The workload has not been told of it yet.
    untold: bool,
    /// Failures in a row.
    failures: u32,
}

impl Agent {
    pub(super) fn run(
        self,
        config: impl FnOnce() -> Result<Config, Failure>,
        output: Output,
    ) -> Result<(), Failure> {
        let doorstep = self.at.doorstep(config)?;
        let mut held = Held::default();
        if self.once {
            let token = self.round(&doorstep, &mut held)?;
            let value = json!({"file": self.out, "audience": token.audience, "expires_at": token.expires_at});
            return output.say(|| self.out.display().to_string(), &value);
        }
        logging::init(logging::Options::default())?;
        loop {
            let wait = match self.round(&doorstep, &mut held) {
                Ok(_) => self.every.0,
                Err(failure) => {
                    let hint = failure.hint_text().unwrap_or_default();
                    tracing::warn!(%failure, hint, "no fresh token");
                    after(&failure, held.failures, self.every.0)
                }
            };
            say_when_it_lapses(&held, now_unix(), wait);
            std::thread::sleep(stretched(wait));
        }
    }

    /// Asks, replaces the file where there is something new, and tells the workload.
    fn round(&self, doorstep: &Doorstep, held: &mut Held) -> Result<Token, Failure> {
        held.failures = held.failures.saturating_add(1);
        let token = self.chosen(self.collect(doorstep)?)?;
        // Made anew, for its owner alone, whoever else may read the old one.
        let same =
            durable::read_limited(&self.out, TOKEN_BYTES_MAX).is_ok_and(|old| old == token.text.as_bytes());
        if !same {
            durable::write(&self.out, token.text.as_bytes(), Mode::Private)?;
            held.untold = true;
            let until = token.expires_at.map(rfc3339).unwrap_or_default();
            tracing::info!(file = %self.out.display(), until, "a fresh token");
        }
        held.expires_at = token.expires_at;
        if held.untold {
            self.tell()?;
            held.untold = false;
        }
        held.failures = 0;
        Ok(token)
    }

    fn collect(&self, doorstep: &Doorstep) -> Result<Vec<Token>, Failure> {
        match (&self.key, &self.phrase_file) {
            (Some(key), _) => pickup_client::collect(doorstep, &self.subject, &Proof::Key(key)),
            (None, Some(file)) => {
                pickup_client::collect(doorstep, &self.subject, &Proof::Phrase(&read_phrase(file)?))
            }
            (None, None) => Err(Failure::could_not("name a key or a phrase file")),
        }
    }

    fn chosen(&self, tokens: Vec<Token>) -> Result<Token, Failure> {
        let wanted = |token: &Token| self.audience.is_none() || token.audience == self.audience;
        let mut tokens: Vec<Token> = tokens.into_iter().filter(wanted).collect();
        match (tokens.pop(), tokens.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Failure::refused("no token for this audience was carried")),
            (Some(last), false) => {
                tokens.push(last);
                let names = tokens.iter().filter_map(|token| token.audience.as_deref());
                let names: Vec<_> = names.map(printable).collect();
                Err(Failure::refused(format!(
                    "tokens for several audiences are carried: {}",
                    names.join(", ")
                ))
                .hint("name one with --audience"))
            }
        }
    }

    fn tell(&self) -> Result<(), Failure> {
        if let Some(file) = &self.pid_file {
            signal(file, self.signal)?;
        }
        match self.command.split_first() {
            Some((program, arguments)) => notify(program, arguments),
            None => Ok(()),
        }
    }
}

/// How long to wait after a failure: a gate that is away may be back in a second, a refusal will not change
/// so soon.
fn after(failure: &Failure, failures: u32, every: u64) -> u64 {
    if failure.exit() == Exit::Refused {
        return every.max(REFUSED_SECONDS_MIN);
    }
    let doubled = RETRY_SECONDS_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(RETRY_SECONDS_MAX)
}

fn stretched(seconds: u64) -> Duration {
    let most = seconds * 1000 / STRETCH;
    let dice = random::bytes::<8>().map(u64::from_le_bytes).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_millis(dice % (most + 1))
}

/// Said while there is time to act: the token would end before the gate was asked twice more.
fn say_when_it_lapses(held: &Held, now: u64, wait: u64) {
    let Some(until) = held.expires_at else { return };
    let at = rfc3339(until);
    if until <= now {
        tracing::error!(at, "the token has lapsed, and nothing fresher has crossed");
    } else if until - now <= 2 * wait {
        tracing::warn!(at, in_seconds = until - now, "the token will lapse, and nothing fresher has crossed");
    }
}

fn signal(file: &Path, name: SignalName) -> Result<(), Failure> {
    let bytes = durable::read_limited(file, PID_BYTES_MAX)?;
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
    // 1 is init, and what is below means groups of processes.
    let pid = number.filter(|number: &i32| *number > 1).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::could_not(format!("no process's number in {}", file.display())))?;
    let signal = match name {
        SignalName::Hup => Signal::HUP,
        SignalName::Usr1 => Signal::USR1,
        SignalName::Usr2 => Signal::USR2,
        SignalName::Term => Signal::TERM,
    };
    kill_process(pid, signal).or_could_not(|| format!("signal the process of {}", file.display()))
}

/// Nothing of the token goes to the command: it reads the file, if it may.
fn notify(program: &str, arguments: &[String]) -> Result<(), Failure> {
    let mut command = Command::new(program);
    // What it says goes where this program's log goes, and not among results.
    command.args(arguments).stdin(Stdio::null()).stdout(std::io::stderr());
    let mut child = command.spawn().or_could_not(|| format!("run {program}"))?;
    match ended(&mut child).or_could_not(|| format!("wait for {program}"))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Failure::could_not(format!("{program} failed ({status})"))),
        None => Err(Failure::could_not(format!("{program} took longer than {NOTIFY_SECONDS_MAX} s"))),
    }
}

fn ended(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(NOTIFY_SECONDS_MAX) {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(NOTIFY_LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_is_away_is_asked_again_soon_and_a_refusal_is_not_repeated() {
        let away = Failure::could_not("away");
        let waits: Vec<u64> = (1..=9).map(|failures| after(&away, failures, 600)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(after(&away, u32::MAX, 1), RETRY_SECONDS_MAX);
        let refused = Failure::refused("nothing waits");
        assert_eq!((after(&refused, 1, 1), after(&refused, 9, 600)), (REFUSED_SECONDS_MIN, 600));
    }

    #[test]
    fn waits_are_stretched_by_a_fifth_at_most() {
        for _ in 0..100 {
            let wait = stretched(10);
            assert!((Duration::from_secs(10)..=Duration::from_secs(12)).contains(&wait), "{wait:?}");
        }
        assert_eq!(stretched(0), Duration::ZERO);
    }
}
