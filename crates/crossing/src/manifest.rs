//! The manifest: the signed head of a bundle. Who it is for, which number it has, what it builds on, until
//! when it holds, and the length and digest of every component.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{check_binding, first_line, from_json, split, to_json};
use crate::refusal::{Code, Refusal};
use crate::role::Believed;
use crate::text::{check_integer, check_name};

/// Largest manifest note, signatures included.
pub const MANIFEST_BYTES_MAX: usize = 64 << 10;

/// Most components of one bundle.
pub const COMPONENTS_MAX: usize = 16;

/// Most journal heads of one manifest.
pub const JOURNALS_MAX: usize = 16;

/// Largest bundle.
pub const BUNDLE_BYTES_MAX: usize = 256 << 20;

/// First word of a manifest's first line.
pub(crate) const KIND: &str = "farside-manifest";

/// The head of a bundle, as signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "ManifestText")]
pub struct Manifest {
    /// Realm.
    pub realm: String,
    /// Site.
    pub site: String,
    /// Number in the site's sequence, from 1.
    pub seq: u64,
    /// Digest of bundle `seq - 1`; absent for number 1 alone.
    pub prev: Option<Digest>,
    /// Whole, built on a base, or nothing but a sign of life.
    pub kind: Kind,
    /// The bundle that a delta or beacon builds on: the last one before it that was no beacon.
    pub base: Option<Base>,
    /// When it was packed, Unix seconds.
    pub issued_at: u64,
    /// Until when what it says may be relied upon, Unix seconds.
    pub not_after: u64,
    /// When the next one is due, Unix seconds.
    pub next_by: u64,
    /// Where the mint's journals stood when it was packed, so that nothing can be cut off them unseen.
    pub journals: Vec<JournalHead>,
    /// What it carries, in the order of the file.
    pub components: Vec<ComponentEntry>,
}

/// How far a journal had come, told to somebody who keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalHead {
    /// The journal's name.
    pub name: String,
    /// How many lines it had.
    pub lines: u64,
    /// The hash of the last one.
    pub head: Digest,
}

/// Heads as they may cross: few, each of another journal.
pub(crate) fn check_journals(heads: &[JournalHead]) -> Result<(), Refusal> {
    if heads.len() > JOURNALS_MAX {
        return Err(Refusal::new(Code::TooLarge, format!("more than {JOURNALS_MAX} journal heads")));
    }
    for (place, head) in heads.iter().enumerate() {
        check_name("journal", &head.name)?;
        check_integer("number of lines of a journal", head.lines)?;
        if head.lines == 0 || heads[..place].iter().any(|other| other.name == head.name) {
            return Err(Refusal::new(Code::Malformed, "a journal without lines, or named twice"));
        }
    }
    Ok(())
}

/// What a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything a gate needs; applies across a hole.
    Full,
    /// What has changed since its base.
    Delta,
    /// "Still here, nothing new since the base."
    Beacon,
}

impl Kind {
    /// The kind as texts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Full => "full",
            Kind::Delta => "delta",
            Kind::Beacon => "beacon",
        }
    }
}

/// One bundle by number and digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Its number.
    pub seq: u64,
    /// Its digest.
    pub digest: Digest,
}

/// What may ride in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentType {
    /// Chain of charters, signed by root.
    Charter,
    /// Token keys, signed by release.
    Keys,
    /// Site policy, signed by release.
    Policy,
    /// Leave to jump, signed by release.
    Fence,
    /// Leave to take revocations back, signed by release.
    Pardon,
    /// Revocations.
    Status,
    /// Signed status lists for third parties.
    Lists,
    /// Leaves of the issuance log.
    Leaves,
    /// Sealed tokens.
    Parcels,
}

impl ComponentType {
    /// Every type there is.
    pub const ALL: [ComponentType; 9] = [
        ComponentType::Charter,
        ComponentType::Keys,
        ComponentType::Policy,
        ComponentType::Fence,
        ComponentType::Pardon,
        ComponentType::Status,
        ComponentType::Lists,
        ComponentType::Leaves,
        ComponentType::Parcels,
    ];

