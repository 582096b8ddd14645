//! `/verify` under load, beside the same HTTP with nothing behind it, beside HAProxy, and beside axum with
//! `jsonwebtoken`: servers on one core, the load on the other, in turn, round after round.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, VerificationAlgorithm,
};
use farside_service::time::now_unix;
use farside_verify::encode::{base64url, base64url_decode};

use crate::import::memory_mib;
use crate::load::{InTurn, Load, Outcome, Requests, SERVER_CORE, get, on_core};
use crate::realm::{AUDIENCE, Far, ISSUER, Plan, Realm, claims, keys_of};
use crate::servers::{self, Running, measured};

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(1500);
/// Not counted: a cache is filled, connections are there.
const BEFORE: Duration = Duration::from_millis(300);
const CONNECTIONS: usize = 64;
/// Holders that come again and again.
const HOLDERS: u64 = 1_000;
/// More than one core can verify in a second.
const COLD_PER_SECOND_MAX: f64 = 45_000.0;

/// One gate, the realm it trusts, and both kinds of keys.
struct Bench {
    _far: Far,
    realm: Realm,
    ed: EdKey,
    gate: Running,
    path: String,
    /// The next place in the log: every token is another.
    next: u64,
    now: u64,
}

struct EdKey(Ed25519KeyPair);

impl EdKey {
    fn jwk(&self) -> String {
        let x = base64url(self.0.public_key().as_ref());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"key-2","x":"{x}"}}"#)
    }

    fn sign(&self, claims: &str) -> String {
        let header = base64url(r#"{"alg":"EdDSA","kid":"key-2","typ":"at+jwt"}"#);
        let input = format!("{header}.{}", base64url(claims));
        format!("{input}.{}", base64url(self.0.sign(input.as_bytes())))
    }
}

#[derive(Clone, Copy)]
enum By {
    Es256,
    EdDsa,
}

impl Bench {
    fn start(settings: &str) -> Bench {
        let (mut realm, far) = Far::enrolled();
        let ed = EdKey(Ed25519KeyPair::generate().expect("a key"));
        let now = now_unix();
        let keys = Some(keys_of(1, &[realm.key.jwk(""), ed.jwk()]));
        let plan =
            Plan { issued_at: now, next_by: now + 3_600, not_after: now + 7_200, keys, ..realm.plan() };
        let bundle = realm.send(plan);
        far.import_at(&bundle, now);
        let path = format!("/verify?aud={AUDIENCE}&action=read");
        let token = realm.key.sign("at+jwt", &claims("ada", 0, now, ""));
        let gate = servers::gate(far.config.home(), settings, &get(&path, &token)).running;
        Bench { _far: far, realm, ed, gate, path, next: 1, now }
    }

    fn token(&mut self, by: By) -> String {
        let index = self.next;
        self.next += 1;
        let subject = format!("person-{index:010}");
        let claims = claims(&subject, index, self.now, r#","flr":1,"roles":["operator"]"#);
        match by {
            By::Es256 => self.realm.key.sign("at+jwt", &claims),
            By::EdDsa => self.ed.sign(&claims),
        }
    }

    fn requests(&mut self, count: u64, by: By) -> Vec<Vec<u8>> {
        (0..count).map(|_| get(&self.path.clone(), &self.token(by))).collect()
    }

    fn memory_mib(&self) -> f64 {
        memory_mib(&self.gate.child.id().to_string(), "VmRSS")
    }
}

/// Each shown once.
struct Once(std::vec::IntoIter<Vec<u8>>, Vec<u8>);

impl Requests for Once {
    fn next(&mut self) -> &[u8] {
        self.1 = self.0.next().expect("more tokens than one core verifies");
        &self.1
    }
}

/// A server under load, and what it has shown so far.
struct Contender<'a> {
    name: &'static str,
    address: std::net::SocketAddr,
    requests: &'a mut dyn Requests,
    rounds: Vec<f64>,
}

impl<'a> Contender<'a> {
    fn new(name: &'static str, running: &Running, requests: &'a mut dyn Requests) -> Contender<'a> {
        Contender { name, address: running.address, requests, rounds: Vec::new() }
    }

    fn load(&mut self, lasting: Duration, pace: Option<f64>) -> Outcome {
        let load = Load { address: self.address, connections: CONNECTIONS, lasting, pace };
        measured(load, self.requests).all_admitted(self.name)
    }

    fn round(&mut self) {
        self.load(BEFORE, None);
        let per_second = self.load(ROUND, None).per_second;
        self.rounds.push(per_second);
    }
}

