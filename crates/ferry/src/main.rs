//! `farside-ferry`: the ferry alone, for a machine that carries and does nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    farside_service::harden();
    farside_ferry::cli::main(std::env::args_os())
}
