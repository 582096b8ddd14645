//! A log of records in several files, so that starting reads only what is new and a closed file can be
//! rewritten while the newest one grows.
//!
//! ```text
//!   issued.log                 records 0 ..            closed: whole to the last byte
//!   issued-000000131072.log    records 131072 ..       closed
//!   issued-000000262144.log    records 262144 ..       the newest: appended to, may end torn
//!   issued.lock                held by the one process that writes
//! ```
//!
//! A file is begun only when all before it is durable. So a torn end anywhere but in the newest file is
//! damage, and so is a file that is gone: both are refused. Nothing is ever removed, but from the front of a
//! log that forgets.

mod shorten;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::frame::{self, CHECK_BYTES, Frames, LOCK_PATIENCE_SECONDS, scan, set_aside};
use super::{Broken, Framing as _, Group, LogFault, Record, Recovery, Tape};
use crate::durable::{self, Failed, Mode, Staged, TEMPORARY_SUFFIX, failed};
use crate::lock::Exclusive;

/// Bytes after which a file is closed and the next one begun.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Bytes of records that a rewritten frame holds, about.
const REWRITTEN_FRAME_BYTES: usize = 256 << 10;

/// Digits of a record's number in a file's name: enough for names to sort.
const NUMBER_DIGITS: usize = 12;

/// The files of one log: where they lie and how their names begin.
#[derive(Debug, Clone)]
pub struct Segments {
    folder: PathBuf,
    name: &'static str,
    bytes_max: u64,
    /// The oldest files may be gone.
    forgets: bool,
}

/// Where a record lies: in which file, named by its first record, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the file's first record.
    pub segment: u64,
    /// Where in the file the record's length stands, with the record behind it.
    pub offset: u64,
}

/// How far a reader has read. It knows the last frame that it saw, so a log that has changed behind it (a
/// frame that a crash took back, a file that was rewritten) is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    number: u64,
    segment: u64,
    offset: u64,
    last: u64,
    check: [u8; CHECK_BYTES],
}

/// Length of a cursor's bytes.
const CURSOR_BYTES: usize = 4 * 8 + CHECK_BYTES;

