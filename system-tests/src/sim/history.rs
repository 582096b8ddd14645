//! What happened in a world, and what must not have: the tail that a failure shows, and a digest by which two
//! lives of one seed are compared.

use std::collections::VecDeque;
use std::fmt;

/// Lines that a failure shows.
const TAIL_LINES: usize = 40;

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// Which promise.
    pub invariant: &'static str,
    /// By what.
    pub detail: String,
}

/// A step's outcome.
pub(super) type Step<T = ()> = Result<T, Wrong>;

/// Breaks off: `invariant` does not hold, because of `detail`.
pub(super) fn wrong<T>(invariant: &'static str, detail: impl fmt::Display) -> Step<T> {
    Err(Wrong { invariant, detail: detail.to_string() })
}

/// Holds that the product could do what it was asked.
pub(super) fn could<T>(what: &str, outcome: Result<T, impl fmt::Display>) -> Step<T> {
    outcome.or_else(|fault| wrong("what is asked by the book can be done", format!("{what}: {fault}")))
}

/// Everything that happened, in short.
#[derive(Debug)]
pub(super) struct History {
    tail: VecDeque<String>,
    digest: u64,
    pub(super) steps: u64,
    /// Whether each line is shown as it is written: to look into one life.
    aloud: bool,
}

impl History {
    pub(super) fn new() -> History {
        let aloud = std::env::var_os("FARSIDE_SIMULATE_ALOUD").is_some();
        History { tail: VecDeque::new(), digest: 0xcbf2_9ce4_8422_2325, steps: 0, aloud }
    }

    /// Writes a line down; it holds nothing random but what the seed decided.
    pub(super) fn tell(&mut self, line: String) {
        // FNV-1a: to compare two runs, not to prove anything.
        for byte in line.bytes().chain([b'\n']) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.aloud {
            println!("{line}");
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn tail(&self) -> String {
        self.tail.iter().fold(String::new(), |text, line| text + "\n    " + line)
    }
}
