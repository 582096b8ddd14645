//! Importing at a gate: a hundred thousand parcels, a million log leaves. The import runs in a process of its
//! own, so that its peak memory is its own.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use farside_crossing::{Claim, Digest, Parcel};
use farside_gate::config::Config;
use farside_gate::import::{self, Mode, Outcome};

use crate::realm::{AUDIENCE, Far, NOW, Plan, Realm};

/// Tells a child process what to import: the gate's configuration, then the bundle.
const CHILD: &str = "FARSIDE_BENCH_IMPORT";

const PARCELS: u64 = 100_000;
const LEAVES: u32 = 1_000_000;

/// Runs both, or one import where this process is the child.
pub(crate) fn run() {
    if let Ok(task) = std::env::var(CHILD) {
        return import_and_tell(&task);
    }
    let (mut realm, far) = Far::enrolled();
    let parcels = (0..PARCELS).map(|index| parcel(&realm, index)).collect();
    let bundle = realm.send(Plan { parcels: Some(parcels), ..realm.plan() });
    println!("import_100k_parcels_bundle_mib {:.1}", bundle.len() as f64 / f64::from(1 << 20));
    let (seconds, peak_mib) = import(&far, &bundle);
    println!("import_100k_parcels_seconds {seconds:.2}");
    println!("import_100k_parcels_peak_mib {peak_mib:.0}");

    let (mut realm, far) = Far::enrolled();
    let started = Instant::now();
    let leaves: Vec<[u8; 32]> = (0..LEAVES).map(|n| *Digest::of(&n.to_be_bytes()).as_bytes()).collect();
    let hashing = started.elapsed().as_secs_f64();
    let bundle = realm.send(Plan { leaves: Some((0, leaves)), ..realm.plan() });
    let (seconds, peak_mib) = import(&far, &bundle);
    println!("hash_1m_leaves_seconds {hashing:.2}");
    println!("import_1m_leaves_over_hashing_seconds {:.2}", (seconds - hashing).max(0.0));
    println!("import_1m_leaves_peak_mib {peak_mib:.0}");
}

fn parcel(realm: &Realm, index: u64) -> Parcel {
    let subject = format!("user-{index:06}");
    let token = realm.token(&subject, index, r#","roles":["reader"]"#);
    Parcel { token, sub: subject, aud: Some(AUDIENCE.to_owned()), claim: Claim::File }
}

/// Seconds and peak MiB of one import by a fresh process.
fn import(far: &Far, bundle: &[u8]) -> (f64, f64) {
    let path = far.stick("b.fbundle", bundle);
    let task = format!("{}\n{}", far.config.home().join("gate.toml").display(), path.display());
    let program = std::env::current_exe().unwrap();
    let told = Command::new(program).arg("import").env(CHILD, task).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    let mut figures = text.split_whitespace().map(|word| word.parse::<f64>().unwrap());
    (figures.next().unwrap(), figures.next().unwrap())
}

fn import_and_tell(task: &str) {
    let (config, bundle) = task.split_once('\n').unwrap();
    let config = Config::load(Path::new(config)).unwrap();
    let started = Instant::now();
    let reports = import::path(&config, Path::new(bundle), Mode::Apply, NOW).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let Outcome::Applied(applied) = &reports[0].outcome else { panic!("the bundle was not applied") };
    assert!(applied.parcels.stored == PARCELS || applied.leaves == u64::from(LEAVES), "{applied:?}");
    println!("{seconds} {}", memory_mib("self", "VmHWM"));
}

/// A line of `/proc/<process>/status`, in MiB.
pub(crate) fn memory_mib(process: &str, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    kib.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
