//! Issuing: signing against `jsonwebtoken`, and tokens over HTTP by 64 clients at once against what the bare
//! signature and the disk's group-committed fsync allow, in the same run on the same disk.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
};
use base64::Engine as _;
use farside_mint::claims::Profile;
use farside_mint::config::{Home, Mint};
use farside_mint::issue::Issuer;
use farside_mint::judge::{IssueRequest, Requester};
use farside_mint::keys::{self, LogKeyFile, MadeKey, Passphrase, Period};
use farside_mint::log::index::{Index, IndexFault};
use farside_mint::log::{IssuanceLog, Opening, TokenEntry};
use farside_mint::oauth::{Backroom, Endpoints, SpentAssertions};
use farside_mint::store::{Purpose, Store, StoreFault};
use farside_mint::token_signer::TokenSigner;
use farside_service::append::Log;
use farside_service::cli::Failure;
use farside_service::secret_file::Secret;
use farside_service::time::{now_unix, now_unix_micros};
use farside_service::web::{Limits, Listen, Server, Shutdown};
use farside_service::{digest, random};
use farside_verify::Algorithm;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rounds::measure;

const CLIENTS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);
const RECORD_BYTES: usize = 330;
const PUBLISHED_EVERY: Duration = Duration::from_millis(500);
const SHARDS: usize = 10_000;
const SHARDS_GROWN: usize = 10;
const CLAIMS: &str = concat!(
    r#"{"iss":"https://gate.site-a.example","sub":"person-0123456789","aud":"warehouse","client_id":"c1","#,
    r#""iat":1764000000,"exp":1764000900,"jti":"site-a-7ps","flr":41,"roles":["operator"]}"#,
);

/// Prints the figures of issuing.
pub(crate) fn run() {
    let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
    let realm = Realm::found(folder.path());
    print_size(&realm);
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        print_signing(&realm, algorithm);
    }
    print_issuing(&realm, folder.path());
    print_shards(folder.path());
}

struct Realm {
    mint: Mint,
    store: Arc<Store>,
    passphrase: Arc<Passphrase>,
    secret: String,
}

impl Realm {
    fn found(folder: &Path) -> Realm {
        let (home, now) = (Home(folder.to_owned()), now_unix());
        let store = Arc::new(Store::create(&home.database(), "bench", now).expect("a database"));
        std::fs::write(home.config(), "realm = \"bench\"\n").expect("a configuration");
        std::fs::create_dir(home.keys()).expect("a folder for keys");
        let mint = Mint::open(&home.config()).expect("the configuration just written");
        let passphrase = Arc::new(Passphrase::new(Secret::new(b"bench bench bench".to_vec().into())));
        keys::create_log(&mint.home.log_key(), "bench-log", &passphrase).expect("a log key");
        let secret = farside_verify::encode::base64url(random::bytes::<32>().expect("dice"));
        let realm = Realm { mint, store, passphrase, secret };
        let hash = digest::hex(&digest::sha256(realm.secret.as_bytes()));
        for (site, algorithm) in [("es", Algorithm::Es256), ("ed", Algorithm::EdDsa)] {
            realm.add_site(site, algorithm, now);
        }
        realm.sql(&format!(
            "INSERT INTO subject (name, kind, client_id, secret_sha256) VALUES ('person-0123456789',
               'bot', 'c1', x'{hash}');
             INSERT INTO subject_role (subject, role) VALUES ('person-0123456789', 'operator');"
        ));
        realm
    }

    fn sql(&self, statements: &str) {
        let written = self.store.write(|open| open.execute_batch(statements).map_err(StoreFault::from));
        written.expect("statements that fit the schema");
    }

    fn add_site(&self, site: &str, algorithm: Algorithm, now: u64) {
        let period = Period { sign_from: 1, sign_until: now + 1_000_000, accept_until: now + 2_000_000 };
        let key = MadeKey::generate(algorithm, Purpose::Sig, period).expect("a key");
        let path = format!("keys/token-{site}.key");
        key.keep(&self.mint.home.0.join(&path), &self.passphrase).expect("a key file");
        let (kid, jwk, name) = (&key.kid, &key.jwk, algorithm.name());
        self.sql(&format!(
            "INSERT INTO site (name, issuer, algorithm, lifetime_seconds_default, lifetime_seconds_max,
               token_bytes_max,
                leeway_seconds, courier_seconds, every_seconds, sealed, created_at, profiles)
             VALUES ('{site}', 'https://gate.{site}.example', '{name}', 900, 86400, 1024, 60, 86400,
                3600, 0, {now}, '[\"access\"]');
             INSERT INTO audience (name, site, logged) VALUES ('warehouse-{site}', '{site}', 'no');
             INSERT INTO release_document (site, kind, version, note, adopted_at) VALUES ('{site}',
                'keys', 1, x'', 1);
             INSERT INTO token_key (kid, site, algorithm, purpose, jwk, path, sign_from, sign_until,
                accept_until, created_at)
             VALUES ('{kid}', '{site}', '{name}', 'sig', '{jwk}', '{path}', {}, {}, {}, {now});
             INSERT INTO release_key (site, version, kid) VALUES ('{site}', 1, '{kid}');",
            period.sign_from, period.sign_until, period.accept_until
        ));
    }

    fn issuer(&self) -> Issuer {
        let store = Arc::clone(&self.store);
        Issuer::open(&self.mint, store, Arc::clone(&self.passphrase), now_unix()).expect("a log of its own").0
    }

    fn signer(&self, algorithm: Algorithm) -> TokenSigner {
        let directory = self.store.directory().expect("a directory");
        let site = directory.sites().find(|site| site.terms.algorithm == algorithm).expect("a site");
        let record = &site.keys[0];
        let (place, home) = (&record.place, &self.mint.home.0);
        let key = keys::open_token_at(place, &record.jwk, home, &self.passphrase).expect("a key file");
        TokenSigner::new(Arc::new(key), &record.jwk, site).expect("a key that gates load")
    }
}

