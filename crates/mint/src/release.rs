//! Release documents: the calendar of a site's keys, its policy, and leave given once: fences and pardons.
//! What they say loosens, so people sign them: a draft gathers signatures until the charter's release
//! threshold holds, and only then is it adopted and does it cross.

mod leave;
mod renew;
mod sheaf;
mod shown;

use std::ops::RangeInclusive;

use farside_crossing::keys::KeysDocument;
use farside_crossing::note::{self, Note};
use farside_crossing::policy::{AudiencePolicy, PolicyDocument};
use farside_crossing::{FenceDocument, PardonDocument, RawJson, Refusal, Role, Signer};
use rusqlite::{Connection, OptionalExtension};

use crate::ceremony::{self, CharterFault};
use crate::store::{Site, Store, StoreFault, TokenKeyRecord, signed, unsigned};

pub use leave::{Pardoned, fence_numbers};
pub use renew::{Renewal, in_force_unsigned, outdated};
pub use sheaf::{SHEAF_BYTES_MAX, tie, untie};
pub use shown::shown;

/// Which document of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The key calendar.
    Keys,
    /// Issuer, audiences, lifetimes, freshness.
    Policy,
    /// Leave for the sequence to go on.
    Fence,
    /// Leave to take revocations back.
    Pardon,
}

/// What is to be drafted.
#[derive(Debug, Clone)]
pub enum Document {
    /// The calendar of the site's live keys.
    Keys,
    /// The policy that follows from the site's terms.
    Policy,
    /// Leave for the sequence to go on at one of these numbers.
    Fence(RangeInclusive<u64>),
    /// Leave to take these revocations back.
    Pardon(Pardoned),
}

impl Document {
    /// Which of the site's documents it will be.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Keys => Kind::Keys,
            Self::Policy => Kind::Policy,
            Self::Fence(_) => Kind::Fence,
            Self::Pardon(_) => Kind::Pardon,
        }
    }
}

impl Kind {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Policy => "policy",
            Self::Fence => "fence",
            Self::Pardon => "pardon",
        }
    }
}

/// A document that nobody has signed yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Which of the site's documents.
    pub kind: Kind,
    /// Its number: one above the newest adopted.
    pub version: u64,
    /// What people sign.
    pub text: String,
}

