//! The gate behind a real nginx with the configuration that operators are given, `deploy/nginx/farside.conf`.
//!
//! The application behind it is a few lines that answer with what they were sent, so that what reached it can
//! be seen.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::process::{PATIENCE, Running, exchange, free_address, get};

const CONFIGURATION: &str = include_str!("../../../../deploy/nginx/farside.conf");

/// A gate, an application, and nginx between it and the world. All end with the test.
struct Front {
    gate: Running,
    address: SocketAddr,
    issuer: SocketAddr,
    nginx: Child,
    _prefix: tempfile::TempDir,
}

impl Front {
    fn open() -> Front {
        Front::before(Running::start("", &[]))
    }

    fn before(gate: Running) -> Front {
        let (address, issuer, application) = (free_address(), free_address(), serve_application());
        let prefix = tempfile::tempdir().unwrap();
        let mut text = CONFIGURATION.to_owned();
        for (deployed, here) in [
            ("127.0.0.1:8710", gate.doors.to_string()),
            ("127.0.0.1:8080", application.to_string()),
            ("127.0.0.1:8081", address.to_string()),
            ("127.0.0.1:8082", issuer.to_string()),
            ("aud=wiki", "aud=db".to_owned()),
        ] {
            assert_eq!(text.matches(deployed).count(), 1, "{deployed} stands once in farside.conf");
            text = text.replace(deployed, &here);
        }
        let nginx = start_nginx(prefix.path(), &text);
        let front = Front { gate, address, issuer, nginx, _prefix: prefix };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(started.elapsed() < PATIENCE, "nginx never listened");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        front
    }

    fn ask(&self, path: &str, headers: &str) -> String {
        get(self.address, path, headers)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

/// One process in the foreground with all its files below `prefix`, so that it needs no rights and leaves
/// nothing.
pub(crate) fn start_nginx(prefix: &Path, servers: &str) -> Child {
    let at = prefix.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{servers}\n}}\n"
    );
    let file = prefix.join("nginx.conf");
    std::fs::write(&file, main).unwrap();
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
    let program = program.unwrap_or_else(|| panic!("nginx is not installed: apt-get install nginx-light"));
    let mut command = Command::new(program);
    command.arg("-e").arg(prefix.join("error.log")).arg("-p").arg(prefix).arg("-c").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Answers every request with the head it was sent; on `/broken` with 500.
fn serve_application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let seen = format!("reached\n{}", read_request(&mut stream));
            let status = if seen.contains("/broken") { "500 Broken" } else { "200 OK" };
            let length = seen.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{seen}"
            );
        }
    });
    address
}

/// The head of a request in lower case, after its body has been read too.
fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return format!("{head}\r\n");
            }
        }
        match stream.read(&mut chunk) {
            Ok(read) if read > 0 => request.extend_from_slice(&chunk[..read]),
            _ => return text,
        }
    }
}

#[test]
fn whoever_has_a_good_token_reaches_the_application_and_is_named_to_it() {
    let front = Front::open();
    let claims = r#","roles":["admin"],"scope":"read""#;
    let now = farside_service::time::now_unix();
    let token = front.gate.realm.key.sign("at+jwt", &super::realm::claims("anna", 1, now, claims));
    let answer = front.ask("/page", &format!("Authorization: Bearer {token}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for line in ["x-farside-subject: anna\r\n", "x-farside-roles: admin\r\n", "x-farside-scope: read\r\n"] {
        assert!(answer.contains(line), "{line} {answer}");
    }
    assert!(answer.contains("x-farside-token-id: dome-1\r\n"), "{answer}");
    assert!(!answer.contains("x-farside-groups"), "what is empty is not passed on: {answer}");
    assert!(!answer.contains("authorization"), "the credential stays at the door: {answer}");

    let body = "x".repeat(100_000);
    let post = format!(
        "POST /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(
        exchange(front.address, &post).contains("content-length: 100000"),
        "the body is the application's alone"
    );
    let broken = front.ask("/broken", &format!("Authorization: Bearer {token}\r\n"));
    assert!(
        broken.starts_with("HTTP/1.1 500") && broken.contains("reached"),
        "the application's own: {broken}"
    );
}

#[test]
fn what_last_crossed_may_be_too_old_to_write_on_and_still_be_read() {
    let gate = Running::start_with("", &[], |realm| {
        let mut policy = super::realm::policy(1);
        policy.audiences[0].stale_seconds_max.write = Some(1);
        super::realm::Plan { policy: Some(policy), ..realm.plan() }
    });
    let front = Front::before(gate);
    let bearer = format!("Authorization: Bearer {}\r\n", front.gate.token("anna", 1));
    let ask = |method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{bearer}\r\n");
        exchange(front.address, &request)
    };
    front.gate.wait_until("too old to write on", || ask("POST", "/page").starts_with("HTTP/1.1 503"));
    for path in ["/page", "/page?action=write", "/page?action=safety"] {
        let answer = ask("GET", path);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("x-farside-freshness: fresh"),
            "{answer}"
        );
    }
    for method in ["PUT", "PATCH", "DELETE", "MKCOL", "get"] {
        let answer = ask(method, "/page?action=read");
        assert!(!answer.starts_with("HTTP/1.1 200") && !answer.contains("reached"), "{method} {answer}");
    }
}

