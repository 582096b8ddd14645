//! The page in the making. Markup is written in this program's source and nowhere else: [`Page::raw`] takes
//! only what was there when it was compiled, and everything else goes through [`Page::text`], which escapes.

use std::fmt::{Display, Write as _};

use farside_service::cli::printable;
use farside_service::time::rfc3339;

/// HTML or SVG in the making.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Markup, as the source has it.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Page {
        self.0.push_str(markup);
        self
    }

    /// Text from anywhere, as text.
    // audit.md §5.1
    pub(super) fn text(&mut self, text: impl Display) -> &mut Page {
        let text = text.to_string();
        for character in printable(&text).chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                character => self.0.push(character),
            }
        }
        self
    }

    /// A coordinate, with one decimal.
    pub(super) fn at(&mut self, number: f64) -> &mut Page {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{number:.1}");
        self
    }

    /// A whole element with text in it.
    pub(super) fn tag(&mut self, open: &'static str, text: impl Display, close: &'static str) -> &mut Page {
        self.raw(open).text(text).raw(close)
    }

    /// A cell.
    pub(super) fn cell(&mut self, text: impl Display) -> &mut Page {
        self.tag("<td>", text, "</td>")
    }

    /// A cell with a number, or with a dash where nobody knows it.
    pub(super) fn number(&mut self, number: Option<u64>) -> &mut Page {
        self.tag("<td class=\"n\">", grouped(number), "</td>")
    }

    /// A cell with a time, or with a dash.
    pub(super) fn time(&mut self, at: Option<u64>) -> &mut Page {
        self.raw("<td class=\"t\">").moment(at).raw("</td>")
    }

    /// A time, or a dash. Where room is short, its hour goes below its day.
    pub(super) fn moment(&mut self, at: Option<u64>) -> &mut Page {
        let Some(at) = at else { return self.raw("–") };
        let moment = moment(at);
        for (part, word) in moment.split(' ').enumerate() {
            self.raw(if part > 0 { " <span>" } else { "<span>" }).text(word).raw("</span>");
        }
        self
    }

    /// A cell whose words stay in one line.
    pub(super) fn short(&mut self, text: impl Display) -> &mut Page {
        self.tag("<td class=\"s\">", text, "</td>")
    }

    /// A code of our own.
    pub(super) fn known(&mut self, code: &'static str) -> &mut Page {
        self.raw("<td class=\"s\"><code>").raw(code).raw("</code></td>")
    }

    /// A cell in the face of code.
    pub(super) fn code(&mut self, text: impl Display) -> &mut Page {
        self.tag("<td><code>", text, "</code></td>")
    }

    /// The finished text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A number with its thousands apart; a dash for what nobody knows.
pub(super) fn grouped(number: Option<u64>) -> String {
    let Some(number) = number else { return "–".to_owned() };
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// A moment, UTC, to the second.
pub(super) fn moment(at: u64) -> String {
    rfc3339(at).replace('T', " ").replace('Z', "")
}

/// A day, UTC.
pub(super) fn day(at: u64) -> String {
    rfc3339(at).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup_and_never_steers() {
        let mut page = Page::default();
        page.text("<script>alert('x')</script> & \"y\" \u{202e}evil\n");
        let text = page.finish();
        assert_eq!(
            text,
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot; \\u{202e}evil\\n"
        );
    }

    #[test]
    fn numbers_and_times_are_for_eyes() {
        assert_eq!(grouped(Some(1_234_567)), "1\u{2009}234\u{2009}567");
        assert_eq!(grouped(Some(12)), "12");
        assert_eq!(moment(0), "1970-01-01 00:00:00");
    }
}
