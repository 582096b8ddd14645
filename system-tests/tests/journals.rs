//! Journals of both sides, by the commands that an auditor would type: whatever is done to one is named with
//! its place, also what no chain can show by itself.

use std::path::PathBuf;

use farside_system_tests::http;
use farside_system_tests::programs::Finished;
use farside_system_tests::sides::{CONTROL, Sides};

/// Both sides after a day's work: two bundles carried, somebody admitted, somebody refused, a long receipt
/// entered, and a third bundle that carries what the mint wrote down about it.
fn worked() -> Sides {
    let sides = Sides::founded();
    let token = sides.token("ada", CONTROL);
    sides.bundle("full");
    sides.cross();
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    assert_eq!(sides.knock("eyJ.none.such", CONTROL).status, 401);
    assert!(gate.stop().success());
    let receipt = sides.gate("receipt --long");
    sides.put("receipt.txt", receipt.stdout.as_bytes());
    sides.mint("bundle receipt --long receipt.txt");
    sides.bundle("full");
    sides.cross();
    sides
}

fn bundles(sides: &Sides) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(sides.path("near/outbox/dome")).expect("an outbox");
    let mut files: Vec<_> = listing.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn verify(sides: &Sides, arguments: &str) -> Finished {
    sides.attempt(&format!("audit verify {arguments}"))
}

/// Takes the last lines off a file.
fn cut(sides: &Sides, file: &str, lines: usize) -> usize {
    let text = sides.text(file);
    let all: Vec<&str> = text.lines().collect();
    sides.put(file, (all[..all.len() - lines].join("\n") + "\n").as_bytes());
    all.len()
}

#[test]
fn a_tail_cut_off_either_sides_journal_shows_on_the_other_side() {
    let sides = worked();
    let bundle = bundles(&sides).pop().expect("a bundle").display().to_string();
    verify(&sides, "near/journal far/journal").expect_code(0);
    let against = format!("near/journal --against {bundle} --charter charter.note --against far/journal");
    let whole = verify(&sides, &against).expect_code(0);
    assert!(whole.stdout.contains("heads noted elsewhere"), "{whole:?}");
    verify(&sides, "far/journal --against receipt.txt --against near/journal").expect_code(0);

    // What the second bundle noted of the mint's journals reaches up to the lines before it.
    let lines = cut(&sides, "near/journal/mint.jsonl", 4);
    verify(&sides, "near/journal").expect_code(0);
    let said = verify(&sides, &against).expect_code(1).stdout;
    assert!(said.contains(&format!("it ends with line {}", lines - 4)), "{said}");
    assert!(said.contains("bundle 2 of site dome") || said.contains("gate-import.jsonl"), "{said}");

    let lines = cut(&sides, "far/journal/gate.jsonl", 2);
    verify(&sides, "far/journal").expect_code(0);
    for noted in ["receipt.txt", "near/journal"] {
        let said = verify(&sides, &format!("far/journal --against {noted}")).expect_code(1).stdout;
        assert!(said.contains(&format!("it ends with line {}", lines - 2)), "{said}");
    }
}

