//! What a lane is: an end that takes files and an end that gives them. Every lane promises the same: a file
//! that comes out is bit for bit the one that went in, or it does not come out.

pub mod media;

use std::fs::File;
use std::time::SystemTime;

use crate::{Cargo, Left, Name};

/// The near end. Nothing comes back through it but whether it took the file.
pub trait Out {
    /// The lane's name, for the journal.
    fn name(&self) -> &'static str;

    /// Takes one file. `tick` hears of every few bytes.
    ///
    /// # Errors
    /// The file stays behind, with the reason.
    fn put(&mut self, cargo: &Cargo, tick: &mut dyn FnMut(u64)) -> Result<Put, Left>;

    /// Forgets the oldest of what it holds, so that of all that it holds and all that is `coming` the newest
    /// `keep` remain. Answers what it forgot.
    ///
    /// # Errors
    /// It cannot forget: then nothing is lost either.
    fn forget(&mut self, keep: usize, coming: &[Coming]) -> Result<Vec<Name>, Left>;
}

/// What became of a file at the near end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It has been taken, and is durable where the lane can tell.
    Carried,
    /// It was there already, whole.
    AlreadyThere,
}

/// A file yet to come: it counts among the newest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coming {
    /// When it was written at home.
    pub modified: SystemTime,
    /// Its name at home.
    pub name: Name,
}

/// The far end. Nothing goes back through it.
pub trait In {
    /// The lane's name, for the journal.
    fn name(&self) -> &'static str;

    /// The next file, oldest first; `None` when there is none for now.
    fn next_arrival(&mut self) -> Option<Arrival>;
}

/// A file at the far end. Its name is a hint; only its content decides.
#[derive(Debug)]
pub struct Arrival {
    /// What it is called on the lane.
    pub shown: String,
    /// Opened, or why it cannot be.
    pub content: Result<Content, Left>,
}

/// An arrival that can be read.
#[derive(Debug)]
pub struct Content {
    /// What it was called at home, as its name on the lane says.
    pub name: Name,
    /// The first digits of its digest, as its name on the lane says.
    pub promised: String,
    /// Its length as the lane shows it.
    pub bytes: u64,
    /// Its bytes, to be read once.
    pub file: File,
}
