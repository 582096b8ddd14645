//! The file behind a log of records: each batch is one frame, so that after a crash a batch is there whole or
//! not.
//!
//! ```text
//!   "FSB1" · payload bytes u32 · records u32 · check 16 B │ payload: (record bytes u32 · record)*
//!   check = first 16 bytes of SHA-256(frame's offset in the file u64 ‖ the 12 bytes before it ‖ payload)
//! ```
//!
//! Integers are little-endian. A frame is written only after the one before it is durable. So a bad frame
//! with nothing good behind it is a batch that a crash tore, of which nobody was told: it is set aside and
//! reported. A bad frame with a good one behind it was durable once and has been damaged: that is refused,
//! with its offset.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Framing, Group, QUEUE_BYTES_MAX, QUEUE_RECORDS_MAX};
use crate::digest::Sha256;
use crate::durable::{self, Failed, Mode, failed};
use crate::lock::{self, LockFault};

const MAGIC: [u8; 4] = *b"FSB1";
const HEADER_BYTES: usize = 28;
pub(super) const CHECK_BYTES: usize = 16;
/// What stands before each record of a frame: its length.
const LENGTH_BYTES: usize = 4;
/// The longest payload written: a full queue and the length of each of its records.
const PAYLOAD_BYTES_MAX: usize = QUEUE_BYTES_MAX + super::RECORD_BYTES_MAX + 4 * QUEUE_RECORDS_MAX;
/// How long opening waits for another process that is about to end.
pub(super) const LOCK_PATIENCE_SECONDS: u64 = 5;

/// One record read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the log, counted from 0.
    pub number: u64,
    /// What was appended.
    pub bytes: &'a [u8],
}

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Whole records.
    pub records: u64,
    /// Their bytes in the file, framing included.
    pub bytes: u64,
    /// The batch a crash tore, if one did.
    pub torn: Option<TornTail>,
}

/// Bytes behind the last whole batch, of which nobody was ever told that they are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// Where they began.
    pub offset: u64,
    /// How many they were.
    pub bytes: u64,
    /// The file they were moved to, where the log was opened for writing.
    pub kept: Option<PathBuf>,
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The file could not be opened, read or repaired.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// Another process writes it.
    #[error(transparent)]
    Locked(#[from] LockFault),
    /// What was durable once has changed.
    #[error("{path}: damaged at byte {offset}: records behind it are whole, so this is no torn write")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged frame begins.
        offset: u64,
    },
    /// A file of the log is gone.
    #[error("{path} is missing: the records in it are not in the log any more")]
    Missing {
        /// The file.
        path: PathBuf,
    },
}

/// A log of records in a file of its own.
#[derive(Debug)]
pub struct Log;

impl Log {
    /// Opens the log for appending, creating it (0600) where it is missing, and shows every record it holds.
    ///
    /// ```
    /// use farside_service::append::Log;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("leaves");
    /// let (group, _recovery) = Log::open(&path, |_record| {})?;
    /// let ticket = group.append(b"first".to_vec())?;
    /// ticket.wait()?; // or `ticket.await?`: only now may anybody hear of it
    /// drop(group);
    ///
    /// let mut found = Vec::new();
    /// Log::open(&path, |record| found.push(record.bytes.to_vec()))?;
    /// assert_eq!(found, [b"first"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Another process has it open, it is damaged in the middle, or the disk fails.
    pub fn open(path: &Path, each: impl FnMut(Record<'_>)) -> Result<(Group, Recovery), LogFault> {
        let (file, mut recovery) = open_and_scan(path, |file| scan(file, path, 0, each))?;
        set_aside(&file, path, &mut recovery)?;
        let framing = Frames::behind(recovery.bytes);
        let group = Group::over(file, framing, recovery.records);
        Ok((group.map_err(|source| failed("start writing", path, source))?, recovery))
    }
}

/// Shows every whole record of a log without changing it, also while another process appends to it.
///
/// # Errors
/// The file cannot be read, or is damaged in the middle.
pub fn read(path: &Path, each: impl FnMut(Record<'_>)) -> Result<Recovery, LogFault> {
    let file = File::open(path).map_err(|source| failed("read", path, source))?;
    scan(&file, path, 0, each)
}

/// Opens an append-only file, alone, and hands it to `scan`.
pub(crate) fn open_and_scan<R, E: From<Failed> + From<LockFault>>(
    path: &Path,
    scan: impl FnOnce(&File) -> Result<R, E>,
) -> Result<(File, R), E> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).append(true).create(true).mode(0o600).open(path);
    let file = opened.map_err(|source| failed("open", path, source))?;
    lock::hold(&file, path, Duration::from_secs(LOCK_PATIENCE_SECONDS))?;
    // While it is empty its name may not be durable yet, whoever made it; behind the first record it is.
    if file.metadata().map_err(|source| failed("open", path, source))?.len() == 0 {
        durable::sync_dir(durable::parent(path))?;
    }
    let found = scan(&file)?;
    Ok((file, found))
}

