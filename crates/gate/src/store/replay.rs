//! Where this gate remembers what counts once: in one place after another, never in two.

use rusqlite::Transaction;

use super::StoreFault;

/// Who keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptBy {
    /// Nobody yet.
    Nothing,
    /// This gate's own disk.
    Disk,
    /// A Redis that several gates share.
    Redis,
}

impl KeptBy {
    const ALL: [KeptBy; 3] = [KeptBy::Nothing, KeptBy::Disk, KeptBy::Redis];

    fn as_str(self) -> &'static str {
        match self {
            KeptBy::Nothing => "nothing",
            KeptBy::Disk => "disk",
            KeptBy::Redis => "redis",
        }
    }
}

/// Who kept it last.
pub(crate) fn replay_kept_by(tx: &Transaction<'_>) -> Result<KeptBy, StoreFault> {
    let name: String = tx.query_row("SELECT replay FROM state", [], |row| row.get(0))?;
    let named = KeptBy::ALL.into_iter().find(|one| one.as_str() == name);
    named.ok_or(StoreFault::Damaged("replay"))
}

/// From now on it is kept so.
pub(crate) fn set_replay_kept_by(tx: &Transaction<'_>, kept_by: KeptBy) -> Result<(), StoreFault> {
    tx.execute("UPDATE state SET replay = ?1", [kept_by.as_str()])?;
    Ok(())
}
