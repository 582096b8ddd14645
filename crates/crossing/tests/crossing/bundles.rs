//! Bundles: what opens, what is refused and by which code; forgeries with a stolen online key.

use farside_crossing::manifest::Kind;
use farside_crossing::{
    Code, Draft, Kind as BundleKind, LogKey, Packed, Parcel, PardonDocument, RawJson, StaleMax, Writer,
    bundle, inspect, leaves, note,
};

use crate::support::{NOW, Realm, TestSigner, based, draft, signers};

fn refused(realm: &Realm, bytes: &[u8]) -> Code {
    bundle::open(bytes, &realm.charter, "plant").map(|_| ()).unwrap_err().code()
}

#[test]
fn a_full_bundle_opens_whole() {
    let realm = Realm::new();
    let parcel = Parcel {
        token: "e30.e30.c2ln".into(),
        sub: "svc-7".into(),
        aud: Some("historian".into()),
        claim: farside_crossing::Claim::File,
    };
    let mut leaf_runs = Vec::new();
    let hashes = [[1; 32], [2; 32]];
    leaves::push_run(&mut leaf_runs, &leaves::Run { shard: "a", first: 7, proof: b"", hashes: &hashes })
        .unwrap();
    let packed = realm
        .full_writer(draft(4, None))
        .charters(1, &[&realm.charter_note])
        .leaves(leaf_runs)
        .parcels(realm.seal(4, std::slice::from_ref(&parcel)))
        .finish(&[&realm.online])
        .unwrap();
    let opened = bundle::open(&packed.bytes, &realm.charter, "plant").unwrap();
    assert_eq!(opened.digest(), packed.digest);
    assert_eq!(opened.manifest(), &packed.manifest);
    assert_eq!(opened.signers(), ["mint"]);
    assert_eq!(opened.keys(), Some(&realm.keys(1)));
    assert_eq!(opened.policy(), Some(&realm.policy(1)));
    assert_eq!(opened.status(), Some(&realm.status(1)));
    assert_eq!(opened.leaves().unwrap()[0].hashes, hashes);
    assert!(opened.charters_new().is_empty());
    let reader = opened.parcels(&realm.secret).unwrap().unwrap();
    assert_eq!(reader.nonce(), [5; 16]);
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), [parcel]);
}

#[test]
fn the_same_inputs_give_the_same_bundle() {
    let realm = Realm::new();
    // ML-DSA signatures are randomised: release notes are signed once, as at a mint.
    let keys = realm.released(realm.keys(1).text());
    let policy = realm.released(realm.policy(1).text());
    let pack = || {
        let writer = Writer::new(draft(1, None)).keys(&keys).unwrap().policy(&policy).unwrap();
        let writer = writer.status(&realm.status(1)).unwrap().parcels(realm.seal(1, &[]));
        writer.finish(&[&realm.online]).unwrap()
    };
    let (one, other) = (pack(), pack());
    assert_eq!(one.manifest, other.manifest);
    assert_eq!(one.digest, other.digest);
    assert_eq!(one.bytes.len(), other.bytes.len());
}

#[test]
fn a_beacon_is_small_and_opens() {
    let realm = Realm::small();
    let full = realm.full(1, None);
    let beacon = Writer::new(based(Kind::Beacon, 2, full.digest, &full));
    let beacon = beacon.finish(&[&realm.online]).unwrap();
    assert!(bundle::open(&beacon.bytes, &realm.charter, "plant").is_ok());
    assert!(beacon.bytes.len() < 4_200, "{}", beacon.bytes.len());
}

/// Flips bits one by one and expects none to go unnoticed.
fn flip(realm: &Realm, packed: &Packed, flips: impl Iterator<Item = (usize, usize)>) {
    let mut bytes = packed.bytes.clone();
    for (place, bit) in flips {
        bytes[place] ^= 1 << bit;
        let opened = bundle::open(&bytes, &realm.charter, "plant");
        assert!(opened.is_err(), "bit {bit} of byte {place} was not noticed");
        bytes[place] ^= 1 << bit;
    }
}