/// Why a document was not drafted or adopted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseFault {
    /// The document does not hold: not enough signatures, another site, a malformed member.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A signature could not be made.
    #[error("{0}")]
    Sign(#[from] farside_crossing::NoteFault),
    /// The site is unknown.
    #[error("there is no site {0}")]
    NoSite(String),
    /// A calendar without keys would lock every holder out.
    #[error("site {0} has no token key: make one with `mint keys new --site {0}`")]
    NoKeys(String),
    /// No bundle that is still to come has such a number.
    #[error("this fence ends at bundle {seq_max}, and the next one of site {site} is {next}")]
    FencePast {
        /// The site.
        site: String,
        /// Where the fence ends.
        seq_max: u64,
        /// The number of the next bundle.
        next: u64,
    },
    /// What is not revoked needs no pardon.
    #[error("{kind} {what} is not revoked at site {site}")]
    NotRevoked {
        /// The site.
        site: String,
        /// Token, subject, client, group, key or all.
        kind: &'static str,
        /// Its name.
        what: String,
    },
    /// A pardon for nothing.
    #[error("name what is to be pardoned at site {0}")]
    NothingPardoned(String),
    /// Another document was adopted since this one was drafted.
    #[error("this is version {found} of the {kind} document of {site}, and version {expected} comes next")]
    Overtaken {
        /// The site.
        site: String,
        /// Which document.
        kind: &'static str,
        /// What was drafted.
        found: u64,
        /// What would be next.
        expected: u64,
    },
    /// The note is no release document of any site here.
    #[error("this is no release document of a site of this realm")]
    Foreign,
    /// The signed calendar holds a key that this mint did not make.
    #[error("the calendar holds key {0}, which this mint did not make for that site")]
    ForeignKey(String),
    /// No charter says who releases.
    #[error("{0}")]
    Charter(#[from] CharterFault),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<ReleaseFault> for farside_service::cli::Failure {
    fn from(fault: ReleaseFault) -> Self {
        match fault {
            ReleaseFault::Store(fault) => fault.into(),
            ReleaseFault::Charter(fault) => fault.into(),
            ReleaseFault::Refused(ref refusal) => {
                let cure = refusal.cure().to_owned();
                Self::refused(fault.to_string()).hint(cure)
            }
            fault => Self::refused(fault.to_string()),
        }
    }
}

/// Drafts the next version of a site's document.
pub fn draft(store: &Store, site: &str, document: &Document, now: u64) -> Result<Draft, ReleaseFault> {
    let directory = store.directory()?;
    let site = directory.site(site).ok_or_else(|| ReleaseFault::NoSite(site.to_owned()))?;
    let (realm, kind) = (directory.realm(), document.kind());
    let version = store.read(|transaction| adopted_version(transaction, &site.name, kind))? + 1;
    let text = match document {
        Document::Keys => keys_document(realm, site, version, now)?.text()?,
        Document::Policy => policy_document(realm, site, version, now).text()?,
        Document::Fence(numbers) => leave::fence_document(realm, site, version, now, numbers)?.text()?,
        Document::Pardon(pardoned) => store
            .read(|transaction| {
                leave::pardon_document(transaction, (realm, &site.name), version, now, pardoned)
            })?
            .text()?,
    };
    Ok(Draft { kind, version, text })
}

fn keys_document(realm: &str, site: &Site, version: u64, now: u64) -> Result<KeysDocument, ReleaseFault> {
    let live = |key: &&TokenKeyRecord| key.accept_until > now && !key.revoked;
    let keys: Vec<&str> = site.keys.iter().filter(live).map(|key| key.jwk.as_str()).collect();
    if keys.is_empty() {
        return Err(ReleaseFault::NoKeys(site.name.clone()));
    }
    Ok(KeysDocument {
        realm: realm.to_owned(),
        site: site.name.clone(),
        version,
        issued_at: now,
        jwks: RawJson::new(&format!("{{\"keys\":[{}]}}", keys.join(",")))?,
    })
}

pub(crate) fn policy_document(realm: &str, site: &Site, version: u64, now: u64) -> PolicyDocument {
    PolicyDocument {
        realm: realm.to_owned(),
        site: site.name.clone(),
        version,
        issued_at: now,
        issuer: site.terms.issuer.clone(),
        audiences: site
            .terms
            .audiences
            .iter()
            .map(|audience| AudiencePolicy {
                name: audience.name.clone(),
                stale_seconds_max: audience.stale_seconds_max,
                logged: audience.logged,
                holder_bound: audience.holder_bound,
                single_use: audience.single_use,
                breakglass: audience.breakglass,
            })
            .collect(),
        lifetime_seconds_max: site.terms.lifetime_seconds_max,
        leeway_seconds: site.terms.leeway_seconds,
        typ: site.token_types(),
        algorithms: None,
        cedar: site.terms.cedar.clone(),
    }
}

/// A document whose release signatures hold and which is now in force.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Adopted {
    /// The site.
    pub site: String,
    /// Which of its documents.
    pub kind: Kind,
    /// Its number.
    pub version: u64,
    /// Whose signatures counted.
    pub signers: Vec<String>,
    /// Whether it was in force already and is only signed anew.
    pub renewed: bool,
}

/// Signs a draft with every signer at hand and adopts it, where that is enough.
pub fn sign_and_adopt(
    store: &Store,
    draft: &Draft,
    signers: &[&dyn Signer],
    now: u64,
) -> Result<Adopted, ReleaseFault> {
    adopt(store, &note::sign(&draft.text, signers)?, now)
}

/// Adopts a signed document: the release threshold of the charter in force must hold, the version must be the
/// next, and a calendar may hold only keys that this mint has made for that site.
pub fn adopt(store: &Store, bytes: &[u8], now: u64) -> Result<Adopted, ReleaseFault> {
    adopt_all(store, &[bytes], now)?.pop().ok_or(ReleaseFault::Foreign)
}

