//! `farside-gate`: the verifier on the isolated side, as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    farside_service::harden();
    farside_gate::cli::main(std::env::args_os())
}
