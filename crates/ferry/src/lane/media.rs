//! The media lane: a folder on a stick, a disc, a share. Written so that a stick may be pulled at any moment,
//! read so that nothing on it is trusted.
//!
//! ```text
//!   STICK/FARSIDE/<folder>/<stem>.<first 16 digits of SHA-256>.<ending>
//!
//!   out: temporary → fsync → rename → fsync folder → drop cache → read back → compare
//!   in:  names are hints; the copy's digest decides; links, devices, foreign and half-written files stay
//! ```
//!
//! FAT does not rename atomically: a power cut may leave a file under its final name with too few bytes. The
//! digest in the name tells at the far end, and the next send replaces it.

use std::fs::{self, File, FileTimes, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use farside_service::durable::{self, Mode, Staged, TEMPORARY_SUFFIX, failed};

use super::{Arrival, Coming, Content, In, Out, Put};
use crate::cargo::{entries, open_regular};
use crate::copy::{CopyFault, copy, read_back};
use crate::{Cargo, Left, Name};

/// The folder of ours at the top of a medium.
pub const TOP: &str = "FARSIDE";
/// Entries of a folder that are looked at; a folder that holds more is not ours alone and is refused.
pub const ENTRIES_MAX: usize = 10_000;

/// The near end: writes to one folder of a medium.
#[derive(Debug)]
pub struct MediaOut {
    folder: PathBuf,
    /// The folder, locked: two ferries on one folder would take each other's temporary files for leftovers.
    _alone: File,
}

impl MediaOut {
    /// Prepares `STICK/FARSIDE/<folder>` and clears what an interrupted send left there.
    ///
    /// # Errors
    /// No such medium, a link stands in the way, it is read-only, or another ferry is writing there.
    pub fn open(stick: &Path, folder: &Name) -> Result<Self, Left> {
        // frame.md §2.1
        refuse_link(&stick.join(TOP))?;
        let path = stick.join(TOP).join(folder.as_str());
        refuse_link(&path)?;
        fs::metadata(stick).map_err(|source| failed("find the medium", stick, source))?;
        durable::create_dir_all(&path, Mode::Shared)?;
        let alone = File::open(&path).map_err(|source| failed("open", &path, source))?;
        match alone.try_lock() {
            Ok(()) => clear_leftovers(&path)?,
            Err(TryLockError::WouldBlock) => {
                let held = io::Error::new(io::ErrorKind::WouldBlock, "another ferry is writing there");
                return Err(failed("write to", &path, held).into());
            }
            // A share that cannot lock: leftovers may be another ferry's work under way, so they stay.
            Err(TryLockError::Error(_)) => {}
        }
        Ok(Self { folder: path, _alone: alone })
    }

    fn holds(&self, path: &Path, digest: &[u8; 32]) -> bool {
        // Whatever stands in the way of reading it: writing it again will tell.
        open_regular(path).is_ok_and(|file| read_back(&file).is_ok_and(|found| found == *digest))
    }

    fn write(&self, cargo: &Cargo, path: &Path, tick: &mut dyn FnMut(u64)) -> Result<(), Left> {
        // frame.md §2.3
        let mut staged = Staged::create(path, Mode::Shared)?;
        let (digest, _) = copy(&cargo.file, &mut staged, tick).map_err(|fault| match fault {
            CopyFault::Read(source) => Left::Home(failed("read", Path::new(cargo.name.as_str()), source)),
            CopyFault::Write(source) => Left::Medium(failed("write", path, source)),
        })?;
        if digest != cargo.digest {
            return Err(Left::Changed);
        }
        let times = FileTimes::new().set_modified(cargo.modified);
        // Where a medium cannot be told the time, the time of writing orders the files nearly as well.
        let _ = staged.file().set_times(times);
        staged.commit()?;
        let given_back = File::open(path).and_then(|file| read_back(&file));
        if given_back.map_err(|source| failed("read back", path, source))? == cargo.digest {
            return Ok(());
        }
        durable::remove(path)?;
        Err(Left::NotGivenBack)
    }
}

impl Out for MediaOut {
    fn name(&self) -> &'static str {
        "media"
    }

    fn put(&mut self, cargo: &Cargo, tick: &mut dyn FnMut(u64)) -> Result<Put, Left> {
        let path = self.folder.join(cargo.name.marked(&cargo.short()).as_str());
        // frame.md §2.4
        if self.holds(&path, &cargo.digest) {
            return Ok(Put::AlreadyThere);
        }
        self.write(cargo, &path, tick)?;
        Ok(Put::Carried)
    }

    fn forget(&mut self, keep: usize, coming: &[Coming]) -> Result<Vec<Name>, Left> {
        let contents = Contents::of(&self.folder)?;
        let mut all: Vec<_> = coming.iter().map(|file| (file.modified, &file.name, None)).collect();
        // One that is coming may stand there already: it counts once, and stays.
        let stays = |file: &&OnMedium| !coming.iter().any(|coming| coming.name == file.name);
        let there = contents.ours.iter().filter(stays);
        all.extend(there.map(|file| (file.modified, &file.name, Some(&file.marked))));
        all.sort();
        let surplus = all.len().saturating_sub(keep);
        let mut forgotten = Vec::new();
        for marked in all.into_iter().take(surplus).filter_map(|(_, _, marked)| marked) {
            durable::remove(&self.folder.join(marked.as_str()))?;
            forgotten.push(marked.clone());
        }
        Ok(forgotten)
    }
}

