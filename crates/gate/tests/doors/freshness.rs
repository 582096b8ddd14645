//! What the doors say as time goes by: tiers by the proxy's word, lateness on every answer, and the end.

use farside_crossing::{Action, Claim, Parcel, StaleMax};
use farside_service::time::now_unix;
use serde_json::json;

use super::introspect::{basic, introspect};
use super::process::{PROGRAM, Running, get, present};
use super::realm::{AUDIENCE, HOUR, NOW, Plan, Realm, claims, policy};
use super::{CLIENT_SECRET, Site, ssh};

fn tiered(realm: &Realm) -> Vec<Plan> {
    let mut tiers = policy(1);
    let (read, write, safety) = (Some(20 * HOUR), Some(2 * HOUR), Some(600));
    tiers.audiences[0].stale_seconds_max = StaleMax { read, write, safety };
    vec![Plan { policy: Some(tiers), ..realm.plan() }]
}

const LATE: u64 = NOW + 3 * HOUR;

#[tokio::test]
async fn the_proxy_says_what_for_and_whoever_says_nothing_is_held_to_the_strictest() {
    let site = Site::at(|| LATE, tiered);
    let token = format!("Bearer {}", site.realm.key.sign("at+jwt", &claims("anna", 1, LATE, "")));
    let headers = [("authorization", token.as_str())];
    for (path, expected) in [
        ("/verify?aud=db&action=read", (200, "")),
        ("/verify?aud=db&action=write", (503, "stale")),
        ("/verify?aud=db&action=safety", (503, "stale")),
        ("/verify?aud=db", (503, "stale")),
        ("/verify?aud=db&action=", (400, "parameters_invalid")),
        ("/verify?aud=db&action=READ", (400, "parameters_invalid")),
        ("/verify?aud=db&action=read&action=read", (400, "parameters_invalid")),
    ] {
        let said = site.ask("GET", path, &headers, "").await;
        assert_eq!(said.code(), (expected.0, expected.1.to_owned()), "{path}");
    }
    // The client's own method and headers decide nothing.
    let forwarded = [headers[0], ("x-forwarded-method", "GET"), ("x-action", "read")];
    assert_eq!(site.ask("GET", "/verify?aud=db&action=write", &forwarded, "").await.status, 503);
    assert_eq!(site.ask("DELETE", "/verify?aud=db&action=read", &headers, "").await.status, 200);
    let lines = site.journal("decision");
    assert_eq!((lines[0]["action"].as_str(), lines[3].get("action")), (Some("read"), None));
}

#[tokio::test]
async fn every_answer_of_a_late_gate_says_since_when() {
    let late = "late; since=2027-01-15T09:00:00Z";
    let site = Site::at(|| LATE, tiered);
    let token = site.realm.key.sign("at+jwt", &claims("anna", 1, LATE, ""));
    let bearer = format!("Bearer {token}");
    for (path, headers) in [
        ("/verify?aud=db&action=read", &[("authorization", bearer.as_str())][..]),
        ("/verify?aud=db", &[("authorization", bearer.as_str())]),
        ("/verify", &[]),
        ("/introspect", &[]),
        ("/pickup", &[]),
        ("/jwks.json", &[]),
    ] {
        assert_eq!(site.ask("GET", path, headers, "").await.header("x-farside-freshness"), late, "{path}");
    }
    let ready = site.ask("GET", "/readyz", &[], "").await;
    assert_eq!(
        (ready.status.as_u16(), ready.body.as_str()),
        (200, "ready\nlate since 2027-01-15T09:00:00Z\n")
    );

    let fresh = Site::open();
    let said = fresh.show(&fresh.realm.token("anna", 1, "")).await;
    assert_eq!(said.header("x-farside-freshness"), "fresh", "it overwrites what a client may have sent");
    assert!(fresh.show("a.b.c").await.headers.get("x-farside-freshness").is_none());
    assert_eq!(fresh.ask("GET", "/readyz", &[], "").await.body, "ready\n");
    let forged = [("authorization", bearer.as_str()), ("X_Farside_Freshness", "fresh")];
    assert_eq!(site.verify(&forged).await.code(), (400, "identity_header_forged".to_owned()));
}

#[tokio::test]
async fn a_resource_server_says_what_it_is_about_to_do() {
    let site = Site::at(|| LATE, tiered);
    let token = site.realm.key.sign("at+jwt", &claims("anna", 1, LATE, ""));
    let client = basic("wiki", CLIENT_SECRET);
    let ask = |more: &str| format!("token={token}{more}");
    assert_eq!(introspect(&site.doors, &client, &ask("&action=read")).await.json()["active"], true);
    for strict in ["", "&action=write"] {
        assert_eq!(introspect(&site.doors, &client, &ask(strict)).await.code(), (503, "stale".to_owned()));
    }
    let wrong = introspect(&site.doors, &client, &ask("&action=look")).await;
    assert_eq!(wrong.code(), (400, "parameters_invalid".to_owned()));
}

#[tokio::test]
async fn a_floor_ahead_is_refused_at_introspection_too() {
    let site = Site::open();
    let token = site.realm.token("anna", 1, ",\"flr\":7");
    let said = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &format!("token={token}")).await;
    assert_eq!(said.body, r#"{"active":false}"#);
    assert_eq!(site.journal("decision")[0]["code"], "floor_ahead");
}

