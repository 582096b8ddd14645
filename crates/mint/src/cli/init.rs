//! `mint init`: founds a realm, whole or not at all. Where a mint stands already, nothing is touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use farside_crossing::{Signer, SignerPublic, note};
use farside_service::cli::Failure;
use farside_service::durable::{self, Mode};
use farside_service::secret_file::{Source, new_passphrase};
use farside_service::time;
use serde_json::{Value, json};

use super::Program;
use super::key::HalfInToken;
use crate::ceremony::{self, Roles};
use crate::config::{Home, Mint};
use crate::founding::{self, Founding};
use crate::keys::{self, Passphrase, TokenConfig, Tokens};
use crate::names;
use crate::store::Store;

/// Founds a realm.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder to found it in.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The realm's name: letters, digits, `.`, `-` and `_`.
    #[arg(long)]
    realm: String,
    /// Leave the charter to people with keys of their own.
    #[arg(long)]
    ceremony: bool,
    /// File with the passphrase of the mint's own keys.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    half: HalfInToken,
    /// Where `serve` shall listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    listen: std::net::SocketAddr,
    /// Where `serve` shall show metrics and health.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<std::net::SocketAddr>,
    /// The token endpoint's public URL.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

pub(super) fn run(init: &Init, program: &Program) -> Result<(), Failure> {
    names::realm(&init.realm).map_err(|fault| Failure::refused(fault.to_string()))?;
    let home = Home(init.dir.clone());
    founding::refuse_standing(&home)?;
    let passphrase_file = init.passphrase_file.as_deref().map(absolute).transpose()?;
    let passphrase = Passphrase::new(new_passphrase(&Source::find(passphrase_file.as_deref()))?);
    let section = section(&init.half)?;
    let tokens = Tokens::configure(section.as_slice(), &home.0)?;
    let token = section.as_ref().map(|_| tokens.named(None)).transpose()?.map(Arc::as_ref);
    let founding = Founding::begin(&home)?;
    let now = time::now_unix();
    for folder in [&home.keys(), &home.journal(), &home.staging(), &home.0.join("outbox")] {
        durable::create_dir_all(folder, Mode::Private)?;
    }
    let online = keys::create_signer_with(&home.online_key(), "online", &passphrase, token)?;
    let log_name = format!("{}-log", init.realm);
    let log = keys::create_log_with(&home.log_key(), &log_name, &passphrase, token)?;
    export(&home.keys().join("online.pub"), &online.to_string())?;
    export(&home.keys().join("log.pub"), &log.to_string())?;
    let store = Store::create(&home.database(), &init.realm, now)?;
    durable::write_new(
        &home.config(),
        configuration(init, passphrase_file.as_deref(), section.as_ref()).as_bytes(),
        Mode::Shared,
    )?;
    let mint = Mint::read(&home.config())?;
    let diary = mint.diary()?;
    diary.record("realm_founded", json!({ "realm": init.realm, "ceremony": init.ceremony }))?;
    if init.ceremony {
        founding.finish()?;
        return say_ceremony(init, program, &home, &online);
    }
    let charter = found_alone(
        &mint,
        &store,
        &passphrase,
        Roles {
            root: (vec![keys::create_signer_in(&home.offline(), "root-1", &passphrase)?], 1),
            release: (vec![keys::create_signer_in(&home.offline(), "release-1", &passphrase)?], 1),
            online: (vec![online], 1),
            log: vec![log],
            breakglass: None,
        },
        now,
    )?;
    diary.record("charter_adopted", json!({ "version": 1, "fingerprint": charter.fingerprint().hex() }))?;
    founding.finish()?;
    say_founded(init, program, &home, &charter)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(path)
        .map_err(|fault| Failure::could_not(format!("cannot find {}: {fault}", path.display())))
}

fn export(path: &Path, line: &str) -> Result<(), Failure> {
    Ok(durable::write_new(path, format!("{line}\n").as_bytes(), Mode::Shared)?)
}

/// Root and release at 1 of 1 on this very disk: it works the same, and the outcome says plainly what it is.
fn found_alone(
    mint: &Mint,
    store: &Store,
    passphrase: &Passphrase,
    roles: Roles,
    now: u64,
) -> Result<farside_crossing::Charter, Failure> {
    let online = roles.online.0.first().cloned().ok_or(ceremony::CharterFault::OnlineMissing)?;
    let root = keys::open_signer(&mint.home.offline().join("root-1.key"), passphrase)?;
    let draft =
        ceremony::draft(&mint.config.realm, None, roles, now).map_err(ceremony::CharterFault::from)?;
    let text = draft.text().map_err(ceremony::CharterFault::from)?;
    let signed =
        note::sign(&text, &[&root as &dyn Signer]).map_err(|fault| Failure::could_not(fault.to_string()))?;
    let charter = ceremony::adopt(store, &signed, &online, now)?;
    durable::write(&mint.home.charter(), charter.bytes(), Mode::Shared)?;
    Ok(charter)
}

