//! `gate clock`: what time the gate goes by, and the two orders that people may give about it.

use std::path::PathBuf;

use farside_service::cli::{Failure, Output, Style};
use farside_service::time::{read_clocks, rfc3339};

use crate::clock::{self, Seen};
use crate::config::Config;
use crate::trust::Gate;

/// The clock.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Clock {
    /// Show what time it is here, and how that is known.
    Show,
    /// Take the machine's clock as right: after it was wrong and this gate remembers the wrong time. Never
    /// before what a bundle proves.
    Accept,
    /// Set the time floor back as a note says that root has signed: after bundles whose time was wrong.
    Reset {
        /// The note, from `farside mint clock draft`.
        note: PathBuf,
    },
}

pub(super) fn run(command: &Clock, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        Clock::Show => show(config, output),
        Clock::Accept => {
            let accepted = clock::accept(config, &read_clocks())?;
            let human = || format!("This gate goes by {} now, {}.", rfc3339(accepted.to), accepted.step());
            output.say(human, &accepted)
        }
        Clock::Reset { note } => {
            let reset = clock::reset(config, note, &read_clocks())?;
            let human = || {
                let (before, floor) = (rfc3339(reset.floor_before), rfc3339(reset.floor));
                format!("The time floor was {before} and is {floor}. Next: import the mint's newest bundle.")
            };
            output.say(human, &reset)
        }
    }
}

fn show(config: &Config, output: Output) -> Result<(), Failure> {
    let gate = Gate::open(config)?;
    let trust =
        gate.trust().map_err(|refusal| Failure::could_not(refusal.to_string()).hint(refusal.cure()))?;
    let moment = gate.moment();
    let seen = Seen::of(&trust, &moment);
    let human = || {
        let steady = match seen.steady {
            Some(_) => "by the steady clock",
            None => "by the machine's clock alone: nothing confirms it yet",
        };
        let mut lines = vec![
            format!("It is {}, {steady}.", rfc3339(seen.now)),
            format!("  floor     {}, by the newest bundle or this program's making", rfc3339(seen.floor)),
        ];
        lines.extend(seen.lines(Style::stdout()));
        lines.join("\n")
    };
    output.say(human, &seen)
}