/// Issuer URL, subject, audience, client id, times, id, floor and one role: complete after RFC 9068.
fn print_size(realm: &Realm) {
    // Opened first: a mint without its lock does not start where bundles were made.
    let issuer = realm.issuer();
    let digest = "0".repeat(64);
    realm.sql(&format!(
        "INSERT INTO bundle (site, seq, kind, digest, file_sha256, file_bytes, file, issued_at, not_after,
           next_by, charter_version, keys_version, policy_version)
         VALUES ('es', 4711, 'full', '{digest}', '{digest}', 1, 'f', 1, 1, 1, 1, 1, 1);
         INSERT INTO subject (name, kind, client_id) VALUES ('ada.lovelace', 'person', 'c2');
         INSERT INTO subject_role (subject, role) VALUES ('ada.lovelace', 'operator');"
    ));
    let request = IssueRequest {
        requester: Requester::Operator("bench".to_owned()),
        subject: "ada.lovelace".to_owned(),
        audience: "warehouse-es".to_owned(),
        roles: None,
        groups: Vec::new(),
        scope: None,
        lifetime_seconds: None,
        profile: Profile::Access,
        confirmation: None,
        assertion: None,
    };
    let token = issuer.issue(&request, now_unix()).expect("a token");
    println!("token_es256_bytes {}", token.expose().len());
    realm.sql("DELETE FROM bundle");
}

fn print_signing(realm: &Realm, algorithm: Algorithm) {
    let signer = realm.signer(algorithm);
    let (header, key) = peer(algorithm);
    let claims: serde_json::Value = serde_json::from_str(CLAIMS).expect("JSON");
    let mut ours = || {
        black_box(signer.sign(Profile::Access, black_box(CLAIMS)).expect("a signature"));
    };
    let mut peers = || {
        black_box(jsonwebtoken::encode(&header, black_box(&claims), &key).expect("a signature"));
    };
    let measured = measure(&mut [&mut ours, &mut peers]);
    let name = algorithm.name().to_ascii_lowercase();
    println!("sign_{name}_per_second {:.0}", measured.per_second(0));
    println!("sign_{name}_speed_over_jsonwebtoken {:.3}", measured.times_as_fast(0, 1));
}

fn peer(algorithm: Algorithm) -> (jsonwebtoken::Header, jsonwebtoken::EncodingKey) {
    let dice = SystemRandom::new();
    let (name, key) = if algorithm == Algorithm::Es256 {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &dice).expect("a key");
        (jsonwebtoken::Algorithm::ES256, jsonwebtoken::EncodingKey::from_ec_der(key.as_ref()))
    } else {
        let key = aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&dice).expect("a key");
        (jsonwebtoken::Algorithm::EdDSA, jsonwebtoken::EncodingKey::from_ed_der(key.as_ref()))
    };
    let mut header = jsonwebtoken::Header::new(name);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some("x7QdT0aB".to_owned());
    (header, key)
}

