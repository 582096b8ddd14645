//! The nine acceptance rules on files, and what stands in store, journal and quarantine afterwards.

use farside_crossing::fence::FenceDocument;
use farside_crossing::pardon::{PardonDocument, PardonedToken};
use farside_crossing::{CharterDraft, Digest, Kind, Role, RoleName, note};
use farside_gate::import::Mode;
use farside_gate::judge::judge;
use farside_service::journal;

use crate::realm::{
    AUDIENCE, Far, HOUR, NOW, Pair, Plan, REALM, Realm, SITE, TokenKey, code, keys_of, policy, revoked_key,
    revoked_name, revoked_tokens, status,
};

fn fence(seq_min: u64, seq_max: u64) -> FenceDocument {
    let (realm, site) = (REALM.to_owned(), SITE.to_owned());
    FenceDocument { realm, site, version: 1, issued_at: NOW, seq_min, seq_max }
}

#[test]
fn rule_1_bundles_in_order_apply() {
    let (mut realm, far) = Far::enrolled();
    for seq in 1..=3 {
        let bundle = realm.send(realm.plan());
        assert_eq!(code(&far.import(&bundle)), format!("applied {seq}"));
    }
    let delta = realm.send(Plan { status: Some(status(9)), ..realm.plan_on_base(Kind::Delta) });
    assert_eq!(code(&far.import(&delta)), "applied 4");
    let beacon = realm.send(realm.plan_on_base(Kind::Beacon));
    assert_eq!(code(&far.import(&beacon)), "applied 5");
    let seen = far.status();
    assert_eq!(
        (&seen["bundle"]["seq"], &seen["bundle"]["kind"], &seen["freshness"]),
        (&5.into(), &"beacon".into(), &"fresh".into())
    );
}

#[test]
fn rule_2_a_full_bundle_crosses_a_hole_and_the_hole_is_remembered() {
    let (mut realm, far) = Far::enrolled();
    let first = realm.send(realm.plan());
    let _lost = [realm.send(realm.plan()), realm.send(realm.plan())];
    let fourth = realm.send(realm.plan());
    far.import(&first);
    assert_eq!(code(&far.import(&fourth)), "applied 4");
    assert_eq!(far.status()["missing"][0]["first"], 2);
    assert_eq!(far.status()["missing"][0]["last"], 3);
}

#[test]
fn rule_2_a_delta_needs_its_exact_base() {
    let (mut realm, far) = Far::enrolled();
    let first = realm.send(realm.plan());
    let _lost = realm.send(realm.plan());
    let delta = realm.send(Plan { status: Some(status(9)), ..realm.plan_on_base(Kind::Delta) });
    far.import(&first);
    assert_eq!(code(&far.import(&delta)), "gap");
    assert_eq!(far.status()["bundle"]["seq"], 1);
}

#[test]
fn rule_3_the_same_bundle_again_changes_nothing() {
    let (mut realm, far) = Far::enrolled();
    let first = realm.send(realm.plan());
    far.import(&first);
    let before = far.status();
    assert_eq!(code(&far.import(&first)), "already applied 1");
    assert_eq!(far.status(), before);
}

#[test]
fn rule_4_a_fork_freezes_the_stream_and_both_are_kept() {
    let (mut realm, far) = Far::enrolled();
    let one = realm.send(realm.plan());
    far.import(&one);
    let twin = realm.pack(&Plan { seq: 1, prev: None, next_by: NOW + 2 * HOUR, ..realm.plan() });
    assert_eq!(code(&far.import(&twin.bytes)), "fork");
    let two = realm.send(realm.plan());
    assert_eq!(code(&far.import(&two)), "frozen");

    let seen = far.status();
    assert_eq!((&seen["frozen"], &seen["bundle"]["seq"]), (&true.into(), &1.into()));
    assert_eq!(seen["forks"][0]["other"], twin.digest.hex());
    assert_eq!(seen["forks"][0]["held"], seen["bundle"]["digest"]);
    assert!(kept(&far).iter().any(|(blob, reason)| *blob == twin.bytes && reason["code"] == "fork"));
    // What was believed before the fork is still believed.
    let token = realm.token("ada", 1, "");
    assert!(judge(&far.trust_state(), &token, AUDIENCE, NOW).is_ok());

    // The release people look into it and let the stream go on.
    let three = realm.send(Plan { fence: Some(fence(3, 10)), ..realm.plan() });
    assert_eq!(code(&far.import(&three)), "applied 3");
    assert_eq!(far.status()["frozen"], false);
}

