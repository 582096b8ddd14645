//! A fence: release people's leave to move a site's sequence on, over a jump that is too wide or out of a
//! fork.

use serde::{Deserialize, Serialize};

use crate::document::{self, Binding, Document};
use crate::refusal::{Code, Refusal};
use crate::role::Believed;
use crate::text::check_integer;

/// Leave for the stream of one site to go on at a number within a range. It works once: its version must be
/// higher than that of any fence the gate has held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FenceDocument {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// Rises with every fence of the site, from 1.
    pub version: u64,
    /// When it was drafted, Unix seconds.
    pub issued_at: u64,
    /// First number at which the stream may go on.
    pub seq_min: u64,
    /// Last such number.
    pub seq_max: u64,
}

impl FenceDocument {
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
    pub fn read(believed: &Believed<'_>, realm: &str, site: &str) -> Result<FenceDocument, Refusal> {
        document::read_released(believed, realm, site)
    }

    /// Whether the stream may go on at `seq`.
    pub fn covers(&self, seq: u64) -> bool {
        (self.seq_min..=self.seq_max).contains(&seq)
    }
}

impl Document for FenceDocument {
    const KIND: &'static str = "farside-fence";

    fn binding(&self) -> Binding<'_> {
        Binding { realm: &self.realm, site: &self.site, version: self.version, issued_at: self.issued_at }
    }

    fn check(&self) -> Result<(), Refusal> {
        check_integer("end of the fence", self.seq_max)?;
        if self.seq_min == 0 || self.seq_min > self.seq_max {
            return Err(Refusal::new(Code::Malformed, "a fence that covers nothing"));
        }
        Ok(())
    }
}
