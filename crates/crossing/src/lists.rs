//! The lists component: signed Status List Tokens (draft-ietf-oauth-status-list) for third parties that look
//! up a token's status by themselves. The mint signs each with the site's token key; the gate shows them and
//! judges by none of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::document::{check_binding, from_json, to_json};
use crate::refusal::{Code, Refusal};
use crate::text::{check_integer, check_line, check_name};

/// How many tokens stand in one list: so few that a signed list is never larger than a token may be.
pub const LIST_TOKENS: u64 = 1 << 15;

/// Most lists of one site.
pub const LISTS_MAX: usize = 4_096;

/// Largest component, in bytes.
pub const LISTS_DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// Largest signed list, in bytes: what verifiers read as a token at all.
const LIST_TOKEN_BYTES_MAX: usize = 16_384;

/// Longest address of a list, in bytes.
const URI_BYTES_MAX: usize = 1_024;

/// Media type of a signed list, and in short its `typ`.
pub const LIST_TYP: &str = "statuslist+jwt";

/// Every list of a site whose tokens may still be good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListsDocument {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// The number of its bundle.
    pub version: u64,
    /// When they were signed, Unix seconds.
    pub issued_at: u64,
    /// Until when they count, Unix seconds: as long as the bundle.
    pub expires_at: u64,
    /// How long whoever has fetched one may keep it.
    pub ttl_seconds: u64,
    /// The lists.
    pub lists: Vec<SignedList>,
}

/// One signed list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedList {
    /// Its address, as tokens name it.
    pub uri: String,
    /// The compact JWS.
    pub token: String,
}

impl ListsDocument {
    /// The bytes of the component.
    ///
    /// # Errors
    /// `malformed` or `too_large`, saying what does not fit.
    pub fn to_json(&self) -> Result<Vec<u8>, Refusal> {
        self.check()?;
        let json = format!("{}\n", to_json(self)?).into_bytes();
        if json.len() > LISTS_DOCUMENT_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "the lists component"));
        }
        Ok(json)
    }

    /// Reads a component whose digest has been checked.
    pub(crate) fn read(blob: &[u8], realm: &str, site: &str) -> Result<ListsDocument, Refusal> {
        if blob.len() > LISTS_DOCUMENT_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "the lists component"));
        }
        let json = str::from_utf8(blob).map_err(|_| Refusal::new(Code::Malformed, "lists are not UTF-8"))?;
        let lists: ListsDocument = from_json(json)?;
        check_binding(&lists.realm, &lists.site, realm, site)?;
        lists.check()?;
        Ok(lists)
    }

    // bundle.md §7.10
    fn check(&self) -> Result<(), Refusal> {
        check_name("realm", &self.realm)?;
        check_name("site", &self.site)?;
        for value in [self.version, self.issued_at, self.expires_at, self.ttl_seconds] {
            check_integer("number or time of the lists", value)?;
        }
        if self.lists.len() > LISTS_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("more than {LISTS_MAX} status lists")));
        }
        let mut seen = BTreeSet::new();
        for list in &self.lists {
            check_line("address of a status list", &list.uri, URI_BYTES_MAX)?;
            check_line("signed status list", &list.token, LIST_TOKEN_BYTES_MAX)?;
            if !list.token.is_ascii() || !seen.insert(&list.uri) {
                return Err(Refusal::new(Code::Malformed, "a status list that is no JWS, or listed twice"));
            }
        }
        Ok(())
    }
}
