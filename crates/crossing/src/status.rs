//! The status component: which tokens, subjects and keys are revoked. The online key signs it through the
//! manifest, so it may only ever add; what takes a revocation back needs a release-signed pardon.

use std::collections::{BTreeMap, BTreeSet};

use miniz_oxide::deflate::compress_to_vec_zlib;
use serde::{Deserialize, Serialize};

use crate::document::{check_binding, from_json, to_json};
use crate::pardon::PardonDocument;
use crate::refusal::{Code, Refusal};
use crate::text::{base64url_encode, check_integer, check_line, check_name};

/// Largest status document, in bytes.
pub const STATUS_BYTES_MAX: usize = 32 << 20;

/// Largest index that a list holds: 2^26 bits are 8 MiB before compression.
pub const STATUS_INDEX_MAX: u64 = (1 << 26) - 1;

/// Most log shards of one site.
const SHARDS_MAX: usize = 64;

/// Longest subject, key id or reason, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

/// zlib's best compression: lists are made once and read often.
const ZLIB_LEVEL: u8 = 9;

/// Everything that is revoked at one site, whole each time.
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
    /// Revoked tokens: one list for each log shard.
    pub tokens: Vec<ShardList>,
    /// Revoked subjects.
    pub subjects: Vec<RevokedSubject>,
    /// Revoked token keys.
    pub keys: Vec<RevokedKey>,
}

/// Token Status List of one log shard (draft-ietf-oauth-status-list §4, one bit a token): bit n is log index
/// n.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardList {
    /// Log shard.
    pub shard: String,
    /// zlib, then unpadded base64url.
    pub lst: String,
}

/// A subject whose tokens issued up to a moment are revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedSubject {
    /// `sub` of the tokens.
    pub sub: String,
    /// Tokens with `iat` up to this are revoked, Unix seconds.
    pub before: u64,
    /// Why, for the journal.
    pub reason: String,
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
    /// When it was revoked, Unix seconds.
    pub at: u64,
}

impl StatusDocument {
    /// The bytes of the component.
    ///
    /// # Errors
    /// `malformed` or `too_large`, saying what does not fit.
    pub fn to_json(&self) -> Result<Vec<u8>, Refusal> {
        self.check()?;
        Ok(format!("{}\n", to_json(self)?).into_bytes())
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

    fn check(&self) -> Result<(), Refusal> {
        let twice = |what: &str| Err(Refusal::new(Code::Malformed, format!("a {what} listed twice")));
        check_name("realm", &self.realm)?;
        check_name("site", &self.site)?;
        check_integer("version", self.version)?;
        check_integer("time of issue", self.issued_at)?;
        if self.version == 0 || self.tokens.len() > SHARDS_MAX {
            return Err(Refusal::new(Code::Malformed, "version 0, or too many shards"));
        }
        let (mut shards, mut subjects, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for list in &self.tokens {
            check_name("log shard", &list.shard)?;
            if !shards.insert(&list.shard) {
                return twice("log shard");
            }
        }
        for entry in &self.subjects {
            check_line("revoked subject", &entry.sub, LINE_BYTES_MAX)?;
            check_line("reason", &entry.reason, LINE_BYTES_MAX)?;
            if !subjects.insert(&entry.sub) {
                return twice("subject");
            }
        }
        for entry in &self.keys {
            check_line("revoked key id", &entry.kid, LINE_BYTES_MAX)?;
            check_line("reason", &entry.reason, LINE_BYTES_MAX)?;
            if !keys.insert(&entry.kid) {
                return twice("key id");
            }
        }
        Ok(())
    }
}

/// A status list in the making: one bit for each log index, set where revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitList {
    bytes: Vec<u8>,
}

impl BitList {
    /// Nothing revoked.
    pub fn new() -> BitList {
        BitList::default()
    }

