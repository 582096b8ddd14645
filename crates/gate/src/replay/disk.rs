//! The gate's own replay store: sets in memory, and behind them a log that is durable before anybody enters.
//!
//! ```text
//!   take ─▶ seen? ─▶ marked in memory ─▶ appended, one fsync for all who wait ─▶ taken
//!   start ◀── every record of the log, into the same sets                         files whose entries have
//!                                                                                 all expired are removed
//! ```
//!
//! What could not be made durable stays marked: it was not admitted, and will not be.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farside_service::append::{Broken, Group, LogFault, Refused, Segments, Ticket};
use farside_service::durable::{self, Failed, Mode};

use super::record::{self, Read, Standing};
use super::seen::{Seen, Untaken};
use crate::judge::Once;
use crate::patience::{NotDurable, Patience};

/// How the files' names begin.
const NAME: &str = "seen";

/// Bytes after which a file is closed: what has expired is let go in pieces of this size.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Records of which the latest end is known together.
const PAGE_RECORDS: u64 = 1_024;

/// The store of one gate.
#[derive(Debug)]
pub(crate) struct Disk {
    log: Segments,
    group: Group,
    patience: Patience,
    /// Owns what has been seen and in which order it was written; held for marking and queueing, never across
    /// a wait.
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    seen: Seen,
    /// The records that are still there, oldest first.
    pages: VecDeque<Page>,
    /// As it was written down last.
    standing: Standing,
    /// Whether it ever was.
    stands: bool,
    /// Whether there is a record that is not understood.
    strange: bool,
}

/// Some records that follow each other.
#[derive(Debug)]
struct Page {
    first: u64,
    /// The latest end of any entry in them.
    until: u64,
}

/// Where this gate remembered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// Nowhere: it has never remembered anything.
    None,
    /// Here.
    Here,
    /// In another store, so that what is here is not all.
    Elsewhere,
}

/// What a store knows of its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Everything.
    Whole,
    /// It has none.
    New,
    /// Not everything: whatever can have been shown until then is refused.
    Lost {
        /// When that was noticed.
        at: u64,
    },
}

