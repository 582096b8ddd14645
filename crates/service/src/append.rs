//! Group commit: many threads append records to one file, one thread writes whatever has gathered and makes
//! it durable with one `fdatasync` for all of them. For logs whose records must be on the medium before
//! anyone hears of what they record.
//!
//! ```text
//!   append ─┐                 ┌─ frame ─ write ─ fdatasync ─┐
//!   append ─┼─ bounded queue ─┤       (one thread)          ├─ every ticket of the batch
//!   append ─┘                 └─────────────────────────────┘
//! ```
//!
//! The order on disk is the order of the calls: a caller that assigns positions does so and calls
//! [`Group::append`] under one lock of its own; `append` never touches the disk itself. After the first
//! failed write or fsync nothing is accepted any more and nothing is retried: what reached the medium is then
//! unknown, and only opening the file again can tell.

pub(crate) mod frame;
mod segments;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use frame::{Log, LogFault, Record, Recovery, TornTail, read};
pub use segments::{Cursor, Place, RewriteFault, SEGMENT_BYTES_MAX, Segments};
use writer::{Watch, Work, write_batches};

/// The longest record taken.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Bytes waiting for the writer before `append` makes its caller wait.
pub const QUEUE_BYTES_MAX: usize = 4 << 20;
/// Records waiting for the writer before `append` makes its caller wait.
pub const QUEUE_RECORDS_MAX: usize = 1 << 16;
/// How long a record that nobody waits for may wait for others, to be made durable with them.
pub const LINGER_MILLISECONDS: u64 = 50;
/// So many bytes wait for nothing.
const LINGER_BYTES_MAX: usize = 512 << 10;
/// Records that may wait are framed so many at a time, while they wait: framing a whole batch at once would
/// keep a thread from its core for milliseconds.
const PART_RECORDS: usize = 64;

/// Where batches go: the file, or what stands for it in a crash test.
pub trait Tape: Send + 'static {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Not all of them were taken.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything written is on the medium.
    ///
    /// # Errors
    /// It may not be.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether the next batch should begin a new file.
    fn is_full(&self) -> bool {
        false
    }

    /// Goes on in a new file whose first record is `number`. Called between batches, when all is durable; a
    /// tape that is one file stays as it is.
    ///
    /// # Errors
    /// The new file may not be there.
    fn turn(&mut self, _number: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Tape for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// How a batch of records is spelled on the tape; called by the writing thread alone, in order.
pub trait Framing: Send + 'static {
    /// Puts records, which are never none, at the end of `out`: a whole batch, or more of the one that was
    /// begun.
    fn frame(&mut self, records: &[Vec<u8>], out: &mut Vec<u8>);

    /// The batch is whole: it goes on the tape next.
    fn close(&mut self, _out: &mut Vec<u8>) {}

    /// Puts a whole batch at the end of `out`.
    fn frame_all(&mut self, batch: &[Vec<u8>], out: &mut Vec<u8>) {
        self.frame(batch, out);
        self.close(out);
    }

    /// The next batch begins a new file.
    fn turned(&mut self) {}
}

/// The log is broken for good: a write failed, or the writer is gone.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log takes nothing more until it is opened again: {reason}")]
pub struct Broken {
    reason: Arc<str>,
}

/// Why a record was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The record is longer than [`RECORD_BYTES_MAX`].
    #[error("a record of {bytes} bytes is longer than the {RECORD_BYTES_MAX} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// See [`Broken`].
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// How soon a record is to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// At once: somebody waits for it.
    Now,
    /// Nobody waits: it may wait [`LINGER_MILLISECONDS`] for others, and all are made durable together.
    Soon,
}

/// What came of trying.
#[derive(Debug)]
pub enum Tried<T> {
    /// It is in the queue.
    Taken(Ticket),
    /// The queue is full; here it is again.
    Full(T),
}

