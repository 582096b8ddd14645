//! Hostile signed content: what an insider with the right key might sign. Everything is refused or harmless.

use std::io::Write as _;

use farside_crossing::{Code, ExpectedFingerprint, bundle, charter, inspect, note};
use proptest::prelude::*;

use crate::fuzz_targets::sealed;
use crate::support::{NOW, Realm, draft};

/// A bundle whose manifest text was edited before signing.
fn with_manifest(realm: &Realm, edit: impl Fn(String) -> String) -> Vec<u8> {
    let packed = realm.full(2, None);
    let end = packed.bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    let head = std::str::from_utf8(&packed.bytes[..end]).unwrap();
    let length: usize = head.split(' ').nth(1).unwrap().parse().unwrap();
    let text = farside_crossing::Note::parse(&packed.bytes[end..end + length]).unwrap().text().to_owned();
    let manifest = note::sign(&edit(text), &[&realm.online]).unwrap();
    let head = format!("farside-bundle/1 {} 0\n", manifest.len());
    [head.as_bytes(), &manifest, &packed.bytes[end + length..]].concat()
}

#[test]
fn hostile_manifests_are_refused() {
    let realm = Realm::small();
    let code = |edit: &dyn Fn(String) -> String| {
        let bytes = with_manifest(&realm, edit);
        bundle::open(&bytes, &realm.charter, "plant").map(|_| ()).map_err(|refusal| refusal.code())
    };
    assert_eq!(code(&|text| text), Ok(()));
    let head = |name: &str, lines: u64| {
        format!("{{\"name\":\"{name}\",\"lines\":{lines},\"head\":\"{}\"}}", "0".repeat(64))
    };
    let heads = |heads: &[String]| format!("\"seq\": 2, \"journals\": [{}]", heads.join(","));
    let many: Vec<String> = (0..17).map(|n| head(&format!("j{n}"), 1)).collect();
    assert_eq!(code(&|text| text.replacen("\"seq\": 2", &heads(&many[..16]), 1)), Ok(()));
    for (wrong, expected) in [
        (heads(&many), Code::TooLarge),
        (heads(&[head("mint", 0)]), Code::Malformed),
        (heads(&[head("mint", 1), head("mint", 2)]), Code::Malformed),
        (heads(&[head("../mint", 1)]), Code::Malformed),
    ] {
        assert_eq!(code(&|text| text.replacen("\"seq\": 2", &wrong, 1)), Err(expected), "{wrong}");
    }
    let cases: [(&str, &str, Code); 16] = [
        ("\"seq\": 2", "\"seq\": 2, \"seq\": 2", Code::Malformed),
        ("\"seq\": 2", "\"seq\": 2, \"extra\": 1", Code::Malformed),
        ("\"seq\": 2", "\"seq\": 0", Code::Malformed),
        ("\"seq\": 2", "\"seq\": 1", Code::Malformed),
        ("\"seq\": 2", "\"seq\": -2", Code::Malformed),
        ("\"seq\": 2", "\"seq\": 9007199254740992", Code::Malformed),
        ("\"seq\": 2", "\"seq\": \"2\"", Code::Malformed),
        ("\"realm\": \"acme\"", "\"realm\": \"other\"", Code::WrongRealm),
        ("\"site\": \"plant\"", "\"site\": \"other\"", Code::WrongSite),
        ("farside-manifest/1 acme plant", "farside-manifest/1 acme other", Code::WrongSite),
        ("farside-manifest/1", "farside-manifest/2", Code::VersionUnsupported),
        ("farside-manifest/1", "farside-keys/1", Code::Malformed),
        ("\"type\": \"status\"", "\"type\": \"novelty\"", Code::ComponentUnknown),
        ("\"sealed\": false", "\"sealed\": true", Code::Malformed),
        ("\"kind\": \"full\"", "\"kind\": \"delta\"", Code::Malformed),
        ("\"type\": \"keys\"", "\"type\": \"charter\"", Code::ComponentMissing),
    ];
    for (from, to, expected) in cases {
        assert_eq!(code(&|text| text.replacen(from, to, 1)), Err(expected), "{from} -> {to}");
    }
    let longer = |text: String| text.replacen("\"len\": ", "\"len\": 9", 1);
    assert_eq!(code(&longer), Err(Code::Truncated));
    let relabelled = |text: String| text.replacen("\"version\": 1", "\"version\": 3", 1);
    assert_eq!(code(&relabelled), Err(Code::ComponentRollback));
    let trailing = |text: String| format!("{text}{{}}\n");
    assert_eq!(code(&trailing), Err(Code::Malformed));
    let deep = |_: String| format!("farside-manifest/1 acme plant\n{}\n", "[".repeat(30_000));
    assert_eq!(code(&deep), Err(Code::Malformed));
}

#[test]
fn hostile_first_lines_are_refused() {
    let realm = Realm::small();
    let cases: [(&[u8], Code); 10] = [
        (b"", Code::Truncated),
        (b"PK\x03\x04", Code::Malformed),
        (b"farside-bundle/2 1 0\n", Code::VersionUnsupported),
        (b"farside-bundle/1 1\n", Code::Malformed),
        (b"farside-bundle/1 01 0\n", Code::Malformed),
        (b"farside-bundle/1 -1 0\n", Code::Malformed),
        (b"farside-bundle/1 65537 0\n", Code::TooLarge),
        (b"farside-bundle/1 99999999999999999999 0\n", Code::Malformed),
        (b"farside-bundle/1 100 268435457\n", Code::TooLarge),
        (&[b'f'; 100], Code::Malformed),
    ];
    for (bytes, code) in cases {
        let refusal = bundle::open(bytes, &realm.charter, "plant").unwrap_err();
        assert_eq!(refusal.code(), code, "{:?}", String::from_utf8_lossy(bytes));
    }
    let endless = [b"farside-bundle/1 ".as_slice(), &[b'1'; 80]].concat();
    assert_eq!(bundle::open(&endless, &realm.charter, "plant").unwrap_err().code(), Code::Malformed);
}

