//! The near end's work: the newest files of a folder onto a lane, newest first, for a site needs those most
//! should the medium be full. Only when all is there does the lane forget the oldest.

use std::path::{Path, PathBuf};

use farside_service::cli::Progress;
use farside_service::digest::hex;
use farside_service::durable::{TEMPORARY_SUFFIX, failed};
use serde::Serialize;
use serde_json::json;

use crate::cargo::entries;
use crate::diary::{Diary, Ended};
use crate::lane::{Coming, Out, Put};
use crate::left::Left;
use crate::{Cargo, Name};
use farside_service::cli::Failure;

/// Files of a folder that are looked at.
const FILES_MAX: usize = 100_000;

/// One file that was carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// What it is called.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// One file that was not, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// What it is called.
    pub name: String,
    /// One sentence.
    pub reason: String,
    /// What can be done about it.
    pub hint: Option<&'static str>,
}

/// What sending did.
#[derive(Debug, Default, Serialize)]
pub struct Sending {
    /// On the medium now and not before.
    pub carried: Vec<Carried>,
    /// On the medium before, whole.
    pub already: Vec<String>,
    /// Stayed behind.
    pub refused: Vec<Refused>,
    /// Taken off the medium: older than the newest that are kept.
    pub forgotten: Vec<String>,
    /// Files older than the newest that are kept; not sent.
    pub older: usize,
    /// Why nothing more could be carried.
    pub stopped: Option<String>,
}

/// Sends the newest `keep` files of `from`.
///
/// # Errors
/// The folder cannot be read, or the journal cannot be written: what is not written down is not carried on.
pub(crate) fn send_from(
    from: &Path,
    folder: &Name,
    keep: usize,
    lane: &mut impl Out,
    diary: &Diary,
    now: u64,
) -> Result<Sending, Failure> {
    let mut sending = Sending::default();
    carry(from, folder, keep, (lane, diary), &mut sending, now)?;
    for name in &sending.forgotten {
        diary.write(now, "forgotten", lane.name(), folder.as_str(), &json!({"name": name}))?;
    }
    let ended = Ended {
        direction: "out",
        carried: sending.carried.len(),
        already: sending.already.len(),
        refused: sending.refused.len(),
        forgotten: sending.forgotten.len(),
        stopped: sending.stopped.as_deref(),
    };
    diary.end(now, lane.name(), folder.as_str(), &ended)?;
    Ok(sending)
}

fn carry<L: Out>(
    from: &Path,
    folder: &Name,
    keep: usize,
    (lane, diary): (&mut L, &Diary),
    sending: &mut Sending,
    now: u64,
) -> Result<(), Failure> {
    let files = plan(from, keep, sending)?;
    for (at, file) in files.iter().enumerate() {
        let coming = &files[at..];
        match put(lane, from, file, keep, coming, sending) {
            Ok((carried, Put::Carried)) => {
                diary.write(now, "sent", lane.name(), folder.as_str(), &json!(carried))?;
                sending.carried.push(carried);
            }
            Ok((carried, Put::AlreadyThere)) => sending.already.push(carried.name),
            Err(left) => {
                let refused = refused(file.name.to_string(), &left);
                diary.write(now, "not_sent", lane.name(), folder.as_str(), &json!(refused))?;
                sending.refused.push(refused);
                if left.ends_the_crossing() {
                    sending.stopped = Some(left.to_string());
                    return Ok(());
                }
            }
        }
    }
    // frame.md §2.5
    forget(lane, keep, &[], sending);
    Ok(())
}

/// Sends, for callers that bring their own lane and keep no journal.
///
/// # Errors
/// The folder cannot be read.
pub fn send(from: &Path, folder: &Name, keep: usize, lane: &mut impl Out) -> Result<Sending, Failure> {
    send_from(from, folder, keep, lane, &Diary::none(), 0)
}

/// The newest `keep` fit files, newest first; the unfit are refused by name at once.
fn plan(from: &Path, keep: usize, sending: &mut Sending) -> Result<Vec<Coming>, Failure> {
    let mut files = Vec::new();
    for (name, about) in entries(from, FILES_MAX).map_err(|source| failed("read", from, source))? {
        let shown = name.to_string_lossy().into_owned();
        if shown.starts_with('.') || shown.ends_with(TEMPORARY_SUFFIX) {
            continue;
        }
        let unfit = match Name::new(&name) {
            _ if about.is_symlink() => Left::Link,
            _ if about.is_dir() => Left::Folder,
            _ if !about.is_file() => Left::Device,
            None => Left::UnfitName,
            Some(name) => {
                let modified = about.modified().map_err(|source| failed("read", from, source))?;
                files.push(Coming { modified, name });
                continue;
            }
        };
        sending.refused.push(refused(shown, &unfit));
    }
    files.sort_by(|a, b| b.cmp(a));
    sending.older = files.len().saturating_sub(keep);
    files.truncate(keep);
    Ok(files)
}

/// Puts one file on the lane. A full medium is asked once to forget what is surplus anyway.
fn put(
    lane: &mut impl Out,
    from: &Path,
    file: &Coming,
    keep: usize,
    coming: &[Coming],
    sending: &mut Sending,
) -> Result<(Carried, Put), Left> {
    let path = from.join(file.name.as_str());
    match put_once(lane, &path) {
        Err(left) if left.is_full() && forget(lane, keep, coming, sending) > 0 => put_once(lane, &path),
        outcome => outcome,
    }
}

fn put_once(lane: &mut impl Out, path: &Path) -> Result<(Carried, Put), Left> {
    let cargo = Cargo::open(path)?;
    let progress = Progress::bytes(cargo.name.as_str(), cargo.bytes);
    let put = lane.put(&cargo, &mut |bytes| progress.advance(bytes))?;
    let carried = Carried { name: cargo.name.to_string(), bytes: cargo.bytes, sha256: hex(&cargo.digest) };
    Ok((carried, put))
}

fn forget(lane: &mut impl Out, keep: usize, coming: &[Coming], sending: &mut Sending) -> usize {
    match lane.forget(keep, coming) {
        Ok(names) => {
            sending.forgotten.extend(names.iter().map(Name::to_string));
            names.len()
        }
        Err(left) => {
            // Too many old files are no loss; what was carried stays carried.
            sending.refused.push(refused("old files".to_owned(), &left));
            0
        }
    }
}

pub(crate) fn refused(name: String, left: &Left) -> Refused {
    Refused { name, reason: left.to_string(), hint: left.hint() }
}

/// The name a folder gives its files on a medium.
///
/// # Errors
/// It has none that is fit.
pub(crate) fn folder_name(from: &Path) -> Result<Name, Failure> {
    let whole: PathBuf = from.canonicalize().map_err(|source| failed("read", from, source))?;
    whole.file_name().and_then(Name::new).ok_or_else(|| {
        Failure::could_not(format!("{} has no name fit for a medium", from.display()))
            .hint("name a folder of letters, digits, `.`, `-` and `_`, such as outbox/dome")
    })
}
