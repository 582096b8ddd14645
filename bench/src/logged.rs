//! Proof of logging with ten million live leaves: what it adds to a judgement, what a leaf costs in memory
//! and on the lane, and how large a token is that brings its proof along.

use std::hint::black_box;
use std::time::Instant;

use farside_crossing::Logged;
use farside_gate::judge::judge;

use crate::count::bytes_kept;
use crate::realm::{AUDIENCE, Far, NOW, Plan, Realm, Tree, audience, claims, leaf_of, policy};

const LEAVES: u64 = 10_000_000;
/// At most what one run may carry.
const LEAVES_A_BUNDLE: u64 = 4_000_000;
const FEW: u64 = 1_000;
const TOKENS: u64 = 2_000;
const ROUNDS: usize = 24;
/// An audience that demands no proof.
const PLAIN: &str = "mail";

/// Runs all.
pub(crate) fn run() {
    let (mut realm, far) = Far::enrolled();
    let tokens: Vec<String> = (0..TOKENS).map(|nth| token(&realm, place(nth))).collect();
    let mut tree = log(&realm, &tokens);
    stapled(&realm, &mut tree);
    let few = tree.run(LEAVES / 2, LEAVES / 2 + FEW, &[]);
    println!("lane_bytes_per_issued_token_1000_a_bundle {:.2}", few.len() as f64 / FEW as f64);
    let mut lane_bytes = 0;
    for first in (0..LEAVES).step_by(LEAVES_A_BUNDLE as usize) {
        let component = tree.run(first, LEAVES.min(first + LEAVES_A_BUNDLE), &[]);
        lane_bytes += component.len();
        let bundle = realm.send(Plan { policy: Some(demanding()), leaves: Some(component), ..realm.plan() });
        far.import(&bundle);
    }
    drop(tree);
    println!("lane_bytes_per_issued_token {:.3}", lane_bytes as f64 / LEAVES as f64);
    judged(&far, &tokens);
}

fn demanding() -> farside_crossing::PolicyDocument {
    let mut demanded = policy(1);
    demanded.audiences[0].logged = Logged::Leaf;
    demanded.audiences.push(audience(PLAIN));
    demanded
}

/// Where the nth token stands: all over the log.
fn place(nth: u64) -> u64 {
    (nth * 2_654_435_761) % LEAVES
}

/// A token for both audiences, so that the same one is judged with and without proof.
fn token(realm: &Realm, index: u64) -> String {
    let both = format!("\"aud\":[\"{AUDIENCE}\",\"{PLAIN}\"]");
    let claims = claims("ada", index, NOW, "").replace(&format!("\"aud\":\"{AUDIENCE}\""), &both);
    realm.key.sign("at+jwt", &claims)
}

/// Ten million leaves, of which the tokens' are theirs.
fn log(realm: &Realm, tokens: &[String]) -> Tree {
    let mut leaves: Vec<[u8; 32]> = Vec::with_capacity(LEAVES as usize);
    let mut state = 1_u64;
    leaves.extend((0..LEAVES).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut leaf = [0; 32];
        leaf[..8].copy_from_slice(&state.to_le_bytes());
        leaf
    }));
    for (nth, token) in tokens.iter().enumerate() {
        let index = place(nth as u64);
        leaves[index as usize] = leaf_of(token, index);
    }
    let mut tree = realm.tree();
    tree.extend(leaves);
    tree
}

/// A token of RFC 9068 with floor and role, in the midst of ten million: nowhere is the proof longer.
fn stapled(realm: &Realm, tree: &mut Tree) {
    let more = r#","flr":4711,"roles":["operator"]"#;
    let (token, middle) = (realm.token("ada.lovelace", LEAVES / 2, more), LEAVES / 2);
    let carried = tree.staple(&token, middle, LEAVES);
    println!("stapled_token_bytes {}", carried.len());
    println!("stapled_token_proof_bytes {}", carried.len() - token.len());
}

/// Each token by turns with and without proof; of each its best time, so that whatever else runs on this
/// machine is left out.
fn judged(far: &Far, tokens: &[String]) {
    let gate = far.gate();
    let started = Instant::now();
    let kept = bytes_kept(|| assert_eq!(gate.warm().unwrap(), LEAVES));
    println!("gate_10m_leaves_into_memory_ms {:.0}", started.elapsed().as_secs_f64() * 1e3);
    println!("gate_bytes_per_live_leaf {:.1}", kept as f64 / LEAVES as f64);
    let trust = gate.trust().unwrap();
    let time = |token: &str, audience: &str| {
        let started = Instant::now();
        black_box(judge(&trust, token, audience, NOW).unwrap());
        started.elapsed().as_secs_f64() * 1e6
    };
    let mut best = vec![[f64::MAX; 2]; tokens.len()];
    for round in 0..ROUNDS {
        for (token, best) in tokens.iter().zip(&mut best) {
            // Who comes second finds the token in the processor's caches: each is second every other time.
            for which in [round % 2, 1 - round % 2] {
                best[which] = best[which].min(time(token, [PLAIN, AUDIENCE][which]));
            }
        }
    }
    let mean = |which: usize| best.iter().map(|times| times[which]).sum::<f64>() / tokens.len() as f64;
    println!("gate_judge_without_proof_us {:.2}", mean(0));
    println!("gate_proof_of_logging_adds_us {:.2}", mean(1) - mean(0));
}
