//! What lies on a medium: every folder of ours, every file read and compared with its name, and the room
//! left.

use std::path::Path;

use farside_service::durable::failed;
use serde::Serialize;

use crate::cargo::open_regular;
use crate::copy::{digest_of, short};
use crate::lane::media::{Contents, MediaIn, TOP, folders};
use crate::left::Left;

/// What became of a file on a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Its content is what its name promises.
    Whole,
    /// Half-written, damaged, or no readable file.
    Damaged,
}

/// One file on a medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name at home.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it would be taken.
    pub health: Health,
}

/// One folder of ours on a medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Folder {
    /// Its name: that of the folder at home.
    pub name: String,
    /// Oldest first.
    pub files: Vec<Found>,
    /// Names that are not ours.
    pub foreign: Vec<String>,
    /// Left by an interrupted send; the next send clears them.
    pub unfinished: Vec<String>,
}

/// What a medium holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Medium {
    /// Its folders of ours, by name.
    pub folders: Vec<Folder>,
    /// Bytes free.
    pub free_bytes: u64,
}

/// Looks at everything on a medium, reading each file once.
///
/// # Errors
/// There is no folder of ours, or it cannot be read.
pub fn status(stick: &Path) -> Result<Medium, Left> {
    let room = rustix::fs::statvfs(stick).map_err(|errno| failed("look at", stick, errno.into()))?;
    let mut found = Vec::new();
    for name in folders(stick)? {
        // The same check as a receive makes: no link in the folder's place.
        MediaIn::open(stick, &name)?;
        let path = stick.join(TOP).join(name.as_str());
        let contents = Contents::of(&path)?;
        let files = contents.ours.iter().map(|file| {
            let read = open_regular(&path.join(file.marked.as_str()))
                .and_then(|open| Ok(digest_of(&open).map_err(|source| failed("read", &path, source))?));
            let whole = read.is_ok_and(|(digest, _)| short(&digest) == file.promised);
            let health = if whole { Health::Whole } else { Health::Damaged };
            Found { name: file.name.to_string(), bytes: file.bytes, health }
        });
        let files = files.collect();
        let Contents { foreign, unfinished, .. } = contents;
        found.push(Folder { name: name.to_string(), files, foreign, unfinished });
    }
    Ok(Medium { folders: found, free_bytes: room.f_bavail.saturating_mul(room.f_frsize) })
}