/// Why a store is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenFault {
    /// Its log is not.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// It cannot be tidied.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// Its beginning is not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Its beginning may not be on the disk.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Why entries were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskUntaken {
    /// They, or the store, do not allow it.
    #[error("{0}")]
    Untaken(Untaken),
    /// They may not be on the disk.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    /// The log takes nothing.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Why the store could not be tidied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TidyFault {
    /// The log takes nothing.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The standing may not be on the disk.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    /// A file could not be removed.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Disk {
    /// Opens the store in `folder`, alone, and remembers what it holds. Where it does not
    /// know all of the gate's `past`, nothing is taken that can have been shown until now.
    // replay.md §5
    pub(crate) fn open(
        folder: &Path,
        entries_max: u64,
        past: Past,
        now: u64,
    ) -> Result<(Disk, Found), OpenFault> {
        durable::create_dir_all(folder, Mode::Private)?;
        Disk::open_log(log_in(folder), entries_max, past, now)
    }

    fn open_log(log: Segments, entries_max: u64, past: Past, now: u64) -> Result<(Disk, Found), OpenFault> {
        let mut book = Book::new(entries_max);
        let (group, _) = log.open(0, |found| book.read(found.number, found.bytes))?;
        log.remove_torn()?;
        let found = match past {
            Past::Here | Past::None if book.is_whole() => Found::Whole,
            Past::None if book.pages.is_empty() => Found::New,
            _ => Found::Lost { at: now },
        };
        book.seen.forget(now);
        let disk = Disk { log, group, patience: Patience::default(), book: Mutex::new(book) };
        disk.begin(found)?;
        Ok((disk, found))
    }

    /// Takes all of these, or none; they are durable when this returns.
    pub(crate) async fn take(&self, once: &[Once], now: u64) -> Result<(), DiskUntaken> {
        self.patience.ready()?;
        let ticket = self.mark(once, now)?;
        Ok(self.patience.wait(ticket).await?)
    }

    /// Whether all of these could be taken.
    pub(crate) fn look(&self, once: &[Once]) -> Result<(), Untaken> {
        self.hold().seen.look(once)
    }

    /// Lets go what has expired, in memory and on the disk.
    pub(crate) async fn tidy(&self, now: u64) -> Result<(), TidyFault> {
        self.patience.ready()?;
        let Some((ticket, first)) = self.stand(now)? else { return Ok(()) };
        // Only behind a durable standing may files go: it says that they did, and what they held.
        self.patience.wait(ticket).await?;
        let log = self.log.clone();
        let gone = tokio::task::spawn_blocking(move || log.let_go(first)).await;
        Ok(gone.unwrap_or(Ok(()))?)
    }

    /// How many entries are remembered.
    pub(crate) fn entries(&self) -> u64 {
        self.hold().seen.entries()
    }

    fn mark(&self, once: &[Once], now: u64) -> Result<Ticket, DiskUntaken> {
        let mut book = self.hold();
        book.seen.take(once, now).map_err(DiskUntaken::Untaken)?;
        let ticket = self.group.append(record::taken(once))?;
        let until = once.iter().map(Once::until).max().unwrap_or_default();
        book.note(ticket.number(), until);
        Ok(ticket)
    }

    /// Writes down what is forgotten, if that has changed, and from which record on the log is needed.
    fn stand(&self, now: u64) -> Result<Option<(Ticket, u64)>, Refused> {
        let mut book = self.hold();
        book.seen.forget(now);
        let (forgotten, since) = (book.seen.forgotten(), book.seen.since());
        if forgotten == book.standing.forgotten {
            return Ok(None);
        }
        let first = book.first_needed(forgotten);
        let standing = Standing { forgotten, since, first };
        let ticket = self.group.append(standing.record())?;
        book.note(ticket.number(), 0);
        book.standing = standing;
        Ok(Some((ticket, first)))
    }

    /// A store that does not know all of its past writes down from when on it does.
    fn begin(&self, found: Found) -> Result<(), OpenFault> {
        let since = match found {
            Found::Whole => return Ok(()),
            Found::New => 0,
            Found::Lost { at } => at,
        };
        let ticket = {
            let mut book = self.hold();
            book.seen.stand(0, since);
            let first = book.pages.front().map_or(self.group.durable(), |page| page.first);
            let (forgotten, since) = (book.seen.forgotten(), book.seen.since());
            book.standing = Standing { forgotten, since, first };
            let ticket = self.group.append(book.standing.record())?;
            book.note(ticket.number(), 0);
            ticket
        };
        Ok(ticket.wait()?)
    }

    // Each step under the lock is whole or has not begun.
    fn hold(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn new(entries_max: u64) -> Book {
        let (seen, pages, standing) = (Seen::new(entries_max), VecDeque::new(), Standing::default());
        Book { seen, pages, standing, stands: false, strange: false }
    }

    /// Takes in a record of an earlier life.
    fn read(&mut self, number: u64, bytes: &[u8]) {
        let mut latest = 0;
        match record::read(bytes) {
            Some(Read::Taken(entries)) => {
                for (key, until) in entries {
                    self.seen.restore(key, until);
                    latest = latest.max(until);
                }
            }
            Some(Read::Standing(standing)) => {
                self.seen.stand(standing.forgotten, standing.since);
                (self.standing, self.stands) = (standing, true);
            }
            // Written by a newer gate, which knows what it means.
            None => self.strange = true,
        }
        self.note(number, latest);
    }

    /// The record of this number holds an entry that ends then.
    fn note(&mut self, number: u64, until: u64) {
        match self.pages.back_mut().filter(|page| number < page.first + PAGE_RECORDS) {
            Some(page) => page.until = page.until.max(until),
            None => self.pages.push_back(Page { first: number, until }),
        }
    }

    /// The first record that is needed, once everything that ends by `forgotten` is not.
    fn first_needed(&mut self, forgotten: u64) -> u64 {
        while self.pages.len() > 1 && self.pages.front().is_some_and(|page| page.until <= forgotten) {
            self.pages.pop_front();
        }
        self.pages.front().map_or(0, |page| page.first)
    }

    /// Whether nothing is missing of what the newest standing says is there.
    fn is_whole(&self) -> bool {
        let first = self.pages.front().map(|page| page.first);
        self.stands && !self.strange && first.is_some_and(|first| first <= self.standing.first)
    }
}

/// What lies in a folder, without opening it: how many entries have not expired, and until when what was used
/// is not known. Nothing where there is no store.
pub(crate) fn survey(folder: &Path, now: u64) -> Result<Option<Survey>, LogFault> {
    let log = log_in(folder);
    let bytes = match folder.is_dir() {
        true => log.bytes()?,
        false => 0,
    };
    if bytes == 0 {
        return Ok(None);
    }
    let mut book = Book::new(u64::MAX);
    log.read(0, |found| book.read(found.number, found.bytes))?;
    book.seen.forget(now);
    Ok(Some(Survey { entries: book.seen.entries(), since: book.seen.since(), bytes }))
}

/// See [`survey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) entries: u64,
    pub(crate) since: u64,
    pub(crate) bytes: u64,
}

/// The log in a folder.
fn log_in(folder: &Path) -> Segments {
    Segments::new(folder, NAME).closed_after(FILE_BYTES_MAX).that_forgets()
}

#[cfg(test)]
mod tests;
