//! Broken glass, well told and hidden.

use farside_crossing::breakglass::GlassOrder;
use farside_crossing::evidence::GlassRow;
use farside_crossing::{CharterDraft, RoleName, note};
use serde_json::json;

use super::{both, far_alone, found};
use crate::finding::{Code, Gravity};
use crate::staged::{PERIOD, SITE, Story};
use crate::support::{NOW, TestSigner, role, signers};

const ID: &str = "0123456789abcdef";
const AT: u64 = NOW + 2 * PERIOD + PERIOD / 2;

/// A quiet month, but for one order that two of three cards signed, opened and used twice.
fn story() -> Story {
    let mut story = Story::quiet();
    let cards = [TestSigner::new("cora", 50), TestSigner::new("dan", 51), TestSigner::new("eve", 52)];
    let breakglass = Some(role(RoleName::Breakglass, 2, &[&cards[0], &cards[1], &cards[2]]));
    let draft = CharterDraft { breakglass, ..story.realm.charter.successor(NOW) };
    let root = &story.realm.root;
    story.charters = vec![note::sign(&draft.text().unwrap(), &signers(&[&root[0], &root[1]])).unwrap()];
    story.glasses = vec![opened(&[&cards[0], &cards[1]])];
    for event in ["breakglass_accepted", "breakglass_opened"] {
        story.far_lines.push((AT, event, json!({"id": ID, "subject": "ada", "by": "uid 0"})));
    }
    for at in [AT + 60, AT + 90] {
        let members = json!({"door": "verify", "verdict": "admit", "aud": "historian", "sub": "ada",
            "breakglass": ID, "role": "operator", "exp": AT + 1_800});
        story.far_lines.push((at, "decision", members));
    }
    story
}

fn opened(cards: &[&TestSigner]) -> GlassRow {
    let order = GlassOrder {
        realm: "acme".to_owned(),
        site: SITE.to_owned(),
        id: ID.to_owned(),
        subject: "ada".to_owned(),
        audience: "historian".to_owned(),
        role: "operator".to_owned(),
        reason: "no courier for a month".to_owned(),
        drafted_at: AT,
        not_after: AT + 1_800,
    };
    let note = note::sign(&order.text().unwrap(), &signers(cards)).unwrap();
    GlassRow {
        id: ID.to_owned(),
        opened_at: AT,
        closed_at: Some(AT + 600),
        why: Some("closed".to_owned()),
        note: String::from_utf8(note).unwrap(),
    }
}

fn without_lines(mut story: Story, gone: impl Fn(&str) -> bool) -> Story {
    story.far_lines.retain(|(_, event, members)| {
        !(event.starts_with("breakglass_") || members.get("breakglass").is_some()) || !gone(event)
    });
    story
}

#[test]
fn every_broken_glass_is_listed_with_who_signed_whom_in_and_why() {
    let place = format!("order {ID}");
    let expected = [(Gravity::Alarm, Code::BreakglassOpened, place.as_str())];
    for evidence in [both(&story()), far_alone(&story())] {
        found(&evidence, &expected);
        let detail = &evidence.findings.listed()[0].detail;
        for word in [
            "cora and dan",
            "ada",
            "operator",
            "historian",
            "no courier",
            "used twice",
            "closed after 10 min",
        ] {
            assert!(detail.contains(word), "{word}: {detail}");
        }
        assert!(evidence.checks.iter().all(|check| check.proof == crate::evidence::Proof::Proven));
    }
}

#[test]
fn an_order_that_the_cards_do_not_bear_out_is_found() {
    let place = format!("order {ID}");
    let strangers = [TestSigner::new("cora", 90), TestSigner::new("dan", 91)];
    let renamed = GlassRow { id: "fedcba9876543210".to_owned(), ..story().glasses[0].clone() };
    for row in [opened(&[&strangers[0], &strangers[1]]), opened(&[&TestSigner::new("cora", 50)])] {
        let mut story = story();
        story.glasses = vec![row];
        let alarm = |code| (Gravity::Alarm, code, place.as_str());
        found(&both(&story), &[alarm(Code::BreakglassOpened), alarm(Code::BreakglassUnproven)]);
    }
    // A good order under another id, so that it seems to be two.
    let mut story = story();
    story.glasses.push(renamed);
    let evidence = both(&story);
    let codes: Vec<_> = evidence.findings.listed().iter().map(|finding| finding.code).collect();
    assert!(
        codes.contains(&Code::BreakglassUnproven) && codes.contains(&Code::BreakglassUntold),
        "{codes:?}"
    );
}

#[test]
fn broken_glass_that_store_or_journal_hides_is_found_by_the_other() {
    let place = format!("order {ID}");
    let alarm = |code| (Gravity::Alarm, code, place.as_str());
    let silent = without_lines(story(), |_| true);
    found(&both(&silent), &[alarm(Code::BreakglassOpened), alarm(Code::BreakglassUntold)]);
    let mut forgotten = story();
    forgotten.glasses.clear();
    found(&both(&forgotten), &[alarm(Code::BreakglassUntold)]);
    // Its uses alone still tell of it.
    found(&both(&without_lines(forgotten, |event| event != "decision")), &[alarm(Code::BreakglassUntold)]);
    // One that was cut off before it counted is none.
    let mut cut = without_lines(story(), |event| event != "breakglass_accepted");
    cut.glasses.clear();
    found(&both(&cut), &[]);
}

#[test]
fn broken_glass_that_the_whole_far_side_hides_is_found_by_the_receipt() {
    let mut hidden = without_lines(story(), |_| true);
    hidden.glasses.clear();
    let counted = json!({"applied": 2, "missing": 0, "superseded": 0, "breakglass": 1});
    let receipt = json!({"site": SITE, "seq": 2, "counted": counted, "journals": []});
    hidden.near_lines.push((hidden.exported_at - 1, "bundle_receipted", receipt.clone()));
    found(&both(&hidden), &[(Gravity::Alarm, Code::BreakglassUntold, "receipt")]);
    let mut told = story();
    told.near_lines.push((told.exported_at - 1, "bundle_receipted", receipt));
    let place = format!("order {ID}");
    found(&both(&told), &[(Gravity::Alarm, Code::BreakglassOpened, place.as_str())]);
}
