//! Benchmarks against peers: `cargo xtask bench [NAME]` runs them and prints one `name value` a line.

mod verify;

const USAGE: &str = "usage: farside-bench verify";

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("verify") => verify::run(),
        _ => {
            eprintln!("{USAGE}");
            return std::process::ExitCode::from(2);
        }
    }
    std::process::ExitCode::SUCCESS
}
