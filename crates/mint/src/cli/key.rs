//! `mint key`: keys of root and release signers. They need no mint: they can be made and kept on a machine of
//! their own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use farside_crossing::{SignerPublic, note};
use farside_service::cli::{Failure, printable};
use farside_service::durable::{self, Mode};
use farside_service::secret_file::{Source, new_passphrase, read_passphrase};
use serde_json::json;

use super::{Program, read_text};
use crate::keys::{self, KeyKind, Passphrase};
use crate::names;

/// Keys of root and release signers.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a signer's key; its public line is what goes into a charter.
    New {
        /// What it is to sign; a reminder for people, since the charter alone decides.
        #[arg(long)]
        role: Role,
        /// The signer's name.
        #[arg(long)]
        name: String,
        /// The key file, which must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// File with the passphrase of this key.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Show the public line of a key file; with the passphrase it is checked against the private key.
    Show {
        /// The key file.
        file: PathBuf,
        /// File with the passphrase of this key.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

/// The people's roles.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// Signs charters.
    Root,
    /// Signs what loosens.
    Release,
}

pub(super) fn run(command: &Key, program: &Program) -> Result<(), Failure> {
    match command {
        Key::New { role, name, out, passphrase_file } => {
            names::key(name).map_err(|fault| Failure::refused(fault.to_string()))?;
            let passphrase = Passphrase::new(new_passphrase(&Source::find(passphrase_file.as_deref()))?);
            let public = keys::create_signer(out, name, &passphrase)?;
            let role = if matches!(role, Role::Root) { "root" } else { "release" };
            let line = public.to_string();
            let value = json!({ "role": role, "name": name, "file": out, "public": line });
            program.output.say(|| line.clone(), &value)
        }
        Key::Show { file, passphrase_file } => {
            let header = keys::inspect(file)?;
            if let Some(path) = passphrase_file {
                let passphrase = Passphrase::new(read_passphrase(&Source::File(path.clone()))?);
                keys::check(file, &passphrase)?;
            }
            let value = json!({
                "name": header.name, "kind": header.kind.to_string(), "public": header.public,
                "checked": passphrase_file.is_some(),
            });
            program.output.say(|| printable(&header.public).into_owned(), &value)
        }
    }
}

/// A signer's public line, from the line itself, from a file that holds it, or from the header of a key file.
pub(super) fn read_public(text: &str) -> Result<SignerPublic, Failure> {
    let line = if text.starts_with("farside-signer/1 ") {
        text.to_owned()
    } else {
        let path = Path::new(text);
        match keys::inspect(path) {
            Ok(header) if header.kind == KeyKind::Signer => header.public,
            _ => read_text(path)?,
        }
    };
    line.trim().parse().map_err(|refusal: farside_crossing::Refusal| {
        Failure::refused(format!("{} holds no signer's public line: {refusal}", printable(text)))
    })
}

/// One more signature on a draft that people sign in turn.
#[derive(Debug, Args)]
pub struct AddSignature {
    /// The signer's key file.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File with the passphrase of that key.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The draft.
    pub(super) file: PathBuf,
}

impl AddSignature {
    /// Adds it in the file, and returns what the file then holds.
    pub(super) fn add(&self) -> Result<Vec<u8>, Failure> {
        let draft = read_text(&self.file)?;
        let signer = keys::open_signer(&self.key, &passphrase_for(self.passphrase_file.as_deref())?)?;
        let signed = note::add_signature(draft.as_bytes(), &signer)
            .map_err(|fault| Failure::could_not(fault.to_string()))?;
        durable::write(&self.file, &signed, Mode::Shared)?;
        Ok(signed)
    }
}

/// The passphrase of a signer's key: from the file named, else a credential, else asked for.
pub(super) fn passphrase_for(file: Option<&Path>) -> Result<Passphrase, Failure> {
    Ok(Passphrase::new(read_passphrase(&Source::find(file))?))
}
