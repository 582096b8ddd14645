//! Takes files from a folder that strangers may write to: bounded, never following links, never waiting on a
//! pipe.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use farside_service::durable::TEMPORARY_SUFFIX;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use crate::quarantine::HEAD_BYTES_MAX;

/// Largest bundle: bundle.md §5.1.
pub const BUNDLE_BYTES_MAX: u64 = 256 << 20;

/// Most files looked at in one round.
pub const FILES_MAX: usize = 10_000;

/// What a path turned out to be.
pub(crate) enum Taken {
    /// A regular file, whole.
    Whole(Vec<u8>),
    /// A regular file too large to be a bundle: its beginning and its size.
    Huge {
        /// The first bytes.
        head: Vec<u8>,
        /// How large it is.
        file_bytes: u64,
    },
    /// A link, pipe, socket or device: `what` says which.
    NoFile(&'static str),
    /// A folder.
    Folder,
}

/// Opens a path without following a link or waiting, and reads at most one bundle.
pub(crate) fn take(path: &Path) -> std::io::Result<Taken> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(CWD, path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        // What open says of a symbolic link that may not be followed, and of a socket.
        Err(rustix::io::Errno::LOOP) => return Ok(Taken::NoFile("a symbolic link")),
        Err(rustix::io::Errno::NXIO) => return Ok(Taken::NoFile("a socket")),
        Err(errno) => return Err(errno.into()),
    };
    let stat = fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => read(file, u64::try_from(stat.st_size).unwrap_or(u64::MAX)),
        FileType::Directory => Ok(Taken::Folder),
        FileType::Fifo => Ok(Taken::NoFile("a pipe")),
        _ => Ok(Taken::NoFile("a device")),
    }
}

fn read(file: File, file_bytes: u64) -> std::io::Result<Taken> {
    if file_bytes > BUNDLE_BYTES_MAX {
        let mut head = Vec::new();
        file.take(HEAD_BYTES_MAX as u64).read_to_end(&mut head)?;
        return Ok(Taken::Huge { head, file_bytes });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(file_bytes).unwrap_or(0));
    // The file may grow while it is read: one byte over the limit is enough to know.
    let read = file.take(BUNDLE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if read as u64 > BUNDLE_BYTES_MAX {
        bytes.truncate(HEAD_BYTES_MAX);
        return Ok(Taken::Huge { head: bytes, file_bytes: read as u64 });
    }
    Ok(Taken::Whole(bytes))
}

/// The files of a folder in the order their names suggest: numbers compared as numbers. Names are hints; what
/// a bundle is, its signed manifest says. Hidden and half-written files are left alone.
pub(crate) fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(FILES_MAX) {
        let name = entry?.file_name();
        let shown = name.to_string_lossy();
        if !shown.starts_with('.') && !shown.ends_with(TEMPORARY_SUFFIX) {
            names.push((natural(&shown), name));
        }
    }
    names.sort();
    Ok(names.into_iter().map(|(_, name)| folder.join(name)).collect())
}

/// A stick carries every site's bundles; this gate's lie in `FARSIDE/<site>`.
pub(crate) fn folder_of_site(path: &Path, site: &str) -> PathBuf {
    let of_site = path.join("FARSIDE").join(site);
    if of_site.is_dir() { of_site } else { path.to_path_buf() }
}

/// A name as its words and numbers, so that 9 comes before 10.
fn natural(name: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let word = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (word, after) = after.split_at(word);
        parts.push((number.parse().unwrap_or(0), word.to_owned()));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_order_as_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a-10.fbundle", "a-9.fbundle", ".hidden", "b-1.fbundle", "x.farside-part"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let listed = list(dir.path()).unwrap();
        let names: Vec<_> = listed.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a-9.fbundle", "a-10.fbundle", "b-1.fbundle"]);
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), b"bytes").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(take(&at("file")).unwrap(), Taken::Whole(bytes) if bytes == b"bytes"));
        assert!(matches!(take(&at("link")).unwrap(), Taken::NoFile("a symbolic link")));
        assert!(matches!(take(&at("folder")).unwrap(), Taken::Folder));
        assert!(matches!(take(&at("pipe")).unwrap(), Taken::NoFile("a pipe")));
        assert!(take(&at("nothing")).is_err());
    }

    #[test]
    fn a_huge_file_is_not_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        File::create(&path).unwrap().set_len(BUNDLE_BYTES_MAX + 1).unwrap();
        match take(&path).unwrap() {
            Taken::Huge { head, file_bytes } => {
                assert_eq!((head.len(), file_bytes), (HEAD_BYTES_MAX, BUNDLE_BYTES_MAX + 1));
            }
            _ => panic!("a huge file was taken for something else"),
        }
    }
}
