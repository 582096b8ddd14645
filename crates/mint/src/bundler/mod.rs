//! Packs what a site needs under the next number, and lets nobody ever see one number with two contents.
//!
//! ```text
//!   issue parcels ─▶ take leaves ─▶ pack ─▶ staging/ ─▶ commit number and digest ─▶ lock ─▶ outbox/<site>/
//!                          crash: no row, file thrown away │ crash: row, file published later
//! ```
//!
//! The database row decides: a staged file without its row is thrown away, and one with its row is published
//! as it is. The lock, which no backup restores, remembers the newest number: an old copy of the rows is
//! refused ([`rolled_back`]).

mod books;
mod charters;
mod content;
mod leave;
mod leaves;
mod receipt;
mod revoked;
mod stage;
pub(crate) mod status_lists;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use farside_crossing::{
    Base, Charter, Code, ComponentType, Digest, Draft, Head, Kind, ListsDocument, PackFault, Packed, Parcel,
    ReceiptCode, RecipientPublic, Refusal, SealContext, Signer, Writer, parcels::Packer,
};
use farside_service::append::Broken;
use farside_service::journal::RecordFault;
use farside_service::lock::{Exclusive, LockFault};
use farside_service::random;
use farside_verify::merkle::Hash;

use crate::ceremony::CharterFault;
use crate::config::Home;
use crate::log::index::IndexFault;
use crate::log::{LockedBundle, LogFault};
use crate::store::{Site, Store, StoreFault, signed};

pub use books::Books;
use content::Content;
pub use content::{Carried, list};
use leaves::Leaves;
pub use receipt::{GUESS_WINDOW_SECONDS, GUESSES_MAX, ReceiptFault, prove_receipt, receipt};
pub(crate) use revoked::{measure, way_out};
use status_lists::Term;

/// Courier rounds that may fail before a gate stops trusting what it holds.
pub const COURIERS_MISSED_MAX: u64 = 3;
/// How far the clock may be set back without a bundle's time following it: what gates tolerate as leeway.
pub const CLOCK_STEP_SECONDS_MAX: u64 = 60;
/// How long one bundler waits for another of the same site.
const TURN_WAIT: Duration = Duration::from_secs(60);
/// Bytes of a bundle's receipt nonce.
const NONCE_BYTES: usize = 16;

/// Where fresh tokens and log leaves come from: the issuing side of the mint.
pub trait Issuance {
    /// A fresh token for every enabled standing order of `site`, each already logged. Called before the
    /// bundle takes its number, so that no token waits for a bundle that was never made.
    fn parcels(&self, site: &Site, now: u64) -> Result<Vec<Parcel>, IssuanceFault>;
    /// Signs the claims of a status list with the token key of `site`.
    fn sign_list(&self, site: &Site, claims: &str, now: u64) -> Result<String, IssuanceFault>;
    /// The log shards that hold leaves of `site`.
    fn shards(&self, site: &Site) -> Vec<String>;
    /// Takes note of a bundle that is about to go out, where no backup restores it.
    fn note(&self, bundle: &LockedBundle) -> Result<(), LogFault>;
    /// Publishes heads over all that is durable.
    fn publish(&self) -> Result<(), LogFault>;
    /// The published head of `shard` and its checkpoint; `None` where it has no leaves.
    fn signed_head(&self, shard: &str) -> Option<(Head, Vec<u8>)>;
    /// The leaf hashes of that range.
    fn leaf_hashes(&self, shard: &str, range: Range<u64>) -> Result<Vec<Hash>, LogFault>;
    /// The right edge of the first `size` leaves.
    fn edge(&self, shard: &str, size: u64) -> Result<Vec<Hash>, LogFault>;
    /// The proof that the first `old` leaves are how those `size` leaves began.
    fn consistency(&self, shard: &str, old: u64, size: u64) -> Result<Vec<Hash>, LogFault>;
}

/// Why tokens could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct IssuanceFault(pub String);

