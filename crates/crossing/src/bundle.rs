//! Opening a bundle: one numbered, signed crossing for one site.
//!
//! ```text
//! farside-bundle/1 <manifest bytes> <charter bytes>\n
//! <manifest note>            signed by online
//! <charter chain>            signed by root, each also by the one before; the manifest's first component
//! <blob> <blob> …            in the manifest's order
//! ```
//!
//! The order of belief is the order of the code in [`open`]: framing, charters, the manifest's signatures,
//! lengths, digests, and only then what the components say. Whether an opened bundle may be *applied* is
//! another question: [`crate::judge`].

use crate::charter::{CHAIN_BYTES_MAX, Charter, follow_chain};
use crate::digest::Digest;
use crate::document::{self, Document, first_line, split};
use crate::fence::FenceDocument;
use crate::keys::KeysDocument;
use crate::leaves::{self, Run};
use crate::lists::ListsDocument;
use crate::manifest::{BUNDLE_BYTES_MAX, ComponentType, Held, KIND, Kind, MANIFEST_BYTES_MAX, Manifest};
use crate::note::Note;
use crate::parcels::ParcelReader;
use crate::pardon::PardonDocument;
use crate::policy::PolicyDocument;
use crate::refusal::{Code, Refusal};
use crate::role::Believed;
use crate::seal::{RecipientSecret, SealContext};
use crate::status::StatusDocument;
use crate::text::decimal;

/// First bytes of every bundle.
pub(crate) const MAGIC: &str = "farside-bundle/";

/// Longest first line, newline included.
const FIRST_LINE_BYTES_MAX: usize = 64;

/// Opens a bundle: everything in it is verified against the trusted charter (and those it brings), but
/// nothing is yet judged against what the gate holds.
///
/// # Errors
/// A [`Refusal`] with the first rule that does not hold.
pub fn open<'b>(bytes: &'b [u8], trusted: &Charter, site: &str) -> Result<Opened<'b>, Refusal> {
    open_knowing(bytes, trusted, &[], site)
}

/// As [`open`], by one who knows some of the charters already: those have been followed, and are not verified
/// again where they come byte for byte as they were then.
///
/// # Errors
/// As [`open`].
pub fn open_knowing<'b>(
    bytes: &'b [u8],
    trusted: &Charter,
    known: &[Charter],
    site: &str,
) -> Result<Opened<'b>, Refusal> {
    let frame = Frame::read(bytes)?;
    let note = Note::parse(frame.manifest)?;
    check_realm(&note, trusted.realm())?;

    // bundle.md §5.3: charters first, each believed by its own signatures, since they name who signs the
    // manifest.
    let charters = follow_chain(trusted, known, frame.charters)?;
    let charter = charters.last().unwrap_or(trusted).clone();
    let believed = verify_online(&charter, &note)?;
    let manifest = Manifest::read(&believed, charter.realm(), site)?;

    let blobs = frame.cut(&manifest)?;
    check_digests(&manifest, &blobs)?;
    let mut opened = Opened {
        digest: Digest::of(believed.text().as_bytes()),
        signers: believed.signers().to_vec(),
        charter,
        charters,
        manifest,
        note: frame.manifest,
        blobs,
        contents: Vec::new(),
        keys: None,
        policy: None,
        fence: None,
        pardon: None,
        status: None,
        lists: None,
        leaves: None,
    };
    opened.read_components()?;
    Ok(opened)
}

/// Believes a manifest that was kept after its bundle was gone, by the online role of `charter`; also answers
/// the bundle's digest. For auditors.
///
/// # Errors
/// As [`open`], for what concerns the manifest.
pub fn open_manifest(note: &[u8], charter: &Charter, site: &str) -> Result<(Manifest, Digest), Refusal> {
    let note = Note::parse(note)?;
    check_realm(&note, charter.realm())?;
    let believed = verify_online(charter, &note)?;
    Ok((Manifest::read(&believed, charter.realm(), site)?, Digest::of(believed.text().as_bytes())))
}

/// Cuts the manifest note out of a bundle, of which no more than the beginning need be there. Nothing in it
/// is believed.
///
/// # Errors
/// `malformed`, `truncated`, `too_large`, `version_unsupported`.
pub fn manifest_note(start: &[u8]) -> Result<&[u8], Refusal> {
    let (manifest, _, rest) = first_lengths(start)?;
    Ok(cut_off(rest, manifest, "within the manifest")?.0)
}

/// A bundle whose signatures, lengths, digests and documents all hold. Made by [`open`] alone.
#[derive(Debug)]
pub struct Opened<'b> {
    manifest: Manifest,
    note: &'b [u8],
    digest: Digest,
    signers: Vec<String>,
    charter: Charter,
    charters: Vec<Charter>,
    blobs: Vec<&'b [u8]>,
    contents: Vec<(ComponentType, Held)>,
    keys: Option<KeysDocument>,
    policy: Option<PolicyDocument>,
    fence: Option<FenceDocument>,
    pardon: Option<PardonDocument>,
    status: Option<StatusDocument>,
    lists: Option<ListsDocument>,
    leaves: Option<Vec<Run<'b>>>,
}

