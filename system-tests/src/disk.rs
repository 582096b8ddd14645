//! A disk that forgets. It replays recorded changes twice at once: as the running programs saw them, and as
//! they are sure to be after a power cut (a file's bytes from its last fsync, a name from its folder's last
//! fsync). What lies between the two is pending, and a [`Loss`] says what became of it.
//!
//! ```text
//!   changes ──▶ seen   everything, synced or not
//!          └──▶ kept   what was synced  +  any part of what is pending, whole, torn or with a bit turned
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};
use std::sync::{Arc, OnceLock};

use crate::loss::{Fate, Loss};

/// One recorded change below the root; paths are relative to it.
#[derive(Debug, Clone)]
pub enum Change {
    /// A file came to be.
    Create(String),
    /// Bytes were written at an offset.
    Write(String, u64, Vec<u8>),
    /// A file was cut or stretched to a size.
    Resize(String, u64),
    /// A file's bytes were synced.
    Sync(String),
    /// A folder's names were synced.
    SyncFolder(String),
    /// A folder was made.
    MakeFolder(String),
    /// A name moved, replacing what stood there. An empty name lies outside the root.
    Rename(String, String),
    /// A second name for the same file.
    Link(String, String),
    /// A name went away.
    Unlink(String),
    /// The world was told something: standard output or a socket.
    Told(Vec<u8>),
    /// A call on a path was made to fail, or to do half of its work.
    Fault(String, String),
}

/// A file's bytes, and their hash once somebody has asked for it.
#[derive(Clone, Default)]
pub struct Content {
    bytes: Vec<u8>,
    hash: OnceLock<u64>,
}

impl Content {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Equal for equal bytes.
    pub fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.bytes.hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content { bytes, hash: OnceLock::new() }
    }
}

/// A tree of files by path; folders have no content.
pub type Files = BTreeMap<String, Option<Arc<Content>>>;

type Names = BTreeMap<OsString, usize>;

/// A folder or a file. Shared until changed, so that copies of whole disks cost little.
#[derive(Clone)]
enum Node {
    Folder(Arc<Names>),
    File(Arc<Content>),
}

/// One history: nodes by number, the root first. Both histories number them alike.
#[derive(Clone)]
struct Tree(Vec<Node>);

/// A change to one node: the unit that a disk keeps or loses.
#[derive(Debug)]
struct Effect {
    node: usize,
    edit: Edit,
}

#[derive(Debug)]
enum Edit {
    Write(u64, Vec<u8>),
    Resize(u64),
    /// Names that now lead elsewhere, or nowhere; in one step.
    Names(Vec<(OsString, Option<usize>)>),
}

#[derive(Clone)]
struct Pending {
    effect: Arc<Effect>,
    /// An fsync that should have kept it failed: no later one makes up for that.
    given_up: bool,
}

/// The tree below the root, in both histories.
#[derive(Clone)]
pub struct Disk {
    seen: Tree,
    kept: Tree,
    pending: Vec<Pending>,
}

const ROOT: usize = 0;

impl Disk {
    /// Nothing but the root.
    pub fn empty() -> Disk {
        let tree = Tree(vec![Node::Folder(Arc::default())]);
        Disk { seen: tree.clone(), kept: tree, pending: Vec::new() }
    }

    /// Reads a folder as it stands; all of it counts as kept.
    pub fn read(folder: &Path) -> Disk {
        let mut disk = Disk::empty();
        disk.read_into(folder, ROOT);
        disk.kept = disk.seen.clone();
        disk
    }

    fn read_into(&mut self, folder: &Path, at: usize) {
        for entry in fs::read_dir(folder).expect("folder can be listed") {
            let entry = entry.expect("entry can be read");
            let kind = entry.file_type().expect("entry has a type");
            let node = if kind.is_dir() {
                let child = self.add(Node::Folder(Arc::default()));
                self.read_into(&entry.path(), child);
                child
            } else if kind.is_file() && !volatile(&entry.file_name()) {
                let bytes = fs::read(entry.path()).expect("file can be read");
                self.add(Node::File(Arc::new(bytes.into())))
            } else {
                continue;
            };
            self.seen.edit(at, &Edit::Names(vec![(entry.file_name(), Some(node))]), Fate::Kept);
        }
    }

