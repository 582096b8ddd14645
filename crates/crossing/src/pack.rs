//! Packing a bundle: components in, one signed file out. Given the same inputs it writes the same bytes.

use crate::charter::join_chain;
use crate::digest::Digest;
use crate::document::{Document, from_json, split};
use crate::fence::FenceDocument;
use crate::keys::KeysDocument;
use crate::lists::ListsDocument;
use crate::manifest::{
    BUNDLE_BYTES_MAX, Base, ComponentEntry, ComponentType, JournalHead, Kind, MANIFEST_BYTES_MAX, Manifest,
};
use crate::note::{self, Note, NoteFault};
use crate::pardon::PardonDocument;
use crate::policy::PolicyDocument;
use crate::refusal::{Code, Refusal};
use crate::signer::Signer;
use crate::status::StatusDocument;

/// What the mint decides about a bundle before it packs it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Realm.
    pub realm: String,
    /// Site.
    pub site: String,
    /// Number in the site's sequence, from 1.
    pub seq: u64,
    /// Digest of the bundle before; absent for number 1 alone.
    pub prev: Option<Digest>,
    /// Kind.
    pub kind: Kind,
    /// For a delta or beacon: the last bundle before it that was no beacon.
    pub base: Option<Base>,
    /// Now, Unix seconds.
    pub issued_at: u64,
    /// Until when it may be relied upon, Unix seconds.
    pub not_after: u64,
    /// When the next one is due, Unix seconds.
    pub next_by: u64,
}

/// A packed bundle.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its identity: what the next bundle names as `prev`.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
}

/// Why a bundle could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackFault {
    /// A part breaks a rule that the gate would refuse it by.
    #[error("the gate would refuse it: {0}")]
    Unfit(#[from] Refusal),
    /// The manifest could not be signed.
    #[error("the manifest could not be signed: {0}")]
    Unsigned(#[from] NoteFault),
}

/// Collects the components of one bundle. Each method may be called once; the order in the file is fixed.
#[derive(Debug, Clone)]
pub struct Writer {
    draft: Draft,
    journals: Vec<JournalHead>,
    parts: Vec<(ComponentType, u64, Vec<u8>)>,
}

impl Writer {
    /// Begins a bundle.
    pub fn new(draft: Draft) -> Writer {
        Writer { draft, journals: Vec::new(), parts: Vec::new() }
    }

    /// Says where the mint's journals stand.
    pub fn journals(mut self, heads: Vec<JournalHead>) -> Writer {
        self.journals = heads;
        self
    }

    /// Adds the charters that the site may not have seen, oldest first, the newest being of `version`.
    pub fn charters(self, version: u64, notes: &[&[u8]]) -> Writer {
        self.add(ComponentType::Charter, version, join_chain(notes))
    }

    /// Adds the release-signed keys.
    ///
    /// # Errors
    /// Where the note is not a keys document.
    pub fn keys(self, note: &[u8]) -> Result<Writer, PackFault> {
        self.released::<KeysDocument>(ComponentType::Keys, note)
    }

    /// Adds the release-signed policy.
    ///
    /// # Errors
    /// Where the note is not a policy document.
    pub fn policy(self, note: &[u8]) -> Result<Writer, PackFault> {
        self.released::<PolicyDocument>(ComponentType::Policy, note)
    }

    /// Adds a release-signed fence.
    ///
    /// # Errors
    /// Where the note is not a fence.
    pub fn fence(self, note: &[u8]) -> Result<Writer, PackFault> {
        self.released::<FenceDocument>(ComponentType::Fence, note)
    }

    /// Adds a release-signed pardon.
    ///
    /// # Errors
    /// Where the note is not a pardon.
    pub fn pardon(self, note: &[u8]) -> Result<Writer, PackFault> {
        self.released::<PardonDocument>(ComponentType::Pardon, note)
    }

    /// Adds the revocations.
    ///
    /// # Errors
    /// Where the document breaks its format.
    pub fn status(self, status: &StatusDocument) -> Result<Writer, PackFault> {
        Ok(self.add(ComponentType::Status, status.version, status.to_json()?))
    }

    /// Adds signed status lists.
    ///
    /// # Errors
    /// Where the document breaks its format.
    pub fn lists(self, lists: &ListsDocument) -> Result<Writer, PackFault> {
        Ok(self.add(ComponentType::Lists, lists.version, lists.to_json()?))
    }

    /// Adds log leaves, as [`crate::leaves::push_run`] wrote them. The version must rise: the number of the
    /// bundle.
    pub fn leaves(self, component: Vec<u8>) -> Writer {
        let version = self.draft.seq;
        self.add(ComponentType::Leaves, version, component)
    }

    /// Adds sealed parcels, as [`crate::parcels::Packer::finish`] gave them.
    pub fn parcels(self, sealed: Vec<u8>) -> Writer {
        let version = self.draft.seq;
        self.add(ComponentType::Parcels, version, sealed)
    }

    /// Signs the manifest and puts everything together.
    ///
    /// # Errors
    /// [`PackFault`].
    pub fn finish(mut self, signers: &[&dyn Signer]) -> Result<Packed, PackFault> {
        self.parts.sort_by_key(|(kind, ..)| *kind);
        let manifest = self.manifest();
        let text = manifest.text()?;
        let note = note::sign(&text, signers)?;
        let charters = manifest.component(ComponentType::Charter).map_or(0, |entry| entry.len);
        let mut bytes = format!("farside-bundle/1 {} {charters}\n", note.len()).into_bytes();
        let blobs: usize = self.parts.iter().map(|(_, _, blob)| blob.len()).sum();
        // bundle.md §5.1
        if note.len() > MANIFEST_BYTES_MAX || bytes.len() + note.len() + blobs > BUNDLE_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "the manifest or the whole bundle").into());
        }
        bytes.reserve_exact(note.len() + blobs);
        bytes.extend_from_slice(&note);
        self.parts.iter().for_each(|(_, _, blob)| bytes.extend_from_slice(blob));
        Ok(Packed { bytes, digest: Digest::of(text.as_bytes()), manifest })
    }

    fn manifest(&self) -> Manifest {
        let entry = |(kind, version, blob): &(ComponentType, u64, Vec<u8>)| ComponentEntry {
            kind: *kind,
            version: *version,
            len: blob.len() as u64,
            sha256: Digest::of(blob),
            sealed: *kind == ComponentType::Parcels,
        };
        let draft = self.draft.clone();
        Manifest {
            realm: draft.realm,
            site: draft.site,
            seq: draft.seq,
            prev: draft.prev,
            kind: draft.kind,
            base: draft.base,
            issued_at: draft.issued_at,
            not_after: draft.not_after,
            next_by: draft.next_by,
            journals: self.journals.clone(),
            components: self.parts.iter().map(entry).collect(),
        }
    }

    /// Takes a note's version from its document; whether enough people signed is for the gate to judge.
    fn released<D: Document>(self, kind: ComponentType, note: &[u8]) -> Result<Writer, PackFault> {
        let document: D = from_json(split(Note::parse(note)?.text())?.1)?;
        let version = document.binding().version;
        Ok(self.add(kind, version, note.to_vec()))
    }

    fn add(mut self, kind: ComponentType, version: u64, blob: Vec<u8>) -> Writer {
        self.parts.push((kind, version, blob));
        self
    }
}
