//! A token that was verified once is not verified again, and judged as if it never had been.

use farside_crossing::{Claim, KeysDocument, Parcel, PolicyDocument, StatusDocument};
use farside_gate::import;
use farside_gate::judge::judge;
use farside_gate::known::CacheLimits;
use farside_gate::trust::Gate;
use farside_verify::Code;
use proptest::prelude::*;

use crate::realm::{
    AUDIENCE, Far, HOUR, NOW, Plan, Realm, TokenKey, audience, claims, code as outcome, keys_of, policy,
    revoked_name, revoked_tokens, status,
};
use crate::revocation::twin;

/// What judging a token comes to: whom, by which key, or the refusal's words.
type Verdict = Result<(Option<String>, Option<String>), (Code, String)>;

fn verdict(gate: &Gate, token: &str, now: u64) -> Verdict {
    match judge(&gate.trust().unwrap(), token, AUDIENCE, now) {
        Ok(grant) => {
            Ok((grant.subject().map(str::to_owned), grant.token().map(|claims| claims.key_id().to_owned())))
        }
        Err(refusal) => Err((refusal.code(), refusal.detail().to_owned())),
    }
}

fn code(gate: &Gate, token: &str, now: u64) -> Option<Code> {
    verdict(gate, token, now).err().map(|(code, _)| code)
}

/// The gate that remembers as it is told, on the same store.
fn gate_with(far: &Far, cache: CacheLimits) -> Gate {
    let mut config = far.config.clone();
    config.cache = cache;
    Gate::open(&config).unwrap()
}

fn holding(plan: impl FnOnce(&Realm) -> Plan) -> (Realm, Far) {
    let (mut realm, far) = Far::enrolled();
    let plan = plan(&realm);
    far.import(&realm.send(plan));
    (realm, far)
}

#[test]
fn a_signature_is_checked_once() {
    let (realm, far) = holding(|realm| realm.plan());
    let gate = far.gate();
    let token = realm.token("ada", 1, "");
    for _ in 0..3 {
        assert_eq!(code(&gate, &token, NOW), None);
    }
    let counts = gate.cache_counts();
    assert_eq!((counts.tokens, counts.misses, counts.hits), (1, 1, 2));
    let forgetful = gate_with(&far, CacheLimits { tokens_max: 0, ..CacheLimits::default() });
    assert_eq!(code(&forgetful, &token, NOW), None);
    assert_eq!(forgetful.cache_counts().tokens, 0);
}

