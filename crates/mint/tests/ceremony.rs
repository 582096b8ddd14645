//! k of n as people do it: one draft, signed in turn; one signature alone moves nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::{Code, Signer, charter, note};
use farside_mint::ceremony::{self, CharterFault};
use farside_mint::release::{self, Document, ReleaseFault};
use farside_mint::store::Store;
use ground::{NOW, SITE, founded, log_key, realm, roles, signer};

#[test]
fn two_people_sign_one_charter_in_turn_and_one_alone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [anna, ben, cora, release, online] =
        ["anna", "ben", "cora", "release-1", "online"].map(|name| signer(folder.path(), name));
    let store = Store::create(&folder.path().join("mint.db"), "acme", NOW).unwrap();
    let log = log_key(folder.path());
    let draft =
        ceremony::draft("acme", None, roles(&[&anna, &ben, &cora], 2, &[&release], &online, &log), NOW)
            .unwrap();
    let unsigned = note::unsigned(&draft.text().unwrap());

    let once = note::add_signature(&unsigned, &anna).unwrap();
    let refused = ceremony::adopt(&store, &once, online.public(), NOW);
    assert!(matches!(refused, Err(CharterFault::Refused(refusal)) if refusal.code() == Code::ThresholdUnmet));
    let again = note::add_signature(&once, &anna).unwrap();
    assert!(ceremony::adopt(&store, &again, online.public(), NOW).is_err(), "one person counts once");
    let twice = note::add_signature(&once, &cora).unwrap();
    assert_eq!(charter::review(&twice).unwrap().signed, ["anna", "cora"]);
    assert_eq!(ceremony::adopt(&store, &twice, online.public(), NOW).unwrap().version(), 1);
    assert!(ceremony::adopt(&store, &twice, online.public(), NOW).is_err(), "a charter is adopted once");
}

#[test]
fn the_next_charter_needs_the_old_root_and_the_new() {
    let realm = founded();
    let new_root = signer(realm.folder.path(), "root-2");
    let log = realm.folder.path().join("second");
    std::fs::create_dir(&log).unwrap();
    let log = log_key(&log);
    let newest = ceremony::newest(&realm.store).unwrap();
    let new_roles = roles(&[&new_root], 1, &[&realm.release], &realm.online, &log);
    let text = ceremony::draft("acme", Some(&newest), new_roles, NOW + 1).unwrap().text().unwrap();
    for alone in [&realm.root, &new_root] {
        let signed = note::sign(&text, &[alone]).unwrap();
        assert!(ceremony::adopt(&realm.store, &signed, realm.online.public(), NOW + 1).is_err());
    }
    let both = note::sign(&text, &[&realm.root, &new_root]).unwrap();
    let adopted = ceremony::adopt(&realm.store, &both, realm.online.public(), NOW + 1).unwrap();
    assert_eq!((adopted.version(), ceremony::chain(&realm.store).unwrap().len()), (2, 2));
}

#[test]
fn a_charter_that_forgets_this_mint_or_names_another_realm_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [root, release, online, stranger] =
        ["root-1", "release-1", "online", "stranger"].map(|name| signer(folder.path(), name));
    let log = log_key(folder.path());
    let store = Store::create(&folder.path().join("mint.db"), "acme", NOW).unwrap();
    let signed = |realm: &str| {
        let draft =
            ceremony::draft(realm, None, roles(&[&root], 1, &[&release], &online, &log), NOW).unwrap();
        note::sign(&draft.text().unwrap(), &[&root]).unwrap()
    };
    let refused = ceremony::adopt(&store, &signed("acme"), stranger.public(), NOW);
    assert!(matches!(refused, Err(CharterFault::OnlineMissing)));
    let refused = ceremony::adopt(&store, &signed("evil"), online.public(), NOW);
    assert!(matches!(refused, Err(CharterFault::Realm { .. })));
}

#[test]
fn the_online_key_can_release_nothing() {
    let realm = realm();
    realm.new_key(NOW);
    let draft = release::draft(&realm.store, SITE, &Document::Keys, NOW).unwrap();
    let refused = release::sign_and_adopt(&realm.store, &draft, &[&realm.online], NOW);
    assert!(matches!(refused, Err(ReleaseFault::Refused(refusal)) if refusal.code() == Code::ThresholdUnmet));
    assert!(release::sign_and_adopt(&realm.store, &draft, &[&realm.release], NOW).is_ok());
}

#[test]
fn a_release_document_is_adopted_once_and_in_order() {
    let realm = realm();
    let old = release::draft(&realm.store, SITE, &Document::Policy, NOW).unwrap();
    assert_eq!(old.version, 2);
    release::sign_and_adopt(&realm.store, &old, &[&realm.release], NOW).unwrap();
    let again = release::sign_and_adopt(&realm.store, &old, &[&realm.release], NOW);
    assert!(matches!(again, Err(ReleaseFault::Overtaken { found: 2, expected: 3, .. })));
}

#[test]
fn a_calendar_with_a_key_of_somebody_elses_is_refused() {
    let realm = realm();
    let draft = release::draft(&realm.store, SITE, &Document::Keys, NOW).unwrap();
    let kid = realm.store.directory().unwrap().site(SITE).unwrap().keys[0].kid.clone();
    let forged = draft.text.replace(&kid, "AAAAAAAA");
    let signed = note::sign(&forged, &[&realm.release as &dyn Signer]).unwrap();
    let refused = release::adopt(&realm.store, &signed, NOW);
    assert!(matches!(refused, Err(ReleaseFault::ForeignKey(kid)) if kid == "AAAAAAAA"));
}