#[test]
fn every_bit_flip_is_refused() {
    let realm = Realm::small();
    let full = realm.full(1, None);
    let delta = Writer::new(based(Kind::Delta, 2, full.digest, &full)).status(&realm.status(2)).unwrap();
    let delta = delta.finish(&[&realm.online]).unwrap();
    flip(&realm, &delta, (0..delta.bytes.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))));
}

#[test]
fn flips_all_over_a_bundle_with_everything_are_refused() {
    let realm = Realm::small();
    let writer = realm.full_writer(draft(2, None)).charters(1, &[&realm.charter_note]);
    let packed = writer.parcels(realm.seal(2, &[])).finish(&[&realm.online]).unwrap();
    flip(&realm, &packed, (0..packed.bytes.len()).step_by(11).map(|place| (place, place % 8)));
}

#[test]
fn every_truncation_is_refused_with_a_stable_code() {
    let realm = Realm::small();
    let bytes = realm.full(1, None).bytes;
    for length in 0..bytes.len() {
        let code = refused(&realm, &bytes[..length]);
        assert!(code == Code::Truncated, "cut at {length}: {}", code.as_str());
    }
    let mut longer = bytes.clone();
    longer.push(b'x');
    assert_eq!(refused(&realm, &longer), Code::Malformed);
}

