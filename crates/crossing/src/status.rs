//! The status component: which tokens, subjects, clients, groups and keys are revoked, and up to which moment
//! everything is. The online key signs it through the manifest, so it may only ever add; what takes a
//! revocation back needs a release-signed pardon.
//!
//! ```text
//!   full:   everything ───────▶ judge_change: nothing missing but what pardon or time excuses
//!   delta:  since its base ───▶ apply_delta: held ∪ delta, so that there is nothing to take back
//! ```

mod bits;
mod change;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::breakglass;
use crate::document::{check_binding, from_json, to_json};
use crate::refusal::{Code, Refusal};
use crate::text::{check_integer, check_line, check_name};

pub use bits::{BitList, LIST_BITS_MAX, LISTS_BYTES_MAX, Lists, TokenBits};
pub use change::{COVERED_SLACK_SECONDS, Horizon, apply_delta, judge_change};

/// Largest status document, in bytes.
pub const STATUS_BYTES_MAX: usize = 32 << 20;

/// Most lists of tokens: shards, times and windows together.
const LISTS_MAX: usize = 4_096;

/// Longest name, key id, reason or operator, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

/// What is revoked at one site: everything, or what came since a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusDocument {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// Rises with every change, from 1; the manifest names the same.
    pub version: u64,
    /// When it was made, Unix seconds.
    pub issued_at: u64,
    /// The version whose status this one adds to; absent where it lists everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Revoked tokens.
    pub tokens: Vec<TokenList>,
    /// Revoked subjects, by `sub`.
    pub subjects: Vec<RevokedName>,
    /// Revoked clients, by `client_id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<RevokedName>,
    /// Revoked groups, by the names in `groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<RevokedName>,
    /// Revoked token keys.
    pub keys: Vec<RevokedKey>,
    /// Every token issued up to a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<RevokedAll>,
}

/// Token Status List of one log shard (draft-ietf-oauth-status-list §4, one bit a token): bit n is log index
/// `first` + n.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenList {
    /// Log shard.
    pub shard: String,
    /// Log index of the first bit, a multiple of 8.
    pub first: u64,
    /// Every token that is set here has expired by then, Unix seconds.
    pub until: u64,
    /// zlib, then unpadded base64url.
    pub lst: String,
}

/// A name whose tokens issued up to a moment are revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedName {
    /// The subject, client or group, as the tokens' claim has it.
    pub name: String,
    /// Tokens with `iat` up to this are revoked, Unix seconds.
    pub before: u64,
    /// Why, for the journal.
    pub reason: String,
    /// Who revoked it.
    pub by: String,
    /// When it was revoked, Unix seconds.
    pub at: u64,
}

/// A token key that is believed no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedKey {
    /// Its key id.
    pub kid: String,
    /// Why, for the journal.
    pub reason: String,
    /// Who revoked it.
    pub by: String,
    /// When it was revoked, Unix seconds.
    pub at: u64,
}

/// Everything that was issued up to a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedAll {
    /// Tokens with `iat` up to this are revoked, Unix seconds.
    pub before: u64,
    /// Why, for the journal.
    pub reason: String,
    /// Who revoked it.
    pub by: String,
    /// When it was revoked, Unix seconds.
    pub at: u64,
}

impl RevokedAll {
    /// Whether an entry of a client or a group adds nothing beside this one: whatever it covers was issued up
    /// to this moment too.
    // bundle.md §7.11
    pub fn covers(&self, before: u64) -> bool {
        before <= self.before
    }

    /// Whether an entry of a subject adds nothing beside this one, in a bundle made at `issued_at`: what it
    /// covers of the mint's was issued up to this moment, and a pass, which nothing but its subject's entry
    /// touches, has ended on every clock.
    // bundle.md §7.11
    pub fn covers_subject(&self, before: u64, issued_at: u64) -> bool {
        let passes_end = before.saturating_add(breakglass::LIFETIME_SECONDS_MAX);
        self.covers(before) && passes_end.saturating_add(COVERED_SLACK_SECONDS) < issued_at
    }
}

