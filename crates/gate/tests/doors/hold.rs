//! Doors hold: whatever a stranger does with connections, headers, bodies and frames, another caller is
//! answered meanwhile; and what the gate needs is taken away from it, and given back.
//!
//! Nobody is cut off for being slow here (patience is an hour), so that what lets the other caller in is that
//! whoever only waits gives way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use farside_service::journal;
use farside_service::time::now_unix;
use rustix::process::Signal;

use super::process::{PATIENCE, Running, exchange, get};
use super::realm::{HOUR, revoked_name, status};

/// Few places, so that an attack on a test machine is one on a real one.
const CROWDED: &str = "[limits]\nconnections_max = 16\nheader_seconds_max = 3600\n";
const ATTACKERS: usize = 200;

/// What somebody does who has a connection and no good intentions.
struct Attack {
    name: &'static str,
    bytes: Vec<u8>,
}

fn attack(name: &'static str, bytes: impl AsRef<[u8]>) -> Attack {
    Attack { name, bytes: bytes.as_ref().to_vec() }
}

fn slow(good: &str) -> Vec<Attack> {
    let form = "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic d2lraTpiYWQ=\r\n";
    let json = "Content-Type: application/json\r\n";
    let post = |path: &str, lines: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lines}");
    vec![
        attack("says nothing", ""),
        attack("a header that never ends", "GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bear"),
        attack("a preface that never ends", "PRI * HTT"),
        attack("a body that never comes", post("/pickup", &format!("{json}Content-Length: 9\r\n\r\n{{"))),
        attack(
            "a chunk that never comes",
            post("/pickup", &format!("{json}Transfer-Encoding: chunked\r\n\r\nff\r\n{{")),
        ),
        attack("a form that never comes", post("/introspect", &format!("{form}Content-Length: 9\r\n\r\nt"))),
        attack("asks once and stays", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
        attack("is admitted and stays", format!("GET /verify HTTP/1.1\r\nHost: a\r\n{good}\r\n")),
        // Its answers fill every buffer on the way, as it reads none.
        attack("asks and does not listen", "GET /jwks.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20_000)),
        attack("HTTP/2 and nothing more", h2(&[])),
        attack("HTTP/2, a header that goes on elsewhere", h2(&[headers(1, "/verify", 0)])),
        attack("HTTP/2, a body that never comes", h2(&[headers(1, "/pickup", END_HEADERS)])),
        attack(
            "HTTP/2, a check that never comes",
            h2(&[headers(1, CHECK, END_HEADERS), frame(0, 0, 1, &[0, 0, 0])]),
        ),
    ]
}

/// Connections on which this was sent, as far as the gate took it.
fn under(attack: &Attack, door: SocketAddr, count: usize) -> Vec<TcpStream> {
    let begun = |_| {
        let mut stream = TcpStream::connect(door).unwrap();
        stream.set_write_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        // Whoever is not read, or was sent away already, cannot send all of it.
        let _ = stream.write_all(&attack.bytes);
        stream
    };
    (0..count).map(begun).collect()
}

fn is_served(gate: &Running, what: &str) {
    let good = format!("Authorization: Bearer {}\r\n", gate.token("anna", 1));
    for _ in 0..3 {
        let answer = get(gate.doors, "/verify", &good);
        assert!(answer.starts_with("HTTP/1.1 200"), "while {what}: {answer:?}");
        assert!(get(gate.doors, "/verify", "").starts_with("HTTP/1.1 401"), "while {what}");
    }
}

#[test]
fn whoever_is_slow_or_idle_keeps_nobody_out() {
    let gate = Running::start(CROWDED, &[]);
    let good = format!("Authorization: Bearer {}\r\n", gate.token("anna", 1));
    for attack in slow(&good) {
        let few = attack.bytes.len() > 100_000;
        let attackers = under(&attack, gate.doors, if few { 20 } else { ATTACKERS });
        is_served(&gate, attack.name);
        drop(attackers);
    }
    // Thousands, of all kinds, one over the other.
    let kinds = slow(&good);
    let light = kinds.iter().filter(|attack| attack.bytes.len() < 100_000);
    let all: Vec<_> = light.flat_map(|attack| under(attack, gate.doors, 150)).collect();
    is_served(&gate, "all at once");
    drop(all);
    is_served(&gate, "all have gone");
}

#[test]
fn a_proxy_that_keeps_asking_keeps_its_connection_through_a_flood() {
    let gate = Running::start(CROWDED, &[]);
    let good = format!("Authorization: Bearer {}\r\n", gate.token("anna", 1));
    let mut proxy = TcpStream::connect(gate.doors).unwrap();
    proxy.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut crowd = Vec::new();
    for round in 0..200 {
        proxy.write_all(format!("GET /verify HTTP/1.1\r\nHost: a\r\n{good}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 12];
        proxy.read_exact(&mut answer).unwrap_or_else(|fault| panic!("round {round}: {fault}"));
        assert_eq!(&answer, b"HTTP/1.1 200");
        rest_of_head(&mut proxy);
        crowd.extend((0..5).map(|_| TcpStream::connect(gate.doors).unwrap()));
    }
}

/// Reads up to the end of a head that has no body behind it.
fn rest_of_head(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

#[test]
fn a_half_finished_handshake_keeps_nobody_out_and_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certified(folder.path());
    let gate = Running::start(&format!("[limits]\nconnections_max = 16\n{tls}"), &[]);
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 20]].concat();
    for begun in [&b""[..], &hello[..3], &hello] {
        let attack = attack("half a handshake", begun);
        let attackers = under(&attack, gate.doors, ATTACKERS);
        let token = gate.token("anna", 1);
        let answer = over_tls(gate.doors, folder.path(), &token);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        drop(attackers);
    }
    // Alone it is in nobody's way, and ends all the same: this read returns because the gate ends it.
    let patient = Running::start(&format!("[limits]\nheader_seconds_max = 1\n{tls}"), &[]);
    for begun in [&b""[..], &hello] {
        let mut half = under(&attack("half a handshake", begun), patient.doors, 1).remove(0);
        assert_eq!(answer_to_the_end(&mut half), b"");
    }
}

fn certified(folder: &Path) -> String {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    format!("[listen.tls]\ncertificates = {certificate:?}\nkey = {key:?}\n")
}

fn over_tls(address: SocketAddr, folder: &Path, token: &str) -> String {
    let certificates = folder.join("cert.pem");
    let tls = Some(("localhost", certificates.as_path()));
    let asked =
        farside_service::web::client::Asked { address, tls, seconds_max: 60, answer_bytes_max: 10_000 };
    let request = format!(
        "GET /verify HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    String::from_utf8(asked.exchange(request.as_bytes()).unwrap()).unwrap()
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// An HTTP/2 connection's beginning: preface, empty settings, and these frames.
fn h2(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frames.concat());
    bytes
}

// RFC 9113 §4.1
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A POST's head: names from HPACK's static table, literal values, nothing indexed (RFC 7541 §6.2.2).
fn headers(stream: u32, path: &str, flags: u8) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, path), (1, "gate")] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.bytes());
    }
    // content-type: 31 does not fit into four bits.
    block.extend([0x0f, 31 - 15, 16]);
    block.extend(b"application/json");
    frame(1, flags, stream, &block)
}

