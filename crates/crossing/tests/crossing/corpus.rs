//! Replays the kept corpus of the fuzz targets for notes, bundles and parcels on a stable compiler, whole and
//! cut short, and keeps the means by which that corpus was first made.

use std::path::{Path, PathBuf};

use farside_crossing::leaves::{Link, RunProof};
use farside_crossing::{Head, Staple};

use crate::fuzz_targets;
use crate::support::{Realm, draft};

const INPUTS_MIN: usize = 10;

/// Prefixes of an input that are tried as well.
const CUTS: usize = 40;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn replay(target: &str, run: fn(&[u8])) {
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder(target)).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        run(&input);
        for cut in (0..input.len()).step_by(input.len() / CUTS + 1) {
            run(&input[..cut]);
        }
        inputs += 1;
    }
    assert!(inputs >= INPUTS_MIN, "the corpus of {target} has {inputs} inputs");
}

#[test]
fn notes_of_the_corpus_break_nothing() {
    replay("note", fuzz_targets::note);
}

#[test]
fn bundles_of_the_corpus_break_nothing() {
    replay("bundle", fuzz_targets::bundle);
}

#[test]
fn proofs_of_the_log_in_the_corpus_break_nothing() {
    replay("log", fuzz_targets::log);
}

#[test]
fn parcels_of_the_corpus_break_nothing() {
    replay("parcels", fuzz_targets::parcels);
}

#[test]
fn targets_of_the_corpus_break_nothing() {
    replay("target", fuzz_targets::target);
}

#[test]
fn policies_of_the_corpus_break_nothing() {
    replay("cedar", fuzz_targets::cedar);
}

#[test]
#[ignore = "writes fuzz/corpus: run by hand when a format changes"]
fn write_the_seeds() {
    let realm = Realm::small();
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder(target)).unwrap();
        std::fs::write(folder(target).join(name), bytes).unwrap();
    };
    let online = |text: &str| farside_crossing::note::sign(text, &[&realm.online]).unwrap();
    keep("note", "charter", &realm.charter_note);
    keep("note", "keys", &realm.released(realm.keys(1).text()));
    keep("note", "signed", &online("text\n"));
    keep("note", "signed-blank-lines", &online("a\n\nb\n"));
    keep("note", "draft", b"text\n\n");
    keep("note", "one-newline", b"\n");
    keep("note", "two-newlines", b"\n\n");
    keep("note", "no-blank-line", b"text\n");
    keep("note", "short-signature", "text\n\n\u{2014} a AAAA\n".as_bytes());
    keep("note", "unknown-signature", "text\n\n\u{2014} a AAAAAAA=\n".as_bytes());
    keep("note", "no-name", "text\n\n\u{2014}  AAAAAAA=\n".as_bytes());
    keep("note", "not-utf-8", b"te\xffxt\n\n");

    let bundle = |part: u8, name: &str, bytes: &[u8]| keep("bundle", name, &[&[part], bytes].concat());
    let full = realm.full(2, None);
    bundle(0, "full", &full.bytes);
    let chained = realm.full_writer(draft(1, None)).charters(1, &[&realm.charter_note]);
    bundle(0, "chained", &chained.finish(&[&realm.online]).unwrap().bytes);
    bundle(0, "first-line", b"farside-bundle/1 10 0\n");
    bundle(0, "magic", b"farside-bundle/");
    let manifest = serde_json::to_vec(&full.manifest).unwrap();
    bundle(1, "manifest", &manifest);
    bundle(1, "manifest-empty", b"{}");
    bundle(1, "manifest-beacon", String::from_utf8(manifest).unwrap().replace("full", "beacon").as_bytes());
    bundle(2, "keys", serde_json::to_string(&realm.keys(1)).unwrap().as_bytes());
    bundle(2, "keys-deep", "[".repeat(200).as_bytes());
    bundle(3, "status", &realm.status(1).to_json().unwrap());
    bundle(3, "status-huge-number", b"{\"version\":18446744073709551616}");
    bundle(3, "leaves", b"farside-leaves/1 a 0 1 0\n0123456789abcdef0123456789abcdef");

    for (name, bytes) in log_seeds(&realm) {
        keep("log", name, &bytes);
    }

    let parcels = |form: u8, name: &str, bytes: &[u8]| keep("parcels", name, &[&[form], bytes].concat());
    let heading = "{\"farside-parcels\":1,\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA\"}\n";
    let file = "{\"token\":\"a.b.c\",\"sub\":\"s\",\"claim\":\"file\"}\n";
    let key = "{\"token\":\"a.b.c\",\"sub\":\"s\",\"aud\":\"h\",\"claim\":{\"key\":{\"jwk\":{}}}}\n";
    let phrase = format!(
        "{{\"token\":\"a.b.c\",\"sub\":\"s\",\"claim\":{{\"phrase\":{{\"sha256\":\"{}\"}}}}}}\n",
        "A".repeat(43)
    );
    parcels(0, "all-claims", [heading, file, key, &phrase].concat().as_bytes());
    parcels(0, "heading-alone", heading.as_bytes());
    parcels(0, "no-heading", file.as_bytes());
    parcels(0, "torn-line", format!("{heading}{{\"token\"").as_bytes());
    parcels(0, "empty-lines", format!("{heading}\n\n").as_bytes());
    parcels(0, "newer", b"{\"farside-parcels\":2,\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA\"}\n");
    parcels(0, "nothing", b"");
    parcels(1, "compressed", &zstd::encode_all(heading.as_bytes(), 3).unwrap());
    parcels(1, "trailing", &[zstd::encode_all(heading.as_bytes(), 3).unwrap(), b"x".to_vec()].concat());
    parcels(1, "bomb", &zstd::encode_all(&vec![b' '; 1 << 20][..], 3).unwrap());
    parcels(1, "skippable", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd");
    parcels(2, "sealed", &realm.seal(2, &[]));
}