/// What `mint.toml` will say of the token that holds the mint's own keys.
fn section(half: &HalfInToken) -> Result<Option<TokenConfig>, Failure> {
    let Some(label) = half.pkcs11.clone() else { return Ok(None) };
    let module = half.module.as_deref().ok_or_else(|| {
        Failure::refused("--pkcs11 needs the token's --module, such as /usr/lib/softhsm/libsofthsm2.so")
    })?;
    // A module may be a link that follows its package's versions: it is named as it was.
    absolute(module)?;
    let module = std::path::absolute(module).unwrap_or_else(|_| module.to_owned());
    let pin_file = half.pin_file.as_deref().map(absolute).transpose()?;
    Ok(Some(TokenConfig { module, label: Some(label), serial: None, pin_file }))
}

fn configuration(init: &Init, passphrase_file: Option<&Path>, token: Option<&TokenConfig>) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut toml = format!(
        "# The mint of realm {0}. `farside mint serve` reads this file; unknown keys are refused.\n\
         realm = {1}\n",
        init.realm,
        quoted(&init.realm)
    );
    match passphrase_file {
        Some(path) => toml.push_str(&format!("passphrase_file = {}\n", quoted(&path.display().to_string()))),
        None => toml.push_str("# passphrase_file = \"…\"   left out: a systemd credential, else a prompt\n"),
    }
    if let Some(url) = &init.public_url {
        toml.push_str(&format!("public_url = {}\n", quoted(url)));
    }
    toml.push_str(&format!("\n[listen]\naddress = \"{}\"\n", init.listen));
    toml.push_str("# tls = { certificates = \"server.pem\", key = \"server.key\" }\n");
    if let Some(admin) = init.admin {
        toml.push_str(&format!("\n[admin]\naddress = \"{admin}\"\n"));
    }
    if let Some(TokenConfig { module, label, pin_file, .. }) = token {
        toml.push_str(&format!("\n[[pkcs11]]\nmodule = {}\n", quoted(&module.display().to_string())));
        toml.push_str(&format!("label = {}\n", quoted(label.as_deref().unwrap_or_default())));
        match pin_file {
            Some(path) => toml.push_str(&format!("pin_file = {}\n", quoted(&path.display().to_string()))),
            None => toml.push_str("# pin_file = \"…\"   left out: a systemd credential, else a prompt\n"),
        }
    }
    toml
}

fn say_founded(
    init: &Init,
    program: &Program,
    home: &Home,
    charter: &farside_crossing::Charter,
) -> Result<(), Failure> {
    let fingerprint = charter.fingerprint();
    let value = json!({
        "realm": init.realm, "dir": home.0, "charter": home.charter(), "charter_version": 1,
        "fingerprint": fingerprint.hex(), "words": fingerprint.words(), "ceremony": false,
        "root_key": home.offline().join("root-1.key"), "release_key": home.offline().join("release-1.key"),
    });
    program.output.say(
        || {
            format!(
                "Realm {} is founded in {}.\n\
                 Its charter is adopted: root 1 of 1, release 1 of 1. Show every gate its fingerprint:\n\n\
                 \x20 {}\n  {}\n\n\
                 Both root and release keys lie in {}: whoever holds this disk and its passphrase\n\
                 can add keys and loosen policy. Move them to another medium, or use --ceremony.",
                init.realm,
                home.0.display(),
                fingerprint.words(),
                fingerprint.hex(),
                home.offline().display(),
            )
        },
        &value,
    )
}

fn say_ceremony(init: &Init, program: &Program, home: &Home, online: &SignerPublic) -> Result<(), Failure> {
    let value = json!({
        "realm": init.realm, "dir": home.0, "ceremony": true, "online": online.to_string(),
        "online_public": home.keys().join("online.pub"), "log_public": home.keys().join("log.pub"),
    });
    program.output.say(
        || {
            format!(
                "Realm {} is prepared in {}; it has no charter yet.\n\
                 Each signer makes a key: mint key new --role root|release --name NAME --out FILE. Then:\n  \
                 mint charter draft --root PUB … --root-threshold K \\\n      \
                 --release PUB … --release-threshold K --out FILE\n  \
                 mint charter sign --key KEY FILE     each root signer in turn\n  \
                 mint charter adopt FILE",
                init.realm,
                home.0.display(),
            )
        },
        &value,
    )
}
