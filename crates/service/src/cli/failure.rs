//! What a command answers when it did not do what it was asked: one sentence, perhaps a hint, and which of
//! the two kinds it is.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::printable;
use crate::{append, config, duration, journal, lock, logging, metrics, random, secret_file, time};
use crate::{cli::TerminalFault, durable};

/// The two ways of not succeeding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was understood and refused: exit 1.
    Refused,
    /// It could not be tried or finished: exit 2.
    CouldNot,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused => 1,
            Self::CouldNot => 2,
        })
    }
}

/// Why a command did not succeed, for the person who gave it.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    /// `None` where everything has been said already.
    message: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// It was refused: exit 1.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: Some(message.into()), hint: None }
    }

    /// It could not be done: exit 2.
    #[must_use]
    pub fn could_not(message: impl Into<String>) -> Self {
        Self { exit: Exit::CouldNot, message: Some(message.into()), hint: None }
    }

    /// The results on stdout have said it; only the exit code is left.
    #[must_use]
    pub fn told(exit: Exit) -> Self {
        Self { exit, message: None, hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do about it, where that is known.
    #[must_use]
    pub fn with_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Which kind it is.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The hint, if there is one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(super) fn spelled(&self) -> String {
        let Some(message) = &self.message else { return String::new() };
        let mut text = format!("farside: error: {}\n", printable(message));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {}\n", printable(hint)));
        }
        text
    }

    pub(super) fn tell(&self) {
        // Nobody is left to hear that stderr is closed.
        let _ = io::stderr().lock().write_all(self.spelled().as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or("see the output"))
    }
}

impl std::error::Error for Failure {}

impl From<durable::Failed> for Failure {
    fn from(fault: durable::Failed) -> Self {
        Self::could_not(fault.to_string()).with_hint(fault.hint())
    }
}

impl From<config::ConfigFault> for Failure {
    fn from(fault: config::ConfigFault) -> Self {
        match fault {
            config::ConfigFault::Unreadable(fault) => fault.into(),
            fault => Self::could_not(fault.to_string()),
        }
    }
}

impl From<lock::LockFault> for Failure {
    fn from(fault: lock::LockFault) -> Self {
        match fault {
            lock::LockFault::Failed(fault) => fault.into(),
            fault => Self::could_not(fault.to_string()).hint("wait for it to end, or stop it"),
        }
    }
}

impl From<append::LogFault> for Failure {
    fn from(fault: append::LogFault) -> Self {
        match fault {
            append::LogFault::Failed(fault) => fault.into(),
            append::LogFault::Locked(fault) => fault.into(),
            fault => {
                Self::could_not(fault.to_string()).hint("restore the file from its copy; nothing was changed")
            }
        }
    }
}

impl From<journal::OpenFault> for Failure {
    fn from(fault: journal::OpenFault) -> Self {
        match fault {
            journal::OpenFault::Failed(fault) => fault.into(),
            journal::OpenFault::Locked(fault) => fault.into(),
            fault => Self::could_not(fault.to_string()).hint("keep the file as evidence and start a new one"),
        }
    }
}

impl From<TerminalFault> for Failure {
    fn from(fault: TerminalFault) -> Self {
        let hint = match &fault {
            TerminalFault::NoTerminal(_) => {
                Some("run it at a terminal, or give the answer as an option or a file")
            }
            _ => None,
        };
        Self::could_not(fault.to_string()).with_hint(hint)
    }
}

impl From<secret_file::SecretFault> for Failure {
    fn from(fault: secret_file::SecretFault) -> Self {
        match fault {
            secret_file::SecretFault::Terminal(fault) => fault.into(),
            secret_file::SecretFault::Unreadable(fault) => fault.into(),
            fault => Self::could_not(fault.to_string()),
        }
    }
}

macro_rules! could_not {
    ($($fault:ty),* $(,)?) => {$(
        impl From<$fault> for Failure {
            fn from(fault: $fault) -> Self {
                Self::could_not(fault.to_string())
            }
        }
    )*};
}

could_not!(
    append::Broken,
    append::Refused,
    duration::DurationFault,
    journal::JournalFault,
    journal::RecordFault,
    logging::AlreadySet,
    metrics::MetricsFault,
    random::Failed,
    time::TimeFault,
);

/// Turns any error into a [`Failure`] at the place that knows what was being done.
pub trait OrFailure<T> {
    /// Exit 2: `text: error`.
    ///
    /// # Errors
    /// The failure, where there was an error.
    fn or_could_not(self, text: impl FnOnce() -> String) -> Result<T, Failure>;

    /// Exit 1: `text: error`.
    ///
    /// # Errors
    /// The failure, where there was an error.
    fn or_refused(self, text: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OrFailure<T> for Result<T, E> {
    fn or_could_not(self, text: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|fault| Failure::could_not(format!("cannot {}: {fault}", text())))
    }

    fn or_refused(self, text: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|fault| Failure::refused(format!("{}: {fault}", text())))
    }
}