#[test]
fn hostile_charters_are_refused() {
    let realm = Realm::small();
    let text = charter::review(&realm.charter_note).unwrap().draft.text().unwrap();
    let code = |edited: String| {
        let bytes = note::sign(&edited, &[&realm.root[0], &realm.root[1]]).unwrap();
        let seen = farside_crossing::Digest::of(edited.as_bytes()).hex();
        let expected: ExpectedFingerprint = seen.parse().unwrap();
        charter::open_first(&bytes, &expected).map(|_| ()).map_err(|refusal| refusal.code())
    };
    assert_eq!(code(text.clone()), Ok(()));
    for (from, to) in [
        ("\"threshold\": 2", "\"threshold\": 0"),
        ("\"threshold\": 2", "\"threshold\": 4"),
        ("\"threshold\": 2", "\"threshold\": 1, \"threshold\": 2"),
        ("\"version\": 1", "\"version\": 2"),
        ("farside-charter/1 acme 1", "farside-charter/1 acme 2"),
        ("farside-charter/1 acme 1", "farside-charter/1 acme 01"),
        ("\"realm\": \"acme\"", "\"realm\": \"acme\", \"god\": true"),
        ("farside-signer/1 ada", "farside-signer/1 ben"),
        ("ml-dsa-65", "ml-dsa-44"),
    ] {
        let refused = code(text.replacen(from, to, 1)).unwrap_err();
        // A rule broken inside a signer's line surfaces as JSON that does not fit.
        assert!(matches!(refused, Code::Malformed | Code::CharterUnsafe), "{from}: {}", refused.as_str());
    }
}

/// What a thief of the online key could seal: any plaintext, under true signatures.
fn unpacked(compressed: &[u8]) -> Result<usize, Code> {
    let realm = Realm::small();
    let writer = realm.full_writer(draft(2, None)).parcels(sealed(compressed));
    let packed = writer.finish(&[&realm.online]).unwrap();
    let opened = bundle::open(&packed.bytes, &realm.charter, "plant").unwrap();
    let parcels = opened.parcels(&realm.secret).map_err(|refusal| refusal.code())?.unwrap();
    parcels
        .map(|parcel| parcel.map_err(|refusal| refusal.code()))
        .try_fold(0, |n, parcel| parcel.map(|_| n + 1))
}

fn compressed(lines: impl Iterator<Item = String>, window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    lines.for_each(|line| encoder.write_all(line.as_bytes()).unwrap());
    encoder.finish().unwrap()
}

const HEADING: &str = "{\"farside-parcels\":1,\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA\"}\n";

fn parcel_line(spaces: usize) -> String {
    let (token, gap) = ("a".repeat(16_384), " ".repeat(spaces));
    format!("{{\"token\":\"{token}\",{gap}\"sub\":\"s\",\"claim\":\"file\"}}\n")
}

#[test]
fn decompression_bombs_stop_at_their_limits() {
    let with = |lines: Vec<String>, log| compressed(std::iter::once(HEADING.to_owned()).chain(lines), log);
    assert_eq!(unpacked(&with(vec![parcel_line(10)], 20)), Ok(1));
    assert_eq!(unpacked(&with(vec![parcel_line(17_000)], 20)), Err(Code::TooLarge));
    assert_eq!(unpacked(&with(vec![parcel_line(10)], 27)), Err(Code::Malformed));
    // 300 MiB of good parcels, a few kilobytes on the stick.
    let many = std::iter::repeat_n(parcel_line(16_000), 9_700);
    let bomb = compressed(std::iter::once(HEADING.to_owned()).chain(many), 20);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    assert_eq!(unpacked(&bomb), Err(Code::TooLarge));
}

#[test]
fn a_chain_of_charters_that_is_too_long_is_refused_unread() {
    let realm = Realm::small();
    let junk = vec![b'x'; charter::CHAIN_BYTES_MAX];
    let packed = realm.full_writer(draft(1, None)).charters(1, &[&junk]).finish(&[&realm.online]).unwrap();
    let refusal = bundle::open(&packed.bytes, &realm.charter, "plant").unwrap_err();
    assert_eq!(refusal.code(), Code::TooLarge);
}

proptest! {
    #[test]
    fn any_bytes_after_the_magic_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let realm = Realm::small();
        let whole = [b"farside-bundle/1 200 100\n", &bytes[..]].concat();
        prop_assert!(bundle::open(&whole, &realm.charter, "plant").is_err());
        prop_assert!(inspect::inspect(&whole).fault.is_some());
        let _ = charter::review(&bytes);
        let _ = farside_crossing::leaves::read(&bytes);
    }

    #[test]
    fn manifests_come_back_as_packed(seq in 2u64..1_000_000, life in 1u64..1_000_000) {
        let realm = Realm::small();
        let draft = farside_crossing::Draft { not_after: NOW + life, next_by: NOW, ..draft(seq, None) };
        let packed = realm.full_writer(draft).finish(&[&realm.online]).unwrap();
        let opened = bundle::open(&packed.bytes, &realm.charter, "plant").unwrap();
        prop_assert_eq!(opened.manifest(), &packed.manifest);
    }
}
