//! `gate init` and `gate trust`: how a gate begins; `gate enrol`: both in one walk at the terminal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use farside_crossing::{Charter, ExpectedFingerprint, RecipientPublic};
use farside_service::cli::{Failure, Output, Style, ask, ask_or, ask_until, printable, say};
use farside_service::{durable, time};
use serde_json::json;

use crate::config::{Config, FILE_NAME};
use crate::enrol::{self, Candidate, Doors};

/// Largest file with a recipient's line.
const RECIPIENT_BYTES_MAX: u64 = 64 * 1024;

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
            Some(told) => told.parse().map_err(|fault| {
                Failure::refused(format!("{fault}")).hint("type all 64 hex digits, or all sixteen words")
            })?,
            None => asked(&candidate)?,
        };
        let trusted = enrol::trust(config, &candidate, &expected, time::now_unix())?;
        say_trusted(&trusted, output)
    }
}

fn say_trusted(trusted: &Charter, output: Output) -> Result<(), Failure> {
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

/// Makes a gate and has it trust a charter in one walk. What was made before is gone on with.
#[derive(Debug, clap::Args)]
pub(super) struct Enrol {
    /// The folder of the gate; left out: you are asked.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The site's name, as the mint knows it; left out: you are asked.
    #[arg(long)]
    site: Option<String>,
    /// The charter, as the mint exported it; left out: you are asked.
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
    /// Where the doors are to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    /// Where metrics and health are to be shown.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8711")]
    admin: SocketAddr,
}

impl Enrol {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        say("Two fingerprints are compared by people: have somebody at the mint on the telephone.\n")?;
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => PathBuf::from(ask_or("1. The gate's folder", "far")?),
        };
        let config = self.made(&dir)?;
        let words = recipient(&config)?.words();
        say(&format!(
            "\n2. Carry {} to the mint. Whoever enters it there is to type these words, as you read \
             them out:\n\n   {words}\n\n   Where nothing may ever come back, leave that out: the mint adds \
             the site with --unsealed.\n",
            config.recipient_public().display()
        ))?;
        let charter = match self.charter {
            Some(charter) => charter,
            None => PathBuf::from(ask_or("3. The charter, as the mint exported it", "charter.note")?),
        };
        let candidate = Candidate::read(&charter)?;
        let trusted = enrol::trust(&config, &candidate, &asked(&candidate)?, time::now_unix())?;
        say_trusted(&trusted, output)
    }

    /// The gate that stands in the folder already, or a new one.
    fn made(&self, dir: &Path) -> Result<Config, Failure> {
        let file = dir.join(FILE_NAME);
        if file.exists() {
            let config = Config::load(&file)?;
            if let Some(site) = self.site.as_ref().filter(|site| **site != config.site) {
                return Err(Failure::refused(format!(
                    "here stands the gate of site {}, not of {site}",
                    config.site
                )));
            }
            say(&format!("   The gate of site {} stands there already; going on with it.", config.site))?;
            return Ok(config);
        }
        let site = match &self.site {
            Some(site) => site.clone(),
            None => ask("   The site's name, as the mint knows it:")?.trim().to_owned(),
        };
        let doors = Doors { listen: self.listen, admin: self.admin };
        Ok(enrol::init(dir, &site, &doors, time::now_unix())?.0)
    }
}

fn recipient(config: &Config) -> Result<RecipientPublic, Failure> {
    let line = durable::read_limited(&config.recipient_public(), RECIPIENT_BYTES_MAX)?;
    let line = String::from_utf8_lossy(&line);
    line.trim().parse().map_err(enrol::refused)
}

/// The fingerprint is not shown before it has been typed: whoever reads it off the screen has compared
/// nothing.
fn asked(candidate: &Candidate) -> Result<ExpectedFingerprint, Failure> {
    let realm = printable(&candidate.review().draft.realm).into_owned();
    let question = format!(
        "This file says it is the charter of realm {realm}. Type the fingerprint that its founders gave you \
         (hex or sixteen words): "
    );
    Ok(ask_until(&question, str::parse::<ExpectedFingerprint>)?)
}
