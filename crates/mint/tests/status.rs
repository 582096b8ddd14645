//! What people will have to do is said before it is late, with the command for it; and what is done is said
//! no more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::{Kind, note};
use farside_mint::calendar::profile::PROFILES;
use farside_mint::calendar::{self, Wish};
use farside_mint::config::Mint;
use farside_mint::release::{self, Document};
use farside_mint::status::{self, Status};
use farside_service::cli::Style;
use ground::{Desk, NOW, Realm, SITE, passphrase, realm};

const DAY: u64 = 86_400;

fn look(realm: &Realm, now: u64) -> Status {
    let config = realm.home.config();
    if !config.exists() {
        std::fs::write(&config, "realm = \"acme\"\n[rotation]\nrelease_time = \"10d\"\n").unwrap();
    }
    status::look(&Mint::open(&config).unwrap(), &realm.store, now, None).unwrap()
}

/// Codes and cures of what is to be done, but for the bundles that this test makes when it likes.
fn to_do(realm: &Realm, now: u64) -> Vec<(&'static str, String)> {
    let warnings = look(realm, now).warnings.into_iter();
    let told = warnings.filter(|warning| warning.code != "bundle_overdue");
    told.map(|warning| (warning.code, warning.cure)).collect()
}

#[test]
fn each_step_of_a_calendars_life_is_said_in_time_with_its_command() {
    let realm = realm();
    realm.make(Kind::Full, NOW, &Desk::default()).unwrap();
    assert_eq!(look(&realm, NOW).warnings, []);
    // Two couriers of a day and ten days for the people before the end.
    assert_eq!(to_do(&realm, NOW + 78 * DAY), []);
    let plan = ("calendar_ends", "mint keys plan --site plant-7".to_owned());
    assert_eq!(to_do(&realm, NOW + 78 * DAY + 1), std::slice::from_ref(&plan));

    let now = NOW + 87 * DAY;
    let periods = calendar::draft(&realm.store, SITE, &Wish::new(&PROFILES[0]), now).unwrap();
    realm.smithy(&passphrase()).make(&[(SITE, &periods)], now).unwrap();
    let draft = release::draft(&realm.store, SITE, &Document::Keys, now).unwrap();
    let file = realm.home.drafts().join("plant-7-keys-2.note");
    std::fs::create_dir(realm.home.drafts()).unwrap();
    std::fs::write(&file, note::unsigned(&draft.text)).unwrap();
    let sign = ("document_waits", format!("mint release sign --key KEY {}", file.display()));
    assert_eq!(to_do(&realm, now), [plan, sign]);
    let soon = now + DAY;
    let codes = |now| to_do(&realm, now).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    assert_eq!(codes(soon), ["calendar_ends", "key_waits", "document_waits"]);

    let signed = note::sign(&draft.text, &[&realm.release]).unwrap();
    std::fs::write(&file, &signed).unwrap();
    assert_eq!(to_do(&realm, soon)[2].1, format!("mint release adopt {}", file.display()));
    release::adopt(&realm.store, &signed, soon).unwrap();
    let carry = ("key_waits", "mint bundle make --site plant-7".to_owned());
    assert_eq!(to_do(&realm, soon), [carry], "the draft that was adopted waits no more");
    realm.make(Kind::Full, soon, &Desk::default()).unwrap();
    assert_eq!(to_do(&realm, soon), []);
}

#[test]
fn where_nothing_signs_that_comes_first_and_says_what_is_missing() {
    let realm = realm();
    realm.make(Kind::Full, NOW, &Desk::default()).unwrap();
    let seen = look(&realm, NOW + 90 * DAY);
    let first = &seen.warnings[0];
    assert_eq!((first.code, first.cure.as_str()), ("no_key_signs", "mint keys plan --site plant-7"));
    let text = seen.human(Style::Plain);
    assert!(text.contains("THINGS TO DO") && text.contains("signs     nothing"), "{text}");
    let quiet = look(&realm, NOW).human(Style::Plain);
    for word in ["NOTHING TO DO", "site plant-7", "signs", "calendar  reaches until", "online", "release-1"] {
        assert!(quiet.contains(word), "{word} is missing in {quiet}");
    }
}

#[test]
fn keys_of_roles_grow_old_and_receipts_that_stop_are_missed() {
    let realm = realm();
    let years = NOW + 3 * 366 * DAY - 10 * DAY;
    let old: Vec<_> = look(&realm, years).warnings.into_iter().filter(|w| w.code == "role_key_old").collect();
    let roles: Vec<&str> = old.iter().map(|warning| warning.detail.split(' ').nth(1).unwrap()).collect();
    assert_eq!(roles, ["root", "release", "online", "log"]);
    assert!(old[2].cure.contains("--new-online") && old[3].cure.contains("--new-log"), "{old:?}");

    let desk = Desk::with_parcels(1);
    realm.make(Kind::Full, NOW, &desk).unwrap();
    realm.make(Kind::Full, NOW + DAY, &desk).unwrap();
    let missed = |now| to_do(&realm, now).iter().any(|(code, _)| *code == "receipt_missing");
    assert!(!missed(NOW + 9 * DAY), "a site that sends none back is not asked for them");
    realm
        .store
        .write(|transaction| {
            transaction.execute("UPDATE bundle SET receipted_at = ?1 WHERE seq = 1", [NOW as i64])?;
            Ok::<_, farside_mint::store::StoreFault>(())
        })
        .unwrap();
    assert!(!missed(NOW + 3 * DAY));
    assert!(missed(NOW + 3 * DAY + 1));
}
