//! Private keys in PKCS#11 tokens (SoftHSM): made there, signing for gates, gone and back again.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use farside_system_tests::http;
use farside_system_tests::programs::Server;
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::softhsm;
use serde_json::Value;

/// Options of `mint init` for the mint's own keys in the token.
fn own_keys() -> String {
    format!("--pkcs11 vault --module {} --pin-file pin", softhsm::module())
}

/// A mint with its own keys in files, and a token that it may use.
fn beside_files(pin_file: &str, module: &str) -> Sides {
    let sides = Sides::empty();
    softhsm::make(&sides, "vault");
    sides.found("", "");
    let section = format!(
        "\n[[pkcs11]]\nmodule = \"{module}\"\nlabel = \"vault\"\npin_file = \"{}\"\n",
        sides.path(pin_file).display()
    );
    let config = sides.text("near/mint.toml") + &section;
    sides.put("near/mint.toml", config.as_bytes());
    sides
}

fn key_ids(sides: &Sides) -> Vec<String> {
    let keys = sides.mint("keys list --site dome --json").json();
    let keys = keys.as_array().expect("keys").iter();
    keys.map(|key| key["key"]["kid"].as_str().expect("a kid").to_owned()).collect()
}

fn kid_of(token: &str) -> String {
    use base64::Engine as _;
    let header = token.split('.').next().expect("a header");
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("a header");
    header["kid"].as_str().expect("a kid").to_owned()
}

/// Carries everything over and tells the mint that it has arrived.
fn cross_with_receipt(sides: &Sides) {
    sides.bundle("full");
    sides.cross();
    let receipt = sides.gate("receipt --long");
    sides.put("receipt.txt", receipt.stdout.as_bytes());
    sides.mint("bundle receipt --long receipt.txt");
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs()
}

fn secret(sides: &Sides) -> String {
    sides.mint("bot secret lander-7 --json").json()["secret"].as_str().expect("a secret").to_owned()
}

fn ask(sides: &Sides, secret: &str) -> (u16, Option<String>) {
    http::ask_token(sides.mint, "lander-7", secret, CONTROL)
}

fn metric(sides: &Sides) -> String {
    let text = http::get(sides.admin, "/metrics", &[]).body;
    let line = text.lines().find(|line| line.starts_with("farside_mint_pkcs11_token_away"));
    line.unwrap_or_default().to_owned()
}

/// The journal's lines about tokens: event, and the token or key.
fn told(sides: &Sides) -> Vec<(String, Value)> {
    let journal = sides.text("near/journal/mint.jsonl");
    let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line"));
    let events = lines.map(|line| (line["event"].as_str().unwrap_or_default().to_owned(), line));
    events.filter(|(event, _)| event.starts_with("key_token")).collect()
}

/// Nothing that the mint has written anywhere holds the PIN, nor does its command line.
fn nowhere_the_pin(sides: &Sides, server: &Server) {
    let arguments = std::fs::read(format!("/proc/{}/cmdline", server.id())).expect("a command line");
    let environment = std::fs::read(format!("/proc/{}/environ", server.id())).expect("an environment");
    let said = [server.words().into_bytes(), arguments, environment].concat();
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--fixed-strings", "--files-with-matches", softhsm::PIN, "near"]);
    let found = grep.current_dir(sides.folder()).output().expect("grep can be started");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the PIN stands in a file of the mint");
    assert!(!String::from_utf8_lossy(&said).contains(softhsm::PIN));
}

#[test]
fn keys_of_each_kind_that_never_leave_their_token_sign_what_a_gate_admits() {
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256"] {
        let sides = Sides::empty();
        softhsm::make(&sides, "vault");
        sides.found(&own_keys(), &format!("--pkcs11 --algorithm {algorithm}"));
        let keys = sides.mint("keys list --site dome --json").json();
        let place = keys[0]["key"]["place"].as_str().expect("a place");
        assert!(place.starts_with("pkcs11:token=vault;id="), "{keys}");
        assert_eq!(std::fs::read_dir(sides.path("near/keys")).expect("keys").count(), 4, "no new file");
        let token = sides.token("ada", CONTROL);
        let jwks = sides.mint("keys list --site dome --json").json();
        assert_eq!(kid_of(&token), jwks[0]["key"]["kid"], "{algorithm}");
        sides.bundle("full");
        sides.cross();
        let server = sides.serve_gate();
        let answer = sides.knock(&token, CONTROL);
        assert_eq!((answer.status, answer.header("x-farside-subject")), (200, Some("ada")), "{answer:?}");
        let keys = http::get(sides.gate, "/jwks.json", &[]).body;
        sides.put("jwks.json", keys.as_bytes());
        let verdict = sides.farside(&format!("verify --jwks jwks.json {token}")).json();
        assert_eq!(verdict["verdict"], "accept", "{algorithm}");
        assert!(server.stop().success());
    }
}

