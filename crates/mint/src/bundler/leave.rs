//! The fence and the pardon that a bundle carries: those in force, as long as they can still act at a gate.

use farside_crossing::{Charter, FenceDocument, Kind, Note, Writer};
use rusqlite::Connection;

use super::BundleFault;
use crate::release::{self, Kind as DocumentKind};
use crate::store::StoreFault;

/// Leave that release people gave for one site.
pub(super) struct Leave {
    site: String,
    fence: Option<Vec<u8>>,
    pardon: Option<Vec<u8>>,
}

impl Leave {
    /// Read in one view with the revocations: a pardon acts once, so it must not travel ahead of the status
    /// that leaves its revocations out.
    pub(super) fn read(connection: &Connection, site: &str) -> Result<Self, StoreFault> {
        let newest =
            |kind| Ok::<_, StoreFault>(release::newest(connection, site, kind)?.map(|(_, note)| note));
        let (fence, pardon) = (newest(DocumentKind::Fence)?, newest(DocumentKind::Pardon)?);
        Ok(Self { site: site.to_owned(), fence, pardon })
    }

    /// The number at which the fence in force lets the sequence go on.
    pub(super) fn leaps_to(&self, charter: &Charter) -> Option<u64> {
        self.fence_read(charter, self.fence.as_deref()?).map(|fence| fence.seq_min)
    }

    // bundle.md §10.10: a fence acts with a full bundle in its range. §7.9: a pardon stands in the bundle
    // whose status leaves something out; as any bundle may be the first that arrives, it stands in each.
    pub(super) fn add_to(
        &self,
        mut writer: Writer,
        charter: &Charter,
        (kind, seq): (Kind, u64),
    ) -> Result<Writer, BundleFault> {
        if let Some(note) = self.fence.as_deref()
            && kind == Kind::Full
            && self.covers(charter, note, seq)
        {
            writer = writer.fence(note)?;
        }
        // What former release people signed would condemn the bundle; gates that missed it need a new one.
        match self.pardon.as_deref() {
            Some(note) if Note::parse(note).is_ok_and(|note| charter.release().verify(&note).is_ok()) => {
                Ok(writer.pardon(note)?)
            }
            _ => Ok(writer),
        }
    }

    fn covers(&self, charter: &Charter, note: &[u8], seq: u64) -> bool {
        self.fence_read(charter, note).is_some_and(|fence| fence.covers(seq))
    }

    fn fence_read(&self, charter: &Charter, note: &[u8]) -> Option<FenceDocument> {
        let note = Note::parse(note).ok()?;
        let believed = charter.release().verify(&note).ok()?;
        FenceDocument::read(&believed, charter.realm(), &self.site).ok()
    }
}
