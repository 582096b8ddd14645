//! What people will have to do is said before it is late, with the command for it; and what is done is said
//! no more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::status::COVERED_SLACK_SECONDS;
use farside_crossing::{Kind, note};
use farside_mint::calendar::profile::PROFILES;
use farside_mint::calendar::{self, Wish};
use farside_mint::config::Mint;
use farside_mint::release::{self, Document};
use farside_mint::revocation::What;
use farside_mint::status::{self, Measured, Status};
use farside_service::cli::Style;
use ground::{Desk, NOW, Realm, SITE, passphrase, realm};

const DAY: u64 = 86_400;

fn look(realm: &Realm, now: u64) -> Status {
    look_again(realm, now, &Measured::default())
}

fn look_again(realm: &Realm, now: u64, measured: &Measured) -> Status {
    let config = realm.home.config();
    if !config.exists() {
        std::fs::write(&config, "realm = \"acme\"\n[rotation]\nrelease_time = \"10d\"\n").unwrap();
    }
    status::look(&Mint::open(&config).unwrap(), &realm.store, now, (None, measured)).unwrap()
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
    assert!(text.contains("THINGS TO DO") && text.contains("signs      nothing"), "{text}");
    let quiet = look(&realm, NOW).human(Style::Plain);
    for word in ["NOTHING TO DO", "site plant-7", "signs", "calendar   reaches until", "online", "release-1"]
    {
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

/// Revokes so many subjects, a thousand bytes each.
fn crowd(realm: &Realm, subjects: std::ops::Range<u32>) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
        INSERT INTO revocation (site, kind, what, before, expires_at, reason, by, at, cause)
        SELECT ?3, 'subject', printf('%0900d', i), ?4, 0, 'not in the directory', 'uid 7', ?4, '' FROM n";
    let range = (subjects.start, subjects.end, SITE, NOW as i64);
    realm
        .store
        .write(|transaction| {
            transaction.execute(sql, range)?;
            Ok::<_, farside_mint::store::StoreFault>(())
        })
        .unwrap();
}

#[test]
fn a_list_near_its_limit_is_told_with_its_size_and_beyond_it_why_no_bundle_is_made() {
    let realm = realm();
    let told = |now| {
        let warnings = look(&realm, now).warnings.into_iter();
        warnings.filter(|warning| warning.code.starts_with("revocations_")).collect::<Vec<_>>()
    };
    crowd(&realm, 0..12_000);
    assert_eq!(told(NOW), [], "below half of it");
    crowd(&realm, 12_000..20_000);
    let [near] = &told(NOW)[..] else { panic!("{:?}", told(NOW)) };
    assert_eq!((near.code, near.site.as_deref()), ("revocations_large", Some(SITE)));
    assert!(near.detail.contains("of the 32 MiB"), "{near:?}");
    assert!(near.cure.contains("mint revoke all --site plant-7 --before"), "{near:?}");
    realm.make(Kind::Full, NOW, &Desk::default()).unwrap();

    crowd(&realm, 20_000..36_000);
    let [beyond] = &told(NOW)[..] else { panic!("{:?}", told(NOW)) };
    assert_eq!(beyond.code, "revocations_too_large");
    let fault = realm.make(Kind::Full, NOW + 1, &Desk::default()).unwrap_err();
    assert!(fault.to_string().contains("plant-7") && fault.to_string().contains("33554432"), "{fault}");
    let failure = farside_service::cli::Failure::from(fault);
    assert!(failure.hint_text().is_some_and(|hint| hint.contains("mint revoke all --site plant-7")));

    // What the hint says helps, as soon as no pass can live that an entry ends.
    farside_mint::revocation::revoke(&realm.store, &ground::revocation(What::All), NOW + 2).unwrap();
    let passes_end = NOW + 3_600 + COVERED_SLACK_SECONDS;
    assert!(realm.make(Kind::Full, passes_end, &Desk::default()).is_err());
    assert_eq!(told(passes_end + 1), []);
    realm.make(Kind::Full, passes_end + 1, &Desk::default()).unwrap();
}

#[test]
fn whoever_looks_again_sees_what_was_revoked_since_and_what_has_ended() {
    let (realm, measured) = (realm(), Measured::default());
    let entries = |now| look_again(&realm, now, &measured).sites[0].revoked.entries;
    assert_eq!(entries(NOW), 0);
    for so_far in 0..2 {
        crowd(&realm, so_far..so_far + 1);
        assert_eq!(entries(NOW), u64::from(so_far) + 1);
    }
    assert_eq!(entries(NOW + 30 * DAY), 0);
}

#[test]
fn the_page_keeps_within_eighty_columns_and_answers_what_comes_next() {
    let realm = realm();
    realm.make(Kind::Full, NOW, &Desk::default()).unwrap();
    let quiet = look(&realm, NOW + 60).human(Style::Plain);
    for words in
        ["bundle     1, made", "the next is due", "then       no further key is planned", "receipt    none"]
    {
        assert!(quiet.contains(words), "{words} is missing in {quiet}");
    }
    farside_mint::revocation::revoke(&realm.store, &ground::revocation(What::All), NOW).unwrap();
    assert!(look(&realm, NOW + 60).human(Style::Plain).contains("revoked    1 entry"));
    for now in [NOW + 60, NOW + 79 * DAY, NOW + 90 * DAY, NOW + 3 * 366 * DAY] {
        let page = look(&realm, now).human(Style::Plain);
        for line in page.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
    }
    let late = look(&realm, NOW + 90 * DAY).human(Style::Plain);
    for words in ["the next was due", "signs      nothing", "mint keys plan --site plant-7"] {
        assert!(late.contains(words), "{words} is missing in {late}");
    }
}
