//! The log as others meet it over the network: tiles and heads for whoever asks, and witnesses who cosign.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod near;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_crossing::cosignature::{WitnessKey, message};
use farside_crossing::{LogKey, Note};
use farside_mint::log::IssuanceLog;
use farside_mint::log::http::router;
use farside_mint::log::witness::{Rounds, Witness};
use farside_service::web::{Limits, Listen, Server, Shutdown};
use farside_verify::merkle::{Hash, is_consistent};
use near::{Near, issue};

/// The log's pages on a loopback port, closed when dropped.
struct Pages {
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Pages {
    fn open(log: &Arc<IssuanceLog>) -> Pages {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls: None, clear_beyond_loopback: None };
        let server = runtime.block_on(Server::bind(&listen, &Limits::default())).unwrap();
        let (address, shutdown) = (server.local_addr().unwrap(), Shutdown::manual());
        runtime.spawn(server.serve_router(router(Arc::clone(log)), shutdown.clone()));
        Pages { runtime: Some(runtime), address, shutdown }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: mint\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.shutdown.trigger();
        self.runtime.take().unwrap().shutdown_timeout(std::time::Duration::from_secs(5));
    }
}

#[test]
fn an_outsider_reads_the_whole_log_over_http_and_nothing_else() {
    let near = Near::founded();
    let log = near.log();
    issue(&log, "plant7", 0..300);
    log.publish().unwrap();
    let pages = Pages::open(&log);
    let checked = near.checked_at(&format!("http://{}/log", pages.address), &["--shard", "plant7"]);
    assert_eq!((&checked["agrees"], &checked["leaves"]), (&true.into(), &300.into()), "{checked}");
    let head = pages.get("/log/plant7/checkpoint");
    assert!(head.contains("content-type: text/plain; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("cache-control: no-cache\r\n"), "{head}");
    let tile = pages.get("/log/plant7/tile/0/000");
    assert!(tile.contains("content-type: application/octet-stream\r\n"), "{tile}");
    assert!(tile.contains("immutable"), "{tile}");
    for path in [
        "/log/mine2/checkpoint",
        "/log/plant7/tile/0/002",
        "/log/plant7/tile/0/001.p/200",
        "/log/plant7/tile/0/../../../issued.log",
        "/log/..%2F..%2Fplant7/checkpoint",
        "/log/plant7/tile/0/%2e%2e%2f%2e%2e%2fcheckpoint",
        "/log/plant7/issued.log",
        "/log/plant7",
    ] {
        assert!(pages.get(path).starts_with("HTTP/1.1 404"), "{path}");
    }
}

/// What a witness does with its statement before it sends it.
#[derive(Clone, Copy, PartialEq)]
enum Honesty {
    Honest,
    /// It signs another checkpoint than the one it was asked about.
    Lying,
}

/// A witness as c2sp.org/tlog-witness demands it, for one log: it remembers what it has seen.
struct TestWitness {
    address: SocketAddr,
    key: WitnessKey,
    seen: Arc<Mutex<(u64, Hash)>>,
    asked: Arc<Mutex<Vec<u16>>>,
    thread: Option<JoinHandle<()>>,
}

impl TestWitness {
    fn start(log: LogKey, honesty: Honesty) -> TestWitness {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        let key = WitnessKey::new("w.example", pair.public_key().as_ref().try_into().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, asked) = (Arc::new(Mutex::new((0, [0; 32]))), Arc::<Mutex<Vec<u16>>>::default());
        let id = u32::from_str_radix(key.to_string().split('+').nth(1).unwrap(), 16).unwrap();
        let (memory, record) = (Arc::clone(&seen), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(body) = read_request(&mut stream) else { return };
                let (status, answer) = judge(&body, &log, &mut memory.lock().unwrap());
                record.lock().unwrap().push(status);
                let mut text = answer.clone();
                if status == 200 {
                    let signed = if honesty == Honesty::Lying { "another\n1\n\n" } else { answer.as_str() };
                    let time: u64 = 1_764_000_000;
                    let signature = pair.sign(message(time, signed).as_bytes());
                    let bytes = [&id.to_be_bytes()[..], &time.to_be_bytes(), signature.as_ref()].concat();
                    text = format!("\u{2014} w.example {}\n", STANDARD.encode(bytes));
                }
                let length = text.len();
                write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{text}").unwrap();
            }
        });
        TestWitness { address, key, seen, asked, thread: Some(thread) }
    }

    fn config(&self) -> Witness {
        Witness { vkey: self.key.clone(), url: format!("http://{}/w/", self.address), ca: None }
    }
}