#[test]
fn a_stolen_online_key_cannot_add_a_key() {
    let realm = Realm::new();
    let mut document = realm.keys(2);
    document.jwks = RawJson::new(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"#).unwrap();
    let forged = note::sign(&document.text().unwrap(), &[&realm.online]).unwrap();
    let pack = |keys: &[u8]| {
        let writer = Writer::new(draft(2, None)).keys(keys).unwrap();
        let writer = writer.policy(&realm.released(realm.policy(1).text())).unwrap();
        writer.status(&realm.status(1)).unwrap().finish(&[&realm.online]).unwrap().bytes
    };
    assert_eq!(refused(&realm, &pack(&forged)), Code::RoleForbidden);
    // Signed by nobody, or by a stranger who calls himself as the release person does.
    assert_eq!(refused(&realm, &pack(&note::unsigned(&document.text().unwrap()))), Code::ThresholdUnmet);
    let stranger = TestSigner::new("rita", 77);
    let forged = note::sign(&document.text().unwrap(), &[&stranger]).unwrap();
    assert_eq!(refused(&realm, &pack(&forged)), Code::ThresholdUnmet);
    // The true signature over other keys.
    let honest = String::from_utf8(realm.released(realm.keys(2).text())).unwrap();
    let swapped = honest.replace(r#"{"keys":[]}"#, document.jwks.as_str());
    assert_eq!(refused(&realm, &pack(swapped.as_bytes())), Code::SignatureInvalid);
}

#[test]
fn a_tier_may_not_outlast_that_of_a_laxer_action() {
    let realm = Realm::new();
    let tiers = |read, write, safety| {
        let mut policy = realm.policy(1);
        policy.audiences[0].stale_seconds_max = StaleMax { read, write, safety };
        policy.text().map(|_| ()).map_err(|refusal| refusal.code())
    };
    assert_eq!(tiers(Some(3), Some(2), Some(1)), Ok(()));
    assert_eq!(tiers(Some(3), None, Some(3)), Ok(()));
    assert_eq!(tiers(None, Some(2), None), Ok(()));
    let refused =
        [(Some(2), Some(3), None), (Some(2), None, Some(3)), (None, Some(2), Some(3)), (Some(0), None, None)];
    for (read, write, safety) in refused {
        assert_eq!(tiers(read, write, safety), Err(Code::Malformed), "{read:?} {write:?} {safety:?}");
    }
}

#[test]
fn a_stolen_online_key_cannot_loosen_policy_or_fence_or_pardon() {
    let realm = Realm::new();
    let by_online = |text: String| note::sign(&text, &[&realm.online]).unwrap();
    let fence = farside_crossing::fence::FenceDocument {
        realm: "acme".into(),
        site: "plant".into(),
        version: 1,
        issued_at: NOW,
        seq_min: 1,
        seq_max: 9,
    };
    let subjects = vec!["mallory".into()];
    let pardon = PardonDocument { subjects, ..PardonDocument::empty("acme", "plant", 1, NOW) };
    let keys = realm.released(realm.keys(1).text());
    let begin = || Writer::new(draft(2, None)).keys(&keys).unwrap();
    let policy = realm.released(realm.policy(1).text());
    let policy_forged = begin().policy(&by_online(realm.policy(2).text().unwrap())).unwrap();
    let fence_forged = begin().policy(&policy).unwrap().fence(&by_online(fence.text().unwrap())).unwrap();
    let pardon_forged = begin().policy(&policy).unwrap().pardon(&by_online(pardon.text().unwrap())).unwrap();
    for writer in [policy_forged, fence_forged, pardon_forged] {
        let packed = writer.status(&realm.status(1)).unwrap().finish(&[&realm.online]).unwrap();
        assert_eq!(refused(&realm, &packed.bytes), Code::RoleForbidden);
    }
}

#[test]
fn an_old_release_document_cannot_be_relabelled_or_moved() {
    let realm = Realm::new();
    // One kind of document shown as another: the first line separates them.
    let text = realm.keys(1).text().unwrap().replace("farside-keys/1", "farside-policy/1");
    let shown = note::sign(&text, &[&realm.release]).unwrap();
    let writer = Writer::new(draft(2, None)).keys(&shown).unwrap();
    let writer = writer.policy(&realm.released(realm.policy(1).text())).unwrap();
    let packed = writer.status(&realm.status(1)).unwrap().finish(&[&realm.online]).unwrap();
    assert_eq!(refused(&realm, &packed.bytes), Code::Malformed);
    // Another site's keys.
    let mut foreign = realm.keys(1);
    foreign.site = "harbour".into();
    let writer = Writer::new(draft(2, None)).keys(&realm.released(foreign.text())).unwrap();
    let writer = writer.policy(&realm.released(realm.policy(1).text())).unwrap();
    let packed = writer.status(&realm.status(1)).unwrap().finish(&[&realm.online]).unwrap();
    assert_eq!(refused(&realm, &packed.bytes), Code::WrongSite);
}

#[test]
fn the_manifest_must_be_the_online_roles() {
    let realm = Realm::new();
    let writer = realm.full_writer(draft(1, None));
    let by_release = writer.clone().finish(&[&realm.release]).unwrap();
    assert_eq!(refused(&realm, &by_release.bytes), Code::RoleForbidden);
    let by_stranger = writer.clone().finish(&[&TestSigner::new("mint", 66)]).unwrap();
    assert_eq!(refused(&realm, &by_stranger.bytes), Code::ThresholdUnmet);
    let by_nobody = writer.finish(&signers(&[])).unwrap();
    assert_eq!(refused(&realm, &by_nobody.bytes), Code::ThresholdUnmet);
}

#[test]
fn another_site_or_realm_is_refused() {
    let realm = Realm::new();
    let bytes = realm.full(1, None).bytes;
    let refusal = bundle::open(&bytes, &realm.charter, "harbour").unwrap_err();
    assert_eq!(refusal.code(), Code::WrongSite);
    let stranger = TestSigner::new("mint", 66);
    let draft = Draft { realm: "other".into(), kind: BundleKind::Full, ..draft(1, None) };
    let bytes = realm.full_writer(draft).finish(&[&stranger]).unwrap().bytes;
    assert_eq!(refused(&realm, &bytes), Code::WrongRealm);
}

#[test]
fn the_writer_refuses_what_the_gate_would() {
    let realm = Realm::new();
    let backwards = Draft { next_by: NOW + 90_000, ..draft(1, None) };
    assert!(realm.full_writer(backwards).finish(&[&realm.online]).is_err());
    let first_with_past = Draft { prev: Some(farside_crossing::Digest::of(b"x")), ..draft(1, None) };
    assert!(realm.full_writer(first_with_past).finish(&[&realm.online]).is_err());
    let bare = Writer::new(draft(1, None)).finish(&[&realm.online]);
    assert!(bare.unwrap_err().to_string().contains("must carry"));
    let full = realm.full(1, None);
    let loaded = Writer::new(based(Kind::Beacon, 2, full.digest, &full));
    assert!(loaded.status(&realm.status(1)).unwrap().finish(&[&realm.online]).is_err());
    let twice = realm.full_writer(draft(1, None)).status(&realm.status(2)).unwrap();
    assert!(twice.finish(&[&realm.online]).is_err());
}

#[test]
fn inspection_shows_and_never_fails() {
    let realm = Realm::small();
    let packed = realm
        .full_writer(draft(3, None))
        .charters(1, &[&realm.charter_note])
        .finish(&[&realm.online])
        .unwrap();
    let seen = inspect::inspect(&packed.bytes);
    assert!(!seen.verified && seen.fault.is_none());
    assert_eq!(seen.digest, Some(packed.digest));
    assert_eq!(seen.signer_names, ["mint"]);
    assert_eq!(seen.charters[0].signer_names, ["ada", "ben"]);
    assert!(seen.components.iter().all(|component| component.digest_ok));
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["manifest"]["seq"], 3);
    assert_eq!(json["manifest"]["components"][0]["type"], "charter");
    let mut damaged = packed.bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(inspect::inspect(&damaged).components.iter().any(|component| !component.digest_ok));
    for length in (0..packed.bytes.len()).step_by(97) {
        assert!(inspect::inspect(&packed.bytes[..length]).fault.is_some());
    }
}

#[test]
fn leaves_are_borrowed_and_bounded() {
    let hashes = vec![[7; 32]; 1_000];
    let mut component = Vec::new();
    leaves::push_run(&mut component, &leaves::Run { shard: "a", first: 5, proof: b"cp\n", hashes: &hashes })
        .unwrap();
    leaves::push_run(&mut component, &leaves::Run { shard: "b", first: 0, proof: b"", hashes: &[] }).unwrap();
    let runs = leaves::read(&component).unwrap();
    assert_eq!((runs[0].first, runs[0].proof, runs[0].hashes.len()), (5, &b"cp\n"[..], 1_000));
    assert!(component.as_ptr_range().contains(&runs[0].hashes.as_ptr().cast()));
    assert_eq!(leaves::read(&component[..component.len() - 1]).unwrap_err().code(), Code::Malformed);
    let doubled = [component.clone(), component].concat();
    assert_eq!(leaves::read(&doubled).unwrap_err().code(), Code::Malformed);
    for (line, code) in [
        ("farside-leaves/1 a 0 4194305 0\n", Code::TooLarge),
        ("farside-leaves/1 a 0 0 65537\n", Code::TooLarge),
        ("farside-leaves/2 a 0 0 0\n", Code::VersionUnsupported),
        ("farside-leaves/1 a 0 01 0\n", Code::Malformed),
        ("farside-leaves/1 a/b 0 0 0\n", Code::Malformed),
        ("farside-leaves/1 a 9007199254740991 1 0\n", Code::Malformed),
        ("no newline", Code::Malformed),
    ] {
        assert_eq!(leaves::read(line.as_bytes()).unwrap_err().code(), code, "{line}");
    }
}

#[test]
fn a_checkpoint_key_is_no_signer() {
    let realm = Realm::new();
    let log: &LogKey = &realm.charter.log()[0];
    assert_eq!(log.name(), "acme/log/a");
    let unsigned = note::unsigned("acme/log/a\n3\nAAAA\n");
    let refusal = log.verify(&farside_crossing::Note::parse(&unsigned).unwrap()).unwrap_err();
    assert_eq!(refusal.code(), Code::ThresholdUnmet);
}
