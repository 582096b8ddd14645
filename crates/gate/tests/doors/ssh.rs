//! Which SSH keys may log in, as sshd's command is told.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_crossing::{Claim, Parcel};
use farside_gate::config::Ssh;
use farside_verify::SshKey;
use farside_verify::encode::base64url;
use serde_json::{Value, json};

use super::realm::{AUDIENCE, HOUR, NOW, Plan, Realm, audience, claims, policy, revoked_name};
use super::{Said, Site, ask};

pub(crate) fn configured() -> Ssh {
    let accounts = [("ops", "operator"), ("root", "admin")];
    let accounts = accounts.map(|(account, role)| (account.to_owned(), role.to_owned()));
    Ssh { audience: AUDIENCE.to_owned(), action: None, accounts: BTreeMap::from(accounts) }
}

/// An Ed25519 public key, told from others by one byte.
pub(crate) fn key(byte: u8) -> String {
    let parts = [&b"ssh-ed25519"[..], &[byte; 32]];
    let string = |part: &[u8]| [&(part.len() as u32).to_be_bytes()[..], part].concat();
    format!("ssh-ed25519 {}", STANDARD.encode(parts.map(string).concat()))
}

pub(crate) fn bound_to(key: &str) -> String {
    format!(r#","cnf":{{"ssh":"{}"}}"#, base64url(SshKey::parse(key).unwrap().fingerprint()))
}

/// A parcel with these claims; nobody collects it.
fn parcel(realm: &Realm, subject: &str, index: u64, more: &str) -> Parcel {
    let token = realm.token(subject, index, more);
    Parcel { token, sub: subject.to_owned(), aud: Some(AUDIENCE.to_owned()), claim: Claim::File }
}

/// A gate that holds these parcels, at a time.
fn site(clock: fn() -> u64, parcels: impl FnOnce(&Realm) -> Vec<Parcel>) -> Site {
    Site::at(clock, |realm| vec![Plan { parcels: Some(parcels(realm)), ..realm.plan() }])
}

/// A gate that holds one for ada, for an audience that admits each token once.
pub(crate) fn single_use() -> Site {
    Site::at(
        || NOW,
        |realm| {
            let mut once = policy(1);
            once.audiences[0].single_use = true;
            vec![Plan { policy: Some(once), parcels: Some(adas(realm)), ..realm.plan() }]
        },
    )
}

/// One for ada with her key, and the role of the shared account.
fn adas(realm: &Realm) -> Vec<Parcel> {
    vec![parcel(realm, "ada", 1, &format!(r#","roles":["operator"]{}"#, bound_to(&key(1))))]
}

impl Site {
    pub(crate) async fn log_in(&self, user: &str, key: &str) -> Vec<String> {
        let said = self.knock(&json!({"user": user, "key": key}).to_string()).await;
        assert_eq!(said.status, 200, "{said:?}");
        serde_json::from_value(said.json()["keys"].clone()).unwrap()
    }

    pub(crate) async fn knock(&self, body: &str) -> Said {
        self.ask("POST", "/ssh/authorized-keys", &[("content-type", "application/json")], body).await
    }
}

#[tokio::test]
async fn the_key_that_a_carried_token_is_bound_to_logs_in_until_the_tokens_end() {
    let site = site(|| NOW, adas);
    // 2027-01-15T09:00:00Z is an hour after NOW.
    let line = format!("expiry-time=\"20270115090000Z\" {}", key(1));
    assert_eq!(site.log_in("ada", &key(1)).await, std::slice::from_ref(&line));
    assert_eq!(site.log_in("ops", &format!("{} a comment", key(1))).await, [line], "by its role");
    let noted: Value = site.journal("decision").remove(0);
    let shown = (&noted["door"], &noted["account"], &noted["sub"], &noted["jti"], &noted["verdict"]);
    let wanted = (&json!("ssh"), &json!("ada"), &json!("ada"), &json!("dome-1"), &json!("admit"));
    assert_eq!(shown, wanted);
}

#[tokio::test]
async fn not_a_second_longer() {
    let last = site(|| NOW + HOUR - 1, adas);
    assert_eq!(last.log_in("ada", &key(1)).await.len(), 1);
    // Elsewhere clocks may differ by a minute; at a login nobody else's clock counts.
    let over = site(|| NOW + HOUR, adas);
    assert!(over.log_in("ada", &key(1)).await.is_empty());
}

#[tokio::test]
async fn another_key_another_account_or_another_binding_lets_nobody_in() {
    let site = site(
        || NOW,
        |realm| {
            let both = bound_to(&key(3)).replace("}", &format!(r#","jkt":"{}"}}"#, "A".repeat(43)));
            vec![
                parcel(realm, "ada", 1, &format!(r#","roles":["operator"]{}"#, bound_to(&key(1)))),
                parcel(realm, "root", 2, &bound_to(&key(2))),
                parcel(realm, "eve", 3, &both),
                parcel(realm, "bob", 4, ""),
            ]
        },
    );
    for (user, key) in [
        ("ada", key(9)),
        ("ada", key(2)),
        ("eve", key(1)),
        ("Ada", key(1)),
        ("", key(1)),
        ("root", key(1)),
        ("root", key(2)),
        ("eve", key(3)),
        ("bob", key(4)),
        ("ada", key(1).replace("ssh-ed25519 ", "ssh-rsa ")),
        ("ada", key(1).replace("ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com ")),
        ("ada", "ssh-ed25519".to_owned()),
    ] {
        let said = site.knock(&json!({"user": user, "key": key}).to_string()).await;
        assert!(!said.body.contains("expiry-time"), "{user} {key} {said:?}");
    }
    // What no token is bound to is nobody's business: no line for it.
    let refused = site.journal("decision");
    let accounts: Vec<_> = refused.iter().map(|line| line["account"].as_str().unwrap()).collect();
    assert_eq!(accounts, ["ada", "eve", "Ada", "root", "root", "eve"]);
    assert!(refused.iter().all(|line| line["verdict"] == "refuse"), "{refused:?}");
}

#[tokio::test]
async fn what_is_revoked_expired_or_for_another_audience_lets_nobody_in() {
    let revoked = revoked_name("ada", NOW + 1);
    let gone = Site::at(
        || NOW,
        |realm| {
            let mut plan = Plan { parcels: Some(adas(realm)), ..realm.plan() };
            plan.status.as_mut().unwrap().subjects.push(revoked);
            vec![plan]
        },
    );
    assert!(gone.log_in("ada", &key(1)).await.is_empty());
    assert_eq!(gone.journal("decision")[0]["code"], "revoked");

    let elsewhere = Site::at(
        || NOW,
        |realm| {
            let mut two = policy(1);
            two.audiences.push(audience("mail"));
            let claims = claims("ada", 1, NOW, &bound_to(&key(1))).replace("\"db\"", "\"mail\"");
            let token = realm.key.sign("at+jwt", &claims);
            let parcel = Parcel { token, sub: "ada".into(), aud: Some("mail".into()), claim: Claim::File };
            vec![Plan { policy: Some(two), parcels: Some(vec![parcel]), ..realm.plan() }]
        },
    );
    assert!(elsewhere.log_in("ada", &key(1)).await.is_empty());

    // The newest token counts, and an older one that still holds.
    let two = site(
        || NOW,
        |realm| {
            let other = format!(r#","roles":["operator"]{}"#, bound_to(&key(1)));
            vec![parcel(realm, "ada", 1, &bound_to(&key(1))), parcel(realm, "bob", 2, &other)]
        },
    );
    assert_eq!(two.log_in("ada", &key(1)).await.len(), 1);
    assert_eq!(two.log_in("ops", &key(1)).await.len(), 1);
}

#[tokio::test]
async fn a_gate_that_cannot_judge_or_has_no_such_door_names_no_key() {
    let expired = site(|| NOW + 25 * HOUR, adas);
    let body = json!({"user": "ada", "key": key(1)}).to_string();
    assert_eq!(expired.knock(&body).await.code(), (503, "stale".to_owned()));
    for wrong in ["", "{}", r#"{"user":"ada"}"#, r#"{"user":"ada","key":"k","more":1}"#] {
        assert_eq!(expired.knock(wrong).await.code(), (400, "body_invalid".to_owned()), "{wrong}");
    }
    let long = json!({"user": "ada", "key": "a".repeat(20_000)}).to_string();
    assert_eq!(expired.knock(&long).await.code(), (400, "body_invalid".to_owned()));

    let doors = super::plain_doors(&super::realm::Far::made());
    assert_eq!(ask(&doors, "POST", "/ssh/authorized-keys", &[], &body).await.status, 404);
}
