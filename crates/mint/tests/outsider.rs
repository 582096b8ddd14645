//! An outsider checks the log with public keys alone: `tools/check_log.py` agrees with 100,000 proofs, and
//! names every kind of tampering.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod near;

use std::fs;

use farside_verify::encode::base64url;
use near::{NOW, Near, issue};
use serde_json::Value;

#[test]
fn an_outsider_agrees_on_a_hundred_thousand_proofs() {
    let near = Near::founded();
    let log = near.log();
    issue(&log, "mine2", 0..1_000);
    issue(&log, "plant7", 0..40_000);
    log.publish().unwrap();
    fs::write(near.path("older"), log.checkpoint("plant7").unwrap()).unwrap();
    issue(&log, "plant7", 40_000..99_000);
    log.publish().unwrap();
    drop(log);
    near.mint("log export --proofs --out export.jsonl --config near/mint.toml");
    let checked = near.checked(&["--export", "export.jsonl", "--older", "older"]);
    assert_eq!(checked["findings"], Value::Array(Vec::new()));
    assert_eq!(
        (&checked["shards"], &checked["leaves"], &checked["records"]),
        (&Value::from(2), &Value::from(100_000), &Value::from(100_000))
    );
    assert_eq!(checked["proofs"], 200_000, "the mint's proof and the outsider's own for each record");
}

#[test]
fn an_outsider_names_whatever_was_tampered_with() {
    let near = Near::founded();
    let log = near.log();
    issue(&log, "plant7", 0..100);
    log.publish().unwrap();
    let early = log.checkpoint("plant7").unwrap();
    fs::write(near.path("older"), &early).unwrap();
    issue(&log, "plant7", 100..300);
    log.publish().unwrap();
    drop(log);
    near.mint("log export --proofs --out export.jsonl --config near/mint.toml");
    assert_eq!(near.checked(&["--export", "export.jsonl", "--older", "older"])["agrees"], true);

    let flip = |at: usize| move |bytes: &mut Vec<u8>| bytes[at] ^= 1;
    near.tampered("near/log/tiles/plant7/tile/0/000", flip(77), "do not make the checkpoint's root");
    near.tampered("near/log/tiles/plant7/tile/1/000.p/1", flip(3), "a tile of level 1");
    near.tampered("near/log/tiles/plant7/tile/entries/000", flip(40), "is not what its leaf commits to");
    near.tampered("near/log/tiles/plant7/tile/0/000", |tile| tile.truncate(320), "hashes wide");
    let checkpoint = "near/log/tiles/plant7/checkpoint";
    near.tampered(checkpoint, |note| replace(note, "\n300\n", "\n299\n"), "has not signed it");
    near.tampered(
        checkpoint,
        |note| replace(note, "/plant7\n", "/mine2\n"),
        "not a checkpoint of this shard",
    );
    let rolled_back = |note: &mut Vec<u8>| note.clone_from(&early);
    near.tampered(checkpoint, rolled_back, "shard plant7: ");
    let hash = |number: u64| base64url(farside_service::digest::sha256(&number.to_le_bytes()));
    let forged = |lines: &mut Vec<u8>| replace(lines, &hash(7), &hash(999));
    near.tampered("export.jsonl", forged, "line 8 of the export");
    let moved = |lines: &mut Vec<u8>| replace(lines, "\"index\":9,", "\"index\":10,");
    near.tampered("export.jsonl", moved, "line 10 of the export");
    let size = |lines: &mut Vec<u8>| replace(lines, "\"size\":300", "\"size\":299");
    near.tampered("export.jsonl", size, "the mint's proof does not lead to the root");
    near.finds(
        &["--witness", "w+b8a2cf20+BFLN3yikSfFkVAJtrnh/CiY3Zozkoy7clp+P7XB28qUN"],
        "has not cosigned it",
    );
}

#[test]
fn an_outsider_sees_that_two_heads_are_of_two_logs() {
    let (one, other) = (Near::founded(), Near::founded());
    let log = one.log();
    issue(&log, "plant7", 0..10);
    log.publish().unwrap();
    drop(log);
    // The same key signs another history: a mint that was made to lie to somebody.
    fs::copy(one.path("near/keys/log.key"), other.path("near/keys/log.key")).unwrap();
    fs::copy(one.path("near/keys/log.pub"), other.path("near/keys/log.pub")).unwrap();
    let lying = other.log();
    issue(&lying, "plant7", 1..5);
    lying.publish().unwrap();
    fs::write(one.path("older"), lying.checkpoint("plant7").unwrap()).unwrap();
    one.finds(&["--older", "older"], "the log has forked");
}

#[test]
fn a_redaction_keeps_every_proof_valid() {
    use farside_mint::log::index::{Index, Query};
    let near = Near::founded();
    let log = near.log();
    issue(&log, "plant7", 0..300);
    log.publish().unwrap();
    let position = "plant7-7".parse().unwrap();
    let before = log.prove(&position).unwrap();
    let index = Index::open(&near.path("near/log")).unwrap();
    let query = Query { subject: Some("person-7".to_owned()), ..Query::default() };
    assert_eq!(log.redact(&index, &query, NOW + 10_000).unwrap().records, 1);
    assert_eq!(log.prove(&position).unwrap(), before);
    drop(log);
    let log = near.log();
    assert_eq!(log.prove(&position).unwrap(), before, "and after a restart");
    drop(log);
    let export = near.mint("log export --proofs --out export.jsonl --config near/mint.toml");
    assert!(export.contains("300 records"));
    assert!(!fs::read_to_string(near.path("export.jsonl")).unwrap().contains("\"person-7\""));
    let checked = near.checked(&["--export", "export.jsonl"]);
    assert_eq!((&checked["agrees"], &checked["proofs"]), (&Value::from(true), &Value::from(600)));
}

#[test]
fn tiles_and_heads_hold_nothing_of_whom_a_token_was_for() {
    let near = Near::founded();
    let log = near.log();
    issue(&log, "plant7", 0..300);
    log.publish().unwrap();
    drop(log);
    let mut folders = vec![near.path("near/log/tiles")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).unwrap();
            for private in ["person-", "client:c1", "historian"] {
                let holds = bytes.windows(private.len()).any(|window| window == private.as_bytes());
                assert!(!holds, "{} holds {private}", path.display());
            }
        }
    }
    assert!(files >= 6, "a checkpoint, tiles of two levels and entries");
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains(from), "nothing to change: {from}");
    *bytes = text.replacen(from, to, 1).into_bytes();
}
