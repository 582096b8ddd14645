//! Waiting for a disk, but not for ever: one that does not answer closes the doors, it does not hang them.
//!
//! ```text
//!   record ─▶ ticket ─▶ wait ─┬─ durable in time ─▶ go on
//!                             └─ not ─▶ refuse, and refuse at once whoever comes, until it is durable
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farside_service::append::{Broken, Ticket};

/// A disk that takes longer than this to make one record durable counts as gone.
pub(crate) const DISK_WAIT_SECONDS_MAX: u64 = 2;

const DISK_WAIT: Duration = Duration::from_secs(DISK_WAIT_SECONDS_MAX);

/// Why a record does not count as durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDurable {
    /// An earlier one is waited for still.
    #[error("an earlier record still waits for the disk")]
    Hangs,
    /// The disk did not answer.
    #[error("no answer from the disk within {DISK_WAIT_SECONDS_MAX} s")]
    Late,
    /// It cannot be written any more.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// How one log's disk is waited for.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// A record waits for a disk that does not answer.
    hangs: Arc<AtomicBool>,
    /// One of the records that nobody waits for is watched.
    watched: Arc<AtomicBool>,
}

impl Patience {
    /// Whether anything may be queued for the disk. While it hangs nothing is: a full queue would hold up
    /// every thread, and then the whole gate would hang instead of refusing.
    pub(crate) fn ready(&self) -> Result<(), NotDurable> {
        if self.hangs.load(Ordering::Relaxed) { Err(NotDurable::Hangs) } else { Ok(()) }
    }

    /// Waits until a record is durable, for as long as anyone should. A record that is late opens the way
    /// again when it is through.
    pub(crate) async fn wait(&self, mut ticket: Ticket) -> Result<(), NotDurable> {
        match tokio::time::timeout(DISK_WAIT, &mut ticket).await {
            Ok(durable) => Ok(durable?),
            Err(_) => {
                self.hangs.store(true, Ordering::Relaxed);
                tokio::spawn(open_when_durable(Arc::clone(&self.hangs), ticket));
                Err(NotDurable::Late)
            }
        }
    }

    /// Of the records that nobody waits for one is always watched, so that a disk which hangs closes the way
    /// all the same. One that breaks says so itself, at the next record.
    pub(crate) fn watch(&self, mut ticket: Ticket) {
        if self.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        let (watched, hangs) = (Arc::clone(&self.watched), Arc::clone(&self.hangs));
        tokio::spawn(async move {
            if tokio::time::timeout(DISK_WAIT, &mut ticket).await.is_err() {
                hangs.store(true, Ordering::Relaxed);
                open_when_durable(hangs, ticket).await;
            }
            watched.store(false, Ordering::Relaxed);
        });
    }
}

async fn open_when_durable(hangs: Arc<AtomicBool>, ticket: Ticket) {
    // A broken log says so itself, at the next record.
    let _ = ticket.await;
    hangs.store(false, Ordering::Relaxed);
}
