//! Holders collect what was carried for them, and nobody else does.

use farside_crossing::{Claim, Kind, Parcel, RawJson, StatusDocument};
use farside_gate::import::Outcome;
use farside_gate::pickup::{self, Claimant, Refused, phrase_digest, proof_audience};
use farside_verify::Code;

use crate::realm::{AUDIENCE, Far, HOUR, ISSUER, NOW, Plan, Realm, TokenKey, claims, revoked_name, status};

const PHRASE: &str = "seven grey geese";

fn parcel(realm: &Realm, subject: &str, index: u64, claim: Claim) -> Parcel {
    let (token, aud) = (realm.token(subject, index, ""), Some(AUDIENCE.to_owned()));
    Parcel { token, sub: subject.to_owned(), aud, claim }
}

/// A gate with a parcel of each kind: ada's by phrase, a bot's by key, a printer's as a file.
fn carried() -> (Realm, Far, TokenKey) {
    let (mut realm, far) = Far::enrolled();
    let bot = TokenKey::new("bot-key");
    let parcels = vec![
        parcel(&realm, "ada", 1, Claim::Phrase { sha256: phrase_digest(PHRASE) }),
        parcel(&realm, "bot", 2, Claim::Key { jwk: RawJson::new(&bot.jwk("")).unwrap() }),
        parcel(&realm, "printer", 3, Claim::File),
    ];
    far.import(&realm.send(Plan { parcels: Some(parcels), ..realm.plan() }));
    (realm, far, bot)
}