impl<'b> Opened<'b> {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The signed manifest as it crossed, to be kept as evidence.
    pub fn manifest_note(&self) -> &'b [u8] {
        self.note
    }

    /// The bundle's identity: SHA-256 of the manifest's text.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The online signers that counted.
    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    /// The newest charter: the trusted one, or the last that this bundle brings.
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The charters that are new to the caller, oldest first.
    pub fn charters_new(&self) -> &[Charter] {
        &self.charters
    }

    /// Token keys, signed by release.
    pub fn keys(&self) -> Option<&KeysDocument> {
        self.keys.as_ref()
    }

    /// Site policy, signed by release.
    pub fn policy(&self) -> Option<&PolicyDocument> {
        self.policy.as_ref()
    }

    /// Leave to jump, signed by release.
    pub fn fence(&self) -> Option<&FenceDocument> {
        self.fence.as_ref()
    }

    /// Leave to take revocations back, signed by release.
    pub fn pardon(&self) -> Option<&PardonDocument> {
        self.pardon.as_ref()
    }

    /// Revocations.
    pub fn status(&self) -> Option<&StatusDocument> {
        self.status.as_ref()
    }

    /// Signed status lists for third parties.
    pub fn lists(&self) -> Option<&ListsDocument> {
        self.lists.as_ref()
    }

    /// Log leaves, where the file has them.
    pub fn leaves(&self) -> Option<&[Run<'b>]> {
        self.leaves.as_deref()
    }

    /// A component's bytes as they crossed, to be kept as evidence.
    pub fn component(&self, kind: ComponentType) -> Option<&'b [u8]> {
        let place = self.manifest.components.iter().position(|entry| entry.kind == kind)?;
        self.blobs.get(place).copied()
    }

    /// What each component's version stands for.
    pub fn contents(&self) -> &[(ComponentType, Held)] {
        &self.contents
    }

    /// Opens the sealed parcels, if the bundle carries any.
    ///
    /// # Errors
    /// `seal_broken` where this is not the key they were sealed to; `malformed`, `too_large`,
    /// `version_unsupported`.
    pub fn parcels(&self, secret: &RecipientSecret) -> Result<Option<ParcelReader<'b>>, Refusal> {
        let Some(sealed) = self.component(ComponentType::Parcels) else { return Ok(None) };
        let Manifest { realm, site, seq, .. } = &self.manifest;
        ParcelReader::open(sealed, secret, SealContext { realm, site, seq: *seq }).map(Some)
    }

    fn read_components(&mut self) -> Result<(), Refusal> {
        for (entry, blob) in self.manifest.components.iter().zip(&self.blobs) {
            let (realm, site) = (self.manifest.realm.as_str(), self.manifest.site.as_str());
            let read = Read { charter: &self.charter, blob, realm, site };
            let vouched = |version| Held { version, sha256: entry.sha256 };
            // bundle.md §6.2: the version that counts is the one inside, under its own signatures.
            let held = match entry.kind {
                ComponentType::Charter => {
                    Held { version: self.charter.version(), sha256: self.charter.digest() }
                }
                ComponentType::Keys => read.released(&mut self.keys)?,
                ComponentType::Policy => read.released(&mut self.policy)?,
                ComponentType::Fence => read.released(&mut self.fence)?,
                ComponentType::Pardon => read.released(&mut self.pardon)?,
                ComponentType::Status => {
                    let status = self.status.insert(StatusDocument::read(blob, realm, site)?);
                    // bundle.md §7.6: a full bundle may cross a hole, so it lists everything.
                    if status.since.is_some() && self.manifest.kind != Kind::Delta {
                        return Err(Refusal::new(Code::Malformed, "a full bundle with a part of the status"));
                    }
                    vouched(status.version)
                }
                ComponentType::Lists => {
                    vouched(self.lists.insert(ListsDocument::read(blob, realm, site)?).version)
                }
                ComponentType::Leaves => {
                    self.leaves = Some(leaves::read(blob)?);
                    vouched(self.manifest.seq)
                }
                ComponentType::Parcels => vouched(self.manifest.seq),
            };
            if held.version != entry.version {
                let detail =
                    format!("{} {} announced as {}", entry.kind.as_str(), held.version, entry.version);
                return Err(Refusal::new(Code::ComponentRollback, detail));
            }
            self.contents.push((entry.kind, held));
        }
        Ok(())
    }
}

/// What reading a release-signed component needs.
struct Read<'r> {
    charter: &'r Charter,
    blob: &'r [u8],
    realm: &'r str,
    site: &'r str,
}

