//! Who may sign what: the charters of all exports, followed from the oldest, and the fingerprint that people
//! compared.

use std::collections::BTreeMap;

use farside_crossing::evidence::CHARTERS;
use farside_crossing::note::NOTE_BYTES_MAX;
use farside_crossing::{
    Charter, Code as Refused, Digest, ExpectedFingerprint, Manifest, Refusal, bundle, charter,
};
use farside_service::cli::Failure;
use farside_service::export::Reader;

use super::{Evidence, Proof};
use crate::finding::{Code, Found};

/// A charter as an export has it.
pub(crate) struct CharterNote {
    of: String,
    bytes: Vec<u8>,
}

/// The chain, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Charters {
    chain: Vec<Charter>,
    /// Whether one of them has the fingerprint that people compared.
    pub(crate) compared: bool,
}

/// The charters of an export.
pub(crate) fn notes(reader: &Reader, of: &str) -> Result<Vec<CharterNote>, Failure> {
    let names: Vec<String> = reader.below(CHARTERS).map(|(name, _)| name.to_owned()).collect();
    let read = |name: String| {
        let bytes = reader.bytes(&name, NOTE_BYTES_MAX as u64)?;
        Ok(CharterNote { of: of.to_owned(), bytes })
    };
    names.into_iter().map(read).collect()
}

impl Charters {
    /// Follows the charters from the oldest.
    // audit.md §3.2
    pub(crate) fn follow(
        notes: Vec<CharterNote>,
        expected: Option<&ExpectedFingerprint>,
        evidence: &mut Evidence,
    ) -> Charters {
        let mut versions: BTreeMap<u64, (String, CharterNote)> = BTreeMap::new();
        let mut broken = |of: &str, place: String, detail: String| {
            evidence.check(of, place.clone(), Proof::Broken, detail.clone());
            evidence
                .findings
                .alarm(Code::CharterBroken, Found { of: of.to_owned(), place, at: None, detail });
        };
        for note in notes {
            match charter::review(&note.bytes) {
                Err(refusal) => broken(&note.of, "charter".to_owned(), refusal.to_string()),
                Ok(seen) => {
                    let (version, digest) = (seen.draft.version, seen.fingerprint.hex());
                    match versions.get(&version) {
                        Some((other, from)) if *other != digest => {
                            let detail = format!("{} and {} hold different ones", from.of, note.of);
                            broken(&note.of, format!("charter {version}"), detail);
                        }
                        Some(_) => {}
                        None => drop(versions.insert(version, (digest, note))),
                    }
                }
            }
        }
        let mut charters = Charters::default();
        for (version, (_, note)) in versions {
            match charters.next(&note.bytes) {
                Ok(next) => charters.chain.push(next),
                Err(refusal) => broken(&note.of, format!("charter {version}"), refusal.to_string()),
            }
        }
        charters.compare(expected, evidence);
        charters
    }

    fn next(&self, bytes: &[u8]) -> Result<Charter, Refusal> {
        match self.chain.last() {
            Some(trusted) => charter::follow(trusted, bytes),
            None => {
                let seen = charter::review(bytes)?.fingerprint;
                charter::open_first(bytes, &ExpectedFingerprint::from(seen))
            }
        }
    }

    /// A later charter names the digest of the one before: whichever was compared proves them all.
    fn compare(&mut self, expected: Option<&ExpectedFingerprint>, evidence: &mut Evidence) {
        let Some(newest) = self.chain.last() else { return };
        let what = match self.chain.len() {
            1 => "charter".to_owned(),
            many => format!("{many} charters"),
        };
        let fingerprint = newest.fingerprint();
        let words = format!("{} (version {})", fingerprint.words(), newest.version());
        match expected {
            None => {
                let detail =
                    format!("compare its fingerprint by eye, and name it with --fingerprint: {words}");
                evidence.check("realm", what, Proof::Stated, detail);
            }
            Some(expected) if self.chain.iter().any(|charter| expected.matches(&charter.fingerprint())) => {
                self.compared = true;
                evidence.check("realm", what, Proof::Proven, words);
            }
            Some(_) => {
                let detail = format!("none has the fingerprint expected; the newest has {words}");
                evidence.check("realm", what.clone(), Proof::Broken, detail.clone());
                let found = Found { of: "realm".to_owned(), place: what, at: None, detail };
                evidence.findings.alarm(Code::CharterBroken, found);
            }
        }
    }

    /// Every charter, oldest first.
    pub(crate) fn chain(&self) -> &[Charter] {
        &self.chain
    }

    /// Believes a manifest by the online role of whichever charter was in force.
    // audit.md §3.3
    pub(crate) fn open_manifest(&self, note: &str, site: &str) -> Result<(Manifest, Digest), Refusal> {
        let mut told = Refusal::new(Refused::ThresholdUnmet, "there is no charter");
        for charter in self.chain.iter().rev() {
            match bundle::open_manifest(note.as_bytes(), charter, site) {
                Ok(opened) => return Ok(opened),
                Err(refusal) => told = refusal,
            }
        }
        Err(told)
    }
}
