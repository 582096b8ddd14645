//! Text for eyes: tables, and foreign words made harmless.

use std::borrow::Cow;

/// The text with control characters and those that change the writing direction spelled as escapes, so that a
/// name from outside can neither steer the terminal nor pass for another.
///
/// ```
/// assert_eq!(farside_service::cli::printable("a\u{1b}[2J"), "a\\u{1b}[2J");
/// assert_eq!(farside_service::cli::printable("Łódź"), "Łódź");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if steers(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

fn steers(character: char) -> bool {
    let invisible = matches!(character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    character.is_control() || invisible
}

/// How often something was, in words.
///
/// ```
/// use farside_service::cli::times;
/// assert_eq!([times(1), times(2), times(7)], ["once", "twice", "7 times"]);
/// ```
#[must_use]
pub fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        many => format!("{many} times"),
    }
}

/// Columns under their headings, as wide as they need to be; every cell made printable.
#[must_use]
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = vec![columns(headings.iter().map(|heading| Cow::Borrowed(*heading)), &widths)];
    lines.extend(rows.into_iter().map(|row| columns(row.into_iter(), &widths)));
    lines.join("\n")
}

fn columns<'a>(cells: impl Iterator<Item = Cow<'a, str>>, widths: &[usize]) -> String {
    let padded: Vec<String> = cells.zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    padded.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_stay_in_their_row() {
        let rows =
            vec![vec!["dome".to_owned(), "3".to_owned()], vec!["far\nside".to_owned(), "41".to_owned()]];
        assert_eq!(table(&["site", "seq"], &rows), "site       seq\ndome       3\nfar\\nside  41");
    }
}
