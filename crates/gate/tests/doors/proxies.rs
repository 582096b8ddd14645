//! What must hold behind every proxy that Farside has a configuration for.

use farside_crossing::StaleMax;
use farside_gate::breakglass::Desk;
use farside_gate::judge::Clocks;
use farside_service::time::{now_unix, read_clocks};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::breakglass::{naming, signed_by, wish};
use super::fronts::{Front, Proxy, identity};
use super::process::{Running, exchange, get, present};
use super::realm::{HOUR, Pair, Plan, Realm, claims, policy};

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn line<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let lines = answer.split("\r\n\r\n").next().unwrap_or_default().lines();
    let mut pairs = lines.filter_map(|line| line.split_once(':'));
    pairs.find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[test]
fn whoever_has_a_good_token_is_named_to_the_application_as_the_gate_names_them() {
    for proxy in Proxy::ALL {
        let front = Front::open(proxy);
        let more = r#","roles":["admin","Über, all"],"groups":["dev"],"scope":"read write""#;
        let token = front.gate.realm.key.sign("at+jwt", &claims("anna", 1, now_unix(), more));
        let said = front.said(&bearer(&token));
        let answer = front.ask("/page?a=1", &bearer(&token));
        assert!(answer.starts_with("HTTP/1.1 200"), "{proxy:?} {answer}");
        let seen = front.application.seen();
        assert_eq!(seen.len(), 1, "{proxy:?} {seen:?}");
        assert_eq!(identity(&seen[0]), identity(&said), "{proxy:?}");
        assert_eq!(identity(&said).len(), 6, "no pass was shown: {said}");
        assert!(seen[0].contains("get /page?a=1 http/1.1\r\n"), "{proxy:?} {}", seen[0]);
        assert!(
            !seen[0].contains("authorization"),
            "{proxy:?}: the credential stays at the door: {}",
            seen[0]
        );

        let body = "x".repeat(100_000);
        let answer = front.send("POST", "/page", &bearer(&token), &body);
        assert!(answer.contains("content-length: 100000"), "{proxy:?}: its body is its own: {answer}");
        let broken = front.ask("/broken", &bearer(&token));
        assert!(broken.starts_with("HTTP/1.1 500") && broken.contains("reached"), "{proxy:?} {broken}");
    }
}

/// A client's own word on what it asks for.
const FORGED: &str = "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: other\r\nX-Forwarded-Uri: /open\r\n\
                      X-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /open\r\nX-Original-URL: /open\r\nX-Original-Method: GET\r\n";

#[test]
fn the_gate_is_told_what_the_proxy_received_whatever_the_client_says_of_it() {
    for proxy in Proxy::ALL {
        let front = Front::open(proxy);
        let good = bearer(&front.gate.token("anna", 1));
        let connection =
            "Connection: X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Method, X-Forwarded-Proto\r\n";
        for forged in ["", FORGED, &format!("{FORGED}{FORGED}"), connection] {
            let before = front.admissions().len();
            let answer = front.send("PUT", "/page%41/b?a=%20&b", &format!("{forged}{good}"), "");
            let admitted = front.admissions();
            if forged == connection && admitted.len() == before {
                assert!(answer.starts_with("HTTP/1.1 400"), "{proxy:?} {answer}");
                continue;
            }
            assert!(answer.starts_with("HTTP/1.1 200"), "{proxy:?} {answer}");
            // As the client spelled it, or as a proxy that mends escapes passes it on.
            let path = &admitted[before]["request"]["path"];
            assert!(["/page%41/b", "/pageA/b"].map(Value::from).contains(path), "{proxy:?} {path}");
            let told = json!({"method": "PUT", "scheme": "http", "host": "a", "port": 80, "path": path});
            assert_eq!(admitted[before]["request"], told, "{proxy:?} {forged}");
        }
        // Nothing is left for the application to be told by the client.
        let seen = front.application.seen().concat();
        assert!(seen.contains("put /page"), "{seen}");
    }
}

#[test]
fn whoever_has_none_is_refused_in_the_gates_own_words() {
    for proxy in Proxy::ALL {
        let front = Front::open(proxy);
        let (key, now) = (&front.gate.realm.key, now_unix());
        let good = front.gate.token("anna", 1);
        let elsewhere = claims("anna", 2, now, "").replace("\"db\"", "\"other\"");
        for headers in [
            String::new(),
            "Authorization: Basic cm9vdDpyb290\r\n".to_owned(),
            bearer("a.b.c"),
            bearer(&good[..good.len() - 6]),
            bearer(&key.sign("at+jwt", &claims("anna", 3, now - 2 * HOUR, ""))),
            bearer(&key.sign("at+jwt", &elsewhere)),
        ] {
            let said = front.said(&headers);
            let answer = front.ask("/page", &headers);
            assert!(answer.starts_with("HTTP/1.1 401"), "{proxy:?} {answer}");
            let challenge = line(&said, "www-authenticate");
            assert!(challenge.is_some(), "{said}");
            assert_eq!(line(&answer, "www-authenticate"), challenge, "{proxy:?}");
        }
        assert_eq!(front.application.seen(), Vec::<String>::new(), "{proxy:?}");
    }
}