impl Read<'_> {
    /// Reads into `place` what the release role has signed, and gives its version and the digest of its text.
    fn released<D: Document>(&self, place: &mut Option<D>) -> Result<Held, Refusal> {
        let note = Note::parse(self.blob)?;
        let believed = self.charter.release().verify_rather_than(&[self.charter.online()], &note)?;
        let document: D = document::read(&believed, self.realm, self.site)?;
        let version = place.insert(document).binding().version;
        Ok(Held { version, sha256: Digest::of(believed.text().as_bytes()) })
    }
}

/// Believes the manifest by the online role.
fn verify_online<'n>(charter: &Charter, note: &Note<'n>) -> Result<Believed<'n>, Refusal> {
    charter.online().verify_rather_than(&[charter.release()], note)
}

/// bundle.md §5.2: another realm's keys are unknown here, so say which realm it names before saying who
/// signed.
fn check_realm(note: &Note<'_>, realm: &str) -> Result<(), Refusal> {
    let [of_realm, of_site] = first_line(split(note.text())?.0, KIND)?;
    document::check_binding(of_realm, of_site, realm, of_site)
}

fn check_digests(manifest: &Manifest, blobs: &[&[u8]]) -> Result<(), Refusal> {
    for (entry, blob) in manifest.components.iter().zip(blobs) {
        // bundle.md §5.11
        if Digest::of(blob) != entry.sha256 {
            return Err(Refusal::new(Code::DigestMismatch, format!("component {}", entry.kind.as_str())));
        }
    }
    Ok(())
}

/// A bundle cut by its first line. Nothing in the parts has been looked at.
pub(crate) struct Frame<'b> {
    pub(crate) manifest: &'b [u8],
    pub(crate) charters: &'b [u8],
    pub(crate) rest: &'b [u8],
}

impl<'b> Frame<'b> {
    /// bundle.md §5.1
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Frame<'b>, Refusal> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("a bundle is at most {BUNDLE_BYTES_MAX} bytes"),
            ));
        }
        let (manifest, charters, rest) = first_lengths(bytes)?;
        let (manifest, rest) = cut_off(rest, manifest, "within the manifest")?;
        let (charters, rest) = cut_off(rest, charters, "within the charters")?;
        Ok(Frame { manifest, charters, rest })
    }

    /// Cuts the blobs by the manifest's lengths; the charter component is the chain.
    pub(crate) fn cut(&self, manifest: &Manifest) -> Result<Vec<&'b [u8]>, Refusal> {
        let mut rest = self.rest;
        let mut blobs = Vec::with_capacity(manifest.components.len());
        // bundle.md §5.10
        let carried = manifest.component(ComponentType::Charter).map_or(0, |entry| entry.len);
        if carried != self.charters.len() as u64 {
            return Err(Refusal::new(Code::Malformed, "the chain of charters is not the manifest's"));
        }
        for entry in &manifest.components {
            if entry.kind == ComponentType::Charter {
                blobs.push(self.charters);
                continue;
            }
            let (blob, after) = cut_off(rest, entry.len, entry.kind.as_str())?;
            blobs.push(blob);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(Refusal::new(Code::Malformed, "bytes after the last component"));
        }
        Ok(blobs)
    }
}

/// bundle.md §5.1: the lengths of manifest and charter chain, and what follows the first line.
fn first_lengths(bytes: &[u8]) -> Result<(u64, u64, &[u8]), Refusal> {
    let head = &bytes[..bytes.len().min(FIRST_LINE_BYTES_MAX)];
    let shared = head.len().min(MAGIC.len());
    if head[..shared] != MAGIC.as_bytes()[..shared] {
        return Err(Refusal::new(Code::Malformed, "not a bundle"));
    }
    let Some(cut) = head.iter().position(|b| *b == b'\n') else {
        let code = if head.len() < FIRST_LINE_BYTES_MAX { Code::Truncated } else { Code::Malformed };
        return Err(Refusal::new(code, "no first line"));
    };
    let line = str::from_utf8(&head[..cut]).map_err(|_| Refusal::new(Code::Malformed, "the first line"))?;
    let [manifest, charters] = first_line(line, MAGIC.trim_end_matches('/'))?.map(decimal);
    let (Some(manifest), Some(charters)) = (manifest, charters) else {
        return Err(Refusal::new(Code::Malformed, "a length in the first line"));
    };
    if manifest > MANIFEST_BYTES_MAX as u64 || charters > CHAIN_BYTES_MAX as u64 {
        return Err(Refusal::new(Code::TooLarge, "the manifest or the chain of charters"));
    }
    Ok((manifest, charters, &bytes[cut + 1..]))
}

fn cut_off<'b>(bytes: &'b [u8], length: u64, place: &str) -> Result<(&'b [u8], &'b [u8]), Refusal> {
    usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length)).ok_or_else(|| {
        Refusal::new(
            Code::Truncated,
            format!("it ends {} bytes too early, {place}", length - bytes.len() as u64),
        )
    })
}
