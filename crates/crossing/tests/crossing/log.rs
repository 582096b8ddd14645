//! What crosses of the issuance log beside its leaves: heads, proofs of runs, staples. Each has one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_crossing::leaves::{LINKS_MAX, Link, RunProof};
use farside_crossing::staple::{StapleFault, split};
use farside_crossing::{Code, Digest, Head, Signer as _, Staple, checkpoint};

use crate::support::Realm;

const SHARD: &str = "plant-1";
const HEAD: Head = Head { size: 7, root: [3; 32] };
const HASHES: [[u8; 32]; 3] = [[4; 32]; 3];

fn link(size: u64, hashes: &[[u8; 32]]) -> Link<'_> {
    Link { size, hashes }
}

fn code_of_proof(bytes: &[u8]) -> Code {
    RunProof::read(bytes).unwrap_err().code()
}

#[test]
fn a_runs_proof_reads_as_it_was_written_and_cut_nowhere() {
    let edge = [[1; 32], [2; 32]];
    let links = vec![link(2, &HASHES[..1]), link(5, &HASHES), link(6, &[])];
    let proof = RunProof { checkpoint: b"note", edge: &edge, links };
    let bytes = proof.to_bytes().unwrap();
    assert_eq!(RunProof::read(&bytes).unwrap(), proof);
    assert_eq!(proof.link_from(5), Some(&HASHES[..]));
    assert_eq!(proof.link_from(4), None);
    for cut in 0..bytes.len() {
        assert_eq!(code_of_proof(&bytes[..cut]), Code::Malformed, "cut at {cut}");
    }
    assert_eq!(code_of_proof(&[&bytes[..], b"x"].concat()), Code::Malformed);
}

#[test]
fn a_runs_proof_has_limits_and_one_order() {
    let proof = |links: Vec<Link<'static>>| RunProof { checkpoint: b"", edge: &[], links }.to_bytes();
    let none = || Link { size: 0, hashes: &[] };
    for sizes in [[5, 2], [5, 5]] {
        let links = sizes.map(|size| Link { size, ..none() }).to_vec();
        assert_eq!(code_of_proof(&proof(links).unwrap()), Code::Malformed, "{sizes:?}");
    }
    let many = |count: usize| (0..count as u64).map(|size| Link { size, ..none() }).collect();
    assert!(proof(many(LINKS_MAX)).is_ok());
    assert_eq!(proof(many(LINKS_MAX + 1)).unwrap_err().code(), Code::TooLarge);
    for (line, code) in [
        ("farside-proof/1 0 0 25", Code::TooLarge),
        ("farside-proof/1 0 65 0", Code::TooLarge),
        ("farside-proof/1 5 0 0", Code::Malformed),
        ("farside-proof/1 00 0 0", Code::Malformed),
        ("farside-proof/1 0 0", Code::Malformed),
        ("farside-proof/1 0 0 1", Code::Malformed),
        ("farside-proof/1 99999999999999999999 0 0", Code::Malformed),
        ("farside-proof/2 0 0 0", Code::VersionUnsupported),
        ("farside-leaves/1 0 0 0", Code::Malformed),
    ] {
        assert_eq!(code_of_proof(format!("{line}\n").as_bytes()), code, "{line}");
    }
    assert_eq!(code_of_proof(b"farside-proof/1 0 0 1\n7 65\n"), Code::TooLarge);
}

/// Any text under a true signature of the log key for [`SHARD`].
fn signed(realm: &Realm, text: &str) -> Vec<u8> {
    let log = realm.charter.log()[0].of_shard(SHARD).unwrap();
    let id = Digest::of(&[log.name().as_bytes(), b"\n\x01", log.ed25519()].concat());
    let line = [&id.as_bytes()[..4], &realm.root[0].sign(text.as_bytes()).unwrap().ed25519].concat();
    format!("{text}\n\u{2014} {} {}\n", log.name(), STANDARD.encode(line)).into_bytes()
}

#[test]
fn a_checkpoint_is_three_lines_of_its_shard_under_the_log_key() {
    let realm = Realm::small();
    let text = checkpoint::text(&realm.charter.log()[0], SHARD, &HEAD);
    let good = realm.checkpoint(SHARD, &HEAD);
    assert_eq!(signed(&realm, &text), good);
    let open = |note: &[u8], shard| checkpoint::open(note, realm.charter.log(), shard);
    assert_eq!(open(&good, SHARD).unwrap().head(), HEAD);
    assert_eq!(open(&good, "plant-2").unwrap_err().code(), Code::ThresholdUnmet);
    let root = text.lines().nth(2).unwrap();
    for wrong in [
        format!("{text}extension\n"),
        text.replace("\n7\n", "\n07\n"),
        text.replace("\n7\n", "\n-7\n"),
        text.replace("\n7\n", "\n 7\n"),
        text.replace(root, "AAAA"),
        text.replace(root, root.trim_end_matches('=')),
        text.replace("plant-1\n", "plant-2\n"),
        text.replacen('\n', "\r\n", 1),
        "acme/log/a/plant-1\n7\n".to_owned(),
    ] {
        let code = open(&signed(&realm, &wrong), SHARD).unwrap_err().code();
        assert_eq!(code, Code::Malformed, "{wrong:?}");
    }
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        assert!(open(&flipped, SHARD).is_err(), "byte {at}");
    }
}

#[test]
fn a_staple_has_one_spelling_and_a_size() {
    for hashes in 0..=64 {
        let staple = Staple { size: u64::MAX, signature: [5; 64], proof: vec![[6; 32]; hashes] };
        let carried = staple.to_token("a.b.c");
        assert_eq!(split(&carried), Ok(("a.b.c", Some(staple))), "{hashes} hashes");
        for wrong in [format!("{carried}="), format!("{carried}A"), carried.replacen('~', "~ ", 1)] {
            assert!(split(&wrong).is_err(), "{wrong}");
        }
        // The bits behind the last byte are zero, or one staple had many texts.
        let (rest, last) = carried.split_at(carried.len() - 1);
        let twins = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let others =
            twins.chars().filter(|twin| !last.starts_with(*twin)).map(|twin| format!("{rest}{twin}"));
        let alike = others.filter(|other| split(other) == split(&carried)).count();
        assert_eq!(alike, 0, "{hashes} hashes");
    }
    let longer = Staple { size: 1, signature: [5; 64], proof: vec![[6; 32]; 65] };
    assert_eq!(split(&longer.to_token("a.b.c")), Err(StapleFault::TooLong));
    assert_eq!(split(&format!("a.b.c~{}", "A".repeat(10_000))), Err(StapleFault::TooLong));
    assert_eq!(split("a.b.c~"), Err(StapleFault::Malformed));
    let least = Staple { size: 1, signature: [5; 64], proof: Vec::new() }.to_token("a.b.c");
    assert_eq!(split(&least.replacen("~A", "~B", 1)), Err(StapleFault::Version));
}
