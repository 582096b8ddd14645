//! Cedar policies as they cross, and what `explain` says of them.

use farside_crossing::{Note, note};
use farside_gate::judge::{Deed, Requested, Wanted, explain, judge};
use farside_gate::trust::TrustState;
use farside_service::digest;

use super::realm::{AUDIENCE, Far, HOUR, NOW, Plan, Realm, claims, code, policy, revoked_name, status};

const OPERATORS: &str = r#"@id("operators") permit(principal in Role::"operator", action, resource);"#;
const LEADS: &str = r#"@id("leads") permit(principal in Role::"lead", action, resource);"#;

fn governed(realm: &Realm, version: u64, cedar: Option<&str>) -> Plan {
    let mut governed = policy(version);
    governed.cedar = cedar.map(str::to_owned);
    Plan { policy: Some(governed), ..realm.plan() }
}

fn wanted<'a>(request: &'a Requested<'a>) -> Wanted<'a> {
    Wanted { request: Some(request), ..AUDIENCE.into() }
}

fn verdict(trust: &TrustState, token: &str) -> String {
    let request = Requested::read("GET", "https", "hmi.example", "/").unwrap();
    match judge(trust, token, wanted(&request), NOW) {
        Ok(pending) => pending.policies().map_or("admitted".to_owned(), |by| by.join(",")),
        Err(refusal) => refusal.code().as_str().to_owned(),
    }
}

/// A bundle in whose policy one text stands in place of another as long, with every signature in order.
fn forged(realm: &Realm, plan: &Plan, good: &str, broken: &str) -> Vec<u8> {
    assert_eq!(good.len(), broken.len());
    let bundle = realm.pack(plan).bytes;
    let line = bundle.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let first = std::str::from_utf8(&bundle[..line]).unwrap();
    let manifest_len: usize = first.split(' ').nth(1).unwrap().parse().unwrap();
    let (manifest, blobs) = bundle[line..].split_at(manifest_len);
    let manifest = Note::parse(manifest).unwrap().text().to_owned();
    let members: serde_json::Value = serde_json::from_str(manifest.split_once('\n').unwrap().1).unwrap();
    let components = members["components"].as_array().unwrap();
    let at = components.iter().position(|component| component["type"] == "policy").unwrap();
    let len = |component: &serde_json::Value| usize::try_from(component["len"].as_u64().unwrap()).unwrap();
    let from: usize = components[..at].iter().map(len).sum();
    let old = &blobs[from..from + len(&components[at])];
    let text = Note::parse(old).unwrap().text().replacen(good, broken, 1);
    let new = note::sign(&text, &[&realm.release]).unwrap();
    assert_eq!(old.len(), new.len());
    let hex = |bytes: &[u8]| digest::hex(&digest::sha256(bytes));
    let manifest = note::sign(&manifest.replace(&hex(old), &hex(&new)), &[&realm.online]).unwrap();
    [first.as_bytes(), &manifest, &blobs[..from], &new, &blobs[from + len(&components[at])..]].concat()
}

