//! Heads of journals that the other side keeps: a tail that was cut off is missed by whoever noted it.

use std::collections::BTreeMap;

use farside_crossing::Manifest;
use farside_crossing::manifest::JournalHead;
use farside_service::digest::SHA256_BYTES;
use farside_service::journal::{Head, Noted};

use super::Far;

/// Who noted what of whose journals.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// By whose journals they are, then by name, lines and hash; with when and by what it was noted.
    noted: BTreeMap<String, BTreeMap<(String, u64, [u8; SHA256_BYTES]), (u64, String)>>,
}

impl Heads {
    /// A manifest that is believed: it bears the heads of the mint's journals.
    pub(super) fn manifest(&mut self, manifest: &Manifest) {
        let by = format!("bundle {} for {}", manifest.seq, manifest.site);
        self.note("mint", &manifest.journals, manifest.issued_at, &by);
    }

    /// Heads that something noted at a moment.
    pub(super) fn note(&mut self, of: &str, heads: &[JournalHead], at: u64, by: &str) {
        let noted = self.noted.entry(of.to_owned()).or_default();
        for head in heads {
            let place = (head.name.clone(), head.lines, *head.head.as_bytes());
            noted.entry(place).or_insert_with(|| (at, by.to_owned()));
        }
    }

    /// Of several gates of one site nobody can tell whose journals a receipt has noted.
    pub(super) fn forget_shared(&mut self, gates: &[Far]) {
        self.noted.retain(|of, _| gates.iter().filter(|far| far.label == *of).count() < 2);
    }

    /// What was noted of one journal before its copy was made.
    // audit.md §3.1
    pub(super) fn of(&self, of: &str, journal: &str, copied_at: u64) -> Vec<Noted> {
        let noted = self.noted.get(of).into_iter().flatten();
        let before = noted.filter(|((name, ..), (at, _))| name == journal && *at < copied_at);
        let head = |((name, lines, hash), (_, by)): (&(String, u64, [u8; SHA256_BYTES]), &(u64, String))| {
            Noted { head: Head { name: name.clone(), lines: *lines, hash: *hash }, by: by.clone() }
        };
        before.map(head).collect()
    }
}
