//! The near side of a world: the real mint on a folder of its own, and the people who hold its offline keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use farside_crossing::{Breakglass, Charter, ReceiptCode, RecipientPublic, Signer as _, StaleMax, note};
use farside_mint::bundler::{self, ReceiptFault};
use farside_mint::calendar::profile::PROFILES;
use farside_mint::calendar::{self, Smithy, Wish};
use farside_mint::ceremony::own::{self, Changes, LogChange, OnlineChange};
use farside_mint::ceremony::{self, Roles};
use farside_mint::claims::Profile;
use farside_mint::config::{Home, Mint};
use farside_mint::control::{Command, IssuedToken, Reply, TokenOrder};
use farside_mint::desk::Desk;
use farside_mint::keys::{self, PairSigner, Passphrase, dangerous};
use farside_mint::orders::{self, ClaimWanted, NewOrder};
use farside_mint::release::{self, Document};
use farside_mint::revocation::{self, Order, What};
use farside_mint::site;
use farside_mint::store::{Audience, Kind as SubjectKind, SiteTerms, Store};
use farside_service::cli::Failure;
use farside_service::secret_file::Secret;

use super::clock;
use super::history::{Step, could, wrong};
use super::oracle::Key;
use super::scenario::{LEEWAY, SitePlan};

const REALM: &str = "acme";
const LOG: &str = "acme-log";
/// Everybody of the realm.
pub(super) const SUBJECTS: [&str; 4] = ["ada", "grace", "lander", "rover"];

/// A group, and who is in it.
pub(super) const GROUP: &str = "crew";
pub(super) const MEMBERS: [&str; 2] = ["grace", "rover"];

/// What people know of the mint: who holds which keys.
#[derive(Debug, Clone)]
pub(super) struct Known {
    people: [String; 2],
    online: u64,
    charters: u64,
}

/// The mint and its people.
pub(super) struct Near {
    pub(super) mint: Mint,
    desk: Option<Desk>,
    root: PairSigner,
    release: PairSigner,
    /// The files of these two.
    people: [String; 2],
    /// How many online keys there have been before this one.
    pub(super) online: u64,
    /// How many charters there have been.
    pub(super) charters: u64,
    made: u64,
}

fn passphrase() -> Passphrase {
    dangerous::dangerous_cheap_passphrase(Secret::new(b"correct horse battery".to_vec().into()))
}

/// The one audience of a site.
pub(super) fn audience(site: &str) -> String {
    format!("door-{site}")
}

/// What the site's people agreed on.
pub(super) fn terms(plan: &SitePlan) -> SiteTerms {
    SiteTerms {
        issuer: format!("https://gate.{}.example", plan.name),
        audiences: vec![Audience {
            name: audience(&plan.name),
            stale_seconds_max: StaleMax::default(),
            logged: plan.logged,
            breakglass: Breakglass::Allowed,
            single_use: false,
            holder_bound: false,
        }],
        algorithm: plan.algorithm,
        lifetime_seconds_default: plan.lifetime_max,
        lifetime_seconds_max: plan.lifetime_max,
        token_bytes_max: 1024,
        leeway_seconds: LEEWAY,
        courier_seconds: plan.courier,
        every_seconds: plan.every,
        roles_allowed: None,
        profiles: vec!["access".into(), "lean".into()],
        sealed: plan.sealed,
        status_claim: false,
        cedar: None,
    }
}

impl Near {
    /// Founds a realm with people in it.
    pub(super) fn found(folder: &Path, now: u64) -> Near {
        let home = Home(folder.to_owned());
        std::fs::create_dir_all(home.keys()).expect("a folder for keys");
        let people = ["root-0".to_owned(), "release-0".to_owned()];
        let [root, release] = people.each_ref().map(|name| signer(folder, name));
        keys::create_signer(&home.online_key(), "online-0", &passphrase()).expect("an online key");
        keys::create_log(&home.log_key(), LOG, &passphrase()).expect("a log key");
        let store = Store::create(&home.database(), REALM, now).expect("a database");
        std::fs::write(home.config(), format!("realm = \"{REALM}\"\n")).expect("a configuration");
        let mint = Mint::open(&home.config()).expect("a mint");
        let mut near = Near { mint, desk: None, root, release, people, online: 0, charters: 1, made: 0 };
        let charter = near.charter(&store, &[], Changes::default(), now).expect("a first charter");
        assert_eq!(charter.version(), 1);
        farside_mint::import::add(&store, &entry(GROUP, farside_mint::import::What::Group)).expect("a group");
        SUBJECTS.iter().for_each(|name| add_subject(&store, name));
        drop(store);
        near.start(now).expect("a mint that starts");
        near
    }