/// Limit and mint in turn, so that a busy machine or disk slows both alike.
fn print_issuing(realm: &Realm, folder: &Path) {
    let issuer = Arc::new(realm.issuer());
    let server = Served::start(&issuer);
    let (mut limits, mut by_es, mut by_ed, mut shares) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut checked_limits, mut checked_shares, mut with_tree, mut p99s) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let limit = limit_per_second(&folder.join(format!("limit-{round}.log")), Own::Signature);
        let checked = limit_per_second(&folder.join(format!("checked-{round}.log")), Own::SignatureChecked);
        let es = server.load("warehouse-es", &realm.secret).per_second;
        let ed = server.load("warehouse-ed", &realm.secret).per_second;
        issuer.log().publish().expect("heads of what was issued without them");
        let published = publishing(&issuer, || server.load("warehouse-es", &realm.secret));
        with_tree.push(published.per_second / es);
        p99s.push(published.p99_ms);
        limits.push(limit);
        checked_limits.push(checked);
        checked_shares.push(es / checked);
        by_es.push(es);
        by_ed.push(ed);
        shares.push(es / limit);
    }
    println!("issue_clients {CLIENTS}");
    println!("issue_limit_es256_per_second {:.0}", median(limits));
    println!("issue_http_es256_per_second {:.0}", median(by_es));
    println!("issue_http_es256_share_of_limit {:.3}", median(shares));
    println!("issue_checked_limit_es256_per_second {:.0}", median(checked_limits));
    println!("issue_http_es256_share_of_checked_limit {:.3}", median(checked_shares));
    println!("issue_http_eddsa_per_second {:.0}", median(by_ed));
    println!("issue_with_tree_share {:.3}", median(with_tree));
    println!("issue_with_tree_p99_ms {:.2}", median(p99s));
    server.stop();
}

/// Measures while heads are published twenty times as often as a mint does it by default.
fn publishing<T>(issuer: &Issuer, measured: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                issuer.log().publish().expect("a disk");
                std::thread::sleep(PUBLISHED_EVERY);
            }
        });
        let found = measured();
        over.store(true, Ordering::Relaxed);
        found
    })
}

/// Publishing where there are ten thousand shards: all of them new, and a few of them grown.
fn print_shards(folder: &Path) {
    let opening = Opening {
        folder: &folder.join("shards"),
        lock: &folder.join("shards-lock/heads.db"),
        key: LogKeyFile::opened(keys::ephemeral_log("bench-log").expect("a key")),
        clock: now_unix_micros,
        carried: &[],
    };
    let (log, _) = IssuanceLog::open(opening, now_unix(), 0).expect("a log");
    let grow = |shards: &mut dyn Iterator<Item = usize>| {
        let entry = || TokenEntry {
            requester: "operator:bench".to_owned(),
            subject: "person-0123456789".to_owned(),
            audience: "warehouse".to_owned(),
            expires_at: now_unix() + 900,
            kid: "x7QdT0aB".to_owned(),
            profile: "access".to_owned(),
            signing_input_sha256: farside_verify::encode::base64url([7; 32]),
            assertion: None,
        };
        let commit = |n: usize| {
            let reservation = log.reserve(&format!("site-{n}"), now_unix()).expect("a position");
            reservation.commit(entry()).expect("an open log")
        };
        let last = shards.map(commit).last().expect("shards");
        last.wait().expect("a disk");
    };
    let publish = || {
        let start = Instant::now();
        log.publish().expect("a disk");
        start.elapsed().as_secs_f64() * 1000.0
    };
    grow(&mut (0..SHARDS));
    println!("publish_{SHARDS}_new_shards_ms {:.1}", publish());
    let few = (0..ROUNDS).map(|round| {
        grow(&mut (0..SHARDS).skip(round).step_by(SHARDS / SHARDS_GROWN));
        publish()
    });
    println!("publish_{SHARDS_GROWN}_of_{SHARDS}_shards_ms {:.1}", median(few.collect()));
    println!("publish_none_of_{SHARDS}_shards_ms {:.3}", publish());
}

