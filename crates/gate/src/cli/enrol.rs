//! `gate init` and `gate trust`: how a gate begins.

use std::net::SocketAddr;
use std::path::PathBuf;

use farside_crossing::ExpectedFingerprint;
use farside_service::cli::{Failure, Output, Style, ask, printable};
use farside_service::time;
use serde_json::json;

use crate::config::{Config, FILE_NAME};
use crate::enrol::{self, Candidate, Doors};

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The site's name, as the mint knows it.
    #[arg(long)]
    site: String,
    /// Where the doors are to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    /// Where metrics and health are to be shown.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8711")]
    admin: SocketAddr,
}

impl Init {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let doors = Doors { listen: self.listen, admin: self.admin };
        let (config, public) = enrol::init(&self.dir, &self.site, &doors, time::now_unix())?;
        let words = public.words();
        let value = json!({"site": self.site, "recipient": public.to_string(), "words": words,
                           "recipient_file": config.recipient_public()});
        let human = || {
            let style = Style::stdout();
            format!(
                "Made the gate of site {} in {}.\n\nIts recipient key, to be entered at the mint \
                 (`farside mint site recipient {} FILE`), lies in {}.\n\
                 Its words, to be compared there: {}\n\n\
                 Next: farside gate trust CHARTER --config {}",
                style.bold(&self.site),
                self.dir.display(),
                self.site,
                config.recipient_public().display(),
                style.bold(&words),
                self.dir.join(FILE_NAME).display(),
            )
        };
        output.say(human, &value)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Trust {
    /// The charter, as the mint exported it.
    charter: PathBuf,
    /// Its fingerprint as told by the people who founded the realm: 64 hex digits or sixteen words.
    #[arg(long, value_name = "HEX|WORDS")]
    fingerprint: Option<String>,
}

impl Trust {
    pub(super) fn run(self, config: &Config, output: Output) -> Result<(), Failure> {
        let candidate = Candidate::read(&self.charter)?;
        let expected = match self.fingerprint {
            Some(told) => told,
            None => asked(&candidate)?,
        };
        let expected: ExpectedFingerprint = expected.parse().map_err(|fault| {
            Failure::refused(format!("{fault}")).hint("type all 64 hex digits, or all sixteen words")
        })?;
        let trusted = enrol::trust(config, &candidate, &expected, time::now_unix())?;
        let seen = trusted.fingerprint();
        let value = json!({"realm": trusted.realm(), "version": trusted.version(), "fingerprint": seen.hex(),
                           "words": seen.words()});
        let human = || {
            let style = Style::stdout();
            format!(
                "{} the charter of realm {}, version {}.\nNext: import the site's first bundle.",
                style.green("Trusted"),
                style.bold(trusted.realm()),
                trusted.version(),
            )
        };
        output.say(human, &value)
    }
}

/// The fingerprint is not shown before it has been typed: whoever reads it off the screen has compared
/// nothing.
fn asked(candidate: &Candidate) -> Result<String, Failure> {
    let realm = printable(&candidate.review().draft.realm).into_owned();
    let question = format!(
        "This file says it is the charter of realm {realm}. Type the fingerprint that its founders gave you \
         (hex or sixteen words): "
    );
    Ok(ask(&question)?)
}
