//! The page and its JSON, of a story with hostile names in it.

use std::fs;

use farside_crossing::evidence::{RevocationRow, RevokedKind};
use serde_json::{Value, json};

use super::*;
use crate::staged::{SITE, Story};
use crate::support::NOW;

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}";

fn written(story: &Story) -> (tempfile::TempDir, String, Value) {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = story.write(dir.path());
    let out = dir.path().join("report.html");
    let brought = Brought { exports: vec![near, far], journals: Vec::new(), fingerprint: None };
    // An alarm is no reason to write nothing.
    let _ = run(&Command { brought, out: out.clone() }, Output { json: true });
    let json = fs::read(out.with_extension("json")).unwrap();
    (dir, fs::read_to_string(&out).unwrap(), serde_json::from_slice(&json).unwrap())
}

fn hostile() -> Story {
    let mut story = Story::quiet();
    story.tokens[0].subject = HOSTILE.to_owned();
    story.admissions[0].subject = HOSTILE.to_owned();
    story.admissions[1].token = HOSTILE.to_owned();
    let (site, what, reason) = (SITE.to_owned(), HOSTILE.to_owned(), HOSTILE.to_owned());
    let (kind, before, at) = (RevokedKind::Subject, NOW, NOW);
    story.revocations.push(RevocationRow {
        site,
        kind,
        what,
        before,
        reason,
        at,
        by: "uid 0".to_owned(),
        pardoned_at: None,
    });
    story.near_lines.push((NOW, "subject_added", json!({"subject": HOSTILE, HOSTILE: 1})));
    let refused = json!({"file": HOSTILE, "code": HOSTILE, "detail": HOSTILE});
    story.far_lines.push((NOW, "bundle_refused", refused));
    let file = json!({"name": HOSTILE, "reason": HOSTILE});
    story.ferry_lines.push((NOW, "not_received", json!({"lane": HOSTILE, "folder": HOSTILE, "file": file})));
    let refusal = json!({"door": HOSTILE, "verdict": "refuse", "code": HOSTILE});
    story.far_lines.push((NOW, "decision", refusal));
    story
}

#[test]
fn a_subject_called_like_a_script_runs_nothing() {
    let (_dir, page, _) = written(&hostile());
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "the name is shown as it is");
    for markup in ["<script", "<img", "onerror=alert(2)>", "\u{202e}"] {
        let shown = page.replace("onerror=alert(2)&gt;", "");
        assert!(!shown.contains(markup), "{markup}");
    }
    // And were it otherwise, the browser is told to run and load nothing.
    assert!(
        page.contains("Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"")
    );
    for outside in ["http://", "https://www", "url(", "@import", "src="] {
        let ours = page.replace("src=x", "").replace("https://gate", "");
        assert!(!ours.contains(outside), "{outside}");
    }
}

#[test]
fn the_page_is_well_formed_whatever_it_says() {
    let (_dir, page, _) = written(&hostile());
    let mut open: Vec<&str> = Vec::new();
    let void = ["meta", "!doctype"];
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let markup = [&page[..style.start + 7], &page[style.end..]].concat();
    for part in markup.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("an open tag: {part}"));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "near {part}");
        } else if !void.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_report_tells_every_bundles_life_and_the_figures() {
    let (_dir, page, json) = written(&Story::of(3, 300));
    let figures = &json["figures"];
    let told = ["issued", "carried", "admitted", "bundles_made", "bundles_applied"];
    assert_eq!(told.map(|name| figures[name].as_u64().unwrap()), [300, 300, 300, 3, 3]);
    assert_eq!(figures["refused"], 3);
    assert_eq!(json["alarms"], 0);
    let bundle = &json["bundles"][1];
    assert_eq!(bundle["state"], "applied");
    for step in ["made_at", "receipted_at"] {
        assert!(bundle[step].is_u64(), "{step}");
    }
    for step in ["sent", "received", "applied"] {
        assert_eq!(bundle[step].as_array().map(Vec::len), Some(1), "{step}");
    }
    assert_eq!(json["keys"][0]["signed"], 300);
    let words = ["STICK-07", "AU-10", "AC-4", "MP-5", "SR 2.12", "CIP-010-4 R4", "<svg", "proven"];
    words.iter().for_each(|word| assert!(page.contains(word), "{word}"));
}

