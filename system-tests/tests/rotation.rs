//! Keys that rotate, by the commands that people type: a calendar signed by people on their own machines,
//! role keys that are replaced under a running mint, and a thief who is locked out by an emergency charter.

use std::path::Path;

use farside_crossing::{Draft, Kind, bundle, manifest::ComponentType};
use farside_mint::config::Mint;
use farside_mint::keys::{self, PairSigner};
use farside_system_tests::http;
use farside_system_tests::sides::{CONTROL, Sides};
use serde_json::Value;

/// A site with bundle 1 applied.
fn opened() -> Sides {
    let sides = Sides::founded();
    sides.bundle("full");
    sides.cross();
    sides
}

/// Root signs a drafted charter with the key in `offline/`, and the mint adopts it.
fn enact(sides: &Sides, draft: &str) {
    let passphrase = "--passphrase-file near.passphrase";
    sides.farside(&format!("mint charter sign --key near/offline/root-1.key {passphrase} {draft}"));
    sides.mint(&format!("charter adopt {draft}"));
}

/// The lines of the mint's journals with that event.
fn events(sides: &Sides, event: &str) -> Vec<Value> {
    let read = |name: &str| std::fs::read_to_string(sides.path(name)).unwrap_or_default();
    let text = read("near/journal/mint.jsonl") + &read("near/journal/mint-cli.jsonl");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a journal line"));
    lines.filter(|line| line["event"] == event).collect()
}

fn check(sides: &Sides, token: &str) -> Value {
    sides.attempt(&format!("gate check {token} --audience {CONTROL} --json --config far/gate.toml")).json()
}

#[test]
fn people_on_machines_of_their_own_sign_a_calendar_for_months_and_the_mint_follows_it_alone() {
    let sides = opened();
    for person in ["anna", "ben", "cora"] {
        sides.put(&format!("{person}.passphrase"), format!("the long words of {person}\n").as_bytes());
        std::fs::create_dir(sides.path(person)).expect("a machine of one's own");
        sides.farside(&format!(
            "mint key new --role release --name {person} --out {person}/release.key \
             --passphrase-file {person}.passphrase"
        ));
    }
    let people = ["anna", "ben", "cora"].map(|person| format!("--release {person}/release.key")).join(" ");
    sides.mint(&format!("charter draft {people} --release-threshold 2 --out second.note"));
    // The new people sign what is in force before the charter is: so no bundle waits.
    sides.mint("release renew --charter second.note");
    let drafts = |sides: &Sides| -> Vec<String> {
        let listing = std::fs::read_dir(sides.path("near/drafts")).expect("drafts wait");
        let mut names: Vec<String> =
            listing.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    };
    let sign = |sides: &Sides, person: &str, file: &str| {
        // On the machine of one's own there is no mint: what is there is the file, and the key.
        std::fs::copy(sides.path(file), sides.path(person).join("carried.note")).expect("carried there");
        let line = format!(
            "mint release sign --key {person}/release.key --passphrase-file {person}.passphrase \
             {person}/carried.note --config {person}/no-mint.toml"
        );
        let said = sides.farside(&line).stdout;
        std::fs::copy(sides.path(person).join("carried.note"), sides.path(file)).expect("carried back");
        said
    };
    for name in drafts(&sides) {
        for person in ["anna", "cora"] {
            sign(&sides, person, &format!("near/drafts/{name}"));
        }
        sides.mint(&format!("release adopt near/drafts/{name}"));
        std::fs::remove_file(sides.path("near/drafts").join(name)).expect("it is done");
    }
    enact(&sides, "second.note");
    std::fs::remove_dir_all(sides.path("near/offline")).expect("no root or release key is on this disk");

    let planned = sides.mint("keys plan --site dome --periods 4 --json").json();
    assert_eq!(planned["release"]["waiting"]["signatures_missing"], 2, "{planned}");
    let [draft] = drafts(&sides).try_into().expect("one calendar waits");
    let file = format!("near/drafts/{draft}");
    let said = sign(&sides, "ben", &file);
    let last = planned["keys"][3]["kid"].as_str().expect("a key id");
    assert!(said.contains(last), "whoever signs sees every key: {said}");
    let alone = sides.attempt(&format!("mint release adopt {file} --config near/mint.toml"));
    assert!(alone.expect_code(1).stderr.contains("needs 2, 1 signed"));
    sign(&sides, "anna", &file);
    sides.mint(&format!("release adopt {file}"));
    sides.bundle("full");
    sides.cross();
    let held = sides.gate("status --json").json();
    assert_eq!(held["charter"]["version"], 2);
    assert_eq!(held["keys"].as_array().map(Vec::len), Some(5), "{held}");
    // A year of it has crossed, and nobody has to sign anything until then.
    let status = sides.mint("status --json").json();
    let reaches = status["sites"][0]["uses"][0]["calendar_reaches"].as_u64().expect("an instant");
    let now = status["now"].as_u64().expect("an instant");
    assert!(reaches > now + 300 * 86_400, "{status}");
}

