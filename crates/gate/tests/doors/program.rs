//! `farside gate pickup` beside the running gate, in clear on loopback and over TLS.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use farside_crossing::{Claim, Parcel, RawJson};
use farside_service::digest;
use farside_service::time::now_unix;

use super::process::{PROGRAM, Running};
use super::realm::{Plan, Realm, claims};

const PHRASE: &str = "seven quiet moons";

/// A bot's key: its public half for the mint, its private half in a PEM file.
pub(crate) fn bot(file: &Path) -> RawJson {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = STANDARD.encode(pair.to_pkcs8v1().unwrap().as_ref());
    std::fs::write(file, format!("-----BEGIN PRIVATE KEY-----\n{private}\n-----END PRIVATE KEY-----\n"))
        .unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    RawJson::new(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)).unwrap()
}

/// One parcel for a person with a phrase and one for a bot with a key, of this moment.
fn parcels(realm: &Realm, jwk: RawJson) -> Plan {
    let sha256 = URL_SAFE_NO_PAD.encode(digest::sha256(PHRASE.as_bytes()));
    let parcel = |sub: &str, index, claim| {
        let token = realm.key.sign("at+jwt", &claims(sub, index, now_unix(), ""));
        Parcel { token, sub: sub.to_owned(), aud: Some("db".to_owned()), claim }
    };
    let parcels = vec![parcel("anna", 1, Claim::Phrase { sha256 }), parcel("bot-7", 2, Claim::Key { jwk })];
    Plan { parcels: Some(parcels), ..realm.plan() }
}

fn pickup(gate: &Running, arguments: &[&str]) -> Output {
    let config = gate.far.config.home().join("gate.toml");
    let mut command = Command::new(PROGRAM);
    command.arg("pickup").arg("--config").arg(config).args(arguments);
    command.output().unwrap()
}

fn collects_both(gate: &Running, phrase: &Path, key: &Path) {
    for (subject, option, file) in [("anna", "--phrase-file", phrase), ("bot-7", "--key", key)] {
        let done = pickup(gate, &["--subject", subject, option, file.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let token = String::from_utf8(done.stdout).unwrap();
        assert_eq!(token.trim().split('.').count(), 3, "{token}");
    }
}

#[test]
fn people_and_bots_collect_what_was_carried_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let (phrase, key) = (folder.path().join("phrase"), folder.path().join("bot.pem"));
    std::fs::write(&phrase, format!("{PHRASE}\n")).unwrap();
    let jwk = bot(&key);
    let gate = Running::start_with("", &[], |realm| parcels(realm, jwk));
    collects_both(&gate, &phrase, &key);

    std::fs::write(&phrase, "another phrase").unwrap();
    let refused = pickup(&gate, &["--subject", "anna", "--phrase-file", phrase.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("nothing_to_collect") && said.contains("hint:"), "{said}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn over_tls_only_the_gates_own_certificate_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (phrase, key) = (folder.path().join("phrase"), folder.path().join("bot.pem"));
    std::fs::write(&phrase, PHRASE).unwrap();
    let jwk = bot(&key);
    let (certificate, private) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&private, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tls = format!("[listen.tls]\ncertificates = {certificate:?}\nkey = {private:?}\n");
    let gate = Running::start_with(&tls, &[], |realm| parcels(realm, jwk));
    collects_both(&gate, &phrase, &key);

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, other.cert.pem()).unwrap();
    let refused = pickup(&gate, &["--subject", "anna", "--phrase-file", phrase.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn without_a_running_gate_it_says_what_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let phrase = folder.path().join("phrase");
    std::fs::write(&phrase, PHRASE).unwrap();
    let mut gate = Running::start("", &[]);
    assert_eq!(gate.end(), Some(0));
    let failed = pickup(&gate, &["--subject", "anna", "--phrase-file", phrase.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("farside gate serve"));
}
