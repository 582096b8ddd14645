//! Leave of root's to set a gate's time floor back: the way out after bundles whose time was wrong.

use serde::{Deserialize, Serialize};

use crate::document::{self, Binding, Document};
use crate::note::Note;
use crate::refusal::{Code, Refusal};
use crate::role::{Believed, RoleName};
use crate::text::check_integer;

/// Says of one site's bundles that their time was wrong, and what time it is at least. It works once at each
/// gate, and only while one of these bundles is the newest there.
// bundle.md §13.10
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockDocument {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// When it was drafted, Unix seconds: a later one is another.
    pub issued_at: u64,
    /// The time floor from then on.
    pub floor: u64,
    /// The first bundle whose time was wrong.
    pub seq_min: u64,
    /// The last.
    pub seq_max: u64,
}

impl ClockDocument {
    /// The text that root signs.
    ///
    /// # Errors
    /// `malformed`, saying what does not fit.
    pub fn text(&self) -> Result<String, Refusal> {
        document::write(self)
    }

    /// Reads what root has signed, for one realm and site.
    ///
    /// # Errors
    /// `malformed`, `wrong_realm`, `wrong_site`, `role_forbidden` where another role than root signed it.
    pub fn read(believed: &Believed<'_>, realm: &str, site: &str) -> Result<ClockDocument, Refusal> {
        if believed.role() != RoleName::Root {
            let detail = format!("a clock note signed by {}", believed.role().as_str());
            return Err(Refusal::new(Code::RoleForbidden, detail));
        }
        document::read(believed, realm, site)
    }

    /// What a draft says, for people who are to sign it. Nothing of it is verified.
    ///
    /// # Errors
    /// `malformed`.
    pub fn review(bytes: &[u8]) -> Result<ClockDocument, Refusal> {
        document::review(Note::parse(bytes)?.text())
    }

    /// Whether a bundle's time was wrong.
    pub fn covers(&self, seq: u64) -> bool {
        (self.seq_min..=self.seq_max).contains(&seq)
    }
}

impl Document for ClockDocument {
    const KIND: &'static str = "farside-clock";

    // Its number is the moment of its drafting: nobody has to remember which came before.
    fn binding(&self) -> Binding<'_> {
        Binding { realm: &self.realm, site: &self.site, version: self.issued_at, issued_at: self.issued_at }
    }

    fn check(&self) -> Result<(), Refusal> {
        check_integer("last bundle", self.seq_max)?;
        if self.seq_min == 0 || self.seq_min > self.seq_max {
            return Err(Refusal::new(Code::Malformed, "a clock note about no bundle"));
        }
        if self.floor > self.issued_at {
            return Err(Refusal::new(Code::Malformed, "a clock note with a floor after its own time"));
        }
        Ok(())
    }
}
