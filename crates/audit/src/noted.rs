//! Heads of journals that somebody else keeps: in bundles and manifests, long receipts, and the journals of
//! the other side. Against them a journal that lost its end, or was written anew, shows. Bundles and
//! manifests count only by their signatures; a long receipt was proven where it was entered, and its text is
//! taken at its word here.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use farside_crossing::{
    Charter, ExpectedFingerprint, JournalHead, LongReceipt, bundle, charter, long_receipt,
};
use farside_service::cli::{Failure, OrFailure as _};
use farside_service::durable;
use farside_service::journal::{self, Noted, Stored};
use serde::Deserialize;

/// Largest file that is read whole: the largest bundle, and room for its manifest.
const FILE_BYTES_MAX: u64 = 257 << 20;
/// Largest charter.
const CHARTER_BYTES_MAX: u64 = 1 << 20;
/// What stands in every journal line that holds heads.
const HEADS_MEMBER: &str = "\"journals\":[";

/// Every head that the file or folder at `path` notes.
///
/// # Errors
/// It cannot be read, or is not what it says.
// journal.md §3.3
pub(crate) fn heads_in(path: &Path, charter: Option<&Path>) -> Result<Vec<Noted>, Failure> {
    if path.is_dir() || path.extension().is_some_and(|ending| ending == "jsonl") {
        return in_journals(path);
    }
    let bytes = durable::read_limited(path, FILE_BYTES_MAX)?;
    if bytes.starts_with(long_receipt::KIND.as_bytes()) {
        return in_receipt(path, &bytes);
    }
    let note =
        if bytes.starts_with(b"farside-bundle/") { bundle::manifest_note(&bytes) } else { Ok(&bytes[..]) };
    let note = note.or_refused(|| path.display().to_string())?;
    let Some(charter) = charter else {
        return Err(Failure::could_not(format!("{} is not believed without a charter", path.display()))
            .hint("name the realm's charter with --charter FILE"));
    };
    in_manifest(path, note, &read_charter(charter)?)
}

fn in_manifest(path: &Path, note: &[u8], charter: &Charter) -> Result<Vec<Noted>, Failure> {
    // The site only says whose bundle this is; the signatures decide whether it is one.
    let site =
        note.split(|byte| *byte == b'\n').next().and_then(|line| line.rsplit(|byte| *byte == b' ').next());
    let site = String::from_utf8_lossy(site.unwrap_or_default()).into_owned();
    let (manifest, _digest) =
        bundle::open_manifest(note, charter, &site).or_refused(|| path.display().to_string())?;
    let by = format!("bundle {} of site {site}", manifest.seq);
    Ok(manifest.journals.into_iter().map(|head| noted(head, &by)).collect())
}

fn in_receipt(path: &Path, bytes: &[u8]) -> Result<Vec<Noted>, Failure> {
    let read =
        LongReceipt::read(&String::from_utf8_lossy(bytes)).or_refused(|| path.display().to_string())?;
    let receipt = read.unproven();
    let by = format!("the receipt of bundle {} of site {}", receipt.seq, receipt.site);
    Ok(receipt.journals.iter().map(|head| noted(head.clone(), &by)).collect())
}

/// The lines of a journal in which it noted the heads of others.
fn in_journals(path: &Path) -> Result<Vec<Noted>, Failure> {
    #[derive(Deserialize)]
    struct Line {
        n: u64,
        journals: Vec<JournalHead>,
    }
    let mut all = Vec::new();
    for journal in Stored::at(path)? {
        for file in journal.files() {
            let reader =
                BufReader::new(File::open(file).or_could_not(|| format!("read {}", file.display()))?);
            for line in reader.lines() {
                let line = line.or_could_not(|| format!("read {}", file.display()))?;
                if !line.contains(HEADS_MEMBER) {
                    continue;
                }
                // A line that is not one of ours notes nothing; `verify` of that journal names it.
                let Ok(Line { n, journals }) = serde_json::from_str(&line) else { continue };
                let by = format!("line {n} of {}", journal.path().display());
                all.extend(journals.into_iter().map(|head| noted(head, &by)));
            }
        }
    }
    Ok(all)
}

fn noted(head: JournalHead, by: &str) -> Noted {
    let JournalHead { name, lines, head } = head;
    Noted { head: journal::Head { name, lines, hash: *head.as_bytes() }, by: by.to_owned() }
}

/// A charter that the auditor has chosen: it must hold by its own word.
fn read_charter(path: &Path) -> Result<Charter, Failure> {
    let bytes = durable::read_limited(path, CHARTER_BYTES_MAX)?;
    let seen = charter::review(&bytes).or_refused(|| path.display().to_string())?.fingerprint;
    charter::open_first(&bytes, &ExpectedFingerprint::from(seen)).or_refused(|| path.display().to_string())
}
