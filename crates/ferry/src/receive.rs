//! The far end's work: what a lane gives into a folder, each file once. A file appears there whole and
//! compared with the digest its name promises, or not at all.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farside_service::append::{Group, Log};
use farside_service::cli::{Failure, Progress};
use farside_service::digest::hex;
use farside_service::durable::{Mode, Staged, failed};
use serde::Serialize;
use serde_json::json;

use crate::cargo::open_regular;
use crate::copy::{CopyFault, copy, digest_of, read_back, short};
use crate::diary::{Diary, Ended};
use crate::lane::media::clear_leftovers;
use crate::lane::{Arrival, Content, In};
use crate::left::Left;
use crate::send::{Carried, Refused, refused};
use crate::{FILE_BYTES_MAX, Name};

/// Where a folder remembers the digests of what was brought to it, so that nothing is brought twice.
pub const REMEMBERED: &str = ".farside-received";

/// What receiving did.
#[derive(Debug, Default, Serialize)]
pub struct Receiving {
    /// In the inbox now and not before.
    pub carried: Vec<Carried>,
    /// Brought before.
    pub already: Vec<String>,
    /// Stayed on the lane.
    pub refused: Vec<Refused>,
    /// Not ours; untouched.
    pub foreign: Vec<String>,
    /// Why nothing more could be carried.
    pub stopped: Option<String>,
}

/// What to do with a file that was brought before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Leave it.
    No,
    /// Bring it once more.
    Yes,
}

/// A folder that takes arrivals. Only one ferry at a time fills it.
#[derive(Debug)]
pub(crate) struct Inbox {
    folder: PathBuf,
    remembered: HashSet<String>,
    ledger: Group,
}

impl Inbox {
    /// Opens the folder, which must exist, and clears what an interrupted receive left.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        fs::read_dir(folder).map_err(|source| failed("read", folder, source))?;
        let mut remembered = HashSet::new();
        let (ledger, _recovery) = Log::open(&folder.join(REMEMBERED), |record| {
            if let Ok(digest) = record.bytes.try_into() {
                remembered.insert(short(digest));
            }
        })?;
        clear_leftovers(folder).map_err(|left| Failure::could_not(left.at_home().to_string()))?;
        Ok(Self { folder: folder.to_owned(), remembered, ledger })
    }

    fn remember(&mut self, digest: &[u8; 32]) -> Result<(), Failure> {
        self.ledger.append(digest.to_vec())?.wait()?;
        self.remembered.insert(short(digest));
        Ok(())
    }
}

/// Receives everything the lane gives.
///
/// # Errors
/// The inbox's memory or the journal cannot be written.
pub(crate) fn receive_into(
    inbox: &mut Inbox,
    folder: &str,
    lane: &mut impl In,
    again: Again,
    diary: &Diary,
    now: u64,
) -> Result<Receiving, Failure> {
    let mut receiving = Receiving::default();
    while let Some(Arrival { shown, content }) = lane.next_arrival() {
        let landed = match content {
            // frame.md §2.8
            Ok(content) if again == Again::No && inbox.remembered.contains(&content.promised) => {
                receiving.already.push(content.name.to_string());
                continue;
            }
            Ok(content) => land(&inbox.folder, &content),
            Err(left) => Err(left),
        };
        match landed {
            Ok(Landed { carried, digest, before }) => {
                inbox.remember(&digest)?;
                if before {
                    receiving.already.push(carried.name);
                    continue;
                }
                diary.write(now, "received", lane.name(), folder, &json!(carried))?;
                receiving.carried.push(carried);
            }
            Err(left) => {
                let refused = refused(shown, &left);
                diary.write(now, "not_received", lane.name(), folder, &json!(refused))?;
                receiving.refused.push(refused);
                if left.ends_the_crossing() {
                    receiving.stopped = Some(left.to_string());
                    break;
                }
            }
        }
    }
    let ended = Ended {
        direction: "in",
        carried: receiving.carried.len(),
        already: receiving.already.len(),
        refused: receiving.refused.len(),
        forgotten: 0,
        stopped: receiving.stopped.as_deref(),
    };
    diary.end(now, lane.name(), folder, &ended)?;
    Ok(receiving)
}

/// Receives into a folder, for callers that bring their own lane and keep no journal.
///
/// # Errors
/// The folder cannot be read or written.
pub fn receive(inbox: &Path, lane: &mut impl In, again: Again) -> Result<Receiving, Failure> {
    receive_into(&mut Inbox::open(inbox)?, "", lane, again, &Diary::none(), 0)
}

struct Landed {
    carried: Carried,
    digest: [u8; 32],
    /// It lay in the inbox before, under its own name.
    before: bool,
}

/// Copies an arrival once, compares the copy as the disk gives it back, and only then gives it its name.
fn land(inbox: &Path, content: &Content) -> Result<Landed, Left> {
    let plain = inbox.join(content.name.as_str());
    let home = |source| Left::Home(failed("write", &plain, source));
    let progress = Progress::bytes(content.name.as_str(), content.bytes);
    let mut staged = Staged::create(&plain, Mode::Shared).map_err(Left::Home)?;
    let (digest, bytes) =
        copy(&content.file, &mut staged, |bytes| progress.advance(bytes)).map_err(|fault| match fault {
            CopyFault::Read(source) => Left::Medium(failed("read", Path::new(content.name.as_str()), source)),
            CopyFault::Write(source) => home(source),
        })?;
    if bytes > FILE_BYTES_MAX {
        return Err(Left::TooLarge { bytes });
    }
    // frame.md §1.5
    if short(&digest) != content.promised {
        return Err(Left::Damaged { promised: content.promised.clone(), found: short(&digest) });
    }
    let landed = |name: &Name, before| {
        let carried = Carried { name: name.to_string(), bytes, sha256: hex(&digest) };
        Landed { carried, digest, before }
    };
    staged.sync().map_err(Left::Home)?;
    if read_back(staged.file()).map_err(home)? != digest {
        return Err(Left::Home(failed(
            "read back",
            &plain,
            io::Error::other("the disk gave other bytes back"),
        )));
    }
    // frame.md §2.6. Two files may bear one name and differ: both are kept, so that a fork is seen.
    let marked = content.name.marked(&content.promised);
    let name = match (holds(&plain, &digest), plain.symlink_metadata().is_ok()) {
        (true, _) => return Ok(landed(&content.name, true)),
        (false, true) if holds(&inbox.join(marked.as_str()), &digest) => return Ok(landed(&marked, true)),
        (false, true) => &marked,
        (false, false) => &content.name,
    };
    staged.commit_new_as(&inbox.join(name.as_str())).map_err(Left::Home)?;
    Ok(landed(name, false))
}

fn holds(path: &Path, digest: &[u8; 32]) -> bool {
    open_regular(path).is_ok_and(|file| digest_of(&file).is_ok_and(|(found, _)| found == *digest))
}