impl StatusDocument {
    /// A status that revokes nothing.
    pub fn empty(realm: &str, site: &str, version: u64, issued_at: u64) -> StatusDocument {
        StatusDocument {
            realm: realm.to_owned(),
            site: site.to_owned(),
            version,
            issued_at,
            since: None,
            tokens: Vec::new(),
            subjects: Vec::new(),
            clients: Vec::new(),
            groups: Vec::new(),
            keys: Vec::new(),
            all: None,
        }
    }

    /// The bytes of the component.
    ///
    /// # Errors
    /// `malformed` or `too_large`, saying what does not fit.
    pub fn to_json(&self) -> Result<Vec<u8>, Refusal> {
        self.check()?;
        let json = format!("{}\n", to_json(self)?).into_bytes();
        // What a reader would refuse never leaves the house.
        if json.len() > STATUS_BYTES_MAX {
            let bytes = json.len();
            let detail = format!("a status of {bytes} bytes; at most {STATUS_BYTES_MAX} cross");
            return Err(Refusal::new(Code::TooLarge, detail));
        }
        Ok(json)
    }

    /// Reads a component whose digest has been checked.
    pub(crate) fn read(blob: &[u8], realm: &str, site: &str) -> Result<StatusDocument, Refusal> {
        if blob.len() > STATUS_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "the status component"));
        }
        let json = str::from_utf8(blob).map_err(|_| Refusal::new(Code::Malformed, "status is not UTF-8"))?;
        let status: StatusDocument = from_json(json)?;
        check_binding(&status.realm, &status.site, realm, site)?;
        status.check()?;
        Ok(status)
    }

    /// The entries that revoke by a claim's value, with what they are called.
    pub(crate) fn named(&self) -> [(&'static str, &Vec<RevokedName>); 3] {
        [("subject", &self.subjects), ("client", &self.clients), ("group", &self.groups)]
    }

    // bundle.md §7.1 to §7.3
    fn check(&self) -> Result<(), Refusal> {
        check_name("realm", &self.realm)?;
        check_name("site", &self.site)?;
        check_integer("version", self.version)?;
        check_integer("time of issue", self.issued_at)?;
        if self.version == 0 || self.since.is_some_and(|since| since == 0 || since >= self.version) {
            return Err(Refusal::new(Code::Malformed, "version 0, or since one that is not older"));
        }
        self.check_lists()?;
        for (what, entries) in self.named() {
            once(what, entries.iter().map(|entry| entry.name.as_str()))?;
            for entry in entries {
                check_line(what, &entry.name, LINE_BYTES_MAX)?;
                check_integer("moment", entry.before)?;
                check_told(&entry.reason, &entry.by, entry.at)?;
            }
        }
        once("key id", self.keys.iter().map(|entry| entry.kid.as_str()))?;
        for entry in &self.keys {
            check_line("revoked key id", &entry.kid, LINE_BYTES_MAX)?;
            check_told(&entry.reason, &entry.by, entry.at)?;
        }
        if let Some(all) = &self.all {
            check_integer("moment", all.before)?;
            check_told(&all.reason, &all.by, all.at)?;
        }
        Ok(())
    }

    fn check_lists(&self) -> Result<(), Refusal> {
        if self.tokens.len() > LISTS_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("more than {LISTS_MAX} lists of tokens")));
        }
        for list in &self.tokens {
            check_name("log shard", &list.shard)?;
            check_integer("log index", list.first)?;
            check_integer("time", list.until)?;
            if list.first % 8 != 0 {
                return Err(Refusal::new(Code::Malformed, "a list of tokens that begins within a byte"));
            }
        }
        once("list of tokens", self.tokens.iter().map(|list| (&list.shard, list.until, list.first)))
    }
}

fn check_told(reason: &str, by: &str, at: u64) -> Result<(), Refusal> {
    check_line("reason", reason, LINE_BYTES_MAX)?;
    check_line("name of who revoked", by, LINE_BYTES_MAX)?;
    check_integer("moment", at)
}

fn once<T: Ord>(what: &str, entries: impl Iterator<Item = T>) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry) {
            return Err(Refusal::new(Code::Malformed, format!("a {what} listed twice")));
        }
    }
    Ok(())
}