    /// Starts the mint.
    pub(super) fn start(&mut self, now: u64) -> Result<(), Failure> {
        clock::set(now);
        let (desk, _) = Desk::open_by((clock::micros, clock::reading), &self.mint, passphrase(), now)?;
        self.desk = Some(desk);
        Ok(())
    }

    /// Ends it.
    pub(super) fn stop(&mut self) {
        self.desk = None;
    }

    pub(super) fn desk(&self) -> &Desk {
        self.desk.as_ref().expect("the mint runs")
    }

    fn store(&self) -> &Store {
        self.desk().issuer().store()
    }

    fn folder(&self) -> &Path {
        &self.mint.home.0
    }

    pub(super) fn add_subject(&self, name: &str) {
        add_subject(self.store(), name);
    }

    pub(super) fn add_site(&self, plan: &SitePlan, now: u64) -> Step {
        could("a site is added", site::add(self.store(), &plan.name, &terms(plan), now))
    }

    pub(super) fn enrol(&self, site: &str, recipient: &RecipientPublic) -> Step {
        could("a site is enrolled", site::enrol(self.store(), site, recipient))
    }

    pub(super) fn set_terms(&self, site: &str, terms: &SiteTerms, now: u64) -> Step {
        could("terms are changed", site::set(self.store(), site, terms, now))
    }

    pub(super) fn place_order(&self, site: &str, subject: &str, lifetime: u64, now: u64) -> Step {
        let order = NewOrder {
            site: site.to_owned(),
            subject: subject.to_owned(),
            audience: audience(site),
            lifetime_seconds: Some(lifetime),
            roles: None,
            profile: Profile::Access,
            claim: ClaimWanted::File,
            confirmation: None,
        };
        could("an order is placed", orders::add(self.store(), &order, now)).map(drop)
    }

    /// Makes the keys of the coming periods. They still have to be released.
    pub(super) fn plan_keys(
        &self,
        site: &SitePlan,
        from: Option<u64>,
        periods: usize,
        now: u64,
    ) -> Step<Vec<Key>> {
        let wish = Wish {
            periods,
            sign_from: from,
            cryptoperiod_seconds: Some(site.cryptoperiod),
            ..Wish::new(&PROFILES[0])
        };
        let plan = could("a calendar is drafted", calendar::draft(self.store(), &site.name, &wish, now))?;
        let (home, store, passphrase) = (&self.mint.home, self.store(), &passphrase());
        let smithy = Smithy { token: None, home, store, passphrase };
        let made = could("keys are made", smithy.make(&[(&site.name, &plan)], now))?;
        let key = |(kid, period): (String, &keys::Period)| Key {
            kid,
            sign_from: period.sign_from,
            sign_until: period.sign_until,
            accept_until: period.accept_until,
        };
        Ok(made.into_iter().zip(plan.periods()).map(key).collect())
    }

    /// Has release people sign a site's document.
    pub(super) fn release(&self, site: &str, document: &Document, now: u64) -> Step {
        let draft = could("a document is drafted", release::draft(self.store(), site, document, now))?;
        let adopted = release::sign_and_adopt(self.store(), &draft, &[&self.release], now);
        could("a document is adopted", adopted).map(drop)
    }

    /// Whether there is leave that a new release key has to give once more.
    pub(super) fn has_pardons(&self, site: &str) -> bool {
        let newest = self.store().read(|tx| release::newest(tx, site, release::Kind::Pardon));
        newest.expect("the mint's store reads").is_some()
    }

    pub(super) fn revoke(&self, site: &str, what: &What, before: Option<u64>, now: u64) -> Step {
        let whole = matches!(what, What::Token { .. } | What::Key(_));
        let order = Order {
            what: what.clone(),
            site: (!whole).then(|| site.to_owned()),
            before,
            reason: "by the dice".into(),
            by: "simulator".into(),
        };
        could("a revocation", revocation::revoke(self.store(), &order, now)).map(drop)
    }

    /// The client id that the mint has given somebody.
    pub(super) fn client_id(&self, subject: &str) -> String {
        let directory = self.store().directory().expect("the mint's directory reads");
        directory.subject(subject).expect("a subject").client_id.clone()
    }

    pub(super) fn receipt(&self, site: &str, seq: u64, code: &ReceiptCode, now: u64) -> Step<bool> {
        match bundler::receipt(self.store(), site, seq, code, now) {
            // The gate shows the same code until the next bundle, and more than one person may carry it back.
            Ok(()) | Err(ReceiptFault::Already { .. }) => Ok(true),
            Err(fault) if fault.is_wrong_code() => Ok(false),
            Err(fault) => could("a receipt is taken", Err(fault)),
        }
    }

