//! Each finding, planted in a story with which nothing else is wrong.

mod glass;

use std::fs;
use std::path::{Path, PathBuf};

use farside_crossing::evidence::{RevocationRow, RevokedKind};
use farside_crossing::manifest::JournalHead;
use farside_crossing::status::{Lists, RevokedKey};
use farside_crossing::{Digest, ExpectedFingerprint};

use serde_json::json;

use super::reconcile;
use crate::brought::Brought;
use crate::evidence::{Evidence, Proof};
use crate::finding::{Code, Gravity};
use crate::staged::{Admission, KID, PERIOD, SITE, Story, leaf_hashes, position};
use crate::support::{NOW, TestSigner};

fn audit(story: &Story, exports: &[PathBuf]) -> Evidence {
    let fingerprint = Some(ExpectedFingerprint::from(story.realm.charter.fingerprint()));
    let brought = Brought { exports: exports.to_vec(), journals: Vec::new(), fingerprint };
    let mut evidence = Evidence::read(&brought).unwrap();
    reconcile(&mut evidence);
    evidence
}

fn both(story: &Story) -> Evidence {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = story.write(dir.path());
    audit(story, &[near, far])
}

fn far_alone(story: &Story) -> Evidence {
    let dir = tempfile::tempdir().unwrap();
    let (_, far) = story.write(dir.path());
    audit(story, &[far])
}

#[track_caller]
fn found(evidence: &Evidence, expected: &[(Gravity, Code, &str)]) {
    let listed = evidence.findings.listed();
    let seen: Vec<_> =
        listed.iter().map(|finding| (finding.gravity, finding.code, finding.place.as_str())).collect();
    assert_eq!(seen, expected, "{listed:#?}");
}

#[test]
fn a_quiet_month_has_no_findings_and_everything_is_proven() {
    let evidence = both(&Story::quiet());
    found(&evidence, &[]);
    let unproven: Vec<_> = evidence.checks.iter().filter(|check| check.proof != Proof::Proven).collect();
    assert!(unproven.is_empty(), "{unproven:#?}");
    found(&far_alone(&Story::quiet()), &[]);
}

#[test]
fn a_token_admitted_but_never_issued_is_found() {
    let mut story = Story::quiet();
    let stolen = |token: String, at| Admission {
        at,
        token,
        subject: "mallory".to_owned(),
        kid: KID,
        signing_input: *Digest::of(b"forged").as_bytes(),
    };
    // Signed with the real key, at a position of another token and at one that nobody took.
    let at = NOW + 3 * PERIOD - 1;
    story.admissions.push(stolen(position(1).to_string(), at));
    story.admissions.push(stolen(position(99).to_string(), at));
    story.admissions.push(stolen("no position".to_owned(), at));
    let (code, one, two) = (Code::AdmittedNeverIssued, position(1).to_string(), position(99).to_string());
    let alarm = Gravity::Alarm;
    found(&both(&story), &[(alarm, code, &one), (alarm, code, &two), (alarm, code, "no position")]);
    // On the far side alone the leaf that crossed decides; where none did, that is said.
    let unproven = (Gravity::Notice, Code::AdmittedUnproven, two.as_str());
    found(&far_alone(&story), &[(alarm, code, &one), (alarm, code, "no position"), unproven]);
}

#[test]
fn an_admission_on_a_void_position_is_found() {
    let mut story = Story::quiet();
    story.tokens[2].void = true;
    story.leaves = leaf_hashes(&story.tokens);
    let place = position(2).to_string();
    found(&both(&story), &[(Gravity::Alarm, Code::AdmittedNeverIssued, &place)]);
}

#[test]
fn a_token_issued_but_never_carried_is_found() {
    let mut story = Story::quiet();
    story.made[1].leaves.insert(SITE.to_owned(), 4);
    let evidence = both(&story);
    let (four, five) = (position(4).to_string(), position(5).to_string());
    let code = Code::IssuedNeverCarried;
    found(&evidence, &[(Gravity::Notice, code, &four), (Gravity::Notice, code, &five)]);
    // Once the courier's interval is over it needs an explanation.
    story.exported_at += 2 * PERIOD;
    story.applied[1].next_by += 9 * PERIOD;
    found(&both(&story), &[(Gravity::Alarm, code, &four), (Gravity::Alarm, code, &five)]);
}

