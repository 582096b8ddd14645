//! Checkpoints that others have cosigned (vectors from Sunlight), and answers of witnesses good and bad.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use farside_crossing::cosignature::{WitnessKey, add, message};
use farside_crossing::{Code, Note};

const COSIGNED: &[u8] = include_bytes!("../../../../vectors/tlog/cosigned.checkpoint");
const MIRRORED: &[u8] = include_bytes!("../../../../vectors/tlog/mirrored.checkpoint");

fn witness_of(description: &str) -> WitnessKey {
    let description: serde_json::Value = serde_json::from_str(description).unwrap();
    description["verifier_keys"][0].as_str().unwrap().parse().unwrap()
}

fn witness() -> WitnessKey {
    witness_of(include_str!("../../../../vectors/tlog/witness.v0.json"))
}

fn mirror() -> WitnessKey {
    witness_of(include_str!("../../../../vectors/tlog/mirror.v0.json"))
}

/// A witness of our own that signs whatever it is asked to.
fn obliging(name: &str, checkpoint: &[u8], time: u64) -> (WitnessKey, Vec<u8>) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let key = WitnessKey::new(name, pair.public_key().as_ref().try_into().unwrap()).unwrap();
    let text = Note::parse(checkpoint).unwrap().text().to_owned();
    let signature = pair.sign(message(time, &text).as_bytes());
    let id = u32::from_str_radix(key.to_string().split('+').nth(1).unwrap(), 16).unwrap();
    let bytes = [&id.to_be_bytes()[..], &time.to_be_bytes(), signature.as_ref()].concat();
    let line = base64::engine::general_purpose::STANDARD.encode(bytes);
    (key, format!("\u{2014} {name} {line}\n").into_bytes())
}

#[test]
fn cosignatures_of_another_implementation_hold_for_their_checkpoint_alone() {
    let at = |witness: &WitnessKey, note: &[u8]| witness.cosigned_at(&Note::parse(note).unwrap());
    assert_eq!(at(&witness(), COSIGNED).unwrap(), Some(0x6954_6780));
    assert_eq!(at(&mirror(), MIRRORED).unwrap(), Some(0x6954_6780));
    assert_eq!(at(&mirror(), COSIGNED).unwrap(), None);
    let other = String::from_utf8(COSIGNED.to_vec()).unwrap().replacen("\n300\n", "\n301\n", 1);
    assert_eq!(at(&witness(), other.as_bytes()).unwrap_err().code(), Code::SignatureInvalid);
    assert_eq!(witness().to_string().parse::<WitnessKey>().unwrap().name(), "witness.example.org");
}

#[test]
fn a_witness_answer_is_added_only_if_it_holds_and_nothing_of_it_but_the_witness_own_line() {
    let (key, line) = obliging("w.example", MIRRORED, 1_764_000_000);
    let (_, stranger) = obliging("stranger.example", MIRRORED, 1_764_000_000);
    let added = add(MIRRORED, &[stranger.clone(), line.clone()].concat(), &key).unwrap();
    let note = Note::parse(&added).unwrap();
    assert_eq!(note.signer_names(), ["mirror.example.org", "w.example"]);
    assert_eq!(key.cosigned_at(&note).unwrap(), Some(1_764_000_000));
    let (_, later) = obliging("w.example", MIRRORED, 1_764_000_099);
    let again = add(&added, &later, &key).unwrap();
    assert_eq!(key.cosigned_at(&Note::parse(&again).unwrap()).unwrap(), Some(1_764_000_099));
    assert_eq!(Note::parse(&again).unwrap().signer_names().len(), 2, "in place of its earlier line");
    let code = |answer: &[u8]| add(MIRRORED, answer, &key).unwrap_err().code();
    assert_eq!(code(&stranger), Code::ThresholdUnmet);
    assert_eq!(code(b"welcome\n"), Code::Malformed);
    let (_, elsewhere) = obliging("w.example", COSIGNED, 1_764_000_000);
    assert_eq!(code(&elsewhere), Code::SignatureInvalid);
}
