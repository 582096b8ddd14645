//! A mint killed with SIGKILL under load, again and again: every token that a client holds has a proof that
//! its leaf stands under the restarted log's head, and no two tokens share a position.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use farside_system_tests::disk::{Disk, lay_out};
use farside_system_tests::http;
use farside_system_tests::ledger::recover;
use farside_system_tests::programs::scratch;
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::told::tokens;
use serde_json::Value;

const ROUNDS: usize = 4;
const CLIENTS: usize = 12;
/// Tokens that must have been received before the kill: by then the clients are all at work.
const TOKENS_BEFORE_KILL: usize = 60;

#[test]
fn a_mint_killed_under_load_has_the_leaf_of_every_token_that_left_it() {
    let sides = Sides::founded();
    let secret =
        sides.mint("bot secret lander-7 --json").json()["secret"].as_str().expect("a secret").to_owned();
    let authorization = basic("lander-7", &secret);
    let mut positions = BTreeSet::new();
    for round in 0..ROUNDS {
        let received = tokens_until_killed(&sides, &authorization).join("\n");
        let received = tokens(received.as_bytes());
        for token in &received {
            let position = token.position.index();
            assert!(positions.insert(position), "round {round}: {position} was given twice");
        }
        // On a copy, whose heads are signed by another key.
        let near = scratch();
        lay_out(&Disk::read(&sides.path("near")).seen(), near.path());
        recover(&format!("round {round}"), near.path(), &received);
    }
    assert!(positions.len() >= ROUNDS * TOKENS_BEFORE_KILL);
    // What the kills left open is void by now, and the log goes on behind it.
    sides.token("ada", CONTROL);
    assert_eq!(sides.mint("log check --json").json()["open_positions"], 0);
}

/// Asks from many threads at once, kills the mint in the middle of it, and hands over what was received.
fn tokens_until_killed(sides: &Sides, authorization: &str) -> Vec<String> {
    let server = sides.serve_mint();
    let (received, killed) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !killed.load(Ordering::Relaxed) {
                    let Some(token) = ask(sides, authorization) else { return };
                    received.lock().expect("no client panics").push(token);
                }
            });
        }
        while received.lock().expect("no client panics").len() < TOKENS_BEFORE_KILL {
            std::thread::yield_now();
        }
        let id = i32::try_from(server.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("a process id"), rustix::process::Signal::KILL)
            .expect("killed");
        killed.store(true, Ordering::Relaxed);
    });
    received.into_inner().expect("no client panics")
}

/// A token, or nothing once the mint is gone.
fn ask(sides: &Sides, authorization: &str) -> Option<String> {
    let body = format!("grant_type=client_credentials&audience={}", http::escaped(CONTROL));
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: mint\r\nauthorization: {authorization}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(sides.mint).ok()?;
    std::io::Write::write_all(&mut stream, request.as_bytes()).ok()?;
    let mut answer = String::new();
    // Cut off in the middle, an answer is no token.
    std::io::Read::read_to_string(&mut stream, &mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let body: Value = serde_json::from_str(body).ok()?;
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    Some(body["access_token"].as_str().expect("a token").to_owned())
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}
