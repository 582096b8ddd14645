//! How many tokens were issued and refused since the journal was last told. The log has every token by
//! itself; the journal's sums let an auditor see at a glance what a minute brought, refusals included, and no
//! stranger can fill the disk with them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// The sums.
#[derive(Debug, Default)]
pub struct Tally(
    /// Owns the sums; held for one addition.
    Mutex<Sums>,
);

#[derive(Debug, Default)]
struct Sums {
    issued: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
}

impl Tally {
    /// One token of a site was released.
    pub fn issued(&self, site: &str) {
        add(&mut self.sums().issued, site);
    }

    /// One request was refused, for a reason that has a name.
    pub fn refused(&self, reason: &'static str) {
        add(&mut self.sums().refused, reason);
    }

    /// What has gathered, for a journal line, and begins anew; nothing if there was nothing.
    pub fn take(&self) -> Option<Value> {
        let Sums { issued, refused } = std::mem::take(&mut *self.sums());
        let nothing = issued.is_empty() && refused.is_empty();
        (!nothing).then(|| json!({"issued": issued, "refused": refused}))
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(sums: &mut BTreeMap<String, u64>, name: &str) {
    match sums.get_mut(name) {
        Some(sum) => *sum += 1,
        None => drop(sums.insert(name.to_owned(), 1)),
    }
}
