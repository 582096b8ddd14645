//! Revocations at the gate: each kind hits what it covers and nothing else, in any spelling, behind any way
//! in; nothing is taken back before its time, and a delta only adds.

#[path = "../../../verify/tests/support/twin.rs"]
pub(crate) mod twin;

use farside_crossing::status::{COVERED_SLACK_SECONDS, RevokedAll};
use farside_crossing::{Kind, StatusDocument};
use farside_gate::judge::{inspect, judge};
use farside_verify::Code;

use crate::realm::{
    AUDIENCE, Far, HOUR, NOW, Plan, Realm, TokenKey, claims, code, keys_of, policy, revoked_key,
    revoked_name, revoked_tokens, status,
};

const DAY: u64 = 24 * HOUR;

/// What judging a token ends with.
fn verdict(far: &Far, token: &str) -> Option<Code> {
    judge(&far.trust_state(), token, AUDIENCE, NOW).err().map(|refusal| refusal.code())
}

/// Imports what is revoked, whole, in the next bundle.
fn revoke(realm: &mut Realm, far: &Far, revoked: StatusDocument) {
    let plan = realm.plan();
    let revoked = StatusDocument { version: plan.seq, ..revoked };
    let bundle = realm.send(Plan { status: Some(revoked), ..plan });
    assert!(code(&far.import(&bundle)).starts_with("applied"));
}

