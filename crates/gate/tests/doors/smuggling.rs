//! The ways in which forward-auth has been broken elsewhere, as raw requests: straight at the gate, and at it
//! through each proxy.
//!
//! Whatever a proxy makes of such a request, three things hold: the application is reached no more often than
//! the gate admitted, it is told exactly whom the gate admitted, and no request reaches it whose end is in
//! doubt.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use farside_service::time::now_unix;
use serde_json::Value;

use super::fronts::{AMBIGUOUS, Front, Proxy, identity};
use super::process::Running;
use super::realm::claims;

/// How long an answer may take that may never come: a proxy may go on waiting for the rest of a request.
const SILENCE: Duration = Duration::from_secs(3);

/// Attacks under way at a time.
const SENDERS: usize = 6;

/// Who may come of a request, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// Nobody.
    Nobody,
    /// Whoever the good token names.
    Anna,
    /// Nobody, where a proxy leaves out nothing of what was sent: so at the gate itself.
    AnnaOnceStripped,
}

struct Attack {
    request: Vec<u8>,
    may: May,
}

fn attack(may: May, request: impl AsRef<[u8]>) -> Attack {
    Attack { request: request.as_ref().to_vec(), may }
}

/// A request with these further header lines.
fn with(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n")
}

/// Names a server behind the proxy might take for ours, and lines that hide them.
fn aliases(good: &str) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for name in [
        "X-Farside-Subject",
        "x-farside-roles",
        "X-FARSIDE-SCOPE",
        "X-Farside-Later",
        "X-Farside-Breakglass",
        "X_Farside_Subject",
        "X.Farside.Subject",
        "x_farside.roles",
        "X-Farside_Subject",
        "X-FARSIDE.GROUPS",
        "X-Farside-Subject ",
        "X-Farside-Subject\t",
        "X-Farside-Subject\0",
        " X-Farside-Subject",
    ] {
        attacks.push(attack(May::AnnaOnceStripped, with("/page", &format!("{good}{name}: root\r\n"))));
        attacks.push(attack(May::AnnaOnceStripped, with("/page", &format!("{name}: root\r\n{good}"))));
        attacks.push(attack(May::Nobody, with("/page", &format!("{name}: root\r\n"))));
    }
    for lines in [
        "X-Other: a\r\n X-Farside-Subject: root\r\n",
        "X-Other: a\rX-Farside-Subject: root\r\n",
        "X-Other: a\nX-Farside-Subject: root\r\n",
        "X-Other: a\0\r\nX-Farside-Subject: root\r\n",
    ] {
        attacks.push(attack(May::AnnaOnceStripped, with("/page", &format!("{good}{lines}"))));
        attacks.push(attack(May::Nobody, with("/page", lines)));
    }
    for named in
        ["X-Farside-Subject", "X-Farside-Freshness", "X-Farside-Subject, X-Farside-Token-Id", "Authorization"]
    {
        let hop = format!("GET /page HTTP/1.1\r\nHost: a\r\nConnection: close, {named}\r\n{good}\r\n");
        attacks.push(attack(May::Anna, hop));
    }
    attacks
}

