//! Reading the whole log from its first record, beside a running mint: for exports.

use std::path::Path;

use super::{LogFault, Record, segments};

/// Hands out every durable record of the log in `folder` in the order in which they became so; none where the
/// mint has never issued.
///
/// # Errors
/// The log cannot be read, or a record is none of ours.
pub fn read(folder: &Path, mut each: impl FnMut(&Record)) -> Result<(), LogFault> {
    if !folder.exists() {
        return Ok(());
    }
    let mut fault = None;
    segments(folder).read(0, |record| match Record::parse(record.bytes) {
        Ok(parsed) => each(&parsed),
        Err(wrong) => {
            fault.get_or_insert(LogFault::Record { number: record.number, fault: wrong });
        }
    })?;
    fault.map_or(Ok(()), Err)
}
