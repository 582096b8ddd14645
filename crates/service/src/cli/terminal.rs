//! Talking with the person at the terminal: questions, secrets typed without echo, and colour where it shows.
//! Questions go to `/dev/tty`, so that results can be piped elsewhere meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::secret_file::Secret;

/// The longest line read from a terminal.
const LINE_BYTES_MAX: usize = 4096;

/// How often a question is asked again.
const TRIES_MAX: usize = 3;

/// Why nothing was learnt from the terminal.
#[derive(Debug, thiserror::Error)]
pub enum TerminalFault {
    /// There is none: the process runs unattended.
    #[error("there is no terminal to ask at: {0}")]
    NoTerminal(io::Error),
    /// It went away while being asked.
    #[error("the terminal did not answer: {0}")]
    Unreadable(#[from] io::Error),
    /// The answer ended without a line, or was too long or no text.
    #[error("the answer was empty, longer than {LINE_BYTES_MAX} bytes, or not UTF-8")]
    NoAnswer,
    /// Every answer was something else than was asked for.
    #[error("the answer could not be understood {TRIES_MAX} times")]
    NotUnderstood,
}

/// Asks a question and reads a line.
///
/// # Errors
/// No terminal, or no answer.
pub fn ask(question: &str) -> Result<String, TerminalFault> {
    let mut tty = open()?;
    write!(tty, "{question} ")?;
    let line = read_line(&mut tty)?;
    String::from_utf8(line.to_vec()).map_err(|_| TerminalFault::NoAnswer)
}

/// Asks a question and reads a line; an empty one is the `usual` answer, which the question shows.
///
/// # Errors
/// As [`ask`].
pub fn ask_or(question: &str, usual: &str) -> Result<String, TerminalFault> {
    let mut tty = open()?;
    write!(tty, "{question} [{usual}]: ")?;
    let line = read_any_line(&mut tty)?;
    let answer = std::str::from_utf8(&line).map_err(|_| TerminalFault::NoAnswer)?.trim();
    Ok(if answer.is_empty() { usual.to_owned() } else { answer.to_owned() })
}

/// Asks until an answer can be read, a few times at most, and says each time what is wrong with it.
/// Whether it is the right one is not judged here, so that nobody finds it by trying.
///
/// # Errors
/// As [`ask`]; the last answer, too, could not be read.
pub fn ask_until<T, E: std::fmt::Display>(
    question: &str,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<T, TerminalFault> {
    for _ in 0..TRIES_MAX {
        match read(ask(question)?.trim()) {
            Ok(answer) => return Ok(answer),
            Err(fault) => say(&format!("  {fault}"))?,
        }
    }
    Err(TerminalFault::NotUnderstood)
}

/// Tells the person at the terminal something between questions.
///
/// # Errors
/// There is no terminal.
pub fn say(text: &str) -> Result<(), TerminalFault> {
    Ok(writeln!(open()?, "{text}")?)
}

/// Asks for a plain `yes`.
///
/// # Errors
/// As [`ask`].
pub fn confirm(question: &str) -> Result<bool, TerminalFault> {
    let answer = ask(&format!("{question} (yes/no)"))?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

/// Asks for a secret; what is typed is not shown.
///
/// # Errors
/// As [`ask`].
pub fn ask_secret(question: &str) -> Result<Secret, TerminalFault> {
    let mut tty = open()?;
    write!(tty, "{question} ")?;
    let quiet = Quiet::begin(&tty)?;
    let line = read_line(&mut tty);
    drop(quiet);
    writeln!(tty)?;
    Ok(Secret::new(line?))
}

fn open() -> Result<File, TerminalFault> {
    OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(TerminalFault::NoTerminal)
}

fn read_line(tty: &mut File) -> Result<Zeroizing<Vec<u8>>, TerminalFault> {
    read_any_line(tty).and_then(|line| if line.is_empty() { Err(TerminalFault::NoAnswer) } else { Ok(line) })
}

/// Byte by byte, so that nothing typed ahead stays in a buffer of ours.
fn read_any_line(tty: &mut File) -> Result<Zeroizing<Vec<u8>>, TerminalFault> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut byte = Zeroizing::new([0]);
    loop {
        if tty.read(&mut *byte)? == 0 || line.len() >= LINE_BYTES_MAX {
            return Err(TerminalFault::NoAnswer);
        }
        match byte[0] {
            b'\n' => return Ok(line),
            typed => line.push(typed),
        }
    }
}

/// The terminal without echo, until dropped.
struct Quiet {
    tty: File,
    before: Termios,
}

impl Quiet {
    fn begin(tty: &File) -> Result<Self, TerminalFault> {
        let tty = tty.try_clone()?;
        let before = tcgetattr(&tty).map_err(io::Error::from)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&tty, OptionalActions::Flush, &silent).map_err(io::Error::from)?;
        Ok(Self { tty, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that has gone away needs no echo.
        let _ = tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
    }
}

/// Colour and weight, where a person sees them: on a terminal, unless `NO_COLOR` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Words are marked.
    Coloured,
    /// Words stay as they are.
    Plain,
}

impl Style {
    /// What suits stdout.
    #[must_use]
    pub fn stdout() -> Self {
        Self::suits(&io::stdout())
    }

    /// What suits stderr.
    #[must_use]
    pub fn stderr() -> Self {
        Self::suits(&io::stderr())
    }

    fn suits(stream: &impl IsTerminal) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if stream.is_terminal() && wanted { Self::Coloured } else { Self::Plain }
    }

    /// Bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.mark("1", text)
    }

    /// Faint.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.mark("2", text)
    }

    /// Red: refused, broken.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.mark("31", text)
    }

    /// Green: accepted.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.mark("32", text)
    }

    /// Yellow: look here.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.mark("33", text)
    }

    fn mark(self, code: &str, text: &str) -> String {
        match self {
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}
