//! Rotation of a thousand sites: what the mint does when the calendar of all of them is made, and when all of
//! them go from one key to the next at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use farside_crossing::{Logged, Signer, note};
use farside_mint::bundler::Books;
use farside_mint::calendar::profile::PROFILES;
use farside_mint::calendar::{self, Plan, Smithy, Wish};
use farside_mint::ceremony::{self, Roles};
use farside_mint::config::{Home, Mint};
use farside_mint::desk::Desk;
use farside_mint::keys::{self, PairSigner, Passphrase};
use farside_mint::release::{self, Document};
use farside_mint::rotation::{Rotation, Scene};
use farside_mint::site;
use farside_mint::status;
use farside_mint::store::{Audience, SiteTerms, Store, StoreFault};
use farside_service::journal::Journal;
use farside_service::secret_file::Secret;
use farside_service::time::Reading;
use farside_verify::Algorithm;

const SITES: usize = 1_000;
const PERIODS: usize = 4;
/// Tokens that are revoked at each site in the end.
const REVOKED: u64 = 1_000;
const DAY: u64 = 86_400;
const START: u64 = 1_800_000_000;

/// The clock of the mint under test, in microseconds.
static CLOCK: AtomicU64 = AtomicU64::new(START * 1_000_000);

fn clock() -> u64 {
    CLOCK.fetch_add(1, Ordering::Relaxed)
}

/// Both clocks of a machine that never starts anew.
fn reading() -> Reading {
    let ms = CLOCK.load(Ordering::Relaxed) / 1_000;
    Reading { wall_ms: ms, boot_ms: ms, boot: "the only one".to_owned() }
}

fn passphrase() -> Passphrase {
    Passphrase::new(Secret::new(b"bench bench bench".to_vec().into()))
}

/// Prints the figures of rotation.
pub(crate) fn run() {
    let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
    let (mint, store, release) = found(&folder);
    let names: Vec<String> = (0..SITES).map(|n| format!("site-{n:04}")).collect();
    for name in &names {
        site::add(&store, name, &terms(name), START).expect("a site");
    }
    let secret = passphrase();
    timed("plan_1000_sites_4_keys_s", || {
        let wish = Wish { periods: PERIODS, ..Wish::new(&PROFILES[0]) };
        let draft =
            |name: &String| calendar::draft(&store, name, &wish, START).expect("a calendar that works");
        let plans: Vec<Plan> = names.iter().map(draft).collect();
        let plans: Vec<(&str, &Plan)> = names.iter().map(String::as_str).zip(&plans).collect();
        let smithy = Smithy { token: None, home: &mint.home, store: &store, passphrase: &secret };
        smithy.make(&plans, START).expect("keys");
    });
    timed("release_1000_sites_s", || {
        let sign = |name: &String, document: &Document| {
            let draft = release::draft(&store, name, document, START).expect("a draft");
            note::sign(&draft.text, &[&release]).expect("a signature")
        };
        let both = |name: &String| [sign(name, &Document::Keys), sign(name, &Document::Policy)];
        let notes: Vec<Vec<u8>> = names.iter().flat_map(both).collect();
        let notes: Vec<&[u8]> = notes.iter().map(Vec::as_slice).collect();
        release::adopt_all(&store, &notes, START).expect("they are in force");
    });
    let desk = timed("open_1000_sites_s", || {
        let desk = Desk::open_by((clock, reading), &mint, passphrase(), START).expect("a log").0;
        desk.issuer().warm_up(START).expect("keys that open");
        desk
    });
    timed("first_bundles_1000_sites_s", || desk.round(START + 2 * DAY));

    let end = START + 90 * DAY;
    CLOCK.store(end * 1_000_000, Ordering::Relaxed);
    let (journal, _) = Journal::open(&mint.home.journal(), "bench").expect("a journal");
    let books = Books { journal: &journal, by: "bench" };
    let scene = Scene { home: &mint.home, store: &store, passphrase: &secret, books, now: end, doubt: None };
    let rotation = Rotation::default();
    let gone = timed("take_over_and_destroy_1000_sites_s", || rotation.round(&scene).expect("a round"));
    assert_eq!(gone.token_kids.len(), SITES, "every site's first key has ended");
    timed("bundles_1000_sites_s", || desk.round(end));
    let directory = store.directory().expect("a directory");
    assert!(directory.sites().all(|site| site.last_seq() == 2), "every site has its bundle");

    revoke_tokens(&store, end);
    let measured = status::Measured::default();
    let look = || status::look(&mint, &store, end, (None, &measured)).expect("a look");
    timed("status_1000_sites_1000_revoked_each_s", look);
    let seen = timed("status_1000_sites_again_s", look);
    assert!(seen.sites.iter().all(|site| site.revoked.entries == REVOKED), "all of it was looked at");
}

/// Revokes as many tokens at every site, as if each had been revoked by itself.
fn revoke_tokens(store: &Store, now: u64) {
    let revoked = store.write(|transaction| {
        transaction.execute(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)
             INSERT INTO revocation (site, kind, what, before, expires_at, reason, by, at)
             SELECT name, 'token', name || '-' || (i * 97), 0, ?2 + 86400, 'lost', 'bench', ?2 FROM site, n",
            (REVOKED as i64, now as i64),
        )?;
        Ok::<_, StoreFault>(())
    });
    revoked.expect("they are revoked");
}

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    println!("{name} {:.2}", start.elapsed().as_secs_f64());
    done
}

fn found(folder: &tempfile::TempDir) -> (Mint, Store, PairSigner) {
    let home = Home(folder.path().to_owned());
    let store = Store::create(&home.database(), "bench", START).expect("a database");
    std::fs::write(home.config(), "realm = \"bench\"\n").expect("a configuration");
    for folder in [home.keys(), home.offline()] {
        std::fs::create_dir(folder).expect("a folder for keys");
    }
    let mint = Mint::open(&home.config()).expect("the configuration just written");
    let secret = passphrase();
    let [root, release] = ["root-1", "release-1"].map(|name| {
        keys::create_signer_in(&home.offline(), name, &secret).expect("a key");
        keys::open_signer(&home.offline().join(format!("{name}.key")), &secret).expect("that key")
    });
    let online = keys::create_signer(&home.online_key(), "online", &secret).expect("a key");
    let log = keys::create_log(&home.log_key(), "bench-log", &secret).expect("a key");
    let roles = Roles {
        root: (vec![root.public().clone()], 1),
        release: (vec![release.public().clone()], 1),
        online: (vec![online.clone()], 1),
        log: vec![log],
        breakglass: None,
    };
    let draft = ceremony::draft("bench", None, roles, START).expect("a charter");
    let charter = note::sign(&draft.text().expect("its text"), &[&root]).expect("signed");
    ceremony::adopt(&store, &charter, &online, START).expect("in force");
    (mint, store, release)
}

pub(crate) fn terms(name: &str) -> SiteTerms {
    SiteTerms {
        issuer: format!("https://gate.{name}.example"),
        audiences: vec![Audience {
            name: format!("press-{name}"),
            stale_seconds_max: farside_crossing::policy::StaleMax::default(),
            logged: Logged::No,
            breakglass: Default::default(),
            single_use: false,
            holder_bound: false,
        }],
        algorithm: Algorithm::Es256,
        lifetime_seconds_default: 900,
        lifetime_seconds_max: DAY,
        token_bytes_max: 1024,
        leeway_seconds: 60,
        courier_seconds: DAY,
        every_seconds: 3_600,
        roles_allowed: None,
        profiles: vec!["access".into()],
        sealed: false,
        status_claim: false,
        cedar: None,
    }
}