/// What a client says of where it comes from, where it goes and what it is.
fn forwarded(good: &str, elsewhere: &str) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for lines in [
        "X-Forwarded-Uri: /healthz\r\n",
        "X-Forwarded-Uri: /verify?aud=other\r\n",
        "X-Forwarded-Prefix: /healthz\r\n",
        "X-Forwarded-Port: 8710\r\n",
        "X-Forwarded-Host: 127.0.0.1\r\n",
        "X-Forwarded-Method: OPTIONS\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Method: OPTIONS\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\nX-Forwarded-Uri: /healthz\r\n",
        "X-Forwarded-Uri: /healthz\r\nConnection: X-Forwarded-Uri\r\n",
        "x_forwarded_uri: /healthz\r\nX.Forwarded.Uri: /healthz\r\nX-Forwarded-Uri : /healthz\r\n",
        "X-Forwarded-User: root\r\n",
        "X-Original-URL: /healthz\r\n",
        "X-Rewrite-URL: /healthz\r\n",
        "X-Envoy-Original-Path: /healthz\r\n",
        "X-Envoy-Internal: true\r\n",
        "X-HTTP-Method-Override: OPTIONS\r\n",
        "Forwarded: for=127.0.0.1\r\n",
        "User-Agent: kube-probe/1.30\r\n",
        "User-Agent: GoogleHC/1.0\r\n",
        "User-Agent: ELB-HealthChecker/2.0\r\n",
        "Cookie: token=a.b.c\r\n",
        "Proxy-Authorization: Bearer a.b.c\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
    ] {
        for target in ["/page", "/healthz", "/page?aud=other"] {
            attacks.push(attack(May::Nobody, with(target, lines)));
            attacks.push(attack(May::Nobody, with(target, &format!("{lines}{elsewhere}"))));
        }
        attacks.push(attack(May::Anna, with("/page", &format!("{good}{lines}"))));
    }
    attacks
}

/// Targets that two readers could read as two different ones.
fn targets(good: &str) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for target in [
        "/page#/healthz",
        "/healthz#/page",
        "/page%23/healthz",
        "/healthz",
        "/readyz",
        "/jwks.json",
        "/verify",
        "/_farside",
        "/a/../_farside",
        "/%2e%2e/healthz",
        "//healthz",
        "/healthz/../page",
        "/page%00",
        "/page\0",
        "/pag\u{e9}",
        "/page%ff",
        "/page\t",
        "\\page",
        "http://127.0.0.1/healthz",
        "http://a/page",
        "https://other:8710/page",
        "HTTP://A/page",
        "http://root@a/page",
        "*",
        "a:80",
        "",
        "page",
        "/page HTTP/1.1 /",
    ] {
        attacks.push(attack(May::Nobody, with(target, "")));
        attacks.push(attack(May::Anna, with(target, good)));
    }
    for line in [
        "OPTIONS * HTTP/1.1",
        "CONNECT a:80 HTTP/1.1",
        "TRACE /page HTTP/1.1",
        "GET /page HTTP/1.0",
        "GET /page",
    ] {
        attacks.push(attack(May::Nobody, format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n")));
        attacks.push(attack(May::Anna, format!("{line}\r\nHost: a\r\nConnection: close\r\n{good}\r\n")));
    }
    attacks
}

/// More than one credential, and credentials that are not plain.
fn credentials(good: &str, token: &str) -> Vec<Attack> {
    let value = format!("Bearer {token}");
    let nobody = [
        format!("{good}{good}"),
        format!("{good}authorization: Basic cm9vdDpyb290\r\n"),
        format!("Authorization: Bearer a.b.c\r\n{good}"),
        format!("{good}Authorization: Bearer a.b.c\r\n"),
        format!("Authorization: {value}, {value}\r\n"),
        format!("Authorization: {value}\0\r\n"),
        format!("Authorization: {value}\u{e9}\r\n"),
        format!("Authorization: Bearer \"{token}\"\r\n"),
        format!("Authorization: {value} a\r\n"),
        format!("Authorization : {value}\r\n"),
        format!("Authorization\0: {value}\r\n"),
        format!("Auth\u{f6}rization: {value}\r\n"),
    ];
    let mut attacks: Vec<Attack> =
        nobody.iter().map(|lines| attack(May::Nobody, with("/page", lines))).collect();
    // Envoy leaves the empty one out.
    attacks.push(attack(May::AnnaOnceStripped, with("/page", &format!("{good}Authorization:\r\n"))));
    let host = format!("GET /page HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n{good}\r\n");
    attacks.push(attack(May::Anna, host));
    let odd = with("/page", &format!("{good}X-Other: \u{e9}\u{1}\r\n"));
    attacks.push(attack(May::Anna, odd));
    attacks.push(attack(May::Anna, with("/page", &format!("{good}X-Other: a\0b\r\n"))));
    attacks
}

/// Bodies whose end two servers could see at different places, with a second request in the doubtful part.
fn framing(good: &str) -> Vec<Attack> {
    let second = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Farside-Subject: root\r\nConnection: close\r\n\r\n";
    let chunked = format!("0\r\n\r\n{second}");
    let length = chunked.len();
    let mut attacks = Vec::new();
    for lines in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Transfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked\r\n".to_owned(),
        format!("Transfer-Encoding : chunked\r\nContent-Length: {length}\r\n"),
        format!("Transfer-Encoding: \u{b}chunked\r\nContent-Length: {length}\r\n"),
        format!("Transfer_Encoding: chunked\r\nContent-Length: {length}\r\n"),
        format!("X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: 0, {length}\r\n"),
        format!("Content-Length: +{length}\r\n"),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
        "Content-Length: 0\r\n".to_owned(),
        String::new(),
    ] {
        for method in ["GET", "POST"] {
            let request = format!("{method} /page HTTP/1.1\r\nHost: a\r\n{good}{lines}\r\n{chunked}");
            attacks.push(attack(May::Anna, request));
        }
    }
    let post = format!("POST /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{good}");
    for body in [
        format!("5;a=\"\r\n\"\r\nxxxxx\r\n0\r\n\r\n{second}"),
        format!("0x5\r\nxxxxx\r\n0\r\n\r\n{second}"),
        format!("5\nxxxxx\n0\n\n{second}"),
        format!("fffffffffffffffff\r\nxxxxx\r\n0\r\n\r\n{second}"),
        format!("-1\r\n\r\n{second}"),
        "1\r\nx\r\n0\r\nX-Farside-Subject: root\r\n\r\n".to_owned(),
    ] {
        attacks.push(attack(May::Anna, format!("{post}Transfer-Encoding: chunked\r\n\r\n{body}")));
        let trailer = "Trailer: X-Farside-Subject\r\n";
        attacks.push(attack(May::Anna, format!("{post}{trailer}Transfer-Encoding: chunked\r\n\r\n{body}")));
    }
    let old = format!(
        "POST /page HTTP/1.0\r\n{good}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"
    );
    attacks.push(attack(May::Anna, old));
    attacks
}

