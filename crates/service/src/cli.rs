//! Manners at the command line, the same in every program: results to stdout, everything else to stderr,
//! errors as `farside: error: …` then `hint: …`, exit 0 (done), 1 (refused) or 2 (could not). Refuses to
//! print what could steer a terminal: foreign text goes through [`printable`].

mod failure;
pub mod page;
mod progress;
mod terminal;
mod text;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use serde::Serialize;

pub use failure::{Exit, Failure, OrFailure};
pub use progress::Progress;
pub use terminal::{Style, TerminalFault, ask, ask_or, ask_secret, ask_until, confirm, say};
pub use text::{printable, table, times};

/// Longer words of a command line are cut before they are said back.
const WORD_CHARACTERS_MAX: usize = 64;
const WORD_CHARACTERS_SHOWN: usize = 16;

/// Parses the arguments, runs the program, tells what went wrong, and answers the exit code.
///
/// Every program's `main` is this one call; see the crate's own programs for examples.
pub fn run<C: Parser>(
    args: impl IntoIterator<Item = OsString>,
    program: impl FnOnce(C) -> Result<(), Failure>,
) -> ExitCode {
    let outcome = match C::try_parse_from(args) {
        Ok(command) => program(command),
        Err(usage) => answer_usage(&usage),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.exit().code()
        }
    }
}

/// Help and version are results; anything else is a command line that could not be understood.
fn answer_usage(usage: &clap::Error) -> Result<(), Failure> {
    let help = matches!(
        usage.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if help {
        let on_stdout = !usage.use_stderr();
        usage.print().or_else(forgive_closed_pipe).or_could_not(|| "print the help".to_owned())?;
        return if on_stdout { Ok(()) } else { Err(Failure::told(Exit::CouldNot)) };
    }
    let whole = usage.to_string();
    let one_line = |text: &str| text.split_whitespace().map(shortened).collect::<Vec<_>>().join(" ");
    let (sentence, rest) = whole.trim().split_once("\n\n").unwrap_or((&whole, "try --help"));
    let (sentence, hint) = (one_line(sentence.trim_start_matches("error: ")), one_line(rest));
    Err(Failure::could_not(sentence).hint(hint))
}

/// A mistyped command line may hold a token or a secret: only its beginning is said back.
fn shortened(word: &str) -> Cow<'_, str> {
    match word.char_indices().nth(WORD_CHARACTERS_MAX) {
        None => Cow::Borrowed(word),
        Some(_) => Cow::Owned(word.chars().take(WORD_CHARACTERS_SHOWN).chain(['…']).collect()),
    }
}

/// Who gives this process's orders, for journals and logs.
#[must_use]
pub fn operator() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// Where results go: lines for people, or one JSON value per line with `--json`.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// `--json` was given.
    pub json: bool,
}

impl Output {
    /// Says one result in the form that was asked for.
    ///
    /// # Errors
    /// Stdout cannot be written. A reader that has gone away (`| head`) is no error.
    pub fn say(self, human: impl FnOnce() -> String, value: &impl Serialize) -> Result<(), Failure> {
        let line = if self.json {
            serde_json::to_string(value).or_could_not(|| "spell the result as JSON".to_owned())?
        } else {
            human()
        };
        self.line(&line)
    }

    /// Prints one line to stdout as it is.
    ///
    /// # Errors
    /// As [`Output::say`].
    pub fn line(self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
        written.or_else(forgive_closed_pipe).or_could_not(|| "write to stdout".to_owned())
    }
}

fn forgive_closed_pipe(fault: io::Error) -> io::Result<()> {
    if fault.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[arg(long)]
        site: String,
    }

    fn outcome(args: &[&str]) -> Result<(), Failure> {
        match Cli::try_parse_from(args) {
            Ok(cli) => Err(Failure::refused(format!("{} is unknown", cli.site)).hint("mint site list")),
            Err(usage) => answer_usage(&usage),
        }
    }

    #[test]
    fn a_wrong_command_line_is_an_error_with_a_hint() {
        let failure = outcome(&["mint", "--sit", "a"]).unwrap_err();
        assert_eq!(failure.exit(), Exit::CouldNot);
        assert!(failure.to_string().contains("--sit"), "{failure}");
        assert!(failure.hint_text().is_some_and(|hint| !hint.contains('\n')));
    }

    #[test]
    fn a_token_on_a_wrong_command_line_is_not_said_back() {
        let token = format!("eyJhbGciOiJFUzI1NiJ9.{}", "secret".repeat(20));
        let failure = outcome(&["mint", "--site", "dome", &token]).unwrap_err();
        let spelled = failure.spelled();
        assert!(spelled.contains("eyJhbGci") && !spelled.contains("secret"), "{spelled}");
    }

    #[test]
    fn a_refusal_says_so_in_its_exit_code() {
        let failure = outcome(&["mint", "--site", "dome"]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Refused);
        assert_eq!(failure.spelled(), "farside: error: dome is unknown\nhint: mint site list\n");
    }

    #[test]
    fn foreign_text_in_an_error_cannot_steer_the_terminal() {
        let failure = Failure::refused("no site \u{1b}[2Jnamed\nso \u{202e}");
        assert_eq!(failure.spelled(), "farside: error: no site \\u{1b}[2Jnamed\\nso \\u{202e}\n");
    }
}