/// The appending end of a log. Shared by reference; dropped, it writes what is waiting and ends its thread.
#[derive(Debug)]
pub struct Group {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Group {
    /// Starts the writing thread. `records` is how many the tape already holds: tickets count on from there.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn over(tape: impl Tape, framing: impl Framing, records: u64) -> io::Result<Self> {
        let state = State { appended: records, durable: records, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), ..Shared::default() });
        let watched = Watch(Arc::clone(&shared));
        let writer = thread::Builder::new()
            .name("log writer".to_owned())
            .spawn(move || write_batches(&watched.0, tape, framing))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Puts a record behind all that were appended before. Waits only while the queue is full.
    ///
    /// # Errors
    /// The record is too long, or the log is broken.
    pub fn append(&self, record: Vec<u8>) -> Result<Ticket, Refused> {
        fits(&record)?;
        let mut state = self.shared.lock();
        while state.is_full(record.len()) && state.broken.is_none() {
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.push(state, record, Haste::Now)
    }

    /// As [`Group::append`], for callers that may never wait: where the queue is full the record comes back.
    ///
    /// # Errors
    /// As [`Group::append`].
    pub fn try_append(&self, record: Vec<u8>, haste: Haste) -> Result<Tried<Vec<u8>>, Refused> {
        fits(&record)?;
        let state = self.shared.lock();
        if state.is_full(record.len()) && state.broken.is_none() {
            return Ok(Tried::Full(record));
        }
        self.push(state, record, haste).map(Tried::Taken)
    }

    fn push(
        &self,
        mut state: MutexGuard<'_, State>,
        record: Vec<u8>,
        haste: Haste,
    ) -> Result<Ticket, Refused> {
        if let Some(broken) = &state.broken {
            return Err(broken.clone().into());
        }
        let number = state.appended;
        state.appended += 1;
        let (first, lingered) = (state.batch_records == 0, state.lingers());
        if first {
            state.since = Some(Instant::now());
        }
        state.batch_records += 1;
        state.batch_bytes += record.len();
        state.pending.push(record);
        state.urgent |= haste == Haste::Now;
        // The writer waits only while nothing is pending, or nothing that cannot wait, or less than a part:
        // whoever ends that has told it for all who follow.
        let ends_the_wait = first || lingered && (!state.lingers() || state.pending.len() == PART_RECORDS);
        drop(state);
        if ends_the_wait {
            self.shared.work.notify_one();
        }
        Ok(Ticket { shared: Arc::clone(&self.shared), number })
    }

    /// Closes the file that is written to, behind everything that was appended before; returns once records
    /// go to the next one.
    ///
    /// # Errors
    /// The log broke first.
    pub fn turn(&self) -> Result<(), Broken> {
        let mut state = self.shared.lock();
        state.turns_asked += 1;
        let mine = state.turns_asked;
        self.shared.work.notify_one();
        while state.turns_made < mine {
            if let Some(broken) = &state.broken {
                return Err(broken.clone());
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Records known to be on the medium.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.lock().durable
    }

    /// Whether the log still takes records; health checks ask.
    ///
    /// # Errors
    /// It is broken.
    pub fn healthy(&self) -> Result<(), Broken> {
        self.shared.lock().broken.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.shared.lock().closing = Closing::Asked;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has broken the log already, and every ticket knows.
            let _ = writer.join();
        }
    }
}

/// A claim on one record's durability: wait for it with [`Ticket::wait`], or await it.
#[derive(Debug)]
#[must_use = "a record is durable only once its ticket says so"]
pub struct Ticket {
    shared: Arc<Shared>,
    number: u64,
}

impl Ticket {
    /// The record's place in the log, counted from 0.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Blocks until the record is on the medium.
    ///
    /// # Errors
    /// The log broke first; the record may or may not be there when it is opened again.
    pub fn wait(self) -> Result<(), Broken> {
        let mut state = self.shared.lock();
        loop {
            if let Some(outcome) = state.outcome(self.number) {
                return outcome;
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Ticket {
    type Output = Result<(), Broken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        match state.outcome(self.number) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.wakers.insert(self.number, context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn fits(record: &[u8]) -> Result<(), Refused> {
    match record.len() {
        bytes if bytes > RECORD_BYTES_MAX => Err(Refused::TooLong { bytes }),
        _ => Ok(()),
    }
}

/// What the appending threads, the writer and the tickets share.
#[derive(Debug, Default)]
struct Shared {
    /// Owns the queue and the counters; held for pushes and swaps only, never across a system call on the
    /// file.
    state: Mutex<State>,
    /// Something is waiting for the writer.
    work: Condvar,
    /// The writer has taken a batch.
    room: Condvar,
    /// A batch is durable, or the log broke.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What the writer has not taken yet.
    pending: Vec<Vec<u8>>,
    /// Records and bytes of the next batch: those pending, and those that the writer has framed already.
    batch_records: usize,
    batch_bytes: usize,
    /// Somebody waits for one of them.
    urgent: bool,
    /// When the first of them came.
    since: Option<Instant>,
    appended: u64,
    durable: u64,
    turns_asked: u64,
    turns_made: u64,
    broken: Option<Broken>,
    closing: Closing,
    wakers: BTreeMap<u64, Waker>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Closing {
    #[default]
    No,
    Asked,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it; if something did, the counters are still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the writer does next, or `None` when the group is closed and all is written.
    fn next_work(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.batch_records == 0 {
                if state.turns_made < state.turns_asked {
                    return Some(Work::Turn { until: state.turns_asked, number: state.durable });
                }
                if state.closing == Closing::Asked {
                    return None;
                }
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if let Some(rest) = state.rest() {
                if state.pending.len() >= PART_RECORDS {
                    let records = std::mem::take(&mut state.pending);
                    return Some(Work::Part { records, number: state.durable });
                }
                let waited = self.work.wait_timeout(state, rest);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else {
                break;
            }
        }
        (state.batch_records, state.batch_bytes) = (0, 0);
        state.urgent = false;
        let records = std::mem::take(&mut state.pending);
        let number = state.durable;
        drop(state);
        self.room.notify_all();
        Some(Work::Rest { records, number })
    }

    fn turned(&self, until: u64) {
        self.lock().turns_made = until;
        self.done.notify_all();
    }

    fn settle(&self, outcome: Result<u64, Broken>) {
        let mut state = self.lock();
        let wakers = match outcome {
            Ok(records) => {
                state.durable += records;
                let durable = state.durable;
                let waiting = state.wakers.split_off(&durable);
                std::mem::replace(&mut state.wakers, waiting)
            }
            Err(broken) => {
                state.broken.get_or_insert(broken);
                state.pending.clear();
                std::mem::take(&mut state.wakers)
            }
        };
        drop(state);
        self.done.notify_all();
        self.room.notify_all();
        wakers.into_values().for_each(Waker::wake);
    }
}

impl State {
    /// Whether those pending may wait for others.
    fn lingers(&self) -> bool {
        let awaited = self.urgent || self.closing == Closing::Asked || self.turns_made < self.turns_asked;
        !awaited && self.batch_bytes < LINGER_BYTES_MAX
    }

    /// How much longer they may; nothing where they may not.
    fn rest(&self) -> Option<Duration> {
        if !self.lingers() {
            return None;
        }
        let waited = self.since.map_or(Duration::MAX, |since| since.elapsed());
        Duration::from_millis(LINGER_MILLISECONDS).checked_sub(waited).filter(|rest| !rest.is_zero())
    }

    fn is_full(&self, more_bytes: usize) -> bool {
        let crowded = self.batch_records >= QUEUE_RECORDS_MAX;
        crowded || self.batch_records > 0 && self.batch_bytes + more_bytes > QUEUE_BYTES_MAX
    }

    fn outcome(&self, number: u64) -> Option<Result<(), Broken>> {
        if number < self.durable { Some(Ok(())) } else { self.broken.clone().map(Err) }
    }
}

#[cfg(test)]
mod tests;
