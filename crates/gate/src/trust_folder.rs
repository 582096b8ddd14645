//! The trust folder: what this gate believes, as files for programs that read files and ask nobody (Envoy's
//! `local_jwks`, hoop, whatever takes a SPIFFE trust bundle).
//!
//! ```text
//!   import, or time alone ──▶ TrustState ──▶ jwks.json           every key whose trust is current
//!                                       ├──▶ spiffe-bundle.json  of these the keys of JWT-SVIDs, numbered
//!                                       ├──▶ status/…            signed status lists, one file each
//!                                       └──▶ status.json         how recent all of it is
//! ```
//!
//! Each file is replaced whole. No key stays in it that `/jwks.json` would not show: once trust has expired,
//! or cannot be read, the sets are empty. Whoever writes holds a lock and looks at the trust only then, so
//! that an older picture never lands on a newer one.

mod lists;

use std::path::Path;
use std::time::Duration;

use farside_service::cli::Failure;
use farside_service::durable::{self, Mode};
use farside_service::lock::Exclusive;
use farside_verify::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::config::{Config, TrustFolder};
use crate::published;
use crate::store;
use crate::trust::{Gate, TrustState};

/// Every key whose trust is current (RFC 7517 §5).
pub const JWKS: &str = "jwks.json";
/// The same as a SPIFFE trust bundle, which holds only keys of JWT-SVIDs.
pub const SPIFFE_BUNDLE: &str = "spiffe-bundle.json";
/// How recent both are.
pub const STATUS: &str = "status.json";
/// Signed status lists: `<shard>/<number>.jwt` below it.
pub const LISTS: &str = "status";

/// No file of ours is longer; a longer one is not ours and is replaced.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// How long one writer waits for another.
const LOCK_WAIT_SECONDS_MAX: u64 = 30;
/// A number found in the folder counts up to here: beyond it JSON readers no longer agree on numbers.
const SEQUENCE_MAX: u64 = 1 << 53;

/// What `status.json` says; members are only ever added.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    site: Option<&'a str>,
    realm: Option<&'a str>,
    issuer: Option<&'a str>,
    /// `untrusted`, `fresh`, `late`, `expired`, or `unreadable` where the store cannot be read.
    freshness: &'static str,
    /// Whether a door would judge now.
    ready: bool,
    /// If not, the code of the reason.
    not_ready: Option<&'static str>,
    bundle: Option<Bundle>,
    keys: Vec<Key>,
    spiffe_sequence: u64,
    status_lists: Lists,
}

/// The signed status lists.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Lists {
    /// The number of the bundle that brought them; 0 where none has.
    seq: u64,
    count: usize,
    /// After this moment none is left, as far as this gate is running.
    expires_at: u64,
}

/// The bundle applied last. Times are Unix seconds.
#[derive(Debug, Serialize)]
struct Bundle {
    seq: u64,
    issued_at: u64,
    next_by: u64,
    /// After this moment the key sets are empty, as far as this gate is running.
    not_after: u64,
}

/// One key of `jwks.json`.
#[derive(Debug, Serialize)]
struct Key {
    kid: String,
    accept_until: Option<u64>,
}

/// Brings the folder up to date; nothing where none is configured.
///
/// # Errors
/// A file cannot be written: then it may still show a key that is no longer believed.
pub fn refresh(config: &Config, gate: &Gate, now: u64) -> Result<(), Failure> {
    let Some(folder) = &config.trust_folder else { return Ok(()) };
    let stale = |failure: Failure| {
        Failure::could_not(format!("the trust folder may still show what is no longer believed: {failure}"))
            .with_hint(failure.hint_text())
    };
    write(config, folder, gate, now).map_err(stale)
}