/// Adopts signed documents, all or none: each as [`adopt`] does.
pub fn adopt_all(store: &Store, notes: &[&[u8]], now: u64) -> Result<Vec<Adopted>, ReleaseFault> {
    let realm = store.realm()?;
    store.write(|transaction| {
        let chain = ceremony::read_chain(transaction, store.followed())?;
        let charter = chain.last().ok_or(ReleaseFault::Charter(CharterFault::None))?;
        let adoption = Adoption { transaction, realm: &realm, release: charter.release(), now };
        notes.iter().map(|bytes| adoption.adopt(bytes)).collect()
    })
}

/// What documents are adopted by.
struct Adoption<'a> {
    transaction: &'a Connection,
    realm: &'a str,
    release: &'a Role,
    now: u64,
}

impl Adoption<'_> {
    fn adopt(&self, bytes: &[u8]) -> Result<Adopted, ReleaseFault> {
        let Adoption { transaction, realm, release, now } = *self;
        let note = Note::parse(bytes)?;
        let signed_by = release.verify(&note)?;
        let signers = signed_by.signers().to_vec();
        let (mut keys, mut pardon) = (Vec::new(), None);
        let (kind, site, version) = match addressed_to(note.text(), realm) {
            Some((Kind::Keys, site)) => {
                let document = KeysDocument::read(&signed_by, realm, site)?;
                keys = key_ids(document.jwks.as_str())?;
                (Kind::Keys, document.site, document.version)
            }
            Some((Kind::Policy, site)) => {
                let document = PolicyDocument::read(&signed_by, realm, site)?;
                note_lifetime(transaction, &document)?;
                (Kind::Policy, document.site, document.version)
            }
            Some((Kind::Fence, site)) => {
                let document = FenceDocument::read(&signed_by, realm, site)?;
                (Kind::Fence, document.site, document.version)
            }
            Some((Kind::Pardon, site)) => {
                let document = PardonDocument::read(&signed_by, realm, site)?;
                let place = (Kind::Pardon, document.site.clone(), document.version);
                pardon = Some(document);
                place
            }
            None => return Err(ReleaseFault::Foreign),
        };
        if renew::replace(transaction, (&site, kind, version), &note, bytes)? {
            return Ok(Adopted { site, kind, version, signers, renewed: true });
        }
        let expected = adopted_version(transaction, &site, kind)? + 1;
        if version != expected {
            return Err(ReleaseFault::Overtaken { site, kind: kind.as_str(), found: version, expected });
        }
        if let Some(pardon) = &pardon {
            leave::take_back(transaction, pardon, now)?;
        }
        insert(transaction, &Row { site: &site, kind, version, note: bytes, keys: &keys, now })?;
        Ok(Adopted { site, kind, version, signers, renewed: false })
    }
}

struct Row<'a> {
    site: &'a str,
    kind: Kind,
    version: u64,
    note: &'a [u8],
    keys: &'a [String],
    now: u64,
}

fn insert(transaction: &Connection, row: &Row<'_>) -> Result<(), ReleaseFault> {
    let known: Option<i64> = transaction
        .query_row("SELECT 1 FROM site WHERE name = ?1", [row.site], |row| row.get(0))
        .optional()
        .map_err(StoreFault::from)?;
    known.ok_or_else(|| ReleaseFault::NoSite(row.site.to_owned()))?;
    transaction
        .execute(
            "INSERT INTO release_document (site, kind, version, note, adopted_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (row.site, row.kind.as_str(), signed(row.version), row.note, signed(row.now)),
        )
        .map_err(StoreFault::from)?;
    for kid in row.keys {
        let carried = transaction
            .execute(
                "INSERT INTO release_key (site, version, kid)
                 SELECT site, ?2, kid FROM token_key WHERE site = ?1 AND kid = ?3",
                (row.site, signed(row.version), kid),
            )
            .map_err(StoreFault::from)?;
        if carried != 1 {
            return Err(ReleaseFault::ForeignKey(kid.clone()));
        }
    }
    Ok(())
}