#[test]
fn on_the_far_side_alone_the_report_says_what_it_cannot_tell() {
    let dir = tempfile::tempdir().unwrap();
    let (_, far) = Story::quiet().write(dir.path());
    let out = dir.path().join("report.html");
    let brought = Brought { exports: vec![far], journals: Vec::new(), fingerprint: None };
    run(&Command { brought, out: out.clone() }, Output { json: true }).unwrap();
    let json: Value = serde_json::from_slice(&fs::read(out.with_extension("json")).unwrap()).unwrap();
    assert_eq!(json["figures"]["issued"], Value::Null);
    assert_eq!(json["figures"]["admitted"], 6);
    assert_eq!(json["scope"].as_array().map(Vec::len), Some(2), "no mint, no fingerprint: {json}");
}

#[test]
fn numbers_at_the_edge_stop_no_audit() {
    use farside_crossing::evidence::MissingRow;
    let mut story = Story::quiet();
    let (first, last, noticed_at) = (1, u64::MAX, u64::MAX);
    story.missing = vec![MissingRow { first, last, noticed_at }, MissingRow { first, last, noticed_at }];
    story.applied[1].applied_at = u64::MAX;
    story.applied[1].seq = u64::MAX;
    story.applied[0].next_by = 0;
    story.made[0].leaves.insert(SITE.to_owned(), u64::MAX);
    story.tokens[5].issued_at = u64::MAX - 900;
    story.tokens[4].issued_at = 0;
    story.exported_at = u64::MAX;
    let (_dir, page, json) = written(&story);
    assert!(page.ends_with("</html>\n") && !page.contains("NaN"));
    assert!(json["alarms"].as_u64() > Some(0));
}

#[test]
fn broken_glass_has_a_section_of_its_own_and_none_is_said_plainly() {
    let (_dir, page, json) = written(&Story::quiet());
    assert_eq!(json["breakglass"], json!([]));
    assert!(page.contains("<h2>Broken glass</h2><p class=\"none\">No glass was broken"), "{page}");

    // The store has forgotten it, and the journal has not.
    let (id, at) = ("0123456789abcdef", NOW + 60);
    let order = json!({"id": id, "subject": "Ada <Lovelace>", "audience": "historian", "role": "operator",
        "reason": "no courier", "drafted_at": NOW, "not_after": NOW + 1_800, "signers": ["cora", "dan"]});
    let used = json!({"door": "verify", "verdict": "admit", "aud": "historian", "sub": "Ada <Lovelace>",
        "breakglass": id, "request": {"method": "POST", "host": "control", "path": "/valve/7"}});
    let mut story = Story::quiet();
    for (after, event, members) in [
        (0, "breakglass_accepted", order.clone()),
        (1, "breakglass_opened", order),
        (9, "decision", used.clone()),
        (10, "decision", used),
        (30, "breakglass_closed", json!({"id": id, "why": "closed"})),
    ] {
        story.far_lines.push((at + after, event, members));
    }
    let (_dir, page, json) = written(&story);
    let told = &json["breakglass"][0];
    assert_eq!((&told["id"], &told["proof"], &told["uses"]), (&id.into(), &"stated".into(), &2.into()));
    assert_eq!((&told["closed_at"], &told["why"]), (&(at + 30).into(), &"closed".into()));
    assert_eq!(told["signers"], json!(["cora", "dan"]));
    assert_eq!(told["entries"][1]["at"], at + 10);
    for word in
        ["Ada &lt;Lovelace&gt;", "cora, dan", "historian", "no courier", "twice", "POST control/valve/7"]
    {
        assert!(page.contains(word), "{word}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (near, _) = Story::quiet().write(dir.path());
    let out = dir.path().join("report.html");
    let brought = Brought { exports: vec![near], journals: Vec::new(), fingerprint: None };
    run(&Command { brought, out: out.clone() }, Output { json: true }).unwrap();
    assert!(fs::read_to_string(&out).unwrap().contains("whether any glass was broken is not known"));
}