#[test]
fn calendars_of_many_sites_are_one_draft_that_people_sign_and_adopt_as_one() {
    let sides = opened();
    for name in ["apollo", "crater"] {
        let url = format!("https://{name}.example");
        sides.mint(&format!("site add {name} --issuer {url} --audience {url} --unsealed"));
    }
    std::fs::rename(sides.path("near/offline/release-1.key"), sides.path("release.key"))
        .expect("carried away");
    let foreseen = sides.mint("keys plan --all --periods 3 --dry-run --json").json();
    assert_eq!(foreseen.as_array().map(Vec::len), Some(9), "{foreseen}");
    let refused = sides.attempt("mint keys plan --all --cryptoperiod 3650d --config near/mint.toml");
    assert!(refused.expect_code(1).stderr.contains("site apollo"));
    let planned = sides.mint("keys plan --all --periods 3 --json").json();
    let waiting = &planned["release"]["waiting"];
    assert_eq!((&waiting["documents"], planned["keys"].as_array().map(Vec::len)), (&3.into(), Some(9)));
    let file = waiting["file"].as_str().expect("one file");
    let told = sides.mint("status").stdout;
    assert!(told.contains("the keys documents of 3 sites have 0 of 1 release signatures"), "{told}");

    // Nothing of it is in force before people have signed, and a sheaf that was changed is nobody's.
    sides.attempt(&format!("mint release adopt {file} --config near/mint.toml")).expect_code(1);
    let sign = format!(
        "mint release sign --key release.key --passphrase-file near.passphrase {file} --config no-mint.toml"
    );
    let shown = sides.farside(&sign).stdout;
    for key in planned["keys"].as_array().expect("keys") {
        assert!(shown.contains(key["kid"].as_str().expect("a key id")), "whoever signs sees every key");
    }
    let path = sides.path(file);
    let signed = std::fs::read(&path).expect("a sheaf");
    let text = String::from_utf8(signed.clone()).expect("text");
    std::fs::write(&path, text.replace("\"crater\"", "\"apollo\"")).expect("changed");
    sides.attempt(&format!("mint release adopt {file} --config near/mint.toml")).expect_code(1);
    std::fs::write(&path, signed).expect("as it was");
    let adopted = sides.mint(&format!("release adopt {file} --json")).json();
    assert_eq!(adopted.as_array().map(Vec::len), Some(3), "{adopted}");
    assert!(!sides.mint("status").stdout.contains("documents of 3 sites"));
    sides.bundle("full");
    sides.cross();
    assert_eq!(sides.gate("status --json").json()["keys"].as_array().map(Vec::len), Some(4));
}

