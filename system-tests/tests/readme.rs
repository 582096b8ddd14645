//! The README's walk by hand, run exactly as it stands: a reader who types these commands gets where it says.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use farside_system_tests::programs::{farside, workspace};

/// Where a gate listens unless told otherwise; the README uses no other ports.
const GATE: &str = "127.0.0.1:8710";

/// Every line after `$ ` of every console block, in order.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("README.md can be read");
    let mut inside = false;
    let lines = readme.lines().filter(|line| {
        if line.starts_with("```") {
            inside = *line == "```console";
        }
        inside && line.starts_with("$ ")
    });
    lines.map(|line| line[2..].to_owned()).collect()
}

/// One shell session. A server started with `&` is waited for, as a person would, and stopped at the end.
fn script() -> String {
    let wait = format!(
        "for i in $(seq 600); do curl -sf http://{GATE}/readyz >/dev/null && break; sleep 0.1; done; \
         curl -sf http://{GATE}/readyz >/dev/null"
    );
    let steps = commands().into_iter().map(|line| {
        let shown = line.replace('\'', "'\\''");
        let after = if line.ends_with('&') { wait.as_str() } else { "" };
        format!("echo '$ {shown}'\n{line}\n{after}\n")
    });
    format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n{}", steps.collect::<String>())
}

#[test]
fn every_command_of_the_readme_works() {
    assert!(
        TcpStream::connect(GATE).is_err(),
        "somebody else listens at {GATE}, where the README's gate goes"
    );
    let stage = tempfile::tempdir().unwrap();
    fs::create_dir(stage.path().join("bin")).unwrap();
    symlink(farside(), stage.path().join("bin/farside")).unwrap();
    let path = format!("{}:{}", stage.path().join("bin").display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", &script()]).current_dir(stage.path()).env("PATH", path).stdin(Stdio::null());
    let output = shell.output().expect("bash can be started");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("HTTP/1.1 200"), "the token was not admitted:\n{told}");
    assert!(told.to_lowercase().contains("x-farside-subject: ada"), "{told}");
    assert!(told.contains("\"verdict\":\"accept\""), "{told}");
}
