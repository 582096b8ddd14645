//! The charter: first trust, following, and what a stolen or careless key can not do to it.

use farside_crossing::{
    Charter, CharterDraft, Code, ExpectedFingerprint, MlDsaLevel, RoleName, bundle, charter, note,
};

use crate::support::{NOW, Realm, TestSigner, draft, role, signers};

fn signed(draft: &CharterDraft, list: &[&TestSigner]) -> Vec<u8> {
    note::sign(&draft.text().unwrap(), &signers(list)).unwrap()
}

fn refused(trusted: &Charter, next: &[u8]) -> Code {
    charter::follow(trusted, next).unwrap_err().code()
}

#[test]
fn first_trust_is_by_fingerprint_in_hex_or_words() {
    let realm = Realm::new();
    let fingerprint = realm.charter.fingerprint();
    for said in [fingerprint.hex(), fingerprint.words()] {
        let expected: ExpectedFingerprint = said.parse().unwrap();
        assert_eq!(charter::open_first(&realm.charter_note, &expected).unwrap(), realm.charter);
    }
    let other: ExpectedFingerprint = "00".repeat(32).parse().unwrap();
    let refusal = charter::open_first(&realm.charter_note, &other).unwrap_err();
    assert_eq!(refusal.code(), Code::FingerprintMismatch);
}

#[test]
fn first_trust_needs_the_charters_own_threshold() {
    let realm = Realm::new();
    let draft = charter::review(&realm.charter_note).unwrap().draft;
    let half = signed(&draft, &[&realm.root[0]]);
    let refusal = charter::open_first(&half, &realm.charter.fingerprint().into()).unwrap_err();
    assert_eq!(refusal.code(), Code::ThresholdUnmet);
    assert_eq!(charter::review(&half).unwrap().signed, ["ada"]);
}

#[test]
fn a_new_root_needs_the_old_and_the_new_threshold() {
    let realm = Realm::new();
    let [ada, ben, cleo] = &realm.root;
    let (dora, emil) = (TestSigner::new("dora", 4), TestSigner::new("emil", 5));
    let next = realm.next_root(&realm.charter, 2, &[cleo, &dora, &emil]);
    assert_eq!(refused(&realm.charter, &signed(&next, &[&dora, &emil])), Code::ThresholdUnmet);
    assert_eq!(refused(&realm.charter, &signed(&next, &[ada, ben])), Code::ThresholdUnmet);
    assert_eq!(refused(&realm.charter, &signed(&next, &[ada, cleo, ben])), Code::ThresholdUnmet);
    let charter = charter::follow(&realm.charter, &signed(&next, &[ada, cleo, &dora])).unwrap();
    assert_eq!(charter.version(), 2);
}

#[test]
fn a_charter_must_follow_its_predecessor() {
    let realm = Realm::new();
    let root = [&realm.root[0], &realm.root[1]];
    let next = realm.charter.successor(NOW + 1);
    let skipped = CharterDraft { version: 3, ..next.clone() };
    assert_eq!(refused(&realm.charter, &signed(&skipped, &root)), Code::CharterBroken);
    let orphan = CharterDraft { prev: Some(farside_crossing::Digest::of(b"else")), ..next.clone() };
    assert_eq!(refused(&realm.charter, &signed(&orphan, &root)), Code::CharterBroken);
    let earlier = CharterDraft { issued_at: NOW - 1, ..next.clone() };
    assert_eq!(refused(&realm.charter, &signed(&earlier, &root)), Code::CharterBroken);
    let foreign = CharterDraft { realm: "other".into(), ..next.clone() };
    assert_eq!(refused(&realm.charter, &signed(&foreign, &root)), Code::WrongRealm);
    assert_eq!(refused(&realm.charter, &realm.charter_note), Code::CharterBroken);
}

#[test]
fn an_online_key_never_stands_in_a_role_that_loosens() {
    let realm = Realm::new();
    let halves = [(20, 99), (99, 20)];
    for (ed25519, ml_dsa) in halves {
        let shared = TestSigner::with("other-name", ed25519, ml_dsa, MlDsaLevel::MlDsa65);
        let release =
            CharterDraft { release: role(RoleName::Release, 1, &[&shared]), ..realm.charter.successor(NOW) };
        let root = realm.next_root(&realm.charter, 1, &[&shared]);
        for draft in [release, root] {
            assert_eq!(draft.text().unwrap_err().code(), Code::CharterUnsafe);
        }
    }
}

