//! Reads journals from the first line to the last: is each as it was written? For every program's `audit
//! verify` alike.
//!
//! ```text
//!   file ─▶ pieces ─▶ each line: text, hash, number ─▶ pieces joined in order ─▶ heads noted elsewhere
//!                     (all processors at once)
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use super::end::{Head, Mark};
use super::files::{self, Files};
use super::line::LineFault;
use super::piece::{self, Piece};
use crate::digest::{SHA256_BYTES, hex};
use crate::durable::{self, Failed, failed};

/// Where a journal must begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// At line 1.
    Whole,
    /// Anywhere: the files before lie in an archive.
    Archived,
}

/// A head that somebody else keeps: a bundle, a receipt, the other side's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// What was noted.
    pub head: Head,
    /// Where, for people.
    pub by: String,
}

/// What a whole journal says about itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// The number of its last line.
    pub lines: u64,
    /// The hash of that, hexadecimal: note it elsewhere, and nothing can be cut off unseen.
    pub head: String,
    /// The number of the first line at hand: 1, unless earlier files lie in an archive.
    pub begins: u64,
    /// How many files it is in.
    pub files: usize,
    /// How many heads noted elsewhere it agrees with.
    pub noted: usize,
    /// When the first line at hand was written.
    pub first_at: Option<String>,
    /// When the last was written.
    pub last_at: Option<String>,
    /// Bytes behind the last line end: being written, or torn by a crash and not yet set aside.
    pub unfinished_bytes: u64,
}

/// The first place where a journal is not as it was written, or the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// A file cannot be read.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// A line is wrong.
    #[error("line {line}, in {}: {reason}", file_name(file))]
    Wrong {
        /// The file it stands in.
        file: PathBuf,
        /// The number it should bear.
        line: u64,
        /// What is wrong with it.
        reason: LineFault,
    },
    /// Its first lines are not there.
    #[error("it begins with line {line}: what stood before it is not here")]
    Headless {
        /// The first line at hand.
        line: u64,
    },
    /// It ends before a line that was noted elsewhere.
    #[error("it ends with line {lines}, but line {noted} is noted by {by}: its end was cut off")]
    Cut {
        /// Its last line.
        lines: u64,
        /// The line that is missing.
        noted: u64,
        /// Who knows of it.
        by: String,
    },
    /// It is another than the one that was noted elsewhere.
    #[error("line {line} is not the one noted by {by}: it was written anew somewhere behind line {agreed}")]
    Rewritten {
        /// The line that was noted.
        line: u64,
        /// The last line before it that agrees with a note, 0 for none.
        agreed: u64,
        /// Who noted it.
        by: String,
    },
}

impl JournalFault {
    /// The number of the first line that is missing or not as it was.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Failed(_) => None,
            Self::Wrong { line, .. } | Self::Rewritten { line, .. } => Some(*line),
            Self::Headless { .. } => Some(1),
            Self::Cut { lines, .. } => Some(lines + 1),
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A journal as it lies in a folder: the file that is written, and those that were closed before it.
#[derive(Debug, Clone)]
pub struct Stored(Files);

impl Stored {
    /// The journals at a path: all of a folder; of an open journal's file that one, with its closed files; of
    /// a closed file it alone.
    ///
    /// # Errors
    /// The path cannot be read.
    pub fn at(path: &Path) -> Result<Vec<Stored>, Failed> {
        std::fs::metadata(path).map_err(|source| failed("read", path, source))?;
        if path.is_dir() {
            return Ok(Files::in_folder(path)?.into_iter().map(Stored).collect());
        }
        let folder = durable::parent(path);
        let files = match files::parts(path) {
            Some((name, None)) => Files::of(folder, &name)?,
            Some((name, Some(first))) => {
                let closed = vec![(first, path.to_owned())];
                Files { folder: folder.to_owned(), name, closed, open: None }
            }
            None => {
                let name = file_name(path);
                Files { folder: folder.to_owned(), name, closed: vec![], open: Some(path.to_owned()) }
            }
        };
        Ok(vec![Stored(files)])
    }

    /// Its name: that of the open file, without the ending.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The file that is written, or would be.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.open.clone().unwrap_or_else(|| files::open_path(&self.0.folder, &self.0.name))
    }