#[test]
fn rule_5_every_old_stick_replayed_changes_nothing() {
    let (mut realm, far) = Far::enrolled();
    let sticks: Vec<Vec<u8>> = (0..6).map(|_| realm.send(realm.plan())).collect();
    sticks.iter().for_each(|stick| assert!(code(&far.import(stick)).starts_with("applied")));
    // Oldest first, newest first, after a "restart" each time: every import opens the gate anew.
    for (nth, old) in sticks[..5].iter().chain(sticks[..5].iter().rev()).enumerate() {
        assert!(code(&far.import(old)).starts_with("superseded"), "replay {nth}");
        assert_eq!(far.status()["bundle"]["seq"], 6);
    }
    assert_eq!(far.status()["superseded"], 10);
    assert_eq!(far.status()["quarantine"], 0);
}

#[test]
fn rule_6_component_versions_only_rise() {
    let (mut realm, far) = Far::enrolled();
    let first = Plan { policy: Some(policy(5)), ..realm.plan() };
    far.import(&realm.send(first));
    let older = realm.pack(&Plan { policy: Some(policy(4)), ..realm.plan() });
    assert_eq!(code(&far.import(&older.bytes)), "component_rollback");
    let mut other = policy(5);
    other.leeway_seconds = 30;
    let conflict = realm.pack(&Plan { policy: Some(other), ..realm.plan() });
    assert_eq!(code(&far.import(&conflict.bytes)), "component_conflict");
    assert_eq!(far.status()["bundle"]["seq"], 1);
}

#[test]
fn rule_7_a_jump_needs_a_fence() {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    let far_ahead = 1 + 10_001;
    let jump = || Plan { seq: far_ahead, prev: Some(Digest::of(b"unknown")), ..realm.plan() };
    assert_eq!(code(&far.import(&realm.pack(&jump()).bytes)), "sequence_jump");
    let fenced = realm.pack(&Plan { fence: Some(fence(far_ahead, far_ahead)), ..jump() });
    assert_eq!(code(&far.import(&fenced.bytes)), format!("applied {far_ahead}"));
}

#[test]
fn rule_8_expired_foreign_and_future_bundles_are_refused() {
    let (realm, far) = Far::enrolled();
    let packed = |plan| realm.pack(&plan).bytes;
    let expired = packed(realm.plan());
    assert_eq!(code(&far.import_at(&expired, NOW + 25 * HOUR)), "expired");
    let future = packed(realm.plan());
    assert_eq!(code(&far.import_at(&future, NOW - HOUR)), "not_yet_issued");
    let stranger = Realm::found();
    assert_eq!(code(&far.import(&stranger.pack(&stranger.plan()).bytes)), "threshold_unmet");
    assert_eq!(far.status()["bundle"], serde_json::Value::Null);
}

#[test]
fn rule_9_a_bundle_refused_at_its_last_component_leaves_nothing() {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    let before = far.status();
    // Keys, policy and status are good and would be stored first; the seal of the parcels is broken.
    let mut plan = realm.plan();
    plan.keys = Some(keys_of(2, &[realm.key.jwk(""), TokenKey::new("key-2").jwk("")]));
    plan.status =
        Some(farside_crossing::StatusDocument { tokens: revoked_tokens(&[1], NOW + HOUR), ..status(7) });
    realm.recipient = Some(Far::made().recipient);
    let bundle = realm.pack(&plan);
    assert_eq!(code(&far.import(&bundle.bytes)), "seal_broken");
    let after = far.status();
    assert_eq!(
        (&after["bundle"], &after["keys"], &after["revoked"]),
        (&before["bundle"], &before["keys"], &before["revoked"])
    );
}

