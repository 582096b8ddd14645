//! Bundles of the time before the charter changed. They lie on every stick for a while, and their signers are
//! nobody's any more: passed over like any older one, and never applied.

use farside_crossing::bundle::{manifest_note, open_manifest};
use farside_crossing::{Code, Refusal};
use rusqlite::Transaction;

use super::apply::{Considered, Scene, Trouble};
use crate::store;
use crate::trust;

/// What becomes of a bundle that the newest charter does not believe: superseded where an earlier charter of
/// this gate's does and its number is not higher than what is held; else refused as it was.
// bundle.md §10.5
pub(super) fn judge(
    tx: &Transaction<'_>,
    scene: &Scene<'_>,
    bytes: &[u8],
    held: u64,
    refusal: Refusal,
) -> Result<Considered, Trouble> {
    if refusal.code() != Code::ThresholdUnmet {
        return Err(refusal.into());
    }
    let Ok(note) = manifest_note(bytes) else { return Err(refusal.into()) };
    for earlier in store::charters(tx)?.iter().rev().skip(1) {
        let earlier = trust::newest_charter(earlier)?;
        let Ok((manifest, _)) = open_manifest(note, &earlier, scene.site) else { continue };
        let offered = manifest.seq;
        if offered > held {
            break;
        }
        store::count_superseded(tx)?;
        let told = format!("bundle {offered}, of before the charter changed; this gate holds {held}");
        let refusal = Refusal::new(Code::Rollback, told);
        return Ok(Considered::Superseded { held, offered, refusal });
    }
    Err(refusal.into())
}