#[test]
fn a_token_used_after_its_revocation_is_found() {
    for (kind, what) in
        [(RevokedKind::Token, position(3).to_string()), (RevokedKind::Subject, "user-3".to_owned())]
    {
        let mut story = Story::quiet();
        let at = story.made[0].issued_at - 10;
        // Revoked before bundle 1 was made; admitted after bundle 2 had come too.
        let issued = std::mem::replace(&mut story.tokens[3].issued_at, at - 1);
        assert!(issued > at);
        let (reason, by) = ("lost badge".to_owned(), "uid 0".to_owned());
        let row = RevocationRow {
            site: SITE.to_owned(),
            kind,
            what,
            before: at,
            reason,
            at,
            by,
            pardoned_at: None,
        };
        story.revocations.push(row);
        let place = position(3).to_string();
        found(&both(&story), &[(Gravity::Alarm, Code::UsedAfterRevocation, &place)]);
        // Revoked after the last bundle: no gate could know.
        story.revocations[0].at = story.made[1].issued_at + 1;
        found(&both(&story), &[(Gravity::Notice, Code::UsedBeforeRevocationArrived, &place)]);
        // Pardoned before it was shown: it binds nobody.
        story.revocations[0].pardoned_at = Some(story.revocations[0].at + 1);
        found(&both(&story), &[]);
    }
}

#[test]
fn what_was_used_after_everything_up_to_a_moment_was_revoked_is_found() {
    let mut story = Story::quiet();
    let at = story.made[0].issued_at - 10;
    story.tokens[3].issued_at = at - 1;
    story.tokens[4].issued_at = at + 1;
    let (site, what, reason, by) =
        (SITE.to_owned(), String::new(), "break-in".to_owned(), "uid 0".to_owned());
    let kind = RevokedKind::All;
    story.revocations.push(RevocationRow { site, kind, what, before: at, reason, at, by, pardoned_at: None });
    let evidence = both(&story);
    let places: Vec<&str> = evidence.findings.listed().iter().map(|found| found.place.as_str()).collect();
    let expected: Vec<String> = (0..4).map(|index| position(index).to_string()).collect();
    assert_eq!(places, expected);
}

#[test]
fn on_the_far_side_alone_the_revocations_held_are_compared() {
    let mut story = Story::quiet();
    let mut lists = Lists::default();
    lists.set(SITE, NOW, 3);
    story.status.tokens = lists.close();
    story.resign();
    let place = position(3).to_string();
    found(&far_alone(&story), &[(Gravity::Alarm, Code::UsedAfterRevocation, &place)]);
    let (reason, by, at) = ("stolen".to_owned(), "uid 0".to_owned(), NOW);
    story.status.tokens.clear();
    story.status.keys = vec![RevokedKey { kid: KID.to_owned(), reason, by, at }];
    story.resign();
    let evidence = far_alone(&story);
    assert_eq!(evidence.findings.total(Gravity::Alarm), 6, "every token of that key");
}

#[test]
fn a_token_used_at_two_sites_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::quiet();
    let (near, far) = story.write(dir.path());
    story.admissions.truncate(1);
    (story.applied, story.far_lines, story.ferry_lines) = (Vec::new(), Vec::new(), Vec::new());
    let other = story.write_far(dir.path(), "harbour");
    let evidence = audit(&story, &[near, far, other]);
    let place = position(0).to_string();
    let codes: Vec<_> = evidence.findings.listed().iter().map(|f| (f.code, f.place.clone())).collect();
    assert!(codes.contains(&(Code::UsedAtTwoSites, place.clone())), "{codes:?}");
    assert!(codes.contains(&(Code::AdmittedElsewhere, place)), "{codes:?}");
}

#[test]
fn a_key_used_outside_its_calendar_is_found() {
    let mut story = Story::quiet();
    story.admissions[0].at = NOW + 1_201 * PERIOD;
    let place = position(0).to_string();
    found(&both(&story), &[(Gravity::Alarm, Code::UsedPastKey, &place)]);
    let mut story = Story::quiet();
    story.tokens[0].issued_at = NOW - 1;
    story.tokens[1].kid = "unknown!";
    let (zero, one) = (position(0).to_string(), position(1).to_string());
    let code = Code::SignedOffCalendar;
    found(&both(&story), &[(Gravity::Alarm, code, &zero), (Gravity::Alarm, code, &one)]);
}

#[test]
fn a_bundle_that_the_mint_did_not_make_is_found() {
    let mut story = Story::quiet();
    story.made[1].digest = Digest::of(b"another");
    story.made[1].manifest = None;
    story.made.remove(0);
    let evidence = both(&story);
    let forged = |place| (Gravity::Alarm, Code::BundleForged, place);
    // No ferry has carried a file that the mint knows of under the first number.
    let unseen = (Gravity::Notice, Code::Unwitnessed, "bundle 1");
    found(&evidence, &[forged("bundle 1"), forged("bundle 2"), unseen]);
}

