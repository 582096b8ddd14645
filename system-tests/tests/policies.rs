//! Cedar policies on their whole way: written, refused or signed at the mint, carried, applied, and deciding
//! behind a real nginx with the configuration that operators are given.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use farside_system_tests::http;
use farside_system_tests::programs::{free_address, workspace};
use farside_system_tests::sides::{CONTROL, Sides};

const LINES: &str = r#"
@id("operators-look")
permit(principal in Role::"operator", action in Action::"read", resource in Path::"hmi.example/lines");
@id("line-3-is-shut")
@cure("Ask the shift lead for line 3.")
forbid(principal, action, resource in Path::"hmi.example/lines/3");
"#;

const CREW: &str = r#"
@id("operators-work")
permit(principal in Role::"operator", action in Action::"http", resource in Audience::"https://control.dome.example");
"#;

/// nginx in the foreground, with the file in `deploy/`; it ends with the test.
struct Nginx {
    process: Child,
    door: std::net::SocketAddr,
    _prefix: tempfile::TempDir,
}

impl Nginx {
    fn before(sides: &Sides) -> Nginx {
        let (door, issuer, application) = (free_address(), free_address(), http::application());
        let prefix = tempfile::tempdir().expect("a folder");
        let file = workspace().join("deploy/nginx/farside.conf");
        let mut servers = std::fs::read_to_string(file).expect("the configuration");
        for (deployed, here) in [
            ("127.0.0.1:8710", sides.gate.to_string()),
            ("127.0.0.1:8080", application.to_string()),
            ("127.0.0.1:8081", door.to_string()),
            ("127.0.0.1:8082", issuer.to_string()),
            ("aud=wiki", format!("aud={}", http::escaped(CONTROL))),
        ] {
            assert_eq!(servers.matches(deployed).count(), 1, "{deployed} stands once in farside.conf");
            servers = servers.replace(deployed, &here);
        }
        let at = prefix.path().display();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = kinds.map(|kind| format!("{kind}_temp_path {at}/{kind};\n")).concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{servers}\n}}\n"
        );
        std::fs::write(prefix.path().join("nginx.conf"), text).expect("a file");
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"];
        let program = program.into_iter().find(|path| std::path::Path::new(path).exists());
        let mut command = Command::new(program.expect("nginx is installed: `cargo xtask peers` does it"));
        command.arg("-e").arg(prefix.path().join("error.log")).arg("-p").arg(prefix.path());
        command.arg("-c").arg(prefix.path().join("nginx.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("nginx starts");
        while TcpStream::connect(door).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Nginx { process, door, _prefix: prefix }
    }

    fn status(&self, token: &str, method: &str, path: &str) -> u16 {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: hmi.example\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        http::raw(self.door, request.as_bytes()).status
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn policies_cross_and_decide_behind_a_real_proxy() {
    let sides = Sides::founded();
    let believed = format!("{}\n[proxy]\nrequest = \"x-forwarded\"\n", sides.text("far/gate.toml"));
    sides.put("far/gate.toml", believed.as_bytes());
    sides.put("lines.cedar", LINES.as_bytes());
    sides.mint("site set dome --cedar lines.cedar");
    assert!(sides.mint("site show dome").stdout.contains("line-3-is-shut, operators-look"));
    sides.bundle("full");
    sides.cross();
    let (ada, grace) = (sides.token("ada", CONTROL), sides.token("grace", CONTROL));
    let _gate = sides.serve_gate();
    let nginx = Nginx::before(&sides);
    for (token, method, path, status) in [
        (&ada, "GET", "/lines/2?valve=4", 200),
        (&ada, "POST", "/lines/2", 403),
        (&ada, "GET", "/lines/3", 403),
        (&ada, "GET", "/lines/2/%2e%2e/3", 400),
        (&ada, "GET", "/elsewhere", 403),
        (&grace, "GET", "/lines/2", 403),
    ] {
        assert_eq!(nginx.status(token, method, path), status, "{method} {path}");
    }
    let journal = sides.text("far/journal/gate.jsonl");
    assert!(journal.contains(r#""policies":["operators-look"]"#) && journal.contains("line-3-is-shut"));

    // The next bundle's policies act from the moment it is applied.
    sides.put("crew.cedar", CREW.as_bytes());
    sides.mint("site set dome --cedar crew.cedar");
    assert_eq!(nginx.status(&ada, "GET", "/lines/3"), 403, "nothing has crossed yet");
    sides.bundle("full");
    sides.cross();
    assert_eq!(nginx.status(&ada, "POST", "/lines/3"), 200);
    assert_eq!(nginx.status(&grace, "GET", "/lines/2"), 403);
    sides.mint("site set dome --no-cedar");
    sides.bundle("full");
    sides.cross();
    assert_eq!(nginx.status(&grace, "GET", "/lines/2"), 200, "the audience decides alone");
}

#[test]
fn the_mint_takes_no_policy_that_a_gate_would_refuse() {
    let sides = Sides::founded();
    sides.put("good.cedar", LINES.as_bytes());
    sides.mint("site set dome --cedar good.cedar");
    let shown = sides.mint("site show dome --json").json();
    for (text, words) in [
        ("@id(\"a\")\npermit(principal, action resource);", "line 2, column 26"),
        ("@id(\"a\")\npermit(principal, action, resource)\nwhen { principal.shoe > 3 };", "line 3, column 8"),
        ("permit(principal, action, resource);", "it has no @id"),
        (
            "@id(\"a\")\npermit(principal, action == Action::\"login\", resource in Host::\"h\");",
            "line 1, column 1",
        ),
    ] {
        sides.put("bad.cedar", text.as_bytes());
        let line = "mint site set dome --cedar bad.cedar --config near/mint.toml";
        let refused = sides.attempt(line).expect_code(1);
        assert!(refused.stderr.contains(words), "{text}: {}", refused.stderr);
        assert_eq!(sides.mint("site show dome --json").json(), shown, "nothing has changed");
    }
}

#[test]
fn explain_says_which_check_held_and_which_policy_decided() {
    let sides = Sides::founded();
    sides.put("lines.cedar", LINES.as_bytes());
    sides.mint("site set dome --cedar lines.cedar");
    sides.bundle("full");
    sides.cross();
    sides.put("ada.jwt", sides.token("ada", CONTROL).as_bytes());
    let explain = |more: &str, code| {
        let token = sides.text("ada.jwt");
        let line = format!("gate explain {token} --audience {CONTROL} --config far/gate.toml {more}");
        sides.attempt(&line).expect_code(code)
    };
    let entered = explain("--host hmi.example --path /lines/2 --json", 0).json();
    assert_eq!(
        (entered["verdict"].as_str(), &entered["policies"]),
        (Some("accept"), &["operators-look"][..].into())
    );
    assert!(entered["checks"].as_array().expect("checks").iter().all(|check| check["held"] == true));
    let shut = explain("--host hmi.example --path /lines/3/x --json", 1).json();
    assert_eq!(
        (shut["code"].as_str(), &shut["policies"]),
        (Some("policy_denied"), &["line-3-is-shut"][..].into())
    );
    assert_eq!(shut["cure"], "Ask the shift lead for line 3.");
    let human = explain("--host hmi.example --path /lines/2 --method POST", 1).stdout;
    for words in ["+ token", "+ revocation", "x policy", "operators-look is about other actions", "- once"] {
        assert!(human.contains(words), "{words}: {human}");
    }
    let untold = explain("", 1).stdout;
    assert!(untold.contains("request_unknown"), "{untold}");
    // A question is no use of a door: the journal of decisions has nothing of it.
    assert!(
        !sides.path("far/journal/gate.jsonl").exists()
            || !sides.text("far/journal/gate.jsonl").contains("decision")
    );
}