fn all(gate: &Running) -> Vec<Attack> {
    let token = gate.token("anna", 1);
    let other = claims("anna", 2, now_unix(), "").replace("\"db\"", "\"other\"");
    let elsewhere = gate.realm.key.sign("at+jwt", &other);
    let (good, elsewhere) =
        (format!("Authorization: Bearer {token}\r\n"), format!("Authorization: Bearer {elsewhere}\r\n"));
    let mut attacks = aliases(&good);
    attacks.extend(forwarded(&good, &elsewhere));
    attacks.extend(targets(&good));
    attacks.extend(credentials(&good, &token));
    attacks.extend(framing(&good));
    attacks
}

/// Whatever is answered before the connection ends or falls silent.
fn send(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let mut answer = Vec::new();
    // Who refuses may close before it has read everything.
    let _ = stream.write_all(request);
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn no_hostile_request_is_told_an_identity_by_the_gate_itself() {
    let gate = Running::start("", &[]);
    let mut admitted = 0;
    for Attack { request, may } in all(&gate) {
        let shown = String::from_utf8_lossy(&request).into_owned();
        // The door's own path in place of the application's.
        let asked = shown.replacen(" /page ", " /verify?aud=db ", 1);
        let answer = send(gate.doors, asked.as_bytes());
        let told: Vec<&str> = answer.lines().filter(|line| line.starts_with("x-farside-subject:")).collect();
        assert!(told.iter().all(|line| *line == "x-farside-subject: anna"), "{shown}\n{answer}");
        assert!(told.len() <= usize::from(may == May::Anna), "{may:?}: {shown}\n{answer}");
        admitted += told.len();
    }
    assert!(admitted > 10, "some of them only look hostile");
}

/// The number of the attack that a head came of, by the host that was asked for.
fn number(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("host: a"))?.trim().parse().ok()
}

