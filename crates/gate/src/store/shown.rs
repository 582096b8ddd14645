//! What has been shown to software that reads files: the number of the SPIFFE bundle.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreFault, signed, unsigned};

/// The number under which these keys are shown. A new one, above every earlier one and above `found` (what
/// stands in the folder), wherever the keys are others than before or `found` is ahead.
pub(crate) fn shown_sequence(store: &Store, keys_sha256: &[u8; 32], found: u64) -> Result<u64, StoreFault> {
    let held = |row: Option<(i64, [u8; 32])>| -> Result<(u64, bool), StoreFault> {
        let Some((sequence, keys)) = row else { return Ok((0, false)) };
        Ok((unsigned(sequence, "SPIFFE sequence")?, &keys == keys_sha256))
    };
    let read = |connection: &rusqlite::Connection| {
        let select = "SELECT sequence, keys_sha256 FROM spiffe_bundle";
        let row = connection.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?)));
        held(row.optional()?)
    };
    // Looked at each second, changed once in a while.
    let (sequence, same) = store.read(|tx| read(tx))?;
    if same && sequence >= found {
        return Ok(sequence);
    }
    store.write(|tx| {
        let (sequence, same) = read(tx)?;
        if same && sequence >= found {
            return Ok(sequence);
        }
        let next = sequence.max(found) + 1;
        tx.execute(
            "INSERT INTO spiffe_bundle (id, sequence, keys_sha256) VALUES (1, ?1, ?2)
             ON CONFLICT (id) DO UPDATE SET sequence = ?1, keys_sha256 = ?2",
            params![signed(next, "SPIFFE sequence")?, keys_sha256],
        )?;
        Ok(next)
    })
}