fn median(rounds: &[f64]) -> f64 {
    let mut rounds = rounds.to_vec();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// Prints the figures of the door under load.
pub(crate) fn run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut quick = Bench::start("audit = \"batched\"");
    let mut strict = Bench::start("audit = \"strict\"");
    std::thread::sleep(Duration::from_secs(2));
    println!("gate_idle_mib {:.1}", quick.memory_mib());

    let texts = quick.requests(HOLDERS, By::Es256);
    let first = texts[0].clone();
    let jwk = quick.realm.key.jwk("");
    let (bare, alike) = (servers::bare(false), servers::bare(true));
    let axum = servers::axum(&jwk, ISSUER, AUDIENCE, &first);
    let haproxy = servers::haproxy(folder.path(), &jwk, (ISSUER, AUDIENCE), &first);
    let of_strict = strict.requests(HOLDERS, By::Es256);
    let mut turns: Vec<InTurn> = (0..5).map(|_| InTurn::new(texts.clone())).collect();
    let mut of_strict = InTurn::new(of_strict);
    let [one, two, three, four, five] = &mut turns[..] else { unreachable!() };
    let mut contenders = vec![
        Contender::new("bare", &bare, one),
        Contender::new("bare_alike", &alike, two),
        Contender::new("warm", &quick.gate, three),
        Contender::new("strict", &strict.gate, &mut of_strict),
        Contender::new("axum_jsonwebtoken", &axum, four),
    ];
    contenders.extend(haproxy.as_ref().map(|running| Contender::new("haproxy_jwt_verify", running, five)));
    for _ in 0..ROUNDS {
        contenders.iter_mut().for_each(Contender::round);
    }
    for contender in &contenders {
        println!("gate_http_{}_per_second {:.0}", contender.name, median(&contender.rounds));
    }
    let of = |name: &str| contenders.iter().find(|one| one.name == name).map(|one| median(&one.rounds));
    let (bare, warm) = (of("bare").unwrap_or_default(), of("warm").unwrap_or_default());
    println!("gate_warm_over_bare {:.3}", warm / bare);
    println!("gate_warm_over_bare_alike {:.3}", warm / of("bare_alike").unwrap_or_default());
    println!("gate_strict_over_warm {:.3}", of("strict").unwrap_or_default() / warm);
    for peer in ["haproxy_jwt_verify", "axum_jsonwebtoken"] {
        println!("gate_warm_over_{peer} {:.2}", of(peer).map_or(f64::NAN, |peer| warm / peer));
    }
    for name in ["bare_alike", "warm"] {
        let contender = contenders.iter_mut().find(|one| one.name == name).expect("a contender");
        let halves: Vec<Outcome> = (0..ROUNDS).map(|_| contender.load(ROUND, Some(warm / 2.0))).collect();
        for percent in [50.0, 99.0] {
            let waits: Vec<f64> = halves.iter().map(|half| half.waits.ms(percent)).collect();
            println!("gate_{name}_half_load_p{percent}_ms {:.3}", median(&waits));
        }
    }
    drop(contenders);
    drop((axum, haproxy, strict));
    cold(&mut quick, bare);
    println!("gate_after_load_mib {:.1}", quick.memory_mib());
}

/// Every token new, against what the raw signature check alone allows on that core, and against what it
/// allows beside the bare HTTP.
fn cold(bench: &mut Bench, bare: f64) {
    for by in [By::Es256, By::EdDsa] {
        let (name, raw_public, algorithm) = match by {
            By::Es256 => {
                ("es256", point(&bench.realm), &ECDSA_P256_SHA256_FIXED as &dyn VerificationAlgorithm)
            }
            By::EdDsa => ("eddsa", bench.ed.0.public_key().as_ref().to_vec(), &ED25519 as _),
        };
        let raw_key = ParsedPublicKey::new(algorithm, &raw_public).expect("a key");
        let sample = bench.token(by);
        let (mut raws, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            raws.push(on_core(SERVER_CORE, || raw_per_second(&raw_key, &sample)));
            let count = (COLD_PER_SECOND_MAX * ROUND.as_secs_f64()) as u64;
            let mut requests = Once(bench.requests(count, by).into_iter(), Vec::new());
            let mut contender = Contender::new("cold", &bench.gate, &mut requests);
            rates.push(contender.load(ROUND, None).per_second);
        }
        let (raw, rate) = (median(&raws), median(&rates));
        let with_http = 1.0 / (1.0 / raw + 1.0 / bare);
        println!("gate_cold_{name}_per_second {rate:.0}");
        println!("gate_cold_{name}_raw_signature_per_second {raw:.0}");
        println!("gate_cold_{name}_over_raw_signature {:.3}", rate / raw);
        println!("gate_cold_{name}_over_raw_signature_and_bare_http {:.3}", rate / with_http);
    }
}

fn point(realm: &Realm) -> Vec<u8> {
    let jwk: serde_json::Value = serde_json::from_str(&realm.key.jwk("")).expect("a JWK");
    let coordinate = |name: &str| base64url_decode(jwk[name].as_str().expect("text")).expect("base64url");
    [&[4][..], &coordinate("x"), &coordinate("y")].concat()
}

fn raw_per_second(key: &ParsedPublicKey, token: &str) -> f64 {
    let (input, signature) = token.rsplit_once('.').expect("a token has dots");
    let signature = base64url_decode(signature).expect("base64url");
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < ROUND / 2 {
        for _ in 0..100 {
            key.verify_sig(black_box(input.as_bytes()), black_box(&signature)).expect("it fits");
        }
        done += 100;
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}
