//! Lives worlds until so many site-years are over: `cargo xtask simulate` builds and runs it. With a log each
//! world is written there as it ends; those that stand in it are not lived again, and a failure ends nothing.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use farside_system_tests::sim::{self, Failure, Lived, Run, Sum};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default| match arguments.get(place) {
        Some(text) => text.parse::<u64>().expect("a number"),
        None => default,
    };
    let (seed, site_years, worlds, threads) =
        (number(0, 1), number(1, 100), number(2, u64::MAX), number(3, 1));
    let mut run = Run::new(seed, usize::try_from(threads).expect("a number of threads"));
    let log = arguments.get(4);
    if let Some(path) = log {
        resume(&mut run, &std::fs::read_to_string(path).unwrap_or_default());
    }
    let (begun, before) = (Instant::now(), run.sum.site_days);
    let told = |outcome: &Result<Lived, Box<Failure>>| {
        let line = outcome.as_ref().map_or_else(|failure| format!("FAILED {failure}"), Lived::to_string);
        println!("{line}");
        if let Some(path) = log {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| writeln!(file, "{line}")).expect("the log can be written");
        }
    };
    let enough = |sum: &Sum| sum.site_years() >= site_years || sum.worlds >= worlds;
    match sim::many(&run, enough, told) {
        Ok(sum) => {
            let minutes = begun.elapsed().as_secs_f64() / 60.0;
            println!(
                "simulated {} site-years in {} worlds from seed {seed}: {} bundles, {} tokens shown, nothing \
                 wrong; {:.0} site-years a minute on {threads} threads",
                sum.site_years(),
                sum.worlds,
                sum.bundles,
                sum.shown,
                (sum.site_days - before) as f64 / 365.0 / minutes
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Takes up what was lived before. Worlds that failed are lived again.
fn resume(run: &mut Run, log: &str) {
    run.goes_on = true;
    for lived in log.lines().filter_map(|line| line.parse::<Lived>().ok()) {
        if run.lived.insert(lived.seed) {
            run.sum.add(&lived);
        }
    }
}
