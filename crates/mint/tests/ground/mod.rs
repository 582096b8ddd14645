//! A small realm on disk for tests: one root, one release signer, one site with a key and a policy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use farside_crossing::{
    Claim, Digest, Head, Kind, Logged, Parcel, RecipientSecret, Signer, SignerPublic, note,
};
use farside_mint::bundler::{self, Books, BundleFault, Issuance, IssuanceFault, Made, Order};
use farside_mint::calendar::profile::PROFILES;
use farside_mint::calendar::{self, Smithy, Wish};
use farside_mint::ceremony::{self, Roles};
use farside_mint::config::Home;
use farside_mint::keys::{self, LogKeyFile, PairSigner, Passphrase};
use farside_mint::log::{IssuanceLog, LockedBundle, LogFault, Opening, TokenEntry};
use farside_mint::release;
use farside_mint::revocation::{self, What};
use farside_mint::site;
use farside_mint::store::{Audience, Site, SiteTerms, Store};
use farside_service::journal::Journal;
use farside_service::secret_file::Secret;
use farside_service::time::now_unix_micros;
use farside_verify::Algorithm;
use farside_verify::encode::base64url;
use farside_verify::merkle::Hash;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const SITE: &str = "plant-7";
pub(crate) const RECIPIENT_SEED: [u8; 32] = [7; 32];

pub(crate) struct Realm {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) home: Home,
    pub(crate) store: Store,
    pub(crate) online: PairSigner,
    pub(crate) release: PairSigner,
    pub(crate) root: PairSigner,
}

pub(crate) fn passphrase() -> Passphrase {
    Passphrase::new(Secret::new(b"correct horse battery".to_vec().into()))
}

pub(crate) fn signer(folder: &std::path::Path, name: &str) -> PairSigner {
    let path = folder.join(format!("{name}.key"));
    keys::create_signer(&path, name, &passphrase()).unwrap();
    keys::open_signer(&path, &passphrase()).unwrap()
}

pub(crate) fn roles(
    root: &[&PairSigner],
    k: usize,
    release: &[&PairSigner],
    online: &PairSigner,
    log: &str,
) -> Roles {
    let lines = |signers: &[&PairSigner]| -> Vec<SignerPublic> {
        signers.iter().map(|signer| signer.public().clone()).collect()
    };
    Roles {
        root: (lines(root), k),
        release: (lines(release), release.len()),
        online: (vec![online.public().clone()], 1),
        log: vec![log.parse().unwrap()],
        breakglass: None,
    }
}

pub(crate) fn log_key(folder: &std::path::Path) -> String {
    keys::create_log(&folder.join("log.key"), "acme-log", &passphrase()).unwrap().to_string()
}

/// A realm without site.
pub(crate) fn founded() -> Realm {
    let folder = tempfile::tempdir().unwrap();
    let home = Home(folder.path().join("near"));
    std::fs::create_dir_all(home.keys()).unwrap();
    let [root, release, online] = ["root-1", "release-1", "online"].map(|name| signer(folder.path(), name));
    let store = Store::create(&home.database(), "acme", NOW).unwrap();
    let log = log_key(folder.path());
    let draft = ceremony::draft("acme", None, roles(&[&root], 1, &[&release], &online, &log), NOW).unwrap();
    let charter = note::sign(&draft.text().unwrap(), &[&root]).unwrap();
    ceremony::adopt(&store, &charter, online.public(), NOW).unwrap();
    Realm { folder, home, store, online, release, root }
}

/// A realm with one enrolled site that can be sent bundles.
pub(crate) fn realm() -> Realm {
    let realm = founded();
    site::add(&realm.store, SITE, &plant(), NOW).unwrap();
    let recipient = RecipientSecret::from_seed(&RECIPIENT_SEED).public(SITE).unwrap();
    site::enrol(&realm.store, SITE, &recipient).unwrap();
    realm.new_key(NOW);
    realm.release_document(release::Document::Keys, NOW);
    realm.release_document(release::Document::Policy, NOW);
    realm
}

/// A revocation up to now, at every site.
pub(crate) fn revocation(what: What) -> revocation::Order {
    let (reason, by) = ("left".to_owned(), "uid 7".to_owned());
    revocation::Order { what, site: None, before: None, reason, by }
}

pub(crate) fn plant() -> SiteTerms {
    SiteTerms {
        issuer: "https://gate.plant-7.example".into(),
        audiences: vec![Audience {
            name: "press".into(),
            stale_seconds_max: Default::default(),
            logged: Logged::No,
            breakglass: Default::default(),
            single_use: false,
            holder_bound: false,
        }],
        algorithm: Algorithm::Es256,
        lifetime_seconds_default: 900,
        lifetime_seconds_max: 86_400,
        token_bytes_max: 1024,
        leeway_seconds: 60,
        courier_seconds: 86_400,
        every_seconds: 3_600,
        roles_allowed: None,
        profiles: vec!["access".into()],
        sealed: true,
        status_claim: false,
        cedar: None,
    }
}

