//! The way in when nothing else helps, by the commands of docs/breakglass.md: cards, order, pass, and the
//! questions afterwards.

use farside_system_tests::cards::{armed, draft, sign};
use farside_system_tests::sides::{ARCHIVE, CONTROL, Sides};
use serde_json::Value;

#[test]
fn cards_let_one_person_in_loudly_and_somebody_has_to_explain_it() {
    let sides = armed();
    let mut gate = sides.serve_gate();
    draft(&sides, CONTROL);
    let shown = sign(&sides, "cora");
    for word in ["Ada Lovelace", CONTROL, "operator", "no courier for a month", "45 min"] {
        assert!(shown.contains(word), "nobody signs unread: {shown}");
    }
    let open = "gate breakglass open order.note --json --config far/gate.toml";
    let refused = sides.attempt(open).expect_code(1);
    assert!(refused.stderr.contains("threshold_unmet"), "{refused:?}");
    let seen = sides.gate("breakglass show order.note --json").json();
    assert_eq!(seen["signatures_missing"], 1, "{seen}");
    sign(&sides, "eve");
    let opened = sides.farside(open).json();
    let (pass, id) =
        (opened["pass"].as_str().expect("a pass"), opened["order"]["id"].as_str().expect("an id"));

    let said = sides.knock(pass, CONTROL);
    assert_eq!(said.status, 200);
    assert_eq!(said.header("x-farside-subject"), Some("Ada%20Lovelace"));
    assert_eq!(said.header("x-farside-breakglass"), Some(id));
    assert_eq!(sides.knock(pass, ARCHIVE).status, 401);
    let checked = sides.gate(&format!("check {pass} --audience {CONTROL} --json")).json();
    assert_eq!(checked["breakglass"]["id"], id, "{checked}");
    assert!(sides.gate("status").stdout.contains("BROKEN for Ada Lovelace as operator"));
    assert!(sides.attempt(open).expect_code(1).stderr.contains("breakglass_spent"));

    sides.gate("breakglass close --all");
    assert_eq!(sides.knock(pass, CONTROL).status, 401);
    for loud in ["the glass is broken", "entered by break-glass", "a break-glass pass is over"] {
        gate.wait_for_words(loud);
    }
    let words = gate.words();
    assert!(gate.stop().success());
    reconciled(&sides, id, pass, &words);
}

/// It comes back with the next receipt and stands in the next reconciliation, and the pass nowhere.
fn reconciled(sides: &Sides, id: &str, pass: &str, words: &str) {
    let receipt = sides.gate("receipt --long").stdout;
    sides.put("receipt.txt", receipt.as_bytes());
    let told = sides.mint("bundle receipt --long receipt.txt");
    assert!(told.stdout.contains("the glass was broken there once"), "{told:?}");
    sides.mint("audit export near-export");
    sides.gate("audit export far-export");
    let found = sides.attempt("audit reconcile near-export far-export --json").expect_code(1).json();
    let findings = found["findings"].as_array().expect("findings");
    let alarms: Vec<&Value> = findings.iter().filter(|finding| finding["gravity"] == "alarm").collect();
    assert_eq!(alarms.len(), 1, "{found}");
    assert_eq!(
        (&alarms[0]["code"], &alarms[0]["place"]),
        (&"breakglass_opened".into(), &format!("order {id}").into())
    );
    let detail = alarms[0]["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("cora and eve let Ada Lovelace in as operator") && detail.contains("used once"),
        "{detail}"
    );
    let page = reported(sides, id);
    let secret = pass.strip_prefix("farside-glass.").expect("a pass");
    let mut kept = words.to_owned() + &receipt + &found.to_string() + &page;
    for file in ["far/journal/gate.jsonl", "far/journal/gate-import.jsonl", "far-export/breakglass.jsonl"] {
        kept.push_str(&sides.text(file));
    }
    assert!(!kept.contains(secret), "the pass was kept");
}

/// The report's own section of it; the page.
// audit.md §5.2
fn reported(sides: &Sides, id: &str) -> String {
    sides.attempt("audit report near-export far-export --out report.html").expect_code(1);
    let report: Value = serde_json::from_slice(&sides.get("report.json")).expect("JSON");
    let told = &report["breakglass"][0];
    let order = ["id", "proof", "subject", "role", "audience", "why"].map(|name| told[name].as_str());
    let expected = [id, "proven", "Ada Lovelace", "operator", CONTROL, "closed"].map(Some);
    assert_eq!(order, expected, "{report}");
    assert_eq!((&told["signers"], &told["uses"]), (&serde_json::json!(["cora", "eve"]), &1.into()), "{told}");
    assert_eq!(told["entries"][0]["door"], "verify", "{told}");
    for moment in ["opened_at", "not_after", "closed_at"] {
        assert!(told[moment].is_u64(), "{moment}: {told}");
    }
    let page = sides.text("report.html");
    let (_, section) = page.split_once("<h2>Broken glass</h2>").expect("a section of its own");
    let (section, _) = section.split_once("</section>").expect("its end");
    for word in [id, "Ada Lovelace", "cora, eve", "no courier for a month", "closed after", "once"] {
        assert!(section.contains(word), "{word}: {section}");
    }
    page
}

#[test]
fn release_people_keep_an_audience_shut_whoever_has_a_card() {
    let sides = armed();
    sides.mint(&format!("site set dome --breakglass forbidden --only {CONTROL}"));
    sides.bundle("full");
    sides.cross();
    let shut = format!(
        "gate breakglass draft --subject ada --audience {CONTROL} --role operator --reason x --out shut.note \
         --config far/gate.toml"
    );
    let refused = sides.attempt(&shut).expect_code(1);
    assert!(refused.stderr.contains("breakglass_forbidden"), "{refused:?}");
    draft(&sides, ARCHIVE);
    sign(&sides, "dan");
    sign(&sides, "eve");
    sides.gate("breakglass open order.note");
}

#[test]
fn without_cards_nothing_opens_and_one_card_alone_is_nothing_that_happens_by_itself() {
    let sides = Sides::founded();
    sides.bundle("full");
    sides.cross();
    let draft = "gate breakglass draft --subject ada --role operator --reason x --out order.note \
                 --audience https://control.dome.example --config far/gate.toml";
    let refused = sides.attempt(draft).expect_code(1);
    assert!(refused.stderr.contains("breakglass_unnamed"), "{refused:?}");
    sides.put("cora.passphrase", b"the card of cora\n");
    sides.farside(
        "mint key new --role breakglass --name cora --out cora.key --passphrase-file cora.passphrase",
    );
    let alone = "mint charter draft --breakglass cora.key --out next.note --config near/mint.toml";
    let refused = sides.attempt(alone).expect_code(1);
    assert!(refused.stderr.contains("--breakglass-threshold 1"), "{refused:?}");
    let warned = sides.farside(&format!("{alone} --breakglass-threshold 1"));
    assert!(warned.stderr.contains("alone"), "{warned:?}");
    // A card signs orders and nothing else: not what it cannot read.
    let refused = sides
        .attempt("mint key sign --key cora.key --passphrase-file cora.passphrase next.note")
        .expect_code(1);
    assert!(refused.stderr.contains("not a farside-breakglass"), "{refused:?}");
}
