//! What is revoked at a site, and how much room that takes in its bundles.

use farside_crossing::status::STATUS_BYTES_MAX;
use farside_service::cli::Failure;
use serde::Serialize;

use crate::bundler;
use crate::store::{Site, Store};

/// What a full bundle would tell of revocations.
#[derive(Debug, Serialize)]
pub struct RevokedShown {
    /// Entries; each revoked token is one.
    pub entries: u64,
    /// Bytes of the component that lists them.
    pub bytes: u64,
    /// Bytes that it may have.
    pub bytes_max: u64,
}

impl RevokedShown {
    /// Whether people should do something before it is too late.
    pub fn is_large(&self) -> bool {
        self.bytes >= self.bytes_max / 2
    }

    /// Whether no bundle can be made with it.
    pub fn is_too_large(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// For eyes.
    pub fn sentence(&self) -> String {
        let entries = match self.entries {
            1 => "1 entry".to_owned(),
            many => format!("{many} entries"),
        };
        format!("{entries}, {} of the {} that a bundle has for them", size(self.bytes), size(self.bytes_max))
    }
}

/// Measures the list that the next full bundle would bring.
pub(super) fn look(store: &Store, realm: &str, site: &Site, now: u64) -> Result<RevokedShown, Failure> {
    let (entries, bytes) = store.read(|transaction| bundler::measure(transaction, realm, site, now))?;
    Ok(RevokedShown { entries, bytes, bytes_max: STATUS_BYTES_MAX as u64 })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
