//! `cargo xtask bench [name [options]]`: the figures of docs/benchmarks.md, from a release build.

use crate::run::{Outcome, cargo, must};

/// Runs the benchmark program, which prints one line `name value` a figure.
pub(crate) fn run(words: &[&str]) -> Outcome {
    // The gate's cold start is measured on the program itself, so it is built the same way first.
    must(cargo(&[
        "build",
        "--release",
        "--quiet",
        "--package",
        "farside-gate",
        "--package",
        "farside-mint",
    ]))?;
    let mut arguments = vec!["run", "--release", "--quiet", "--package", "farside-bench", "--"];
    arguments.extend(words);
    must(cargo(&arguments))
}
