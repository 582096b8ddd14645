//! Ordinary software that verifies by itself takes our tokens through discovery and `/jwks.json`, knowing
//! nothing of Farside but the gate's address; and Kubernetes' own types read what its door says.

use std::net::SocketAddr;
use std::process::Command;

use farside_system_tests::http::{self, Answer};
use farside_system_tests::peers::{self, Oracle};
use farside_system_tests::programs::{Server, free_address};
use farside_system_tests::sides::{ARCHIVE, CONTROL, Sides};
use serde_json::{Value, json};

/// What the modules of Debian's Apache are loaded with, in one process whose files lie in a folder.
const APACHE_MODULES: [&str; 8] =
    ["mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc", "headers", "proxy", "proxy_http"];

/// A gate that serves, with a bundle from a real mint; and a token for each of two audiences.
struct Site {
    sides: Sides,
    gate: Server,
    issuer: String,
    token: String,
    elsewhere: String,
}

impl Site {
    fn open() -> Site {
        let sides = Sides::founded();
        let issuer = format!("http://{}", sides.gate);
        Site::of(sides, issuer)
    }

    /// With a certificate of its own, `gate.pem` in the sides' folder.
    fn with_tls() -> Site {
        let sides = Sides::founded();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        sides.put("gate.pem", made.cert.pem().as_bytes());
        sides.put("gate.key", made.signing_key.serialize_pem().as_bytes());
        let (certificates, key) = (sides.path("gate.pem"), sides.path("gate.key"));
        let tls = format!("[listen]\ntls = {{ certificates = {certificates:?}, key = {key:?} }}");
        let text = sides.text("far/gate.toml").replacen("[listen]", &tls, 1);
        sides.put("far/gate.toml", text.as_bytes());
        let issuer = format!("https://localhost:{}", sides.gate.port());
        sides.mint(&format!("site set dome --issuer {issuer}"));
        Site::of(sides, issuer)
    }

    fn of(sides: Sides, issuer: String) -> Site {
        sides.bundle("full");
        sides.cross();
        let (token, elsewhere) = (sides.token("ada", CONTROL), sides.token("ada", ARCHIVE));
        // What it judges by has crossed: it is ready when it listens.
        let mut gate = Server::start(sides.command("gate serve --config far/gate.toml"));
        gate.wait_for(sides.gate);
        Site { gate, issuer, token, elsewhere, sides }
    }

    /// The key that signed the token is revoked, and the bundle that says so imported.
    fn revoke_the_key(&self) {
        let keys = self.sides.mint("keys list --site dome --json").json();
        let kid = keys[0]["key"]["kid"].as_str().unwrap_or_else(|| panic!("no kid in {keys}")).to_owned();
        self.sides.mint(&format!("revoke key {kid} --reason stolen"));
        self.sides.bundle("full");
        self.sides.cross();
    }
}

/// A library as an application would use it: it holds keys for a second.
fn by_library(mut oracle: impl FnMut(&str) -> Oracle) {
    let mut site = Site::open();
    let mut library = oracle(&site.issuer);
    assert_eq!(library.ask(&site.token), "accept ada");
    assert!(library.ask(&site.elsewhere).starts_with("refuse "), "another audience");
    let cut = &site.token[..site.token.len() - 6];
    assert!(library.ask(cut).starts_with("refuse "), "a signature cut short");
    site.revoke_the_key();
    let (gate, token) = (&mut site.gate, &site.token);
    gate.wait_until("the library looks again", || library.ask(token).starts_with("refuse "));
}

#[test]
fn npm_jose_accepts_our_tokens_until_their_key_is_revoked() {
    by_library(|issuer| Oracle::node("rely.mjs", &[issuer, CONTROL]));
}

#[test]
fn pyjwt_accepts_our_tokens_until_their_key_is_revoked() {
    by_library(|issuer| Oracle::python(&["pyjwt", issuer, CONTROL]));
}

fn ask(address: SocketAddr, token: &str) -> Answer {
    http::get(address, "/page", &[("authorization", &format!("Bearer {token}"))])
}

/// What any proxy must do for any of our tokens.
fn stands_guard(address: SocketAddr, site: &Site) {
    let answer = ask(address, &site.token);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("x-token-subject: ada"), "{answer:?}");
    let forged = [("authorization", &*format!("Bearer {}", site.token)), ("x-token-subject", "root")];
    let answer = http::get(address, "/page", &forged);
    assert!(answer.body.contains("x-token-subject: ada") && !answer.body.contains("root"), "{answer:?}");
    for refused in [&*site.elsewhere, &site.token[..site.token.len() - 6], "a.b.c", ""] {
        let answer = ask(address, refused);
        assert!(matches!(answer.status, 401 | 403), "{answer:?}");
        assert!(!answer.body.contains("reached"), "{answer:?}");
    }
}

