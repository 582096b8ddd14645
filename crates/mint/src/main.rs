//! `farside-mint`: see `farside_mint::cli` for the commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    farside_service::harden();
    farside_mint::cli::main(std::env::args_os())
}