/// A gate whose bundle is overdue, and whose policy lets reading go on and not writing.
fn late() -> Running {
    let mut gate = Running::start("", &[]);
    let mut tiers = policy(2);
    tiers.audiences[0].stale_seconds_max = StaleMax { write: Some(1), ..StaleMax::default() };
    let plan = present(gate.realm.plan());
    let plan = Plan { policy: Some(tiers), next_by: now_unix() + 1, ..plan };
    let bundle = gate.realm.send(plan);
    std::fs::write(gate.far.config.inbox().join("dome-00000002.fbundle"), bundle).unwrap();
    let ask = |action: &str| {
        get(gate.doors, &format!("/verify?aud=db&action={action}"), &bearer(&gate.token("anna", 1)))
    };
    gate.wait_until("late", || ask("read").contains("x-farside-freshness: late; since="));
    gate.wait_until("too old to write on", || ask("write").starts_with("HTTP/1.1 503"));
    gate
}

#[test]
fn what_last_crossed_may_be_too_old_to_write_on_and_still_be_read_and_lateness_is_told() {
    for proxy in Proxy::ALL {
        let front = Front::before(proxy, late());
        let good = bearer(&front.gate.token("anna", 1));
        for (method, path) in
            [("GET", "/page"), ("OPTIONS", "/page"), ("GET", "/page?action=write&aud=other")]
        {
            let answer = front.send(method, path, &good, "");
            assert!(answer.starts_with("HTTP/1.1 200"), "{proxy:?} {method} {answer}");
        }
        let seen = front.application.seen();
        assert!(
            seen.iter().all(|head| head.contains("x-farside-freshness: late; since=")),
            "{proxy:?} {seen:?}"
        );
        for method in ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "get"] {
            let answer = front.send(method, "/page?action=read", &good, "");
            let status = answer.get(9..12).unwrap_or_default();
            assert!(matches!(status, "503" | "400" | "405" | "501"), "{proxy:?} {method} {answer}");
            if method == "POST" {
                assert_eq!(status, "503", "{proxy:?} {answer}");
            }
        }
        assert_eq!(front.application.seen().len(), seen.len(), "{proxy:?}");
    }
}

#[test]
fn a_pass_opens_and_the_application_is_told_by_which_order() {
    let cards = [Pair::new("cora"), Pair::new("dan"), Pair::new("eve")];
    for proxy in Proxy::ALL {
        let named = |realm: &Realm| naming(realm, &[&cards[0], &cards[1], &cards[2]]);
        let front = Front::before(proxy, Running::start_with("", &[], named));
        let desk = Desk::take(&front.gate.far.config).unwrap();
        let (order, text) = desk.draft(&wish(), now_unix()).unwrap();
        let order_bytes = signed_by(&text, &[&cards[0], &cards[2]]);
        let clocks = Clocks { now: now_unix(), reading: &read_clocks() };
        let pass = desk.open(&order_bytes, clocks).unwrap().pass.text().to_owned();
        drop(desk);
        let answer = front.ask("/page", &bearer(&pass));
        assert!(answer.starts_with("HTTP/1.1 200"), "{proxy:?} {answer}");
        let seen = front.application.seen().concat();
        let told = format!("x-farside-breakglass: {}", order.id.as_str().to_ascii_lowercase());
        assert!(identity(&seen).contains(&told), "{proxy:?} {seen}");
        assert!(identity(&seen).contains(&"x-farside-subject: ada".to_owned()), "{proxy:?} {seen}");
    }
}

#[test]
fn a_gate_that_is_gone_lets_nobody_in() {
    for proxy in Proxy::ALL {
        let mut front = Front::open(proxy);
        let good = bearer(&front.gate.token("anna", 1));
        assert!(front.ask("/page", &good).starts_with("HTTP/1.1 200"), "{proxy:?}");
        assert_eq!(front.gate.end(), Some(0));
        for method in ["GET", "POST"] {
            let answer = front.send(method, "/page", &good, "");
            assert!(answer.starts_with("HTTP/1.1 50"), "{proxy:?} {answer}");
        }
        assert_eq!(front.application.seen().len(), 1, "{proxy:?}");
    }
}

#[test]
fn a_gate_that_hangs_lets_nobody_in_and_is_given_up() {
    std::thread::scope(|scope| {
        for proxy in Proxy::ALL {
            scope.spawn(move || given_up_by(proxy));
        }
    });
}

fn given_up_by(proxy: Proxy) {
    let front = Front::open(proxy);
    let good = bearer(&front.gate.token("anna", 1));
    assert!(front.ask("/page", &good).starts_with("HTTP/1.1 200"), "{proxy:?}");
    front.gate.signal(Signal::STOP);
    let (door, good) = (front.door, &good);
    // At the same time, as some take half a minute.
    std::thread::scope(|scope| {
        for method in ["GET", "POST"] {
            scope.spawn(move || {
                let head = format!("{method} /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{good}");
                let answer = exchange(door, &format!("{head}Content-Length: 0\r\n\r\n"));
                assert!(answer.starts_with("HTTP/1.1 50"), "{proxy:?} {method} {answer}");
            });
        }
    });
    assert_eq!(front.application.seen().len(), 1, "{proxy:?}");
    front.gate.signal(Signal::CONT);
    front.gate.wait_until("back", || front.ask("/page", good).starts_with("HTTP/1.1 200"));
}
