//! One file to be carried: opened once, found fit, its digest taken. Refuses links, devices, folders, names
//! that some file system or terminal would misread, and files too large for any bundle.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use farside_service::durable::failed;
use rustix::fs::OFlags;

use crate::Left;
use crate::copy::{self, SHORT_DIGITS};

/// The largest file carried: the largest bundle there is.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// The longest name carried; with a digest added it still fits every file system.
const NAME_BYTES_MAX: usize = 160;

/// A file name fit for every medium: ASCII letters, digits, `.`, `-`, `_`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name, if it is fit.
    #[must_use]
    pub fn new(name: &OsStr) -> Option<Self> {
        // frame.md §1.4
        let name = name.to_str()?;
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        (begins && name.len() <= NAME_BYTES_MAX && name.bytes().all(fit)).then(|| Self(name.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with the first digits of the content's digest before its ending: how files are called on a
    /// medium.
    #[must_use]
    pub fn marked(&self, short: &str) -> Self {
        // frame.md §2.2
        match self.0.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => Self(format!("{stem}.{short}.{ending}")),
            _ => Self(format!("{}.{short}", self.0)),
        }
    }

    /// Takes a marked name apart: the name as it was, and the digits. Only a hint of what is inside.
    #[must_use]
    pub fn unmarked(&self) -> Option<(Self, String)> {
        let is_short = |part: &str| {
            part.len() == SHORT_DIGITS && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (front, last) = self.0.rsplit_once('.')?;
        let (name, short) = match front.rsplit_once('.') {
            Some((stem, middle)) if is_short(middle) => (format!("{stem}.{last}"), middle),
            _ if is_short(last) => (front.to_owned(), last),
            _ => return None,
        };
        Some((Self::new(OsStr::new(&name))?, short.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fit file and its digest.
#[derive(Debug)]
pub struct Cargo {
    /// What it is called at home.
    pub name: Name,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub digest: [u8; 32],
    /// When it was written, so that both ends agree on which is newer.
    pub modified: SystemTime,
    pub(crate) file: File,
}

impl Cargo {
    /// Opens the file and reads it once.
    ///
    /// # Errors
    /// It is not fit to be carried, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, Left> {
        let name = path.file_name().and_then(Name::new).ok_or(Left::UnfitName)?;
        let mut file = open_regular(path).map_err(Left::at_home)?;
        let fail = |source| Left::Home(failed("read", path, source));
        let modified = file.metadata().and_then(|about| about.modified()).map_err(fail)?;
        let (digest, bytes) = copy::digest_of(&file).map_err(fail)?;
        file.rewind().map_err(fail)?;
        Ok(Self { name, bytes, digest, modified, file })
    }

    /// The first digits of the digest.
    #[must_use]
    pub fn short(&self) -> String {
        copy::short(&self.digest)
    }
}

/// Opens a regular file of at most [`FILE_BYTES_MAX`], and nothing that a link leads to.
pub(crate) fn open_regular(path: &Path) -> Result<File, Left> {
    // frame.md §1.3. O_NONBLOCK: a pipe under this name must not keep us waiting.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|source| {
        if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return Left::Link;
        }
        Left::from(failed("read", path, source))
    })?;
    let about = file.metadata().map_err(|source| failed("read", path, source))?;
    match about.len() {
        _ if about.is_dir() => Err(Left::Folder),
        _ if !about.is_file() => Err(Left::Device),
        bytes if bytes > FILE_BYTES_MAX => Err(Left::TooLarge { bytes }),
        _ => Ok(file),
    }
}

/// The entries of a folder, each with what it is (links not followed). A folder of more than `entries_max` is
/// refused, so that nobody can keep us reading names.
pub(crate) fn entries(
    folder: &Path,
    entries_max: usize,
) -> io::Result<Vec<(std::ffi::OsString, std::fs::Metadata)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if found.len() == entries_max {
            let sentence = format!("it holds more than {entries_max} entries");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, sentence));
        }
        // Gone since the folder was read: nothing to carry.
        let Ok(about) = entry.path().symlink_metadata() else { continue };
        found.push((entry.file_name(), about));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<Name> {
        Name::new(OsStr::new(text))
    }

    #[test]
    fn names_that_steer_or_climb_are_refused() {
        for wrong in ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "-rf", "ü", "a:b", &"x".repeat(161)] {
            assert_eq!(name(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_name_is_marked_and_unmarked() {
        for text in ["dome-00000001.fbundle", "README", "a.b.c"] {
            let plain = name(text).unwrap();
            let marked = plain.marked("0123456789abcdef");
            assert_eq!(marked.unmarked(), Some((plain, "0123456789abcdef".to_owned())), "{marked}");
        }
        assert_eq!(name("dome-00000001.fbundle").unwrap().unmarked(), None);
        assert_eq!(name("photo.0123456789ABCDEF.jpg").unwrap().unmarked(), None);
    }
}