#[test]
fn a_token_that_disappears_in_the_middle_of_rotation_is_an_alarm_and_no_outage() {
    let sides = beside_files("pin", softhsm::module());
    let (secret, old) = (secret(&sides), key_ids(&sides));
    cross_with_receipt(&sides);
    sides.mint(&format!("keys new --site dome --pkcs11 --sign-from {}", now() + 1));
    let new = key_ids(&sides).into_iter().find(|kid| !old.contains(kid)).expect("a new key");
    cross_with_receipt(&sides);
    let mut mint = sides.serve_mint();
    let signs = |kid: &str| ask(&sides, &secret).1.is_some_and(|token| kid_of(&token) == *kid);
    mint.wait_until("the new key signs", || signs(&new));
    let before = ask(&sides, &secret).1.expect("a token");

    softhsm::pull(&sides);
    let (status, during) = ask(&sides, &secret);
    let during = during.unwrap_or_else(|| panic!("no token was issued: {status}"));
    assert_eq!((status, &kid_of(&during)), (200, &old[0]), "the very next token is signed by the older key");
    assert!(metric(&sides).ends_with("{token=\"vault\"} 1"), "{}", metric(&sides));
    let health = http::get(sides.admin, "/healthz", &[]);
    assert_eq!(health.status, 200, "{health:?}");
    assert!(health.body.contains("alarm: PKCS#11 token vault is gone since 20"), "{health:?}");
    mint.wait_until("it is in the journal", || {
        told(&sides).iter().any(|(event, _)| event == "key_token_gone")
    });
    assert_eq!(told(&sides)[0].1["token"], "vault");

    softhsm::plug(&sides);
    mint.wait_until("the new key signs again", || signs(&new));
    let after = ask(&sides, &secret).1.expect("a token");
    assert!(metric(&sides).ends_with(" 0"), "{}", metric(&sides));
    assert_eq!(http::get(sides.admin, "/healthz", &[]).body, "ok\n");
    mint.wait_until("that is in the journal", || {
        told(&sides).iter().any(|(event, _)| event == "key_token_back")
    });
    assert_eq!(mint.words().matches("a PKCS#11 token is gone").count(), 1, "{}", mint.words());
    nowhere_the_pin(&sides, &mint);
    sides.bundle("full");
    sides.cross();
    let gate = sides.serve_gate();
    for token in [before, during, after] {
        assert_eq!(sides.knock(&token, CONTROL).status, 200);
    }
    assert!(gate.stop().success() && mint.stop().success());
    sides.farside("audit verify near/journal");
}

#[test]
fn with_no_other_key_nothing_is_signed_for_the_time_being_and_it_heals_by_itself() {
    let sides = Sides::empty();
    softhsm::make(&sides, "vault");
    sides.found(&own_keys(), "--pkcs11");
    let secret = secret(&sides);
    softhsm::pull(&sides);
    let issue =
        format!("mint token issue --site dome --subject ada --audience {CONTROL} --config near/mint.toml");
    let refused = sides.attempt(&issue).expect_code(2);
    assert!(refused.stderr.contains("PKCS#11 token \"vault\" is gone"), "{refused:?}");
    assert!(refused.stderr.contains("\nhint: "), "{refused:?}");
    // A mint that is started meanwhile waits for it like one that runs.
    let mut mint = sides.serve_mint();
    let answer = ask(&sides, &secret);
    assert_eq!(answer, (503, None));
    let bundle = sides.attempt("mint bundle make --site dome --config near/mint.toml").expect_code(2);
    assert!(bundle.stderr.contains("vault"), "the online key is there too: {bundle:?}");
    softhsm::plug(&sides);
    mint.wait_until("tokens are issued", || ask(&sides, &secret).0 == 200);
    let token = ask(&sides, &secret).1.expect("a token");
    sides.bundle("full");
    sides.cross();
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    assert!(gate.stop().success() && mint.stop().success());
}

