//! Files that are there, whole, after the power comes back, or are not there at all. For everything Farside
//! keeps as a file: keys, bundles, quarantined blobs. Refuses to read more than the caller allows.
//!
//! The system calls, explained once:
//!
//! ```text
//!   openat(O_CREAT|O_EXCL) + write   a temporary file in the *same* folder: a reader never sees half a file
//!   fsync(file)                      its bytes are on the medium; renamed earlier, it may be there empty
//!   renameat                         in one step the name leads to the new file instead of the old
//!   fsync(folder)                    the name is on the medium; before this the rename may be forgotten
//! ```
//!
//! Only after the last one may anybody be told that the file exists. A failed fsync is never retried: Linux
//! reports a lost page once and then forgets it, so a second, successful fsync would prove nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::{digest, random};

/// Temporary names end so; whatever bears it was never finished and may be removed.
pub const TEMPORARY_SUFFIX: &str = ".farside-part";

/// A step on a file that did not work.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct Failed {
    /// The verb, for the sentence.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Failed {
    /// What a person can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there and try again",
            io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only: check the write-protect switch"
            }
            io::ErrorKind::PermissionDenied => "check who owns it and which rights this user has",
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::AlreadyExists => "nothing is overwritten: choose another name or move it away",
            _ => return None,
        })
    }
}

/// Who may look at what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The owner alone: 0600 for files, 0700 for folders.
    Private,
    /// Readable by all: 0644 for files, 0755 for folders (the process's umask may take more away).
    Shared,
}

/// Writes `bytes` under `path`, replacing what was there.
///
/// # Errors
/// Any of the steps failed; then the old file, if any, still stands.
pub fn write(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), Failed> {
    let mut staged = Staged::create(path, mode)?;
    staged.write_all(bytes).map_err(|source| failed("write", path, source))?;
    staged.commit()
}

/// Writes `bytes` under `path`, which must not exist yet.
///
/// # Errors
/// The file exists (`AlreadyExists`), or any of the steps failed.
pub fn write_new(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), Failed> {
    let mut staged = Staged::create(path, mode)?;
    staged.write_all(bytes).map_err(|source| failed("write", path, source))?;
    staged.commit_new()
}

/// Writes many files as [`write()`] does, each replacing what was there, and makes each folder durable once.
///
/// # Errors
/// Any of the steps failed; then some files may be written and others not, each of them whole.
pub fn write_each<'f>(
    files: impl IntoIterator<Item = (&'f Path, &'f [u8])>,
    mode: Mode,
) -> Result<(), Failed> {
    let mut folders = BTreeSet::new();
    for (path, bytes) in files {
        let mut staged = Staged::create(path, mode)?;
        staged.write_all(bytes).map_err(|source| failed("write", path, source))?;
        staged.name()?;
        folders.insert(parent(path));
    }
    folders.into_iter().try_for_each(sync_dir)
}

/// A file being written under a temporary name. Dropped without a commit, it is removed.
///
/// ```
/// use std::io::Write as _;
/// use farside_service::durable::{Mode, Staged};
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("dome-00000001.fbundle");
/// let mut staged = Staged::create(&path, Mode::Shared)?;
/// staged.write_all(b"piece by piece")?;
/// assert!(!path.exists());
/// staged.commit_new()?;
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Staged {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    named: Named,
}

#[derive(Debug, PartialEq, Eq)]
enum Named {
    Temporarily,
    Finally,
}

impl Staged {
    /// Starts the file that is to be called `path`, in the same folder.
    ///
    /// # Errors
    /// The folder is missing, full or read-only.
    pub fn create(path: &Path, mode: Mode) -> Result<Self, Failed> {
        let temporary = temporary_beside(path)?;
        let bits = if mode == Mode::Private { 0o600 } else { 0o644 };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(bits)
            .open(&temporary)
            .map_err(|source| failed("create", path, source))?;
        Ok(Self { file, temporary, path: path.to_owned(), named: Named::Temporarily })
    }

    /// The file itself, to read back or to set its times; it is not under its name yet.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the bytes written so far durable, still under the temporary name.
    ///
    /// # Errors
    /// They may not be.
    pub fn sync(&self) -> Result<(), Failed> {
        self.file.sync_all().map_err(|source| failed("make durable", &self.path, source))
    }

    /// Makes it durable under its name, replacing what was there.
    ///
    /// # Errors
    /// A step failed; then the old file, if any, still stands.
    pub fn commit(mut self) -> Result<(), Failed> {
        self.name()?;
        sync_dir(parent(&self.path))
    }

    fn name(&mut self) -> Result<(), Failed> {
        self.sync()?;
        fs::rename(&self.temporary, &self.path).map_err(|source| failed("name", &self.path, source))?;
        self.named = Named::Finally;
        Ok(())
    }

    /// Makes it durable under its name, which must still be free.
    ///
    /// # Errors
    /// The name is taken (`AlreadyExists`), or a step failed.
    pub fn commit_new(self) -> Result<(), Failed> {
        let path = self.path.clone();
        self.commit_new_as(&path)
    }

    /// Makes it durable under another name in the same folder, which must still be free.
    ///
    /// # Errors
    /// As [`Staged::commit_new`].
    pub fn commit_new_as(mut self, path: &Path) -> Result<(), Failed> {
        self.path = path.to_owned();
        self.sync()?;
        rename_new(&self.temporary, &self.path).map_err(|source| failed("create", &self.path, source))?;
        self.named = Named::Finally;
        sync_dir(parent(&self.path))
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.named == Named::Temporarily {
            // Whoever drops it has an error to report already; a leftover is recognisable by its suffix.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes `path` and missing folders above it, each durable in the one above.
///
/// # Errors
/// A folder could not be made, or a file stands in the way.
pub fn create_dir_all(path: &Path, mode: Mode) -> Result<(), Failed> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    create_dir_all(above, mode)?;
    let bits = if mode == Mode::Private { 0o700 } else { 0o755 };
    match DirBuilder::new().mode(bits).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
            Err(failed("create the folder", path, source))
        }
        _ => sync_dir(above),
    }
}

