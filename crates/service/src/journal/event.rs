//! An event on its way into the journal: its members are written as they are told, with nothing built in
//! between, since a gate writes a line for every request.

use std::cell::RefCell;

use serde::Serialize;

use super::RecordFault;
use super::line::{LINE_BYTES_MAX, RESERVED};
use crate::time;

/// Bytes behind a line's own members: numbers, time, hashes. What an event may add is the rest of the limit.
const MEMBERS_BYTES_MAX: usize = 512;

/// Room for the line of an ordinary decision.
const ROOM_BYTES: usize = 448;

/// An event and its members, each told once.
///
/// ```
/// use farside_service::journal::{Event, Journal};
///
/// # let dir = tempfile::tempdir()?;
/// let (journal, _recovery) = Journal::open(dir.path(), "gate")?;
/// let mut event = Event::new(1_795_464_000, "bundle_applied");
/// event.put("seq", &41);
/// journal.write(event)?.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Event {
    text: Vec<u8>,
    fault: Option<RecordFault>,
}

impl Event {
    /// An event of the moment `now`, Unix seconds.
    #[must_use]
    pub fn new(now: u64, name: &str) -> Event {
        let mut text = Vec::with_capacity(ROOM_BYTES);
        text.extend_from_slice(b"\"at\":\"");
        moment_into(now, &mut text);
        text.extend_from_slice(b"\",\"event\":");
        let mut event = Event { text, fault: None };
        event.json(name);
        event
    }

    /// Adds a member.
    pub fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        if RESERVED.contains(&name) {
            self.fault = Some(RecordFault::Reserved(name.to_owned()));
        }
        self.text.push(b',');
        self.json(name);
        self.text.push(b':');
        self.json(value);
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        if serde_json::to_writer(&mut self.text, value).is_err() {
            self.fault = Some(RecordFault::NotAnObject);
        }
    }

    /// One that found no room.
    pub(super) fn again(text: Vec<u8>) -> Event {
        Event { text, fault: None }
    }

    pub(super) fn into_text(self) -> Result<Vec<u8>, RecordFault> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.text.len() + MEMBERS_BYTES_MAX > LINE_BYTES_MAX => Err(RecordFault::TooLong),
            None => Ok(self.text),
        }
    }
}

/// Thousands of lines are of one second: each thread spells it once.
fn moment_into(now: u64, out: &mut Vec<u8>) {
    thread_local! {
        static SPELLED: RefCell<(u64, String)> = RefCell::new((0, time::rfc3339(0)));
    }
    SPELLED.with_borrow_mut(|(last, text)| {
        if *last != now {
            (*last, *text) = (now, time::rfc3339(now));
        }
        out.extend_from_slice(text.as_bytes());
    });
}