#[test]
fn each_kind_hits_what_it_covers_and_nothing_else() {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    let plain = realm.token("ada", 1, "");
    let later = realm.key.sign("at+jwt", &claims("ada", 2, NOW + 1, ""));
    let other = realm.key.sign("at+jwt", &claims("grace", 3, NOW, "").replace("\"c1\"", "\"c2\""));
    let crewed = realm.token("edith", 4, r#","groups":["deck","crew"]"#);
    let acted = realm.token("edith", 5, r#","act":{"sub":"agent","act":{"sub":"deeper","client_id":"c9"}}"#);
    let every = [&plain, &later, &other, &crewed, &acted];
    let hit = |far: &Far| every.map(|token| verdict(far, token) == Some(Code::Revoked));
    assert_eq!(hit(&far), [false; 5]);
    let all = Some(RevokedAll { before: NOW, reason: "break-in".into(), by: "uid 0".into(), at: NOW });
    let by = |name: &str| vec![revoked_name(name, NOW)];
    let c1_alone = [true, false, false, true, true];
    let cases: [(&str, StatusDocument, [bool; 5]); 8] = [
        (
            "token",
            StatusDocument { tokens: revoked_tokens(&[2], NOW + DAY), ..status(1) },
            [false, true, false, false, false],
        ),
        ("subject", StatusDocument { subjects: by("ada"), ..status(1) }, [true, false, false, false, false]),
        ("client", StatusDocument { clients: by("c1"), ..status(1) }, c1_alone),
        ("group", StatusDocument { groups: by("crew"), ..status(1) }, [false, false, false, true, false]),
        ("actor", StatusDocument { subjects: by("agent"), ..status(1) }, [false, false, false, false, true]),
        (
            "actor's actor",
            StatusDocument { clients: by("c9"), ..status(1) },
            [false, false, false, false, true],
        ),
        ("all", StatusDocument { all, ..status(1) }, [true, false, true, true, true]),
        ("key", StatusDocument { keys: vec![revoked_key("key-1")], ..status(1) }, [true; 5]),
    ];
    for (kind, revoked, expected) in cases {
        // A gate of its own for each: nothing is ever taken back.
        let far = Far::made();
        far.trust(&realm.charter);
        (realm.recipient, realm.last, realm.content) = (Some(far.recipient.clone()), None, None);
        revoke(&mut realm, &far, revoked);
        assert_eq!(hit(&far), expected, "{kind}");
    }
}

#[test]
fn a_spiffe_id_is_revoked_with_its_subject() {
    let (mut realm, far) = Far::enrolled();
    let (id, other) =
        (realm.token("spiffe://moon/bot/lander", 1, ""), realm.token("spiffe://moon/bot/rover", 2, ""));
    revoke(&mut realm, &far, StatusDocument { subjects: vec![revoked_name("lander", NOW)], ..status(1) });
    assert_eq!([verdict(&far, &id), verdict(&far, &other)], [Some(Code::Revoked), None]);
}

#[test]
fn the_twin_of_a_signature_is_revoked_with_it_everywhere() {
    let (mut realm, far) = Far::enrolled();
    let token = realm.token("ada", 3, "");
    let twin = twin::twin(&token);
    far.import(&realm.send(realm.plan()));
    assert!(twin != token && verdict(&far, &twin).is_none(), "the twin verifies");
    let gate = far.gate();
    revoke(&mut realm, &far, StatusDocument { tokens: revoked_tokens(&[3], NOW + HOUR), ..status(2) });
    for spelling in [&token, &twin] {
        let trust = gate.trust().unwrap();
        assert_eq!(judge(&trust, spelling, AUDIENCE, NOW).unwrap_err().code(), Code::Revoked);
        assert_eq!(inspect(&trust, spelling, None, NOW).unwrap_err().code(), Code::Revoked);
    }
}

#[test]
fn an_entry_dropped_early_refuses_the_bundle_and_dropped_late_it_goes() {
    let end = DAY + COVERED_SLACK_SECONDS;
    for revoked in [
        StatusDocument { tokens: revoked_tokens(&[3], NOW + DAY), ..status(1) },
        StatusDocument { subjects: vec![revoked_name("eve", NOW)], ..status(1) },
        StatusDocument { clients: vec![revoked_name("c9", NOW)], ..status(1) },
        StatusDocument { groups: vec![revoked_name("crew", NOW)], ..status(1) },
        StatusDocument { keys: vec![revoked_key("key-1")], ..status(1) },
    ] {
        let (mut realm, far) = Far::enrolled();
        // The key is believed for as long as the longest token.
        let ending = keys_of(1, &[realm.key.jwk(&format!(r#","accept_until":{}"#, NOW + DAY))]);
        let plan = Plan { keys: Some(ending.clone()), status: Some(revoked), ..realm.plan() };
        far.import(&realm.send(plan));
        let offered = |late: u64| {
            let (keys, issued_at) = (Some(ending.clone()), NOW + late);
            let (next_by, not_after) = (issued_at + HOUR, issued_at + DAY);
            let bundle = realm.pack(&Plan { keys, issued_at, next_by, not_after, ..realm.plan() });
            code(&far.import_at(&bundle.bytes, issued_at))
        };
        assert_eq!(offered(end), "loosening");
        assert_eq!(offered(end + 1), "applied 2");
    }
}

#[test]
fn a_lower_cap_lets_nothing_go_that_was_issued_under_a_higher_one() {
    let (mut realm, far) = Far::enrolled();
    let revoked = || Some(StatusDocument { subjects: vec![revoked_name("eve", NOW)], ..status(1) });
    far.import(&realm.send(Plan { status: revoked(), ..realm.plan() }));
    let mut short = policy(2);
    short.lifetime_seconds_max = HOUR;
    let plan = realm.plan();
    let status_of = |version| StatusDocument { version, ..revoked().unwrap() };
    let lowered = Plan { policy: Some(short.clone()), status: Some(status_of(2)), ..plan };
    far.import(&realm.send(lowered));
    // By the cap in force it would have gone; by the highest it has not.
    let issued_at = NOW + HOUR + COVERED_SLACK_SECONDS + 1;
    let bundle = realm.pack(&Plan {
        policy: Some(short),
        issued_at,
        next_by: issued_at,
        not_after: issued_at,
        ..realm.plan()
    });
    assert_eq!(code(&far.import_at(&bundle.bytes, issued_at)), "loosening");
}

#[test]
fn a_key_that_left_the_key_set_needs_no_revocation() {
    let (mut realm, far) = Far::enrolled();
    let revoked = StatusDocument { keys: vec![revoked_key("key-1")], ..status(1) };
    far.import(&realm.send(Plan { status: Some(revoked), ..realm.plan() }));
    let heir = keys_of(2, &[TokenKey::new("key-2").jwk("")]);
    let bundle = realm.send(Plan { keys: Some(heir), ..realm.plan() });
    assert_eq!(code(&far.import(&bundle)), "applied 2");
}

#[test]
fn deltas_add_to_what_is_held_take_nothing_back_and_are_kept_for_auditors() {
    let (mut realm, far) = Far::enrolled();
    let first = StatusDocument {
        tokens: revoked_tokens(&[1], NOW + DAY),
        subjects: vec![revoked_name("eve", NOW)],
        ..status(1)
    };
    far.import(&realm.send(Plan { status: Some(first), ..realm.plan() }));
    let part = |version, since| StatusDocument {
        since: Some(since),
        tokens: revoked_tokens(&[2], NOW + DAY),
        subjects: vec![revoked_name("mallory", NOW), revoked_name("eve", NOW - 9)],
        ..status(version)
    };
    let delta = Plan { status: Some(part(2, 1)), ..realm.plan_on_base(Kind::Delta) };
    assert_eq!(code(&far.import(&realm.send(delta))), "applied 2");
    let held = far.status()["revoked"].clone();
    assert_eq!((&held["tokens"], &held["subjects"]), (&2.into(), &2.into()));
    for (subject, index) in [("ada", 1), ("ada", 2), ("eve", 3), ("mallory", 4)] {
        let token = realm.token(subject, index, "");
        assert_eq!(verdict(&far, &token), Some(Code::Revoked), "{subject} {index}");
    }
    // A part on another base, or in a bundle that may cross a hole, is none.
    let astray = realm.pack(&Plan { status: Some(part(3, 1)), ..realm.plan_on_base(Kind::Delta) });
    assert_eq!(code(&far.import(&astray.bytes)), "gap");
    let whole = realm.pack(&Plan { status: Some(part(3, 2)), ..realm.plan() });
    assert_eq!(code(&far.import(&whole.bytes)), "malformed");
    // A full list that lacks what the delta brought takes it back.
    let loose = realm.pack(&Plan { status: Some(status(3)), ..realm.plan() });
    assert_eq!(code(&far.import(&loose.bytes)), "loosening");
    let folder = tempfile::tempdir().unwrap();
    farside_gate::evidence::export(&far.config, &folder.path().join("export"), NOW).unwrap();
    let parts = std::fs::read_dir(folder.path().join("export/status")).unwrap();
    assert_eq!(parts.count(), 2);
}

#[test]
fn names_that_everything_covers_may_go_and_their_tokens_stay_refused_in_every_spelling() {
    let (mut realm, far) = Far::enrolled();
    let signed = |claims: String| {
        let end = |text: &str| text.parse::<u64>().unwrap() + 8 * HOUR;
        let (before, rest) = claims.split_once("\"exp\":").unwrap();
        let (exp, after) = rest.split_once(',').unwrap();
        realm.key.sign("at+jwt", &format!("{before}\"exp\":{},{after}", end(exp)))
    };
    let tokens = [
        signed(claims("eve", 1, NOW, "")),
        signed(claims("spiffe://moon/bot/eve", 2, NOW, "")),
        signed(claims("ada", 3, NOW, r#","act":{"sub":"eve"}"#)),
        signed(claims("ada", 4, NOW, r#","groups":["crew"]"#)),
        signed(claims("ada", 5, NOW, "").replace("\"c1\"", "\"c9\"")),
    ];
    let twin = twin::twin(&tokens[0]);
    let later = signed(claims("eve", 6, NOW + 1, ""));
    let named = StatusDocument {
        subjects: vec![revoked_name("eve", NOW)],
        clients: vec![revoked_name("c9", NOW)],
        groups: vec![revoked_name("crew", NOW)],
        ..status(1)
    };
    far.import(&realm.send(Plan { status: Some(named), ..realm.plan() }));
    let issued_at = NOW + HOUR + COVERED_SLACK_SECONDS + 1;
    // Each is either revoked or good.
    let revoked = |token: &str| {
        let judged = judge(&far.trust_state(), token, AUDIENCE, issued_at);
        judged.err().map(|refusal| assert_eq!(refusal.code(), Code::Revoked)).is_some()
    };
    let every = || tokens.iter().chain([&twin]).all(|token| revoked(token));
    assert!(every() && !revoked(&later));
    let all = Some(RevokedAll { before: NOW, reason: "break-in".into(), by: "uid 0".into(), at: NOW });
    let (next_by, not_after) = (issued_at + HOUR, issued_at + DAY);
    let short = StatusDocument { all, ..status(2) };
    let plan = Plan { status: Some(short), issued_at, next_by, not_after, ..realm.plan() };
    let bundle = realm.send(plan);
    assert_eq!(code(&far.import_at(&bundle, issued_at)), "applied 2");
    assert!(every() && !revoked(&later), "each as before");
}
