//! `cargo xtask simulate [--site-years N] [--seed S] [--worlds W] [--threads T] [--log FILE]`: years of
//! realms in a release build. Prints each seed, and ends with one line that sums up. With a log the run goes
//! on where it was broken off, and beyond worlds that fail.

use crate::run::{Outcome, cargo, must};

/// What is promised of the long run.
const SITE_YEARS_DEFAULT: u64 = 10_000;
const SEED_DEFAULT: u64 = 1;

/// Lives that long from that seed on.
pub(crate) fn run(options: &[&str]) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let mut asked = [
        ("--seed", SEED_DEFAULT),
        ("--site-years", SITE_YEARS_DEFAULT),
        ("--worlds", u64::MAX),
        ("--threads", threads),
    ];
    let mut log = None;
    for pair in options.chunks(2) {
        let [name, number] = pair else { return Err(format!("{} takes a number or a file", pair[0])) };
        if *name == "--log" {
            log = Some((*number).to_owned());
            continue;
        }
        let place = asked.iter_mut().find(|(known, _)| known == name);
        let (_, value) = place.ok_or_else(|| format!("`{name}` is no option of simulate"))?;
        *value = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    }
    let mut arguments: Vec<String> =
        ["run", "--release", "--quiet", "--package", "farside-system-tests", "--example", "simulate", "--"]
            .map(str::to_owned)
            .to_vec();
    arguments.extend(asked.iter().map(|(_, number)| number.to_string()));
    arguments.extend(log);
    must(cargo(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
}