/// What a limit does before it waits for the disk.
#[derive(Clone, Copy, PartialEq)]
enum Own {
    /// The bare signature.
    Signature,
    /// The signature, and the check of it that the mint makes of all its own.
    SignatureChecked,
}

/// What the bare signature and the group-committed fsync allow: 64 threads that sign and wait for the disk.
fn limit_per_second(path: &Path, own: Own) -> f64 {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key()).expect("a public key");
    let (group, _) = Log::open(path, |_| {}).expect("a log");
    let (dice, done) = (SystemRandom::new(), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while start.elapsed() < ROUND {
                    let signature = black_box(key.sign(&dice, CLAIMS.as_bytes()).expect("a signature"));
                    if own == Own::SignatureChecked {
                        public.verify_sig(CLAIMS.as_bytes(), signature.as_ref()).expect("our own");
                    }
                    let ticket = group.append(vec![b'x'; RECORD_BYTES]).expect("an open log");
                    ticket.wait().expect("a disk");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner() as f64 / start.elapsed().as_secs_f64()
}

/// What the clients had.
struct Load {
    per_second: f64,
    p99_ms: f64,
}

/// The mint's own endpoints on a loopback port, and the clients' threads beside them.
struct Served {
    runtime: tokio::runtime::Runtime,
    address: std::net::SocketAddr,
    shutdown: Shutdown,
}

/// No log is looked into and nothing is written down: no client of these revokes anything.
#[derive(Debug)]
struct Nowhere;

impl Backroom for Nowhere {
    fn index(&self) -> Result<Index, IndexFault> {
        Err(IndexFault::Moving)
    }

    fn record(&self, _: &str, _: serde_json::Value) -> Result<(), Failure> {
        Ok(())
    }
}

impl Served {
    fn start(issuer: &Arc<Issuer>) -> Served {
        issuer.warm_up(now_unix()).expect("keys that open");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
        let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls: None, clear_beyond_loopback: None };
        let server = runtime.block_on(Server::bind(&listen, &Limits::default())).expect("a port");
        let address = server.local_addr().expect("a TCP address");
        let (issuer, spent) = (Arc::clone(issuer), SpentAssertions::default());
        let endpoints = Endpoints::new(issuer, "https://mint.example", spent, Arc::new(Nowhere));
        let shutdown = Shutdown::manual();
        runtime.spawn(server.serve_router(endpoints.router(), shutdown.clone()));
        Served { runtime, address, shutdown }
    }

    fn load(&self, audience: &str, secret: &str) -> Load {
        let request = Arc::new(token_request(audience, secret));
        let start = Instant::now();
        let mut waits = Vec::new();
        self.runtime.block_on(async {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| tokio::spawn(client(self.address, Arc::clone(&request), start)))
                .collect();
            for client in clients {
                waits.extend(client.await.expect("a client that ends"));
            }
        });
        let per_second = waits.len() as f64 / start.elapsed().as_secs_f64();
        waits.sort_unstable();
        Load { per_second, p99_ms: waits[waits.len() * 99 / 100].as_secs_f64() * 1e3 }
    }

    fn stop(self) {
        self.shutdown.trigger();
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }
}

fn token_request(audience: &str, secret: &str) -> Vec<u8> {
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("c1:{secret}"));
    let body = format!("grant_type=client_credentials&audience={audience}");
    format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: mint\r\nauthorization: Basic {credentials}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn client(address: std::net::SocketAddr, request: Arc<Vec<u8>>, start: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.expect("a server");
    stream.set_nodelay(true).expect("a TCP stream");
    let (mut answer, mut waits) = (vec![0; 8192], Vec::new());
    while start.elapsed() < ROUND {
        let asked = Instant::now();
        stream.write_all(&request).await.expect("a server that reads");
        let mut held = 0;
        while !whole(&answer[..held]) {
            let read = stream.read(&mut answer[held..]).await.expect("a server that answers");
            assert!(read > 0, "the server hung up");
            held += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..held]));
        waits.push(asked.elapsed());
    }
    waits
}

/// Whether an answer is there to its last byte: the JSON object of a token ends it.
fn whole(answer: &[u8]) -> bool {
    answer.ends_with(b"}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