    /// The type as texts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            ComponentType::Charter => "charter",
            ComponentType::Keys => "keys",
            ComponentType::Policy => "policy",
            ComponentType::Fence => "fence",
            ComponentType::Pardon => "pardon",
            ComponentType::Status => "status",
            ComponentType::Lists => "lists",
            ComponentType::Leaves => "leaves",
            ComponentType::Parcels => "parcels",
        }
    }

    /// Whether only the online key vouches for it, through the manifest.
    pub fn is_online(self) -> bool {
        use ComponentType::{Leaves, Lists, Parcels, Status};
        matches!(self, Status | Lists | Leaves | Parcels)
    }
}

/// One component: what it is and which bytes it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentEntry {
    /// Its type; each at most once.
    pub kind: ComponentType,
    /// Rises with every change of its content.
    pub version: u64,
    /// Its bytes in the file.
    pub len: u64,
    /// Their digest.
    pub sha256: Digest,
    /// Whether they are sealed to the site.
    pub sealed: bool,
}

/// Which content of a component a gate holds: what its version stands for. For a note that is its text, so
/// that the same document may cross again with other signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Its version.
    pub version: u64,
    /// Digest of the note's text, of the newest charter's, or of the blob where it is no note.
    pub sha256: Digest,
}

impl Manifest {
    /// The text that the online key signs.
    pub(crate) fn text(&self) -> Result<String, Refusal> {
        self.check()?;
        let json = to_json(&ManifestText::from(self.clone()))?;
        Ok(format!("{KIND}/1 {} {}\n{json}\n", self.realm, self.site))
    }

    /// Reads a manifest that the online role has signed, for one realm and site.
    pub(crate) fn read(believed: &Believed<'_>, realm: &str, site: &str) -> Result<Manifest, Refusal> {
        let (line, _) = split(believed.text())?;
        let [of_realm, of_site] = first_line(line, KIND)?;
        check_binding(of_realm, of_site, realm, site)?;
        let manifest = Manifest::parse(believed.text())?;
        check_binding(&manifest.realm, &manifest.site, realm, site)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads the JSON alone, believing nothing: for [`Manifest::read`] and for display.
    pub(crate) fn parse(text: &str) -> Result<Manifest, Refusal> {
        from_json::<ManifestText>(split(text)?.1)?.try_into()
    }

    /// The entry of one component.
    pub fn component(&self, kind: ComponentType) -> Option<&ComponentEntry> {
        self.components.iter().find(|entry| entry.kind == kind)
    }

    fn check(&self) -> Result<(), Refusal> {
        let malformed = |what: &str| Err(Refusal::new(Code::Malformed, what));
        check_name("realm", &self.realm)?;
        check_name("site", &self.site)?;
        for value in [self.seq, self.issued_at, self.not_after, self.next_by] {
            check_integer("number or time", value)?;
        }
        // bundle.md §5.4
        if self.seq == 0 || (self.seq == 1) != self.prev.is_none() {
            return malformed("numbers begin at 1, which alone has no predecessor");
        }
        // bundle.md §5.5
        if self.issued_at > self.next_by || self.next_by > self.not_after {
            return malformed("times that are not in order: issued_at, next_by, not_after");
        }
        self.check_base()?;
        check_journals(&self.journals)?;
        self.check_components()
    }

    /// bundle.md §5.6
    fn check_base(&self) -> Result<(), Refusal> {
        match (self.kind, self.base) {
            (Kind::Full, None) => Ok(()),
            (Kind::Delta | Kind::Beacon, Some(base))
                if base.seq < self.seq
                    && base.seq > 0
                    && (base.seq + 1 != self.seq || self.prev == Some(base.digest)) =>
            {
                Ok(())
            }
            _ => Err(Refusal::new(Code::Malformed, "a base that does not fit the kind or the number")),
        }
    }

    /// bundle.md §5.7 to §5.9
    fn check_components(&self) -> Result<(), Refusal> {
        let malformed = |what: &str| Err(Refusal::new(Code::Malformed, what));
        if self.components.len() > COMPONENTS_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("more than {COMPONENTS_MAX} components")));
        }
        for (place, entry) in self.components.iter().enumerate() {
            check_integer("version of a component", entry.version)?;
            if self.components[..place].iter().any(|other| other.kind == entry.kind) {
                return malformed("a component twice");
            }
            if entry.kind == ComponentType::Charter && place != 0 {
                return malformed("the charter component is not the first");
            }
            if entry.version == 0 || entry.sealed != (entry.kind == ComponentType::Parcels) {
                return malformed("a component's version or seal");
            }
            if entry.len > BUNDLE_BYTES_MAX as u64 {
                return Err(Refusal::new(Code::TooLarge, format!("component {}", entry.kind.as_str())));
            }
        }
        if self.kind == Kind::Beacon && !self.components.is_empty() {
            return malformed("a beacon that carries components");
        }
        let needed = [ComponentType::Keys, ComponentType::Policy, ComponentType::Status];
        match needed.into_iter().find(|kind| self.kind == Kind::Full && self.component(*kind).is_none()) {
            Some(kind) => {
                Err(Refusal::new(Code::ComponentMissing, format!("a full bundle without {}", kind.as_str())))
            }
            None => Ok(()),
        }
    }
}