/// Moves a torn tail to a file beside the log and cuts the log there.
pub(crate) fn set_aside(file: &File, path: &Path, recovery: &mut Recovery) -> Result<(), Failed> {
    let Some(torn) = &mut recovery.torn else { return Ok(()) };
    let fail = |source| failed("repair", path, source);
    let mut reader = file;
    reader.seek(SeekFrom::Start(torn.offset)).map_err(fail)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(fail)?;
    let mut kept = path.as_os_str().to_owned();
    kept.push(format!(".torn-{}", torn.offset));
    durable::write(Path::new(&kept), &bytes, Mode::Private)?;
    file.set_len(torn.offset).and_then(|()| file.sync_all()).map_err(fail)?;
    let TornTail { offset, bytes, .. } = torn;
    tracing::warn!(log = %path.display(), offset, bytes, "a torn write was set aside");
    torn.kept = Some(kept.into());
    Ok(())
}

pub(super) struct Frames {
    /// Where the next frame begins in the file.
    offset: u64,
    /// The frame that is being made: where it begins in the buffer, and its records.
    begun: Option<(usize, u32)>,
}

impl Frames {
    /// Goes on behind what a file holds.
    pub(super) fn behind(offset: u64) -> Frames {
        Frames { offset, begun: None }
    }

    /// Where the next frame begins in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

impl Framing for Frames {
    fn frame(&mut self, records: &[Vec<u8>], out: &mut Vec<u8>) {
        let (start, count) = self.begun.unwrap_or_else(|| {
            let start = out.len();
            out.resize(start + HEADER_BYTES, 0);
            (start, 0)
        });
        for record in records {
            // Bounded by RECORD_BYTES_MAX before it was queued.
            out.extend_from_slice(&(record.len() as u32).to_le_bytes());
            out.extend_from_slice(record);
        }
        self.begun = Some((start, count + records.len() as u32));
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some((start, records)) = self.begun.take() else { return };
        let payload = out.len() - start - HEADER_BYTES;
        let header = &mut out[start..start + HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&(payload as u32).to_le_bytes());
        header[8..12].copy_from_slice(&records.to_le_bytes());
        let check = check(self.offset, &out[start..start + 12], &out[start + HEADER_BYTES..]);
        out[start + 12..start + HEADER_BYTES].copy_from_slice(&check);
        self.offset += (out.len() - start) as u64;
    }

    fn turned(&mut self) {
        self.offset = 0;
    }
}

fn check(offset: u64, lengths: &[u8], payload: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = Sha256::new();
    hash.update(&offset.to_le_bytes());
    hash.update(lengths);
    hash.update(payload);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash.finish()[..CHECK_BYTES]);
    check
}

