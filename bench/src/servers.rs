//! Servers that the gate is measured against, each a process of its own on the servers' core, on loopback.
//!
//! The bare one is the gate's own HTTP with nothing behind it; it exists in this program alone.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_gate::config::Config;
use farside_service::web::{Limits, Listen, Server, Shutdown};
use farside_verify::encode::base64url_decode;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use crate::load::{self, SERVER_CORE, get, on_core};

/// Tells a child process which server to be, and with what.
const ROLE: &str = "FARSIDE_BENCH_SERVER";
const WITH: &str = "FARSIDE_BENCH_WITH";
const ADDRESS: &str = "FARSIDE_BENCH_ADDRESS";

const STARTING: Duration = Duration::from_secs(20);

/// A server in a process of its own; ends with this.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts a program on the servers' core, and waits until it admits this request.
    pub(crate) fn start(mut command: Command, address: SocketAddr, request: &[u8]) -> Running {
        let child = on_core(SERVER_CORE, move || command.spawn()).expect("a program that starts");
        let running = Running { child, address };
        let since = Instant::now();
        while !admits(address, request) {
            assert!(since.elapsed() < STARTING, "no server at {address}");
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }
}

fn admits(address: SocketAddr, request: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(STARTING)).expect("a TCP stream");
    let mut start = [0; 12];
    let read = stream.write_all(request).and_then(|()| stream.read_exact(&mut start));
    read.is_ok() && start == *b"HTTP/1.1 200"
}

/// An address that nobody has yet.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn this_program(role: &str, with: &str) -> (Command, SocketAddr) {
    let address = free_address();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("gate").env(ROLE, role).env(WITH, with).env(ADDRESS, address.to_string());
    (command, address)
}

/// A gate, and where its metrics are.
pub(crate) struct Gate {
    pub(crate) running: Running,
    pub(crate) admin: SocketAddr,
}

/// The gate of this configuration; `settings` are lines of `gate.toml`.
pub(crate) fn gate(home: &Path, settings: &str, request: &[u8]) -> Gate {
    let config = home.join("gate.toml");
    let (doors, admin) = (free_address(), free_address());
    let text = format!(
        "site = \"dome\"\n{settings}\n[listen]\naddress = \"{doors}\"\n[admin]\naddress = \"{admin}\"\n"
    );
    std::fs::write(&config, text).expect("a folder of the gate");
    let (command, _) = this_program("gate", config.to_str().expect("a plain path"));
    Gate { running: Running::start(command, doors, request), admin }
}

/// The gate's HTTP that answers 200 without looking: with an empty answer, or with one like the gate's.
pub(crate) fn bare(alike: bool) -> Running {
    let (command, address) = this_program("bare", if alike { "alike" } else { "" });
    Running::start(command, address, &get("/", "none"))
}

/// axum with `jsonwebtoken`, checking what the gate's verifier checks by default.
pub(crate) fn axum(jwk: &str, issuer: &str, audience: &str, request: &[u8]) -> Running {
    let with = serde_json::json!({"jwk": jwk, "iss": issuer, "aud": audience}).to_string();
    let (command, address) = this_program("axum", &with);
    Running::start(command, address, request)
}

/// HAProxy with `jwt_verify`; nothing where it is not installed.
pub(crate) fn haproxy(
    folder: &Path,
    jwk: &str,
    (issuer, audience): (&str, &str),
    request: &[u8],
) -> Option<Running> {
    Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().ok()?;
    let (key, config, address) = (folder.join("key.pem"), folder.join("haproxy.cfg"), free_address());
    std::fs::write(&key, pem(jwk)).expect("a folder");
    let key = key.display();
    let text = format!(
        "global\n nbthread 1\n maxconn 1000\n\
         defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
         frontend verify\n bind {address}\n\
         \x20http-request set-var(txn.bearer) http_auth_bearer\n\
         \x20http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')\n\
         \x20http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')\n\
         \x20http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')\n\
         \x20http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')\n\
         \x20http-request set-var(txn.now) date()\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.alg) -m str ES256 }}\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.aud) -m str {audience} }}\n\
         \x20http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,\"{key}\") 1 }}\n\
         \x20http-request return status 200\n"
    );
    std::fs::write(&config, text).expect("a folder");
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(config);
    Some(Running::start(command, address, request))
}

/// The public key of an ES256 JWK as HAProxy reads it.
fn pem(jwk: &str) -> String {
    // SubjectPublicKeyInfo of an uncompressed point on P-256, up to the point (RFC 5480 §2).
    const BEFORE_POINT: [u8; 27] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    let jwk: Value = serde_json::from_str(jwk).expect("a JWK");
    let coordinate = |name: &str| base64url_decode(jwk[name].as_str().expect("text")).expect("base64url");
    let der = [&BEFORE_POINT[..], &coordinate("x"), &coordinate("y")].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// Serves where this process is such a child; false where it is none.
pub(crate) fn serve_if_child() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    // Children count nothing.
    crate::count::stop();
    let with = std::env::var(WITH).expect("what to serve");
    let address = std::env::var(ADDRESS).expect("where to serve").parse().expect("an address");
    match role.as_str() {
        "gate" => farside_gate::serve::run(&Config::load(Path::new(&with)).unwrap()).unwrap(),
        "bare" => serve_bare(address, with == "alike"),
        "axum" => serve_axum(address, &with),
        other => panic!("no server is called {other}"),
    }
    true
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads")
}

/// What the gate answers to whom it admits, but of nobody.
fn like_the_gates() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::new()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let of_identity = [
        ("x-farside-subject", "person-0"),
        ("x-farside-roles", "operator"),
        ("x-farside-groups", ""),
        ("x-farside-scope", ""),
        ("x-farside-token-id", "dome-0"),
        ("x-farside-breakglass", ""),
        ("x-farside-freshness", "fresh"),
    ];
    for (name, value) in of_identity {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn serve_bare(address: SocketAddr, alike: bool) {
    let answer =
        move |_| async move { if alike { like_the_gates() } else { Response::new(Full::new(Bytes::new())) } };
    runtime().block_on(async {
        let listen = Listen { address, tls: None, clear_beyond_loopback: None };
        let server = Server::bind(&listen, &Limits::default()).await.expect("a free address");
        server.serve_fn(answer, Shutdown::manual()).await.expect("a server");
    });
}

fn serve_axum(address: SocketAddr, with: &str) {
    let with: Value = serde_json::from_str(with).expect("what it was told");
    let text = |name: &str| with[name].as_str().expect("text").to_owned();
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&text("jwk")).expect("a JWK");
    let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).expect("a key that it knows");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.validate_nbf = true;
    validation.set_audience(&[text("aud")]);
    validation.set_issuer(&[text("iss")]);
    let state: &'static _ = Box::leak(Box::new((key, validation)));
    let verify = move |headers: HeaderMap| async move {
        let token =
            headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let (key, validation) = state;
        match token.map(|token| jsonwebtoken::decode::<Value>(token, key, validation)) {
            Some(Ok(_)) => Ok::<_, Infallible>(StatusCode::OK),
            _ => Ok(StatusCode::UNAUTHORIZED),
        }
    };
    let router = axum::Router::new().route("/verify", axum::routing::get(verify));
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free address");
        axum::serve(listener, router).await.expect("a server");
    });
}

/// One round of load from the other core.
pub(crate) fn measured(load: load::Load, requests: &mut dyn load::Requests) -> load::Outcome {
    on_core(load::LOAD_CORE, || load.run(requests))
}
