//! The calendar of the coming keys: what works is planned without a gap, what cannot work is refused with the
//! number to change.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_mint::calendar::{self, CalendarFault, CryptoProfile, PlanFault, Wish};
use farside_verify::Algorithm;
use ground::{NOW, Realm, SITE, realm};

const DAY: u64 = 86_400;

fn wish(profile: &str) -> Wish {
    Wish { periods: 4, ..Wish::new(CryptoProfile::from_name(profile).unwrap()) }
}

fn refused(realm: &Realm, wish: Wish) -> PlanFault {
    match calendar::draft(&realm.store, SITE, &wish, NOW) {
        Err(CalendarFault::Plan(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_calendar_has_no_gap_and_no_token_outlives_its_key() {
    let realm = realm();
    let plan = calendar::draft(&realm.store, SITE, &wish("default"), NOW).unwrap();
    assert_eq!(plan.algorithm(), Algorithm::Es256);
    let periods = plan.periods();
    assert_eq!((periods.len(), periods[0].sign_from), (4, NOW + 90 * DAY));
    for pair in periods.windows(2) {
        assert_eq!(pair[0].sign_until, pair[1].sign_from);
        // A day of life, a minute of leeway, a day for the courier.
        assert_eq!(pair[0].accept_until - pair[0].sign_until, 2 * DAY + 60);
    }
}

#[test]
fn a_calendar_goes_on_where_the_last_one_ends() {
    let realm = realm();
    let plan = calendar::draft(&realm.store, SITE, &wish("sp800-57"), NOW + 5).unwrap();
    assert_eq!(plan.periods()[0].sign_from, NOW + 90 * DAY);
    assert_eq!(plan.periods()[0].sign_until, NOW + (90 + 365) * DAY);
    let early = Wish { sign_from: Some(NOW + DAY), ..wish("default") };
    assert!(matches!(refused(&realm, early), PlanFault::SignFrom(_)));
}

#[test]
fn what_cannot_work_is_refused_with_the_number_to_change() {
    let realm = realm();
    let short = Wish { overlap_seconds: Some(2 * DAY + 59), ..wish("default") };
    let fault = refused(&realm, short);
    assert!(matches!(fault, PlanFault::Overlap { .. }), "{fault}");
    assert!(fault.hint().contains("--overlap to at least 2881m"), "{}", fault.hint());
    calendar::draft(
        &realm.store,
        SITE,
        &Wish { overlap_seconds: Some(2 * DAY + 60), ..wish("default") },
        NOW,
    )
    .unwrap();

    let long = Wish { cryptoperiod_seconds: Some(3 * 366 * DAY + 1), ..wish("sp800-57") };
    assert!(refused(&realm, long).hint().contains("lower --cryptoperiod to at most 1098d"));
    let narrow = Wish { cryptoperiod_seconds: Some(DAY), ..wish("default") };
    assert!(matches!(refused(&realm, narrow), PlanFault::OverlapTooLong { .. }));
    assert!(matches!(refused(&realm, Wish { periods: 0, ..wish("default") }), PlanFault::Periods(0)));
}

#[test]
fn a_profile_holds_its_algorithms_and_its_bundle_age() {
    let realm = realm();
    let plan = calendar::draft(&realm.store, SITE, &wish("cnsa-2.0"), NOW).unwrap();
    assert_eq!(plan.algorithm(), Algorithm::MlDsa87);
    let classical = Wish { algorithm: Some(Algorithm::Es256), ..wish("cnsa-2.0") };
    assert!(matches!(refused(&realm, classical), PlanFault::Algorithm { .. }));
    // This site's bundle of the hour takes up to a day: older than CIP-004 lets revocations be.
    assert!(matches!(refused(&realm, wish("nerc-cip")), PlanFault::BundleAge { .. }));
}