/// Moves a file within one file system, replacing what was at `to`; durable in both folders.
///
/// # Errors
/// A step failed.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::rename(from, to).map_err(|source| failed("move", from, source))?;
    sync_dir(parent(to))?;
    sync_dir(parent(from))
}

/// Removes a file, durably. A file that is not there is no error.
///
/// # Errors
/// The file could not be removed.
pub fn remove(path: &Path) -> Result<(), Failed> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(parent(path)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("remove", path, source)),
    }
}

/// Overwrites a file with zeros, then removes it, both durably; for secrets at their end. A file that is not
/// there is no error. Flash and copy-on-write file systems may keep the old blocks for a while: what must not
/// be read again lies encrypted.
///
/// # Errors
/// The file could not be overwritten or removed.
pub fn destroy(path: &Path) -> Result<(), Failed> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let fail = |source| failed("overwrite", path, source);
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(fail)?,
    };
    let mut left = file.metadata().map_err(fail)?.len();
    while left > 0 {
        let (piece, _) = ZEROS.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len()));
        file.write_all(piece).map_err(fail)?;
        left -= piece.len() as u64;
    }
    file.sync_all().map_err(fail)?;
    remove(path)
}

/// Reads a regular file whole, if it holds at most `bytes_max`. Devices and pipes are refused, so nobody can
/// be kept waiting or fed for ever.
///
/// # Errors
/// Missing, unreadable, no regular file, or too large (`FileTooLarge`).
pub fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failed> {
    let fail = |source| failed("read", path, source);
    // O_NONBLOCK: opening a pipe without a writer returns at once, to be refused by the next check.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > bytes_max {
        let sentence = format!("larger than the {bytes_max} bytes allowed");
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, sentence)));
    }
    Ok(bytes)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The folder cannot be opened or synchronised.
pub fn sync_dir(path: &Path) -> Result<(), Failed> {
    let fail = |source| failed("make durable", path, source);
    match File::open(path).map_err(fail)?.sync_all() {
        // Network shares that have no such call for folders: the server keeps names durable itself.
        Err(source) if matches!(Errno::from_io_error(&source), Some(Errno::INVAL | Errno::BADF)) => Ok(()),
        done => done.map_err(fail),
    }
}

/// The folder a path lies in; `.` for a bare name.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// A [`Failed`] of the caller's own step, so that every program speaks of files alike.
#[must_use]
pub fn failed(action: &'static str, path: &Path, source: io::Error) -> Failed {
    Failed { action, path: path.to_owned(), source }
}

fn temporary_beside(path: &Path) -> Result<PathBuf, Failed> {
    let name = path.file_name().ok_or_else(|| {
        failed("create", path, io::Error::new(io::ErrorKind::InvalidInput, "this is no file name"))
    })?;
    let dice = random::bytes::<6>().map_err(|fault| failed("create", path, io::Error::other(fault)))?;
    // The visible name is cut so that a long one still fits with what is added to it.
    let shown: String = name.to_string_lossy().chars().take(40).collect();
    let hidden = OsString::from(format!(".{shown}.{}{TEMPORARY_SUFFIX}", digest::hex(&dice)));
    Ok(parent(path).join(hidden))
}

/// A hard link refuses a taken name; where the file system has none (FAT), the kernel's own rename that
/// replaces nothing does.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Err(fault),
        Err(_without_links) => Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("online.key");
        write(&path, b"old", Mode::Private).unwrap();
        write(&path, b"new", Mode::Private).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()), ["online.key"]);
    }

    #[test]
    fn many_files_are_written_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["000", "001"].map(|name| dir.path().join(name));
        let files = [(one.as_path(), &b"first"[..]), (two.as_path(), b"second")];
        write_each(files, Mode::Shared).unwrap();
        assert_eq!((fs::read(one).unwrap(), fs::read(two).unwrap()), (b"first".to_vec(), b"second".to_vec()));
        assert_eq!(names(dir.path()).len(), 2);
    }

    #[test]
    fn a_taken_name_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        write_new(&path, b"first", Mode::Private).unwrap();
        let refused = write_new(&path, b"second", Mode::Private).unwrap_err();
        assert_eq!(refused.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(refused.hint().is_some());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["root.key"]);
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut staged = Staged::create(&dir.path().join("bundle"), Mode::Shared).unwrap();
        staged.write_all(b"half").unwrap();
        drop(staged);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn reading_stops_at_the_limit_and_at_devices() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inbox");
        fs::write(&path, [7; 11]).unwrap();
        assert_eq!(read_limited(&path, 11).unwrap().len(), 11);
        assert_eq!(read_limited(&path, 10).unwrap_err().source.kind(), io::ErrorKind::FileTooLarge);
        assert!(read_limited(Path::new("/dev/zero"), 10).is_err());
    }

    #[test]
    fn folders_are_made_down_to_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("near/keys");
        create_dir_all(&deep, Mode::Private).unwrap();
        create_dir_all(&deep, Mode::Private).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(deep.join("file"), b"").unwrap();
        assert!(create_dir_all(&deep.join("file"), Mode::Private).is_err());
    }
}
