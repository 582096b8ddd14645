//! What a power cut could have left: the folder that a recorded program worked on, rebuilt at every point of
//! the record in every way that a disk may lose what was not synced.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Change, Disk, Files, lay_out};
use crate::loss::{Latest, Loss, mixed};

/// Every change in order, and the folder before the first.
pub struct Recording {
    changes: Vec<Change>,
    before: Disk,
    told: Arc<Vec<u8>>,
}

/// One state in which the folder may be found after the power cut.
pub struct Image {
    /// How many recorded changes had happened.
    pub after: usize,
    /// What became of unsynced changes.
    pub loss: Loss,
    last: String,
    told: Arc<Vec<u8>>,
    told_bytes: usize,
    files: Files,
}

impl Image {
    /// Writes the state into an empty folder.
    pub fn lay_out(&self, folder: &Path) {
        lay_out(&self.files, folder);
    }

    /// What had been told to the world (standard output, sockets) before the cut.
    pub fn told(&self) -> &[u8] {
        &self.told[..self.told_bytes]
    }

    /// One line for a failing assertion.
    pub fn describe(&self) -> String {
        format!("power cut after change {} ({}), disk: {:?}", self.after, self.last, self.loss)
    }

    /// The same bytes after the same words are one state.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, content) in &self.files {
            (path, content.as_ref().map(|content| content.hash())).hash(&mut hasher);
        }
        self.told_bytes.hash(&mut hasher);
        hasher.finish()
    }
}

impl Recording {
    pub(crate) fn new(before: Disk, changes: Vec<Change>) -> Recording {
        let told = changes.iter().filter_map(|change| match change {
            Change::Told(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        let told = Arc::new(told.collect::<Vec<_>>().concat());
        Recording { changes, before, told }
    }

    /// What was recorded, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// All that was told to the world.
    pub fn told(&self) -> &[u8] {
        &self.told
    }

    /// Every state that a power cut could leave, each once, the cuts in order.
    pub fn images(&self) -> States<'_> {
        self.states(usize::MAX)
    }

    /// At most so many of them: those with all changes or with none after every cut first, then others from
    /// all over the record, always the same ones.
    pub fn states(&self, count_max: usize) -> States<'_> {
        let (mut disk, mut told_bytes) = (self.before.clone(), 0);
        let (mut cuts, mut plans) = (Vec::new(), Vec::new());
        for after in 0..=self.changes.len() {
            let change = after.checked_sub(1).map(|last| &self.changes[last]);
            if let Some(change) = change {
                disk.apply(change);
            }
            if let Some(Change::Told(bytes)) = change {
                told_bytes += bytes.len();
            }
            let losses = Loss::all(&disk.pending(), latest(change), after as u64);
            plans.extend(losses.into_iter().map(|loss| (after, loss)));
            cuts.push(Cut { disk: disk.clone(), told_bytes });
        }
        if plans.len() > count_max {
            let first = |loss: &Loss| matches!(loss, Loss::Nothing | Loss::Everything);
            plans.sort_by_cached_key(|(after, loss)| (!first(loss), mixed(scattered(*after, loss))));
        }
        States { recording: self, cuts, plans: plans.into_iter(), known: HashSet::new(), left: count_max }
    }

    /// Every state that a power cut could leave after the last change.
    pub fn images_at_the_end(&self) -> States<'_> {
        let mut states = self.images();
        let plans: Vec<_> = states.plans.filter(|(after, _)| *after == self.changes.len()).collect();
        states.plans = plans.into_iter();
        states
    }

    pub(crate) fn at_end(&self) -> Disk {
        let mut disk = self.before.clone();
        self.changes.iter().for_each(|change| disk.apply(change));
        disk
    }
}

/// The disk at one point of the record.
struct Cut {
    disk: Disk,
    told_bytes: usize,
}

/// States of a recording, one after the other.
pub struct States<'a> {
    recording: &'a Recording,
    cuts: Vec<Cut>,
    plans: std::vec::IntoIter<(usize, Loss)>,
    known: HashSet<u64>,
    left: usize,
}

impl Iterator for States<'_> {
    type Item = Image;

    fn next(&mut self) -> Option<Image> {
        while self.left > 0 {
            let (after, loss) = self.plans.next()?;
            let image = self.image(after, loss);
            if self.known.insert(image.fingerprint()) {
                self.left -= 1;
                return Some(image);
            }
        }
        None
    }
}

impl States<'_> {
    fn image(&self, after: usize, loss: Loss) -> Image {
        let cut = &self.cuts[after];
        let last = after.checked_sub(1).map(|last| &self.recording.changes[last]);
        let (last, told) = (last.map_or("nothing".to_owned(), describe), Arc::clone(&self.recording.told));
        Image { after, loss, last, told, told_bytes: cut.told_bytes, files: cut.disk.after(&loss) }
    }
}

fn latest(change: Option<&Change>) -> Latest {
    match change {
        None | Some(Change::Sync(_) | Change::SyncFolder(_) | Change::Told(_) | Change::Fault(..)) => {
            Latest::Other
        }
        Some(_) => Latest::Pending,
    }
}

/// Another number for each loss at each cut.
fn scattered(after: usize, loss: &Loss) -> u64 {
    let mut hasher = DefaultHasher::new();
    (after, loss).hash(&mut hasher);
    hasher.finish()
}

fn describe(change: &Change) -> String {
    match change {
        Change::Write(path, offset, data) => format!("write {path} {offset}+{}", data.len()),
        Change::Told(data) => format!("told {} bytes", data.len()),
        other => format!("{other:?}"),
    }
}