#[test]
fn whoever_has_none_is_refused_with_the_gates_own_words() {
    let front = Front::open();
    let answer = front.ask("/page", "");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("www-authenticate: Bearer realm=\"farside\"\r\n"), "{answer}");
    let token = front.gate.token("anna", 1);
    let cut = &token[..token.len() - 6];
    let answer = front.ask("/page", &format!("Authorization: Bearer {cut}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("reached"), "{answer}");
    assert!(answer.contains("error_description=\"signature_invalid: "), "{answer}");
}

#[test]
fn nobody_smuggles_an_identity_past_nginx() {
    let front = Front::open();
    let good = format!("Authorization: Bearer {}\r\n", front.gate.token("anna", 1));
    for (headers, statuses) in [
        (format!("{good}X-Farside-Subject: root\r\n"), &["400"][..]),
        (format!("{good}x-farside-roles: root\r\n"), &["400"]),
        (format!("{good}X-Farside-Later: root\r\n"), &["400"]),
        ("X-Farside-Subject: root\r\n".to_owned(), &["400"]),
        (format!("{good}X_Farside_Subject: root\r\n"), &["200", "400"]),
        (format!("{good}X.Farside.Subject: root\r\n"), &["200", "400"]),
        (format!("{good}X-Farside_Subject: root\r\n"), &["200", "400"]),
        (format!("{good}X-Farside-Subject : root\r\n"), &["200", "400"]),
        (format!("{good}{good}"), &["400"]),
        (format!("{good}authorization: Basic cm9vdDpyb290\r\n"), &["400"]),
        (format!("{good}Connection: X-Farside-Subject, close\r\n"), &["200"]),
    ] {
        let answer = front.ask("/page", &headers);
        let status = answer.get(9..12).unwrap_or_default();
        assert!(statuses.contains(&status), "{headers} {answer}");
        let reached = answer.contains("reached");
        assert_eq!(reached, status == "200", "{answer}");
        if reached {
            assert!(answer.contains("x-farside-subject: anna\r\n") && !answer.contains("root"), "{answer}");
        }
    }
}

#[test]
fn no_path_query_or_forwarded_header_leads_around_the_gate() {
    let front = Front::open();
    for path in
        ["/_farside", "/%5ffarside", "/a/../_farside", "/_farside?aud=db", "/verify", "/healthz", "/", "//"]
    {
        let answer = front.ask(path, "");
        assert!(answer.starts_with("HTTP/1.1 401") || answer.starts_with("HTTP/1.1 404"), "{path} {answer}");
        assert!(!answer.contains("reached"), "{path} {answer}");
    }
    let forwarded = "X-Forwarded-Uri: /healthz\r\nX-Original-URL: /healthz\r\nX-Forwarded-User: root\r\n\
                     X-Forwarded-For: 127.0.0.1\r\nX-HTTP-Method-Override: OPTIONS\r\n\
                     User-Agent: kube-probe\r\n";
    assert!(front.ask("/page?aud=other", forwarded).starts_with("HTTP/1.1 401"));
    let now = farside_service::time::now_unix();
    let claims = super::realm::claims("anna", 1, now, "").replace("\"db\"", "\"other\"");
    let elsewhere = front.gate.realm.key.sign("at+jwt", &claims);
    let answer = front.ask("/page?aud=other", &format!("Authorization: Bearer {elsewhere}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("audience_mismatch"), "{answer}");
}

#[test]
fn a_gate_that_is_gone_or_cannot_judge_lets_nobody_in() {
    let mut front = Front::open();
    let good = format!("Authorization: Bearer {}\r\n", front.gate.token("anna", 1));
    assert!(front.ask("/page", &good).starts_with("HTTP/1.1 200"));
    assert_eq!(front.gate.end(), Some(0));
    let answer = front.ask("/page", &good);
    assert!(answer.starts_with("HTTP/1.1 503") && !answer.contains("reached"), "{answer}");
}

#[test]
fn the_issuers_name_shows_keys_and_not_the_question() {
    let front = Front::open();
    assert!(get(front.issuer, "/jwks.json", "").contains("\"kid\":\"key-1\""));
    assert!(get(front.issuer, "/.well-known/openid-configuration", "").starts_with("HTTP/1.1 200"));
    let good = format!("Authorization: Bearer {}\r\n", front.gate.token("anna", 1));
    assert!(get(front.issuer, "/verify?aud=db", &good).starts_with("HTTP/1.1 404"));
    assert!(get(front.issuer, "/readyz", "").starts_with("HTTP/1.1 404"));
}