    /// Asks for a token as a command does.
    pub(super) fn issue(
        &self,
        site: &str,
        subject: &str,
        lifetime: u64,
        now: u64,
    ) -> Result<IssuedToken, Failure> {
        let order = TokenOrder {
            operator: "simulator".into(),
            site: Some(site.to_owned()),
            subject: subject.to_owned(),
            audience: audience(site),
            roles: None,
            groups: Vec::new(),
            lifetime_seconds: Some(lifetime),
            profile: if self.made.is_multiple_of(3) { Profile::Lean } else { Profile::Access },
            confirmation: None,
            stapled: false,
        };
        match self.desk().carry_out(&Command::IssueToken(order), now)? {
            Reply::Token(token) => Ok(token),
            _ => Err(Failure::could_not("an answer to another question")),
        }
    }

    /// Has a bundle made besides those of the cadence.
    pub(super) fn make(
        &self,
        site: &str,
        kind: farside_crossing::Kind,
        since: Option<u64>,
        now: u64,
    ) -> Result<u64, Failure> {
        let operator = "simulator".to_owned();
        let order = Command::MakeBundle { site: site.to_owned(), kind, since, operator };
        match self.desk().carry_out(&order, now)? {
            Reply::Bundle(made) => Ok(made.seq),
            _ => Err(Failure::could_not("an answer to another question")),
        }
    }

    /// Number of the newest bundle of a site, and how many leaves its log has.
    pub(super) fn newest(&self, site: &str) -> (u64, u64) {
        let directory = self.store().directory().expect("the mint's directory reads");
        let seq = directory.site(site).expect("the site stands").last_seq();
        (seq, self.desk().issuer().log().len(site))
    }

    pub(super) fn outbox(&self, site: &str, seq: u64) -> PathBuf {
        self.mint.home.outbox(site).join(format!("{site}-{seq:08}.fbundle"))
    }

    /// A new charter, adopted: with the keys there are but for `changes`, and `more` root signers who agree.
    fn charter(&self, store: &Store, more: &[&PairSigner], changes: Changes, now: u64) -> Step<Charter> {
        let chain = could("the charters are read", ceremony::chain(store))?;
        let newest = chain.last();
        let roles = Roles {
            root: (vec![self.root.public().clone()], 1),
            release: (vec![self.release.public().clone()], 1),
            online: could("the online key", own::online(&self.mint, newest, changes.online))?,
            log: could("the log's key", own::log(&self.mint, newest, changes.log))?,
            breakglass: None,
        };
        let online = roles.online.0.last().expect("an online signer").clone();
        let draft = could("a charter is drafted", ceremony::draft(REALM, newest, roles, now))?;
        let text = could("a charter is spelled", draft.text())?;
        let mut signers: Vec<&dyn farside_crossing::Signer> = vec![&self.root];
        signers.extend(more.iter().map(|signer| *signer as &dyn farside_crossing::Signer));
        let signed = could("a charter is signed", note::sign(&text, &signers))?;
        could("a charter is adopted", ceremony::adopt(store, &signed, &online, now))
    }

    /// Root people hand over to new ones.
    pub(super) fn rotate_root(&mut self, now: u64) -> Step {
        let fresh = self.signer(0, "root");
        let old = std::mem::replace(&mut self.root, fresh);
        self.charters += 1;
        self.charter(self.store(), &[&old], Changes::default(), now).map(drop)
    }

    /// Release people hand over to new ones. What the old ones signed must be signed again.
    pub(super) fn rotate_release(&mut self, now: u64) -> Step {
        self.charters += 1;
        self.release = self.signer(1, "release");
        self.charter(self.store(), &[], Changes::default(), now).map(drop)
    }

    /// The mint gets a new online key, while it runs. Made beforehand, since here it may cost nothing.
    pub(super) fn rotate_online(&mut self, now: u64) -> Step {
        self.online += 1;
        self.charters += 1;
        let name = format!("online-{}", self.charters);
        let file = self.mint.home.keys().join(format!("{name}.key"));
        could("an online key", keys::create_signer(&file, &name, &passphrase()))?;
        let changes = Changes { online: OnlineChange::Replace, ..Changes::default() };
        self.charter(self.store(), &[], changes, now).map(drop)
    }

    /// The log gets a new key, while the mint runs; in an emergency the old one is believed no more.
    pub(super) fn rotate_log(&mut self, log: LogChange, now: u64) -> Step {
        self.charters += 1;
        let file = self.mint.home.keys().join(format!("log-{}.key", self.charters));
        could("a log key", keys::create_log(&file, LOG, &passphrase()))?;
        let changes = Changes { log, ..Changes::default() };
        self.charter(self.store(), &[], changes, now).map(drop)
    }

    fn signer(&mut self, place: usize, role: &str) -> PairSigner {
        self.made += 1;
        self.people[place] = format!("{role}-{}", self.made);
        signer(self.folder(), &self.people[place])
    }