/// Proofs, checkpoints and staples, good ones and some that nearly are.
fn log_seeds(realm: &Realm) -> Vec<(&'static str, Vec<u8>)> {
    let checkpoint = realm.checkpoint("plant-1", &Head { size: 7, root: [3; 32] });
    let (edge, hashes) = ([[1; 32], [2; 32]], [[4; 32]; 3]);
    let link = |size, hashes| Link { size, hashes };
    let proof = |links| RunProof { checkpoint: &checkpoint, edge: &edge, links }.to_bytes().unwrap();
    let staple = |hashes: usize| {
        let staple = Staple { size: 7, signature: [5; 64], proof: vec![[6; 32]; hashes] };
        staple.to_token("").split_off(1).into_bytes()
    };
    let good = proof(vec![link(2, &hashes[..1]), link(5, &hashes)]);
    vec![
        ("proof", good.clone()),
        ("proof-unlinked", proof(Vec::new())),
        ("proof-out-of-order", proof(vec![link(5, &hashes), link(2, &hashes[..1])])),
        ("proof-one-size-twice", proof(vec![link(2, &hashes), link(2, &hashes)])),
        ("proof-trailing", [&good[..], b"x"].concat()),
        ("proof-many-links", b"farside-proof/1 0 0 99\n".to_vec()),
        ("proof-large-edge", b"farside-proof/1 0 99 0\n".to_vec()),
        ("proof-huge-number", b"farside-proof/1 99999999999999999999 0 0\n".to_vec()),
        ("proof-newer", b"farside-proof/2 0 0 0\n".to_vec()),
        ("proof-leading-zero", b"farside-proof/1 00 0 0\n".to_vec()),
        ("checkpoint-cut", checkpoint[..checkpoint.len() - 20].to_vec()),
        ("checkpoint-of-nothing", realm.checkpoint("plant-1", &Head { size: 0, root: [0; 32] })),
        ("checkpoint", checkpoint),
        ("checkpoint-other-shard", realm.checkpoint("plant-2", &Head { size: 7, root: [3; 32] })),
        ("staple", staple(24)),
        ("staple-alone", staple(0)),
        ("staple-longest", staple(64)),
        ("staple-too-long", staple(65)),
        ("staple-of-nothing", b"AQ".to_vec()),
    ]
}