    /// Takes one change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Create(path) => self.make(path, Node::File(Arc::default())),
            Change::MakeFolder(path) => self.make(path, Node::Folder(Arc::default())),
            Change::Write(path, offset, data) => self.change(path, Edit::Write(*offset, data.clone())),
            Change::Resize(path, size) => self.change(path, Edit::Resize(*size)),
            Change::Sync(path) | Change::SyncFolder(path) => self.sync(path),
            Change::Rename(old, new) => self.rename(old, new),
            Change::Link(old, new) => {
                if let Some(node) = self.seen.find(old) {
                    self.name(new, Some(node));
                }
            }
            Change::Unlink(path) => self.name(path, None),
            Change::Told(_) => {}
            Change::Fault(path, call) => {
                let node = if call.starts_with('f') { self.seen.find(path) } else { None };
                let lost = self.pending.iter_mut().filter(|pending| Some(pending.effect.node) == node);
                lost.for_each(|pending| pending.given_up = true);
            }
        }
    }

    /// What the programs saw.
    pub fn seen(&self) -> Files {
        self.seen.files()
    }

    /// What stands there after the power cut.
    pub fn after(&self, loss: &Loss) -> Files {
        let mut tree = self.kept.clone();
        for (index, pending) in self.pending.iter().enumerate() {
            let fate = loss.fate(index, self.pending.len());
            tree.edit(pending.effect.node, &pending.effect.edit, fate);
        }
        tree.files()
    }

    /// For each pending change, oldest first, the bytes that it covers if it is a write: offset and length.
    pub fn pending(&self) -> Vec<Option<(u64, u64)>> {
        let covers = |pending: &Pending| match &pending.effect.edit {
            Edit::Write(offset, data) => Some((*offset, data.len() as u64)),
            _ => None,
        };
        self.pending.iter().map(covers).collect()
    }

    fn add(&mut self, node: Node) -> usize {
        self.seen.0.push(node.clone());
        self.kept.0.push(node);
        self.seen.0.len() - 1
    }

    fn make(&mut self, path: &str, node: Node) {
        let node = self.add(node);
        self.name(path, Some(node));
    }

    fn change(&mut self, path: &str, edit: Edit) {
        if let Some(node @ 1..) = self.seen.find(path) {
            self.pend(node, edit);
        }
    }

    fn name(&mut self, path: &str, node: Option<usize>) {
        let (folder, name) = split(path);
        if !volatile(name) {
            let folder = self.folder(folder, path);
            self.pend(folder, Edit::Names(vec![(name.to_owned(), node)]));
        }
    }

    /// Within a folder a name moves in one step; between two, each keeps its own half.
    fn rename(&mut self, old: &str, new: &str) {
        let node = self.seen.find(old);
        let ((from, source), (to, target)) = (split(old), split(new));
        if old.is_empty() || new.is_empty() || from != to {
            if !old.is_empty() {
                self.name(old, None);
            }
            if let (Some(node), false) = (node, new.is_empty()) {
                self.name(new, Some(node));
            }
        } else {
            let folder = self.folder(from, old);
            self.pend(folder, Edit::Names(vec![(source.to_owned(), None), (target.to_owned(), node)]));
        }
    }

    fn folder(&self, folder: &str, path: &str) -> usize {
        self.seen.find(folder).unwrap_or_else(|| panic!("`{path}` was named in an unknown folder"))
    }

    fn pend(&mut self, node: usize, edit: Edit) {
        self.seen.edit(node, &edit, Fate::Kept);
        self.pending.push(Pending { effect: Arc::new(Effect { node, edit }), given_up: false });
    }

    fn sync(&mut self, path: &str) {
        let Some(node) = self.seen.find(path) else { return };
        let kept = &mut self.kept;
        self.pending.retain(|pending| {
            let ours = pending.effect.node == node;
            if ours && !pending.given_up {
                kept.edit(node, &pending.effect.edit, Fate::Kept);
            }
            !ours
        });
    }
}

impl Tree {
    fn find(&self, path: &str) -> Option<usize> {
        Path::new(path).components().try_fold(ROOT, |at, part| match (&self.0[at], part) {
            (Node::Folder(names), Component::Normal(name)) => names.get(name).copied(),
            _ => None,
        })
    }

    fn edit(&mut self, node: usize, edit: &Edit, fate: Fate) {
        match (&mut self.0[node], edit) {
            (_, _) if fate == Fate::Lost => {}
            (Node::File(content), Edit::Write(offset, data)) => {
                let (offset, data) = fate.of_write(*offset, data);
                write(&mut editable(content).bytes, offset, &data);
            }
            (Node::File(content), Edit::Resize(size)) => editable(content).bytes.resize(*size as usize, 0),
            (Node::Folder(names), Edit::Names(edits)) => {
                let names = Arc::make_mut(names);
                for (name, node) in edits {
                    match node {
                        Some(node) => names.insert(name.clone(), *node),
                        None => names.remove(name),
                    };
                }
            }
            _ => panic!("a file stands where a folder was expected"),
        }
    }

    fn files(&self) -> Files {
        let mut found = BTreeMap::new();
        self.collect(ROOT, "", &mut found, &mut BTreeSet::new());
        found
    }

    // A folder that was moved may be found under both names after a cut; under the first it is shown.
    fn collect(&self, at: usize, prefix: &str, found: &mut Files, entered: &mut BTreeSet<usize>) {
        let Node::Folder(names) = &self.0[at] else { return };
        for (name, node) in names.iter() {
            let path = format!("{prefix}{}", name.to_string_lossy());
            match &self.0[*node] {
                Node::File(content) => drop(found.insert(path, Some(Arc::clone(content)))),
                Node::Folder(_) if entered.insert(*node) => {
                    found.insert(path.clone(), None);
                    self.collect(*node, &format!("{path}/"), found, entered);
                }
                Node::Folder(_) => {}
            }
        }
    }
}