#[test]
fn whatever_is_done_to_a_journal_is_named_with_its_place_by_every_program() {
    let sides = worked();
    for (file, by) in [
        ("near/journal/mint-cli.jsonl", "mint audit verify --config near/mint.toml --json"),
        ("near/journal/ferry.jsonl", "ferry audit verify near/journal --json"),
        ("far/journal/gate-import.jsonl", "gate audit verify --config far/gate.toml --json"),
        ("far/journal/gate.jsonl", "audit verify far/journal --json"),
    ] {
        let text = sides.text(file);
        let lines: Vec<&str> = text.lines().collect();
        let edited = lines[1].replacen("\"by\":\"uid", "\"by\":\"UID", 1).replacen("verdict", "Verdict", 1);
        let cases: [(&str, Vec<&str>); 4] = [
            ("edited", [&lines[..1], &[edited.as_str()], &lines[2..]].concat()),
            ("cut out", [&lines[..1], &lines[2..]].concat()),
            ("swapped", [&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat()),
            ("repeated", [&lines[..1], &lines[..1], &lines[1..]].concat()),
        ];
        for (what, changed) in cases {
            sides.put(file, (changed.join("\n") + "\n").as_bytes());
            let said = sides.attempt(by).expect_code(1).stdout;
            let verdicts = said.lines().map(|line| serde_json::from_str(line).expect("JSON"));
            let broken: Vec<serde_json::Value> =
                verdicts.filter(|verdict: &serde_json::Value| verdict["intact"] == false).collect();
            assert_eq!(broken.len(), 1, "{file} {what}: {said}");
            assert!(file.ends_with(
                broken[0]["journal"].as_str().and_then(|path| path.rsplit('/').next()).expect("a name")
            ));
            assert_eq!(broken[0]["line"], 2, "{file} {what}: {said}");
        }
        sides.put(file, (text + "\n").as_bytes());
        sides.attempt(by).expect_code(0);
    }
}

#[test]
fn heads_are_believed_by_signature_or_tag_alone() {
    let sides = worked();
    let bundle = bundles(&sides).pop().expect("a bundle").display().to_string();
    verify(&sides, &format!("near/journal --against {bundle}")).expect_code(2);
    let mut bytes = sides.get(&bundle);
    let at = bytes.windows(9).position(|window| window == b"\"lines\": ").expect("a head") + 9;
    bytes[at] ^= 1;
    sides.put("forged.fbundle", &bytes);
    verify(&sides, "near/journal --against forged.fbundle --charter charter.note").expect_code(1);

    let forged = sides.text("receipt.txt").replacen("journal gate ", "journal gate 1", 1);
    sides.put("forged.txt", forged.as_bytes());
    sides.attempt("mint bundle receipt --long forged.txt --config near/mint.toml").expect_code(1);
}

#[test]
fn no_secret_and_no_token_stands_in_any_journal_nor_in_what_is_exported() {
    let sides = Sides::founded();
    let order = format!("order add --site dome --subject ada --audience {CONTROL} --claim phrase --json");
    let phrase = sides.mint(&order).json()["phrase"].as_str().expect("a phrase").to_owned();
    let secret = sides.mint("bot secret lander-7 --json");
    let secret = secret.json()["secret"].as_str().expect("a secret").to_owned();
    let token = sides.token("grace", CONTROL);
    sides.bundle("full");
    sides.cross();
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    let (claims, signature) = token.rsplit_once('.').expect("a token");
    assert_eq!(sides.knock(&format!("{claims}.AAAA{}", &signature[4..]), CONTROL).status, 401);
    let body = format!("{{\"subject\":\"ada\",\"phrase\":\"{phrase}\"}}");
    let collected =
        http::request(sides.gate, "POST", "/pickup", &[("content-type", "application/json")], &body);
    assert_eq!(collected.status, 200);
    assert!(gate.stop().success());

    let canaries = [phrase, secret, signature.to_owned(), claims.to_owned(), "correct horse".to_owned()];
    for side in ["near", "far"] {
        let mut said = vec![sides.farside(&format!("audit export --format ocsf {side}/journal")).stdout];
        said.push(sides.farside(&format!("audit export --format syslog {side}/journal")).stdout);
        for entry in std::fs::read_dir(sides.path(&format!("{side}/journal"))).expect("journals") {
            said.push(
                String::from_utf8_lossy(&std::fs::read(entry.expect("an entry").path()).expect("a file"))
                    .into_owned(),
            );
        }
        assert!(said.iter().all(|text| !text.contains("eyJ")), "{side}: a token's beginning");
        for canary in &canaries {
            assert!(said.iter().all(|text| !text.contains(canary)), "{side}: {canary}");
        }
        for line in said[0].lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let (class, activity) = (event["class_uid"].as_u64(), event["activity_id"].as_u64());
            assert_eq!(
                event["type_uid"].as_u64(),
                class.zip(activity).map(|(class, activity)| class * 100 + activity)
            );
            assert!(event["time"].as_u64().is_some_and(|time| time > 1_700_000_000_000), "{event}");
        }
    }
}
