//! Lives worlds until so many site-years are over: `cargo xtask simulate` builds and runs it.

use std::process::ExitCode;
use std::time::Instant;

use farside_system_tests::sim::{self, Sum};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let mut next = |default| arguments.next().unwrap_or(default);
    let (seed, site_years, worlds, threads) = (next(1), next(100), next(u64::MAX), next(1));
    let threads = usize::try_from(threads).expect("a number of threads");
    let begun = Instant::now();
    let enough = |sum: &Sum| sum.site_years() >= site_years || sum.worlds >= worlds;
    let told = |lived: &sim::Lived| {
        println!(
            "seed {}: {} site-days, {} steps, {} bundles, {} tokens shown, history {:016x}",
            lived.seed, lived.site_days, lived.steps, lived.bundles, lived.shown, lived.digest
        );
    };
    match sim::many(seed, threads, enough, told) {
        Ok(sum) => {
            let minutes = begun.elapsed().as_secs_f64() / 60.0;
            println!(
                "simulated {} site-years in {} worlds from seed {seed}: {} bundles, {} tokens shown, nothing \
                 wrong; {:.0} site-years a minute on {threads} threads",
                sum.site_years(),
                sum.worlds,
                sum.bundles,
                sum.shown,
                sum.site_days as f64 / 365.0 / minutes
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