fn write(config: &Config, folder: &TrustFolder, gate: &Gate, now: u64) -> Result<(), Failure> {
    let path = config.home().join(&folder.path);
    durable::create_dir_all(&path, Mode::Shared)?;
    let _lock =
        Exclusive::take_within(&config.trust_folder_lock(), Duration::from_secs(LOCK_WAIT_SECONDS_MAX))?;
    let trust = gate.trust();
    let jwks = match &trust {
        Ok(trust) => trust.current_jwks(now),
        Err(_) => published::jwks(std::iter::empty()),
    };
    let svids = published::for_svids(&published::read(jwks.as_bytes()).unwrap_or_default());
    let sequence = sequence(gate, &svids, &path.join(SPIFFE_BUNDLE));
    let bundle = format!(
        "{{\"keys\":[{}],\"spiffe_sequence\":{sequence},\"spiffe_refresh_hint\":{}}}",
        svids.join(","),
        folder.refresh_hint.0,
    );
    let status = serde_json::to_string(&status(&trust, &jwks, sequence, now)).unwrap_or_default();
    // Keys and lists go before what is said of them.
    for (name, text) in [(JWKS, jwks), (SPIFFE_BUNDLE, bundle)] {
        replace(&path.join(name), &format!("{text}\n"))?;
    }
    let status = format!("{status}\n");
    if !holds(&path.join(STATUS), &status) {
        lists::write(&path.join(LISTS), trust.as_deref().ok(), now)?;
    }
    replace(&path.join(STATUS), &status)
}

/// Whether a file says this, to the byte.
fn holds(path: &Path, text: &str) -> bool {
    durable::read_limited(path, FILE_BYTES_MAX).is_ok_and(|held| held == text.as_bytes())
}

/// Writes a file unless it says this already.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    if holds(path, text) {
        return Ok(());
    }
    durable::write(path, text.as_bytes(), Mode::Shared)?;
    tracing::info!(file = %path.display(), "the trust folder shows something new");
    Ok(())
}

/// The number of this set of keys. It rises with every change and sinks with none: neither when keys are
/// taken back, nor when the store or the folder was put back from a copy.
// SPIFFE Trust Domain and Bundle §4.1.1: spiffe_sequence
fn sequence(gate: &Gate, svids: &[String], file: &Path) -> u64 {
    let found = found(file);
    let digest = farside_service::digest::sha256(svids.join("\n").as_bytes());
    store::shown_sequence(gate.store(), &digest, found.sequence).unwrap_or_else(|fault| {
        tracing::error!(%fault, "the number of the SPIFFE bundle cannot be kept");
        if found.keys == svids { found.sequence } else { found.sequence + 1 }
    })
}

/// What stands in the folder already.
#[derive(Default)]
struct Found {
    sequence: u64,
    keys: Vec<String>,
}

fn found(file: &Path) -> Found {
    #[derive(Deserialize)]
    struct Members {
        spiffe_sequence: u64,
        keys: Vec<Box<RawValue>>,
    }
    let bytes = durable::read_limited(file, FILE_BYTES_MAX).unwrap_or_default();
    match serde_json::from_slice::<Members>(&bytes) {
        Ok(members) if members.spiffe_sequence <= SEQUENCE_MAX => Found {
            sequence: members.spiffe_sequence,
            keys: members.keys.iter().map(|key| key.get().to_owned()).collect(),
        },
        _ => Found::default(),
    }
}

fn status<'a>(
    trust: &'a Result<std::sync::Arc<TrustState>, Refusal>,
    jwks: &str,
    spiffe_sequence: u64,
    now: u64,
) -> Shown<'a> {
    let keys = published::read(jwks.as_bytes()).unwrap_or_default().into_iter();
    let keys = keys.map(|key| Key { kid: key.kid, accept_until: key.accept_until }).collect();
    let ready = match trust {
        Ok(trust) => trust.ready(now).map_err(|refusal| refusal.code().as_str()),
        Err(refusal) => Err(refusal.code().as_str()),
    };
    let trust = trust.as_ref().ok();
    Shown {
        site: trust.map(|trust| trust.site()),
        realm: trust.and_then(|trust| trust.realm()),
        issuer: trust.and_then(|trust| trust.issuer()),
        freshness: trust.map_or("unreadable", |trust| trust.freshness(now).name()),
        ready: ready.is_ok(),
        not_ready: ready.err(),
        bundle: trust.and_then(|trust| trust.applied()).map(|held| Bundle {
            seq: held.seq,
            issued_at: held.issued_at,
            next_by: held.next_by,
            not_after: held.not_after,
        }),
        keys,
        spiffe_sequence,
        status_lists: trust.map_or_else(Lists::default, |trust| {
            let (seq, expires_at) = trust.lists().term();
            Lists { seq, count: trust.lists().current(now).count(), expires_at }
        }),
    }
}
