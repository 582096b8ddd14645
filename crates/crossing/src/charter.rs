//! The charter: who may sign what in this realm. It is believed once by its fingerprint, compared by eye, and
//! from then on follows itself: each next one needs the signatures of the old and of the new root.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{first_line, from_json, split, to_json};
use crate::fingerprint::{ExpectedFingerprint, Fingerprint};
use crate::note::Note;
use crate::refusal::{Code, Refusal};
use crate::role::{Role, RoleName, RoleText};
use crate::signer::LogKey;
use crate::text::{check_integer, check_name, decimal};

/// Longest chain of charters that one bundle brings, in bytes: hundreds of charters.
pub const CHAIN_BYTES_MAX: usize = 16 << 20;

/// Longest file of charters alone, in bytes: as long as a bundle.
pub const CHAIN_FILE_BYTES_MAX: usize = 256 << 20;

/// Most log keys of a realm: one for each mint replica.
const LOG_KEYS_MAX: usize = 64;

/// First word of a charter's first line.
const KIND: &str = "farside-charter";

/// First word of a file of charters.
const CHAIN_KIND: &str = "farside-charters";

/// Longest first line of such a file, newline included.
const CHAIN_LINE_BYTES_MAX: usize = 128;

/// Accepts a realm's charter for the first time, by the fingerprint that people compared.
///
/// # Errors
/// `fingerprint_mismatch` before anything else is read; then what [`follow`] refuses.
pub fn open_first(bytes: &[u8], expected: &ExpectedFingerprint) -> Result<Charter, Refusal> {
    let note = Note::parse(bytes)?;
    // bundle.md §4.8
    let seen = Fingerprint::from(Digest::of(note.text().as_bytes()));
    if !expected.matches(&seen) {
        return Err(Refusal::new(Code::FingerprintMismatch, format!("it has {}", seen.hex())));
    }
    let draft = CharterDraft::parse(note.text())?;
    draft.root.verify(&note)?;
    Ok(Charter { draft, digest: Digest::of(note.text().as_bytes()), bytes: bytes.to_vec() })
}

/// Accepts the charter that comes next after a trusted one.
///
/// # Errors
/// `wrong_realm`, `charter_broken`, `charter_unsafe`, `signature_invalid`, `threshold_unmet`, `malformed`.
pub fn follow(trusted: &Charter, next: &[u8]) -> Result<Charter, Refusal> {
    let note = Note::parse(next)?;
    let (realm, version) = announced(note.text())?;
    if realm != trusted.realm() {
        return Err(Refusal::new(Code::WrongRealm, "a charter of another realm"));
    }
    if version != trusted.version() + 1 {
        let held = trusted.version();
        let cure = format!(
            "carry the charters between: `farside mint charter export --since {held} --out FILE`, and \
             import that file first"
        );
        let detail = format!("version {version} after version {held}");
        return Err(Refusal::new(Code::CharterBroken, detail).with_cure(cure));
    }
    // bundle.md §4.9: the old threshold before anything is read, then the new one by its own list.
    trusted.root().verify(&note)?;
    let draft = CharterDraft::parse(note.text())?;
    draft.root.verify(&note)?;
    if draft.prev != Some(trusted.digest()) || draft.issued_at < trusted.issued_at() {
        return Err(Refusal::new(Code::CharterBroken, "it names another predecessor or an earlier time"));
    }
    Ok(Charter { draft, digest: Digest::of(note.text().as_bytes()), bytes: next.to_vec() })
}

/// What a charter or its draft says, for people who are to sign it. Nothing of it is verified.
///
/// # Errors
/// `malformed`, `charter_unsafe`; `signature_invalid` where one of its own root signers' signatures does not
/// hold.
pub fn review(bytes: &[u8]) -> Result<Review, Refusal> {
    let note = Note::parse(bytes)?;
    let draft = CharterDraft::parse(note.text())?;
    let signed = draft.root.signed_by(&note)?.into_iter().map(str::to_owned).collect();
    Ok(Review { fingerprint: Fingerprint::from(Digest::of(note.text().as_bytes())), signed, draft })
}

/// A charter as [`review`] read it.
#[derive(Debug, Clone)]
pub struct Review {
    /// What it says.
    pub draft: CharterDraft,
    /// What it would be known by.
    pub fingerprint: Fingerprint,
    /// Its own root signers who have signed so far.
    pub signed: Vec<String>,
}

/// A charter that is trusted. Made by [`open_first`] and [`follow`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charter {
    draft: CharterDraft,
    digest: Digest,
    bytes: Vec<u8>,
}

impl Charter {
    /// The realm it founds.
    pub fn realm(&self) -> &str {
        &self.draft.realm
    }

    /// Its number, from 1.
    pub fn version(&self) -> u64 {
        self.draft.version
    }

    /// When it was drafted, Unix seconds.
    pub fn issued_at(&self) -> u64 {
        self.draft.issued_at
    }

