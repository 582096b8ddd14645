//! Benchmarks against peers: `cargo xtask bench [NAME]` runs them and prints one `name value` a line. `soak`
//! is asked for by name alone: it takes as long as it is told to.

mod audit;
mod count;
mod directory;
mod envoy;
mod gate;
mod import;
mod issue;
mod journals;
mod known;
mod load;
mod log;
mod logged;
mod policies;
#[path = "../../crates/gate/tests/gate/realm.rs"]
mod realm;
mod revocation;
mod rotation;
mod rounds;
mod served;
mod servers;
mod soak;
#[allow(dead_code, reason = "tests of the audit use more of it")]
#[path = "../../crates/audit/src/staged.rs"]
mod staged;
#[expect(dead_code, reason = "tests of what crosses use more of it")]
#[path = "../../crates/crossing/tests/crossing/support.rs"]
mod support;
mod verify;

use std::process::ExitCode;

/// Every benchmark by name, in the order of docs/benchmarks.md.
const BENCHMARKS: &[(&str, fn())] = &[
    ("verify", verify::run),
    ("issue", issue::run),
    ("gate", gate::run),
    ("policies", policies::run),
    ("envoy", envoy::run),
    ("import", import::run),
    ("revocation", revocation::run),
    ("log", log::run),
    ("directory", directory::run),
    ("rotation", rotation::run),
    ("audit", audit::run),
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1);
    if name.as_deref() == Some("soak") {
        soak::run();
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<_> = match &name {
        None => BENCHMARKS.to_vec(),
        Some(name) => BENCHMARKS.iter().filter(|(known, _)| known == name).copied().collect(),
    };
    if chosen.is_empty() {
        let mut known: Vec<&str> = BENCHMARKS.iter().map(|(known, _)| *known).collect();
        known.dedup();
        let known = known.join(" | ");
        eprintln!("usage: farside-bench [{known} | soak [--minutes N]]");
        return ExitCode::from(2);
    }
    for (_, run) in chosen {
        run();
    }
    ExitCode::SUCCESS
}
