//! Everything that was brought to an auditor: exports and journals, read once, each checked for what it can
//! prove by itself. What both sides say of each other is compared in [`crate::reconcile`].
//!
//! ```text
//!   mint's export ──▶ Near ┐
//!   gates' exports ─▶ Far… ├─▶ Evidence: what they hold, what was proven of it, what contradicts itself
//!   ferries' journals ─────┘
//! ```

mod charters;
mod events;
mod far;
mod glass;
mod heads;
mod log;
mod near;

use std::collections::HashMap;
use std::path::Path;

use farside_crossing::evidence::{Head, Side, VERSION};
use farside_service::cli::Failure;
use farside_service::export::{CONTENTS, Reader};
use serde::Serialize;

pub(crate) use charters::Charters;
pub(crate) use events::{Act, Carriage};
pub(crate) use far::{Admitted, BundleRefused, Far};
pub(crate) use glass::{Entry, Glass, GlassTold};
pub(crate) use log::{Leaf, Record, Shard};
pub(crate) use near::Near;

use crate::brought::Brought;
use crate::finding::Findings;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) near: Option<Near>,
    pub(crate) far: Vec<Far>,
    pub(crate) charters: Charters,
    /// What ferries saw, on either side.
    pub(crate) carriages: Vec<Carriage>,
    /// What people did, as the journals of mint and gates have it.
    pub(crate) acts: Vec<Act>,
    /// Token keys whose private half was destroyed, and when, as the mint's journals have it.
    pub(crate) destroyed: HashMap<String, u64>,
    pub(crate) checks: Vec<Check>,
    pub(crate) findings: Findings,
    pub(crate) names: Names,
    heads: heads::Heads,
}

/// Something that an auditor checks, and whether it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// Whose evidence.
    pub(crate) of: String,
    /// What was looked at.
    pub(crate) what: String,
    pub(crate) proof: Proof,
    pub(crate) detail: String,
}

/// Whether something is proven or only said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proof {
    /// It follows from signatures, hashes and chains.
    Proven,
    /// It contradicts them.
    Broken,
    /// The exporter's word alone.
    Stated,
}

impl Evidence {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// A folder is no export, or of another realm than the others, or cannot be read.
    pub(crate) fn read(brought: &Brought) -> Result<Evidence, Failure> {
        let mut evidence = Evidence::default();
        let mut opened = Vec::new();
        for folder in &brought.exports {
            let (reader, head): (Reader, Head) = Reader::open(folder)?;
            check_head(&head, opened.iter().map(|(_, head)| head), folder)?;
            opened.push((reader, head));
        }
        // audit.md §3.2: charters first, for they say whose signatures count.
        let mut notes = Vec::new();
        for (reader, head) in &opened {
            notes.extend(charters::notes(reader, &label(head))?);
        }
        evidence.charters = Charters::follow(notes, brought.fingerprint.as_ref(), &mut evidence);
        for (reader, head) in &opened {
            match head.side {
                Side::Mint => near::read(reader, head, &mut evidence)?,
                Side::Gate => far::read(reader, head, &mut evidence)?,
            }
        }
        // Bundles bear the heads of the mint's journals, and receipts, in the mint's, those of the gates'.
        for (reader, head) in opened.iter().filter(|(_, head)| head.side == Side::Mint) {
            events::read_export(reader, &label(head), None, &mut evidence)?;
        }
        let mut gates = std::mem::take(&mut evidence.far);
        evidence.heads.forget_shared(&gates);
        let readers = opened.iter().filter(|(_, head)| head.side == Side::Gate);
        for (far, (reader, head)) in gates.iter_mut().zip(readers) {
            events::read_export(reader, &label(head), Some(far), &mut evidence)?;
        }
        evidence.far = gates;
        for path in &brought.journals {
            events::read_path(path, "courier", None, &mut evidence)?;
        }
        log::prove(&mut evidence);
        Ok(evidence)
    }

    /// Says of something whether it held.
    pub(crate) fn check(
        &mut self,
        of: &str,
        what: impl Into<String>,
        proof: Proof,
        detail: impl Into<String>,
    ) {
        let (of, what, detail) = (of.to_owned(), what.into(), detail.into());
        self.checks.push(Check { of, what, proof, detail });
    }

    /// The realm, by whoever names it first.
    pub(crate) fn realm(&self) -> &str {
        let near = self.near.as_ref().map(|near| near.realm.as_str());
        near.or(self.far.first().map(|far| far.realm.as_str())).unwrap_or_default()
    }
}

/// Whose export it is, for people.
pub(crate) fn label(head: &Head) -> String {
    match (&head.side, &head.site) {
        (Side::Mint, _) => "mint".to_owned(),
        (Side::Gate, site) => format!("gate {}", site.as_deref().unwrap_or("of no site")),
    }
}

fn check_head<'h>(head: &Head, others: impl Iterator<Item = &'h Head>, folder: &Path) -> Result<(), Failure> {
    let contents = folder.join(CONTENTS);
    if head.version != VERSION {
        return Err(Failure::could_not(format!("{} is of version {}", contents.display(), head.version)));
    }
    for other in others {
        if other.realm != head.realm {
            let (one, two) = (&other.realm, &head.realm);
            return Err(Failure::could_not(format!("these exports are of two realms: {one} and {two}")));
        }
        if other.side == Side::Mint && head.side == Side::Mint {
            return Err(Failure::could_not("two exports of a mint were given: which one counts?"));
        }
    }
    Ok(())
}

/// Words that many rows share, kept once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    /// The number of a word.
    pub(crate) fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }

    /// The number of a word that has one.
    pub(crate) fn find(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// The word of a number.
    pub(crate) fn word(&self, number: u32) -> &str {
        self.words.get(number as usize).map_or("", String::as_str)
    }
}