    /// SHA-256 of its text.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The same, for eyes.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from(self.digest)
    }

    /// Who signs charters.
    pub fn root(&self) -> &Role {
        &self.draft.root
    }

    /// Who signs what loosens.
    pub fn release(&self) -> &Role {
        &self.draft.release
    }

    /// Who signs what tightens or refreshes.
    pub fn online(&self) -> &Role {
        &self.draft.online
    }

    /// Who signs log checkpoints.
    pub fn log(&self) -> &[LogKey] {
        &self.draft.log
    }

    /// Whose cards open in an emergency, where the realm wants any to.
    pub fn breakglass(&self) -> Option<&Role> {
        self.draft.breakglass.as_ref()
    }

    /// The note as it was read, to be kept and carried on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A draft of the next charter, with everything as it is now.
    pub fn successor(&self, issued_at: u64) -> CharterDraft {
        CharterDraft { version: self.version() + 1, issued_at, prev: Some(self.digest), ..self.draft.clone() }
    }
}

/// What a charter says, before anyone has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharterDraft {
    /// The realm it founds.
    pub realm: String,
    /// Its number, from 1.
    pub version: u64,
    /// When it was drafted, Unix seconds.
    pub issued_at: u64,
    /// Digest of the charter before; absent for version 1 alone.
    pub prev: Option<Digest>,
    /// Who signs charters.
    pub root: Role,
    /// Who signs what loosens.
    pub release: Role,
    /// Who signs what tightens or refreshes.
    pub online: Role,
    /// Who signs log checkpoints.
    pub log: Vec<LogKey>,
    /// Whose cards open in an emergency; without it nothing does.
    pub breakglass: Option<Role>,
}

impl CharterDraft {
    /// The text that root signers sign.
    ///
    /// # Errors
    /// `malformed`, `charter_unsafe`.
    pub fn text(&self) -> Result<String, Refusal> {
        self.check()?;
        let json = to_json(&CharterText::of(self))?;
        Ok(format!("{KIND}/1 {} {}\n{json}\n", self.realm, self.version))
    }

    fn parse(text: &str) -> Result<CharterDraft, Refusal> {
        let (realm, version) = announced(text)?;
        let draft = from_json::<CharterText>(split(text)?.1)?.into_draft()?;
        if draft.realm != realm || draft.version != version {
            return Err(Refusal::new(Code::Malformed, "a charter whose first line says otherwise"));
        }
        draft.check()?;
        Ok(draft)
    }

    fn check(&self) -> Result<(), Refusal> {
        check_name("realm", &self.realm)?;
        check_integer("version", self.version)?;
        check_integer("time of issue", self.issued_at)?;
        if self.version == 0 || (self.version == 1) != self.prev.is_none() {
            return Err(Refusal::new(Code::Malformed, "versions begin at 1, which alone has no predecessor"));
        }
        let unsafe_charter = |what: &str| Err(Refusal::new(Code::CharterUnsafe, what));
        let roles = [(&self.root, RoleName::Root), (&self.release, RoleName::Release)];
        if roles.iter().any(|(role, name)| role.name() != *name) || self.online.name() != RoleName::Online {
            return unsafe_charter("a role stands in another's place");
        }
        // bundle.md §4.7: the unattended key must not be one that loosens.
        for online in self.online.signers() {
            if roles.iter().any(|(role, _)| role.signers().iter().any(|s| s.shares_key_with(online))) {
                return unsafe_charter("an online key stands in root or release too");
            }
        }
        // bundle.md §4.13: whoever rules day by day is not who opens in an emergency.
        if let Some(cards) = &self.breakglass {
            if cards.name() != RoleName::Breakglass {
                return unsafe_charter("a role stands in another's place");
            }
            let others = [&self.root, &self.release, &self.online];
            let mut others = others.iter().flat_map(|role| role.signers());
            if others.any(|other| cards.signers().iter().any(|card| card.shares_key_with(other))) {
                return unsafe_charter("a break-glass card stands in root, release or online too");
            }
        }
        if self.log.len() > LOG_KEYS_MAX {
            return unsafe_charter("too many log keys");
        }
        Ok(())
    }
}

/// bundle.md §4.1: realm and version on the first line, so that order is known before anything is parsed.
fn announced(text: &str) -> Result<(&str, u64), Refusal> {
    let [realm, version] = first_line(split(text)?.0, KIND)?;
    let version = decimal(version).ok_or_else(|| Refusal::new(Code::Malformed, "a charter's version"))?;
    Ok((realm, version))
}

/// The JSON of a charter.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CharterText {
    realm: String,
    version: u64,
    issued_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prev: Option<Digest>,
    root: RoleText,
    release: RoleText,
    online: RoleText,
    log: LogText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    breakglass: Option<RoleText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogText {
    signers: Vec<LogKey>,
}