#[test]
fn a_wrong_pin_is_tried_once_and_again_only_when_it_is_another() {
    let sides = beside_files("pin", softhsm::spy());
    let (secret, old) = (secret(&sides), key_ids(&sides));
    // The spy is asked for the module behind it by its environment.
    let spied = |line: &str| {
        let mut command = sides.command(line);
        command.env("PKCS11SPY", softhsm::module()).env("PKCS11SPY_OUTPUT", sides.path("spy.log"));
        command
    };
    let config = "--config near/mint.toml";
    cross_with_receipt(&sides);
    let made = spied(&format!("mint keys new --site dome --pkcs11 --sign-from {} {config}", now() + 1));
    farside_system_tests::programs::run(made).expect_code(0);
    let new = key_ids(&sides).into_iter().find(|kid| !old.contains(kid)).expect("a new key");
    cross_with_receipt(&sides);
    std::fs::remove_file(sides.path("spy.log")).expect("the spy has written");
    sides.put("pin", b"0000");
    let logins = || String::from_utf8_lossy(&sides.get("spy.log")).matches("C_Login\n").count();
    let mut mint = Server::start(spied(&format!("mint serve {config}")));
    mint.wait_for(sides.mint);
    let gone = || told(&sides).iter().any(|(_, line)| line["reason"] == "its PIN is wrong");
    mint.wait_until("the journal says so", gone);
    for _ in 0..3 {
        let token = ask(&sides, &secret).1.expect("a token");
        assert_eq!(kid_of(&token), old[0], "the key in the file signs");
    }
    assert_eq!(logins(), 1, "a wrong PIN costs one try");
    sides.put("pin", softhsm::PIN.as_bytes());
    let signs = |kid: &str| ask(&sides, &secret).1.is_some_and(|token| kid_of(&token) == *kid);
    mint.wait_until("the new key signs", || signs(&new));
    assert_eq!(logins(), 2, "the right one the second");
    nowhere_the_pin(&sides, &mint);
    assert!(mint.stop().success());
}

#[test]
fn a_release_signers_half_in_a_token_is_needed_for_each_signature() {
    let sides = Sides::founded();
    softhsm::make(&sides, "card");
    sides.put("anna.passphrase", b"eight or more\n");
    let module = softhsm::module();
    let half = format!("--pkcs11 card --module {module} --pin-file pin");
    // No mint is needed for that, nor told of.
    let new = "mint key new --role release --name anna --out anna.key --passphrase-file anna.passphrase";
    let line = sides.farside(&format!("{new} {half}")).stdout;
    let show = "mint key show anna.key --passphrase-file anna.passphrase --pin-file pin";
    assert_eq!(sides.farside(show).stdout, line);
    sides.put("anna.pub", line.as_bytes());
    sides.mint("charter draft --release anna.pub --release-threshold 1 --out next.note");
    sides.mint("charter sign --key near/offline/root-1.key --passphrase-file near.passphrase next.note");
    sides.mint("charter adopt next.note");
    // Its file alone is not enough, nor is the token without it.
    let keys = "mint keys new --site dome --release-key anna.key --release-passphrase-file anna.passphrase \
                --release-pin-file pin --config near/mint.toml";
    softhsm::pull(&sides);
    let refused = sides.attempt(keys).expect_code(2);
    assert!(refused.stderr.contains("token \"card\" is gone"), "{refused:?}");
    softhsm::plug(&sides);
    let made = sides.farside(keys);
    assert!(made.stdout.contains("signed by anna"), "{made:?}");
    sides.mint("release draft --site dome --kind policy --out policy.note");
    let sign = "release sign --key anna.key --passphrase-file anna.passphrase --pin-file pin policy.note";
    sides.mint(sign);
    sides.mint("release adopt policy.note");
    sides.lets_in("ada", CONTROL);
}

#[test]
fn sections_that_name_no_token_are_refused_before_anything_is_loaded() {
    let sides = Sides::founded();
    let config = sides.text("near/mint.toml");
    for (section, why) in [
        ("module = \"/none.so\"", "by label or by serial"),
        ("module = \"/none.so\"\nlabel = \"a\"\nserial = \"1\"", "by label or by serial"),
        ("module = \"/none.so\"\nlabel = \"a\"\npin = \"1234\"", "unknown field `pin`"),
        ("label = \"a\"", "missing field `module`"),
    ] {
        sides.put("near/mint.toml", format!("{config}\n[[pkcs11]]\n{section}\n").as_bytes());
        let refused = sides.attempt("mint keys list --config near/mint.toml");
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    sides.put(
        "near/mint.toml",
        format!("{config}\n[[pkcs11]]\nmodule = \"/none.so\"\nlabel = \"a\"\n").as_bytes(),
    );
    let absent = sides.attempt("mint keys new --site dome --pkcs11 --config near/mint.toml").expect_code(2);
    assert!(absent.stderr.contains("/none.so cannot be loaded"), "{absent:?}");
}
