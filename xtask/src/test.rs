//! `cargo xtask test`: everything that must hold. Ends with one line, `N passed, N failed`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::run::{Outcome, cargo, must, show, target};
use crate::{check, peers};

/// Peers first, so that nothing is skipped; then the source; then every test of the workspace.
pub(crate) fn run() -> Outcome {
    peers::install()?;
    check::source()?;
    // What a mint without PKCS#11 says of tokens; the workspace's tests are built with it.
    let bare = ["test", "--quiet", "--package", "farside-mint", "--no-default-features", "--lib", "keys::"];
    must(cargo(&bare))?;
    // The system's tests try the very program that `cargo run` starts.
    must(cargo(&["build", "--quiet"]))?;
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.env("FARSIDE_PROGRAM", target()?.join("debug/farside"));
    let counted = counted(tests)?;
    println!("\n{} passed, {} failed", counted.passed, counted.failed);
    if counted.clean { Ok(()) } else { Err("some tests failed; they are named above".to_owned()) }
}

/// What the test binaries said of themselves, added up.
struct Counted {
    passed: u64,
    failed: u64,
    clean: bool,
}

/// Runs the tests, passes their output on, and adds up their closing lines.
fn counted(mut tests: Command) -> Result<Counted, String> {
    let line = show(&tests);
    let mut child =
        tests.stdout(Stdio::piped()).spawn().map_err(|error| format!("could not start `{line}`: {error}"))?;
    let (mut passed, mut failed) = (0, 0);
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| format!("the tests' output could not be read: {error}"))?;
            println!("{line}");
            if let Some((more_passed, more_failed)) = closing_line(&line) {
                passed += more_passed;
                failed += more_failed;
            }
        }
    }
    let status = child.wait().map_err(|error| format!("the tests could not be awaited: {error}"))?;
    // A test binary that does not compile or dies has no closing line: the exit status has the last word.
    Ok(Counted { passed, failed, clean: status.success() && failed == 0 && passed > 0 })
}

/// `test result: ok. 12 passed; 0 failed; …` → (12, 0).
fn closing_line(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |name: &str| {
        counts.split(';').find_map(|count| count.trim().strip_suffix(name)?.trim().parse::<u64>().ok())
    };
    Some((number(" passed")?, number(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::closing_line;

    #[test]
    fn counts_are_read_from_closing_lines_only() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; finished in 0.01s";
        assert_eq!(closing_line(line), Some((12, 3)));
        assert_eq!(closing_line("test result of mine ... ok"), None);
    }
}