impl Realm {
    pub(crate) fn smithy<'a>(&'a self, passphrase: &'a Passphrase) -> Smithy<'a> {
        Smithy { token: None, home: &self.home, store: &self.store, passphrase }
    }

    pub(crate) fn new_key(&self, now: u64) -> String {
        let wish = Wish::new(&PROFILES[0]);
        let plan = calendar::draft(&self.store, SITE, &wish, now).unwrap();
        self.smithy(&passphrase()).make(&[(SITE, &plan)], now).unwrap().remove(0)
    }

    pub(crate) fn release_document(&self, document: release::Document, now: u64) {
        let draft = release::draft(&self.store, SITE, &document, now).unwrap();
        release::sign_and_adopt(&self.store, &draft, &[&self.release], now).unwrap();
    }

    pub(crate) fn make(&self, kind: Kind, now: u64, issuance: &dyn Issuance) -> Result<Made, BundleFault> {
        self.make_since(kind, None, now, issuance)
    }

    pub(crate) fn make_since(
        &self,
        kind: Kind,
        since: Option<u64>,
        now: u64,
        issuance: &dyn Issuance,
    ) -> Result<Made, BundleFault> {
        let (journal, _) = Journal::open(&self.home.journal(), "mint").unwrap();
        let (home, store, online) = (&self.home, &self.store, &self.online);
        let books = Books { journal: &journal, by: "cadence" };
        bundler::make(&Order { home, store, site: SITE, kind, since, online, books, now }, issuance)
    }

    pub(crate) fn outbox(&self) -> Vec<PathBuf> {
        let Ok(listing) = std::fs::read_dir(self.home.outbox(SITE)) else { return Vec::new() };
        let mut files: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

/// Parcels as they are told, and a log of one shard.
pub(crate) struct Desk {
    pub(crate) log: Arc<IssuanceLog>,
    pub(crate) parcels: Mutex<Vec<Parcel>>,
    _folder: tempfile::TempDir,
}

impl Default for Desk {
    fn default() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opening = Opening {
            folder: &folder.path().join("log"),
            lock: &folder.path().join("lock/heads.db"),
            key: LogKeyFile::opened(keys::ephemeral_log("acme-log").unwrap()),
            clock: now_unix_micros,
            carried: &[],
        };
        let (log, _) = IssuanceLog::open(opening, NOW, 0).unwrap();
        Desk { log, parcels: Mutex::default(), _folder: folder }
    }
}

impl Desk {
    pub(crate) fn with_parcels(count: usize) -> Self {
        let parcel = |n| Parcel {
            token: format!("eyJ.{n}.sig"),
            sub: format!("bot-{n}"),
            aud: Some("press".into()),
            claim: Claim::File,
        };
        let desk = Self::default();
        *desk.parcels.lock().unwrap() = (0..count).map(parcel).collect();
        desk.grow(count);
        desk
    }

    pub(crate) fn grow(&self, count: usize) {
        let entry = |index: u64| TokenEntry {
            requester: "order:1".into(),
            subject: format!("bot-{index}"),
            audience: "press".into(),
            expires_at: NOW + 900,
            kid: "x7QdT0aB".into(),
            profile: "access".into(),
            signing_input_sha256: base64url(Digest::of(&index.to_be_bytes()).as_bytes()),
            assertion: None,
        };
        for _ in 0..count {
            let reservation = self.log.reserve(SITE, NOW).unwrap();
            let entry = entry(reservation.position().index());
            reservation.commit(entry).unwrap().wait().unwrap();
        }
    }
}

impl Issuance for Desk {
    fn parcels(&self, _: &Site, _: u64) -> Result<Vec<Parcel>, IssuanceFault> {
        Ok(self.parcels.lock().unwrap().clone())
    }

    fn sign_list(&self, _: &Site, _: &str, _: u64) -> Result<String, IssuanceFault> {
        Err(IssuanceFault("this desk holds no token keys".to_owned()))
    }

    fn shards(&self, site: &Site) -> Vec<String> {
        vec![site.name.clone()]
    }

    fn note(&self, bundle: &LockedBundle) -> Result<(), LogFault> {
        self.log.note_bundle(bundle)
    }

    fn publish(&self) -> Result<(), LogFault> {
        self.log.publish().map(drop)
    }

    fn signed_head(&self, shard: &str) -> Option<(Head, Vec<u8>)> {
        self.log.signed_head(shard)
    }

    fn leaf_hashes(&self, shard: &str, range: Range<u64>) -> Result<Vec<Hash>, LogFault> {
        self.log.leaves(shard, range)
    }

    fn edge(&self, shard: &str, size: u64) -> Result<Vec<Hash>, LogFault> {
        self.log.edge(shard, size)
    }

    fn consistency(&self, shard: &str, old: u64, size: u64) -> Result<Vec<Hash>, LogFault> {
        self.log.consistency(shard, old, size)
    }
}
