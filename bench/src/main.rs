//! Benchmarks against peers: `cargo xtask bench [NAME]` runs them and prints one `name value` a line.

mod audit;
mod count;
mod gate;
mod import;
mod issue;
mod journals;
mod log;
mod logged;
#[path = "../../crates/gate/tests/gate/realm.rs"]
mod realm;
mod rounds;
#[path = "../../crates/audit/src/staged.rs"]
mod staged;
#[expect(dead_code, reason = "tests of what crosses use more of it")]
#[path = "../../crates/crossing/tests/crossing/support.rs"]
mod support;
mod verify;

use std::process::ExitCode;

/// Every benchmark by name, in the order of docs/benchmarks.md.
const BENCHMARKS: [(&str, fn()); 6] = [
    ("verify", verify::run),
    ("issue", issue::run),
    ("gate", gate::run),
    ("import", import::run),
    ("log", log::run),
    ("audit", audit::run),
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1);
    let chosen: Vec<_> = match &name {
        None => BENCHMARKS.to_vec(),
        Some(name) => BENCHMARKS.into_iter().filter(|(known, _)| known == name).collect(),
    };
    if chosen.is_empty() {
        let known = BENCHMARKS.map(|(known, _)| known).join(" | ");
        eprintln!("usage: farside-bench [{known}]");
        return ExitCode::from(2);
    }
    for (_, run) in chosen {
        run();
    }
    ExitCode::SUCCESS
}