#[test]
fn envoy_jwt_authn_accepts_our_tokens_until_their_key_is_revoked() {
    let mut site = Site::open();
    let (address, application) = (free_address(), http::application());
    let text = peers::deployed(
        "envoy/jwt-authn.yaml",
        &[
            ("port_value: 8081", format!("port_value: {}", address.port())),
            ("port_value: 8080", format!("port_value: {}", application.port())),
            ("port_value: 8710", format!("port_value: {}", site.sides.gate.port())),
            ("<audience>", CONTROL.to_owned()),
            ("issuer: \"<issuer>\"", format!("issuer: \"{}\"", site.issuer)),
            ("uri: \"<issuer>", format!("uri: \"{}", site.issuer)),
            ("cache_duration: 5s", "cache_duration: 1s".to_owned()),
        ],
    );
    let _envoy = peers::envoy(site.sides.folder(), &text, address);
    stands_guard(address, &site);
    site.revoke_the_key();
    let (gate, token) = (&mut site.gate, &site.token);
    gate.wait_until("Envoy looks again", || ask(address, token).status == 401);
}

/// Apache in the foreground, with the configuration that operators are given.
fn apache(site: &Site, application: SocketAddr) -> (Server, SocketAddr) {
    let (address, folder) = (free_address(), site.sides.folder().display());
    let modules = APACHE_MODULES
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let site_text = peers::deployed(
        "apache/farside.conf",
        &[
            ("Listen 127.0.0.1:8081", format!("Listen {address}")),
            ("VirtualHost 127.0.0.1:8081", format!("VirtualHost {address}")),
            ("127.0.0.1:8080", application.to_string()),
            ("\"<issuer>/jwks.json\"", format!("\"{}/jwks.json\"", site.issuer)),
            ("iss:<issuer>", format!("iss:{}", site.issuer)),
            ("<audience>", CONTROL.to_owned()),
        ],
    );
    let text = format!(
        "ServerRoot {folder}\nServerName localhost\nPidFile {folder}/apache.pid\nDefaultRuntimeDir {folder}\n\
         ErrorLog /dev/stderr\n{}OIDCCABundlePath {folder}/gate.pem\n{site_text}",
        modules.concat(),
    );
    site.sides.put("apache.conf", text.as_bytes());
    let mut command = Command::new(peers::server("apache2"));
    command.args(["-D", "FOREGROUND", "-f"]).arg(site.sides.path("apache.conf"));
    let mut server = Server::start(command);
    server.wait_for(address);
    (server, address)
}

#[test]
fn apache_with_mod_auth_openidc_accepts_our_tokens_until_their_key_is_revoked() {
    let site = Site::with_tls();
    let application = http::application();
    let (server, address) = apache(&site, application);
    stands_guard(address, &site);
    assert!(server.stop().success());
    site.revoke_the_key();
    // It keeps keys for five minutes at least: restarted, as its configuration says.
    let (server, address) = apache(&site, application);
    assert_eq!(ask(address, &site.token).status, 401);
    assert!(server.stop().success());
}

#[test]
fn a_token_review_is_read_by_kubernetes_own_types_to_the_last_member() {
    let sides = Sides::founded();
    let digest = farside_service::digest::hex(&farside_service::digest::sha256(b"kubeconfig"));
    let door = format!("[kubernetes]\naudience = \"{CONTROL}\"\nsecret_sha256 = \"{digest}\"\n");
    sides.put("far/gate.toml", format!("{}\n\n{door}", sides.text("far/gate.toml")).as_bytes());
    sides.bundle("full");
    sides.cross();
    let (token, gate) = (sides.token("ada", CONTROL), sides.serve_gate());
    let mut types = Oracle::python(&["tokenreview"]);
    let mut review = |token: &str| -> Value {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                             "spec": {"token": token, "audiences": [CONTROL]}});
        // What is sent is what their client would send, and what comes back says nothing that it would lose.
        let written: Value = serde_json::from_str(&types.ask(&request.to_string())).expect("JSON");
        assert_eq!(written, request);
        let headers = [("authorization", "Bearer kubeconfig"), ("content-type", "application/json")];
        let path = "/kubernetes/tokenreview";
        let answer = http::request(sides.gate, "POST", path, &headers, &written.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        let read: Value = serde_json::from_str(&types.ask(&answer.body)).expect("JSON");
        assert_eq!(read, answer.json());
        read["status"].clone()
    };
    let status = review(&token);
    assert_eq!((&status["authenticated"], &status["user"]["username"]), (&json!(true), &json!("ada")));
    assert_eq!(status["audiences"], json!([CONTROL]));
    let status = review("a.b.c");
    assert_eq!(status["authenticated"], false);
    assert!(gate.stop().success());
}
