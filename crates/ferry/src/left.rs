//! Why a file was left behind, and whether that ends the whole crossing or this file's alone.

use std::io;

use farside_service::durable::Failed;

use crate::FILE_BYTES_MAX;

/// Why a file was not carried. It stands, untouched, where it was.
#[derive(Debug, thiserror::Error)]
pub enum Left {
    /// Its name is not safe on every medium.
    #[error("the name is not made of letters, digits, `.`, `-` and `_` alone")]
    UnfitName,
    /// A symbolic link: what it leads to may not be meant.
    #[error("a symbolic link, not a file")]
    Link,
    /// A folder.
    #[error("a folder, not a file")]
    Folder,
    /// A device, pipe or socket.
    #[error("a device, pipe or socket, not a file")]
    Device,
    /// Larger than anything that is carried.
    #[error("{bytes} bytes, more than the {FILE_BYTES_MAX} allowed")]
    TooLarge {
        /// Its length.
        bytes: u64,
    },
    /// It was written to meanwhile.
    #[error("it changed while it was carried: carry it again when it is finished")]
    Changed,
    /// Its content is not what its name promises.
    #[error("half-written or damaged: its content has the digest {found}…, its name says {promised}…")]
    Damaged {
        /// The digits in its name.
        promised: String,
        /// Those of its content.
        found: String,
    },
    /// The medium gave other bytes back than were written.
    #[error("the medium does not give back what was written to it")]
    NotGivenBack,
    /// A step on the medium failed.
    #[error(transparent)]
    Medium(#[from] Failed),
    /// A step on this machine's own side failed.
    #[error(transparent)]
    Home(Failed),
}

impl Left {
    /// The same, where the file that failed is this machine's own.
    #[must_use]
    pub(crate) fn at_home(self) -> Self {
        match self {
            Self::Medium(failed) => Self::Home(failed),
            left => left,
        }
    }

    /// Whether nothing more can be carried after this: one side is read-only, or the medium is gone. A
    /// failing sector does not end it: other files may be whole.
    #[must_use]
    pub fn ends_the_crossing(&self) -> bool {
        match self {
            Self::Medium(failed) => is_gone(&failed.source) || is_read_only(&failed.source),
            Self::Home(failed) => is_read_only(&failed.source),
            _ => false,
        }
    }

    /// Whether the side written to is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Medium(failed) | Self::Home(failed) if full(failed.source.kind()))
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Medium(_) if self.is_full() => {
                Some("the medium is full: remove what is not needed there, or keep fewer with --keep")
            }
            Self::Medium(failed) if is_gone(&failed.source) || is_failing(&failed.source) => Some(
                "the medium is gone or failing: put it back, or take another, and run the same command again",
            ),
            Self::Medium(failed) | Self::Home(failed) => failed.hint(),
            Self::Folder => Some("name the folder itself: its files are carried, not the folders in it"),
            Self::NotGivenBack => Some("the medium is worn out or smaller than it claims: take another"),
            Self::Damaged { .. } => Some("send it again from the near side"),
            _ => None,
        }
    }
}

/// What the kernel says of a stick that was pulled out.
fn is_gone(fault: &io::Error) -> bool {
    use rustix::io::Errno;
    let gone = [Errno::NODEV, Errno::NXIO, Errno::NOTCONN, Errno::SHUTDOWN, Errno::STALE];
    fault.kind() == io::ErrorKind::NotFound || bears(fault, &gone)
}

/// What it says of a sector that cannot be read or written.
fn is_failing(fault: &io::Error) -> bool {
    bears(fault, &[rustix::io::Errno::IO])
}

fn is_read_only(fault: &io::Error) -> bool {
    fault.kind() == io::ErrorKind::ReadOnlyFilesystem
}

fn bears(fault: &io::Error, codes: &[rustix::io::Errno]) -> bool {
    fault.raw_os_error().is_some_and(|code| codes.iter().any(|errno| errno.raw_os_error() == code))
}
