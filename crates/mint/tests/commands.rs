//! The commands as an operator types them, through the real program: what they say, what they refuse, and
//! what they leave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn mint(folder: &Path, line: &str) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_farside-mint"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Answer {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn ok(folder: &Path, line: &str) -> Value {
    let answer = mint(folder, &format!("{line} --json"));
    assert_eq!(answer.code, 0, "{line}: {}", answer.stderr);
    answer.json()
}

fn refused(folder: &Path, line: &str, code: i32, words: &str) {
    let answer = mint(folder, line);
    assert_eq!((answer.code, answer.stdout.as_str()), (code, ""), "{line}: {}", answer.stderr);
    assert!(answer.stderr.starts_with("farside: error: "), "{line}: {}", answer.stderr);
    assert!(answer.stderr.contains(words), "{line}: {}", answer.stderr);
}

fn desk(passphrases: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in passphrases {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

const NEAR: &str = "--config near/mint.toml";

#[test]
fn a_realm_is_founded_once_and_says_plainly_where_its_keys_lie() {
    let folder = desk(&[("pw", "correct horse battery\n"), ("other", "incorrect horse battery\n")]);
    let folder = folder.path();
    refused(folder, &format!("{NEAR} site list"), 2, "there is no mint");
    let init = mint(folder, "init --dir near --realm acme --passphrase-file pw");
    assert_eq!(init.code, 0, "{}", init.stderr);
    assert!(init.stdout.contains("Both root and release keys lie in near/offline"), "{}", init.stdout);
    let before = std::fs::read(folder.join("near/keys/online.key")).unwrap();
    refused(folder, "init --dir near --realm acme --passphrase-file pw", 1, "stands here already");
    assert_eq!(std::fs::read(folder.join("near/keys/online.key")).unwrap(), before);
    refused(folder, "key show near/keys/online.key --passphrase-file other", 1, "the passphrase is wrong");
    for (path, mode) in [("near/keys/online.key", 0o600), ("near/mint.db", 0o600), ("near/keys", 0o700)] {
        let held = std::fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(held, mode, "{path}");
    }
}

#[test]
fn a_founding_that_was_cut_short_is_begun_anew() {
    let folder = desk(&[("pw", "correct horse battery\n")]);
    let (folder, init) = (folder.path(), "init --dir near --realm acme --passphrase-file pw");
    std::fs::create_dir(folder.join("near")).unwrap();
    std::fs::write(folder.join("near/notes.txt"), "the operator's own").unwrap();
    ok(folder, init);
    // A crash before the last step: everything lies there, and the mark still stands.
    std::fs::write(folder.join("near/founding"), "").unwrap();
    let before = std::fs::read(folder.join("near/keys/online.key")).unwrap();
    refused(folder, &format!("{NEAR} site list"), 2, "was cut short");
    let found = ok(folder, init);
    assert_ne!(std::fs::read(folder.join("near/keys/online.key")).unwrap(), before);
    assert_eq!(ok(folder, &format!("{NEAR} charter show"))["fingerprint"], found["fingerprint"]);
    assert!(folder.join("near/notes.txt").exists() && !folder.join("near/founding").exists());
    // What no founding left behind is somebody's: it is never cleared away.
    std::fs::remove_file(folder.join("near/mint.toml")).unwrap();
    refused(folder, init, 1, "stands here already");
    assert!(folder.join("near/keys/online.key").exists());
}

#[test]
fn a_sites_tiers_are_set_for_each_audience_and_none_outlasts_a_laxer_one() {
    let folder = desk(&[("pw", "correct horse battery\n")]);
    let folder = folder.path();
    ok(folder, "init --dir near --realm acme --passphrase-file pw");
    let add =
        format!("{NEAR} site add dome --unsealed --issuer https://gate.example --audience a --audience b");
    for wrong in ["write=2h,read=1h", "safety=2h,write=1h", "read=0s", "read=1h,read=1h", "look=1h", "1h"] {
        refused(folder, &format!("{add} --stale {wrong}"), 2, "--stale");
    }
    ok(folder, &format!("{add} --stale read=30d,write=24h,safety=1h"));
    let tiers = |audience: usize| {
        let held = ok(folder, &format!("{NEAR} site show dome"));
        held["audiences"][audience]["stale_seconds_max"].clone()
    };
    let all = serde_json::json!({"read": 2_592_000, "write": 86_400, "safety": 3_600});
    assert_eq!((tiers(0), tiers(1)), (all.clone(), all.clone()));
    let set = ok(folder, &format!("{NEAR} site set dome --only b --stale write=2h"));
    assert_eq!(set["policy"]["adopted"]["version"], 2, "gates must know of it");
    assert_eq!((tiers(0), tiers(1)), (all, serde_json::json!({"write": 7_200})));
    ok(folder, &format!("{NEAR} site set dome --stale none"));
    assert_eq!(tiers(0), serde_json::json!({}));
    refused(folder, &format!("{NEAR} site set dome --only c --stale none"), 1, "no audience c");
}

#[test]
fn a_day_at_the_desk() {
    let folder = desk(&[("pw", "correct horse battery\n")]);
    let folder = folder.path();
    ok(folder, "init --dir near --realm acme --passphrase-file pw");
    std::fs::write(folder.join("people.csv"), "kind,name,roles\nperson,anna,operator\nbot,hauler,carrier\n")
        .unwrap();
    let dry = ok(folder, &format!("{NEAR} directory import people.csv --dry-run"));
    assert_eq!((dry["added"].as_array().unwrap().len(), &dry["dry_run"]), (2, &Value::Bool(true)));
    assert_eq!(ok(folder, &format!("{NEAR} directory list")).as_array().unwrap().len(), 0);
    ok(folder, &format!("{NEAR} directory import people.csv"));
    let secret = ok(folder, &format!("{NEAR} bot secret hauler"))["secret"].as_str().unwrap().to_owned();
    refused(folder, &format!("{NEAR} bot secret anna"), 1, "anna is a person");

    let recipient = farside_crossing::RecipientSecret::from_seed(&[7; 32]).public("plant-7").unwrap();
    std::fs::write(folder.join("recipient.pub"), recipient.to_string()).unwrap();
    let add = "site add plant-7 --issuer https://gate.example --audience press --recipient recipient.pub";
    let wrong = "0".repeat(64);
    refused(folder, &format!("{NEAR} {add} --fingerprint {wrong}"), 1, "not the key that the gate shows");
    refused(folder, &format!("{NEAR} {add} --json"), 1, "was not compared");
    let right = recipient.fingerprint().hex();
    let added = ok(folder, &format!("{NEAR} {add} --fingerprint {right}"));
    assert_eq!(added["policy"]["adopted"]["version"], 1);
    let made = ok(folder, &format!("{NEAR} keys new --site plant-7"));
    assert_eq!(made["release"]["adopted"]["signers"][0], "release-1");
    let keys = ok(folder, &format!("{NEAR} keys list"));
    assert_eq!(keys[0]["state"], "signing");
    let plan = format!("{NEAR} keys plan --site plant-7 --periods 3");
    assert_eq!(ok(folder, &format!("{plan} --dry-run")).as_array().unwrap().len(), 3);
    assert_eq!(ok(folder, &format!("{NEAR} keys list")).as_array().unwrap().len(), 1, "nothing was made");
    refused(folder, &format!("{plan} --cryptoperiod 4000d"), 1, "lower --cryptoperiod to at most 1098d");
    let planned = ok(folder, &plan);
    assert_eq!(planned["keys"][0]["sign_from"], keys[0]["key"]["sign_until"]);
    assert_eq!(planned["release"]["adopted"]["version"], 2, "the whole calendar is released at once");
    let revoked = ok(folder, &format!("{NEAR} revoke subject anna --reason left"));
    assert_eq!(revoked["sites"][0], "plant-7");
    refused(
        folder,
        &format!("{NEAR} revoke key nosuchid --reason x"),
        1,
        "no site of this realm has the key",
    );

    assert_eq!(ok(folder, &format!("{NEAR} audit verify"))["intact"], true);
    let journal = std::fs::read_to_string(folder.join("near/journal/mint-cli.jsonl")).unwrap();
    assert!(journal.contains("site_enrolled") && !journal.contains(&secret));
    std::fs::write(folder.join("near/journal/mint-cli.jsonl"), journal.replace("left", "stay")).unwrap();
    let audit = mint(folder, &format!("{NEAR} audit verify"));
    assert_eq!(audit.code, 1, "an altered journal is named: {}", audit.stdout);
}

#[test]
fn what_was_decided_of_a_site_can_be_changed() {
    let folder = desk(&[("pw", "correct horse battery\n")]);
    let folder = folder.path();
    ok(folder, "init --dir near --realm acme --passphrase-file pw");
    ok(folder, &format!("{NEAR} person add anna"));
    ok(folder, &format!("{NEAR} bot add hauler"));
    ok(folder, &format!("{NEAR} site add plant-7 --issuer https://gate.example --audience press --unsealed"));
    ok(folder, &format!("{NEAR} keys new --site plant-7"));
    ok(folder, &format!("{NEAR} revoke subject anna --reason left"));
    refused(
        folder,
        &format!("{NEAR} release pardon --site plant-7 --subject hauler"),
        1,
        "is not revoked at site",
    );
    // One key id in 64 begins with a hyphen.
    refused(folder, &format!("{NEAR} revoke key -hoV3iQ_ --reason stolen"), 1, "has the key -hoV3iQ_");
    refused(
        folder,
        &format!("{NEAR} release pardon --site plant-7 --key -hoV3iQ_"),
        1,
        "key -hoV3iQ_ is not",
    );
    refused(folder, &format!("{NEAR} release pardon --site plant-7"), 1, "name what is to be pardoned");
    let pardon = ok(folder, &format!("{NEAR} release pardon --site plant-7 --subject anna"));
    assert_eq!((&pardon["adopted"]["kind"], &pardon["adopted"]["version"]), (&"pardon".into(), &1.into()));
    refused(folder, &format!("{NEAR} release fence --site plant-7 --seq-max 0"), 1, "the next one of site");
    let fence = ok(folder, &format!("{NEAR} release fence --site plant-7"));
    assert_eq!(fence["adopted"]["signers"][0], "release-1");

    let set = ok(folder, &format!("{NEAR} site set plant-7 --every 2h --role operator"));
    assert_eq!((&set["site"]["every_seconds"], &set["policy"]), (&7_200.into(), &Value::Null));
    let set = ok(
        folder,
        &format!("{NEAR} site set plant-7 --audience press --audience saw --leeway 5s --any-role"),
    );
    assert_eq!(
        (&set["policy"]["adopted"]["version"], &set["site"]["leeway_seconds"]),
        (&2.into(), &5.into())
    );
    assert_eq!((&set["site"]["roles_allowed"], &set["site"]["every_seconds"]), (&Value::Null, &7_200.into()));
    refused(folder, &format!("{NEAR} site set plant-7 --leeway 2h"), 1, "the leeway in seconds must lie");
    refused(folder, &format!("{NEAR} site set plant-8 --leeway 2s"), 1, "there is no site plant-8");
    let issue = format!("{NEAR} token issue --site plant-7 --subject hauler --audience saw");
    ok(folder, &format!("{NEAR} site disable plant-7"));
    refused(folder, &issue, 1, "");
    ok(folder, &format!("{NEAR} site enable plant-7"));
    ok(folder, &issue);
}

#[test]
fn key_files_get_another_passphrase_all_or_none() {
    let folder =
        desk(&[("old", "anna's first phrase\n"), ("new", "anna's next phrase\n"), ("ben", "ben's phrase\n")]);
    let folder = folder.path();
    for (file, passphrase) in [("a", "old"), ("b", "old"), ("c", "ben")] {
        let new =
            format!("key new --role root --name {file} --out {file}.key --passphrase-file {passphrase}");
        ok(folder, &new);
    }
    let change = "keys passphrase --passphrase-file old --new-passphrase-file new";
    let held = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let before = held("a.key");
    refused(folder, &format!("{change} a.key c.key"), 1, "c.key does not open");
    assert_eq!(held("a.key"), before);
    let public = ok(folder, "key show a.key")["public"].clone();
    // As a crash between two files leaves them.
    assert_eq!(ok(folder, &format!("{change} a.key"))["changed"].as_array().unwrap().len(), 1);
    assert_eq!(ok(folder, &format!("{change} a.key b.key"))["changed"][0], "b.key");
    for file in ["a.key", "b.key"] {
        refused(folder, &format!("key show {file} --passphrase-file old"), 1, "does not open");
        ok(folder, &format!("key show {file} --passphrase-file new"));
    }
    assert_eq!(ok(folder, "key show a.key")["public"], public, "it is the same key");
    let mode = std::fs::metadata(folder.join("a.key")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn two_of_two_sign_the_charter_and_the_calendar_in_turn() {
    let folder = desk(&[
        ("pw", "correct horse battery\n"),
        ("a.pw", "anna's own phrase\n"),
        ("b.pw", "ben's own phrase\n"),
    ]);
    let folder = folder.path();
    ok(folder, "init --dir near --realm acme --passphrase-file pw --ceremony");
    assert!(!folder.join("near/offline").exists(), "nothing precious is made for other people");
    for (name, file) in [("anna", "a"), ("ben", "b")] {
        ok(
            folder,
            &format!("key new --role root --name {name} --out {file}.key --passphrase-file {file}.pw"),
        );
    }
    ok(
        folder,
        &format!(
            "{NEAR} charter draft --root a.key --root b.key --root-threshold 2 \
             --release a.key --release b.key \
             --release-threshold 2 --out charter"
        ),
    );
    let once = ok(folder, &format!("{NEAR} charter sign --key a.key --passphrase-file a.pw charter"));
    assert_eq!((&once["signed"][0], &once["signatures_missing"]), (&"anna".into(), &1.into()));
    refused(folder, &format!("{NEAR} charter adopt charter"), 1, "root needs 2, 1 signed");
    refused(
        folder,
        &format!("{NEAR} charter sign --key b.key --passphrase-file a.pw charter"),
        1,
        "passphrase",
    );
    ok(folder, &format!("{NEAR} charter sign --key b.key --passphrase-file b.pw charter"));
    assert_eq!(ok(folder, &format!("{NEAR} charter adopt charter"))["version"], 1);

    ok(folder, &format!("{NEAR} site add plant-7 --issuer https://gate.example --audience press --unsealed"));
    let made = ok(folder, &format!("{NEAR} keys new --site plant-7"));
    let waiting = &made["release"]["waiting"];
    assert_eq!(waiting["signatures_missing"], 2);
    let draft = waiting["file"].as_str().unwrap().to_owned();
    ok(folder, &format!("{NEAR} release sign --key a.key --passphrase-file a.pw {draft}"));
    refused(folder, &format!("{NEAR} release adopt {draft}"), 1, "release needs 2, 1 signed");
    ok(folder, &format!("{NEAR} release sign --key b.key --passphrase-file b.pw {draft}"));
    let adopted = ok(folder, &format!("{NEAR} release adopt {draft}"));
    assert_eq!(adopted["signers"].as_array().unwrap().len(), 2);

    let waiting = ok(folder, &format!("{NEAR} release fence --site plant-7"))["waiting"].clone();
    let draft = waiting["file"].as_str().unwrap();
    assert_eq!((&waiting["kind"], &waiting["signatures_missing"]), (&"fence".into(), &2.into()));
    for name in ["a", "b"] {
        let sign = format!("release sign --key {name}.key --passphrase-file {name}.pw {draft}");
        ok(folder, &format!("{NEAR} {sign}"));
    }
    assert_eq!(ok(folder, &format!("{NEAR} release adopt {draft}"))["kind"], "fence");
}
