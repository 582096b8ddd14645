//! Copying with the digest taken on the way, and reading back from the medium rather than from memory.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};

use farside_service::digest::{Sha256, hex};
use rustix::fs::{Advice, fadvise};

use crate::FILE_BYTES_MAX;

/// Hexadecimal digits of a digest that go into a name.
pub(crate) const SHORT_DIGITS: usize = 16;
const PIECE_BYTES: usize = 1 << 17;

/// Which end of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyFault {
    Read(io::Error),
    Write(io::Error),
}

/// The first digits of a digest.
pub(crate) fn short(digest: &[u8; 32]) -> String {
    hex(&digest[..SHORT_DIGITS / 2])
}

/// Copies everything up to [`FILE_BYTES_MAX`] and one byte; answers digest and length.
pub(crate) fn copy(
    from: &File,
    to: &mut impl Write,
    mut tick: impl FnMut(u64),
) -> Result<([u8; 32], u64), CopyFault> {
    let mut from = from.take(FILE_BYTES_MAX + 1);
    let mut piece = vec![0; PIECE_BYTES];
    let mut hash = Sha256::new();
    let mut bytes = 0;
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok((hash.finish(), bytes)),
            Ok(read) => read,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Err(CopyFault::Read(fault)),
        };
        hash.update(&piece[..read]);
        to.write_all(&piece[..read]).map_err(CopyFault::Write)?;
        bytes += read as u64;
        tick(read as u64);
    }
}

/// Digest and length of what the file holds from here on.
pub(crate) fn digest_of(file: &File) -> io::Result<([u8; 32], u64)> {
    copy(file, &mut io::sink(), |_| {}).map_err(|fault| match fault {
        CopyFault::Read(fault) | CopyFault::Write(fault) => fault,
    })
}

/// The digest of what the medium gives back: the file must be durable already, or the kernel keeps its pages.
pub(crate) fn read_back(mut file: &File) -> io::Result<[u8; 32]> {
    // Advice only: a file system that has no cache to drop says so, and reading works all the same.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
    file.seek(SeekFrom::Start(0))?;
    digest_of(file).map(|(digest, _)| digest)
}
