//! `gate check`: a door's judgement at the command line, for people who want to know why. It admits nobody
//! and writes no journal.

use std::io::{BufRead as _, Read as _};

use farside_crossing::Action;
use farside_service::cli::{Exit, Failure, OrFailure as _, Output, Style, printable};
use farside_service::time::{read_clocks, rfc3339};
use farside_verify::Refusal;
use serde_json::json;
use serde_json::value::RawValue;

use crate::breakglass;
use crate::config::Config;
use crate::judge::{self, Clocks, Inspection, Shown, Wanted};
use crate::trust::Gate;

/// Most bytes read from standard input.
const INPUT_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Tokens, with their staples where they have any; none or `-` reads one a line from standard input,
    /// which keeps them out of the list of processes.
    tokens: Vec<String>,
    /// The audience to judge for; without it any audience of the site will do.
    #[arg(long)]
    audience: Option<String>,
    /// What for: `read`, `write` or `safety`; without it the strictest freshness of the audience holds.
    #[arg(long, value_parser = action)]
    action: Option<Action>,
    /// Judge as of this Unix time.
    #[arg(long, value_name = "UNIX")]
    now: Option<u64>,
}

impl Check {
    pub(super) fn run(self, config: &Config, output: Output) -> Result<(), Failure> {
        let gate = Gate::open(config)?;
        let mut refused = false;
        let mut one = |token: &str| -> Result<(), Failure> {
            let audience = self.audience.as_deref();
            let wanted = Wanted { audience, action: self.action, ..Wanted::default() };
            let verdict = gate.trust().and_then(|trust| {
                let now = self.now.unwrap_or_else(|| gate.moment().now);
                match breakglass::shown_pass(token) {
                    Some(sha256) => {
                        let clocks = Clocks { now, reading: &read_clocks() };
                        judge::sound_pass(&trust, &sha256, wanted.audience, clocks)
                    }
                    None => judge::sound(&trust, token, wanted, now),
                }
            });
            refused |= verdict.is_err();
            tell(verdict, output)
        };
        if self.tokens.is_empty() || self.tokens == ["-"] {
            for line in std::io::stdin().lock().take(INPUT_BYTES_MAX).lines() {
                let line = line.or_could_not(|| "read standard input".to_owned())?;
                if !line.trim().is_empty() {
                    one(line.trim())?;
                }
            }
        } else {
            self.tokens.iter().try_for_each(|token| one(token))?;
        }
        if refused { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
    }
}

pub(super) fn action(name: &str) -> Result<Action, String> {
    Action::from_name(name).ok_or_else(|| "there are read, write and safety".to_owned())
}

fn tell(verdict: Result<Inspection, Refusal>, output: Output) -> Result<(), Failure> {
    match verdict {
        Ok(inspection) => {
            let value = match inspection.shown() {
                Shown::Token(claims) => {
                    let (bearer, once) = (!inspection.is_bound(), inspection.once().is_some());
                    let claims: Option<&RawValue> = serde_json::from_str(claims.json()).ok();
                    json!({"verdict": "accept", "bearer": bearer, "single_use": once, "claims": claims})
                }
                Shown::Pass(through) => {
                    json!({"verdict": "accept", "bearer": true, "breakglass": through.order(),
                           "expires_at": through.expires_at()})
                }
            };
            output.say(|| accepted(&inspection), &value)
        }
        Err(refusal) => {
            let code = refusal.code().as_str();
            let value = json!({"verdict": "refuse", "code": code, "detail": refusal.detail(),
                               "cure": refusal.cure()});
            output.say(|| refused(&refusal), &value)
        }
    }
}

fn accepted(inspection: &Inspection) -> String {
    let style = Style::stdout();
    let until = inspection.expires_at().map_or_else(|| "-".to_owned(), rfc3339);
    let bound = if inspection.is_bound() { ", but only with proof of the key it names" } else { "" };
    let once = if inspection.once().is_some() { ", once, if it was not used yet" } else { "" };
    let shown = match inspection.shown() {
        Shown::Token(claims) => format!("token {}", printable(claims.token_id().unwrap_or("-"))),
        Shown::Pass(through) => style.red(&format!("break-glass order {}", through.order().id)),
    };
    let subject = style.bold(&printable(inspection.subject().unwrap_or("-")));
    format!("{} {subject} until {until} ({shown}){bound}{once}", style.green("accept"))
}

fn refused(refusal: &Refusal) -> String {
    let style = Style::stdout();
    format!("{} {}: {refusal}\n  {}", style.red("refuse"), refusal.code(), refusal.cure())
}