/// Everything that comes before the connection ends.
fn answer_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // Reset or ended, it is over; only silence would be a timeout.
    if let Err(fault) = stream.read_to_end(&mut answer) {
        assert_eq!(fault.kind(), ErrorKind::ConnectionReset, "{fault}");
    }
    answer
}

/// How each of them abuses a connection of HTTP/2, in pieces that are sent on and on.
fn floods() -> Vec<(&'static str, Box<dyn Fn(u32) -> Vec<u8>>)> {
    let odd = |nth: u32| 2 * nth + 1;
    vec![
        (
            "rapid reset",
            Box::new(move |nth| {
                let reset = frame(3, 0, odd(nth), &8u32.to_be_bytes());
                [headers(odd(nth), "/verify", END_HEADERS | END_STREAM), reset].concat()
            }),
        ),
        (
            "headers without end",
            Box::new(|nth| match nth {
                0 => headers(1, "/verify", 0),
                _ => frame(
                    9,
                    0,
                    1,
                    &[0x0f, 31 - 15, 16].iter().chain(b"application/json").copied().collect::<Vec<_>>(),
                ),
            }),
        ),
        (
            "empty continuations",
            Box::new(|nth| match nth {
                0 => headers(1, "/verify", 0),
                _ => frame(9, 0, 1, &[]),
            }),
        ),
        (
            "empty data",
            Box::new(|nth| match nth {
                0 => headers(1, "/pickup", END_HEADERS),
                _ => frame(0, 0, 1, &[]),
            }),
        ),
        (
            "streams that were never opened",
            Box::new(move |nth| {
                let window = frame(8, 0, odd(nth), &0u32.to_be_bytes());
                [headers(odd(nth), "/verify", END_HEADERS), window].concat()
            }),
        ),
    ]
}

#[test]
fn whoever_abuses_http2_is_cut_off_and_others_are_served_meanwhile() {
    let gate = Running::start("[limits]\nheader_seconds_max = 3600\n", &[]);
    for (name, piece) in floods() {
        let mut stream = TcpStream::connect(gate.doors).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&h2(&[])).unwrap();
        // Ends because the gate ends it: this client would go on for ever.
        let ended = (0..1_000_000).find(|nth| stream.write_all(&piece(*nth)).is_err());
        assert!(ended.is_some(), "{name} was borne to the end");
        is_served(&gate, name);
    }
}

