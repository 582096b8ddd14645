//! `cargo xtask fuzz [seconds]`: every libFuzzer target of `fuzz/` in turn. The corpus it starts from is also
//! replayed by ordinary tests on the stable toolchain, so a machine without nightly loses only the search.

use std::path::Path;
use std::process::Command;

use crate::run::{Outcome, command, must, root};

/// Long enough to see that a target lives; a real search is given hours.
const SECONDS_EACH_DEFAULT: u64 = 60;
/// One input above the token size cap, so that the cap itself is searched.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// What cargo-fuzz would pass: coverage for libFuzzer to follow, and the address sanitizer.
const INSTRUMENTATION: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Zsanitizer=address";

/// Runs every target for so many seconds, stopping at the first crash.
pub(crate) fn run(seconds: Option<&str>) -> Outcome {
    let seconds = match seconds {
        None => SECONDS_EACH_DEFAULT,
        Some(text) => text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?,
    };
    let host = nightly_host().ok_or(
        "fuzzing needs a nightly toolchain: `rustup toolchain install nightly`. \
         The corpus itself is replayed by `cargo xtask test`.",
    )?;
    // A named target keeps the instrumentation out of build scripts.
    let mut build =
        nightly("cargo", &["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    build.env("RUSTFLAGS", INSTRUMENTATION);
    must(build)?;
    let programs = Path::new("fuzz/target").join(&host).join("release");
    for target in targets()? {
        search(&programs, &target, seconds)?;
    }
    Ok(())
}

/// One target, from the kept corpus on. What it finds stays out of the corpus until a person puts it there.
fn search(programs: &Path, target: &str, seconds: u64) -> Outcome {
    let found = format!("fuzz/target/found/{target}");
    let crashes = format!("fuzz/artifacts/{target}/");
    for folder in [&found, &crashes] {
        std::fs::create_dir_all(root().join(folder))
            .map_err(|error| format!("no folder {folder}: {error}"))?;
    }
    let (time, size) = (format!("-max_total_time={seconds}"), format!("-max_len={INPUT_BYTES_MAX}"));
    let (prefix, corpus) = (format!("-artifact_prefix={crashes}"), format!("fuzz/corpus/{target}"));
    let program = root().join(programs).join(target);
    must(command(&program.to_string_lossy(), &[&time, &size, &prefix, &found, &corpus]))
}

/// The machine as the nightly compiler names it; none where there is no nightly.
fn nightly_host() -> Option<String> {
    let output = nightly("rustc", &["-vV"]).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
}

/// `cargo xtask` exports the toolchain it runs under; this chore asks for another and must not inherit it.
fn nightly(program: &str, arguments: &[&str]) -> Command {
    let mut all = vec!["run", "nightly", program];
    all.extend(arguments);
    let mut command = command("rustup", &all);
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
}

fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("no fuzz targets: {error}"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect();
    names.sort();
    Ok(names)
}