/// What gates will allow from now on, people may have written otherwise than the site's terms have it.
fn note_lifetime(transaction: &Connection, policy: &PolicyDocument) -> Result<(), ReleaseFault> {
    let update =
        "UPDATE site SET lifetime_seconds_highest = max(lifetime_seconds_highest, ?2) WHERE name = ?1";
    transaction
        .execute(update, (&policy.site, signed(policy.lifetime_seconds_max)))
        .map_err(StoreFault::from)?;
    Ok(())
}

/// Kind and site from the first line, `farside-keys/1 <realm> <site>`; the document's own reader checks it in
/// full.
fn addressed_to<'t>(text: &'t str, realm: &str) -> Option<(Kind, &'t str)> {
    let mut words = text.lines().next()?.split(' ');
    let kind = match words.next()? {
        "farside-keys/1" => Kind::Keys,
        "farside-policy/1" => Kind::Policy,
        "farside-fence/1" => Kind::Fence,
        "farside-pardon/1" => Kind::Pardon,
        _ => return None,
    };
    (words.next()? == realm).then_some((kind, words.next()?))
}

/// Kind, site and version that a draft names for itself.
pub fn place(bytes: &[u8], realm: &str) -> Option<(Kind, String, u64)> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        version: u64,
    }
    let note = Note::parse(bytes).ok()?;
    let (kind, site) = addressed_to(note.text(), realm)?;
    let json = note.text().split_once('\n')?.1;
    Some((kind, site.to_owned(), serde_json::from_str::<Numbered>(json).ok()?.version))
}

fn key_ids(jwks: &str) -> Result<Vec<String>, ReleaseFault> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<Key>,
    }
    #[derive(serde::Deserialize)]
    struct Key {
        kid: String,
    }
    let set: Set = serde_json::from_str(jwks).map_err(|_| ReleaseFault::Foreign)?;
    Ok(set.keys.into_iter().map(|key| key.kid).collect())
}

/// The newest adopted version of a document; 0 where there is none.
pub fn adopted_version(connection: &Connection, site: &str, kind: Kind) -> Result<u64, ReleaseFault> {
    let version: i64 = connection
        .query_row(
            "SELECT coalesce(max(version), 0) FROM release_document WHERE site = ?1 AND kind = ?2",
            (site, kind.as_str()),
            |row| row.get(0),
        )
        .map_err(StoreFault::from)?;
    Ok(unsigned(version))
}

/// The newest adopted document as it was signed.
pub fn newest(connection: &Connection, site: &str, kind: Kind) -> Result<Option<(u64, Vec<u8>)>, StoreFault> {
    Ok(connection
        .query_row(
            "SELECT version, note FROM release_document WHERE site = ?1 AND kind = ?2
             ORDER BY version DESC LIMIT 1",
            (site, kind.as_str()),
            |row| Ok((unsigned(row.get(0)?), row.get(1)?)),
        )
        .optional()?)
}

/// Who of the release signers has signed a draft so far, and how many it takes; of a sheaf, who has signed
/// all of it.
pub fn progress(release: &Role, bytes: &[u8]) -> Result<(Vec<String>, usize), Refusal> {
    let signed =
        under_all(bytes, |note| Ok(release.signed_by(note)?.into_iter().map(str::to_owned).collect()))?;
    Ok((signed, release.threshold()))
}

/// Whose names stand under a draft, or under all of a sheaf; nobody has checked them.
pub fn names(bytes: &[u8]) -> Result<Vec<String>, Refusal> {
    under_all(bytes, |note| Ok(note.signer_names().into_iter().map(str::to_owned).collect()))
}

fn under_all(
    bytes: &[u8],
    names: impl Fn(&Note<'_>) -> Result<Vec<String>, Refusal>,
) -> Result<Vec<String>, Refusal> {
    let mut all: Option<Vec<String>> = None;
    for bytes in untie(bytes)? {
        let under = names(&Note::parse(bytes)?)?;
        match &mut all {
            Some(all) => all.retain(|name| under.contains(name)),
            None => all = Some(under),
        }
    }
    Ok(all.unwrap_or_default())
}