impl CharterText {
    fn of(draft: &CharterDraft) -> CharterText {
        CharterText {
            realm: draft.realm.clone(),
            version: draft.version,
            issued_at: draft.issued_at,
            prev: draft.prev,
            root: RoleText::of(&draft.root),
            release: RoleText::of(&draft.release),
            online: RoleText::of(&draft.online),
            log: LogText { signers: draft.log.clone() },
            breakglass: draft.breakglass.as_ref().map(RoleText::of),
        }
    }

    fn into_draft(self) -> Result<CharterDraft, Refusal> {
        Ok(CharterDraft {
            realm: self.realm,
            version: self.version,
            issued_at: self.issued_at,
            prev: self.prev,
            root: self.root.into_role(RoleName::Root)?,
            release: self.release.into_role(RoleName::Release)?,
            online: self.online.into_role(RoleName::Online)?,
            log: self.log.signers,
            breakglass: self.breakglass.map(|role| role.into_role(RoleName::Breakglass)).transpose()?,
        })
    }
}

/// Joins charters, oldest first, into a file of their own: for a gate that has missed more of them than a
/// bundle brings, or that is to know the newest one before any bundle.
// bundle.md §4.14
pub fn chain_file(realm: &str, charters: &[&[u8]]) -> Vec<u8> {
    let mut file = format!("{CHAIN_KIND}/1 {realm} {}\n", charters.len()).into_bytes();
    file.extend_from_slice(&join_chain(charters));
    file
}

/// Whether these bytes claim to be a file of charters.
pub fn is_chain_file(bytes: &[u8]) -> bool {
    bytes.strip_prefix(CHAIN_KIND.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Follows a file of charters from a trusted one. Returns those that are new, oldest first.
///
/// # Errors
/// `too_large`, `malformed`, `version_unsupported`, and what [`follow`] refuses.
// bundle.md §4.14
pub fn follow_chain_file(trusted: &Charter, bytes: &[u8]) -> Result<Vec<Charter>, Refusal> {
    if bytes.len() > CHAIN_FILE_BYTES_MAX {
        let detail = format!("a file of charters is at most {CHAIN_FILE_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    let malformed = || Refusal::new(Code::Malformed, "the first line of a file of charters");
    let cut = bytes.iter().take(CHAIN_LINE_BYTES_MAX).position(|b| *b == b'\n').ok_or_else(malformed)?;
    let line = str::from_utf8(&bytes[..cut]).map_err(|_| malformed())?;
    let [realm, count] = first_line(line, CHAIN_KIND)?;
    if realm != trusted.realm() {
        return Err(Refusal::new(Code::WrongRealm, "charters of another realm"));
    }
    let chain = &bytes[cut + 1..];
    if decimal(count) != Some(split_chain(chain)?.len() as u64) {
        return Err(Refusal::new(Code::Malformed, "another number of charters than its first line says"));
    }
    follow_chain(trusted, &[], chain)
}

/// Joins charters, oldest first, into the component that a bundle carries.
pub(crate) fn join_chain(charters: &[&[u8]]) -> Vec<u8> {
    let mut chain = Vec::new();
    for charter in charters {
        chain.extend_from_slice(format!("{}\n", charter.len()).as_bytes());
        chain.extend_from_slice(charter);
    }
    chain
}

/// Cuts a chain into its charters, unread.
pub(crate) fn split_chain(mut chain: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let malformed = || Refusal::new(Code::Malformed, "the chain of charters");
    let mut charters = Vec::new();
    while !chain.is_empty() {
        let cut = chain.iter().take(16).position(|b| *b == b'\n').ok_or_else(malformed)?;
        let length = str::from_utf8(&chain[..cut]).ok().and_then(decimal).ok_or_else(malformed)?;
        let length = usize::try_from(length).map_err(|_| malformed())?;
        let (charter, rest) = chain[cut + 1..].split_at_checked(length).ok_or_else(malformed)?;
        charters.push(charter);
        chain = rest;
    }
    Ok(charters)
}

/// Follows a chain from a trusted charter, leaving out what is known already. Returns the new ones, oldest
/// first.
pub(crate) fn follow_chain(
    trusted: &Charter,
    known: &[Charter],
    chain: &[u8],
) -> Result<Vec<Charter>, Refusal> {
    let mut new: Vec<Charter> = Vec::new();
    for bytes in split_chain(chain)? {
        let newest = new.last().unwrap_or(trusted);
        let note = Note::parse(bytes)?;
        let (_, version) = announced(note.text())?;
        // bundle.md §4.11
        if version == newest.version() && Digest::of(note.text().as_bytes()) != newest.digest() {
            let detail = format!("another charter of version {version} than the one trusted here");
            return Err(Refusal::new(Code::CharterBroken, detail));
        }
        if version > newest.version() {
            // Whoever has followed these bytes from this charter would do it to the same end.
            let followed = |one: &&Charter| one.draft.prev == Some(newest.digest()) && one.bytes == bytes;
            let next = match known.iter().find(followed) {
                Some(followed) => followed.clone(),
                None => follow(newest, bytes)?,
            };
            new.push(next);
        }
    }
    Ok(new)
}
