//! How old the state may be for whom: tiers, what a refusal says, and what a vigil notices.

use farside_crossing::{Action, PolicyDocument, StaleMax};
use farside_gate::freshness::Freshness;
use farside_gate::freshness::vigil::{Change, View};
use farside_gate::judge::{Wanted, inspect, judge};
use farside_verify::{Code, Refusal};

use crate::realm::{AUDIENCE, Far, HOUR, NOW, Plan, Realm, audience, claims, policy};

/// Reading for ten hours, writing for two, safety actions for ten minutes; and a second audience without
/// tiers.
fn tiers() -> PolicyDocument {
    let mut tiers = policy(1);
    let (read, write, safety) = (Some(10 * HOUR), Some(2 * HOUR), Some(600));
    tiers.audiences[0].stale_seconds_max = StaleMax { read, write, safety };
    tiers.audiences.push(audience("mail"));
    tiers
}

fn tiered() -> (Realm, Far) {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(Plan { policy: Some(tiers()), ..realm.plan() }));
    (realm, far)
}

fn judged(realm: &Realm, far: &Far, action: Option<Action>, now: u64) -> Result<(), Refusal> {
    let token = realm.key.sign("at+jwt", &claims("ada", 1, now, ""));
    let wanted = Wanted { audience: Some(AUDIENCE), action, ..Wanted::default() };
    judge(&far.trust_state(), &token, wanted, now).map(|_| ())
}

#[test]
fn each_action_is_served_to_the_last_second_of_its_tier_and_no_longer() {
    let (realm, far) = tiered();
    for (action, most) in [
        (Some(Action::Read), 10 * HOUR),
        (Some(Action::Write), 2 * HOUR),
        (Some(Action::Safety), 600),
        // Whoever does not say what for is held to the strictest.
        (None, 600),
    ] {
        assert_eq!(judged(&realm, &far, action, NOW + most), Ok(()), "{action:?}");
        let refused = judged(&realm, &far, action, NOW + most + 1).unwrap_err();
        assert_eq!(refused.code(), Code::Stale, "{action:?}");
    }
}

#[test]
fn a_tier_that_is_left_out_is_as_the_laxer_one_and_none_reaches_beyond_the_bundle() {
    let (mut realm, far) = Far::enrolled();
    let mut tiers = policy(1);
    tiers.audiences[0].stale_seconds_max = StaleMax { write: Some(HOUR), ..StaleMax::default() };
    far.import(&realm.send(Plan { policy: Some(tiers), ..realm.plan() }));
    let late = NOW + HOUR + 1;
    assert_eq!(judged(&realm, &far, Some(Action::Safety), late).unwrap_err().code(), Code::Stale);
    assert_eq!(judged(&realm, &far, None, late).unwrap_err().code(), Code::Stale);
    assert_eq!(judged(&realm, &far, Some(Action::Read), NOW + 24 * HOUR), Ok(()));
    let expired = judged(&realm, &far, Some(Action::Read), NOW + 24 * HOUR + 1).unwrap_err();
    assert_eq!(expired.code(), Code::Stale);
}

#[test]
fn a_refusal_says_tier_age_allowance_what_is_still_served_and_the_cure() {
    let (realm, far) = tiered();
    let now = NOW + 2 * HOUR + 300;
    let refused = judged(&realm, &far, Some(Action::Write), now).unwrap_err();
    assert_eq!(refused.detail(), "bundle 1 is 2 h 5 min old; for writing db allows 2 h");
    assert_eq!(refused.cure(), "Import bundle 2 or newer; reading is admitted until 2027-01-15T18:00:00Z.");
    let unsaid = judged(&realm, &far, None, now).unwrap_err();
    assert!(unsaid.detail().contains("nothing says what for"), "{}", unsaid.detail());
    assert!(unsaid.cure().contains("; reading is admitted until "), "{}", unsaid.cure());
    let last = judged(&realm, &far, Some(Action::Read), NOW + 11 * HOUR).unwrap_err();
    assert_eq!(last.cure(), "Import bundle 2 or newer.");
}

#[test]
fn whoever_names_no_audience_learns_whether_any_is_still_served() {
    let (realm, far) = tiered();
    let now = NOW + 11 * HOUR;
    let both = claims("ada", 1, now, "").replace(r#""aud":"db""#, r#""aud":["db","mail"]"#);
    let seen = |claims: &str| {
        let token = realm.key.sign("at+jwt", claims);
        inspect(&far.trust_state(), &token, None, now).map(|_| ()).map_err(|refused| refused.code())
    };
    assert_eq!(seen(&both), Ok(()), "mail has no tier");
    assert_eq!(seen(&claims("ada", 1, now, "")), Err(Code::Stale));
    // And a grant is for a named audience alone.
    let token = realm.key.sign("at+jwt", &both);
    assert_eq!(judge(&far.trust_state(), &token, None, now).unwrap_err().code(), Code::AudienceMismatch);
}

#[test]
fn a_vigil_tells_each_change_once_by_time_alone_and_back() {
    let (mut realm, far) = tiered();
    let mut seen = View::unseen();
    let mut look = |now| {
        let view = View::of(&far.trust_state(), now);
        let changes = view.since(&seen);
        seen = view;
        changes
    };
    assert_eq!(look(NOW), [], "a fresh gate has nothing to tell");
    let told = look(NOW + 601);
    assert!(matches!(&told[..], [Change::Tier { action: Action::Safety, closed_after: Some(after), .. }]
        if *after == NOW + 600));
    assert!(told[0].is_alarm() && told[0].sentence().contains("safety actions at db stopped after"));
    assert_eq!(look(NOW + 602), []);
    let told = look(NOW + 2 * HOUR + 1);
    let [late, writing] = &told[..] else { panic!("{told:?}") };
    assert!(matches!(late, Change::State { is: Freshness::Late { since }, .. } if *since == NOW + HOUR));
    assert!(
        late.sentence().starts_with("LATE: bundle 2 was due by 2027-01-15T09:00:00Z"),
        "{}",
        late.sentence()
    );
    assert!(writing.sentence().contains("writing at db stopped"), "{}", writing.sentence());
    assert_eq!(late.record().1["was"], "fresh");
    assert_eq!(look(NOW + 24 * HOUR + 1).len(), 2, "expired, and reading");

    let later = NOW + 25 * HOUR;
    let (next_by, not_after) = (later + HOUR, later + 24 * HOUR);
    let plan = Plan { policy: Some(tiers()), issued_at: later, next_by, not_after, ..realm.plan() };
    far.import_at(&realm.send(plan), later);
    let told = look(later);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|change| !change.is_alarm()));
    assert_eq!(told[0].sentence(), "fresh again with bundle 2");
    assert_eq!(look(later), []);
}
