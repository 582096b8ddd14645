//! What a serving gate holds in memory with a million live tokens known to it, carried here with their
//! leaves, and a hundred thousand of them verified before anybody shows one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use farside_crossing::{Claim, Parcel};
use farside_gate::import::Outcome;
use farside_service::time::now_unix;

use crate::import::memory_mib;
use crate::load::get;
use crate::realm::{AUDIENCE, Far, Plan, Realm, claims, leaf_of};
use crate::servers;

const TOKENS: u64 = 1_000_000;
const TOKENS_A_BUNDLE: u64 = 100_000;
const KNOWN: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(250);

/// Prints what the gate holds.
pub(crate) fn run() {
    let (mut realm, far) = Far::enrolled();
    let (now, mut tree) = (now_unix(), realm.tree());
    for first in (0..TOKENS).step_by(TOKENS_A_BUNDLE as usize) {
        let end = first + TOKENS_A_BUNDLE;
        let tokens = tokens(&realm, first, end, now);
        tree.extend((first..end).zip(&tokens).map(|(index, token)| leaf_of(token, index)));
        let (leaves, parcels) = (Some(tree.run(first, end, &[])), Some(parcels(first, tokens)));
        let plan = Plan { issued_at: now, next_by: now + 3_600, not_after: now + 7_200, ..realm.plan() };
        let bundle = realm.send(Plan { leaves, parcels, ..plan });
        let Outcome::Applied(applied) = far.import_at(&bundle, now) else { panic!("it was not applied") };
        assert_eq!((applied.parcels.stored, applied.leaves), (TOKENS_A_BUNDLE, TOKENS_A_BUNDLE));
    }
    drop(tree);
    let token = realm.key.sign("at+jwt", &claims("ada", TOKENS, now, ""));
    let started = Instant::now();
    let gate = servers::gate(far.config.home(), "", &get(&format!("/verify?aud={AUDIENCE}"), &token));
    while known(gate.admin) < KNOWN {
        assert!(started.elapsed() < PATIENCE, "{} tokens are known", known(gate.admin));
        std::thread::sleep(LOOK);
    }
    println!("gate_100k_carried_tokens_known_after_start_ms {:.0}", started.elapsed().as_secs_f64() * 1e3);
    let process = gate.running.child.id().to_string();
    println!("gate_1m_live_100k_known_mib {:.1}", memory_mib(&process, "VmRSS"));
    println!("gate_1m_live_100k_known_peak_mib {:.1}", memory_mib(&process, "VmHWM"));
}

/// Signed on both cores.
fn tokens(realm: &Realm, first: u64, end: u64, now: u64) -> Vec<String> {
    let key = &realm.key;
    let sign = |from: u64, to: u64| -> Vec<String> {
        let claims = |index| claims(&format!("person-{index:07}"), index, now, r#","roles":["reader"]"#);
        (from..to).map(|index| key.sign("at+jwt", &claims(index))).collect()
    };
    let middle = (first + end) / 2;
    std::thread::scope(|scope| {
        let later = scope.spawn(|| sign(middle, end));
        let mut tokens = sign(first, middle);
        tokens.extend(later.join().expect("signatures"));
        tokens
    })
}

fn parcels(first: u64, tokens: Vec<String>) -> Vec<Parcel> {
    let parcel = |(index, token)| Parcel {
        token,
        sub: format!("person-{index:07}"),
        aud: Some(AUDIENCE.to_owned()),
        claim: Claim::File,
    };
    (first..).zip(tokens).map(parcel).collect()
}

/// How many tokens the gate says it knows.
fn known(admin: SocketAddr) -> u64 {
    let Ok(mut stream) = TcpStream::connect(admin) else { return 0 };
    let mut page = String::new();
    let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n");
    if asked.and_then(|()| stream.read_to_string(&mut page)).is_err() {
        return 0;
    }
    let line = page.lines().find_map(|line| line.strip_prefix("farside_gate_known_tokens "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}