/// What is to be packed, and by whom it is signed.
pub struct Order<'a> {
    /// The mint's folder.
    pub home: &'a Home,
    /// Its database.
    pub store: &'a Store,
    /// For which site.
    pub site: &'a str,
    /// What kind of bundle.
    pub kind: Kind,
    /// A size of the log that a gate named which is late by many bundles: a proof from there is brought.
    pub since: Option<u64>,
    /// The online signer.
    pub online: &'a dyn Signer,
    /// Where it is written down.
    pub books: Books<'a>,
    /// Now, in Unix seconds.
    pub now: u64,
}

/// A bundle that lies in the outbox.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Made {
    /// The site.
    pub site: String,
    /// The number.
    pub seq: u64,
    /// Its kind.
    pub kind: Kind,
    /// SHA-256 of the manifest's text.
    pub digest: Digest,
    /// The file.
    pub path: std::path::PathBuf,
    /// Its length in bytes.
    pub bytes: usize,
    /// Tokens carried.
    pub parcels: usize,
    /// Log leaves carried.
    pub leaves: u64,
}

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleFault {
    /// The site is unknown.
    #[error("there is no site {0}")]
    NoSite(String),
    /// The site is disabled.
    #[error("site {0} is disabled")]
    Disabled(String),
    /// Its bundles are sealed, and nobody has entered its recipient key.
    #[error("site {0} is not enrolled: its recipient key is not known here")]
    NotEnrolled(String),
    /// No calendar or policy has been adopted.
    #[error("site {site} has no adopted {kind} document")]
    NoDocument {
        /// The site.
        site: String,
        /// Which one.
        kind: &'static str,
    },
    /// A delta or beacon builds on a bundle, and there is none.
    #[error("site {0} has had no bundle yet that a delta or beacon could build on")]
    NoBase(String),
    /// What waits cannot ride in a bundle of that kind.
    #[error("for site {site} {why}, which only a full bundle brings")]
    FullFirst {
        /// The site.
        site: String,
        /// What waits.
        why: &'static str,
    },
    /// What is revoked does not fit into a bundle.
    #[error("what is revoked at site {site} has no room in a bundle: {detail}")]
    RevokedTooLarge {
        /// The site.
        site: String,
        /// How large it is, and how large it may be.
        detail: String,
    },
    /// Gates that follow the newest charter would refuse these documents.
    #[error("site {site}: the release people of charter {charter} have not signed the {kinds} in force")]
    Unreleased {
        /// The site.
        site: String,
        /// The charter in force.
        charter: u64,
        /// Which documents.
        kinds: String,
    },
    /// Somebody else took the number meanwhile, in spite of the lock.
    #[error("bundle number {0} was taken by another program")]
    NumberTaken(u64),
    /// A long receipt that the site's gate did not write.
    #[error("this is not the long receipt of bundle {1} of site {0}: another one's, or changed on the way")]
    NoReceipt(String, u64),
    /// The charter does not hold.
    #[error("{0}")]
    Charter(#[from] CharterFault),
    /// Tokens could not be had.
    #[error("{0}")]
    Issuance(#[from] IssuanceFault),
    /// The log could not be published or read.
    #[error("{0}")]
    Log(#[from] LogFault),
    /// Its index could not be read.
    #[error("{0}")]
    Index(#[from] IndexFault),
    /// The leaves that were read do not make the head that was signed.
    #[error("the leaves of log shard {shard} do not make its head at {size}: its tiles are damaged")]
    LeavesTorn {
        /// The shard.
        shard: String,
        /// The head's size.
        size: u64,
    },
    /// What was to be packed would be refused by the gate.
    #[error("the bundle could not be packed: {0}")]
    Pack(#[from] PackFault),
    /// A component could not be written.
    #[error("the bundle could not be packed: {0}")]
    Component(#[from] Refusal),
    /// Another bundler is at work for this site.
    #[error("{0}")]
    Turn(#[from] LockFault),
    /// What leaves must stand in the journal, and that takes nothing.
    #[error("the bundle could not be written down: {0}")]
    Record(#[from] RecordFault),
    /// The journal broke before the line was durable.
    #[error("the bundle could not be written down: {0}")]
    Journal(#[from] Broken),
    /// The disk failed.
    #[error("{0}")]
    Disk(#[from] farside_service::durable::Failed),
    /// No randomness.
    #[error("{0}")]
    Random(#[from] random::Failed),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for BundleFault {
    fn from(fault: rusqlite::Error) -> Self {
        Self::Store(fault.into())
    }
}

impl From<BundleFault> for farside_service::cli::Failure {
    fn from(fault: BundleFault) -> Self {
        let sentence = fault.to_string();
        match fault {
            BundleFault::Charter(fault) => fault.into(),
            BundleFault::Store(fault) => fault.into(),
            BundleFault::Log(fault) => fault.into(),
            BundleFault::LeavesTorn { .. } => Self::could_not(sentence)
                .hint("remove log/tiles, all of it, and start the mint again: it makes the tiles anew"),
            BundleFault::NotEnrolled(site) => Self::refused(sentence)
                .hint(format!("enter its gate's line with `mint site recipient {site} FILE`")),
            BundleFault::NoDocument { site, .. } => Self::refused(sentence)
                .hint(format!("make a key and release it with `mint keys new --site {site}`")),
            BundleFault::NoBase(_) => Self::refused(sentence).hint("make a full bundle first"),
            BundleFault::FullFirst { site, .. } => Self::refused(sentence)
                .hint(format!("make it with `mint bundle make --site {site} --kind full`")),
            BundleFault::RevokedTooLarge { site, .. } => Self::refused(sentence).hint(way_out(&site)),
            BundleFault::Unreleased { site, .. } => Self::refused(sentence)
                .hint(format!("have it signed again, unchanged: `mint release renew --site {site}`")),
            BundleFault::NoReceipt(..) => Self::refused(sentence)
                .hint("carry back what `farside gate receipt --long` prints, unchanged"),
            BundleFault::NoSite(_) | BundleFault::Disabled(_) => Self::refused(sentence),
            _ => Self::could_not(sentence),
        }
    }
}

/// Makes the next bundle for a site and puts it into the site's outbox.
pub fn make(order: &Order<'_>, issuance: &dyn Issuance) -> Result<Made, BundleFault> {
    let _turn = stage::take_turn(order.home, order.site, TURN_WAIT)?;
    stage::settle(order.home, order.store, order.site, issuance)?;
    let directory = order.store.directory()?;
    let site = directory.site(order.site).ok_or_else(|| BundleFault::NoSite(order.site.to_owned()))?;
    if !site.enabled {
        return Err(BundleFault::Disabled(site.name.clone()));
    }
    let content = order.store.read(|transaction| {
        Content::read(transaction, order.store.followed(), site, (order.kind, order.now))
    })?;
    let parcels = if order.kind == Kind::Beacon || !site.terms.sealed {
        Vec::new()
    } else {
        issuance.parcels(site, order.now)?
    };
    let Leaves { component, marks } = leaves::gather(order, site, &content, issuance)?;
    let nonce = random::bytes::<NONCE_BYTES>()?;
    let draft = draft(order, directory.realm(), site, &content);
    let term = Term { seq: draft.seq, issued_at: draft.issued_at, expires_at: draft.not_after };
    let lists = match order.kind {
        Kind::Beacon => None,
        _ => status_lists::gather(order, directory.realm(), site, &term, issuance),
    };
    let cargo = Cargo { site, parcels: &parcels, nonce: &nonce, lists: lists.as_ref() };
    let packed = pack(order, draft, &content, &cargo, component)?;
    check(order, &content, &packed)?;
    let leaves = marks.iter().map(|mark| mark.until - mark.first).sum();
    let carried = Carried {
        content: &content,
        packed: &packed,
        nonce: site.terms.sealed.then_some(nonce),
        marks: &marks,
    };
    order.books.packed(order.now, &packed, &carried.file(), parcels.len(), leaves)?;
    let path = stage::publish(order, &carried, issuance)?;
    order.books.made(order.now, &packed)?;
    Ok(Made {
        site: site.name.clone(),
        seq: packed.manifest.seq,
        kind: order.kind,
        digest: packed.digest,
        path,
        bytes: packed.bytes.len(),
        parcels: parcels.len(),
        leaves,
    })
}

/// The receipt code that the gate shows once it has applied that bundle.
pub fn expected_receipt(nonce: &[u8; NONCE_BYTES], seq: u64, digest: &Digest) -> ReceiptCode {
    ReceiptCode::new(nonce, seq, digest)
}

/// Finishes, for every site, what an interrupted bundler left behind. Harmless when there is nothing.
pub fn settle_all(home: &Home, store: &Store, issuance: &dyn Issuance) -> Result<(), BundleFault> {
    for site in store.directory()?.sites() {
        let _turn: Exclusive = stage::take_turn(home, &site.name, TURN_WAIT)?;
        stage::settle(home, store, &site.name, issuance)?;
    }
    Ok(())
}

/// Why this database must not be gone on with, by the bundles that have gone out, as the lock names them: it
/// would give their numbers a second time. `locked` is `None` where there is no lock.
// log.md §4.3 (e) and (g)
pub fn rolled_back(
    store: &Store,
    lock: &Path,
    locked: Option<&[LockedBundle]>,
) -> Result<Option<LogFault>, StoreFault> {
    store.read(|transaction| {
        let Some(locked) = locked else {
            let made = "SELECT EXISTS (SELECT 1 FROM bundle)";
            let made: bool = transaction.query_row(made, [], |row| row.get(0))?;
            return Ok(made.then(|| LogFault::LockMissing { path: lock.to_owned() }));
        };
        for LockedBundle { site, seq, digest } in locked {
            let held: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM bundle WHERE site = ?1 AND seq = ?2 AND digest = ?3)",
                (site, signed(*seq), digest),
                |row| row.get(0),
            )?;
            if !held {
                return Ok(Some(LogFault::BundleLost { site: site.clone(), seq: *seq }));
            }
        }
        Ok(None)
    })
}

struct Cargo<'a> {
    site: &'a Site,
    parcels: &'a [Parcel],
    nonce: &'a [u8; NONCE_BYTES],
    lists: Option<&'a ListsDocument>,
}

fn draft(order: &Order<'_>, realm: &str, site: &Site, content: &Content) -> Draft {
    // bundle.md §10.8: gates refuse a bundle issued before the last one, so a clock that was corrected by a
    // little stands still here. One that was wrong by more is followed: gates have refused those bundles as
    // well, or root gives them a way back (§13.10).
    let ahead = content.last_issued_at.saturating_sub(order.now);
    let issued_at = if ahead <= CLOCK_STEP_SECONDS_MAX { order.now + ahead } else { order.now };
    // The next bundle is made after `every` and applied at most one courier interval later.
    let next_by = issued_at + site.terms.every_seconds + site.terms.courier_seconds;
    Draft {
        realm: realm.to_owned(),
        site: site.name.clone(),
        seq: content.seq,
        prev: content.prev,
        kind: order.kind,
        base: content.base.as_ref().filter(|_| order.kind != Kind::Full).map(|base| Base { ..base.mark }),
        issued_at,
        not_after: next_by + COURIERS_MISSED_MAX * site.terms.courier_seconds,
        next_by,
    }
}

fn pack(
    order: &Order<'_>,
    draft: Draft,
    content: &Content,
    cargo: &Cargo<'_>,
    leaves: Vec<u8>,
) -> Result<Packed, BundleFault> {
    let journals = books::heads(order.home)?;
    if order.kind == Kind::Beacon {
        return Ok(Writer::new(draft).journals(journals).finish(&[order.online])?);
    }
    let (realm, seq) = (draft.realm.clone(), draft.seq);
    let newest = content.charters.newest();
    let changed = |version: u64, base: fn(&content::BaseRow) -> u64| {
        order.kind == Kind::Full || content.base.as_ref().is_none_or(|held| base(held) != version)
    };
    let (keys, policy) = (
        changed(content.keys.0, |base| base.keys_version).then_some(&content.keys.1),
        changed(content.policy.0, |base| base.policy_version).then_some(&content.policy.1),
    );
    refuse_unreleased(order.store, content, &cargo.site.name, [("keys", keys), ("policy", policy)])?;
    let status = content.status(&realm, order.now);
    let writer = Writer::new(draft).journals(journals).status(&status);
    let mut writer = writer.map_err(|fault| match fault {
        PackFault::Unfit(refusal) if refusal.code() == Code::TooLarge => BundleFault::RevokedTooLarge {
            site: cargo.site.name.clone(),
            detail: refusal.detail().to_owned(),
        },
        fault => fault.into(),
    })?;
    if changed(newest.version(), |base| base.charter_version) {
        let notes: Vec<&[u8]> = carried(order, content).iter().map(|charter| charter.bytes()).collect();
        writer = writer.charters(newest.version(), &notes);
    }
    if let Some(note) = keys {
        writer = writer.keys(note)?;
    }
    if let Some(note) = policy {
        writer = writer.policy(note)?;
    }
    writer = content.leave.add_to(writer, newest, (order.kind, seq))?;
    if let Some(lists) = cargo.lists {
        writer = writer.lists(lists)?;
    }
    if !leaves.is_empty() {
        writer = writer.leaves(leaves);
    }
    if let Some(recipient) = content::recipient(cargo.site)? {
        writer = writer.parcels(seal(
            &recipient,
            SealContext { realm: &realm, site: &cargo.site.name, seq },
            cargo,
        )?);
    }
    Ok(writer.finish(&[order.online])?)
}

fn carried<'c>(order: &Order<'_>, content: &'c Content) -> &'c [Charter] {
    content.charters.carried(order.kind, content.base.as_ref().map(|base| base.charter_version))
}

/// Refuses to carry what gates refuse: after a change of the release role its people sign again what stands.
// bundle.md §6.1
fn refuse_unreleased(
    store: &Store,
    content: &Content,
    site: &str,
    documents: [(&str, Option<&Vec<u8>>); 2],
) -> Result<(), BundleFault> {
    let (followed, release) = (store.followed(), content.charters.newest().release());
    let lacks = |note: &Vec<u8>| !followed.released(release, note);
    let unreleased = documents.iter().filter(|(_, note)| note.is_some_and(lacks));
    let kinds: Vec<&str> = unreleased.map(|(kind, _)| *kind).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    let (site, charter) = (site.to_owned(), content.charters.newest().version());
    Err(BundleFault::Unreleased { site, charter, kinds: kinds.join(" and ") })
}

/// Opens what was packed as a gate will that is as far as the bundle before: what would be refused there
/// never leaves the house.
fn check(order: &Order<'_>, content: &Content, packed: &Packed) -> Result<(), BundleFault> {
    let trusted = match packed.manifest.component(ComponentType::Charter) {
        None => content.charters.newest(),
        Some(_) => content.charters.trusted_before(carried(order, content)),
    };
    farside_crossing::bundle::open_knowing(&packed.bytes, trusted, content.charters.chain(), order.site)?;
    Ok(())
}

fn seal(
    recipient: &RecipientPublic,
    context: SealContext<'_>,
    cargo: &Cargo<'_>,
) -> Result<Vec<u8>, BundleFault> {
    let mut packer = Packer::new(recipient, context, cargo.nonce, &random::bytes::<32>()?)?;
    for parcel in cargo.parcels {
        packer.push(parcel)?;
    }
    Ok(packer.finish()?)
}
