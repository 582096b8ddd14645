//! The site's Cedar policies at every door: who enters, who does not, and what the journal says of it.

use std::sync::Arc;

use farside_crossing::{Claim, Parcel};
use farside_gate::breakglass::Desk;
use farside_gate::config::Proxy;
use farside_gate::judge::Clocks;
use farside_service::time::read_clocks;
use serde_json::{Value, json};

use super::breakglass::{naming, signed_by, wish};
use super::forwarded::believed;
use super::fronts::{BELIEVED, Front, Proxy as Proxies};
use super::introspect::{basic, introspect};
use super::process::Running;
use super::realm::{AUDIENCE, NOW, Pair, Plan, Realm, policy};
use super::{CLIENT_SECRET, Said, Site};

/// What is permitted wherever a test is about something else.
const ALL: &str = r#"@id("all") permit(principal, action, resource);"#;

fn governed(cedar: &str, realm: &Realm) -> Plan {
    let mut governed = policy(1);
    governed.cedar = Some(cedar.to_owned());
    Plan { policy: Some(governed), ..realm.plan() }
}

/// A gate whose proxy is believed, under these policies.
pub(crate) fn site(cedar: &str) -> Site {
    Site::at(|| NOW, |realm| vec![governed(cedar, realm)]).behind(believed())
}

impl Site {
    fn behind(mut self, told: Proxy) -> Site {
        let doors = Arc::into_inner(self.doors).unwrap_or_else(|| panic!("nobody else has these doors"));
        self.doors = Arc::new(doors.proxy(told));
        self
    }

    async fn request(&self, token: &str, method: &str, path: &str) -> Said {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-method", method),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "hmi.example"),
            ("x-forwarded-uri", path),
        ];
        self.verify(&headers).await
    }

    fn last_decision(&self) -> Value {
        let text = std::fs::read_to_string(self.far.config.journal().join("gate.jsonl")).unwrap();
        let mut lines = text.lines().filter(|line| line.contains("\"event\":\"decision\""));
        lines.next_back().map(|line| serde_json::from_str(line).unwrap()).unwrap()
    }
}

/// The site of the crossing's own tests: every door decides as the policies do.
pub(crate) const LINES: &str = include_str!("../../../crossing/src/cedar/tests/lines.cedar");

