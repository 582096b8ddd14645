//! A sheaf: the drafts of many sites in one file, so that people carry, read and sign one thing.
//!
//! ```text
//!   farside-sheaf/1 <how many notes>
//!   <bytes of the note>
//!   <the note> …
//! ```
//!
//! Nothing of it is believed: each note bears signatures of its own, and is adopted by these.

use farside_crossing::{Code, Refusal};

/// Largest sheaf, in bytes.
pub const SHEAF_BYTES_MAX: u64 = 64 << 20;

/// Most notes in one.
const NOTES_MAX: usize = 10_000;

const FIRST_WORD: &str = "farside-sheaf/1 ";

/// Ties notes together; one alone stays as it is.
pub fn tie(notes: &[Vec<u8>]) -> Vec<u8> {
    if let [only] = notes {
        return only.clone();
    }
    let mut sheaf = format!("{FIRST_WORD}{}\n", notes.len()).into_bytes();
    for note in notes {
        sheaf.extend_from_slice(format!("{}\n", note.len()).as_bytes());
        sheaf.extend_from_slice(note);
    }
    sheaf
}

/// The notes of a sheaf; what is none is one note.
///
/// # Errors
/// It begins as a sheaf does and is none.
pub fn untie(bytes: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let Some(rest) = bytes.strip_prefix(FIRST_WORD.as_bytes()) else { return Ok(vec![bytes]) };
    let (count, mut rest) = number(rest, NOTES_MAX)?;
    let mut notes = Vec::new();
    for _ in 0..count {
        let (length, behind) = number(rest, rest.len())?;
        let (note, behind) = behind.split_at_checked(length).ok_or_else(malformed)?;
        notes.push(note);
        rest = behind;
    }
    if rest.is_empty() && count > 0 { Ok(notes) } else { Err(malformed()) }
}

/// A line that is a number of at most so much, and what stands behind it.
fn number(bytes: &[u8], at_most: usize) -> Result<(usize, &[u8]), Refusal> {
    let end = bytes.iter().take(20).position(|byte| *byte == b'\n').ok_or_else(malformed)?;
    let (digits, rest) = (bytes.get(..end), bytes.get(end + 1..));
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let number = number.filter(|number| *number <= at_most).ok_or_else(malformed)?;
    Ok((number, rest.unwrap_or_default()))
}

fn malformed() -> Refusal {
    Refusal::new(Code::Malformed, "this file is no sheaf of drafts: it is cut short or was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tied_is_untied_and_what_is_cut_is_refused() {
        let notes = [b"one\n\n".to_vec(), b"two\n\n\xe2\x80\x94 a b\n".to_vec(), Vec::new()];
        let sheaf = tie(&notes);
        assert_eq!(untie(&sheaf).unwrap(), notes);
        for end in FIRST_WORD.len()..sheaf.len() {
            assert!(untie(&sheaf[..end]).is_err(), "cut at {end}");
        }
        assert!(untie(&[&sheaf[..], b"x"].concat()).is_err());
        assert!(untie(b"farside-sheaf/1 99999\n").is_err());
        assert_eq!(tie(&notes[..1]), notes[0]);
        assert_eq!(untie(&notes[0]).unwrap(), [&notes[0][..]]);
    }
}
