//! Logs whose oldest records may go: files are removed whole, from the front.

use super::{Failed, Segments, durable};

impl Segments {
    /// The same log, whose oldest files may be gone: see [`Segments::let_go`]. Which records must still be
    /// there is then for the caller to know.
    #[must_use]
    pub fn that_forgets(self) -> Self {
        Self { forgets: true, ..self }
    }

    /// Removes the closed files that hold nothing but records before number `until`, the oldest first, so
    /// that no crash leaves a hole.
    ///
    /// # Errors
    /// A file could not be removed.
    pub fn let_go(&self, until: u64) -> Result<(), Failed> {
        let firsts = self.firsts()?;
        for (first, behind) in firsts.iter().zip(firsts.iter().skip(1)) {
            if !self.forgets || *behind > until {
                break;
            }
            durable::remove(&self.path(*first))?;
        }
        Ok(())
    }

    /// Bytes that its files take.
    ///
    /// # Errors
    /// They cannot be looked at.
    pub fn bytes(&self) -> Result<u64, Failed> {
        let mut bytes = 0;
        for first in self.firsts()? {
            let path = self.path(first);
            let found = std::fs::metadata(&path).map_err(|source| super::failed("read", &path, source))?;
            bytes += found.len();
        }
        Ok(bytes)
    }
}