#[test]
fn a_known_token_ends_with_its_time_and_a_clock_that_moves_is_believed_each_time() {
    let (realm, far) = holding(|realm| realm.plan());
    let gate = far.gate();
    let token = realm.key.sign("at+jwt", &claims("ada", 1, NOW + 600, &format!(r#","nbf":{}"#, NOW + 700)));
    let (good, ended, leeway) = (NOW + 800, NOW + 600 + HOUR, 60);
    assert_eq!(code(&gate, &token, good), None);
    for (now, expected) in [
        (ended + leeway - 1, None),
        (ended + leeway, Some(Code::Expired)),
        (NOW + 700 - leeway - 1, Some(Code::NotYetValid)),
        (NOW + 600 - leeway - 1, Some(Code::NotYetValid)),
        (good, None),
        (NOW - leeway - 1, Some(Code::ClockFault)),
    ] {
        assert_eq!(code(&gate, &token, now), expected, "{} after NOW", now as i64 - NOW as i64);
    }
    assert!(gate.cache_counts().hits >= 5, "it was known all along");
}

#[test]
fn a_known_token_is_refused_once_its_key_retires() {
    let until = NOW + 100;
    let retiring = format!(r#","accept_until":{until}"#);
    let (realm, far) =
        holding(|realm| Plan { keys: Some(keys_of(1, &[realm.key.jwk(&retiring)])), ..realm.plan() });
    let gate = far.gate();
    let token = realm.token("ada", 1, "");
    let codes = [NOW, until, until + 1].map(|now| code(&gate, &token, now));
    assert_eq!(codes, [None, None, Some(Code::KeyRetired)]);
}

#[test]
fn a_known_token_is_refused_from_the_import_on_that_revokes_it_or_changes_keys_or_policy() {
    let other_key = TokenKey::new("key-1");
    let cases: [(&str, fn(Plan, &TokenKey) -> Plan, Code); 4] = [
        (
            "the token",
            |plan, _| Plan {
                status: Some(StatusDocument { tokens: revoked_tokens(&[1], NOW + HOUR), ..status(2) }),
                ..plan
            },
            Code::Revoked,
        ),
        (
            "its subject",
            |plan, _| Plan {
                status: Some(StatusDocument { subjects: vec![revoked_name("ada", NOW)], ..status(2) }),
                ..plan
            },
            Code::Revoked,
        ),
        (
            "another key of the same name",
            |plan, other| Plan { keys: Some(keys_of(2, &[other.jwk("")])), ..plan },
            Code::SignatureInvalid,
        ),
        (
            "another issuer",
            |plan, _| {
                let mut policy = policy(2);
                policy.issuer = "https://other.example".to_owned();
                Plan { policy: Some(policy), ..plan }
            },
            Code::IssuerMismatch,
        ),
    ];
    for (what, change, expected) in cases {
        let (mut realm, far) = holding(|realm| realm.plan());
        let gate = far.gate();
        let token = realm.token("ada", 1, "");
        assert_eq!(code(&gate, &token, NOW), None, "{what}");
        let plan = change(realm.plan(), &other_key);
        far.import(&realm.send(plan));
        assert_eq!(code(&gate, &token, NOW), Some(expected), "{what}");
    }
}

#[test]
fn the_twin_of_a_known_signature_is_another_text_and_verified_for_itself() {
    let (realm, far) = holding(|realm| realm.plan());
    let gate = far.gate();
    let token = realm.token("ada", 1, "");
    let twin = twin::twin(&token);
    let mut forged = token.clone().into_bytes();
    let last = forged.len() - 20;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(code(&gate, &token, NOW), None);
    assert_eq!(code(&gate, &twin, NOW), None);
    let counts = gate.cache_counts();
    assert_eq!((counts.hits, counts.misses), (0, 2), "neither stands for the other");
    let forged = String::from_utf8(forged).unwrap();
    for text in [forged.as_str(), &token[..token.len() - 1], &format!("{token}A"), &format!("{token}=")] {
        assert!(code(&gate, text, NOW).is_some(), "{text}");
    }
}

#[test]
fn bad_tokens_neither_fill_it_nor_push_anybody_out() {
    let (realm, far) = holding(|realm| realm.plan());
    let gate = gate_with(&far, CacheLimits { tokens_max: 4, ..CacheLimits::default() });
    let good: Vec<String> = (0..4).map(|index| realm.token("ada", index, "")).collect();
    good.iter().for_each(|token| assert_eq!(code(&gate, token, NOW), None));
    let stranger = TokenKey::new("key-1");
    for index in 0..200 {
        let forged = stranger.sign("at+jwt", &claims("eve", index, NOW, ""));
        assert_eq!(code(&gate, &forged, NOW), Some(Code::SignatureInvalid));
    }
    let before = gate.cache_counts();
    assert_eq!(before.tokens, 4);
    good.iter().for_each(|token| assert_eq!(code(&gate, token, NOW), None));
    assert_eq!(gate.cache_counts().hits, before.hits + 4);
}

#[test]
fn it_holds_as_many_tokens_and_bytes_as_are_allowed_and_keeps_those_that_come_again() {
    let (realm, far) = holding(|realm| realm.plan());
    let tokens: Vec<String> = (0..300).map(|index| realm.token("ada", index, "")).collect();
    let few = gate_with(&far, CacheLimits { tokens_max: 16, ..CacheLimits::default() });
    let lean = gate_with(&far, CacheLimits { bytes_max: 20_000, ..CacheLimits::default() });
    for token in &tokens {
        for gate in [&few, &lean] {
            assert_eq!(code(gate, token, NOW), None);
            assert_eq!(code(gate, &tokens[0], NOW), None);
        }
    }
    let (few, lean) = (few.cache_counts(), lean.cache_counts());
    assert_eq!(few.tokens, 16);
    assert!(lean.tokens > 10 && lean.bytes <= 20_000, "{lean:?}");
    // The first token came each time, and was there nearly each time.
    assert!(few.hits > 280 && lean.hits > 270, "{few:?} {lean:?}");
    let tiny = gate_with(&far, CacheLimits { bytes_max: 100, ..CacheLimits::default() });
    assert_eq!(code(&tiny, &tokens[0], NOW), None);
    assert_eq!(tiny.cache_counts().tokens, 0);
}

fn carried(realm: &Realm, count: u64) -> Vec<Parcel> {
    let parcel = |index| {
        let (token, aud) = (realm.token("ada", index, ""), Some(AUDIENCE.to_owned()));
        Parcel { token, sub: "ada".to_owned(), aud, claim: Claim::File }
    };
    (0..count).map(parcel).collect()
}

#[test]
fn a_carried_token_is_known_before_anybody_shows_it() {
    let (mut realm, far) = holding(|realm| realm.plan());
    let gate = far.gate();
    let parcels = carried(&realm, 3);
    let tokens: Vec<String> = parcels.iter().map(|parcel| parcel.token.clone()).collect();
    let bundle = realm.send(Plan { parcels: Some(parcels), ..realm.plan() });
    // Imported by the running gate: known at once.
    std::fs::write(far.config.inbox().join("dome-00000002.fbundle"), bundle).unwrap();
    import::inbox_of(&gate, &far.config, NOW, NOW).unwrap();
    let before = gate.cache_counts();
    tokens.iter().for_each(|token| assert_eq!(code(&gate, token, NOW), None));
    let after = gate.cache_counts();
    assert_eq!((before.tokens, after.hits - before.hits, after.misses), (3, 3, before.misses));
    // Imported by another process, or before a restart: known once they have been gone through.
    for (tokens_max, known) in [(100, 3), (2, 2)] {
        let restarted = gate_with(&far, CacheLimits { tokens_max, ..CacheLimits::default() });
        assert_eq!(restarted.warm_tokens(NOW).unwrap().tokens, known);
        assert_eq!(code(&restarted, &tokens[2], NOW), None);
        let counts = restarted.cache_counts();
        assert_eq!((counts.hits, counts.misses), (1, known as u64), "the newest are the first");
        // Nothing is gone through twice.
        assert_eq!(restarted.warm_tokens(NOW).unwrap().misses, counts.misses);
    }
}

#[test]
fn a_bundle_that_is_not_applied_makes_nobody_known_at_the_doors() {
    let (realm, far) = holding(|realm| realm.plan());
    let gate = far.gate();
    // Signed with a key that its own bundle brings, which expired on the way.
    let other = TokenKey::new("key-2");
    let mut parcels = carried(&realm, 1);
    parcels[0].token = other.sign("at+jwt", &claims("eve", 9, NOW, ""));
    let token = parcels[0].token.clone();
    let late = realm.plan();
    let plan = Plan {
        keys: Some(keys_of(2, &[other.jwk("")])),
        issued_at: NOW - 2 * HOUR,
        next_by: NOW - HOUR,
        not_after: NOW - HOUR,
        parcels: Some(parcels),
        ..late
    };
    let bundle = realm.pack(&plan).bytes;
    std::fs::write(far.config.inbox().join("dome-00000002.fbundle"), bundle).unwrap();
    import::inbox_of(&gate, &far.config, NOW, NOW).unwrap();
    assert_eq!(code(&gate, &token, NOW), Some(Code::KeyUnknown));
}

/// One step in the life of two gates on one store.
#[derive(Clone, Debug)]
enum Step {
    Show { token: usize, seconds: i64 },
    RevokeToken(u64),
    RevokeSubject(usize),
    Keys { both: bool, accept_seconds: u64 },
    Policy { leeway_seconds: u64, lifetime_seconds_max: u64 },
    Nothing,
}

const SUBJECTS: [&str; 3] = ["ada", "grace", "edith"];

fn step() -> impl Strategy<Value = Step> {
    let hour = HOUR as i64;
    let show = (0_usize..12, prop_oneof![Just(0), -70_i64..70, -hour..2 * hour])
        .prop_map(|(token, seconds)| Step::Show { token, seconds });
    prop_oneof![
        20 => show,
        1 => (0_u64..12).prop_map(Step::RevokeToken),
        1 => (0_usize..3).prop_map(Step::RevokeSubject),
        1 => (any::<bool>(), 0..2 * HOUR)
            .prop_map(|(both, accept_seconds)| Step::Keys { both, accept_seconds }),
        1 => (0_u64..120, 60..2 * HOUR).prop_map(|(leeway_seconds, lifetime_seconds_max)|
            Step::Policy { leeway_seconds, lifetime_seconds_max }),
        1 => Just(Step::Nothing),
    ]
}

/// Twelve tokens: of two keys, with floors, of another audience, short, early, and two that are no good.
fn tokens(realm: &Realm, second: &TokenKey) -> Vec<String> {
    let (at, early) = (realm.token("ada", 0, ""), format!(r#","nbf":{}"#, NOW + 50));
    let of = |key: &TokenKey, subject: &str, index, more: &str| {
        key.sign("at+jwt", &claims(subject, index, NOW, more))
    };
    let short = claims("edith", 4, NOW, "").replace(&(NOW + HOUR).to_string(), &(NOW + 90).to_string());
    vec![
        at.clone(),
        twin::twin(&at),
        of(second, "grace", 2, ""),
        of(&realm.key, "grace", 3, &early),
        realm.key.sign("at+jwt", &short),
        of(&realm.key, "edith", 5, r#","flr":3"#),
        of(second, "ada", 6, r#","flr":2"#),
        realm.key.sign("at+jwt", &claims("ada", 7, NOW, "").replace(AUDIENCE, "mail")),
        of(&TokenKey::new("key-1"), "eve", 8, ""),
        of(&realm.key, "bob", 9, r#","cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#),
        of(second, "edith", 10, &early),
        format!("{at}."),
    ]
}

/// What the near side has sent so far: documents only rise, and nothing that was revoked is taken back.
struct Near {
    realm: Realm,
    second: TokenKey,
    keys: KeysDocument,
    policy: PolicyDocument,
    tokens: Vec<u64>,
    subjects: Vec<&'static str>,
}

impl Near {
    fn of(realm: Realm) -> Near {
        let second = TokenKey::new("key-2");
        let keys = keys_of(1, &[realm.key.jwk(""), second.jwk("")]);
        Near { realm, second, keys, policy: policy(1), tokens: Vec::new(), subjects: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        let version = self.realm.plan().seq;
        match step {
            Step::Show { .. } | Step::Nothing => {}
            Step::RevokeToken(index) => self.tokens.push(*index),
            Step::RevokeSubject(subject) => self.subjects.push(SUBJECTS[*subject]),
            Step::Keys { both, accept_seconds } => {
                let first = self.realm.key.jwk(&format!(r#","accept_until":{}"#, NOW + accept_seconds));
                let keys = if *both { vec![first, self.second.jwk("")] } else { vec![first] };
                self.keys = keys_of(version, &keys);
            }
            Step::Policy { leeway_seconds, lifetime_seconds_max } => {
                self.policy = policy(version);
                self.policy.audiences.push(audience("mail"));
                self.policy.leeway_seconds = *leeway_seconds;
                self.policy.lifetime_seconds_max = *lifetime_seconds_max;
            }
        }
    }

    fn bundle(&mut self) -> Vec<u8> {
        let plan = self.realm.plan();
        let mut names = self.subjects.clone();
        names.sort_unstable();
        names.dedup();
        let revoked = StatusDocument {
            tokens: revoked_tokens(&self.tokens, NOW + 2 * HOUR),
            subjects: names.into_iter().map(|name| revoked_name(name, NOW)).collect(),
            ..status(plan.seq)
        };
        let (keys, policy) = (Some(self.keys.clone()), Some(self.policy.clone()));
        self.realm.send(Plan { keys, policy, status: Some(revoked), ..plan })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_and_without_it_every_verdict_is_the_same(steps in proptest::collection::vec(step(), 1..60)) {
        let (realm, far) = Far::enrolled();
        let mut near = Near::of(realm);
        far.import(&near.bundle());
        let remembers = gate_with(&far, CacheLimits { tokens_max: 6, ..CacheLimits::default() });
        let forgets = gate_with(&far, CacheLimits { tokens_max: 0, ..CacheLimits::default() });
        let tokens = tokens(&near.realm, &near.second);
        for step in &steps {
            if let Step::Show { token, seconds } = step {
                let now = NOW.saturating_add_signed(*seconds);
                let token = &tokens[*token];
                prop_assert_eq!(verdict(&remembers, token, now), verdict(&forgets, token, now));
                continue;
            }
            near.take(step);
            let bundle = near.bundle();
            prop_assert!(outcome(&far.import(&bundle)).starts_with("applied"));
        }
    }
}
