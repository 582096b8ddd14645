//! `mint serve`: keeps the mint open until it is told to stop.

use farside_service::cli::Failure;

use super::Program;
use crate::serve;

/// What serving can be told.
#[derive(Debug, clap::Args)]
pub struct Command {}

pub(crate) fn run(_command: Command, program: &Program) -> Result<(), Failure> {
    serve::run(&program.mint()?)
}
