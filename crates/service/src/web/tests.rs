//! A server on loopback, spoken to byte by byte: what it answers, bears, refuses, and how it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::*;

fn loopback() -> Listen {
    Listen { address: "127.0.0.1:0".parse().unwrap(), tls: None, clear_beyond_loopback: None }
}

async fn start(limits: Limits, router: Router) -> (SocketAddr, Shutdown, JoinHandle<Result<(), WebFault>>) {
    let server = Server::bind(&loopback(), &limits).await.unwrap();
    let address = server.local_addr().unwrap();
    let shutdown = Shutdown::manual();
    let running = tokio::spawn(server.serve_router(router, shutdown.clone()));
    (address, shutdown, running)
}

async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses may reset the connection after its answer.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

#[tokio::test]
async fn a_router_is_served_and_ends_when_asked() {
    let (address, shutdown, running) =
        start(Limits::default(), Router::new().route("/", get(|| async { "here" }))).await;
    let answer = exchange(address, &request("/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
    shutdown.trigger();
    running.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the address was given back");
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let (entered, mut inside) = tokio::sync::mpsc::channel(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&release);
    let router = Router::new().route(
        "/",
        get(move || async move {
            entered.send(()).await.unwrap();
            held.notified().await;
            "late"
        }),
    );
    let (address, shutdown, running) = start(Limits::default(), router).await;
    let asking = tokio::spawn(async move { exchange(address, &request("/", "")).await });
    inside.recv().await.unwrap();
    shutdown.trigger();
    release.notify_one();
    assert!(asking.await.unwrap().ends_with("late"));
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn headers_and_bodies_over_the_limit_are_refused() {
    let router = Router::new().route("/", post(|body: String| async move { body }).get(|| async { "" }));
    let (address, shutdown, running) = start(Limits::default(), router).await;
    let long = format!("authorization: {}\r\n", "x".repeat(40 << 10));
    // It closes with bytes unread, which may reset the connection before the 431 is seen.
    assert!(!exchange(address, &request("/", &long)).await.contains("HTTP/1.1 200"));
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert!(exchange(address, &request("/", &many)).await.starts_with("HTTP/1.1 431"));
    let token = format!("authorization: Bearer {}\r\n", "x".repeat(16 << 10));
    assert!(exchange(address, &request("/", &token)).await.starts_with("HTTP/1.1 200"));
    let body = format!(
        "POST / HTTP/1.1\r\nhost: gate\r\nconnection: close\r\ncontent-length: {0}\r\n\r\n{1}",
        70 << 10,
        "x".repeat(70 << 10)
    );
    assert!(!exchange(address, body.as_bytes()).await.contains("HTTP/1.1 200"));
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_never_ends_its_header_is_cut_off() {
    let limits = Limits { header_seconds_max: 1, ..Limits::default() };
    let (address, shutdown, running) = start(limits, Router::new()).await;
    for slow in [&b"GET / HTTP/1.1\r\nhost:"[..], b"PRI * HT", b""] {
        // Returns only because the server closes the connection.
        let answer = exchange(address, slow).await;
        assert!(!answer.contains("200"), "{answer}");
    }
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_has_something_to_say_gets_the_place_of_one_that_only_waits() {
    // Nobody is cut off for being slow here: only for being in the way.
    let limits = Limits { connections_max: 2, header_seconds_max: 3_600, ..Limits::default() };
    let router = Router::new().route("/", post(|body: String| async move { body }).get(|| async { "turn" }));
    let (address, shutdown, running) = start(limits, router).await;
    let mut waiting = Vec::new();
    let body = "POST / HTTP/1.1\r\nhost: gate\r\ncontent-length: 5\r\n\r\nhal";
    for begun in ["", "GET / HTTP/1.1\r\nhost:", "PRI * HT", body, "GET / HTTP/1.1\r\nhost: gate\r\n\r\n"] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        for _ in 0..10 {
            assert!(exchange(address, &request("/", "")).await.ends_with("turn"), "behind {begun:?}");
        }
    }
    shutdown.trigger();
    drop(waiting);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_under_way_keeps_its_place() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let (entered, mut inside) = tokio::sync::mpsc::channel(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&release);
    let slow = get(move || async move {
        entered.send(()).await.unwrap();
        held.notified().await;
        "whole"
    });
    let router = Router::new().route("/slow", slow).route("/", get(|| async { "turn" }));
    let (address, shutdown, running) = start(limits, router).await;
    let first = tokio::spawn(async move { exchange(address, &request("/slow", "")).await });
    inside.recv().await.unwrap();
    let second = tokio::spawn(async move { exchange(address, &request("/", "")).await });
    // However long the second one waits, the first is not cut off for it.
    while TcpStream::connect(address).await.is_err() {}
    release.notify_one();
    assert!(first.await.unwrap().ends_with("whole"));
    assert!(second.await.unwrap().ends_with("turn"));
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_503() {
    let limits = Limits { request_seconds_max: 1, ..Limits::default() };
    let router = Router::new().route("/", get(std::future::pending::<&str>));
    let (address, shutdown, running) = start(limits, router).await;
    assert!(exchange(address, &request("/", "")).await.starts_with("HTTP/1.1 503"));
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_function_is_served_and_http2_is_told_by_its_preface() {
    let server = Server::bind(&loopback(), &Limits::default()).await.unwrap();
    let address = server.local_addr().unwrap();
    let shutdown = Shutdown::manual();
    let answer = |request: Request<Arriving>| async move { Response::new(request.uri().path().to_owned()) };
    let running = tokio::spawn(server.serve_fn(answer, shutdown.clone()));
    assert!(exchange(address, &request("/verify", "")).await.ends_with("/verify"));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame answers");
    drop(stream);
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn clear_text_beyond_loopback_needs_a_sentence_in_the_configuration() {
    let beyond = Listen { address: "0.0.0.0:0".parse().unwrap(), ..loopback() };
    let refused = Server::bind(&beyond, &Limits::default()).await.unwrap_err();
    assert!(matches!(refused, WebFault::ClearBeyondLoopback(_)), "{refused}");
    let mapped = Listen { address: "[::ffff:127.0.0.1]:0".parse().unwrap(), ..loopback() };
    assert!(mapped.refuse_clear_beyond_loopback().is_ok());
    let text = "address = \"0.0.0.0:0\"\nclear_beyond_loopback = \"trusted-proxy\"\n";
    let said: Listen = toml::from_str(text).unwrap();
    assert!(said.refuse_clear_beyond_loopback().is_ok());
    assert!(toml::from_str::<Listen>("address = \"0.0.0.0:0\"\nclear_beyond_loopback = true\n").is_err());
}

#[tokio::test]
async fn the_unix_socket_is_for_its_owner_and_for_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mint.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::bind_unix(&path, &Limits::default()).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Server::bind_unix(&path, &Limits::default()).await.unwrap_err();
    assert!(matches!(second, WebFault::Served(_)), "{second}");
    let shutdown = Shutdown::manual();
    let router = Router::new().route("/", get(|| async { "inside" }));
    let running = tokio::spawn(server.serve_router(router, shutdown.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(&request("/", "")).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("inside"), "{answer}");
    shutdown.trigger();
    running.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn tls_is_spoken_with_the_configured_certificate_and_an_exposed_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificates, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let tls = Tls { certificates, key, client_certificates: ClientCertificates::default() };
    std::fs::write(&tls.certificates, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&tls.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let listen = Listen { tls: Some(tls.clone()), ..loopback() };
    let refused = Server::bind(&listen, &Limits::default()).await.unwrap_err();
    assert!(matches!(refused, WebFault::Tls(TlsFault::Exposed(_))), "{refused}");
    std::fs::set_permissions(&tls.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::bind(&listen, &Limits::default()).await.unwrap();
    let address = server.local_addr().unwrap();
    let shutdown = Shutdown::manual();
    let router = Router::new().route("/", get(|| async { "sealed" }));
    let running = tokio::spawn(server.serve_router(router, shutdown.clone()));
    let answer =
        tokio::time::timeout(Duration::from_secs(60), over_tls(address, made.cert.der().clone())).await;
    assert!(answer.unwrap().ends_with("sealed"));
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

async fn over_tls(address: SocketAddr, certificate: rustls_pki_types::CertificateDer<'static>) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(&request("/", "")).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_admin_pages_say_how_it_is() {
    let handle = crate::metrics::install().unwrap();
    metrics::counter!("farside_tests_total").increment(3);
    let router = admin_router(handle, || Err("the journal cannot be written".to_owned()));
    let (address, shutdown, running) = start(Limits::default(), router).await;
    let health = exchange(address, &request("/healthz", "")).await;
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("the journal"), "{health}");
    assert!(exchange(address, &request("/metrics", "")).await.contains("farside_tests_total 3"));
    shutdown.trigger();
    running.await.unwrap().unwrap();
}