#[test]
fn several_charters_missed_at_once_are_followed() {
    let realm = Realm::new();
    let mut chain = vec![realm.charter_note.clone()];
    let mut newest = realm.charter.clone();
    let mut root = vec![TestSigner::new("ada", 1), TestSigner::new("ben", 2)];
    for step in 0..5u8 {
        let next_root = vec![
            TestSigner::new(&format!("p{step}"), 40 + step),
            TestSigner::new(&format!("q{step}"), 60 + step),
        ];
        let draft = realm.next_root(&newest, 2, &[&next_root[0], &next_root[1]]);
        let note = signed(&draft, &[&root[0], &root[1], &next_root[0], &next_root[1]]);
        newest = charter::follow(&newest, &note).unwrap();
        chain.push(note);
        root = next_root;
    }
    let notes: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let packed = |notes: &[&[u8]]| {
        realm.full_writer(draft(1, None)).charters(6, notes).finish(&[&realm.online]).unwrap().bytes
    };
    let whole = packed(&notes);
    let opened = bundle::open(&whole, &realm.charter, "plant").unwrap();
    assert_eq!(opened.charter(), &newest);
    assert_eq!(opened.charters_new().len(), 5);
    // A chain with a hole is not followed, wherever the hole is.
    for hole in 1..5 {
        let mut torn = notes.clone();
        torn.remove(hole);
        let refusal = bundle::open(&packed(&torn), &realm.charter, "plant").unwrap_err();
        assert_eq!(refusal.code(), Code::CharterBroken, "without {hole}");
    }
}

#[test]
fn another_charter_of_the_trusted_version_is_refused() {
    let realm = Realm::new();
    let twin = CharterDraft { issued_at: NOW + 5, ..charter::review(&realm.charter_note).unwrap().draft };
    let twin = signed(&twin, &[&realm.root[0], &realm.root[1]]);
    let bytes =
        realm.full_writer(draft(1, None)).charters(1, &[&twin]).finish(&[&realm.online]).unwrap().bytes;
    assert_eq!(bundle::open(&bytes, &realm.charter, "plant").unwrap_err().code(), Code::CharterBroken);
}

#[test]
fn the_manifest_is_signed_by_the_newest_charters_online_key() {
    let realm = Realm::new();
    let newer = TestSigner::new("mint-2", 21);
    let next = CharterDraft { online: role(RoleName::Online, 1, &[&newer]), ..realm.charter.successor(NOW) };
    let next = signed(&next, &[&realm.root[0], &realm.root[1]]);
    let pack = |online: &TestSigner| {
        realm.full_writer(draft(1, None)).charters(2, &[&next]).finish(&[online]).unwrap().bytes
    };
    assert!(bundle::open(&pack(&newer), &realm.charter, "plant").is_ok());
    let refusal = bundle::open(&pack(&realm.online), &realm.charter, "plant").unwrap_err();
    assert_eq!(refusal.code(), Code::ThresholdUnmet);
}

#[test]
fn a_gate_that_missed_two_hundred_charters_follows_them_from_a_bundle_and_from_a_file() {
    let realm = Realm::new();
    let root = [&realm.root[0], &realm.root[1]];
    let (mut chain, mut newest) = (vec![realm.charter_note.clone()], realm.charter.clone());
    for step in 1..=200 {
        let note = signed(&newest.successor(NOW + step), &root);
        newest = charter::follow(&newest, &note).unwrap();
        chain.push(note);
    }
    let notes: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let writer = realm.full_writer(draft(1, None)).charters(201, &notes);
    let bytes = writer.finish(&[&realm.online]).unwrap().bytes;
    let opened = bundle::open(&bytes, &realm.charter, "plant").unwrap();
    assert_eq!((opened.charter().version(), opened.charters_new().len()), (201, 200));

    let file = charter::chain_file("acme", &notes[1..]);
    assert!(charter::is_chain_file(&file) && !charter::is_chain_file(&bytes));
    assert_eq!(charter::follow_chain_file(&realm.charter, &file).unwrap().last(), Some(&newest));
    assert!(charter::follow_chain_file(&newest, &file).unwrap().is_empty(), "nothing new, and no error");
    let late = charter::chain_file("acme", &notes[5..]);
    let refusal = charter::follow_chain_file(&realm.charter, &late).unwrap_err();
    assert_eq!(refusal.code(), Code::CharterBroken);
    assert!(refusal.cure().contains("--since 1"), "{}", refusal.cure());
}

#[test]
fn a_file_of_charters_that_is_not_one_is_refused() {
    let realm = Realm::new();
    let next = signed(&realm.charter.successor(NOW), &[&realm.root[0], &realm.root[1]]);
    let whole = charter::chain_file("acme", &[&next]);
    let refused = |bytes: &[u8]| charter::follow_chain_file(&realm.charter, bytes).unwrap_err().code();
    assert_eq!(refused(&charter::chain_file("other", &[&next])), Code::WrongRealm);
    for cut in [3, 20, whole.len() / 2, whole.len() - 1] {
        assert_eq!(refused(&whole[..cut]), Code::Malformed, "cut at {cut}");
    }
    let lie = String::from_utf8(whole.clone()).unwrap().replacen("acme 1", "acme 2", 1);
    assert_eq!(refused(lie.as_bytes()), Code::Malformed);
    let half = signed(&realm.charter.successor(NOW), &[&realm.root[0]]);
    assert_eq!(refused(&charter::chain_file("acme", &[&half])), Code::ThresholdUnmet);
}
