//! What a bundle leaves in the mint's journals, and what it carries of them: what goes out of the house
//! stands written before it goes, and the far side keeps how far the journals had come.

use farside_crossing::manifest::{JOURNALS_MAX, JournalHead};
use farside_crossing::{Digest, Packed};
use farside_service::digest::{hex, sha256};
use farside_service::journal::{self, Journal};
use serde_json::{Value, json};

use super::BundleFault;
use crate::config::Home;

/// The journal that a bundle is written down in, and who ordered it.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a> {
    /// The journal.
    pub journal: &'a Journal,
    /// `uid 1000`, or `cadence`.
    pub by: &'a str,
}

impl Books<'_> {
    /// Writes down what is about to lie in the outbox.
    // journal.md §6.1
    pub(super) fn packed(
        &self,
        now: u64,
        packed: &Packed,
        file: &str,
        parcels: usize,
        leaves: u64,
    ) -> Result<(), BundleFault> {
        let manifest = &packed.manifest;
        self.record(
            now,
            "bundle_packed",
            json!({"by": self.by, "site": manifest.site, "seq": manifest.seq, "kind": manifest.kind.as_str(),
                   "digest": packed.digest, "file": file, "file_sha256": hex(&sha256(&packed.bytes)),
                   "bytes": packed.bytes.len(), "parcels": parcels, "leaves": leaves}),
        )
    }

    /// Writes down that it lies there.
    pub(super) fn made(&self, now: u64, packed: &Packed) -> Result<(), BundleFault> {
        let manifest = &packed.manifest;
        let members = json!({"site": manifest.site, "seq": manifest.seq, "digest": packed.digest});
        self.record(now, "bundle_made", members)
    }

    fn record(&self, now: u64, event: &str, members: Value) -> Result<(), BundleFault> {
        Ok(self.journal.record_at(now, event, members)?.wait()?)
    }
}

/// How far the journals of this mint have come, a ferry's beside them included.
// journal.md §3.3
pub(super) fn heads(home: &Home) -> Result<Vec<JournalHead>, BundleFault> {
    let mut heads: Vec<JournalHead> = journal::heads(&home.journal())?
        .into_iter()
        .map(|head| JournalHead { name: head.name, lines: head.lines, head: Digest::from_bytes(head.hash) })
        .collect();
    heads.truncate(JOURNALS_MAX);
    Ok(heads)
}
