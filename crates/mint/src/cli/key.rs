//! `mint key`: keys of root and release signers, and break-glass cards. They need no mint: they can be made,
//! kept and used on a machine of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use farside_crossing::breakglass::{self, GlassOrder, Review};
use farside_crossing::{SignerPublic, note};
use farside_service::cli::{Failure, OrFailure as _, printable, table};
use farside_service::durable::{self, Mode};
use farside_service::secret_file::{Source, new_passphrase, read_passphrase};
use farside_service::time::rfc3339;
use serde_json::json;

use super::{Program, counted, read_sheaf, read_text};
use crate::keys::{self, KeyKind, Passphrase, Token, Tokens};
use crate::names;
use crate::release::{self, ReleaseFault};

/// Keys of root and release signers, and break-glass cards.
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
        #[command(flatten)]
        half: HalfInToken,
    },
    /// Sign a break-glass order with a card. It is shown first: nobody signs unread.
    Sign(AddSignature),
    /// Show the public line of a key file; with the passphrase it is checked against the private key.
    Show {
        /// The key file.
        file: PathBuf,
        /// File with the passphrase of this key.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// File with the PIN of the PKCS#11 token that holds half of it; left out: you are asked.
        #[arg(long, value_name = "FILE")]
        pin_file: Option<PathBuf>,
    },
}

/// Where the Ed25519 half of a signer's key shall live.
#[derive(Debug, Args)]
pub struct HalfInToken {
    /// Make the Ed25519 half inside the PKCS#11 token of that label, which never gives it out.
    #[arg(long, value_name = "LABEL")]
    pub(super) pkcs11: Option<String>,
    /// The token's module; left out: the one that `mint.toml` names for it.
    #[arg(long, value_name = "FILE", requires = "pkcs11")]
    pub(super) module: Option<PathBuf>,
    /// File with the token's PIN; left out: you are asked.
    #[arg(long, value_name = "FILE", requires = "pkcs11")]
    pub(super) pin_file: Option<PathBuf>,
}

impl HalfInToken {
    fn token(&self, program: &Program) -> Result<Option<Arc<Token>>, Failure> {
        let Some(label) = &self.pkcs11 else { return Ok(None) };
        let (module, pin_file) = match &self.module {
            Some(module) => (module.clone(), None),
            None => program.described_token(label)?,
        };
        let pin_file = self.pin_file.clone().or(pin_file);
        Ok(Some(Tokens::through(label, &module, pin_file.as_deref())?))
    }
}

/// The people's roles.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// Signs charters.
    Root,
    /// Signs what loosens.
    Release,
    /// A card: opens in an emergency, on the far side, together with others.
    Breakglass,
}

pub(super) fn run(command: &Key, program: &Program) -> Result<(), Failure> {
    match command {
        Key::New { role, name, out, passphrase_file, half } => {
            names::key(name).map_err(|fault| Failure::refused(fault.to_string()))?;
            let passphrase = Passphrase::new(new_passphrase(&Source::find(passphrase_file.as_deref()))?);
            let token = half.token(program)?;
            let public = keys::create_signer_with(out, name, &passphrase, token.as_deref())?;
            let role = match role {
                Role::Root => "root",
                Role::Release => "release",
                Role::Breakglass => "breakglass",
            };
            let line = public.to_string();
            let token = &half.pkcs11;
            let value = json!({ "role": role, "name": name, "file": out, "public": line, "token": token });
            program.output.say(|| line.clone(), &value)
        }
        Key::Sign(signature) => sign(signature, program),
        Key::Show { file, passphrase_file, pin_file } => {
            let header = keys::inspect(file)?;
            if let Some(path) = passphrase_file {
                let passphrase = Passphrase::new(read_passphrase(&Source::File(path.clone()))?);
                let passphrase = passphrase.with_tokens(program.tokens(pin_file.as_deref())?);
                keys::check(file, &passphrase)?;
            }
            let value = json!({
                "name": header.name, "kind": header.kind.to_string(), "public": header.public,
                "checked": passphrase_file.is_some(), "ed25519": header.ed25519.map(|uri| uri.to_string()),
            });
            program.output.say(|| printable(&header.public).into_owned(), &value)
        }
    }
}

/// Signs an order, and nothing else: what is not one is refused before the passphrase is asked for.
// breakglass.md §3.5
fn sign(signature: &AddSignature, program: &Program) -> Result<(), Failure> {
    for file in &signature.files {
        let Review { order, .. } =
            breakglass::review(read_text(file)?.as_bytes()).or_refused(|| file.display().to_string())?;
        eprintln!("You sign this break-glass order:\n\n{}\n", described(&order));
    }
    for (file, signed) in signature.add()? {
        let signed = breakglass::review(&signed).or_could_not(|| "read what was signed".to_owned())?;
        let names = signed.signer_names;
        let value = json!({ "file": file, "order": signed.order, "signers": names });
        let sentence = || {
            let count = counted(names.len(), "signature");
            format!("{} now bears {count}: {}", file.display(), names.join(", "))
        };
        program.output.say(sentence, &value)?;
    }
    Ok(())
}

fn described(order: &GlassOrder) -> String {
    table(&["order", &order.id], &order.rows(rfc3339))
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
    /// File with the PIN of the PKCS#11 token that holds half of that key; left out: you are asked.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// The draft; several are signed one after the other.
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
}

impl AddSignature {
    /// Adds it in each file, and returns what the files then hold.
    pub(super) fn add(&self) -> Result<Vec<(&Path, Vec<u8>)>, Failure> {
        let passphrase = passphrase_for(self.passphrase_file.as_deref())?;
        let tokens = Arc::new(Tokens::of_key_files(self.pin_file.as_deref()));
        let signer = keys::open_signer(&self.key, &passphrase.with_tokens(tokens))?;
        let add = |file: &'_ PathBuf| {
            let sheaf = read_sheaf(file)?;
            let notes = release::untie(&sheaf).map_err(ReleaseFault::from)?;
            let signed = notes.into_iter().map(|note| note::add_signature(note, &signer));
            let signed = signed.collect::<Result<Vec<_>, _>>();
            signed.map(|signed| release::tie(&signed)).map_err(|fault| Failure::could_not(fault.to_string()))
        };
        // All of them read before any is written.
        let signed = self.files.iter().map(add).collect::<Result<Vec<_>, Failure>>()?;
        let signed: Vec<(&Path, Vec<u8>)> = self.files.iter().map(PathBuf::as_path).zip(signed).collect();
        for (file, bytes) in &signed {
            durable::write(file, bytes, Mode::Shared)?;
        }
        Ok(signed)
    }
}

/// The passphrase of a signer's key: from the file named, else a credential, else asked for.
pub(super) fn passphrase_for(file: Option<&Path>) -> Result<Passphrase, Failure> {
    Ok(Passphrase::new(read_passphrase(&Source::find(file))?))
}