fn proof(bot: &TokenKey, name: &str, jti: &str, lifetime: u64) -> String {
    let (aud, exp) = (proof_audience(ISSUER), NOW + lifetime);
    bot.sign(
        "JWT",
        &format!(r#"{{"iss":"{name}","sub":"{name}","aud":"{aud}","iat":{NOW},"exp":{exp},"jti":"{jti}"}}"#),
    )
}

fn by_phrase<'a>(subject: &'a str, phrase: &'a str) -> Claimant<'a> {
    Claimant::Phrase { subject, phrase }
}

fn collect(far: &Far, claimant: Claimant<'_>) -> Result<Vec<String>, Refused> {
    let gate = far.gate();
    let collected = pickup::collect(gate.store(), &gate.trust().unwrap(), claimant, NOW)?;
    Ok(collected.into_iter().map(|token| token.token.to_string()).collect())
}

#[test]
fn a_token_whose_floor_is_ahead_is_not_handed_over() {
    let (mut realm, far) = Far::enrolled();
    let token = realm.token("ada", 1, r#","flr":2"#);
    let claim = Claim::Phrase { sha256: phrase_digest(PHRASE) };
    let parcel = Parcel { token, sub: "ada".to_owned(), aud: Some(AUDIENCE.to_owned()), claim };
    far.import(&realm.send(Plan { parcels: Some(vec![parcel]), ..realm.plan() }));
    assert!(matches!(collect(&far, by_phrase("ada", PHRASE)), Err(Refused::NothingToCollect)));
    far.import(&realm.send(realm.plan()));
    assert_eq!(collect(&far, by_phrase("ada", PHRASE)).unwrap().len(), 1);
}

#[test]
fn a_person_collects_by_phrase() {
    let (_, far, _) = carried();
    assert_eq!(far.status()["parcels"], serde_json::json!({"held": 3, "collected": 0}));
    let tokens = collect(&far, by_phrase("ada", &format!(" {PHRASE}\n"))).unwrap();
    let judged = farside_gate::judge::judge(&far.trust_state(), &tokens[0], AUDIENCE, NOW).unwrap();
    assert_eq!(judged.subject(), Some("ada"));
    assert_eq!(far.status()["parcels"]["collected"], 1);
    for wrong in ["", "seven gray geese", &"x".repeat(5000)] {
        assert!(matches!(collect(&far, by_phrase("ada", wrong)), Err(Refused::NothingToCollect)));
    }
}

#[test]
fn two_who_share_a_phrase_collect_each_their_own() {
    let (mut realm, far) = Far::enrolled();
    let shared = || Claim::Phrase { sha256: phrase_digest(PHRASE) };
    let parcels = vec![parcel(&realm, "ada", 1, shared()), parcel(&realm, "grace", 2, shared())];
    far.import(&realm.send(Plan { parcels: Some(parcels), ..realm.plan() }));
    assert_eq!(collect(&far, by_phrase("ada", PHRASE)).unwrap().len(), 1);
    assert_eq!(far.status()["parcels"], serde_json::json!({"held": 2, "collected": 1}));
    assert!(matches!(collect(&far, by_phrase("bob", PHRASE)), Err(Refused::NothingToCollect)));
    assert_eq!(far.status()["parcels"]["collected"], 1, "a stranger's attempt marks nothing");
    assert_eq!(collect(&far, by_phrase("grace", PHRASE)).unwrap().len(), 1);
    assert_eq!(far.status()["parcels"]["collected"], 2);
}

#[test]
fn a_bot_collects_by_proof_of_its_key_once_each() {
    let (_, far, bot) = carried();
    let one = proof(&bot, "bot", "p1", 60);
    assert_eq!(collect(&far, Claimant::Key { subject: "bot", proof: &one }).unwrap().len(), 1);
    match collect(&far, Claimant::Key { subject: "bot", proof: &one }) {
        Err(Refused::ProofReplayed(refusal)) => assert_eq!(refusal.code(), Code::Replayed),
        _ => panic!("a proof counted twice"),
    }
    let two = proof(&bot, "bot", "p2", 60);
    assert_eq!(collect(&far, Claimant::Key { subject: "bot", proof: &two }).unwrap().len(), 1);
}

#[test]
fn a_proof_by_another_key_for_another_name_or_too_long_is_refused() {
    let (realm, far, bot) = carried();
    let stranger = TokenKey::new("bot-key");
    let token = realm.token("bot", 2, "");
    let cases = [
        ("bot", proof(&stranger, "bot", "p", 60), Code::SignatureInvalid),
        ("bot", proof(&bot, "ada", "p", 60), Code::IssuerMismatch),
        ("bot", proof(&bot, "bot", "p", 301), Code::LifetimeTooLong),
        ("bot", proof(&bot, "bot", "", 60), Code::ClaimMissing),
        ("bot", token, Code::KeyUnknown),
    ];
    for (subject, proof, expected) in cases {
        match collect(&far, Claimant::Key { subject, proof: &proof }) {
            Err(Refused::ProofRefused(refusal)) => assert_eq!(refusal.code(), expected),
            _ => panic!("{expected} was expected"),
        }
    }
    let good = proof(&bot, "bot", "p", 60);
    assert!(matches!(
        collect(&far, Claimant::Key { subject: "ada", proof: &good }),
        Err(Refused::NothingToCollect)
    ));
}

#[test]
fn a_program_on_the_machine_reads_its_file() {
    let (_, far, _) = carried();
    let gate = far.gate();
    let collected = pickup::collect_files(gate.store(), &gate.trust().unwrap(), "printer", NOW).unwrap();
    assert_eq!(collected.len(), 1);
    let others = pickup::collect_files(gate.store(), &gate.trust().unwrap(), "ada", NOW);
    assert!(matches!(others, Err(Refused::NothingToCollect)));
}

#[test]
fn what_was_revoked_on_the_shelf_is_not_handed_over() {
    let (mut realm, far, _) = carried();
    let revoked = StatusDocument { subjects: vec![revoked_name("ada", NOW)], ..status(2) };
    far.import(&realm.send(Plan { status: Some(revoked), ..realm.plan_on_base(Kind::Delta) }));
    assert!(matches!(collect(&far, by_phrase("ada", PHRASE)), Err(Refused::NothingToCollect)));
}

#[test]
fn the_newest_token_for_each_audience_is_handed_over() {
    let (mut realm, far, _) = carried();
    let renewed = realm.key.sign("at+jwt", &claims("ada", 9, NOW + 5, ""));
    let claim = Claim::Phrase { sha256: phrase_digest(PHRASE) };
    let parcel =
        Parcel { token: renewed.clone(), sub: "ada".to_owned(), aud: Some(AUDIENCE.to_owned()), claim };
    far.import(&realm.send(Plan { parcels: Some(vec![parcel]), ..realm.plan() }));
    assert_eq!(collect(&far, by_phrase("ada", PHRASE)).unwrap(), [renewed]);
}

#[test]
fn tokens_that_do_not_verify_are_left_out_and_counted() {
    let (mut realm, far) = Far::enrolled();
    let file = || Claim::File;
    let expired = realm.key.sign("at+jwt", &claims("ada", 1, NOW - 2 * HOUR, ""));
    let forged = TokenKey::new("key-1").sign("at+jwt", &claims("ada", 2, NOW, ""));
    let of = |token| Parcel { token, sub: "ada".to_owned(), aud: None, claim: file() };
    let parcels = vec![of(expired), of(forged), parcel(&realm, "ada", 3, file())];
    let outcome = far.import(&realm.send(Plan { parcels: Some(parcels), ..realm.plan() }));
    let Outcome::Applied(applied) = outcome else { panic!("not applied") };
    assert_eq!((applied.parcels.stored, applied.parcels.expired, applied.parcels.refused), (1, 1, 1));
}

#[test]
fn the_receipt_is_what_the_mint_will_compute() {
    let (realm, far, _) = carried();
    let last = realm.last.unwrap();
    let expected = farside_crossing::ReceiptCode::new(&[7; 16], last.seq, &last.digest).to_string();
    assert_eq!(far.status()["bundle"]["receipt"], expected);
}

#[test]
fn no_secret_and_no_token_stands_in_the_journal() {
    let (_, far, bot) = carried();
    let shown = proof(&bot, "bot", "p1", 60);
    let tokens = collect(&far, Claimant::Key { subject: "bot", proof: &shown }).unwrap();
    let journal = std::fs::read_to_string(far.config.journal().join("gate-import.jsonl")).unwrap();
    assert!(!journal.contains(&tokens[0][..40]) && !journal.contains(PHRASE));
}
