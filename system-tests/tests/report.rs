//! What an auditor is given of both sides, and what is found in it, by the commands that an auditor would
//! type.

use std::os::unix::fs::PermissionsExt as _;

use farside_system_tests::sides::{CONTROL, Sides};

fn carried() -> (Sides, String, String) {
    let sides = Sides::founded();
    let order = format!("order add --site dome --subject ada --audience {CONTROL} --claim phrase --json");
    let phrase = sides.mint(&order).json()["phrase"].as_str().expect("a phrase").to_owned();
    let token = sides.token("grace", CONTROL);
    sides.bundle("full");
    sides.cross();
    (sides, token, phrase)
}

/// Every byte of an export, file after file.
fn bytes(sides: &Sides, folder: &str) -> Vec<u8> {
    let contents: serde_json::Value =
        serde_json::from_slice(&sides.get(&format!("{folder}/export.json"))).expect("contents");
    let files = contents["files"].as_array().expect("files");
    let names = files.iter().map(|file| file["name"].as_str().expect("a name"));
    names.flat_map(|name| sides.get(&format!("{folder}/{name}"))).collect()
}

#[test]
fn exports_hold_no_secret_and_no_token() {
    let (sides, token, phrase) = carried();
    let receipt = sides.gate("receipt --json").json()["code"].as_str().expect("a code").to_owned();
    sides.mint(&format!("bundle receipt --site dome --seq 1 {receipt}"));
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    assert!(gate.stop().success());
    sides.mint("audit export near-export");
    sides.gate("audit export far-export");

    let signature = token.rsplit('.').next().expect("a signature");
    let secrets = [signature, &phrase, &receipt, "BEGIN", "farside-key", "AGE-SECRET"];
    for folder in ["near-export", "far-export"] {
        let mode = std::fs::metadata(sides.path(folder)).expect("an export").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder} is for its owner alone");
        let bytes = bytes(&sides, folder);
        let text = String::from_utf8_lossy(&bytes);
        for secret in secrets {
            assert!(!text.contains(secret), "{folder} holds {secret}");
        }
        assert!(text.contains("grace") && text.contains("farside-manifest/1 moonbase dome"));
        // An export is never written over another.
        let again = if folder.starts_with("near") { "mint" } else { "gate" };
        let config = if folder.starts_with("near") { "near/mint.toml" } else { "far/gate.toml" };
        sides.attempt(&format!("{again} audit export {folder} --config {config}")).expect_code(2);
    }
}

#[test]
fn both_sides_exports_tell_the_whole_journey() {
    let (sides, token, _) = carried();
    let receipt = sides.gate("receipt --json").json()["code"].as_str().expect("a code").to_owned();
    sides.mint(&format!("bundle receipt --site dome --seq 1 {receipt}"));
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    assert_eq!(sides.knock(&token[..token.len() - 2], CONTROL).status, 401);
    assert!(gate.stop().success());
    sides.mint("audit export near-export");
    sides.gate("audit export far-export");

    let words = sides.mint("charter show --json").json()["words"].as_str().expect("words").to_owned();
    let exports = format!("near-export far-export --fingerprint \"{words}\"");
    let told = sides.farside(&format!("audit reconcile {exports} --json")).json();
    assert_eq!((&told["alarms"], &told["scope"]), (&0.into(), &serde_json::json!([])), "{told}");
    let broken = |check: &&serde_json::Value| check["proof"] == "broken";
    assert_eq!(
        told["checks"].as_array().map(|checks| checks.iter().filter(broken).count()),
        Some(0),
        "{told}"
    );

    sides.farside(&format!("audit report {exports} --out report.html"));
    let report: serde_json::Value = serde_json::from_slice(&sides.get("report.json")).expect("JSON");
    let figures = ["issued", "carried", "admitted", "refused", "bundles_applied"];
    let figures = figures.map(|name| report["figures"][name].as_u64().expect(name));
    assert_eq!(figures, [2, 2, 1, 1, 1], "{report}");
    let bundle = &report["bundles"][0];
    assert_eq!((&bundle["seq"], &bundle["state"]), (&1.into(), &"applied".into()));
    for step in ["sent", "received", "applied"] {
        assert_eq!(bundle[step].as_array().map(Vec::len), Some(1), "{step}: {bundle}");
    }
    assert!(bundle["receipted_at"].is_u64());
    assert!(sides.text("report.html").starts_with("<!doctype html>"));
    assert_eq!(report["breakglass"], serde_json::json!([]), "nothing is said where nothing was");
    assert!(sides.text("report.html").contains("No glass was broken"));
    // Another charter than the one compared, and an export that was touched.
    let other = "00".repeat(32);
    sides.attempt(&format!("audit reconcile near-export far-export --fingerprint {other}")).expect_code(1);
    sides.put("far-export/bundles.jsonl", b"");
    sides.attempt(&format!("audit reconcile {exports}")).expect_code(2);
}