/// The far end: reads one folder of a medium and never writes to it, so a write-protected stick serves as
/// well.
#[derive(Debug)]
pub struct MediaIn {
    folder: PathBuf,
    waiting: std::vec::IntoIter<OnMedium>,
    foreign: Vec<String>,
}

impl MediaIn {
    /// Looks at what `STICK/FARSIDE/<folder>` holds.
    ///
    /// # Errors
    /// No such folder, a link in its place, or it cannot be read.
    pub fn open(stick: &Path, folder: &Name) -> Result<Self, Left> {
        let path = stick.join(TOP).join(folder.as_str());
        refuse_link(&stick.join(TOP))?;
        refuse_link(&path)?;
        let contents = Contents::of(&path)?;
        Ok(Self { folder: path, waiting: contents.ours.into_iter(), foreign: contents.foreign })
    }

    /// Names of files that are not ours.
    #[must_use]
    pub fn foreign(&self) -> &[String] {
        &self.foreign
    }
}

impl In for MediaIn {
    fn name(&self) -> &'static str {
        "media"
    }

    fn next_arrival(&mut self) -> Option<Arrival> {
        let OnMedium { name, marked, promised, bytes, .. } = self.waiting.next()?;
        let opened = open_regular(&self.folder.join(marked.as_str()));
        let content = opened.map(|file| Content { name, promised, bytes, file });
        Some(Arrival { shown: marked.to_string(), content })
    }
}

/// The folders of ours on a medium, by name.
///
/// # Errors
/// No such medium, or it cannot be read.
pub fn folders(stick: &Path) -> Result<Vec<Name>, Left> {
    let top = stick.join(TOP);
    refuse_link(&top)?;
    fs::metadata(stick).map_err(|source| failed("find the medium", stick, source))?;
    if top.symlink_metadata().is_err_and(|fault| fault.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    let found = entries(&top, ENTRIES_MAX).map_err(|source| failed("read", &top, source))?;
    let folders = found.into_iter().filter(|(_, about)| about.is_dir());
    let mut names: Vec<Name> = folders.filter_map(|(name, _)| Name::new(&name)).collect();
    names.sort();
    Ok(names)
}

/// A file under a name of ours.
#[derive(Debug)]
pub(crate) struct OnMedium {
    pub(crate) modified: SystemTime,
    pub(crate) name: Name,
    pub(crate) marked: Name,
    pub(crate) promised: String,
    pub(crate) bytes: u64,
}

/// What a folder on a medium holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Oldest first. Links and devices under such a name are among them, to be refused by name.
    pub(crate) ours: Vec<OnMedium>,
    /// Names that are not ours.
    pub(crate) foreign: Vec<String>,
    /// Files that an interrupted send left.
    pub(crate) unfinished: Vec<String>,
}

impl Contents {
    pub(crate) fn of(folder: &Path) -> Result<Self, Left> {
        let mut contents = Self::default();
        for (name, about) in entries(folder, ENTRIES_MAX).map_err(|source| failed("read", folder, source))? {
            let shown = name.to_string_lossy().into_owned();
            let marked = Name::new(&name).and_then(|marked| Some((marked.unmarked()?, marked)));
            match marked {
                Some(((name, promised), marked)) => {
                    let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    contents.ours.push(OnMedium { modified, name, marked, promised, bytes: about.len() });
                }
                None if is_leftover(&shown) => contents.unfinished.push(shown),
                None => contents.foreign.push(shown),
            }
        }
        contents.ours.sort_by(|a, b| (a.modified, &a.name, &a.marked).cmp(&(b.modified, &b.name, &b.marked)));
        contents.foreign.sort();
        Ok(contents)
    }
}

/// Removes what an interrupted ferry left under temporary names in a folder it holds alone.
pub(crate) fn clear_leftovers(folder: &Path) -> Result<(), Left> {
    let found = entries(folder, ENTRIES_MAX).map_err(|source| failed("read", folder, source))?;
    for (name, about) in found {
        if about.is_file() && is_leftover(&name.to_string_lossy()) {
            durable::remove(&folder.join(name))?;
        }
    }
    Ok(())
}

fn is_leftover(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(TEMPORARY_SUFFIX)
}

fn refuse_link(path: &Path) -> Result<(), Left> {
    match path.symlink_metadata() {
        Ok(about) if about.is_symlink() => Err(Left::Link),
        // Missing or unreadable: the next step says so with its own words.
        _ => Ok(()),
    }
}
