//! `cargo xtask torture [--states N]`: power cuts, ten times as many as an ordinary test run tries. Ends with
//! one line for each scenario and the sum.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::run::{Outcome, cargo, must, show, target};

/// What is promised of the long run.
const STATES_DEFAULT: u64 = 50_000;
/// The test programs that judge states; each scenario takes its share of them.
const SCENARIOS: [&str; 8] = [
    "crash_issue",
    "crash_publish",
    "crash_import",
    "crash_journal",
    "crash_ferry",
    "crash_init",
    "crash_replay",
    "crash_breakglass",
];

/// Tries so many states of disks after a power cut, and refuses to pass with fewer.
pub(crate) fn run(states: Option<&str>) -> Outcome {
    let wanted: u64 = match states {
        None => STATES_DEFAULT,
        Some(text) => text.parse().map_err(|_| format!("`{text}` is not a number of states"))?,
    };
    must(cargo(&["build", "--quiet"]))?;
    let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
    arguments.extend(SCENARIOS.iter().flat_map(|scenario| ["--test", scenario]));
    let mut tests = cargo(&arguments);
    tests.env("FARSIDE_PROGRAM", target()?.join("debug/farside"));
    tests.env("FARSIDE_TORTURE_STATES", wanted.to_string());
    let line = show(&tests);
    let mut child =
        tests.stdout(Stdio::piped()).spawn().map_err(|error| format!("could not start `{line}`: {error}"))?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line.map_err(|error| format!("the tests' output could not be read: {error}"))?;
        println!("{line}");
        if let Some((scenario, states)) = count(&line) {
            *counts.entry(scenario).or_default() += states;
        }
    }
    let status = child.wait().map_err(|error| format!("the tests could not be awaited: {error}"))?;
    println!();
    counts.iter().for_each(|(scenario, states)| println!("{states:>8} {scenario}"));
    let tried: u64 = counts.values().sum();
    println!("{tried:>8} states of disks after a power cut, {wanted} wanted");
    match () {
        () if !status.success() => Err("a state is not as promised; it is named above".to_owned()),
        () if tried < wanted => Err("fewer states were tried than wanted".to_owned()),
        () => Ok(()),
    }
}

/// `torture: issuing: 2250 states` → (issuing, 2250), wherever in a line the harness has put it.
fn count(line: &str) -> Option<(String, u64)> {
    let (scenario, rest) = line.split_once("torture: ")?.1.split_once(": ")?;
    Some((scenario.to_owned(), rest.strip_suffix(" states")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn a_scenario_s_line_is_found_wherever_it_stands() {
        let wanted = Some(("issuing".to_owned(), 2250));
        assert_eq!(count("torture: issuing: 2250 states"), wanted);
        assert_eq!(count("test a_b ... torture: issuing: 2250 states"), wanted);
        assert_eq!(count("test torture ... ok"), None);
    }
}