#[test]
fn bundles_missing_late_forked_and_receipted_by_nobody_are_found() {
    let mut story = Story::of(4, 8);
    let lost = story.applied.remove(1);
    story.made[1].receipted_at = None;
    found(
        &both(&story),
        &[
            (Gravity::Notice, Code::BundleMissing, "bundle 2"),
            (Gravity::Notice, Code::BundleLate, "bundle 3"),
        ],
    );
    // A receipt for what no gate has applied; and another bundle under a number that is held.
    story.made[1].receipted_at = Some(NOW);
    let (held, digest, manifest) = (story.applied[0].digest, lost.digest, lost.manifest);
    let noticed_at = NOW;
    story.forks.push(farside_crossing::evidence::ForkRow { seq: 1, held, digest, noticed_at, manifest });
    found(
        &both(&story),
        &[
            (Gravity::Alarm, Code::BundleForked, "bundle 1"),
            (Gravity::Alarm, Code::ReceiptUnapplied, "bundle 2"),
            (Gravity::Notice, Code::BundleMissing, "bundle 2"),
            (Gravity::Notice, Code::BundleLate, "bundle 3"),
        ],
    );
}

#[test]
fn a_bundle_that_no_ferry_brought_is_found() {
    let mut story = Story::quiet();
    story.ferry_lines.remove(1);
    found(&both(&story), &[(Gravity::Notice, Code::Unwitnessed, "bundle 2")]);
}

#[test]
fn a_manifest_that_the_charter_does_not_vouch_for_is_found() {
    let mut story = Story::quiet();
    story.realm.online = TestSigner::new("mint", 77);
    let forged = story.pack(2, Some(story.made[0].digest));
    let note = farside_crossing::bundle::manifest_note(&forged.bytes).unwrap();
    story.applied[1].manifest = String::from_utf8(note.to_vec()).unwrap();
    let evidence = far_alone(&story);
    found(&evidence, &[(Gravity::Alarm, Code::ManifestUnproven, "bundle 2")]);
    // The right manifest beside a row that says otherwise.
    let mut story = Story::quiet();
    story.applied[1].digest = Digest::of(b"other");
    let seen = far_alone(&story);
    found(&seen, &[(Gravity::Alarm, Code::ManifestUnproven, "bundle 2")]);
}

#[test]
fn records_that_do_not_make_the_signed_root_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::quiet();
    let (near, far) = story.write(dir.path());
    // The mint's owner hides a token: another record, under the head that was signed before.
    story.tokens[1].signing_input = [7; 32];
    let hidden = tempfile::tempdir().unwrap();
    let (doctored, _) = story.write(hidden.path());
    let heads = fs::read(near.join("heads.jsonl")).unwrap();
    replace(&doctored, "heads.jsonl", &heads);
    let evidence = audit(&story, &[doctored, far]);
    let contradicted = evidence.findings.listed().iter().filter(|f| f.code == Code::LogContradicted).count();
    assert_eq!(contradicted, 2, "by the head, and by the leaf that crossed: {:#?}", evidence.findings);
}

#[test]
fn a_record_left_out_or_held_twice_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let story = Story::quiet();
    let (near, far) = story.write(dir.path());
    let records = fs::read_to_string(near.join("records.jsonl")).unwrap();
    let lines: Vec<&str> = records.lines().collect();
    let rejoin = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    let of = |evidence: &Evidence| {
        evidence.findings.listed().into_iter().filter(|f| f.code == Code::LogContradicted).count()
    };
    replace(&near, "records.jsonl", rejoin(&[lines[0], lines[2]]).as_bytes());
    assert!(of(&audit(&story, &[near.clone(), far.clone()])) > 0);
    replace(&near, "records.jsonl", rejoin(&[&lines[..], &lines[..1]].concat()).as_bytes());
    assert!(of(&audit(&story, &[near, far])) > 0);
}

#[test]
fn an_edited_journal_is_found_with_its_line_and_believed_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let story = Story::quiet();
    let (near, far) = story.write(dir.path());
    let text = fs::read_to_string(far.join("journal/gate.jsonl")).unwrap();
    let third = text.lines().position(|line| line.contains("\"sub\":\"user-2\"")).unwrap() + 1;
    replace(&far, "journal/gate.jsonl", text.replace("\"sub\":\"user-2\"", "\"sub\":\"user-9\"").as_bytes());
    let evidence = audit(&story, &[near, far]);
    found(&evidence, &[(Gravity::Alarm, Code::JournalBroken, &format!("journal gate, line {third}"))]);
    assert_eq!(evidence.far[0].admitted.len(), 2, "nothing behind the edited line counts");
}