#[test]
fn online_and_log_key_are_replaced_under_a_running_mint_without_a_gap() {
    let sides = opened();
    sides.mint("site set dome --logged staple");
    sides.bundle("full");
    sides.cross();
    let mut mint = sides.serve_mint();
    let before = sides.token("ada", CONTROL);
    sides.mint("charter draft --new-online --new-log --out second.note");
    enact(&sides, "second.note");
    // The gate does not know the new log key yet: what is stapled is still under the old one.
    sides.mint(&format!(
        "token issue --site dome --subject ada --audience {CONTROL} --with-proof --out ahead.jwt"
    ));
    assert_eq!(check(&sides, &sides.text("ahead.jwt"))["verdict"], "accept");
    sides.bundle("full");
    sides.cross();
    assert_eq!(sides.gate("status --json").json()["charter"]["version"], 2);
    // What was signed by the old key still lies on the stick: older, and no fault.
    assert_eq!(sides.refusal_of("near/outbox/dome/dome-00000001.fbundle")["code"], "rollback");
    assert_eq!(check(&sides, &before)["verdict"], "accept");
    assert_eq!(check(&sides, &sides.text("ahead.jwt"))["verdict"], "accept", "its leaf has crossed");
    // In a round of its own, whose record stands behind the removal.
    mint.wait_until("the old online key's end", || {
        let journal = std::fs::read(sides.path("near/journal/mint.jsonl")).unwrap_or_default();
        String::from_utf8_lossy(&journal).contains("\"role_key_destroyed\"")
    });
    mint.stop();

    let gone = events(&sides, "role_key_destroyed");
    assert_eq!(gone.iter().map(|line| line["role"].as_str()).collect::<Vec<_>>(), [Some("online")]);
    assert!(!sides.path("near/keys/online.key").exists());
    assert!(sides.path("near/keys/log.key").exists(), "it signs until the site knows the new one");

    // The gate's receipt says that it does.
    let receipt = sides.gate("receipt --json").json();
    let (seq, code) = (&receipt["seq"], receipt["code"].as_str().or(receipt["receipt"].as_str()));
    let code = code.unwrap_or_else(|| panic!("no code in {receipt}"));
    sides.mint(&format!("bundle receipt --site dome --seq {seq} {code}"));
    let token = sides.token("grace", CONTROL);
    sides.bundle("full");
    sides.cross();
    assert_eq!(check(&sides, &token)["verdict"], "accept");
    sides.bundle("beacon");
    assert!(!sides.path("near/keys/log.key").exists());
    let told = sides.mint("audit verify --json");
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(!sides.gate("status --json").json()["frozen"].as_bool().expect("a verdict"));
}

/// What a thief has who copied the mint's disk: its keys, and the bundles that lie there.
struct Thief {
    online: PairSigner,
}

impl Thief {
    fn of(sides: &Sides) -> Thief {
        let mint = Mint::open(&sides.path("near/mint.toml")).expect("a mint");
        let passphrase = mint.passphrase().expect("its passphrase lies beside it");
        let online = keys::open_signer(&mint.home.online_key(), &passphrase).expect("its online key");
        Thief { online }
    }

    /// A bundle of the thief's own making, with what release people once signed.
    fn bundle(&self, sides: &Sides, template: &Path, seq: u64) -> Vec<u8> {
        let mint = Mint::open(&sides.path("near/mint.toml")).expect("a mint");
        let chain = farside_mint::ceremony::chain(&mint.store().expect("a store")).expect("charters");
        let genuine = std::fs::read(template).expect("a bundle");
        let opened = bundle::open(&genuine, &chain[0], "dome").expect("a bundle that holds");
        let manifest = opened.manifest();
        let draft = Draft {
            realm: "moonbase".into(),
            site: "dome".into(),
            seq,
            prev: Some(farside_crossing::Digest::of(b"whatever")),
            kind: Kind::Full,
            base: None,
            issued_at: manifest.issued_at,
            next_by: manifest.next_by + 86_400,
            not_after: manifest.not_after + 86_400,
        };
        let part = |kind| opened.component(kind).expect("a full bundle has it");
        let status = farside_crossing::StatusDocument {
            version: seq,
            ..opened.status().expect("a full bundle has it").clone()
        };
        let writer = farside_crossing::Writer::new(draft).status(&status).expect("a status");
        let writer = writer.keys(part(ComponentType::Keys)).expect("keys");
        let writer = writer.policy(part(ComponentType::Policy)).expect("policy");
        writer.finish(&[&self.online]).expect("signed").bytes
    }
}

