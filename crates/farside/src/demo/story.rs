//! How the demonstration reads: numbered steps in plain sentences, each command as one would type it, and
//! what it answered. Colour only where a person looks.

use farside_service::cli::{Style, printable};

/// Longer lines of output are cut: a token of 380 characters is no pleasure to read.
const SHOWN_CHARS_MAX: usize = 112;
/// Answers longer than this many lines are cut.
const SHOWN_LINES_MAX: usize = 20;

/// The narrator.
pub(crate) struct Story {
    style: Style,
    step: usize,
}

impl Story {
    /// Speaks on standard output.
    pub(crate) fn new() -> Story {
        Story { style: Style::stdout(), step: 0 }
    }

    /// A new act.
    pub(crate) fn act(&self, title: &str) {
        let line = "─".repeat(title.chars().count());
        say(&format!("\n{}\n{}", self.style.bold(title), self.style.dim(&line)));
    }

    /// A new step, numbered.
    pub(crate) fn step(&mut self, sentence: &str) {
        self.step += 1;
        say(&format!("\n{} {sentence}", self.style.bold(&format!("{:>2}.", self.step))));
    }

    /// A sentence that belongs to the step.
    pub(crate) fn tell(&self, sentence: &str) {
        say(&format!("    {sentence}"));
    }

    /// A command line or an HTTP request, before it happens.
    pub(crate) fn command(&self, line: &str) {
        say(&format!(
            "    {} {}",
            self.style.dim("$"),
            self.style.dim(&shortened(line, SHOWN_CHARS_MAX * 2))
        ));
    }

    /// What was answered.
    pub(crate) fn answer(&self, text: &str) {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in lines.iter().take(SHOWN_LINES_MAX) {
            say(&format!("      {}", self.style.dim(&shortened(line, SHOWN_CHARS_MAX))));
        }
        if lines.len() > SHOWN_LINES_MAX {
            say(&self.style.dim(&format!("      … {} more lines", lines.len() - SHOWN_LINES_MAX)));
        }
    }

    /// What went as it should: someone was let in.
    pub(crate) fn admitted(&self, sentence: &str) {
        say(&format!("    {} {sentence}", self.style.green("✓")));
    }

    /// What was refused, as it should: its code and the cure that was offered.
    pub(crate) fn refused(&self, code: &str, cure: &str) {
        say(&format!("    {} {}", self.style.red("✗"), self.style.red(code)));
        say(&format!("      {}", printable(cure)));
    }
}

fn shortened(line: &str, chars_max: usize) -> String {
    let line = printable(line);
    if line.chars().count() <= chars_max {
        return line.into_owned();
    }
    let kept: String = line.chars().take(chars_max).collect();
    format!("{kept}…")
}

#[expect(clippy::print_stdout, reason = "the story is the result")]
fn say(text: &str) {
    println!("{text}");
}
