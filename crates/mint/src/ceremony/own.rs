//! The mint's own keys in a charter that is drafted: kept as they are, or replaced by new ones that wait in
//! `keys/` until the charter is adopted.

use farside_crossing::{Charter, LogKey, SignerPublic};
use farside_service::cli::Failure;
use farside_service::durable::{self, Mode};

use crate::config::Mint;
use crate::keys::{self, KeyUri};
use crate::role_keys::{self, KeyFile};

/// What is to become of the online key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnlineChange {
    /// It stays.
    #[default]
    Keep,
    /// A new one takes its place.
    Replace,
}

/// What is to become of the log's key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogChange {
    /// It stays, and so does the one before it.
    #[default]
    Keep,
    /// A new one follows it; it is believed until the next change, for what it has signed.
    Follow,
    /// A new one takes its place, and nothing that it has signed is believed any more.
    Replace,
    /// The one before it is believed no more.
    DropOld,
}

/// Changes of the mint's own keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes {
    /// Online.
    pub online: OnlineChange,
    /// Log.
    pub log: LogChange,
}

/// The online signers of the next charter, and how many of them it takes.
pub fn online(
    mint: &Mint,
    newest: Option<&Charter>,
    change: OnlineChange,
) -> Result<(Vec<SignerPublic>, usize), Failure> {
    let Some(newest) = newest else {
        return Ok((vec![read_signer(&own(role_keys::online_files(&mint.home)?, "online")?)?], 1));
    };
    let threshold = newest.online().threshold();
    let mut signers = newest.online().signers().to_vec();
    if change == OnlineChange::Keep {
        return Ok((signers, threshold));
    }
    match role_keys::named_online(&mint.home, &signers)? {
        Some(held) => signers.retain(|signer| signer.to_string() != held.public),
        // The key is lost, or was another machine's: the new one stands alone.
        None => signers.clear(),
    }
    signers.push(new_online(mint, newest.version() + 1)?);
    Ok((signers, threshold))
}

/// The log keys of the next charter; the first that this mint holds is the one it signs with.
pub fn log(mint: &Mint, newest: Option<&Charter>, change: LogChange) -> Result<Vec<LogKey>, Failure> {
    let Some(newest) = newest else {
        return Ok(vec![read_log(&own(role_keys::log_files(&mint.home)?, "log")?.public)?]);
    };
    let held: Vec<KeyFile> = role_keys::log_files(&mint.home)?;
    let is_own = |key: &&LogKey| held.iter().any(|file| file.public == key.to_string());
    let in_use = newest.log().iter().find(is_own);
    let name = in_use.map_or_else(|| format!("{}-log", mint.config.realm), |key| key.name().to_owned());
    // Keys of the same name that are not in use are this mint's older ones; other names are other replicas'.
    let others = newest.log().iter().filter(|key| key.name() != name);
    let own: Vec<LogKey> = match change {
        LogChange::Keep => return Ok(newest.log().to_vec()),
        LogChange::DropOld => in_use.into_iter().cloned().collect(),
        LogChange::Follow => {
            let new = new_log(mint, newest.version() + 1, &name)?;
            [new].into_iter().chain(in_use.cloned()).collect()
        }
        LogChange::Replace => vec![new_log(mint, newest.version() + 1, &name)?],
    };
    Ok(own.into_iter().chain(others.cloned()).collect())
}

fn own(files: Vec<KeyFile>, role: &str) -> Result<KeyFile, Failure> {
    files.into_iter().next().ok_or_else(|| Failure::could_not(format!("no {role} key lies in keys/")))
}

/// A draft that was made again finds the key of the one before.
fn new_online(mint: &Mint, version: u64) -> Result<SignerPublic, Failure> {
    let path = mint.home.keys().join(format!("online-{version}.key"));
    if !path.exists() {
        let name = format!("online-{version}");
        let (passphrase, token) = (mint.passphrase()?, token_of(role_keys::online_files(&mint.home)?)?);
        let token = token.as_ref().map(|uri| passphrase.tokens().configured(uri)).transpose()?;
        let public = keys::create_signer_with(&path, &name, &passphrase, token.as_deref())?;
        export(&path, &public.to_string())?;
    }
    read_signer(&KeyFile { public: keys::inspect(&path)?.public, path })
}

// log.md §5.4: the new key bears the old one's name, so that the log stays the same one.
fn new_log(mint: &Mint, version: u64, name: &str) -> Result<LogKey, Failure> {
    let path = mint.home.keys().join(format!("log-{version}.key"));
    if !path.exists() {
        let (passphrase, token) = (mint.passphrase()?, token_of(role_keys::log_files(&mint.home)?)?);
        let token = token.as_ref().map(|uri| passphrase.tokens().configured(uri)).transpose()?;
        let public = keys::create_log_with(&path, name, &passphrase, token.as_deref())?;
        export(&path, &public.to_string())?;
    }
    read_log(&keys::inspect(&path)?.public)
}

/// The new key is made where the newest one lies: half of it in a token, if that one's is.
fn token_of(files: Vec<KeyFile>) -> Result<Option<KeyUri>, Failure> {
    let newest = files.last().map(|file| keys::inspect(&file.path)).transpose()?;
    Ok(newest.and_then(|header| header.ed25519))
}

fn export(key: &std::path::Path, line: &str) -> Result<(), Failure> {
    Ok(durable::write(&key.with_extension("pub"), format!("{line}\n").as_bytes(), Mode::Shared)?)
}

fn read_signer(file: &KeyFile) -> Result<SignerPublic, Failure> {
    file.public.parse().map_err(|refusal: farside_crossing::Refusal| Failure::could_not(refusal.to_string()))
}

fn read_log(line: &str) -> Result<LogKey, Failure> {
    line.parse().map_err(|refusal: farside_crossing::Refusal| Failure::could_not(refusal.to_string()))
}