#[test]
fn a_stolen_online_key_is_locked_out_by_the_emergency_charter_and_a_fence_leads_past_what_it_did() {
    let sides = opened();
    let thief = Thief::of(&sides);
    let template = sides.path("near/outbox/dome/dome-00000001.fbundle");
    // Before anybody noticed: a number far ahead, so that everything genuine is passed over.
    sides.put("forged.fbundle", &thief.bundle(&sides, &template, 9_000));
    sides.gate("import forged.fbundle");
    let genuine = sides.bundle("full");
    let passed = sides.attempt(&format!("gate import {genuine} --json --config far/gate.toml"));
    assert_eq!(passed.expect_code(1).json()["outcome"], "superseded");

    sides.mint("charter emergency --remove online --out emergency.note");
    enact(&sides, "emergency.note");
    sides.mint("charter export --since 1 --out charters.note");
    assert_eq!(sides.gate("import charters.note --json").json()["outcome"], "chartered");
    // From now on the thief's key is nobody's, whatever number its bundles bear.
    for seq in [9_001, 18_000] {
        sides.put("again.fbundle", &thief.bundle(&sides, &template, seq));
        assert_eq!(sides.refusal_of("again.fbundle")["code"], "threshold_unmet");
    }
    // The realm goes on past what the thief has done.
    sides.mint("release fence --site dome --seq-min 9001");
    let token = sides.token("ada", CONTROL);
    let made = sides.mint("bundle make --site dome --kind full --json").json();
    assert_eq!(made["seq"], 9_001);
    sides.gate(&format!("import {}", made["path"].as_str().expect("a path")));
    assert_eq!(check(&sides, &token)["verdict"], "accept");
    assert!(!sides.path("near/keys/online.key").exists(), "the stolen key is destroyed here as well");
    let gone = events(&sides, "role_key_destroyed");
    assert_eq!(gone.len(), 1, "{gone:?}");
}

#[test]
fn what_a_stolen_log_key_has_signed_is_not_believed_after_the_emergency_charter() {
    let sides = opened();
    sides.mint("site set dome --logged staple");
    sides.bundle("full");
    sides.cross();
    // The thief makes a tree of one leaf beside the genuine one, and shows the gate its head: held, so that
    // the genuine log would look like the fork.
    let genuine = sides.token("ada", CONTROL);
    let forged = forged_staple(&sides, &genuine);
    assert_eq!(check(&sides, &forged)["verdict"], "accept", "its signature is the log key's own");
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&forged, CONTROL).status, 200);
    gate.stop();
    assert_eq!(sides.gate("status --json").json()["logs"].as_array().map(Vec::len), Some(0));

    sides.mint("charter emergency --remove log --out emergency.note");
    enact(&sides, "emergency.note");
    let made = sides.bundle("full");
    let applied = sides.farside(&format!("gate import {made} --json --config far/gate.toml")).json();
    assert_eq!(applied["bundle"]["heads_let_go"], 1, "{applied}");
    // It stays evidence: whoever has the charters before finds the stolen key's signature under another root.
    let journal = sides.text("far/journal/gate-import.jsonl");
    let kept = journal.lines().find(|line| line.contains("log_head_let_go")).expect("it is in the journal");
    let kept: Value = serde_json::from_str(kept).expect("JSON");
    assert_eq!((&kept["shard"], &kept["size"]), (&"dome".into(), &1.into()), "{kept}");
    assert!(kept["root"].is_string() && kept["signature"].is_string(), "{kept}");
    assert_eq!(check(&sides, &genuine)["verdict"], "accept", "its leaf has crossed under the new key");
    assert_eq!(check(&sides, &forged)["code"], "not_logged");
    assert!(!sides.path("near/keys/log.key").exists());
}

