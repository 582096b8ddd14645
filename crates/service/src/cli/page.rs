//! A page for people within eighty columns: titles, and rows of a name and what is said of it, broken between
//! words. For what programs tell of themselves at a glance.

use super::{Style, printable};
use crate::duration::about;
use crate::time::rfc3339;

/// Widest line, in characters.
const COLUMNS: usize = 80;

/// Where what is said of a thing begins.
const MARGIN: usize = 13;

/// A space within which no line is broken.
pub const TIED: &str = "\u{a0}";

/// How a line is painted, once it has been broken into columns.
pub type Paint = fn(Style, &str) -> String;

/// As it is.
#[must_use]
pub fn plain(_: Style, text: &str) -> String {
    text.to_owned()
}

/// A page as it grows.
#[derive(Debug)]
pub struct Page {
    style: Style,
    /// Its lines so far.
    pub lines: Vec<String>,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(style: Style) -> Page {
        Page { style, lines: Vec::new() }
    }

    /// An empty line, and a title.
    pub fn title(&mut self, title: &str) {
        self.lines.push(String::new());
        self.lines.push(self.style.bold(title));
    }

    /// A name, and beside it what is said of it.
    pub fn row(&mut self, name: &str, text: &str, paint: Paint) {
        self.wrapped(&format!("  {name:<width$}", width = MARGIN - 2), text, paint);
    }

    /// `lead`, then the text in as many lines as it takes, all beginning under each other. Broken between
    /// words alone, so that what is to be copied stays whole.
    pub fn wrapped(&mut self, lead: &str, text: &str, paint: Paint) {
        let margin = lead.chars().count();
        let text = printable(text);
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split(' ') {
            let line = lines.last().map_or(0, |line| line.chars().count());
            let fits = line == 0 || margin + line + 1 + word.chars().count() <= COLUMNS;
            match lines.last_mut().filter(|_| fits) {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) => {
                    line.push(' ');
                    line.push_str(word);
                }
                None => lines.push(word.to_owned()),
            }
        }
        for (place, line) in lines.iter().enumerate() {
            let lead = if place == 0 { lead.to_owned() } else { " ".repeat(margin) };
            let line = paint(self.style, &line.replace(TIED, " "));
            self.lines.push(format!("{}{line}", lead.replace(TIED, " ")).trim_end().to_owned());
        }
    }
}

/// To the minute, cut off: nothing that ends is promised for longer than it lasts.
#[must_use]
pub fn instant(at: u64) -> String {
    let exact = rfc3339(at);
    match exact.get(..16).filter(|_| exact.len() == 20) {
        Some(minute) => format!("{}Z", minute.replace('T', TIED)),
        None => exact,
    }
}

/// Until when, and how much longer; or since when it is over.
#[must_use]
pub fn until(at: u64, now: u64) -> String {
    match at.checked_sub(now) {
        Some(left) => format!("{}, for {} more", instant(at), about(left)),
        None => format!("{}, {} ago", instant(at), about(now - at)),
    }
}
