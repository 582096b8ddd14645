//! Auditing a month: a thousand bundles, a million tokens, a million decisions. The history is made up and
//! written first; only reading, checking, comparing and writing the page is timed.

use std::ffi::OsString;
use std::time::Instant;

use clap::Parser as _;
use farside_audit::cli::{self, Cli};

use crate::staged::Story;

const BUNDLES: u64 = 1_000;
const TOKENS: u64 = 1_000_000;

/// `farside audit …`, as the front door parses it.
#[derive(clap::Parser)]
struct Door {
    #[command(flatten)]
    cli: Cli,
}

/// Runs it.
pub(crate) fn run() {
    crate::journals::run();
    month();
}

fn month() {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = Story::of(BUNDLES, TOKENS).write(dir.path());
    let out = dir.path().join("report.html");
    let mut words: Vec<OsString> = ["audit", "report"].map(OsString::from).to_vec();
    words.extend([near.into(), far.into(), "--out".into(), out.clone().into()]);
    let Door { cli } = Door::parse_from(words);
    let started = Instant::now();
    cli::run(&cli).unwrap();
    println!("audit_report_month_seconds {:.1}", started.elapsed().as_secs_f64());
    println!("audit_report_month_peak_mib {:.0}", crate::import::memory_mib("self", "VmHWM"));
    let bytes = std::fs::metadata(&out).unwrap().len();
    println!("audit_report_month_page_mib {:.1}", bytes as f64 / f64::from(1 << 20));
}
