//! What a bundle revokes, laid over what is held: a full list replaces it, if it takes nothing back; a delta
//! adds to it.

use std::collections::HashMap;

use farside_crossing::bundle::Opened;
use farside_crossing::status::{self, Horizon};
use farside_crossing::{Code, ComponentType, PardonDocument, Refusal, StatusDocument};
use rusqlite::Transaction;

use super::apply::Trouble;
use crate::published;
use crate::revocations;
use crate::store::{self, StoreFault};

/// What the judgement hangs on besides the two lists.
pub(super) struct Ground<'g> {
    /// The pardon, if it acts.
    pub(super) pardon: Option<&'g PardonDocument>,
    /// The key set that will be in force.
    pub(super) jwks: Option<&'g [u8]>,
    /// The longest lifetime that any policy has ever allowed here.
    pub(super) lifetime_seconds_highest: u64,
}

/// Judges the status of a bundle and stores what is revoked from now on; `None` where it carries none.
// bundle.md §7.4 to §7.6
pub(super) fn take_in(
    tx: &Transaction<'_>,
    opened: &Opened<'_>,
    held: Option<&StatusDocument>,
    ground: &Ground<'_>,
) -> Result<Option<StatusDocument>, Trouble> {
    let Some(new) = opened.status() else { return Ok(None) };
    let manifest = opened.manifest();
    let ends = key_ends(ground.jwks)?;
    let horizon = Horizon {
        issued_at: manifest.issued_at,
        lifetime_seconds_highest: ground.lifetime_seconds_highest,
        key_ends: &|kid| ends.get(kid).copied().unwrap_or(0),
    };
    let next = match (new.since, held) {
        (None, None) => new.clone(),
        (None, Some(held)) => {
            status::judge_change(held, new, ground.pardon, &horizon, revocations::decode)?;
            new.clone()
        }
        (Some(_), Some(held)) => status::apply_delta(held, new, &horizon, revocations::decode)?,
        (Some(since), None) => {
            return Err(Refusal::new(Code::Gap, format!("status since {since}; none is held")).into());
        }
    };
    let body = serde_json::to_vec(&next).map_err(|_| StoreFault::Damaged("status"))?;
    store::set_document(tx, "status", next.version, manifest.seq, &body)?;
    let part = opened.component(ComponentType::Status).unwrap_or_default();
    store::add_status_part(tx, manifest.seq, new.since.is_some(), part)?;
    Ok(Some(next))
}

/// Until when the tokens of each key are accepted.
fn key_ends(jwks: Option<&[u8]>) -> Result<HashMap<String, u64>, Trouble> {
    let Some(jwks) = jwks else { return Ok(HashMap::new()) };
    let keys = published::read(jwks).map_err(|_| StoreFault::Damaged("keys"))?;
    Ok(keys.into_iter().map(|key| (key.kid, key.accept_until.unwrap_or(u64::MAX))).collect())
}
