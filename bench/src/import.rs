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
const LEAVES: u64 = 1_000_000;
const LEAF_ROUNDS: usize = 5;

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

    leaves();
}

/// A run of a million leaves, beside the hashing that no check of it can do without: a million nodes of 65
/// bytes.
fn leaves() {
    let (mut ratios, mut bare_times, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..LEAF_ROUNDS {
        let (mut realm, far) = Far::enrolled();
        let mut tree = realm.tree();
        tree.fill(LEAVES, "leaf");
        let component = tree.run(0, LEAVES, &[]);
        let bundle = realm.send(Plan { leaves: Some(component), ..realm.plan() });
        let bare = bare_nodes();
        let (seconds, peak_mib) = import(&far, &bundle);
        ratios.push(seconds / bare);
        bare_times.push(bare);
        peaks.push(peak_mib);
    }
    println!("sha256_1m_nodes_seconds {:.3}", median(bare_times));
    println!("import_1m_leaves_over_bare_sha256 {:.2}", median(ratios));
    println!("import_1m_leaves_peak_mib {:.0}", median(peaks));
}

fn bare_nodes() -> f64 {
    let started = Instant::now();
    let mut node = [1_u8; 65];
    for _ in 0..LEAVES {
        let hash = Digest::of(&node);
        node[33..].copy_from_slice(hash.as_bytes());
    }
    std::hint::black_box(node);
    started.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
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
    assert!(applied.parcels.stored == PARCELS || applied.leaves == LEAVES, "{applied:?}");
    println!("{seconds} {}", memory_mib("self", "VmHWM"));
}

/// A line of `/proc/<process>/status`, in MiB.
pub(crate) fn memory_mib(process: &str, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    kib.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