fn attacked(proxy: Proxy) {
    let front = Front::open(proxy);
    let attacks = all(&front.gate);
    let numbered: Vec<(usize, &Attack)> = attacks.iter().enumerate().collect();
    std::thread::scope(|scope| {
        for share in numbered.chunks(numbered.len().div_ceil(SENDERS)) {
            let door = front.door;
            scope.spawn(move || {
                for (number, attack) in share {
                    let text = String::from_utf8_lossy(&attack.request);
                    send(door, text.replacen("Host: a\r", &format!("Host: a{number}\r"), 1).as_bytes());
                }
            });
        }
    });
    // One more, so that the count is of a proxy that still serves.
    let good = format!("Authorization: Bearer {}\r\n", front.gate.token("anna", 1));
    assert!(front.ask("/page", &good).starts_with("HTTP/1.1 200"), "{proxy:?}");
    let seen = front.application.seen();
    let whole = ["x-farside-freshness: fresh", "x-farside-subject: anna", "x-farside-token-id: dome-1"];
    let mut faults = Vec::new();
    for head in &seen {
        let attack = number(head).and_then(|number| attacks.get(number));
        let uninvited = attack.is_some_and(|attack| attack.may == May::Nobody);
        let doubtful = head.contains(AMBIGUOUS) || head.contains("get /smuggled ");
        if identity(head) != whole || uninvited || doubtful {
            let request = attack.map(|attack| String::from_utf8_lossy(&attack.request));
            faults.push(format!("{request:?}\n  seen {head:?}"));
        }
    }
    assert!(faults.is_empty(), "{proxy:?}\n{}", faults.join("\n"));
    let admissions = front.admissions();
    assert!(seen.len() <= admissions.len(), "{proxy:?}: {} seen, {} admitted", seen.len(), admissions.len());
    for admission in &admissions {
        told_truly(proxy, &admission["request"], &attacks);
    }
    assert!(seen.len() > 10, "{proxy:?}: some of them only look hostile");
}

/// The gate was told what was really asked: the host names the attack, and its first line names the rest.
fn told_truly(proxy: Proxy, told: &Value, attacks: &[Attack]) {
    let host = told["host"].as_str().unwrap();
    let Some(attack) = host.strip_prefix('a').and_then(|number| number.parse::<usize>().ok()) else {
        // RFC 9112 §3.2.2, §3.2.3: the host in an absolute target or of CONNECT counts, and not the other
        // one.
        let named =
            [("gate", "/page"), ("127.0.0.1", "/healthz"), ("a", "/page"), ("other", "/page"), ("a", "/")];
        assert!(named.contains(&(host, told["path"].as_str().unwrap())), "{proxy:?} {told}");
        return;
    };
    let attack: &Attack = &attacks[attack];
    let request = String::from_utf8_lossy(&attack.request);
    let mut words = request.split([' ', '\r']);
    assert_eq!(told["method"].as_str(), words.next(), "{proxy:?} {request}");
    assert_eq!(told["scheme"], "http", "{proxy:?} {request}");
    if words.next() == Some("/page") {
        assert_eq!(told["path"], "/page", "{proxy:?} {request}");
    }
}

#[test]
fn nothing_is_smuggled_past_nginx() {
    attacked(Proxy::Nginx);
}

#[test]
fn nothing_is_smuggled_past_caddy() {
    attacked(Proxy::Caddy);
}

#[test]
fn nothing_is_smuggled_past_haproxy() {
    attacked(Proxy::Haproxy);
}

#[test]
fn nothing_is_smuggled_past_envoy() {
    attacked(Proxy::Envoy);
}

#[test]
fn nothing_is_smuggled_past_envoy_over_grpc() {
    attacked(Proxy::EnvoyGrpc);
}

#[test]
fn nothing_is_smuggled_past_traefik() {
    attacked(Proxy::Traefik);
}