#[test]
fn a_stolen_online_key_adds_no_key_and_takes_back_no_revocation() {
    let (mut realm, far) = Far::enrolled();
    let mut plan = realm.plan();
    let revoked = status(1);
    plan.status = Some(farside_crossing::StatusDocument {
        tokens: revoked_tokens(&[3], NOW + HOUR),
        subjects: vec![revoked_name("eve", NOW)],
        keys: vec![revoked_key("key-1")],
        ..revoked
    });
    far.import(&realm.send(plan));

    // The thief signs a key set with the online key.
    let thief = TokenKey::new("thief");
    let honest = std::mem::replace(&mut realm.release, Pair::new("release-a"));
    let mut forged = realm.plan();
    forged.keys = Some(keys_of(2, &[realm.key.jwk(""), thief.jwk("")]));
    let forged = realm.pack(&forged);
    assert!(
        ["threshold_unmet", "signature_invalid", "role_forbidden"]
            .contains(&code(&far.import(&forged.bytes)).as_str())
    );
    realm.release = honest;

    // Or lets the revoked go.
    let pardoning = realm.pack(&realm.plan());
    assert_eq!(code(&far.import(&pardoning.bytes)), "loosening");
    // Which release people may.
    let pardon = PardonDocument {
        tokens: vec![PardonedToken { shard: SITE.to_owned(), index: 3 }],
        subjects: vec!["eve".to_owned()],
        keys: vec!["key-1".to_owned()],
        ..PardonDocument::empty(REALM, SITE, 1, NOW)
    };
    let pardoned = realm.send(Plan { pardon: Some(pardon), ..realm.plan() });
    assert_eq!(code(&far.import(&pardoned)), "applied 2");
    assert_eq!(far.status()["revoked"]["tokens"], 0);
}

#[test]
fn keys_and_policies_that_this_gate_cannot_keep_are_refused() {
    let (realm, far) = Far::enrolled();
    let rsa = r#"{"kty":"RSA","kid":"r","alg":"RS256","n":"3Q","e":"AQAB"}"#.to_owned();
    for (name, jwks) in
        [("rsa", vec![realm.key.jwk(""), rsa]), ("twins", vec![realm.key.jwk(""), realm.key.jwk("")])]
    {
        let plan = Plan { keys: Some(keys_of(1, &jwks)), ..realm.plan() };
        assert_eq!(code(&far.import(&realm.pack(&plan).bytes)), "malformed", "{name}");
    }
    let mut unknown = policy(1);
    unknown.algorithms = Some(vec!["ES256".to_owned(), "HS256".to_owned()]);
    let plan = Plan { policy: Some(unknown), ..realm.plan() };
    assert_eq!(code(&far.import(&realm.pack(&plan).bytes)), "malformed");
}

#[test]
fn a_new_charter_comes_with_a_bundle_and_its_online_key_is_believed() {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    let (heir, old) = (Pair::new("online-b"), std::mem::replace(&mut realm.online, Pair::new("spare")));
    realm.online = heir;
    let online =
        Role::new(RoleName::Online, 1, vec![farside_crossing::Signer::public(&realm.online).clone()])
            .unwrap();
    let draft = CharterDraft { online, ..realm.charter.successor(NOW) };
    let next = note::sign(&draft.text().unwrap(), &[&realm.root]).unwrap();
    let two = realm.send(Plan { charters: vec![next], ..realm.plan() });
    assert_eq!(code(&far.import(&two)), "applied 2");
    assert_eq!(far.status()["charter"]["version"], 2);
    // The key that was replaced speaks for the realm no longer.
    realm.online = old;
    let late = realm.pack(&realm.plan());
    assert_eq!(code(&far.import(&late.bytes)), "threshold_unmet");
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    let (before, journal_before) = (far.status(), journal_lines(&far));
    let good = far.stick("good.fbundle", &realm.send(realm.plan()));
    let twin = realm.pack(&Plan { seq: 1, prev: None, next_by: NOW + 2 * HOUR, ..realm.plan() });
    let twin = far.stick("twin.fbundle", &twin.bytes);
    for (path, expected) in [(good, "applied 2"), (twin, "fork")] {
        assert_eq!(code(&far.import_file(&path, Mode::DryRun, NOW)[0].outcome), expected);
        assert!(path.exists());
        assert_eq!(far.status(), before);
        assert_eq!(journal_lines(&far), journal_before);
        assert!(kept(&far).is_empty());
    }
}

