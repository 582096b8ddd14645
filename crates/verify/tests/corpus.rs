//! Replays the kept corpus of every fuzz target on a stable compiler, and every prefix of each input.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

#[allow(unreachable_pub, clippy::expect_used, reason = "shared with the fuzz package, where it is a library")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

const INPUTS_MIN: usize = 10;
const PREFIX_BYTES_MAX: usize = 300;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        run(&input);
        for cut in 0..input.len().min(PREFIX_BYTES_MAX) {
            run(&input[..cut]);
        }
        inputs += 1;
    }
    assert!(inputs >= INPUTS_MIN, "the corpus of {target} has {inputs} inputs");
}

#[test]
fn headers_of_the_corpus_break_nothing() {
    replay("header", targets::header);
}

#[test]
fn claims_of_the_corpus_break_nothing() {
    replay("claims", targets::claims);
}

#[test]
fn key_sets_of_the_corpus_break_nothing() {
    replay("jwks", targets::jwks);
}

#[test]
fn proofs_of_the_corpus_break_nothing() {
    replay("proof", targets::proof);
}

#[test]
fn addresses_of_the_corpus_break_nothing() {
    replay("uri", targets::uri);
}

#[test]
fn tokens_of_the_corpus_break_nothing() {
    replay("token", targets::token);
}