impl Segments {
    /// The log in `folder` whose files' names begin with `name`.
    #[must_use]
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Self { folder: folder.to_owned(), name, bytes_max: SEGMENT_BYTES_MAX, forgets: false }
    }

    /// The same log with files closed after fewer bytes.
    #[must_use]
    pub fn closed_after(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// Opens the log for appending, alone, creating it where it is missing, and shows its records from number
    /// `from` on. Files that hold only earlier ones are not read.
    ///
    /// ```
    /// use farside_service::append::Segments;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let log = Segments::new(dir.path(), "issued");
    /// let (group, _recovery) = log.open(0, |_record| {})?;
    /// group.append(b"first".to_vec())?.wait()?;
    /// drop(group);
    ///
    /// let mut found = Vec::new();
    /// let recovery = log.read(0, |record| found.push(record.bytes.to_vec()))?;
    /// assert_eq!((recovery.records, found), (1, vec![b"first".to_vec()]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Another process writes it, it is damaged, or the disk fails.
    pub fn open(&self, from: u64, mut each: impl FnMut(Record<'_>)) -> Result<(Group, Recovery), LogFault> {
        let patience = Duration::from_secs(LOCK_PATIENCE_SECONDS);
        let alone = Exclusive::take_within(&self.folder.join(format!("{}.lock", self.name)), patience)?;
        self.remove_unfinished()?;
        let firsts = self.firsts()?;
        let newest = firsts.last().copied().unwrap_or(0);
        let mut recovery = self.scan_closed(&firsts, from, &mut each)?;
        let path = self.path(newest);
        let (file, mut found) =
            frame::open_and_scan(&path, |file| scan(file, &path, newest, late(from, &mut each)))?;
        set_aside(&file, &path, &mut found)?;
        let bytes = found.bytes;
        recovery.add(newest, found);
        let tape = Files { log: self.clone(), file, first: newest, bytes, _alone: alone };
        let group = Group::over(tape, Frames::behind(bytes), recovery.records);
        Ok((group.map_err(|source| failed("start writing", &path, source))?, recovery))
    }

    /// Shows the whole records from number `from` on, without changing anything, also while another process
    /// appends.
    ///
    /// # Errors
    /// A file cannot be read, is damaged or missing.
    pub fn read(&self, from: u64, mut each: impl FnMut(Record<'_>)) -> Result<Recovery, LogFault> {
        let firsts = self.firsts()?;
        let newest = firsts.last().copied().unwrap_or(0);
        let mut recovery = self.scan_closed(&firsts, from, &mut each)?;
        let path = self.path(newest);
        let file = File::open(&path).map_err(|source| failed("read", &path, source))?;
        recovery.add(newest, scan(&file, &path, newest, late(from, &mut each))?);
        Ok(recovery)
    }

    /// Shows what stands behind `cursor`, with the place of each record, and where to go on the next
    /// time; `None` where the log is no longer the one that the cursor has read: then all must be read again.
    /// What is not whole at the end is left for later.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn follow(
        &self,
        cursor: Cursor,
        mut each: impl FnMut(Place, Record<'_>),
    ) -> Result<Option<Cursor>, LogFault> {
        let mut at = cursor;
        loop {
            let path = self.path(at.segment);
            let file = match File::open(&path) {
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                    return Ok((cursor == Cursor::default()).then_some(cursor));
                }
                opened => opened.map_err(|source| failed("read", &path, source))?,
            };
            if !at.stands_in(&file).map_err(|source| failed("read", &path, source))? {
                return Ok(None);
            }
            self.follow_file(&file, &mut at, &mut each)?;
            let behind = self.path(at.number);
            if at.number == at.segment || !behind.exists() {
                return Ok(Some(at));
            }
            at = Cursor { number: at.number, segment: at.number, ..Cursor::default() };
        }
    }

    /// The bytes at `place`, if it can be one: whether they are the record looked for is for the caller to
    /// see, since a file may have been rewritten.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_at(&self, place: Place) -> Result<Option<Vec<u8>>, LogFault> {
        let path = self.path(place.segment);
        let file = File::open(&path).map_err(|source| failed("read", &path, source))?;
        match frame::read_record(&file, place.offset) {
            Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => Ok(read.map_err(|source| failed("read", &path, source))?),
        }
    }

    /// Rewrites the files that hold the records `numbers`, each in one step, with what `replace` makes of
    /// these records; all others stay as they are. `placed` hears where each record of these files lies now.
    /// `group` is who writes this log: only it may rewrite.
    ///
    /// # Errors
    /// A file could not be read or written; then it stands as it was.
    pub fn rewrite(
        &self,
        group: &Group,
        numbers: &BTreeSet<u64>,
        mut replace: impl FnMut(Record<'_>) -> Vec<u8>,
        mut placed: impl FnMut(Place, u64),
    ) -> Result<(), RewriteFault> {
        let Some(last) = numbers.last() else { return Ok(()) };
        if self.firsts()?.last().is_none_or(|newest| last >= newest) {
            group.turn()?;
        }
        let firsts = self.firsts()?;
        for (first, until) in firsts.iter().zip(firsts.iter().skip(1)) {
            let mut wanted = numbers.range(first..until).peekable();
            if wanted.peek().is_some() {
                let change = |record: Record<'_>| match numbers.contains(&record.number) {
                    true => replace(record),
                    false => record.bytes.to_vec(),
                };
                self.rewrite_file(*first, change, &mut placed)?;
            }
        }
        Ok(())
    }

    /// Removes what is left of frames that crashes tore. They were of no record that anybody was told of,
    /// but may hold parts of one.
    ///
    /// # Errors
    /// A file could not be removed.
    pub fn remove_torn(&self) -> Result<(), Failed> {
        self.remove_where(|name| name.starts_with(self.name) && name.contains(".log.torn-"))
    }

    fn scan_closed(
        &self,
        firsts: &[u64],
        from: u64,
        each: &mut impl FnMut(Record<'_>),
    ) -> Result<Recovery, LogFault> {
        let mut recovery = Recovery::default();
        if !self.forgets && firsts.first().is_some_and(|first| *first != 0) {
            return Err(LogFault::Missing { path: self.path(0) });
        }
        for (first, until) in firsts.iter().zip(firsts.iter().skip(1)) {
            let path = self.path(*first);
            let fail = |source| failed("read", &path, source);
            if *until <= from {
                recovery.bytes += fs::metadata(&path).map_err(fail)?.len();
                continue;
            }
            let file = File::open(&path).map_err(fail)?;
            let found = scan(&file, &path, *first, late(from, each))?;
            if found.torn.is_some() {
                return Err(LogFault::Damaged { path, offset: found.bytes });
            }
            if first + found.records != *until {
                return Err(LogFault::Missing { path: self.path(first + found.records) });
            }
            recovery.bytes += found.bytes;
        }
        Ok(recovery)
    }

    fn follow_file(
        &self,
        file: &File,
        at: &mut Cursor,
        each: &mut impl FnMut(Place, Record<'_>),
    ) -> Result<(), LogFault> {
        let path = self.path(at.segment);
        let fail = |source| failed("read", &path, source);
        let mut reader = BufReader::with_capacity(1 << 18, file);
        reader.seek(SeekFrom::Start(at.offset)).map_err(fail)?;
        let mut payload = Vec::new();
        while let Some(frame) = frame::read_frame(&mut reader, at.offset, &mut payload).map_err(fail)? {
            let (segment, mut offset) = (at.segment, frame::first_record(at.offset));
            let damaged = || LogFault::Damaged { path: path.clone(), offset: at.offset };
            let mut show = |record: Record<'_>| {
                let place = Place { segment, offset };
                offset = frame::behind(offset, record.bytes);
                each(place, record);
            };
            frame::show(&frame, &payload, at.number, &mut show).ok_or_else(damaged)?;
            *at = Cursor {
                number: at.number + frame.records,
                segment: at.segment,
                offset: at.offset + frame.bytes,
                last: at.offset,
                check: frame.check,
            };
        }
        Ok(())
    }

    fn rewrite_file(
        &self,
        first: u64,
        mut change: impl FnMut(Record<'_>) -> Vec<u8>,
        placed: &mut impl FnMut(Place, u64),
    ) -> Result<(), RewriteFault> {
        let path = self.path(first);
        let mut records = Vec::new();
        let file = File::open(&path).map_err(|source| failed("read", &path, source))?;
        scan(&file, &path, first, |record| records.push(change(record)))?;
        let mut staged = Staged::create(&path, Mode::Private)?;
        let (mut frames, mut out, mut number) = (Frames::behind(0), Vec::new(), first);
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(batch_length(rest));
            let mut offset = frame::first_record(frames.offset());
            for record in batch {
                placed(Place { segment: first, offset }, number);
                offset = frame::behind(offset, record);
                number += 1;
            }
            out.clear();
            frames.frame_all(batch, &mut out);
            staged.write_all(&out).map_err(|source| failed("write", &path, source))?;
            rest = behind;
        }
        Ok(staged.commit()?)
    }

    // Whatever bears a temporary name was never finished: a rewriting that a crash ended.
    fn remove_unfinished(&self) -> Result<(), Failed> {
        let ours = format!(".{}", self.name);
        self.remove_where(|name| name.starts_with(&ours) && name.ends_with(TEMPORARY_SUFFIX))
    }

    fn remove_where(&self, unwanted: impl Fn(&str) -> bool) -> Result<(), Failed> {
        for name in self.names()?.iter().filter(|name| unwanted(name)) {
            durable::remove(&self.folder.join(name))?;
        }
        Ok(())
    }

    /// The numbers that the files begin with, ascending.
    fn firsts(&self) -> Result<Vec<u64>, Failed> {
        let mut firsts: Vec<u64> = self.names()?.iter().filter_map(|name| self.first_of(name)).collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    fn names(&self) -> Result<Vec<String>, Failed> {
        let fail = |source| failed("read", &self.folder, source);
        let entries = fs::read_dir(&self.folder).map_err(fail)?;
        entries.map(|entry| Ok(entry.map_err(fail)?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn first_of(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(self.name)?.strip_suffix(".log")?;
        if number.is_empty() {
            return Some(0);
        }
        let first = number.strip_prefix('-')?.parse().ok()?;
        (self.path(first).file_name()?.to_str()? == name).then_some(first)
    }

    fn path(&self, first: u64) -> PathBuf {
        match first {
            0 => self.folder.join(format!("{}.log", self.name)),
            _ => self.folder.join(format!("{}-{first:0NUMBER_DIGITS$}.log", self.name)),
        }
    }
}

/// `each`, but for records before `from`.
fn late(from: u64, each: &mut impl FnMut(Record<'_>)) -> impl FnMut(Record<'_>) {
    move |record| {
        if record.number >= from {
            each(record)
        }
    }
}

fn batch_length(records: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Vec<u8>| {
        let room = bytes < REWRITTEN_FRAME_BYTES;
        bytes += record.len();
        room
    };
    records.iter().take_while(fits).count()
}

impl Recovery {
    fn add(&mut self, first: u64, newest: Recovery) {
        self.records = first + newest.records;
        self.bytes += newest.bytes;
        self.torn = newest.torn;
    }
}

impl Cursor {
    /// The number of the record that comes next.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// For a store: see [`Cursor::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Cursor { number, segment, offset, last, check } = self;
        let numbers = [number, segment, offset, last].map(|number| number.to_le_bytes());
        [numbers.as_flattened(), check].concat()
    }

    /// Reads [`Cursor::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Cursor> {
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().ok()?;
        let (numbers, check) = bytes.as_chunks::<8>().0.split_at(4);
        let [number, segment, offset, last] = *numbers.as_array::<4>()?;
        let check = check.as_flattened().try_into().ok()?;
        let [number, segment, offset, last] = [number, segment, offset, last].map(u64::from_le_bytes);
        Some(Cursor { number, segment, offset, last, check })
    }

    fn stands_in(&self, file: &File) -> io::Result<bool> {
        if self.offset == 0 {
            return Ok(true);
        }
        let (mut reader, mut payload) = (file, Vec::new());
        reader.seek(SeekFrom::Start(self.last))?;
        let frame = frame::read_frame(&mut reader, self.last, &mut payload)?;
        Ok(frame.is_some_and(|frame| frame.check == self.check))
    }
}

/// Why files were not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteFault {
    /// A file could not be read.
    #[error(transparent)]
    Unread(#[from] LogFault),
    /// A file could not be written or named.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The newest file could not be closed.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// The newest file, and the right to begin the next.
struct Files {
    log: Segments,
    file: File,
    first: u64,
    bytes: u64,
    _alone: Exclusive,
}

impl Tape for Files {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.log.bytes_max
    }

    fn turn(&mut self, number: u64) -> io::Result<()> {
        if number == self.first {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(0o600).open(self.log.path(number))?;
        // Its name is durable before anything in it is.
        durable::sync_dir(&self.log.folder).map_err(|fault| fault.source)?;
        (self.file, self.first, self.bytes) = (file, number, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
