//! One at a time: an exclusive lock on a file, so that two programs never write the same log or store. The
//! kernel frees it when its holder ends, however it ends; the holder's process number in the file is for eyes
//! only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::durable::{Failed, failed};

/// How often a waiting process asks again.
const RETRY_MILLISECONDS: u64 = 20;
/// Bytes of the holder's note that are read.
const HOLDER_BYTES_MAX: u64 = 32;

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockFault {
    /// Another process has it.
    #[error("{path} is held by {holder}")]
    Held {
        /// The lock file.
        path: PathBuf,
        /// `process 123`, or `another process`.
        holder: String,
    },
    /// The lock file could not be opened or locked.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// A lock held until it is dropped.
#[derive(Debug)]
pub struct Exclusive {
    _file: File,
}

impl Exclusive {
    /// Takes the lock now.
    ///
    /// # Errors
    /// Another process holds it, or the file cannot be opened.
    pub fn take(path: &Path) -> Result<Self, LockFault> {
        Self::take_within(path, Duration::ZERO)
    }

    /// Takes the lock, waiting at most `patience` for its holder to end.
    ///
    /// # Errors
    /// Another process still holds it, or the file cannot be opened.
    pub fn take_within(path: &Path, patience: Duration) -> Result<Self, LockFault> {
        let fail = |source| LockFault::from(failed("lock", path, source));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        let started = Instant::now();
        if let Err(refused) = wait(&file, || started.elapsed() < patience) {
            return Err(match refused {
                TryLockError::WouldBlock => {
                    LockFault::Held { path: path.to_owned(), holder: holder(&mut file) }
                }
                TryLockError::Error(source) => fail(source),
            });
        }
        let note = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
        file.write_all(note.as_bytes()).map_err(fail)?;
        Ok(Self { _file: file })
    }

    /// Takes the lock on a folder itself, where a lock file would be in the way.
    ///
    /// # Errors
    /// Another process holds it, or the folder cannot be opened.
    pub fn take_folder(path: &Path) -> Result<Self, LockFault> {
        let file = File::open(path).map_err(|source| failed("lock", path, source))?;
        hold(&file, path, Duration::ZERO)?;
        Ok(Self { _file: file })
    }
}

/// Locks an open file itself (an append-only log), without a note.
pub(crate) fn hold(file: &File, path: &Path, patience: Duration) -> Result<(), LockFault> {
    let started = Instant::now();
    wait(file, || started.elapsed() < patience).map_err(|refused| match refused {
        TryLockError::WouldBlock => {
            LockFault::Held { path: path.to_owned(), holder: "another process".to_owned() }
        }
        TryLockError::Error(source) => failed("lock", path, source).into(),
    })
}

fn wait(file: &File, patient: impl Fn() -> bool) -> Result<(), TryLockError> {
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if patient() => {
                thread::sleep(Duration::from_millis(RETRY_MILLISECONDS));
            }
            done => return done,
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut note = String::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut note);
    match (read, note.trim().parse::<u32>()) {
        (Ok(_), Ok(process)) => format!("process {process}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_and_may_have_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Exclusive::take(&path).unwrap();
        let refused = Exclusive::take(&path).unwrap_err();
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        Exclusive::take(&path).unwrap();
    }

    #[test]
    fn a_folder_has_one_holder_and_nothing_put_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Exclusive::take_folder(dir.path()).unwrap();
        assert!(matches!(Exclusive::take_folder(dir.path()), Err(LockFault::Held { .. })));
        drop(first);
        Exclusive::take_folder(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
