//! What asking the gate adds to a request through Envoy: the configurations of `deploy/`, beside the same
//! Envoy that does not ask, at a moderate rate, in turn, round after round.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farside_service::time::now_unix;

use crate::realm::{AUDIENCE, Far, Plan, claims};
use crate::soak::Asking;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// Well below what two cores bear of Envoy, gate, application and clients together.
const PER_SECOND: u32 = 400;
const CONNECTIONS: u32 = 8;
const STARTING: Duration = Duration::from_secs(30);

/// Runs all rounds.
pub(crate) fn run() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = workspace.join("system-tests/tests/python/.venv/bin/envoy");
    if !program.exists() {
        println!("# no Envoy here: `cargo xtask peers` installs it");
        return;
    }
    let (mut realm, far) = Far::enrolled();
    let now = now_unix();
    let plan = Plan { issued_at: now, next_by: now + 3_600, not_after: now + 7_200, ..realm.plan() };
    let bundle = realm.send(plan);
    far.import_at(&bundle, now);
    let token = realm.key.sign("at+jwt", &claims("anna", 1, now, r#","roles":["operator"]"#));
    let text = format!("GET /page HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes();

    let config = far.config.home().join("gate.toml");
    let gate = crate::gate::listen_at_a_free_address(&config);
    let _gate = Ended(crate::gate::start(&config));
    let behind = (gate.port(), application().port());
    let folder = tempfile::tempdir().expect("a folder");
    let deployed =
        |file: &str| std::fs::read_to_string(workspace.join("deploy/envoy").join(file)).expect(file);
    let grpc = deployed("ext-authz-grpc.yaml");
    let mut contenders = [
        ("without", not_asking(&grpc)),
        ("ext_authz_grpc", grpc.replace("aud: wiki", &format!("aud: {AUDIENCE}"))),
        ("ext_authz_http", deployed("ext-authz-http.yaml").replace("aud=wiki", &format!("aud={AUDIENCE}"))),
    ]
    .map(|(name, yaml)| {
        let file = folder.path().join(format!("{name}.yaml"));
        let (child, door) = envoy(&program, file, &yaml, behind, &text);
        (name, child, door, Vec::new())
    });
    for _ in 0..ROUNDS {
        for (_, _, door, rounds) in &mut contenders {
            rounds.push(round(*door, &text));
        }
    }
    for (percentile, which) in [("p50", 50), ("p99", 99)] {
        let median = |rounds: &[Vec<f64>]| {
            let mut of_rounds: Vec<f64> =
                rounds.iter().map(|waits| waits[(waits.len() - 1) * which / 100]).collect();
            of_rounds.sort_by(f64::total_cmp);
            of_rounds[of_rounds.len() / 2]
        };
        let without = median(&contenders[0].3);
        println!("envoy_without_{percentile}_ms {without:.3}");
        for (name, _, _, rounds) in &contenders[1..] {
            println!("envoy_{name}_adds_{percentile}_ms {:.3}", median(rounds) - without);
        }
    }
}

/// A process that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The filter stands there and asks nobody.
fn not_asking(text: &str) -> String {
    let mut silent = text.to_owned();
    for said in ["aud: wiki", "action: read", "action: write"] {
        let asks = format!("check_settings: {{ context_extensions: {{ {said} }} }}");
        assert!(silent.contains(&asks), "deploy/envoy/ext-authz-grpc.yaml asks in another way");
        silent = silent.replace(&asks, "disabled: true");
    }
    silent
}

fn envoy(
    program: &Path,
    file: PathBuf,
    yaml: &str,
    (gate, application): (u16, u16),
    request: &[u8],
) -> (Ended, SocketAddr) {
    let door = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let port = |port: u16| format!("port_value: {port}");
    let yaml = yaml
        .replace("port_value: 8710", &port(gate))
        .replace("port_value: 8080", &port(application))
        .replace("port_value: 8081", &port(door.port()));
    std::fs::write(&file, yaml).expect("a folder");
    let mut command = Command::new(program);
    command.arg("-c").arg(file).args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let envoy = Ended(command.spawn().expect("an Envoy that starts"));
    let begun = Instant::now();
    while !admits(door, request) {
        assert!(begun.elapsed() < STARTING, "Envoy never let a good request through");
        std::thread::sleep(Duration::from_millis(50));
    }
    (envoy, door)
}

fn admits(door: SocketAddr, request: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(door) else { return false };
    let mut start = [0; 12];
    let read = stream.write_all(request).and_then(|()| stream.read_exact(&mut start));
    read.is_ok() && start == *b"HTTP/1.1 200"
}

/// An application that says nothing, as fast as it can.
fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || while_asked(&stream.expect("a connection")));
        }
    });
    address
}

fn while_asked(mut stream: &TcpStream) {
    stream.set_nodelay(true).expect("a TCP stream");
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        head.extend_from_slice(&bytes[..read]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }
}

/// Requests that fall due at a steady rate; milliseconds from then until the answer, sorted.
fn round(door: SocketAddr, text: &[u8]) -> Vec<f64> {
    let begun = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|nth| {
            let text = text.to_vec();
            std::thread::spawn(move || {
                let mut asking = Asking::connect(door);
                let mut waits = Vec::new();
                for turn in (nth..).step_by(CONNECTIONS as usize) {
                    let due = begun + Duration::from_secs(1) * turn / PER_SECOND;
                    if due >= begun + ROUND {
                        return waits;
                    }
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    asking.say(&text);
                    assert_eq!(asking.status(), Some(200), "a good token");
                    waits.push(due.elapsed().as_secs_f64() * 1e3);
                }
                waits
            })
        })
        .collect();
    let of_all = clients.into_iter().flat_map(|client| client.join().expect("a client"));
    let mut waits: Vec<f64> = of_all.collect();
    waits.sort_by(f64::total_cmp);
    waits
}