#[test]
fn a_journal_whose_tail_was_cut_off_is_missed_by_the_bundles_that_noted_it() {
    let first = tempfile::tempdir().unwrap();
    let mut story = Story::quiet();
    let (near, _) = story.write(first.path());
    let name = "journal/mint-cli.jsonl";
    let seen = farside_service::journal::verify(&near.join(name)).unwrap();
    let head = seen.head.parse().unwrap();
    story.journals = vec![JournalHead { name: "mint-cli".to_owned(), lines: seen.lines, head }];
    story.resign();
    let second = tempfile::tempdir().unwrap();
    let (doctored, far) = story.write(second.path());
    // One file, byte for byte, for batches are cut by chance.
    let whole = fs::read_to_string(near.join(name)).unwrap();
    replace(&doctored, name, whole.as_bytes());
    let evidence = audit(&story, &[doctored.clone(), far.clone()]);
    found(&evidence, &[]);
    let kept = whole.trim_end().rfind('\n').unwrap() + 1;
    replace(&doctored, name, &whole.as_bytes()[..kept]);
    let place = format!("journal mint-cli, line {}", seen.lines);
    found(&audit(&story, &[doctored, far]), &[(Gravity::Alarm, Code::JournalBroken, &place)]);
}

#[test]
fn a_gates_journal_whose_tail_was_cut_off_is_missed_by_the_receipt_that_noted_it() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut story = Story::quiet();
    let (_, far) = story.write(first.path());
    let name = "journal/gate.jsonl";
    let seen = farside_service::journal::verify(&far.join(name)).unwrap();
    let head = json!({"name": "gate", "lines": seen.lines, "head": seen.head});
    let receipt = json!({"site": SITE, "seq": 2, "journals": [head]});
    story.near_lines.push((story.exported_at - 1, "bundle_receipted", receipt));
    let (near, other) = story.write(second.path());
    found(&audit(&story, &[near.clone(), far.clone()]), &[]);
    // With two gates of the site nobody can tell whose receipt it was.
    let two = audit(&story, &[near.clone(), far.clone(), other]);
    assert_eq!(two.findings.total(Gravity::Alarm), 0, "{:#?}", two.findings);
    let whole = fs::read_to_string(far.join(name)).unwrap();
    let kept = whole.trim_end().rfind('\n').unwrap() + 1;
    replace(&far, name, &whole.as_bytes()[..kept]);
    let place = format!("journal gate, line {}", seen.lines);
    found(&audit(&story, &[near, far]), &[(Gravity::Alarm, Code::JournalBroken, &place)]);
}

#[test]
fn a_key_that_has_ended_and_was_not_destroyed_is_found() {
    let mut story = Story::quiet();
    let revoked = RevocationRow {
        site: SITE.to_owned(),
        kind: RevokedKind::Key,
        what: KID.to_owned(),
        before: 0,
        reason: "stolen".to_owned(),
        at: story.exported_at - 1,
        by: "uid 0".to_owned(),
        pardoned_at: None,
    };
    story.revocations.push(revoked);
    let place = format!("key {KID}");
    let near_alone = |story: &Story| {
        let dir = tempfile::tempdir().unwrap();
        let (near, _) = story.write(dir.path());
        audit(story, &[near])
    };
    let outlived = |evidence: &Evidence| {
        let listed = evidence.findings.listed();
        listed.iter().filter(|finding| finding.code == Code::KeyOutlived).count()
    };
    assert_eq!(outlived(&near_alone(&story)), 0, "a mint may take a day");
    story.exported_at += 2 * 86_400;
    let evidence = near_alone(&story);
    assert_eq!(outlived(&evidence), 1);
    assert!(evidence.findings.listed().iter().any(|finding| finding.place == place));
    let gone = json!({"site": SITE, "kid": KID, "path": "keys/k", "why": "revoked"});
    story.near_lines.push((story.exported_at - 9, "token_key_destroyed", gone));
    let evidence = near_alone(&story);
    assert_eq!(outlived(&evidence), 0);
    let told = evidence.checks.iter().find(|check| check.what == "ended token keys").unwrap();
    assert_eq!(told.proof, Proof::Proven, "{}", told.detail);
}

#[test]
fn another_charter_than_the_one_compared_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let story = Story::quiet();
    let (near, far) = story.write(dir.path());
    let fingerprint = Some("00".repeat(32).parse().unwrap());
    let brought = Brought { exports: vec![near, far], journals: Vec::new(), fingerprint };
    let evidence = Evidence::read(&brought).unwrap();
    found(&evidence, &[(Gravity::Alarm, Code::CharterBroken, "charter")]);
}

/// Puts other bytes into an export, as its owner could.
fn replace(export: &Path, name: &str, bytes: &[u8]) {
    let path = export.join("export.json");
    let mut contents: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for file in contents["files"].as_array_mut().unwrap() {
        if file["name"] == name {
            file["bytes"] = bytes.len().into();
            file["sha256"] = Digest::of(bytes).hex().into();
        }
    }
    fs::write(export.join(name), bytes).unwrap();
    fs::write(path, contents.to_string()).unwrap();
}
