//! Bounds on the text of Cedar policies, before a parser sees it. The parser, the validator and the evaluator
//! go as deep as the text does; this pass goes nowhere.

use super::{CEDAR_BYTES_MAX, POLICIES_MAX};
use crate::refusal::{Code, Refusal};
use crate::text::turns_direction;

/// Largest single policy with its annotations, in bytes.
const POLICY_BYTES_MAX: usize = 8 << 10;

/// Deepest nesting of brackets of any kind.
const NESTING_MAX: usize = 24;

/// Refuses text that is too large, nests too deep, or holds what a person who reads it would not see.
// policy.md §1.1
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    if text.len() > CEDAR_BYTES_MAX {
        return Err(too_large(format!("Cedar policies of more than {CEDAR_BYTES_MAX} bytes")));
    }
    let unseen = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || turns_direction(c);
    if let Some(at) = text.find(unseen) {
        let place = super::place::at(text, at);
        return Err(super::invalid(format!("{place}: a character that nobody sees")));
    }
    let mut measure = Measure::default();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'"' => after_string(after),
            b'/' if after.starts_with(b"/") => after_line(after),
            _ => after,
        };
        measure.take(*byte, text.len() - rest.len())?;
    }
    measure.policy_ends(text.len())
}

#[derive(Default)]
struct Measure {
    depth: usize,
    policies: usize,
    begun_at: usize,
}

impl Measure {
    fn take(&mut self, byte: u8, end: usize) -> Result<(), Refusal> {
        match byte {
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b';' => self.policy_ends(end)?,
            _ => {}
        }
        if self.depth > NESTING_MAX {
            return Err(too_large(format!("a Cedar policy nested deeper than {NESTING_MAX}")));
        }
        Ok(())
    }

    fn policy_ends(&mut self, end: usize) -> Result<(), Refusal> {
        if end - self.begun_at > POLICY_BYTES_MAX {
            return Err(too_large(format!("a Cedar policy of more than {POLICY_BYTES_MAX} bytes")));
        }
        self.policies += 1;
        self.begun_at = end;
        self.depth = 0;
        // The last end is that of the text.
        if self.policies > POLICIES_MAX + 1 {
            return Err(too_large(format!("more than {POLICIES_MAX} Cedar policies")));
        }
        Ok(())
    }
}

fn after_string(bytes: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return &bytes[at + 1..],
            _ => at += 1,
        }
    }
    &[]
}

fn after_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    &bytes[end..]
}

fn too_large(detail: String) -> Refusal {
    Refusal::new(Code::TooLarge, detail)
}
