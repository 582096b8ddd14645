//! `mint clock`: a note that root signs, by which a gate's time floor goes back after bundles whose time was
//! wrong. It is carried to the gate as a file: `farside gate clock reset NOTE`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use farside_crossing::{ClockDocument, Note, note};
use farside_service::cli::{Failure, printable};
use farside_service::durable::{self, Mode};
use farside_service::time::{self, rfc3339};
use serde_json::json;

use super::key::AddSignature;
use super::{Program, counted, joined, read_text};
use crate::bundler::{self, CLOCK_STEP_SECONDS_MAX};
use crate::ceremony;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// Root's way back after bundles whose time was wrong.
#[derive(Debug, Subcommand)]
pub enum Clock {
    /// Draft a note for one site: its bundles that were made later than it is now, and what time it is.
    Draft {
        /// The site.
        #[arg(long)]
        site: String,
        /// The first bundle whose time was wrong. Left out: the first that was made later than it is now.
        #[arg(long, value_name = "NUMBER")]
        seq_min: Option<u64>,
        /// The last. Left out: the last such bundle. More than this mint has made where a thief made them.
        #[arg(long, value_name = "NUMBER")]
        seq_max: Option<u64>,
        /// Where to write the draft.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add a root signer's signature to drafts.
    Sign(AddSignature),
    /// Show what a note or draft says and who has signed it.
    Show {
        /// The note.
        file: PathBuf,
    },
}

pub(super) fn run(command: &Clock, program: &Program) -> Result<(), Failure> {
    match command {
        Clock::Draft { site, seq_min, seq_max, out } => draft(site, (*seq_min, *seq_max), out, program),
        Clock::Sign(signature) => {
            // Nobody signs what cannot be read.
            for file in &signature.files {
                review(read_text(file)?.as_bytes())?;
            }
            signature.add()?.iter().try_for_each(|(_, signed)| show(signed, program))
        }
        Clock::Show { file } => show(read_text(file)?.as_bytes(), program),
    }
}

// bundle.md §13.10
fn draft(
    site: &str,
    (seq_min, seq_max): (Option<u64>, Option<u64>),
    out: &Path,
    program: &Program,
) -> Result<(), Failure> {
    let store = program.mint()?.store()?;
    let directory = store.directory()?;
    if directory.site(site).is_none() {
        return Err(Failure::refused(format!("there is no site {}", printable(site))));
    }
    let now = time::now_unix();
    let made = bundler::list(&store, Some(site))?;
    let wrong = || made.iter().filter(|bundle| bundle.issued_at > now + CLOCK_STEP_SECONDS_MAX);
    let nothing = || {
        Failure::refused(format!("no bundle of site {site} was made later than it is now, {}", rfc3339(now)))
            .hint("set this machine's clock right first; or name the bundles with --seq-min and --seq-max")
    };
    let seq_min = seq_min.or_else(|| wrong().map(|bundle| bundle.seq).min()).ok_or_else(nothing)?;
    let seq_max = seq_max.or_else(|| wrong().map(|bundle| bundle.seq).max()).ok_or_else(nothing)?;
    let (realm, site) = (directory.realm().to_owned(), site.to_owned());
    let document = ClockDocument { realm, site, issued_at: now, floor: now, seq_min, seq_max };
    let text = document.text().map_err(refused)?;
    durable::write_new(out, &note::unsigned(&text), Mode::Shared)?;
    outlast(now);
    show(&note::unsigned(&text), program)
}

/// Returns when this second is over: a token bears the second of its issue, and one that is asked for once
/// the note is there shall count as issued after it.
// bundle.md §13.11
fn outlast(second: u64) {
    let over = second.saturating_add(1).saturating_mul(MICROS_PER_SECOND);
    let left = over.saturating_sub(time::now_unix_micros()).min(MICROS_PER_SECOND);
    std::thread::sleep(Duration::from_micros(left));
}

fn review(bytes: &[u8]) -> Result<ClockDocument, Failure> {
    ClockDocument::review(bytes).map_err(refused)
}

/// Who has signed is counted by the charter in force, where this machine has one: root's own has not.
fn show(bytes: &[u8], program: &Program) -> Result<(), Failure> {
    let document = review(bytes)?;
    let note = Note::parse(bytes).map_err(refused)?;
    let (signed, missing) = match program.config.exists() {
        true => {
            let charter = ceremony::newest(&program.mint()?.store()?)?;
            let signed = charter.root().signed_by(&note).map_err(refused)?;
            let signed: Vec<String> = signed.into_iter().map(str::to_owned).collect();
            let missing = charter.root().threshold().saturating_sub(signed.len());
            (signed, Some(missing))
        }
        false => {
            // Each signs with two lines.
            let mut names: Vec<String> =
                note.signer_names().iter().map(|name| printable(name).into_owned()).collect();
            names.dedup();
            (names, None)
        }
    };
    let value = json!({"document": document, "signed": signed, "signatures_missing": missing});
    let human = || {
        let ClockDocument { realm, site, floor, seq_min, seq_max, .. } = &document;
        let state = match missing {
            Some(0) => "enough: carry it to the gate, `farside gate clock reset`".to_owned(),
            Some(missing) => format!("{} must sign", counted(missing, "more root signer")),
            None => "the gate counts by its charter".to_owned(),
        };
        format!(
            "Site {site} of realm {realm}: bundles {seq_min} to {seq_max} bear a wrong time. It is {}, and the \
             gate's time floor goes back to that.\nSigned by {}; {state}.",
            rfc3339(*floor),
            joined(&signed)
        )
    };
    program.output.say(human, &value)
}

fn refused(refusal: farside_crossing::Refusal) -> Failure {
    let cure = refusal.cure().to_owned();
    Failure::refused(refusal.to_string()).hint(cure)
}
