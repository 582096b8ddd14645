//! Roles that change: charters of any number are carried to whoever missed them, what former release people
//! signed is signed again, and a fence leads a site past a thief's bundles.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::{
    Acceptance, CharterDraft, Clock, Kind, Role, RoleName, Signer as _, Stream, bundle, judge, note,
};
use farside_mint::bundler::BundleFault;
use farside_mint::ceremony;
use farside_mint::release::{self, Document};
use farside_mint::store::Purpose;
use ground::{Desk, NOW, Realm, SITE, realm, signer};

/// Adopts the next charter, changed as told.
fn adopt(realm: &Realm, now: u64, change: impl FnOnce(CharterDraft) -> CharterDraft) {
    let next = change(ceremony::newest(&realm.store).unwrap().successor(now));
    let note = note::sign(&next.text().unwrap(), &[&realm.root]).unwrap();
    ceremony::adopt(&realm.store, &note, realm.online.public(), now).unwrap();
}

#[test]
fn a_site_that_missed_two_hundred_charters_gets_them_all_with_its_next_bundle() {
    let realm = realm();
    let first = ceremony::newest(&realm.store).unwrap();
    for step in 1..=200 {
        adopt(&realm, NOW + step, |draft| draft);
    }
    let made = realm.make(Kind::Full, NOW + 300, &Desk::default()).unwrap();
    let bytes = std::fs::read(made.path).unwrap();
    let opened = bundle::open(&bytes, &first, SITE).unwrap();
    assert_eq!((opened.charter().version(), opened.charters_new().len()), (201, 200));
}

#[test]
fn a_new_charter_rides_in_a_delta_and_never_in_a_beacon() {
    let realm = realm();
    let desk = Desk::default();
    realm.make(Kind::Full, NOW, &desk).unwrap();
    let before = ceremony::newest(&realm.store).unwrap();
    adopt(&realm, NOW + 1, |draft| draft);
    let refused = realm.make(Kind::Beacon, NOW + 2, &desk);
    assert!(matches!(refused, Err(BundleFault::FullFirst { .. })), "{refused:?}");
    let delta = realm.make(Kind::Delta, NOW + 3, &desk).unwrap();
    let bytes = std::fs::read(delta.path).unwrap();
    assert_eq!(bundle::open(&bytes, &before, SITE).unwrap().charters_new().len(), 1);
    realm.make(Kind::Beacon, NOW + 4, &desk).unwrap();
}

#[test]
fn after_a_change_of_the_release_role_what_stands_is_signed_again_and_stays_the_same() {
    let realm = realm();
    let desk = Desk::default();
    realm.make(Kind::Full, NOW, &desk).unwrap();
    let held = ceremony::newest(&realm.store).unwrap();
    let anna = signer(realm.folder.path(), "anna");
    let role = Role::new(RoleName::Release, 1, vec![anna.public().clone()]).unwrap();
    let people = role.clone();
    adopt(&realm, NOW + 1, |draft| CharterDraft { release: people, ..draft });
    let refused = realm.make(Kind::Full, NOW + 2, &desk).unwrap_err();
    assert!(refused.to_string().contains("keys and policy"), "{refused}");
    let failure = farside_service::cli::Failure::from(refused);
    assert!(failure.hint_text().unwrap().contains("mint release renew --site plant-7"));

    let newest = ceremony::newest(&realm.store).unwrap();
    let renewals = release::outdated(&realm.store, None, (newest.release(), &role)).unwrap();
    assert_eq!(renewals.len(), 2);
    for renewal in renewals {
        assert!(release::adopt(&realm.store, &renewal.note, NOW + 3).is_err(), "nobody has signed it again");
        let again = note::add_signature(&renewal.note, &anna).unwrap();
        assert!(release::adopt(&realm.store, &again, NOW + 3).unwrap().renewed);
        assert!(release::adopt(&realm.store, &again, NOW + 3).is_err(), "once");
    }
    let key =
        realm.store.directory().unwrap().site(SITE).unwrap().signing_key(Purpose::Sig, NOW + 3).cloned();
    assert!(key.is_some(), "the calendar is the one that has crossed already");
    let made = realm.make(Kind::Full, NOW + 4, &desk).unwrap();
    let bytes = std::fs::read(made.path).unwrap();
    assert_eq!(bundle::open(&bytes, &held, SITE).unwrap().keys().unwrap().version, 1);
}

#[test]
fn release_people_of_the_next_charter_can_sign_before_it_is_adopted() {
    let realm = realm();
    let anna = signer(realm.folder.path(), "anna");
    let role = Role::new(RoleName::Release, 1, vec![anna.public().clone()]).unwrap();
    let held = ceremony::newest(&realm.store).unwrap();
    for renewal in release::outdated(&realm.store, Some(SITE), (held.release(), &role)).unwrap() {
        let both = note::add_signature(&renewal.note, &anna).unwrap();
        release::adopt(&realm.store, &both, NOW + 1).unwrap();
    }
    adopt(&realm, NOW + 2, |draft| CharterDraft { release: role, ..draft });
    realm.make(Kind::Full, NOW + 3, &Desk::default()).unwrap();
}

#[test]
fn a_fence_leads_the_sequence_past_bundles_that_a_thief_has_made() {
    let realm = realm();
    let desk = Desk::default();
    realm.make(Kind::Full, NOW, &desk).unwrap();
    realm.release_document(Document::Fence(5_000..=5_099), NOW + 1);
    let refused = realm.make(Kind::Delta, NOW + 2, &desk);
    assert!(matches!(refused, Err(BundleFault::FullFirst { .. })), "{refused:?}");
    let leapt = realm.make(Kind::Full, NOW + 3, &desk).unwrap();
    assert_eq!(leapt.seq, 5_000);
    assert_eq!(realm.make(Kind::Full, NOW + 4, &desk).unwrap().seq, 5_001);

    // A gate that the thief has led to 4,999, and one that holds only what is genuine.
    let trusted = ceremony::newest(&realm.store).unwrap();
    let bytes = std::fs::read(leapt.path).unwrap();
    let opened = bundle::open(&bytes, &trusted, SITE).unwrap();
    let first = std::fs::read(&realm.outbox()[0]).unwrap();
    let genuine = match judge(
        &Stream::new(),
        &bundle::open(&first, &trusted, SITE).unwrap(),
        Clock { now: NOW + 5, leeway_seconds: 60 },
    ) {
        Ok(Acceptance::Apply { next, .. }) => next,
        other => panic!("{other:?}"),
    };
    let mut led = genuine.clone();
    led.last.as_mut().unwrap().seq = 4_999;
    for stream in [genuine, led] {
        let verdict = judge(&stream, &opened, Clock { now: NOW + 5, leeway_seconds: 60 }).unwrap();
        assert!(matches!(verdict, Acceptance::Apply { .. }), "{verdict:?}");
    }
}
