//! `gate pickup`: the holder's side. With a phrase or a key it asks the running gate, as any program on the
//! site may; with `--into` it keeps files fresh on this machine, which only whoever owns the store can do.

use std::path::{Path, PathBuf};

use farside_service::cli::{Failure, Output};
use farside_service::durable::{self, Mode};
use serde_json::json;

use super::doorstep::Where;
use crate::config::Config;
use crate::http::pickup_client::{self, Proof};
use crate::pickup;
use crate::trust::Gate;

/// Longest phrase file.
const PHRASE_BYTES_MAX: u64 = 4096;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("claim").required(true))]
pub(super) struct Pickup {
    /// Whose tokens.
    #[arg(long)]
    subject: String,
    /// A file with the claim phrase.
    #[arg(long, group = "claim", value_name = "FILE")]
    phrase_file: Option<PathBuf>,
    /// The bot's private key, PKCS#8; it stays here and signs one proof.
    #[arg(long, group = "claim", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Write tokens that are claimed by file into this folder, one file for each audience.
    #[arg(long, group = "claim", value_name = "DIR")]
    into: Option<PathBuf>,
    #[command(flatten)]
    at: Where,
}

impl Pickup {
    pub(super) fn run(
        self,
        config: impl FnOnce() -> Result<Config, Failure>,
        output: Output,
    ) -> Result<(), Failure> {
        if let Some(folder) = &self.into {
            return self.write_files(&config()?, folder, output);
        }
        let phrase = self.phrase_file.as_deref().map(read_phrase).transpose()?;
        let proof = match (&phrase, &self.key) {
            (Some(phrase), _) => Proof::Phrase(phrase),
            (None, Some(key)) => Proof::Key(key),
            (None, None) => return Err(Failure::could_not("name a phrase file, a key or a folder")),
        };
        let doorstep = self.at.doorstep(config)?;
        for token in pickup_client::collect(&doorstep, &self.subject, &proof)? {
            let value =
                json!({"token": token.text, "audience": token.audience, "expires_at": token.expires_at});
            output.say(|| token.text.clone(), &value)?;
        }
        Ok(())
    }

    fn write_files(&self, config: &Config, folder: &Path, output: Output) -> Result<(), Failure> {
        let gate = Gate::open(config)?;
        let trust =
            gate.trust().map_err(|refusal| Failure::could_not(refusal.to_string()).hint(refusal.cure()))?;
        let collected = pickup::collect_files(gate.store(), &trust, &self.subject, gate.moment().now)
            .map_err(|refused| Failure::refused(refused.to_string()))?;
        durable::create_dir_all(folder, Mode::Private)?;
        for token in collected {
            let path = folder.join(format!("{}.jwt", file_name(token.audience.as_deref())));
            durable::write(&path, token.token.as_bytes(), Mode::Private)?;
            let value = json!({"file": path, "audience": token.audience, "expires_at": token.expires_at});
            output.say(|| path.display().to_string(), &value)?;
        }
        Ok(())
    }
}

pub(super) fn read_phrase(path: &Path) -> Result<String, Failure> {
    let bytes = durable::read_limited(path, PHRASE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::refused("the phrase file is not UTF-8"))?;
    Ok(text.trim().to_owned())
}

/// An audience as a file name: whatever is not plain becomes `_`, so that no name leads elsewhere.
fn file_name(audience: Option<&str>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    audience.unwrap_or("token").chars().map(plain).take(100).collect()
}