// policy.md §5
#[tokio::test]
async fn nobody_enters_whom_no_policy_permits_and_the_journal_names_who_decided() {
    let site = site(LINES);
    let token = |roles: &str, index| site.realm.token("anna", index, &format!(r#","roles":{roles}"#));
    let (operator, lead, nobody) =
        (token(r#"["operator"]"#, 1), token(r#"["lead","operator"]"#, 2), token("[]", 3));
    for (token, method, path, status, by) in [
        (&operator, "GET", "/lines/2?x=/lines/3", 200, &["operators-look"][..]),
        (&operator, "POST", "/lines/2", 403, &[]),
        (&operator, "GET", "/linesmen", 403, &[]),
        (&lead, "POST", "/lines/2", 200, &["leads-change"]),
        (&lead, "GET", "/lines/2", 200, &["leads-change", "operators-look"]),
        (&lead, "GET", "/lines/3/valves", 403, &["line-3-is-shut"]),
        (&nobody, "GET", "/lines/2", 403, &[]),
    ] {
        let said = site.request(token, method, path).await;
        assert_eq!(said.status.as_u16(), status, "{method} {path} {said:?}");
        let line = site.last_decision();
        assert_eq!(line["policies"], json!(by), "{line}");
        if status == 403 {
            assert_eq!(said.code().1, "policy_denied");
            assert_eq!(line["code"], "policy_denied");
        }
        if !by.is_empty() && status == 403 {
            assert_eq!(said.json()["detail"], "forbidden by line-3-is-shut");
            assert_eq!(said.json()["cure"], "Ask the shift lead for line 3.");
        }
    }
}

// policy.md §4
#[tokio::test]
async fn a_path_that_two_programs_could_read_differently_reaches_no_policy() {
    let site = site(&format!(
        r#"{ALL} @id("shut") forbid(principal, action, resource in Path::"hmi.example/control");"#
    ));
    let token = site.realm.token("anna", 1, "");
    assert_eq!(site.request(&token, "GET", "/lines/1").await.status, 200);
    for path in ["/control", "/control/", "/%63ontrol/x", "/control?a"] {
        assert_eq!(
            site.request(&token, "GET", path).await.code(),
            (403, "policy_denied".to_owned()),
            "{path}"
        );
    }
    for path in [
        "/lines/../control",
        "/lines/%2e%2e/control",
        "/lines/..%2fcontrol",
        "/lines/..;/control",
        "//control",
        "/./control",
        "/control;x=1",
        "/control%3bx",
        "/%2fcontrol",
        "/lines%5c..%5ccontrol",
        "/lines\\..\\control",
        "/%252e%252e/control",
        "/control%00",
        "/control%",
        "/%c0%afcontrol",
        "/control.",
        "/control%20",
    ] {
        let said = site.request(&token, "GET", path).await;
        assert_eq!(said.code(), (400, "request_ambiguous".to_owned()), "{path} {said:?}");
    }
}

// policy.md §3.4
#[tokio::test]
async fn where_the_proxy_does_not_say_what_it_received_policies_admit_nobody() {
    let plans = |realm: &Realm| vec![governed(ALL, realm)];
    let site = Site::at(|| NOW, plans).behind(Proxy::default());
    let token = site.realm.token("anna", 1, "");
    let said = site.request(&token, "GET", "/").await;
    assert_eq!(said.code(), (503, "request_unknown".to_owned()));
    assert!(said.json()["cure"].as_str().unwrap().contains("[proxy]"), "{said:?}");
    // Without policies the audience decides, as before.
    let without = Site::open();
    assert_eq!(without.show(&without.realm.token("anna", 1, "")).await.status, 200);
}

// policy.md §5.3
#[tokio::test]
async fn a_policy_that_cannot_be_evaluated_lets_nobody_in() {
    let overflows = r#"@id("odd") forbid(principal, action, resource)
        when { context has token && context.token.lifetime_seconds * 9223372036854775807 > 1 };"#;
    let site = site(&format!("{ALL}{overflows}"));
    let said = site.request(&site.realm.token("anna", 1, ""), "GET", "/").await;
    assert_eq!(said.code(), (403, "policy_failed".to_owned()), "{said:?}");
    assert_eq!(site.last_decision()["policies"], json!(["odd"]));
}

// policy.md §3.1
#[tokio::test]
async fn every_door_asks_the_policies() {
    let doors = r#"
        @id("k8s") permit(principal in Group::"platform", action == Action::"authenticate", resource == Audience::"db");
        @id("rs") permit(principal in Group::"platform", action == Action::"introspect", resource == Audience::"db");
        @id("ssh") permit(principal in Group::"platform", action == Action::"login", resource == Account::"ops")
        when { context.proven.contains("ssh") };
        @id("shelf") permit(principal in Group::"platform", action == Action::"collect", resource == Audience::"db");
    "#;
    let key = super::ssh::key(1);
    let of = |realm: &Realm, index, group: &str| {
        let more = format!(r#","roles":["operator"],"groups":["{group}"]{}"#, super::ssh::bound_to(&key));
        let token = realm.token("ada", index, &more);
        Parcel { token, sub: "ada".to_owned(), aud: Some(AUDIENCE.to_owned()), claim: Claim::File }
    };
    for (group, enters) in [("platform", true), ("office", false)] {
        let plans =
            |realm: &Realm| vec![Plan { parcels: Some(vec![of(realm, 1, group)]), ..governed(doors, realm) }];
        let site = Site::at(|| NOW, plans).behind(believed());
        let token = site.realm.token("ada", 2, &format!(r#","groups":["{group}"]"#));
        let reviewed = site.review(&token, &[]).await.json();
        assert_eq!(reviewed["status"]["authenticated"], enters, "{reviewed}");
        let said = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &format!("token={token}")).await;
        assert_eq!(said.json()["active"], enters, "{said:?}");
        assert_eq!(!site.log_in("ops", &key).await.is_empty(), enters, "{group}");
        assert!(site.log_in("ada", &key).await.is_empty(), "another account");
        let gate = site.far.gate();
        let trust = gate.trust().unwrap();
        let waiting = farside_gate::pickup::collect_files(gate.store(), &trust, "ada", NOW);
        assert_eq!(waiting.is_ok(), enters, "{group}");
    }
}

// policy.md §6
#[tokio::test]
async fn a_pass_is_asked_about_in_the_role_of_its_order() {
    for (cedar, status) in [
        (r#"@id("leads") permit(principal in Role::"lead", action, resource);"#, 403),
        (
            r#"@id("role") permit(principal == Subject::"ada", action, resource in Audience::"db") when { principal in Role::"operator" };"#,
            200,
        ),
        (r#"@id("cards") permit(principal, action, resource) when { context.breakglass };"#, 200),
        (
            r#"@id("cards") permit(principal, action, resource) when { context.breakglass }; @id("shut") forbid(principal, action, resource);"#,
            403,
        ),
        (r#"@id("tokens") permit(principal, action, resource) when { context has token };"#, 403),
    ] {
        let cards = [Pair::new("cora"), Pair::new("dan"), Pair::new("eve")];
        let plans = |realm: &Realm| {
            let named = naming(realm, &[&cards[0], &cards[1], &cards[2]]);
            vec![Plan { policy: governed(cedar, realm).policy, ..named }]
        };
        let site = Site::at(|| NOW, plans).behind(believed());
        let desk = Desk::take(&site.far.config).unwrap();
        let (_, text) = desk.draft(&wish(), NOW).unwrap();
        let clocks = Clocks { now: NOW, reading: &read_clocks() };
        let order = signed_by(&text, &[&cards[0], &cards[2]]);
        let pass = desk.open(&order, clocks).unwrap().pass.text().to_owned();
        let said = site.request(&pass, "GET", "/").await;
        assert_eq!(said.status, status, "{cedar} {said:?}");
    }
}

/// However a path is spelled, and whatever a proxy makes of it, nothing under the forbidden one is reached.
#[test]
fn behind_every_proxy_no_spelling_of_a_path_leads_around_a_forbid() {
    let cedar = format!(r#"{ALL} @id("shut") forbid(principal, action, resource in Path::"gate/control");"#);
    for proxy in Proxies::ALL {
        let front = Front::before(proxy, Running::start_with(BELIEVED, &[], |realm| governed(&cedar, realm)));
        let good = format!("Authorization: Bearer {}\r\n", front.gate.token("anna", 1));
        let open = front.ask("/lines/control?control", &good);
        assert!(open.starts_with("HTTP/1.1 200"), "{proxy:?} {open}");
        let reached = front.application.seen().len();
        for path in [
            "/control",
            "/control/x",
            "/control?x",
            "/%63ontrol",
            "/lines/../control",
            "/lines/%2e%2e/control",
            "/lines/%2E./control",
            "/lines/..%2fcontrol",
            "/lines/..;/control",
            "/lines/..;x=1/control",
            "//control",
            "///control",
            "/./control",
            "/;/control",
            "/control;x=1",
            "/control%3bx",
            "/%2fcontrol",
            "/lines/..%5ccontrol",
            "/lines\\..\\control",
            "/lines/%252e%252e/control",
            "/control%00",
            "/control%20",
            "/control.",
            "/%c0%afcontrol",
            "/control#/lines",
            "/lines/..#/control",
        ] {
            let answer = front.ask(path, &good);
            assert!(answer.starts_with("HTTP/1.1 40"), "{proxy:?} {path}: {answer}");
            let seen = front.application.seen().split_off(reached);
            assert!(seen.is_empty(), "{proxy:?} {path}: {seen:?}");
        }
    }
}
