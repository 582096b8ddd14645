//! Where in a text something is wrong, in lines and columns as editors count them.

use std::error::Error;

use cedar_policy::ffi::DetailedError;

/// Most characters of what Cedar says that are passed on.
const TOLD_CHARACTERS_MAX: usize = 400;

/// What Cedar says about a text, with the place.
pub(super) fn told<'e, E>(text: &str, error: &'e E) -> String
where
    E: Error + ?Sized,
    DetailedError: From<&'e E>,
{
    let seen = DetailedError::from(error);
    let mut said = seen.message.clone();
    if let Some(help) = &seen.help {
        said.push_str("; ");
        said.push_str(help);
    }
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let said: String = said.chars().take(TOLD_CHARACTERS_MAX).collect();
    match seen.source_locations.first() {
        Some(label) => format!("{}: {said}", at(text, label.loc.start)),
        None => said,
    }
}

/// `line 3, column 14`, counted in characters from 1.
pub(super) fn at(text: &str, byte: usize) -> String {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// Which policy of a text.
pub(super) fn of_policy(number: usize) -> String {
    format!("policy number {}", number.saturating_add(1))
}
