//! `farside demo`: the whole journey on one machine, both sides, on real files and real loopback sockets. It
//! drives the very commands an operator types, and nothing in it is special-cased for the story.

mod attacks;
mod bot;
mod door;
mod http;
mod journey;
mod stage;
mod story;
mod thief;

use std::path::PathBuf;
use std::time::Instant;

use farside_service::cli::Failure;

use journey::Journey;
use stage::Stage;

/// Show the whole journey on this machine: both sides, real files, real sockets.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave both sides' folders in this one, to look at.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Leave both sides running, until interrupted.
    #[arg(long)]
    serve: bool,
}

/// Tells the story. A step that does not go as told stops it with an error.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut stage = Stage::set(arguments.keep.as_deref())?;
    stage.story.tell("Two folders stand for two networks: near/ is connected, far/ is isolated, and");
    stage.story.tell("nothing but the folder stick/ ever travels between them.");

    let journey = Journey::plan(&stage)?;
    journey.found(&mut stage)?;
    journey.synchronise(&mut stage)?;
    journey.issue(&mut stage)?;
    journey.cross(&mut stage)?;
    journey.admit(&mut stage)?;
    attacks::tokens(&mut stage, &journey)?;
    attacks::bundles(&mut stage, &journey)?;
    attacks::unlogged(&mut stage, &journey)?;

    stage.story.act(&format!("That was the whole way, in {:.1} s.", begun.elapsed().as_secs_f32()));
    if let Some(folder) = &arguments.keep {
        stage.story.tell(&format!("Both sides lie in {}: near/, stick/ and far/.", folder.display()));
    }
    if arguments.serve {
        journey.invite(&mut stage)?;
        stage.wait()?;
    }
    Ok(())
}
