//! A gate at work: how long from its start to the first verdict, what it holds in memory when idle, and what
//! one judgement costs beside the bare verification.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use farside_gate::config::Config;
use farside_gate::judge::judge;

use crate::import::memory_mib;
use crate::realm::{AUDIENCE, Far, NOW, Plan, claims};

/// Tells a child process to serve the gate of this configuration.
const CHILD: &str = "FARSIDE_BENCH_GATE";

const STARTS: usize = 11;
const JUDGEMENTS: u32 = 20_000;

/// Runs all, or serves where this process is the child.
pub(crate) fn run() {
    if let Ok(config) = std::env::var(CHILD) {
        farside_gate::serve::run(&Config::load(Path::new(&config)).unwrap()).unwrap();
        return;
    }
    if crate::servers::serve_if_child() {
        return;
    }
    served();
    judged();
    crate::served::run();
    crate::known::run();
    crate::logged::run();
}

fn served() {
    let (mut realm, far) = Far::enrolled();
    let now = farside_service::time::now_unix();
    let plan = Plan { issued_at: now, next_by: now + 3_600, not_after: now + 7_200, ..realm.plan() };
    let bundle = realm.send(plan);
    far.import_at(&bundle, now);
    let config = far.config.home().join("gate.toml");
    let token = realm.key.sign("at+jwt", &claims("ada", 1, now, ""));

    let mut starts: Vec<f64> = Vec::new();
    let mut idle = 0.0;
    for nth in 0..STARTS {
        let address = listen_at_a_free_address(&config);
        let started = Instant::now();
        let mut gate = start(&config);
        first_verdict(address, &token);
        starts.push(started.elapsed().as_secs_f64() * 1e3);
        if nth == 0 {
            std::thread::sleep(Duration::from_secs(3));
            idle = memory_mib(&gate.id().to_string(), "VmRSS");
        }
        gate.kill().unwrap();
        gate.wait().unwrap();
    }
    starts.sort_by(f64::total_cmp);
    println!("gate_start_to_first_verdict_ms {:.1}", starts[STARTS / 2]);
    println!("gate_idle_rss_mib {idle:.1}");
}

pub(crate) fn start(config: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap()).arg("gate").env(CHILD, config).spawn().unwrap()
}

pub(crate) fn listen_at_a_free_address(config: &Path) -> SocketAddr {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (doors, admin) = (free(), free());
    let text = format!("site = \"dome\"\n[listen]\naddress = \"{doors}\"\n[admin]\naddress = \"{admin}\"\n");
    std::fs::write(config, text).unwrap();
    doors
}

/// Asks until the gate answers, and demands that it admits.
fn first_verdict(address: SocketAddr, token: &str) {
    let request = format!(
        "GET /verify?aud={AUDIENCE} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    loop {
        let Ok(mut stream) = TcpStream::connect(address) else {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        };
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        return;
    }
}

/// One judgement as a door makes it, the look at the store included, beside the bare verification.
fn judged() {
    let (mut realm, far) = Far::enrolled();
    let bundle = realm.send(realm.plan());
    far.import(&bundle);
    let gate = far.gate();
    let token = realm.token("ada", 1, r#","roles":["reader"]"#);
    let time = |work: &dyn Fn()| {
        let started = Instant::now();
        (0..JUDGEMENTS).for_each(|_| work());
        started.elapsed().as_secs_f64() * 1e6 / f64::from(JUDGEMENTS)
    };
    let whole = time(&|| drop(judge(&gate.trust().unwrap(), &token, AUDIENCE, NOW).unwrap()));
    let trust = gate.trust().unwrap();
    let bare = time(&|| drop(trust.verifier().unwrap().verify(&token, NOW).unwrap()));
    let look = time(&|| drop(gate.trust().unwrap()));
    println!("gate_judge_us {whole:.1}");
    println!("gate_judge_over_verify {:.3}", whole / bare);
    println!("gate_look_at_store_us {look:.2}");
}