// policy.md §1.4, §5.5
#[test]
fn a_bundle_brings_policies_and_one_whose_policies_do_not_fit_changes_nothing() {
    let (mut realm, far) = Far::enrolled();
    let gate = far.gate();
    let token = realm.token("anna", 1, r#","roles":["operator"]"#);
    far.import(&realm.send(realm.plan()));
    assert_eq!(verdict(&gate.trust().unwrap(), &token), "admitted");
    far.import(&realm.send(governed(&realm, 2, Some(OPERATORS))));
    assert_eq!(verdict(&gate.trust().unwrap(), &token), "operators");

    // What the mint would never sign, signed all the same.
    for (good, broken) in [
        ("permit(principal, action, resource)", "permit(principal, action  resource)"),
        ("principal.name == ", "principal.nose == "),
        ("@id", "@di"),
    ] {
        let text = r#"@id(\"a\") permit(principal, action, resource) when { principal.name == \"x\" };"#;
        let plan = governed(&realm, 3, Some(&text.replace('\\', "")));
        let bundle = forged(&realm, &plan, good, broken);
        assert_eq!(code(&far.import(&bundle)), "policy_invalid", "{broken}");
        assert_eq!(verdict(&gate.trust().unwrap(), &token), "operators");
    }
    let kept = std::fs::read_dir(far.config.quarantine()).unwrap().count();
    assert!(kept >= 1, "what was refused is kept with its reason");

    far.import(&realm.send(governed(&realm, 3, Some(LEADS))));
    assert_eq!(verdict(&gate.trust().unwrap(), &token), "policy_denied");
    // No policy at all is not the same as none asked.
    far.import(&realm.send(governed(&realm, 4, Some("// none yet\n"))));
    assert_eq!(verdict(&gate.trust().unwrap(), &token), "policy_denied");
    far.import(&realm.send(governed(&realm, 5, None)));
    assert_eq!(verdict(&gate.trust().unwrap(), &token), "admitted");
    // A gate that starts anew reads the same.
    far.import(&realm.send(governed(&realm, 6, Some(LEADS))));
    assert_eq!(verdict(&far.trust_state(), &token), "policy_denied");
}

/// `explain` ends in the very word of the door, whichever check it is that fails.
#[test]
fn an_explanation_ends_as_the_judgement_does() {
    let (mut realm, far) = Far::enrolled();
    let mut single = governed(&realm, 1, Some(&format!("{OPERATORS}{LEADS}")));
    single.policy.as_mut().unwrap().audiences[0].single_use = true;
    single.status = Some({
        let mut status = status(1);
        status.subjects.push(revoked_name("eve", NOW));
        status
    });
    far.import(&realm.send(single));
    let trust = far.trust_state();
    let of = |subject: &str, index, more: &str| realm.token(subject, index, more);
    let operator = r#","roles":["operator"]"#;
    let bound = format!(r#"{operator},"cnf":{{"jkt":"{}"}}"#, "A".repeat(43));
    let good = of("anna", 1, operator);
    let other = realm.key.sign("at+jwt", &claims("anna", 2, NOW, operator).replace(AUDIENCE, "elsewhere"));
    let stranger = super::realm::TokenKey::new("stranger").sign("at+jwt", &claims("anna", 3, NOW, operator));
    let request = Requested::read("GET", "https", "hmi.example", "/a").unwrap();
    let odd = Requested::read("GET", "https", "hmi.example", "/a;b").unwrap();
    let plain = wanted(&request);
    for (token, wanted, now, check, expected) in [
        (good.as_str(), plain, NOW, "once", ""),
        (&good, plain, NOW + 48 * HOUR * 24, "trust", "stale"),
        (&good, plain, NOW + 2 * HOUR, "token", "expired"),
        ("a.b", plain, NOW, "token", "malformed"),
        (&stranger, plain, NOW, "token", "key_unknown"),
        (&other, plain, NOW, "token", "audience_mismatch"),
        (&good, Wanted { audience: Some("mail"), ..plain }, NOW, "audience", "audience_mismatch"),
        (&of("anna", 4, r#","flr":9"#), plain, NOW, "floor", "floor_ahead"),
        (&of("eve", 5, operator), plain, NOW, "revocation", "revoked"),
        (&of("anna", 6, &bound), plain, NOW, "holder", "holder_proof_required"),
        (&of("anna", 7, ""), plain, NOW, "policy", "policy_denied"),
        (&good, Wanted { request: None, ..plain }, NOW, "policy", "request_unknown"),
        (&good, Wanted { request: Some(&odd), ..plain }, NOW, "policy", "request_ambiguous"),
    ] {
        let explained = explain(&trust, token, wanted, &[], now);
        let last = explained.steps.last().unwrap();
        assert_eq!(last.check, check, "{expected} {explained:?}");
        let code = explained.refusal().map_or("", |refusal| refusal.code().as_str());
        let judged = judge(&trust, token, wanted, now);
        assert_eq!(code, judged.as_ref().err().map_or("", |refusal| refusal.code().as_str()), "{judged:?}");
        assert_eq!(code, expected);
        assert!(explained.steps[..explained.steps.len() - 1].iter().all(|step| step.found.is_ok()));
    }
    let denied = explain(&trust, &of("anna", 8, ""), plain, &[], NOW);
    assert_eq!(denied.misses, ["leads is about somebody else", "operators is about somebody else"]);
    let taken = explain(&trust, &of("anna", 9, &bound), plain, &["dpop"], NOW);
    assert!(taken.refusal().is_none(), "the proof is taken as shown: {taken:?}");
    assert_eq!(taken.policies.as_deref(), Some(&["operators".to_owned()][..]));
    let login = Wanted { deed: Deed::Login { account: "press" }, ..plain };
    assert!(explain(&trust, &good, login, &["ssh"], NOW).refusal().is_none());
}