    /// Its files, in the order of their lines.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.paths()
    }

    /// Reads all of it and checks the whole chain, then the heads that `noted` says it had.
    ///
    /// # Errors
    /// The first place where it is not as it was written, or a file cannot be read.
    // journal.md §5
    pub fn verify(&self, beginning: Beginning, noted: &[Noted]) -> Result<Summary, JournalFault> {
        let mut wanted: Vec<u64> = noted.iter().map(|noted| noted.head.lines).collect();
        wanted.sort_unstable();
        let mut chain = Chain::default();
        for path in self.0.paths() {
            let file = File::open(path).map_err(|source| failed("read", path, source))?;
            let is_open = self.0.open.as_deref() == Some(path);
            let pieces = piece::read(&file, &wanted).map_err(|source| failed("read", path, source))?;
            chain.join(path, pieces, is_open)?;
        }
        if beginning == Beginning::Whole && chain.begins > 1 {
            return Err(JournalFault::Headless { line: chain.begins });
        }
        let agreed = chain.agree(noted)?;
        Ok(Summary {
            lines: chain.mark.last,
            head: hex(&chain.mark.head),
            begins: chain.begins,
            files: self.0.paths().count(),
            noted: agreed,
            first_at: chain.first_at,
            last_at: chain.last_at,
            unfinished_bytes: chain.unfinished_bytes,
        })
    }
}

/// Reads the journal at `path`, with its closed files, and checks the whole chain.
///
/// # Errors
/// The first place where it is not as it was written, or it cannot be read.
pub fn verify(path: &Path) -> Result<Summary, JournalFault> {
    let stored = Stored::at(path)?;
    let none = || failed("read", path, std::io::Error::new(std::io::ErrorKind::NotFound, "no journal"));
    stored.first().ok_or_else(none)?.verify(Beginning::Whole, &[])
}

/// The chain as far as it has been followed.
#[derive(Default)]
struct Chain {
    mark: Mark,
    begins: u64,
    first_at: Option<String>,
    last_at: Option<String>,
    unfinished_bytes: u64,
    /// Lines that notes name, and their hashes.
    found: Vec<(u64, [u8; SHA256_BYTES])>,
}

impl Chain {
    fn join(&mut self, path: &Path, pieces: Vec<Piece>, is_open: bool) -> Result<(), JournalFault> {
        let wrong = |line, reason| JournalFault::Wrong { file: path.to_owned(), line, reason };
        for piece in pieces {
            if let Some(first) = piece.first {
                // Whether it may begin here at all is judged by the caller.
                if self.begins == 0 && first.n > 1 {
                    self.mark = Mark { last: first.n - 1, head: first.prev };
                }
                self.begins = if self.begins == 0 { first.n } else { self.begins };
                let followed = self.mark.precedes(first.n, &first.prev);
                followed.map_err(|reason| wrong(self.mark.last + 1, reason))?;
                self.mark = piece.last;
            }
            if let Some(reason) = piece.fault {
                return Err(wrong(self.mark.last + 1, reason));
            }
            self.found.extend(piece.found);
            self.first_at = self.first_at.take().or(piece.first_at);
            self.last_at = piece.last_at.or(self.last_at.take());
            if piece.unfinished_bytes > 0 && !is_open {
                return Err(wrong(self.mark.last + 1, LineFault::Unfinished));
            }
            self.unfinished_bytes = piece.unfinished_bytes;
        }
        Ok(())
    }

    /// How many notes agree; those of lines that lie in an archive cannot.
    fn agree(&self, noted: &[Noted]) -> Result<usize, JournalFault> {
        let mut notes: Vec<&Noted> = noted.iter().filter(|noted| noted.head.lines >= self.begins).collect();
        notes.sort_by_key(|noted| noted.head.lines);
        let mut agreed = 0;
        for Noted { head, by } in &notes {
            if head.lines > self.mark.last {
                let (lines, by) = (self.mark.last, by.clone());
                return Err(JournalFault::Cut { lines, noted: head.lines, by });
            }
            if !self.found.contains(&(head.lines, head.hash)) {
                return Err(JournalFault::Rewritten { line: head.lines, agreed, by: by.clone() });
            }
            agreed = head.lines;
        }
        Ok(notes.len())
    }
}
