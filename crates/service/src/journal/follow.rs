//! Checks lines one by one as they come, for whoever passes them on.

use super::end::{Head, Mark};
use super::line::{Line, LineFault};

/// The place in a journal up to which its lines have been seen.
#[derive(Debug, Clone, Default)]
pub struct Follower(Option<Mark>);

impl Follower {
    /// Goes on behind a line that was seen before.
    #[must_use]
    pub fn behind(head: &Head) -> Follower {
        Follower(Some(Mark { last: head.lines, head: head.hash }))
    }

    /// Takes the next line, without its end: whether it is news. Begins with whichever line comes first.
    ///
    /// # Errors
    /// The line is not as it was written, or does not follow the last one.
    pub fn take(&mut self, text: &[u8]) -> Result<bool, LineFault> {
        let line = Line::parse(text, &mut Vec::new())?;
        let mark = match self.0 {
            Some(mark) if line.n <= mark.last => return Ok(false),
            Some(mark) => mark,
            None => Mark { last: line.n.saturating_sub(1), head: line.prev },
        };
        mark.precedes(line.n, &line.prev)?;
        self.0 = Some(Mark { last: line.n, head: line.hash });
        Ok(true)
    }

    /// Where it stands, as the head of the journal of that name; nothing before the first line.
    #[must_use]
    pub fn head(&self, name: &str) -> Option<Head> {
        self.0.map(|mark| Head { name: name.to_owned(), lines: mark.last, hash: mark.head })
    }
}
