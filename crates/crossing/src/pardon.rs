//! A pardon: release people's leave to take back revocations. Without one the online key can only add to
//! them.

use serde::{Deserialize, Serialize};

use crate::document::{self, Binding, Document};
use crate::refusal::{Code, Refusal};
use crate::role::Believed;
use crate::text::{check_integer, check_line, check_name};

/// Most entries of each kind in one pardon.
const ENTRIES_MAX: usize = 10_000;

/// Longest subject or key id, in bytes.
const ENTRY_BYTES_MAX: usize = 1_024;

/// Revocations that a status document may leave out although the gate holds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PardonDocument {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// Rises with every pardon of the site, from 1.
    pub version: u64,
    /// When it was drafted, Unix seconds.
    pub issued_at: u64,
    /// Pardoned tokens.
    pub tokens: Vec<PardonedToken>,
    /// Pardoned subjects.
    pub subjects: Vec<String>,
    /// Pardoned clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
    /// Pardoned groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Pardoned key ids.
    pub keys: Vec<String>,
    /// Whether what was revoked up to a moment, whoever it belongs to, is pardoned.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// One pardoned token, by its place in the issuance log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PardonedToken {
    /// Log shard.
    pub shard: String,
    /// Index in it.
    pub index: u64,
}

impl PardonDocument {
    /// A pardon of nothing.
    pub fn empty(realm: &str, site: &str, version: u64, issued_at: u64) -> PardonDocument {
        let none = Vec::new;
        PardonDocument {
            realm: realm.to_owned(),
            site: site.to_owned(),
            version,
            issued_at,
            tokens: Vec::new(),
            subjects: none(),
            clients: none(),
            groups: none(),
            keys: none(),
            all: false,
        }
    }

    /// The text that release people sign.
    ///
    /// # Errors
    /// `malformed`, saying what does not fit.
    pub fn text(&self) -> Result<String, Refusal> {
        document::write(self)
    }

    /// Reads what release has signed, for one realm and site.
    ///
    /// # Errors
    /// `malformed`, `wrong_realm`, `wrong_site`, `role_forbidden` where another role than release signed it.
    pub fn read(believed: &Believed<'_>, realm: &str, site: &str) -> Result<PardonDocument, Refusal> {
        document::read_released(believed, realm, site)
    }
}

impl Document for PardonDocument {
    const KIND: &'static str = "farside-pardon";

    fn binding(&self) -> Binding<'_> {
        Binding { realm: &self.realm, site: &self.site, version: self.version, issued_at: self.issued_at }
    }

    fn check(&self) -> Result<(), Refusal> {
        let names = [&self.subjects, &self.clients, &self.groups, &self.keys];
        if names.iter().map(|list| list.len()).chain([self.tokens.len()]).any(|count| count > ENTRIES_MAX) {
            return Err(Refusal::new(Code::TooLarge, format!("more than {ENTRIES_MAX} pardons of a kind")));
        }
        for token in &self.tokens {
            check_name("log shard", &token.shard)?;
            check_integer("log index", token.index)?;
        }
        for entry in names.into_iter().flatten() {
            check_line("pardoned entry", entry, ENTRY_BYTES_MAX)?;
        }
        Ok(())
    }
}
