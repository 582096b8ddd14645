//! `mint status`: what signs, what follows, until when, and what to do next.

use clap::Args;
use farside_service::cli::{Failure, Style};
use farside_service::time;

use super::Program;
use crate::rotation::belief;
use crate::status::{self, Measured};

/// Nothing is asked but the mint itself.
#[derive(Debug, Args)]
pub struct Command {}

pub(super) fn run(_: &Command, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    let doubt = belief::doubt(&store, &time::read_clocks())?;
    let seen = status::look(&mint, &store, time::now_unix(), (doubt, &Measured::default()))?;
    program.output.say(|| seen.human(Style::stdout()), &seen)
}
