//! Signed status lists as they crossed, for third parties: shown, and never judged by.

use std::collections::HashMap;

use farside_crossing::ListsDocument;

/// What lies below it has an address.
const FOLDER: &str = "/status/";

/// Every list by its path at this gate.
#[derive(Debug, Default)]
pub(crate) struct ShownLists {
    by_path: HashMap<String, String>,
    expires_at: u64,
    ttl_seconds: u64,
}

/// A list that may be shown now.
pub(crate) struct ShownList<'l> {
    /// The compact JWS.
    pub(crate) token: &'l str,
    /// How long it may be kept.
    pub(crate) max_age_seconds: u64,
}

impl ShownLists {
    pub(crate) fn read(document: ListsDocument) -> ShownLists {
        let path = |uri: &str| uri.find(FOLDER).map(|at| uri[at..].to_owned());
        let by_path = document.lists.into_iter().filter_map(|list| Some((path(&list.uri)?, list.token)));
        ShownLists {
            by_path: by_path.collect(),
            expires_at: document.expires_at,
            ttl_seconds: document.ttl_seconds,
        }
    }

    /// The list at this path; `None` where there is none that still counts.
    pub(crate) fn at(&self, path: &str, now: u64) -> Option<ShownList<'_>> {
        let left = self.expires_at.checked_sub(now).filter(|left| *left > 0)?;
        let token = self.by_path.get(path)?;
        Some(ShownList { token, max_age_seconds: self.ttl_seconds.min(left) })
    }
}
