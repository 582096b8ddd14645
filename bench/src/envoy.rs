//! What asking the gate adds to a request through Envoy: the configurations of `deploy/`, beside the same Envoy
//! that does not ask, at a moderate rate, in turn, round after round.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use farside_service::time::now_unix;

use crate::load::{InTurn, Load, get};
use crate::realm::{AUDIENCE, Far, Plan, claims};
use crate::servers::{self, Running, free_address, measured};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// Well below what one core bears of Envoy, gate and application together.
const PER_SECOND: f64 = 500.0;
const CONNECTIONS: usize = 8;
const HOLDERS: u64 = 200;

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
    let token = |index: u64| {
        let more = r#","roles":["operator"]"#;
        realm.key.sign("at+jwt", &claims(&format!("person-{index}"), index, now, more))
    };
    let texts: Vec<Vec<u8>> = (1..=HOLDERS).map(|index| get("/page", &token(index))).collect();
    let gate = servers::gate(far.config.home(), "", &get(&format!("/verify?aud={AUDIENCE}"), &token(0)));
    let application = servers::bare(false);
    let folder = tempfile::tempdir().expect("a folder");
    let deployed = |file: &str| std::fs::read_to_string(workspace.join("deploy/envoy").join(file)).expect(file);
    let grpc = deployed("ext-authz-grpc.yaml");
    let contenders = [
        ("without", not_asking(&grpc)),
        ("ext_authz_grpc", grpc.replace("aud: wiki", &format!("aud: {AUDIENCE}"))),
        ("ext_authz_http", deployed("ext-authz-http.yaml").replace("aud=wiki", &format!("aud={AUDIENCE}"))),
    ];
    let running = contenders.map(|(name, text)| {
        let behind = (gate.address.port(), application.address.port());
        let file = folder.path().join(format!("{name}.yaml"));
        (name, envoy(&program, file, &text, behind, &texts[0]), Vec::new())
    });
    report(running, &texts);
}

/// The filter stands there and asks nobody.
fn not_asking(text: &str) -> String {
    let mut silent = text.replace("check_settings: { context_extensions: { aud: wiki } }", "disabled: true");
    for action in ["read", "write"] {
        let asks = format!("check_settings: {{ context_extensions: {{ action: {action} }} }}");
        assert!(silent.contains(&asks), "deploy/envoy/ext-authz-grpc.yaml asks in another way");
        silent = silent.replace(&asks, "disabled: true");
    }
    silent
}

fn envoy(program: &Path, file: PathBuf, text: &str, behind: (u16, u16), request: &[u8]) -> Running {
    let door = free_address();
    let port = |port: u16| format!("port_value: {port}");
    let text = text
        .replace("port_value: 8710", &port(behind.0))
        .replace("port_value: 8080", &port(behind.1))
        .replace("port_value: 8081", &port(door.port()));
    std::fs::write(&file, text).expect("a folder");
    let mut command = Command::new(program);
    command.arg("-c").arg(file).args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Running::start(command, door, request)
}

type Contender = (&'static str, Running, Vec<(f64, f64)>);

fn report(mut running: [Contender; 3], texts: &[Vec<u8>]) {
    for _ in 0..ROUNDS {
        for (name, envoy, waits) in &mut running {
            let load = Load {
                address: envoy.address,
                connections: CONNECTIONS,
                lasting: ROUND,
                pace: Some(PER_SECOND),
            };
            let outcome = measured(load, &mut InTurn::new(texts.to_vec())).all_admitted(name);
            waits.push((outcome.waits.ms(50.0), outcome.waits.ms(99.0)));
        }
    }
    let median = |waits: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| {
        let mut sorted: Vec<f64> = waits.iter().map(which).collect();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let percentiles = [("p50", (|wait| wait.0) as fn(&(f64, f64)) -> f64), ("p99", |wait| wait.1)];
    for (percentile, which) in percentiles {
        let without = median(&running[0].2, which);
        println!("envoy_without_{percentile}_ms {without:.3}");
        for (name, _, waits) in &running[1..] {
            println!("envoy_{name}_adds_{percentile}_ms {:.3}", median(waits, which) - without);
        }
    }
}
