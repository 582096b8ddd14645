//! The project's chores, one file each: `cargo xtask check`, `peers`, `test`, `bench [name]`,
//! `fuzz [seconds]`, `torture`, `simulate`.
//! Every chore runs programs a person could run by hand, and prints each before it starts.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

mod bench;
mod check;
mod fuzz;
mod peers;
mod run;
mod simulate;
mod test;
mod torture;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask check | peers | test | bench [name] | fuzz [seconds] | torture [--states N]
                   | simulate [--site-years N] [--seed S] [--worlds W] [--threads T]

  check   formatting, lints, documentation, and the tests that need no peers
  peers   install the programs of others that tests run beside ours
  test    the same, then every test of the workspace, beside real peers (nginx, node) installed if missing
  bench   the figures of docs/benchmarks.md, one line `name value` each; with a name, only those;
          `bench soak [--minutes N]`: full load, hostile requests and bundles, every answer checked
  fuzz    libFuzzer on every target for the given seconds each (default 60); needs a nightly toolchain
  torture the disks that power cuts leave, ten times as many as `test` tries (50,000), or N
  simulate  years of realms in seconds each: 10,000 site-years, or N, from seed 1, or S";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["check"] => check::run(),
        ["peers"] => peers::install(),
        ["test"] => test::run(),
        ["bench", words @ ..] => bench::run(words),
        ["fuzz"] => fuzz::run(None),
        ["fuzz", seconds] => fuzz::run(Some(seconds)),
        ["torture"] => torture::run(None),
        ["torture", "--states", states] => torture::run(Some(states)),
        ["simulate", options @ ..] => simulate::run(options),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}