/// The JSON of a manifest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestText {
    realm: String,
    site: String,
    seq: u64,
    prev: String,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Base>,
    issued_at: u64,
    not_after: u64,
    next_by: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    journals: Vec<JournalHead>,
    components: Vec<EntryText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    r#type: String,
    version: u64,
    len: u64,
    sha256: Digest,
    sealed: bool,
}

impl From<Manifest> for ManifestText {
    fn from(manifest: Manifest) -> ManifestText {
        let entry = |entry: ComponentEntry| EntryText {
            r#type: entry.kind.as_str().to_owned(),
            version: entry.version,
            len: entry.len,
            sha256: entry.sha256,
            sealed: entry.sealed,
        };
        ManifestText {
            realm: manifest.realm,
            site: manifest.site,
            seq: manifest.seq,
            prev: manifest.prev.map(|digest| digest.hex()).unwrap_or_default(),
            kind: manifest.kind,
            base: manifest.base,
            issued_at: manifest.issued_at,
            not_after: manifest.not_after,
            next_by: manifest.next_by,
            journals: manifest.journals,
            components: manifest.components.into_iter().map(entry).collect(),
        }
    }
}

impl TryFrom<ManifestText> for Manifest {
    type Error = Refusal;

    fn try_from(text: ManifestText) -> Result<Manifest, Refusal> {
        let prev = match text.prev.as_str() {
            "" => None,
            hex => Some(
                hex.parse().map_err(|_| Refusal::new(Code::Malformed, "the digest of the predecessor"))?,
            ),
        };
        Ok(Manifest {
            realm: text.realm,
            site: text.site,
            seq: text.seq,
            prev,
            kind: text.kind,
            base: text.base,
            issued_at: text.issued_at,
            not_after: text.not_after,
            next_by: text.next_by,
            journals: text.journals,
            components: text.components.into_iter().map(EntryText::read).collect::<Result<_, _>>()?,
        })
    }
}

impl EntryText {
    fn read(self) -> Result<ComponentEntry, Refusal> {
        // bundle.md §5.8: a type that is not known is refused, never skipped.
        let kind = ComponentType::ALL.into_iter().find(|kind| kind.as_str() == self.r#type);
        let kind = kind.ok_or_else(|| Refusal::new(Code::ComponentUnknown, "a type of a newer version"))?;
        let EntryText { version, len, sha256, sealed, .. } = self;
        Ok(ComponentEntry { kind, version, len, sha256, sealed })
    }
}
