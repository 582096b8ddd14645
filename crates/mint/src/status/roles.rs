//! The charter's keys and how old they are.

use farside_crossing::{Charter, Role};
use farside_service::cli::Failure;
use farside_service::digest::{hex, sha256};
use serde::Serialize;

use crate::config::Mint;
use crate::role_keys;
use crate::store::{Store, StoreFault, unsigned};

/// How much of a key's digest people are shown.
const ID_CHARS: usize = 8;

/// One key of a role.
#[derive(Debug, Serialize)]
pub struct RoleKeyShown {
    /// `root`, `release`, `online` or `log`.
    pub role: &'static str,
    /// Whose it is.
    pub name: String,
    /// The first characters of the SHA-256 of its public line.
    pub key: String,
    /// Since when a charter in force has named it.
    pub since: u64,
    /// Until when the realm's profile lets it be used.
    pub due: u64,
    /// Whether its private half lies on this disk.
    pub here: bool,
}

/// Every key of the charter in force.
pub(super) fn look(
    mint: &Mint,
    store: &Store,
    chain: &[Charter],
    now: u64,
) -> Result<Vec<RoleKeyShown>, Failure> {
    let Some(newest) = chain.last() else { return Ok(Vec::new()) };
    let adopted = store.read(adopted)?;
    let here = private_here(mint)?;
    let period = mint.config.rotation.profile().cryptoperiod_seconds_max;
    let shown = |role: &'static str, name: &str, line: String, named: &dyn Fn(&Charter, &str) -> bool| {
        // The run of charters up to the newest that all name it: an earlier time does not count.
        let run = chain.iter().rev().take_while(|charter| named(charter, &line)).count();
        let first = chain.len().saturating_sub(run);
        let since = adopted.get(first).copied().unwrap_or(now);
        let key = hex(&sha256(line.as_bytes())).chars().take(ID_CHARS).collect();
        let here = here.contains(&line);
        RoleKeyShown { role, name: name.to_owned(), key, since, due: since + period, here }
    };
    let mut keys = Vec::new();
    let roles: [(&'static str, fn(&Charter) -> &Role); 3] =
        [("root", Charter::root), ("release", Charter::release), ("online", Charter::online)];
    for (name, role) in roles {
        let named = move |charter: &Charter, line: &str| {
            role(charter).signers().iter().any(|signer| signer.to_string() == line)
        };
        for signer in role(newest).signers() {
            keys.push(shown(name, signer.name(), signer.to_string(), &named));
        }
    }
    let named = |charter: &Charter, line: &str| charter.log().iter().any(|key| key.to_string() == line);
    for key in newest.log() {
        keys.push(shown("log", key.name(), key.to_string(), &named));
    }
    Ok(keys)
}

/// When each charter was adopted, oldest first.
fn adopted(transaction: &rusqlite::Transaction<'_>) -> Result<Vec<u64>, StoreFault> {
    let mut statement = transaction.prepare_cached("SELECT adopted_at FROM charter ORDER BY version")?;
    let rows = statement.query_map([], |row| Ok(unsigned(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn private_here(mint: &Mint) -> Result<Vec<String>, Failure> {
    let own = role_keys::online_files(&mint.home)?.into_iter().chain(role_keys::log_files(&mint.home)?);
    let mut lines: Vec<String> = own.map(|file| file.public).collect();
    let offline = std::fs::read_dir(mint.home.offline()).into_iter().flatten().flatten();
    lines.extend(offline.filter_map(|entry| Some(crate::keys::inspect(&entry.path()).ok()?.public)));
    Ok(lines)
}
