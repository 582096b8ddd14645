//! `cargo xtask fuzz [seconds]`: every libFuzzer target of `fuzz/` in turn. The corpus it starts from is also
//! replayed by ordinary tests on the stable toolchain, so a machine without nightly loses only the search.

use crate::run::{Outcome, command, must, present, root};

/// Long enough to see that a target lives; a real search is given hours.
const SECONDS_EACH_DEFAULT: u64 = 60;
/// One input above the token size cap, so that the cap itself is searched.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Runs every target for so many seconds, stopping at the first crash.
pub(crate) fn run(seconds: Option<&str>) -> Outcome {
    let seconds = match seconds {
        None => SECONDS_EACH_DEFAULT,
        Some(text) => text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?,
    };
    if !nightly_stands() {
        return Err("fuzzing needs a nightly toolchain and cargo-fuzz: `rustup toolchain install nightly`, \
                    `cargo install cargo-fuzz`. The corpus itself is replayed by `cargo xtask test`."
            .to_owned());
    }
    for target in targets()? {
        let time = format!("-max_total_time={seconds}");
        let size = format!("-max_len={INPUT_BYTES_MAX}");
        let arguments = ["+nightly", "fuzz", "run", "--fuzz-dir", "fuzz", &target, "--", &time, &size];
        must(without_pinned_toolchain(command("cargo", &arguments)))?;
    }
    Ok(())
}

fn nightly_stands() -> bool {
    let probe = without_pinned_toolchain(command("cargo", &["+nightly", "--version"])).output();
    present("cargo-fuzz") && probe.is_ok_and(|output| output.status.success())
}

/// `cargo xtask` exports the toolchain it runs under; a chore that asks for another must not inherit it.
fn without_pinned_toolchain(mut command: std::process::Command) -> std::process::Command {
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