    /// What people know beside the mint's folder.
    pub(super) fn known(&self) -> Known {
        Known { people: self.people.clone(), online: self.online, charters: self.charters }
    }

    /// The folder is an old copy now: its people are those of then.
    pub(super) fn forget_since(&mut self, known: Known) {
        let open = |name: &String| {
            let path = self.folder().join(format!("{name}.key"));
            keys::open_signer(&path, &passphrase()).expect("it opens")
        };
        let [root, release] = known.people.each_ref().map(open);
        (self.root, self.release) = (root, release);
        let Known { people, online, charters } = known;
        (self.people, self.online, self.charters) = (people, online, charters);
    }

    /// The charter in force, as gates trust it.
    pub(super) fn newest_charter(&self) -> Step<Charter> {
        could("the charter is read", ceremony::newest(self.store()))
    }

    /// Copies everything but the lock, as a backup does.
    pub(super) fn copy_to(&self, folder: &Path) {
        copy(self.folder(), folder, &["lock", "outbox"]);
    }

    /// Copies the whole disk, lock and all.
    pub(super) fn copy_disk(&self, folder: &Path) {
        copy(self.folder(), folder, &[]);
    }

    /// Puts such a copy in place of what is there.
    pub(super) fn swap_disk(&self, folder: &Path) {
        std::fs::remove_dir_all(self.folder()).expect("the mint's folder can be removed");
        copy(folder, self.folder(), &[]);
    }

    /// Puts a copy in place of what is there, the lock left as it is; answers what was there.
    pub(super) fn swap(&self, copy_folder: &Path, lock: bool) {
        let aside = self.folder().with_extension("aside");
        std::fs::rename(self.folder(), &aside).expect("the mint's folder can be moved");
        copy(copy_folder, self.folder(), &[]);
        if lock {
            copy(&aside.join("lock"), &self.folder().join("lock"), &[]);
        }
    }

    /// The copy stays: what was there is no more, but for the bundles in the outbox.
    pub(super) fn keep_swapped(&self) {
        let aside = self.folder().with_extension("aside");
        copy(&aside.join("outbox"), &self.folder().join("outbox"), &[]);
        std::fs::remove_dir_all(&aside).expect("the old folder can be removed");
    }

    /// Undoes [`Near::swap`].
    pub(super) fn swap_back(&self) {
        let aside = self.folder().with_extension("aside");
        std::fs::remove_dir_all(self.folder()).expect("a copy can be removed");
        std::fs::rename(&aside, self.folder()).expect("the mint's folder can be moved back");
    }

    /// Every token in the log, by its id: the digest of what was signed.
    pub(super) fn logged(&self) -> Step<Vec<(String, String)>> {
        let mut tokens = Vec::new();
        let read = farside_mint::log::read(&self.mint.home.log(), |record| {
            if let farside_mint::log::Entry::Token(token) = &record.entry {
                let id = farside_verify::leaf::TokenPosition::new(&record.shard, record.index);
                let id = id.expect("a position in the log").to_string();
                tokens.push((id, token.signing_input_sha256.clone()));
            }
        });
        could("the log is read", read).map(|()| tokens)
    }
}

fn signer(folder: &Path, name: &str) -> PairSigner {
    let path = folder.join(format!("{name}.key"));
    keys::create_signer(&path, name, &passphrase()).expect("a signer's key");
    keys::open_signer(&path, &passphrase()).expect("it opens")
}

fn add_subject(store: &Store, name: &str) {
    let member = MEMBERS.contains(&name);
    let what = farside_mint::import::What::Subject {
        kind: SubjectKind::Bot,
        display: String::new(),
        groups: member.then(|| GROUP.to_owned()).into_iter().collect(),
        client_id: None,
        jwks: None,
    };
    farside_mint::import::add(store, &entry(name, what)).expect("a subject");
}

fn entry(name: &str, what: farside_mint::import::What) -> farside_mint::import::Entry {
    let roles = BTreeSet::from(["operator".to_owned()]);
    farside_mint::import::Entry { line: 0, name: name.into(), what, roles, enabled: true }
}

/// Copies a folder, without what is called as one of `but` on its first level.
pub(super) fn copy(from: &Path, to: &Path, but: &[&str]) {
    std::fs::create_dir_all(to).expect("a folder for a copy");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry");
        if but.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let target = to.join(entry.file_name());
        match entry.file_type().expect("its type").is_dir() {
            true => copy(&entry.path(), &target, &[]),
            false => std::fs::copy(entry.path(), &target).map(drop).expect("a file can be copied"),
        }
    }
}

/// Refuses what nobody foresaw.
pub(super) fn refused_as_foreseen(failure: &Failure, foreseen: bool, what: &str) -> Step {
    if foreseen {
        Ok(())
    } else {
        wrong("what is asked by the book can be done", format!("{what}: {failure}"))
    }
}
