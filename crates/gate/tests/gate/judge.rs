//! Whom the gate admits, and what it says to the others.

use farside_crossing::{Digest, Kind, StatusDocument};
use farside_gate::judge::{cannot_judge, inspect, judge};
use farside_gate::trust::{BUILT_AT, Freshness};
use farside_verify::{Code, Refusal};

use crate::realm::{
    AUDIENCE, Far, HOUR, NOW, Plan, Realm, TokenKey, audience, claims, keys_of, policy, revoked_key,
    revoked_name, revoked_tokens, status,
};

/// A gate that holds one full bundle.
fn holding() -> (Realm, Far) {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    (realm, far)
}

fn refusal(far: &Far, token: &str, now: u64) -> Refusal {
    judge(&far.trust_state(), token, AUDIENCE, now).unwrap_err()
}

#[test]
fn a_good_token_is_granted() {
    let (realm, far) = holding();
    let token = realm.token("ada", 1, r#","roles":["pilot"],"flr":1"#);
    let grant = judge(&far.trust_state(), &token, AUDIENCE, NOW).unwrap();
    assert_eq!((grant.subject(), grant.audience()), (Some("ada"), Some(AUDIENCE)));
    assert_eq!(grant.token().map(|claims| claims.key_id()), Some("key-1"));
    assert_eq!(grant.roles().collect::<Vec<_>>(), ["pilot"]);
}

#[test]
fn a_gate_that_holds_nothing_judges_nothing() {
    let (realm, far) = Far::enrolled();
    let refused = refusal(&far, &realm.token("ada", 1, ""), NOW);
    assert_eq!(refused.code(), Code::Stale);
    assert!(cannot_judge(refused.code()) && refused.cure().contains("full bundle"), "{}", refused.cure());
    let made = Far::made();
    assert!(refusal(&made, &realm.token("ada", 1, ""), NOW).cure().contains("charter"));
}

#[test]
fn a_token_of_another_audience_is_refused() {
    let (mut realm, far) = Far::enrolled();
    let mut two = policy(1);
    two.audiences.push(audience("mail"));
    far.import(&realm.send(Plan { policy: Some(two), ..realm.plan() }));
    let token = realm.token("ada", 1, "");
    let at = |audience| {
        judge(&far.trust_state(), &token, audience, NOW).map(|_| ()).map_err(|refusal| refusal.code())
    };
    assert_eq!(at(AUDIENCE), Ok(()));
    assert_eq!(at("mail"), Err(Code::AudienceMismatch));
    assert_eq!(at("nowhere"), Err(Code::AudienceMismatch));
}

#[test]
fn an_unknown_key_names_what_this_gate_holds() {
    let (_, far) = holding();
    let stranger = TokenKey::new("key-9");
    let refused = refusal(&far, &stranger.sign("at+jwt", &claims("ada", 1, NOW, "")), NOW);
    assert_eq!(refused.code(), Code::KeyUnknown);
    assert!(refused.cure().contains("bundle 1") && refused.cure().contains("key-1"), "{}", refused.cure());
}

#[test]
fn a_floor_ahead_names_the_bundles_to_import() {
    let (realm, far) = holding();
    let refused = refusal(&far, &realm.token("ada", 1, r#","flr":3"#), NOW);
    assert_eq!(refused.code(), Code::FloorAhead);
    assert_eq!(refused.cure(), "This gate holds bundle 1: import 2 and 3.");
}

#[test]
fn revoked_tokens_subjects_and_keys_are_refused() {
    let (mut realm, far) = holding();
    let gate = far.gate();
    let granted =
        |token: &str| judge(&gate.trust().unwrap(), token, AUDIENCE, NOW).map(|_| ()).map_err(|r| r.code());
    let (by_token, by_subject, kept) =
        (realm.token("ada", 5, ""), realm.token("eve", 6, ""), realm.token("ada", 7, ""));
    assert_eq!([&by_token, &by_subject, &kept].map(|token| granted(token)), [Ok(()); 3]);

    let revoked = StatusDocument {
        tokens: revoked_tokens(&[5], NOW + HOUR),
        subjects: vec![revoked_name("eve", NOW)],
        ..status(2)
    };
    let two = realm.send(Plan { status: Some(revoked.clone()), ..realm.plan_on_base(Kind::Delta) });
    far.import(&two);
    // The gate was open all the while, as `serve` is: from the moment import returned, both are out.
    assert_eq!(granted(&by_token), Err(Code::Revoked));
    assert_eq!(granted(&by_subject), Err(Code::Revoked));
    assert_eq!(granted(&kept), Ok(()));
    // What eve is given after that moment counts again.
    let later = realm.key.sign("at+jwt", &claims("eve", 8, NOW + 1, ""));
    assert_eq!(granted(&later), Ok(()));

    let revoked = StatusDocument { version: 3, keys: vec![revoked_key("key-1")], ..revoked };
    far.import(&realm.send(Plan { status: Some(revoked), ..realm.plan_on_base(Kind::Delta) }));
    assert_eq!(granted(&kept), Err(Code::Revoked));
    assert_eq!(gate.trust().unwrap().current_jwks(NOW), r#"{"keys":[]}"#);
}

#[test]
fn a_token_bound_to_a_key_is_no_bearer_token() {
    let (realm, far) = holding();
    let thumb = "A".repeat(43);
    for cnf in [format!(r#"{{"jkt":"{thumb}"}}"#), format!(r#"{{"x5t#S256":"{thumb}"}}"#)] {
        let token = realm.token("ada", 1, &format!(r#","cnf":{cnf}"#));
        assert_eq!(refusal(&far, &token, NOW).code(), Code::HolderProofRequired);
        assert!(inspect(&far.trust_state(), &token, Some(AUDIENCE), NOW).is_ok());
    }
}

#[test]
fn an_audience_that_demands_holders_admits_no_bearer() {
    let (mut realm, far) = Far::enrolled();
    let mut bound = policy(1);
    bound.audiences[0].holder_bound = true;
    far.import(&realm.send(Plan { policy: Some(bound), ..realm.plan() }));
    assert_eq!(refusal(&far, &realm.token("ada", 1, ""), NOW).code(), Code::HolderProofRequired);
}

#[test]
fn a_token_without_a_place_in_the_log_is_refused() {
    let (realm, far) = holding();
    let good = claims("ada", 1, NOW, "");
    let elsewhere = good.replace("dome-1", "whatever");
    assert_eq!(refusal(&far, &realm.key.sign("at+jwt", &elsewhere), NOW).code(), Code::ClaimsInvalid);
}

#[test]
fn fresh_turns_late_turns_expired() {
    let (realm, far) = holding();
    let trust = far.trust_state();
    let token = |now| realm.key.sign("at+jwt", &claims("ada", 1, now, ""));
    assert_eq!(trust.freshness(NOW + HOUR), Freshness::Fresh);
    let late = NOW + HOUR + 1;
    assert_eq!(trust.freshness(late), Freshness::Late { since: NOW + HOUR });
    assert!(judge(&trust, &token(late), AUDIENCE, late).is_ok(), "late is an alarm, not an outage");
    let expired = NOW + 24 * HOUR + 1;
    assert_eq!(trust.freshness(expired), Freshness::Expired { since: NOW + 24 * HOUR });
    assert_eq!(judge(&trust, &token(expired), AUDIENCE, expired).unwrap_err().code(), Code::Stale);
    assert_eq!(trust.current_jwks(expired), r#"{"keys":[]}"#);
}

#[test]
fn a_clock_behind_the_floor_is_a_fault_that_says_by_how_much() {
    let (realm, far) = holding();
    let token = realm.token("ada", 1, "");
    assert!(judge(&far.trust_state(), &token, AUDIENCE, NOW - 60).is_ok(), "within the leeway");
    let refused = refusal(&far, &token, NOW - 61);
    assert_eq!(refused.code(), Code::ClockFault);
    assert!(refused.detail().contains("61 seconds"), "{}", refused.detail());
    // Ten years back, before this gate was made, with nothing imported: still a fault.
    let made = Far::made();
    assert_eq!(refusal(&made, &token, BUILT_AT - 61).code(), Code::ClockFault);
}

#[test]
fn a_clock_set_back_neither_lets_an_expired_bundle_in_nor_a_dead_token() {
    let (mut realm, far) = Far::enrolled();
    let day = 24 * HOUR;
    let old = realm.send(Plan { issued_at: NOW, not_after: NOW + HOUR, ..realm.plan() });
    let later = NOW + 2 * day;
    let new = realm.pack(&Plan {
        seq: 5,
        prev: Some(Digest::of(b"bundle 4")),
        issued_at: later,
        next_by: later + HOUR,
        not_after: later + day,
        ..realm.plan()
    });
    assert!(crate::realm::code(&far.import_at(&new.bytes, later)).starts_with("applied"));
    // The clock goes back two days, the old stick comes again: nothing is younger than what was applied.
    assert!(crate::realm::code(&far.import_at(&old, NOW)).starts_with("superseded"));
    let dead = realm.token("ada", 1, "");
    assert_eq!(refusal(&far, &dead, NOW).code(), Code::ClockFault);
    assert_eq!(far.trust_state().time_floor(), later);
}

#[test]
fn a_retired_key_is_neither_believed_nor_shown() {
    let (mut realm, far) = Far::enrolled();
    let windows = format!(r#","sign_from":{NOW},"sign_until":{},"accept_until":{}"#, NOW + 10, NOW + 20);
    let keys = keys_of(1, &[realm.key.jwk(&windows), TokenKey::new("key-2").jwk("")]);
    far.import(&realm.send(Plan { keys: Some(keys), ..realm.plan() }));
    let token = realm.token("ada", 1, "");
    assert!(judge(&far.trust_state(), &token, AUDIENCE, NOW + 20).is_ok());
    assert_eq!(refusal(&far, &token, NOW + 200).code(), Code::KeyRetired);
    assert!(!far.trust_state().current_jwks(NOW + 200).contains("key-1"));
    assert!(far.trust_state().current_jwks(NOW + 200).contains("key-2"));
}