    /// Revokes one index.
    ///
    /// # Errors
    /// `too_large` beyond [`STATUS_INDEX_MAX`].
    pub fn set(&mut self, index: u64) -> Result<(), Refusal> {
        if index > STATUS_INDEX_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("log index {index} in a status list")));
        }
        let place = usize::try_from(index / 8).unwrap_or(usize::MAX);
        if self.bytes.len() <= place {
            self.bytes.resize(place + 1, 0);
        }
        // draft-ietf-oauth-status-list §4.1: the least significant bit comes first.
        self.bytes[place] |= 1 << (index % 8);
        Ok(())
    }

    /// The list before compression.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `lst`: zlib (RFC 1950), then unpadded base64url. An empty list is one zero byte.
    pub fn encode(&self) -> String {
        let raw = if self.bytes.is_empty() { &[0][..] } else { &self.bytes };
        base64url_encode(&compress_to_vec_zlib(raw, ZLIB_LEVEL))
    }
}

/// Refuses a status that takes back what the held one revoked, unless a pardon allows it.
///
/// `decode` opens `lst`: that code lives with whoever verifies tokens. For the gate, before it applies a
/// bundle.
///
/// # Errors
/// `loosening`, naming the first revocation taken back; `malformed` where a list does not decode.
pub fn judge_change(
    held: &StatusDocument,
    new: &StatusDocument,
    pardon: Option<&PardonDocument>,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<(), Refusal> {
    // bundle.md §7.4
    judge_tokens(held, new, pardon, decode)?;
    let pardoned: BTreeSet<&str> = pardon.iter().flat_map(|p| &p.subjects).map(String::as_str).collect();
    let still: BTreeMap<&str, u64> = new.subjects.iter().map(|s| (s.sub.as_str(), s.before)).collect();
    for old in held.subjects.iter().filter(|old| !pardoned.contains(old.sub.as_str())) {
        if still.get(old.sub.as_str()).is_none_or(|before| *before < old.before) {
            return Err(loosening("a revoked subject"));
        }
    }
    let pardoned: BTreeSet<&str> = pardon.iter().flat_map(|p| &p.keys).map(String::as_str).collect();
    let still: BTreeSet<&str> = new.keys.iter().map(|k| k.kid.as_str()).collect();
    for old in held.keys.iter().map(|old| old.kid.as_str()) {
        if !still.contains(old) && !pardoned.contains(old) {
            return Err(loosening("a revoked key"));
        }
    }
    Ok(())
}

fn judge_tokens(
    held: &StatusDocument,
    new: &StatusDocument,
    pardon: Option<&PardonDocument>,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<(), Refusal> {
    let pardoned: BTreeSet<(&str, u64)> =
        pardon.iter().flat_map(|p| &p.tokens).map(|t| (t.shard.as_str(), t.index)).collect();
    let open = |list: &ShardList| {
        decode(&list.lst)
            .ok_or_else(|| Refusal::new(Code::Malformed, format!("the status list of shard {}", list.shard)))
    };
    for old in &held.tokens {
        let still = match new.tokens.iter().find(|list| list.shard == old.shard) {
            Some(list) if list.lst == old.lst => continue,
            Some(list) => open(list)?,
            None => Vec::new(),
        };
        for index in bits_lost(&open(old)?, &still) {
            if !pardoned.contains(&(old.shard.as_str(), index)) {
                return Err(loosening(&format!("token {index} of shard {}", old.shard)));
            }
        }
    }
    Ok(())
}

/// Indices that are set in `old` and not in `new`.
fn bits_lost<'b>(old: &'b [u8], new: &'b [u8]) -> impl Iterator<Item = u64> + 'b {
    let lost = old.iter().zip(new.iter().copied().chain(std::iter::repeat(0))).map(|(old, new)| old & !new);
    lost.zip(0u64..).filter(|(byte, _)| *byte != 0).flat_map(|(byte, place)| {
        (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| place * 8 + bit)
    })
}

fn loosening(what: &str) -> Refusal {
    Refusal::new(Code::Loosening, format!("{what} is no longer listed"))
}
