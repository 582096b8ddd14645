//! The keys component: the JWK Set that a site's gates verify tokens with, with each key's calendar. Release
//! people sign it, since a key more is the loosest thing there is.

use serde::{Deserialize, Serialize};

use crate::document::{self, Binding, Document};
use crate::refusal::Refusal;
use crate::role::Believed;
use crate::text::RawJson;

/// Token keys of one site. `jwks` stays text: the room that verifies tokens reads it, with `sign_from`,
/// `sign_until` and `accept_until` on each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysDocument {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// Rises with every release, from 1.
    pub version: u64,
    /// When it was drafted, Unix seconds.
    pub issued_at: u64,
    /// A JWK Set (RFC 7517 §5).
    pub jwks: RawJson,
}

impl KeysDocument {
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
    pub fn read(believed: &Believed<'_>, realm: &str, site: &str) -> Result<KeysDocument, Refusal> {
        document::read_released(believed, realm, site)
    }
}

impl Document for KeysDocument {
    const KIND: &'static str = "farside-keys";

    fn binding(&self) -> Binding<'_> {
        Binding { realm: &self.realm, site: &self.site, version: self.version, issued_at: self.issued_at }
    }

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}