#[test]
fn whoever_floods_settings_and_pings_without_listening_holds_up_nobody() {
    let gate = Running::start(CROWDED, &[]);
    let pieces = [("settings", frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])), ("pings", frame(6, 0, 0, &[7; 8]))];
    for (name, piece) in pieces {
        let flood = attack(name, h2(&[piece.repeat(100_000)]));
        let attackers = under(&flood, gate.doors, 20);
        is_served(&gate, name);
        drop(attackers);
    }
}

#[test]
fn a_client_that_is_never_heard_of_again_is_given_up() {
    let gate = Running::start("[limits]\nheader_seconds_max = 1\n", &[]);
    for attack in [
        attack("idle after an answer", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
        attack("HTTP/2 and no answer to pings", h2(&[])),
        attack("HTTP/2 within a header", h2(&[headers(1, "/verify", 0)])),
    ] {
        let mut stream = under(&attack, gate.doors, 1).remove(0);
        // Returns because the gate ends it.
        answer_to_the_end(&mut stream);
    }
    // One that does not read what it asked for: the gate's kernel gives it up, and then it is told so.
    let deaf =
        attack("asks and does not listen", "GET /jwks.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50_000));
    let mut stream = TcpStream::connect(gate.doors).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut sent = Ok(());
    for _ in 0..100 {
        sent = sent.and_then(|()| stream.write_all(&deaf.bytes));
    }
    let kind = sent.unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
}

#[test]
fn without_file_handles_for_all_who_come_those_who_ask_are_answered_and_bundles_arrive() {
    let limit = "ulimit -n 120; exec \"$0\" \"$@\"";
    let mut gate = Running::start("[limits]\nheader_seconds_max = 3600\n", &["sh", "-c", limit]);
    let crowd = under(&attack("says nothing", ""), gate.doors, ATTACKERS);
    let asked =
        under(&attack("asks once", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), gate.doors, ATTACKERS);
    is_served(&gate, "no handle is left");
    assert!(get(gate.admin, "/healthz", "").starts_with("HTTP/1.1 200"));

    let mut plan = gate.realm.plan();
    let mut revoked = status(2);
    revoked.subjects.push(revoked_name("bert", now_unix() + HOUR));
    plan.status = Some(revoked);
    let bert = gate.token("bert", 2);
    gate.drop_into_inbox(plan);
    gate.wait_until("revoked", || gate.show(&bert).starts_with("HTTP/1.1 401"));
    is_served(&gate, "a bundle was imported with no handle to spare");
    drop((crowd, asked));
    assert_eq!(gate.end(), Some(0));
    journal::verify(&gate.far.config.journal().join("gate.jsonl")).unwrap();
}

#[test]
fn a_request_that_is_broken_off_halfway_leaves_nothing_behind() {
    let gate = Running::start(CROWDED, &[]);
    let good = format!("Authorization: Bearer {}\r\n", gate.token("anna", 1));
    let request = format!("GET /verify HTTP/1.1\r\nHost: a\r\n{good}\r\n");
    for cut in 0..request.len() {
        let mut stream = TcpStream::connect(gate.doors).unwrap();
        stream.write_all(&request.as_bytes()[..cut]).unwrap();
        if cut % 2 == 0 {
            stream.shutdown(Shutdown::Write).unwrap();
        }
    }
    is_served(&gate, "all of them were broken off");
    let admitted = exchange(gate.doors, &request.replace("Host", "Connection: close\r\nHost"));
    assert!(admitted.starts_with("HTTP/1.1 200"), "{admitted}");
}

#[test]
fn a_gate_that_was_stopped_and_goes_on_answers_whoever_waited() {
    let gate = Running::start("", &[]);
    let token = gate.token("anna", 1);
    gate.signal(Signal::STOP);
    let mut waiting = TcpStream::connect(gate.doors).unwrap();
    let head = "GET /verify HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    waiting.write_all(format!("{head}Authorization: Bearer {token}\r\n\r\n").as_bytes()).unwrap();
    gate.signal(Signal::CONT);
    let answer = answer_to_the_end(&mut waiting);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_locked_store_holds_up_no_judgement_and_loses_no_bundle() {
    let mut gate = Running::start("", &[]);
    let bert = gate.token("bert", 2);
    let locking = rusqlite::Connection::open(gate.far.config.database()).unwrap();
    locking.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut plan = gate.realm.plan();
    let mut revoked = status(2);
    revoked.subjects.push(revoked_name("bert", now_unix() + HOUR));
    plan.status = Some(revoked);
    gate.drop_into_inbox(plan);
    is_served(&gate, "the store is locked");
    locking.execute_batch("ROLLBACK").unwrap();
    gate.wait_until("revoked", || gate.show(&bert).starts_with("HTTP/1.1 401"));
    is_served(&gate, "the store is free again");
}