/// Writes a tree of files into an empty folder, readable by its owner alone, as the programs demand of
/// secrets.
pub fn lay_out(files: &Files, folder: &Path) {
    for (path, content) in files {
        let (path, mode) = (folder.join(path), if content.is_some() { 0o600 } else { 0o700 });
        match content {
            Some(content) => fs::write(&path, content.bytes()).expect("file can be written"),
            None => fs::create_dir_all(&path).expect("folder can be made"),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode can be set");
    }
}

/// The content for changing: its own copy, its hash forgotten.
fn editable(content: &mut Arc<Content>) -> &mut Content {
    let content = Arc::make_mut(content);
    content.hash = OnceLock::new();
    content
}

/// SQLite's shared memory is rebuilt at open and never synced; it is no part of a disk after a power cut.
fn volatile(name: &OsStr) -> bool {
    name.to_string_lossy().ends_with("-shm")
}

fn split(path: &str) -> (&str, &OsStr) {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    (folder, OsStr::new(name))
}

fn write(file: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let offset = offset as usize;
    if file.len() < offset + data.len() {
        file.resize(offset + data.len(), 0);
    }
    file[offset..offset + data.len()].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(changes: &[Change], loss: &Loss) -> Vec<(String, Vec<u8>)> {
        let mut disk = Disk::empty();
        changes.iter().for_each(|change| disk.apply(change));
        let bytes = |content: Option<Arc<Content>>| content.map(|content| content.bytes().to_vec());
        disk.after(loss).into_iter().map(|(path, found)| (path, bytes(found).unwrap_or_default())).collect()
    }

    fn kept(changes: &[Change]) -> Vec<(String, Vec<u8>)> {
        after(changes, &Loss::Everything)
    }

    #[test]
    fn a_file_is_kept_only_with_its_bytes_and_its_name_synced() {
        let (create, write) = (Change::Create("a".into()), Change::Write("a".into(), 0, b"hello".to_vec()));
        let (sync, names) = (Change::Sync("a".into()), Change::SyncFolder("".into()));
        assert_eq!(kept(&[create.clone(), write.clone(), sync.clone()]), []);
        assert_eq!(kept(&[create.clone(), write.clone(), names.clone()]), [("a".into(), vec![])]);
        assert_eq!(kept(&[create, write, sync, names]), [("a".into(), b"hello".to_vec())]);
    }

    #[test]
    fn a_rename_is_kept_when_its_folder_is_synced() {
        let base = [
            Change::Create("old".into()),
            Change::Write("old".into(), 0, b"new bytes".to_vec()),
            Change::Sync("old".into()),
            Change::SyncFolder("".into()),
            Change::Rename("old".into(), "new".into()),
        ];
        assert_eq!(kept(&base)[0].0, "old");
        assert_eq!(after(&base, &Loss::Nothing)[0].0, "new");
        let whole: Vec<Change> = base.into_iter().chain([Change::SyncFolder("".into())]).collect();
        assert_eq!(kept(&whole), [("new".into(), b"new bytes".to_vec())]);
    }

    #[test]
    fn what_a_failed_fsync_gave_up_no_later_one_brings_back() {
        let written = |text: &[u8]| Change::Write("a".into(), 0, text.to_vec());
        let changes = [
            Change::Create("a".into()),
            Change::SyncFolder("".into()),
            written(b"first"),
            Change::Fault("a".into(), "fsync".into()),
            Change::Sync("a".into()),
        ];
        assert_eq!(kept(&changes), [("a".into(), vec![])]);
        assert_eq!(after(&changes[..4], &Loss::Nothing), [("a".into(), b"first".to_vec())]);
        let again: Vec<Change> =
            changes.into_iter().chain([written(b"again"), Change::Sync("a".into())]).collect();
        assert_eq!(kept(&again), [("a".into(), b"again".to_vec())]);
    }

    #[test]
    fn a_torn_write_keeps_one_part_and_a_turned_bit_is_one_bit() {
        let changes = [
            Change::Create("a".into()),
            Change::SyncFolder("".into()),
            Change::Write("a".into(), 0, vec![7; 600]),
        ];
        let torn = after(&changes, &Loss::TornEnd { which: 0, at: 512 });
        assert_eq!(torn, [("a".into(), vec![7; 512])]);
        let torn = after(&changes, &Loss::TornStart { which: 0, at: 512 });
        assert_eq!(torn, [("a".into(), [vec![0; 512], vec![7; 88]].concat())]);
        let mut flipped = vec![7; 600];
        flipped[1] = 3;
        assert_eq!(after(&changes, &Loss::Flipped { which: 0, bit: 10 }), [("a".into(), flipped)]);
    }
}
