//! Keys that come and go by themselves: a key takes over when its bundle has had its time, what has ended is
//! destroyed, and the journal tells both, never more than what happened.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::Kind;
use farside_mint::bundler::Books;
use farside_mint::calendar::profile::PROFILES;
use farside_mint::calendar::{self, Wish};
use farside_mint::release::Document;
use farside_mint::revocation::{self, What};
use farside_mint::rotation::destroy::{self, Ending, Rests, Whose};
use farside_mint::rotation::{Doubt, Rotation, Scene};
use farside_mint::store::{Purpose, Site};
use farside_service::journal::Journal;
use ground::{Desk, NOW, Realm, SITE, passphrase, realm};
use serde_json::Value;

const DAY: u64 = 86_400;

fn in_scene<T>(realm: &Realm, now: u64, act: impl FnOnce(&Scene<'_>) -> T) -> T {
    let (journal, _) = Journal::open(&realm.home.journal(), "mint").unwrap();
    let books = Books { journal: &journal, by: "cadence" };
    act(&Scene { home: &realm.home, store: &realm.store, passphrase: &passphrase(), books, now, doubt: None })
}

fn round(realm: &Realm, now: u64) -> Vec<String> {
    in_scene(realm, now, |scene| Rotation::default().round(scene)).unwrap().token_kids
}

/// What the journal says of keys: event and key id.
fn told(realm: &Realm) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(realm.home.journal().join("mint.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let keys = lines.filter(|line| line["kid"].is_string());
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    keys.map(|line| (word(&line["event"]), word(&line["kid"]))).collect()
}

fn site(realm: &Realm) -> Site {
    realm.store.directory().unwrap().site(SITE).unwrap().clone()
}

fn signs(realm: &Realm, now: u64) -> Option<String> {
    site(realm).signing_key(Purpose::Sig, now).map(|key| key.kid.clone())
}

/// A realm whose second key begins ten days before the first one ends.
fn two_keys() -> (Realm, String, String) {
    let realm = realm();
    let first = signs(&realm, NOW).unwrap();
    let wish = Wish { sign_from: Some(NOW + 80 * DAY), ..Wish::new(&PROFILES[0]) };
    let plan = calendar::draft(&realm.store, SITE, &wish, NOW).unwrap();
    let second = realm.smithy(&passphrase()).make(&[(SITE, &plan)], NOW).unwrap().remove(0);
    realm.release_document(Document::Keys, NOW);
    (realm, first, second)
}

#[test]
fn the_next_key_takes_over_once_its_bundle_has_had_the_courier_interval() {
    let (realm, first, second) = two_keys();
    round(&realm, NOW);
    // Its time has come, but no bundle has carried it: the one before goes on.
    let late = NOW + 81 * DAY;
    round(&realm, late);
    assert_eq!(signs(&realm, late).as_ref(), Some(&first));
    realm.make(Kind::Full, late, &Desk::default()).unwrap();
    round(&realm, late + DAY - 1);
    assert_eq!(told(&realm), [("token_key_took_over".to_owned(), first.clone())]);
    round(&realm, late + DAY);
    round(&realm, late + DAY + 1);
    assert_eq!(signs(&realm, late + DAY).as_ref(), Some(&second));
    let expected = [("token_key_took_over".to_owned(), first), ("token_key_took_over".to_owned(), second)];
    assert_eq!(told(&realm), expected, "once each");
}

#[test]
fn a_beacon_carries_no_key() {
    let (realm, first, _) = two_keys();
    realm.make(Kind::Full, NOW, &Desk::default()).unwrap();
    let wish = Wish { sign_from: Some(NOW + DAY), ..Wish::new(&PROFILES[0]) };
    let plan = calendar::draft(&realm.store, SITE, &wish, NOW).unwrap();
    let third = realm.smithy(&passphrase()).make(&[(SITE, &plan)], NOW).unwrap().remove(0);
    realm.release_document(Document::Keys, NOW + 1);
    realm.make(Kind::Beacon, NOW + 2, &Desk::default()).unwrap();
    assert_eq!(signs(&realm, NOW + 5 * DAY), Some(first));
    realm.make(Kind::Delta, NOW + 5 * DAY, &Desk::default()).unwrap();
    assert_eq!(signs(&realm, NOW + 6 * DAY), Some(third));
}

#[test]
fn where_no_key_may_sign_it_is_said_when_one_will_or_what_is_missing() {
    let (realm, _, second) = two_keys();
    let after = NOW + 90 * DAY;
    let ahead = |now| site(&realm).ahead(Purpose::Sig, now).to_string();
    assert_eq!(signs(&realm, after), None, "the first key's period is over");
    assert!(ahead(after).contains(&format!("key {second} is released, and no bundle")), "{}", ahead(after));
    realm.make(Kind::Full, after, &Desk::default()).unwrap();
    let from = farside_service::time::rfc3339(after + DAY);
    assert!(ahead(after).contains(&format!("key {second} signs from {from}")), "{}", ahead(after));
    assert_eq!(site(&realm).calendar_reaches(Purpose::Sig, after + DAY), Some(NOW + 170 * DAY));
    assert!(ahead(NOW + 170 * DAY).contains("mint keys plan"));
    let third = realm.new_key(NOW + 170 * DAY);
    let unreleased = format!("key {third} waits for the release people's signatures");
    assert_eq!(ahead(NOW + 170 * DAY), unreleased);
}

#[test]
fn a_key_that_has_ended_is_destroyed_with_a_record() {
    let (realm, first, second) = two_keys();
    let path = realm.home.0.join(site(&realm).keys[0].place.to_string());
    let other = realm.home.0.join(site(&realm).keys[1].place.to_string());
    assert_eq!(round(&realm, NOW + 90 * DAY - 1), [""; 0]);
    assert!(path.exists());
    assert_eq!(round(&realm, NOW + 90 * DAY), std::slice::from_ref(&first));
    assert!(!path.exists() && other.exists());
    assert_eq!(site(&realm).keys[0].destroyed_at, Some(NOW + 90 * DAY));
    let told = told(&realm);
    assert_eq!(
        told[1..],
        [
            ("token_key_destroying".to_owned(), first.clone()),
            ("token_key_destroyed".to_owned(), first.clone())
        ]
    );
    assert_eq!(round(&realm, NOW + 91 * DAY), [""; 0], "once");

    // A revoked key has ended too, whatever its calendar says.
    revocation::revoke(&realm.store, &ground::revocation(What::Key(second.clone())), NOW + 91 * DAY).unwrap();
    assert_eq!(round(&realm, NOW + 91 * DAY), [second]);
    assert!(!other.exists());
    // Public halves stay in the calendar for what is still believed.
    assert_eq!(site(&realm).keys.len(), 2);
}

#[test]
fn by_a_clock_that_is_doubted_only_what_people_ended_is_destroyed() {
    let (realm, first, second) = two_keys();
    let doubted = |now| {
        let doubt = Some(Doubt { clock: now, at_most: NOW, until: now + DAY });
        in_scene(&realm, now, |scene| Rotation::default().round(&Scene { doubt, ..*scene }))
            .unwrap()
            .token_kids
    };
    assert_eq!(doubted(NOW + 90 * DAY), [""; 0]);
    assert_eq!(site(&realm).keys[0].destroyed_at, None);
    revocation::revoke(&realm.store, &ground::revocation(What::Key(second.clone())), NOW).unwrap();
    assert_eq!(doubted(NOW + 90 * DAY), [second]);
    assert_eq!(round(&realm, NOW + 90 * DAY), [first]);
}

#[test]
fn the_record_claims_no_destruction_that_nobody_began() {
    let (realm, first, _) = two_keys();
    std::fs::remove_file(realm.home.0.join(site(&realm).keys[0].place.to_string())).unwrap();
    round(&realm, NOW + 90 * DAY);
    let events: Vec<String> = told(&realm).into_iter().map(|(event, _)| event).collect();
    assert_eq!(events.last().unwrap(), "token_key_missing");
    assert!(!events.contains(&"token_key_destroyed".to_owned()), "{first} was gone already");
}

#[test]
fn what_a_crash_cut_short_is_finished_and_told_by_the_next_round() {
    let (realm, first, _) = two_keys();
    let key = site(&realm).keys[0].clone();
    let ended = NOW + 90 * DAY;
    round(&realm, NOW);
    // It stopped when the intent was durable and the file was gone, before anything else was written.
    realm
        .store
        .write(|transaction| {
            let row = (key.place.to_string(), &first, ended as i64);
            transaction.execute(
                "INSERT INTO destruction (path, kind, name, why, begun_at) VALUES (?1, 'token', ?2, 'ended', ?3)",
                row,
            )?;
            Ok::<_, farside_mint::store::StoreFault>(())
        })
        .unwrap();
    std::fs::remove_file(realm.home.0.join(key.place.to_string())).unwrap();
    assert_eq!(site(&realm).keys[0].destroyed_at, None, "nothing is claimed yet");
    assert_eq!(round(&realm, ended + 60), std::slice::from_ref(&first));
    assert_eq!(told(&realm).last().unwrap(), &("token_key_destroyed".to_owned(), first));
    assert_eq!(site(&realm).keys[0].destroyed_at, Some(ended + 60));
}

#[test]
fn a_backup_that_is_put_back_brings_no_destroyed_key_back() {
    let (realm, first, _) = two_keys();
    let path = realm.home.0.join(site(&realm).keys[0].place.to_string());
    let backup = std::fs::read(&path).unwrap();
    round(&realm, NOW + 90 * DAY);
    std::fs::write(&path, backup).unwrap();
    assert_eq!(round(&realm, NOW + 91 * DAY), [first]);
    assert!(!path.exists());
}

#[test]
fn a_key_that_cannot_be_destroyed_stays_begun_and_is_never_called_destroyed() {
    let (realm, ..) = two_keys();
    let key = site(&realm).keys[0].clone();
    let path = realm.home.0.join(key.place.to_string());
    std::fs::remove_file(&path).unwrap();
    // A folder in its place: it opens for writing for nobody, whatever rights the test has.
    std::fs::create_dir(&path).unwrap();
    let ending = Ending {
        place: key.place.clone(),
        whose: Whose::Token { kid: key.kid, site: SITE.to_owned() },
        why: "ended",
        rests: Rests::OnTheClock,
    };
    let ended = in_scene(&realm, NOW, |scene| destroy::carry_out(scene, &[ending])).unwrap();
    assert_eq!((ended.gone.token_kids.len(), ended.failed.len()), (0, 1));
    let events: Vec<String> = told(&realm).into_iter().map(|(event, _)| event).collect();
    assert_eq!(events, ["token_key_destroying"]);
    assert_eq!(site(&realm).keys[0].destroyed_at, None);
}