/// Shows every whole record of a file whose first one has the number `first`.
pub(super) fn scan(
    file: &File,
    path: &Path,
    first: u64,
    mut each: impl FnMut(Record<'_>),
) -> Result<Recovery, LogFault> {
    let fail = |source| failed("read", path, source);
    let length = file.metadata().map_err(fail)?.len();
    let mut reader = BufReader::with_capacity(1 << 18, file);
    reader.rewind().map_err(fail)?;
    let mut recovery = Recovery::default();
    let mut payload = Vec::new();
    while recovery.bytes < length {
        let offset = recovery.bytes;
        let Some(frame) = read_frame(&mut reader, offset, &mut payload).map_err(fail)? else {
            recovery.torn = Some(judge_tail(file, path, offset, length)?);
            return Ok(recovery);
        };
        let damaged = || LogFault::Damaged { path: path.to_owned(), offset };
        show(&frame, &payload, first + recovery.records, &mut each).ok_or_else(damaged)?;
        recovery.records += frame.records;
        recovery.bytes += frame.bytes;
    }
    Ok(recovery)
}

/// Shows the records of one frame, the first of which has the number `first`; `None` if they do not fill it.
pub(super) fn show(
    frame: &Whole,
    payload: &[u8],
    first: u64,
    each: &mut impl FnMut(Record<'_>),
) -> Option<()> {
    let mut rest = payload;
    for number in first..first + frame.records {
        let (bytes, behind) = split_record(rest)?;
        each(Record { number, bytes });
        rest = behind;
    }
    Some(())
}

/// A frame whose check agrees.
pub(super) struct Whole {
    /// How many records it holds.
    pub(super) records: u64,
    /// Its length in the file.
    pub(super) bytes: u64,
    /// What stands for all of it.
    pub(super) check: [u8; CHECK_BYTES],
}

/// The frame at the reader, its payload in `payload`; `None` if it is not whole or its check does not agree.
pub(super) fn read_frame(
    reader: &mut impl Read,
    offset: u64,
    payload: &mut Vec<u8>,
) -> io::Result<Option<Whole>> {
    let mut header = [0; HEADER_BYTES];
    payload.clear();
    if reader.by_ref().take(HEADER_BYTES as u64).read_to_end(payload)? < HEADER_BYTES {
        return Ok(None);
    }
    header.copy_from_slice(payload);
    payload.clear();
    let Some((length, records)) = lengths(&header) else { return Ok(None) };
    let whole = reader.take(length as u64).read_to_end(payload)? == length;
    let check = check(offset, &header[..12], payload);
    let bytes = (HEADER_BYTES + length) as u64;
    Ok((whole && check == header[12..]).then_some(Whole { records, bytes, check }))
}

fn lengths(header: &[u8; HEADER_BYTES]) -> Option<(usize, u64)> {
    let [m0, m1, m2, m3, l0, l1, l2, l3, r0, r1, r2, r3, ..] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let records = u32::from_le_bytes([r0, r1, r2, r3]);
    ([m0, m1, m2, m3] == MAGIC && length <= PAYLOAD_BYTES_MAX).then_some((length, u64::from(records)))
}

fn split_record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = rest.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// Where the first record of the frame at `offset` lies.
pub(super) fn first_record(offset: u64) -> u64 {
    offset + HEADER_BYTES as u64
}

/// Where the record behind the one at `offset` lies.
pub(super) fn behind(offset: u64, record: &[u8]) -> u64 {
    offset + (LENGTH_BYTES + record.len()) as u64
}

/// The bytes at a record's place; `None` where no record can be so long.
pub(super) fn read_record(mut file: &File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > super::RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut record = vec![0; length];
    file.read_exact(&mut record)?;
    Ok(Some(record))
}

/// Decides whether the bad frame at `offset` was torn by a crash or damaged later.
fn judge_tail(file: &File, path: &Path, offset: u64, length: u64) -> Result<TornTail, LogFault> {
    let damaged = || LogFault::Damaged { path: path.to_owned(), offset };
    let bytes = length - offset;
    if bytes > (HEADER_BYTES + PAYLOAD_BYTES_MAX) as u64 {
        return Err(damaged());
    }
    let fail = |source| failed("read", path, source);
    let mut reader = file;
    reader.seek(SeekFrom::Start(offset)).map_err(fail)?;
    let mut tail = Vec::new();
    reader.take(bytes).read_to_end(&mut tail).map_err(fail)?;
    let mut payload = Vec::new();
    for start in 1..tail.len().saturating_sub(MAGIC.len()) {
        if tail[start..].starts_with(&MAGIC) {
            let frame = read_frame(&mut &tail[start..], offset + start as u64, &mut payload).map_err(fail)?;
            if frame.is_some() {
                return Err(damaged());
            }
        }
    }
    Ok(TornTail { offset, bytes, kept: None })
}
