//! Revocation: what checking one token costs against few and against ten million revocations, what a revoked
//! token costs on the lane, and a full list against a delta.

use std::hint::black_box;
use std::time::Instant;

use farside_crossing::StatusDocument;
use farside_crossing::status::{Lists, TokenList};
use farside_gate::judge::judge;
use farside_gate::trust::Gate;

use crate::realm::{AUDIENCE, Far, HOUR, NOW, Plan, Realm, SITE, revoked_name, status};

/// Revocations of tokens and of subjects: as many of the latter as a status holds with ease.
const FEW: (u64, u64) = (900, 100);
const MANY: (u64, u64) = (9_900_000, 100_000);
/// Log indices among which the revoked ones lie.
const LOG: u64 = 40_000_000;

const TOKENS: u64 = 1_000;
const ROUNDS: usize = 30;

/// One in a hundred of a million.
const ISSUED: u64 = 1_000_000;
const REVOKED: u64 = 10_000;
/// What came since the last bundle.
const NEW: u64 = 100;

/// Runs all.
pub(crate) fn run() {
    checked();
    on_the_lane();
}

fn checked() {
    let mut realm = Realm::found();
    // Tokens at indices that nobody revokes, all over the log.
    let tokens: Vec<String> =
        (0..TOKENS).map(|nth| realm.token("ada", nth * (LOG / TOKENS) + 1, "")).collect();
    let far = [holding(&mut realm, FEW), holding(&mut realm, MANY)];
    let started = Instant::now();
    let gates = far.map(|far| (far.gate(), far));
    println!("gate_10m_revocations_into_memory_ms {:.0}", started.elapsed().as_secs_f64() * 1e3);
    let mut best = vec![[f64::MAX; 2]; tokens.len()];
    for round in 0..ROUNDS {
        for (token, best) in tokens.iter().zip(&mut best) {
            // Who comes second finds the token in the processor's caches: each is second every other time.
            for which in [round % 2, 1 - round % 2] {
                best[which] = best[which].min(time(&gates[which].0, token));
            }
        }
    }
    let mean = |which: usize| best.iter().map(|times| times[which]).sum::<f64>() / tokens.len() as f64;
    println!("gate_judge_1k_revocations_us {:.2}", mean(0));
    println!("gate_judge_10m_revocations_us {:.2}", mean(1));
    println!("gate_judge_10m_over_1k_revocations {:.3}", mean(1) / mean(0));
}

fn time(gate: &Gate, token: &str) -> f64 {
    let trust = gate.trust().unwrap();
    let started = Instant::now();
    black_box(judge(&trust, token, AUDIENCE, NOW).unwrap());
    started.elapsed().as_secs_f64() * 1e6
}

/// A gate that holds so many revocations.
fn holding(realm: &mut Realm, (tokens, subjects): (u64, u64)) -> Far {
    let far = Far::made();
    far.trust(&realm.charter);
    (realm.recipient, realm.last, realm.content) = (Some(far.recipient.clone()), None, None);
    let revoked = StatusDocument {
        tokens: lists(tokens, LOG),
        subjects: (0..subjects).map(|nth| revoked_name(&format!("user-{nth}"), NOW)).collect(),
        ..status(1)
    };
    let bundle = realm.send(Plan { status: Some(revoked), ..realm.plan() });
    let started = Instant::now();
    far.import(&bundle);
    let (mib, ms) = (bundle.len() as f64 / f64::from(1 << 20), started.elapsed().as_secs_f64() * 1e3);
    assert_eq!(far.status()["revoked"]["tokens"], tokens);
    println!("import_{}_revocations_ms {ms:.0}", tokens + subjects);
    println!("bundle_{}_revocations_mib {mib:.2}", tokens + subjects);
    far
}

/// So many tokens of a log, spread as chance would: those of even index, each at most once.
fn lists(tokens: u64, log: u64) -> Vec<TokenList> {
    let mut lists = Lists::default();
    let (half, mut state) = (log / 2, 1_u64);
    let mut taken = vec![false; half as usize];
    let mut left = tokens;
    while left > 0 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (state >> 20) % half;
        if !std::mem::replace(&mut taken[place as usize], true) {
            lists.set(SITE, NOW + HOUR, 2 * place);
            left -= 1;
        }
    }
    lists.close()
}

fn on_the_lane() {
    let bytes = |tokens: Vec<TokenList>| {
        let whole = StatusDocument { tokens, ..status(2) };
        whole.to_json().unwrap().len() - status(2).to_json().unwrap().len()
    };
    let spread = |count: u64| {
        let mut lists = Lists::default();
        let mut state = 7_u64;
        let mut taken = std::collections::BTreeSet::new();
        while (taken.len() as u64) < count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            taken.insert((state >> 20) % ISSUED);
        }
        taken.into_iter().for_each(|index| lists.set(SITE, NOW + HOUR, index));
        lists.close()
    };
    let full = bytes(spread(REVOKED));
    println!("lane_bytes_per_revoked_token_1_percent {:.2}", full as f64 / REVOKED as f64);
    println!("lane_bytes_status_full_10k {full}");
    let delta = bytes(spread(NEW));
    println!("lane_bytes_status_delta_100 {delta}");
    println!("lane_bytes_full_over_delta {:.0}", full as f64 / delta as f64);
}