impl Drop for TestWitness {
    fn drop(&mut self) {
        // A connection that asks nothing ends it.
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).unwrap();
        text.extend_from_slice(&part[..read]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
            if read == 0 {
                return None;
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            assert!(head.starts_with("POST /w/add-checkpoint HTTP/1."), "{head}");
            return Some(body.to_owned());
        }
    }
}

/// The status, and the checkpoint's text or the size held.
fn judge(body: &str, log: &LogKey, seen: &mut (u64, Hash)) -> (u16, String) {
    let (proof, checkpoint) = body.split_once("\n\n").unwrap();
    let mut lines = proof.lines();
    let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    let proof: Vec<Hash> = lines.map(|line| STANDARD.decode(line).unwrap().try_into().unwrap()).collect();
    let note = Note::parse(checkpoint.as_bytes()).unwrap();
    let Ok(text) = log.verify(&note) else { return (403, String::new()) };
    let text_lines: Vec<&str> = text.lines().collect();
    let size: u64 = text_lines[1].parse().unwrap();
    let root: Hash = STANDARD.decode(text_lines[2]).unwrap().try_into().unwrap();
    if old != seen.0 {
        return (409, format!("{}\n", seen.0));
    }
    let follows = match old {
        0 => proof.is_empty(),
        _ => is_consistent((old, &seen.1), (size, &root), &proof),
    };
    if !follows {
        return (422, String::new());
    }
    *seen = (size, root);
    (200, text.to_owned())
}

fn log_key(near: &Near) -> LogKey {
    let line = std::fs::read_to_string(near.path("near/keys/log.pub")).unwrap();
    line.trim_end().parse::<LogKey>().unwrap().of_shard("plant7").unwrap()
}

#[test]
fn witnesses_cosign_each_head_and_are_asked_from_what_they_hold() {
    let near = Near::founded();
    let witness = TestWitness::start(log_key(&near), Honesty::Honest);
    let log = near.log();
    let mut rounds = Rounds::new(Arc::clone(&log), vec![witness.config()], &near.path("near"));
    let vkey = witness.key.to_string();
    for until in [10, 300] {
        issue(&log, "plant7", if until == 10 { 0..10 } else { 10..300 });
        log.publish().unwrap();
        rounds.go();
        assert_eq!(witness.seen.lock().unwrap().0, until);
        assert_eq!(near.checked(&["--witness", &vkey])["agrees"], true, "the outsider sees it too");
    }
    rounds.go();
    assert_eq!(
        *witness.asked.lock().unwrap(),
        [200, 200],
        "a head that is cosigned is not asked about again"
    );
    drop((rounds, log));
    // A mint that starts again knows neither the line nor what the witness holds.
    let log = near.log();
    let mut rounds = Rounds::new(Arc::clone(&log), vec![witness.config()], &near.path("near"));
    rounds.go();
    assert_eq!(*witness.asked.lock().unwrap(), [200, 200, 409, 200]);
    let note = log.checkpoint("plant7").unwrap();
    assert_eq!(witness.key.cosigned_at(&Note::parse(&note).unwrap()).unwrap(), Some(1_764_000_000));
    issue(&log, "plant7", 300..301);
    log.publish().unwrap();
    assert_eq!(near.checked(&[])["leaves"], 301, "the next head waits for no witness");
}

#[test]
fn a_line_that_does_not_hold_is_not_put_on_a_head() {
    let near = Near::founded();
    let witness = TestWitness::start(log_key(&near), Honesty::Lying);
    let log = near.log();
    issue(&log, "plant7", 0..10);
    log.publish().unwrap();
    let before = log.checkpoint("plant7").unwrap();
    Rounds::new(Arc::clone(&log), vec![witness.config()], &near.path("near")).go();
    assert_eq!(witness.asked.lock().unwrap().len(), 1);
    assert_eq!(log.checkpoint("plant7").unwrap(), before);
}
