//! The thread that writes: frames what has gathered, writes it in one go, makes it durable, tells everyone.

use std::io;
use std::sync::Arc;

use super::{Broken, Framing, Shared, Tape};

/// The writer's next step. The batch begins at record `number`.
pub(super) enum Work {
    /// These are framed, and wait for others.
    Part {
        records: Vec<Vec<u8>>,
        number: u64,
    },
    /// These, perhaps none, are the last of the batch: it is written.
    Rest {
        records: Vec<Vec<u8>>,
        number: u64,
    },
    Turn {
        until: u64,
        number: u64,
    },
}

/// Breaks the log when the writing thread ends, so that nobody waits for a writer that is gone.
pub(super) struct Watch(pub(super) Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.settle(Err(Broken { reason: "its writer has ended".into() }));
    }
}

pub(super) fn write_batches(shared: &Shared, tape: impl Tape, framing: impl Framing) {
    let mut writer = Writer { tape, framing, bytes: Vec::new(), records: 0 };
    while let Some(work) = shared.next_work() {
        let done = match work {
            Work::Turn { until, number } => writer.turn(number).map(|()| shared.turned(until)),
            Work::Part { records, number } => writer.add(&records, number),
            Work::Rest { records, number } => writer
                .add(&records, number)
                .and_then(|()| writer.write())
                .map(|durable| shared.settle(Ok(durable))),
        };
        if let Err(fault) = done {
            tracing::error!(error = %fault, "the log could not be written");
            shared.settle(Err(Broken { reason: fault.to_string().into() }));
            return;
        }
    }
}

/// The writing thread's own: the tape, and the batch that is being framed.
struct Writer<T, F> {
    tape: T,
    framing: F,
    bytes: Vec<u8>,
    records: u64,
}

impl<T: Tape, F: Framing> Writer<T, F> {
    fn add(&mut self, records: &[Vec<u8>], number: u64) -> io::Result<()> {
        if self.records == 0 && self.tape.is_full() {
            self.turn(number)?;
        }
        if !records.is_empty() {
            self.framing.frame(records, &mut self.bytes);
            self.records += records.len() as u64;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<u64> {
        self.framing.close(&mut self.bytes);
        self.tape.write(&self.bytes)?;
        self.tape.sync()?;
        self.bytes.clear();
        Ok(std::mem::take(&mut self.records))
    }

    fn turn(&mut self, number: u64) -> io::Result<()> {
        self.tape.turn(number)?;
        self.framing.turned();
        Ok(())
    }
}