/// A token at the position behind the genuine one's, under a head that the stolen keys have signed.
fn forged_staple(sides: &Sides, genuine: &str) -> String {
    use aws_lc_rs::rand::SystemRandom;
    use farside_crossing::{Head, Staple, checkpoint};
    use farside_verify::encode::{base64url, base64url_decode};
    use farside_verify::leaf;

    let mint = Mint::open(&sides.path("near/mint.toml")).expect("a mint");
    let passphrase = mint.passphrase().expect("a passphrase");
    let directory = mint.store().expect("a store").directory().expect("a directory");
    let record = &directory.site("dome").expect("the site").keys[0];
    let key =
        keys::open_token(&mint.home.0.join(record.place.to_string()), &passphrase).expect("a token key");
    let keys::KeyPair::Ecdsa(pair) = &key.pair else { panic!("the site's key is not ECDSA") };
    let parts: Vec<&str> = genuine.split('.').collect();
    let mut claims: Value =
        serde_json::from_slice(&base64url_decode(parts[1]).expect("base64url")).expect("claims");
    claims["sub"] = "eve".into();
    let input = format!("{}.{}", parts[0], base64url(claims.to_string()));
    let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).expect("signed");
    let token = format!("{input}.{}", base64url(signature.as_ref()));
    let position = claims["jti"].as_str().expect("a position").parse().expect("a position");
    let hash = leaf::hash(&position, &farside_service::digest::sha256(input.as_bytes()));
    let log = keys::open_log(&mint.home.log_key(), &passphrase).expect("the log's key");
    // A tree of this one leaf: its root is the leaf.
    let head = Head { size: 1, root: hash };
    let signature = log.sign(checkpoint::text(log.public(), "dome", &head).as_bytes()).expect("signed");
    Staple { size: 1, signature, proof: Vec::new() }.to_token(&token)
}

#[test]
fn a_thiefs_bundle_in_place_of_the_next_is_a_fork_and_the_fence_thaws_it() {
    let sides = opened();
    let thief = Thief::of(&sides);
    let template = sides.path("near/outbox/dome/dome-00000001.fbundle");
    sides.put("forged.fbundle", &thief.bundle(&sides, &template, 3));
    sides.gate("import forged.fbundle");
    let (_, third) = (sides.bundle("full"), sides.bundle("full"));
    assert_eq!(sides.refusal_of(&third)["code"], "fork");
    assert!(sides.gate("status --json").json()["frozen"].as_bool().expect("a verdict"));
    sides.mint("charter emergency --remove online --out emergency.note");
    enact(&sides, "emergency.note");
    sides.mint("release fence --site dome");
    let made = sides.bundle("full");
    sides.gate(&format!("import {made}"));
    assert!(!sides.gate("status --json").json()["frozen"].as_bool().expect("a verdict"));
    let gate = sides.serve_gate();
    assert_eq!(http::get(sides.gate, "/readyz", &[]).status, 200);
    gate.stop();
}

#[test]
fn a_running_mint_says_once_what_is_to_be_done_and_shows_it_to_whoever_watches() {
    let sides = opened();
    let mut configuration = sides.text("near/mint.toml");
    let admin = configuration.rsplit("address = \"").next().and_then(|rest| rest.split('"').next());
    let admin = admin.expect("an admin address").parse().expect("an address");
    // Two hundred days before the end of a calendar of ninety: at once.
    configuration.push_str("\n\n[rotation]\nrelease_time = \"200d\"\n");
    sides.put("near/mint.toml", configuration.as_bytes());
    let mut mint = sides.serve_mint();
    let shown = || http::get(admin, "/healthz", &[]).body;
    mint.wait_until("it has looked", || shown().contains("calendar_ends: site dome"));
    assert_eq!(http::get(admin, "/healthz", &[]).status, 200, "the mint itself is well");
    let metrics = http::get(admin, "/metrics", &[]).body;
    assert!(metrics.contains("farside_mint_warnings{code=\"calendar_ends\"} 1"), "{metrics}");
    assert!(metrics.contains("farside_mint_calendar_left{site=\"dome\""), "{metrics}");
    let words = mint.words();
    assert_eq!(words.matches("something is to be done").count(), 1, "{words}");
    mint.stop();
    let told = sides.mint("status").stdout;
    assert!(told.contains("1 THING TO DO") && told.contains("mint keys plan --site dome"), "{told}");
}
