//! What a bundle says, for a person who only wants to look. No key is asked and nothing is believed; whatever
//! does not read is said, never hidden.

use serde::Serialize;

use crate::bundle::Frame;
use crate::charter::{review, split_chain};
use crate::digest::Digest;
use crate::manifest::{ComponentType, Manifest};
use crate::note::Note;
use crate::refusal::{Code, Refusal};

/// A bundle as it looks. Nothing in here is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Always false: signatures were not checked against any charter.
    pub verified: bool,
    /// The same, for people.
    pub caution: &'static str,
    /// Size of the file.
    pub bytes: usize,
    /// The bundle's digest: SHA-256 of the manifest's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The manifest, where it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// Names on the manifest's signature lines; nobody has checked them.
    pub signer_names: Vec<String>,
    /// Each component against its digest.
    pub components: Vec<InspectedComponent>,
    /// The charters it carries.
    pub charters: Vec<InspectedCharter>,
    /// The first thing that does not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Refusal>,
}

/// One component as it looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectedComponent {
    /// Its type.
    pub r#type: ComponentType,
    /// Its version, as announced.
    pub version: u64,
    /// Its length.
    pub len: u64,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Whether its bytes have the digest that the manifest names.
    pub digest_ok: bool,
    /// Names on its signature lines, where it is a note.
    pub signer_names: Vec<String>,
}

/// One carried charter as it looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectedCharter {
    /// Its realm.
    pub realm: String,
    /// Its version.
    pub version: u64,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Names of its own root signers whose signatures hold by its own word.
    pub signer_names: Vec<String>,
}

/// Looks at a bundle. Never fails: what does not read stands in `fault`.
pub fn inspect(bytes: &[u8]) -> Inspection {
    let mut seen = Inspection {
        verified: false,
        caution: "not verified: no signature has been checked; only a gate that trusts the charter can",
        bytes: bytes.len(),
        digest: None,
        manifest: None,
        signer_names: Vec::new(),
        components: Vec::new(),
        charters: Vec::new(),
        fault: None,
    };
    seen.fault = look(bytes, &mut seen).err();
    seen
}

fn look(bytes: &[u8], seen: &mut Inspection) -> Result<(), Refusal> {
    let frame = Frame::read(bytes)?;
    let note = Note::parse(frame.manifest)?;
    seen.digest = Some(Digest::of(note.text().as_bytes()));
    seen.signer_names = names(&note);
    let manifest = Manifest::parse(note.text())?;
    seen.manifest = Some(manifest.clone());
    for charter in split_chain(frame.charters)? {
        let review = review(charter)?;
        seen.charters.push(InspectedCharter {
            realm: review.draft.realm,
            version: review.draft.version,
            fingerprint: review.fingerprint.hex(),
            signer_names: review.signed,
        });
    }
    for (entry, blob) in manifest.components.iter().zip(frame.cut(&manifest)?) {
        let released = !entry.kind.is_online() && entry.kind != ComponentType::Charter;
        seen.components.push(InspectedComponent {
            r#type: entry.kind,
            version: entry.version,
            len: entry.len,
            sealed: entry.sealed,
            digest_ok: Digest::of(blob) == entry.sha256,
            signer_names: if released { names(&Note::parse(blob)?) } else { Vec::new() },
        });
    }
    match seen.components.iter().find(|component| !component.digest_ok) {
        Some(wrong) => {
            Err(Refusal::new(Code::DigestMismatch, format!("component {}", wrong.r#type.as_str())))
        }
        None => Ok(()),
    }
}

fn names(note: &Note<'_>) -> Vec<String> {
    note.signer_names().into_iter().map(str::to_owned).collect()
}