#[test]
fn a_folder_is_imported_in_order_whatever_the_files_are_called() {
    let (mut realm, far) = Far::enrolled();
    let bundles = [
        ("zz-last-in-name.fbundle", realm.send(realm.plan())),
        ("m.fbundle", realm.send(Plan { status: Some(status(9)), ..realm.plan_on_base(Kind::Delta) })),
        ("a.fbundle", realm.send(Plan { status: Some(status(10)), ..realm.plan_on_base(Kind::Delta) })),
    ];
    let stick = far.stick("other.txt", b"somebody's letter").parent().unwrap().to_path_buf();
    bundles.iter().for_each(|(name, bytes)| drop(far.stick(name, bytes)));
    let reports = far.import_file(&stick, Mode::Apply, NOW);
    assert_eq!(far.status()["bundle"]["seq"], 3);
    assert_eq!(reports.iter().filter(|report| report.refused()).count(), 1, "the letter");
    assert!(stick.join("a.fbundle").exists(), "a stick is not ours to empty");
}

#[test]
fn the_journal_tells_it_and_its_chain_holds() {
    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    far.import(b"nonsense");
    let events: Vec<String> =
        journal_lines(&far).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        events,
        ["gate_made", "charter_trusted", "bundle_accepted", "bundle_applied", "bundle_refused"]
    );
    journal::verify(&far.config.journal().join("gate-import.jsonl")).unwrap();
}

#[test]
fn a_gate_without_a_charter_or_of_another_fingerprint_believes_nothing() {
    let (realm, far) = (Realm::found(), Far::made());
    let path = far.stick("b.fbundle", &realm.pack(&realm.plan()).bytes);
    assert!(farside_gate::import::path(&far.config, &path, Mode::Apply, NOW).is_err());
    let charter = far.stick("charter", realm.charter.bytes());
    let candidate = farside_gate::enrol::Candidate::read(&charter).unwrap();
    let other = Realm::found().charter.fingerprint().into();
    assert!(farside_gate::enrol::trust(&far.config, &candidate, &other, NOW).is_err());
    assert_eq!(far.status()["charter"], serde_json::Value::Null);
}

#[test]
fn every_cut_and_every_flipped_byte_is_refused() {
    let (realm, far) = Far::enrolled();
    let bundle = realm.pack(&realm.plan()).bytes;
    for cut in (0..bundle.len()).step_by(bundle.len() / 40) {
        let outcome = code(&far.import(&bundle[..cut]));
        assert!(!outcome.starts_with("applied"), "cut at {cut}: {outcome}");
    }
    for at in (0..bundle.len()).step_by(bundle.len() / 60) {
        let mut flipped = bundle.clone();
        flipped[at] ^= 0x20;
        let outcome = code(&far.import(&flipped));
        assert!(!outcome.starts_with("applied"), "flipped at {at}: {outcome}");
    }
    assert_eq!(far.status()["bundle"], serde_json::Value::Null);
    assert_eq!(code(&far.import(&bundle)), "applied 1");
}

/// Everything in quarantine: blob and reason.
pub(crate) fn kept(far: &Far) -> Vec<(Vec<u8>, serde_json::Value)> {
    let entries = std::fs::read_dir(far.config.quarantine()).unwrap();
    entries
        .map(|entry| {
            let folder = entry.unwrap().path();
            let reason = std::fs::read(folder.join("reason.json")).unwrap();
            (std::fs::read(folder.join("blob")).unwrap(), serde_json::from_slice(&reason).unwrap())
        })
        .collect()
}

fn journal_lines(far: &Far) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(far.config.journal().join("gate-import.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
