//! Single use through power cuts and kills: a token that was admitted once is admitted never again, whatever
//! the disk kept and whenever the gate was killed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use farside_gate::config::Config;
use farside_gate::judge;
use farside_gate::replay::Replay;
use farside_gate::trust::Gate;
use farside_system_tests::crash::{Image, Recording};
use farside_system_tests::faults::Rig;
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::{http, told, torture};
use farside_verify::Code;

/// People at the door at the same time, so that several tokens share one fsync.
const CLIENTS: usize = 6;
/// Tokens that are shown while the gate is recorded.
const TOKENS: usize = 48;
/// Kills, and tokens that must have entered before each.
const KILLS: usize = 3;
const ENTERED_BEFORE_KILL: usize = 12;

/// A gate whose audience admits each token once, and so many tokens for it.
fn about_to_serve(tokens: usize) -> (Sides, Vec<String>) {
    let sides = Sides::founded();
    sides.mint(&format!("site set dome --single-use yes --only {CONTROL}"));
    let secret = sides.mint("bot secret lander-7 --json").json()["secret"].as_str().expect("text").to_owned();
    let mint = sides.serve_mint();
    let ask = |_| http::ask_token(sides.mint, "lander-7", &secret, CONTROL).1.expect("a token");
    let tokens = (0..tokens).map(ask).collect();
    mint.stop();
    sides.bundle("full");
    sides.cross();
    (sides, tokens)
}

/// A gate that admits each of these once, recorded from its start to its end.
fn serving(sides: &Sides, rig: &Rig, tokens: &[String]) -> Recording {
    let next = AtomicUsize::new(0);
    rig.gate_answering(sides, CLIENTS, |_| {
        while let Some(token) = tokens.get(next.fetch_add(1, Ordering::Relaxed)) {
            assert_eq!(sides.knock(token, CONTROL).status, 200);
        }
    })
}

/// No token that was told to have entered before the cut enters a gate that starts from this state.
fn none_enters_again(image: &Image, far: &Path, told: &[(usize, String)], tokens: &HashMap<String, String>) {
    let fault = |fault: &dyn std::fmt::Display| -> ! { panic!("{}: {fault}", image.describe()) };
    let config = Config::load(&far.join("gate.toml")).unwrap_or_else(|failure| fault(&failure));
    let gate = Gate::open(&config).unwrap_or_else(|failure| fault(&failure));
    let now = gate.moment().now;
    let replay = Replay::open(&config, gate.store(), now).unwrap_or_else(|failure| fault(&failure));
    let trust = gate.trust().unwrap_or_else(|refusal| fault(&refusal));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (_, id) in told.iter().take_while(|(end, _)| *end <= image.told().len()) {
        let pending =
            judge::judge(&trust, &tokens[id], CONTROL, now).unwrap_or_else(|refusal| fault(&refusal));
        match runtime.block_on(pending.remember(&replay, now)) {
            Ok(_) => panic!("{}: {id} enters again", image.describe()),
            Err(refusal) => assert_eq!(refusal.code(), Code::Replayed, "{}: {refusal}", image.describe()),
        }
    }
}

#[test]
fn a_token_that_entered_enters_never_again_whatever_is_cut() {
    let (sides, tokens) = about_to_serve(TOKENS);
    let rig = Rig::of(&sides.path("far"), &[]);
    let recording = serving(&sides, &rig, &tokens);
    let told = told::admitted(recording.told());
    assert_eq!(told.len(), TOKENS, "every admission was told");
    let by_id: HashMap<String, String> = tokens.iter().map(|token| (id_of(token), token.clone())).collect();
    torture::judge("single use", &recording, torture::share(6), |image, far| {
        none_enters_again(image, far, &told, &by_id);
    });
}

#[test]
fn a_token_that_entered_enters_never_again_after_the_gate_was_killed() {
    let (sides, tokens) = about_to_serve(KILLS * 4 * ENTERED_BEFORE_KILL);
    let (next, mut entered) = (AtomicUsize::new(0), Vec::new());
    for round in 0..KILLS {
        let server = sides.serve_gate();
        let now = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while let Some(token) = tokens.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // Nothing, once the gate is gone.
                        let Some(200) = status(&sides, token) else { return };
                        now.lock().expect("no client panics").push(token.clone());
                    }
                });
            }
            while now.lock().expect("no client panics").len() < ENTERED_BEFORE_KILL {
                std::thread::yield_now();
            }
            let id = i32::try_from(server.id()).ok().and_then(rustix::process::Pid::from_raw);
            rustix::process::kill_process(id.expect("a process id"), rustix::process::Signal::KILL)
                .expect("killed");
        });
        entered.extend(now.into_inner().expect("no client panics"));
        let server = sides.serve_gate();
        for token in &entered {
            let answer = sides.knock(token, CONTROL);
            assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("replayed")), "{round}");
        }
        server.stop();
    }
    let server = sides.serve_gate();
    let fresh = tokens.last().filter(|_| next.load(Ordering::Relaxed) < tokens.len());
    assert_eq!(sides.knock(fresh.expect("some were not shown"), CONTROL).status, 200);
    // And people are told how much is remembered.
    let status = sides.attempt("gate status --json --config far/gate.toml").json();
    assert!(
        status["replay"]["entries"].as_u64().is_some_and(|count| count > entered.len() as u64),
        "{status}"
    );
    server.stop();
}

fn id_of(token: &str) -> String {
    let claims = told::tokens(token.as_bytes());
    claims.first().expect("a token").position.to_string()
}

/// The status at the door, or nothing where nobody answers.
fn status(sides: &Sides, token: &str) -> Option<u16> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(sides.gate).ok()?;
    let path = format!("/verify?aud={}", http::escaped(CONTROL));
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_whitespace().nth(1)?.parse().ok()
}