#[test]
fn freshness_ends_by_time_alone_and_log_journal_metrics_and_doors_say_so() {
    let mut gate = Running::start_with("", &[], Realm::plan);
    let now = now_unix();
    let mut tiers = policy(2);
    tiers.audiences[0].stale_seconds_max = StaleMax { write: Some(1), ..StaleMax::default() };
    let plan = present(gate.realm.plan());
    let plan = Plan { policy: Some(tiers), next_by: now + 1, ..plan };
    let bundle = gate.realm.send(plan);
    std::fs::write(gate.far.config.inbox().join("dome-00000002.fbundle"), bundle).unwrap();
    // From here on nothing arrives any more.
    let ask = |gate: &Running, action: &str| {
        let bearer = format!("Authorization: Bearer {}\r\n", gate.token("anna", 1));
        get(gate.doors, &format!("/verify?aud={AUDIENCE}&action={action}"), &bearer)
    };
    gate.wait_until("late", || ask(&gate, "read").contains("x-farside-freshness: late; since="));
    gate.wait_until("refused", || ask(&gate, "write").starts_with("HTTP/1.1 503"));
    assert!(ask(&gate, "read").starts_with("HTTP/1.1 200"), "late is an alarm, not an outage");
    gate.wait_until("in the metrics", || get(gate.admin, "/metrics", "").contains("farside_gate_trust 2"));
    let metrics = get(gate.admin, "/metrics", "");
    let left = |action: Action| {
        let name = format!("farside_gate_tier_seconds_left{{aud=\"db\",action=\"{}\"}} ", action.as_str());
        let line = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse::<f64>().unwrap()
    };
    assert!(left(Action::Read) > 3_600.0 && left(Action::Write) < 0.0 && left(Action::Safety) < 0.0);
    let journal = gate.far.config.journal().join("gate.jsonl");
    let events = || {
        let text = std::fs::read_to_string(&journal).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["event"].as_str().unwrap().ends_with("_changed")).collect::<Vec<_>>()
    };
    // It began with nothing, and was fresh before it was late.
    gate.wait_until("in the journal", || events().len() == 4);
    let told = events();
    let state = told.iter().find(|line| line["state"] == "late").unwrap();
    assert_eq!((&state["state"], &state["was"], &state["seq"]), (&"late".into(), &"fresh".into(), &2.into()));
    let tier = told.iter().find(|line| line["event"] == "tier_changed").unwrap();
    assert_eq!((&tier["action"], &tier["admits"]), (&"write".into(), &false.into()));
    assert_eq!(gate.end(), Some(0));
    assert_eq!(events().len(), 4, "each change is told once");
}

#[test]
fn check_judges_for_an_action_and_by_the_floor_as_a_door_does() {
    let gate = Running::start("", &[]);
    let config = gate.far.config.home().join("gate.toml");
    let check = |token: &str, more: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command.arg("check").args(["--json", "--config"]).arg(&config).args(more).arg(token);
        let output = command.output().unwrap();
        (
            output.status.code(),
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default(),
        )
    };
    let ahead = gate.realm.key.sign("at+jwt", &claims("anna", 1, now_unix(), ",\"flr\":9"));
    let (code, said) = check(&ahead, &[]);
    assert_eq!((code, said["code"].as_str()), (Some(1), Some("floor_ahead")));
    let (code, _) = check(&gate.token("anna", 1), &["--action", "write"]);
    assert_eq!(code, Some(0));
    assert_eq!(check(&gate.token("anna", 1), &["--action", "look"]).0, Some(2), "there is no such action");
}

#[tokio::test]
async fn sshd_and_api_servers_are_served_as_their_doors_configuration_says_what_they_are_for() {
    let login = json!({"user": "ada", "key": ssh::key(1)}).to_string();
    let lasting = |claims: String| {
        claims.replace(&format!("\"exp\":{}", NOW + HOUR), &format!("\"exp\":{}", NOW + 6 * HOUR))
    };
    for action in [Some(Action::Read), Some(Action::Write), Some(Action::Safety), None] {
        let site = Site::used_for(
            action,
            || LATE,
            |realm| {
                let bound = lasting(claims("ada", 1, NOW, &ssh::bound_to(&ssh::key(1))));
                let token = realm.key.sign("at+jwt", &bound);
                let aud = Some(AUDIENCE.to_owned());
                let parcel = Parcel { token, sub: "ada".to_owned(), aud, claim: Claim::File };
                vec![Plan { parcels: Some(vec![parcel]), ..tiered(realm).remove(0) }]
            },
        );
        let token = site.realm.key.sign("at+jwt", &lasting(claims("anna", 2, NOW, "")));
        let (logged_in, reviewed) = (site.knock(&login).await, site.review(&token, &[]).await);
        if action == Some(Action::Read) {
            assert!(logged_in.body.contains("expiry-time"), "{logged_in:?}");
            assert_eq!(reviewed.json()["status"]["authenticated"], true, "{reviewed:?}");
        } else {
            assert_eq!(logged_in.code(), (503, "stale".to_owned()), "{action:?}");
            assert_eq!(reviewed.code(), (503, "stale".to_owned()), "{action:?}");
        }
        let lines = site.journal("decision");
        let named: Vec<_> = lines.iter().map(|line| line["action"].as_str()).collect();
        assert_eq!(named, [action.map(Action::as_str); 2]);
    }
}

#[test]
fn explain_judges_for_what_gate_toml_says_of_a_door() {
    let gate = Running::start("[ssh]\naudience = \"db\"\naction = \"write\"\n", &[]);
    let config = gate.far.config.home().join("gate.toml");
    let token = gate.token("anna", 1);
    let explained = |more: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["explain", "--json", "--config"]).arg(&config).args(more).arg(&token);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let ssh = ["--door", "ssh", "--account", "anna"];
    for (more, tier) in [
        (&ssh[..], "fresh enough for write"),
        (&["--action", "read", "--door", "ssh", "--account", "anna"], "fresh enough for read"),
        (&["--door", "proxy"], "fresh enough for the strictest use"),
    ] {
        let said = explained(more);
        assert!(said.contains(tier), "{tier}: {said}");
    }
}
