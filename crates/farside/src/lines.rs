//! Lines from a stream that may be hostile: each is bounded before it is kept, and one too long is skipped to
//! its end without being held, so that the lines after it are still heard.

use std::io::{self, BufRead};

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The bytes, at most as many as allowed.
    Whole(Vec<u8>),
    /// It was longer than allowed.
    TooLong,
}

/// Reads to the next line's end; `None` at the stream's.
pub(crate) fn next(input: &mut impl BufRead, bytes_max: usize) -> io::Result<Option<Line>> {
    let (mut line, mut too_long) = (Vec::new(), false);
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            let nothing = line.is_empty() && !too_long;
            return Ok(if nothing { None } else { Some(finished(line, too_long)) });
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let part = &held[..end.unwrap_or(held.len())];
        too_long |= line.len() + part.len() > bytes_max;
        if too_long {
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(finished(line, too_long)));
        }
    }
}

fn finished(mut line: Vec<u8>, too_long: bool) -> Line {
    if too_long {
        return Line::TooLong;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Line::Whole(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, bytes_max: usize) -> Vec<Line> {
        // A tiny buffer, so that lines arrive in pieces.
        let mut input = io::BufReader::with_capacity(3, text.as_bytes());
        std::iter::from_fn(|| next(&mut input, bytes_max).unwrap()).collect()
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn the_last_line_needs_no_end() {
        assert_eq!(all("one\r\n\ntwo", 10), [whole("one"), whole(""), whole("two")]);
        assert_eq!(all("", 10), []);
    }

    #[test]
    fn a_line_too_long_does_not_hide_the_next() {
        assert_eq!(all("0123456789\nok\n", 5), [Line::TooLong, whole("ok")]);
        assert_eq!(all("01234\n012345", 5), [whole("01234"), Line::TooLong]);
    }
}
