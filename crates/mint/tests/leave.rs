//! Fences and pardons: what release people allow is drafted from what is so, and crosses as long as it can
//! act.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::{Kind, PardonDocument, bundle};
use farside_mint::ceremony;
use farside_mint::release::{self, Document, Pardoned, ReleaseFault};
use farside_mint::revocation::{self, What};
use ground::{Desk, NOW, Realm, SITE, realm};

/// A realm whose site knows two subjects.
fn peopled() -> Realm {
    let realm = realm();
    realm
        .store
        .write(|transaction| {
            transaction
                .execute_batch(
                    "INSERT INTO subject (name, kind, client_id)
                     VALUES ('ada', 'person', 'ada'), ('grace', 'person', 'grace')",
                )
                .map_err(farside_mint::store::StoreFault::from)
        })
        .unwrap();
    realm
}

fn revoke(realm: &Realm, name: &str, now: u64) {
    revocation::revoke(&realm.store, &ground::revocation(What::Subject(name.to_owned())), now).unwrap();
}

fn pardon(names: &[&str]) -> Document {
    let subjects = names.iter().map(|name| (*name).to_owned()).collect();
    Document::Pardon(Pardoned { subjects, ..Pardoned::default() })
}

/// Who is revoked in the next full bundle, and the pardon that it carries.
fn carried(realm: &Realm, now: u64) -> (Vec<String>, Option<PardonDocument>) {
    let made = realm.make(Kind::Full, now, &Desk::default()).unwrap();
    let bytes = std::fs::read(made.path).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    let revoked = opened.status().unwrap().subjects.iter().map(|entry| entry.name.clone()).collect();
    (revoked, opened.pardon().cloned())
}

#[test]
fn a_pardon_names_what_is_revoked_and_what_was_pardoned_before() {
    let realm = peopled();
    let refused = |document| release::draft(&realm.store, SITE, &document, NOW).unwrap_err();
    assert!(matches!(refused(pardon(&["ada"])), ReleaseFault::NotRevoked { kind: "subject", .. }));
    assert!(matches!(refused(pardon(&[])), ReleaseFault::NothingPardoned(_)));
    revoke(&realm, "ada", NOW);
    revoke(&realm, "grace", NOW);
    assert_eq!(carried(&realm, NOW), (vec!["ada".to_owned(), "grace".to_owned()], None));
    realm.release_document(pardon(&["ada"]), NOW + 1);
    let (revoked, first) = carried(&realm, NOW + 1);
    assert_eq!((revoked, first.unwrap().subjects), (vec!["grace".to_owned()], vec!["ada".to_owned()]));
    // A gate may have missed the bundles with the first one.
    realm.release_document(pardon(&["grace"]), NOW + 2);
    let (revoked, second) = carried(&realm, NOW + 2);
    let second = second.unwrap();
    assert_eq!((revoked.len(), second.version), (0, 2));
    assert_eq!(second.subjects, ["ada", "grace"]);
    // Who was revoked again is pardoned no longer.
    revoke(&realm, "ada", NOW + 3);
    revoke(&realm, "grace", NOW + 3);
    realm.release_document(pardon(&["grace"]), NOW + 4);
    let (revoked, third) = carried(&realm, NOW + 4);
    assert_eq!((revoked, third.unwrap().subjects), (vec!["ada".to_owned()], vec!["grace".to_owned()]));
}

#[test]
fn a_pardon_takes_back_nothing_that_its_signers_could_not_know() {
    let realm = peopled();
    revoke(&realm, "ada", NOW);
    let draft = release::draft(&realm.store, SITE, &pardon(&["ada"]), NOW + 1).unwrap();
    revoke(&realm, "ada", NOW + 2);
    release::sign_and_adopt(&realm.store, &draft, &[&realm.release], NOW + 3).unwrap();
    assert_eq!(carried(&realm, NOW + 3).0, ["ada"], "the later revocation stands");
}

#[test]
fn a_fence_crosses_in_its_range_and_in_full_bundles_alone() {
    let realm = realm();
    let fence_in = |kind, now| {
        let made = realm.make(kind, now, &Desk::default()).unwrap();
        let bytes = std::fs::read(made.path).unwrap();
        let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
        opened.fence().map(|fence| (fence.version, fence.seq_min, fence.seq_max))
    };
    assert_eq!(fence_in(Kind::Full, NOW), None);
    let past = release::draft(&realm.store, SITE, &Document::Fence(1..=1), NOW).unwrap_err();
    assert!(matches!(past, ReleaseFault::FencePast { next: 2, .. }));
    realm.release_document(Document::Fence(3..=4), NOW);
    assert_eq!(
        fence_in(Kind::Full, NOW),
        Some((1, 3, 4)),
        "the next bundle is number 3, where the fence begins"
    );
    assert_eq!(fence_in(Kind::Delta, NOW), None);
    assert_eq!(fence_in(Kind::Full, NOW), None, "bundle 5 lies behind it");
}
