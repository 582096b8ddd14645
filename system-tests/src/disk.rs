//! A disk that forgets. It replays recorded changes twice at once: as the running programs saw them, and as
//! they are sure to be after a power cut: a file's bytes from its last fsync, a name from its folder's last
//! fsync.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

/// The unit a disk writes whole.
pub const SECTOR_BYTES: usize = 512;

type Names = BTreeMap<OsString, usize>;

/// A folder or a file: first as seen, then as surely kept.
#[derive(Clone)]
enum Node {
    Folder(Both<Names>),
    File(Both<Vec<u8>>),
}

#[derive(Clone, Default)]
struct Both<T> {
    seen: T,
    kept: T,
}

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
}

/// Which of the two histories is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Everything written, synced or not.
    Seen,
    /// Only what was synced.
    Kept,
}

/// The tree below the root, in both histories.
#[derive(Clone)]
pub struct Disk {
    nodes: Vec<Node>,
}

const ROOT: usize = 0;

impl Disk {
    /// Reads a folder as it stands; all of it counts as kept.
    pub fn read(folder: &Path) -> Disk {
        let mut disk = Disk { nodes: vec![Node::Folder(Both::default())] };
        disk.read_into(folder, ROOT);
        disk
    }

    fn read_into(&mut self, folder: &Path, at: usize) {
        for entry in fs::read_dir(folder).expect("folder can be listed") {
            let entry = entry.expect("entry can be read");
            let kind = entry.file_type().expect("entry has a type");
            let node = if kind.is_dir() {
                let child = self.add(Node::Folder(Both::default()));
                self.read_into(&entry.path(), child);
                child
            } else if kind.is_file() && !volatile(&entry.file_name()) {
                let bytes = fs::read(entry.path()).expect("file can be read");
                self.add(Node::File(Both { seen: bytes.clone(), kept: bytes }))
            } else {
                continue;
            };
            let names = self.names(at);
            names.seen.insert(entry.file_name(), node);
            names.kept.insert(entry.file_name(), node);
        }
    }

    /// Takes one change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Create(path) => {
                let node = self.add(Node::File(Both::default()));
                self.name(path, node);
            }
            Change::MakeFolder(path) => {
                let node = self.add(Node::Folder(Both::default()));
                self.name(path, node);
            }
            Change::Write(path, offset, data) => {
                self.with_file(path, |file| put(&mut file.seen, *offset, data))
            }
            Change::Resize(path, size) => self.with_file(path, |file| file.seen.resize(*size as usize, 0)),
            Change::Sync(path) => self.with_file(path, |file| file.kept = file.seen.clone()),
            Change::SyncFolder(path) => {
                if let Some(Node::Folder(names)) = self.find(path).map(|node| &mut self.nodes[node]) {
                    names.kept = names.seen.clone();
                }
            }
            Change::Rename(old, new) => {
                let node = self.unname(old);
                if let (Some(node), false) = (node, new.is_empty()) {
                    self.name(new, node);
                }
            }
            Change::Link(old, new) => {
                if let Some(node) = self.find(old) {
                    self.name(new, node);
                }
            }
            Change::Unlink(path) => drop(self.unname(path)),
            Change::Told(_) => {}
        }
    }

    /// Puts a write into the kept history only: it reached the disk before its elders did.
    pub fn keep_write(&mut self, path: &str, offset: u64, data: &[u8]) {
        self.with_file(path, |file| put(&mut file.kept, offset, data));
    }

    /// Every file reachable from the root in one history, with its bytes; folders have none.
    pub fn files(&self, view: View) -> BTreeMap<String, Option<&[u8]>> {
        let mut found = BTreeMap::new();
        self.collect(ROOT, "", view, &mut found);
        found
    }

    fn collect<'a>(
        &'a self,
        at: usize,
        prefix: &str,
        view: View,
        found: &mut BTreeMap<String, Option<&'a [u8]>>,
    ) {
        let Node::Folder(names) = &self.nodes[at] else { return };
        for (name, node) in if view == View::Seen { &names.seen } else { &names.kept } {
            let path = format!("{prefix}{}", name.to_string_lossy());
            match &self.nodes[*node] {
                Node::File(bytes) => {
                    found.insert(path, Some(if view == View::Seen { &bytes.seen } else { &bytes.kept }));
                }
                Node::Folder(_) => {
                    found.insert(path.clone(), None);
                    self.collect(*node, &format!("{path}/"), view, found);
                }
            }
        }
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn names(&mut self, at: usize) -> &mut Both<Names> {
        match &mut self.nodes[at] {
            Node::Folder(names) => names,
            Node::File(_) => panic!("a file stands where a folder was expected"),
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        Path::new(path).components().try_fold(ROOT, |at, part| match (&self.nodes[at], part) {
            (Node::Folder(names), Component::Normal(name)) => names.seen.get(name).copied(),
            _ => None,
        })
    }

    fn with_file(&mut self, path: &str, change: impl FnOnce(&mut Both<Vec<u8>>)) {
        if let Some(Node::File(file)) = self.find(path).map(|node| &mut self.nodes[node]) {
            change(file);
        }
    }

    fn name(&mut self, path: &str, node: usize) {
        if volatile(OsStr::new(path)) {
            return;
        }
        let (folder, name) = split(path);
        let folder = self.find(folder).unwrap_or_else(|| panic!("`{path}` was made in an unknown folder"));
        self.names(folder).seen.insert(name.to_owned(), node);
    }

    fn unname(&mut self, path: &str) -> Option<usize> {
        let (folder, name) = split(path);
        let folder = self.find(folder)?;
        self.names(folder).seen.remove(name)
    }
}

/// Writes a tree of files into an empty folder, readable by its owner alone, as the programs demand of
/// secrets.
pub fn lay_out(files: &BTreeMap<String, Option<Vec<u8>>>, folder: &Path) {
    for (path, bytes) in files {
        let (path, mode) = (folder.join(path), if bytes.is_some() { 0o600 } else { 0o700 });
        match bytes {
            Some(bytes) => fs::write(&path, bytes).expect("file can be written"),
            None => fs::create_dir_all(&path).expect("folder can be made"),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode can be set");
    }
}

/// SQLite's shared memory is rebuilt at open and never synced; it is no part of a disk after a power cut.
fn volatile(name: &OsStr) -> bool {
    name.to_string_lossy().ends_with("-shm")
}

fn split(path: &str) -> (&str, &OsStr) {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    (folder, OsStr::new(name))
}

fn put(file: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let offset = offset as usize;
    if file.len() < offset + data.len() {
        file.resize(offset + data.len(), 0);
    }
    file[offset..offset + data.len()].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(changes: &[Change]) -> Vec<(String, Vec<u8>)> {
        let mut disk = Disk { nodes: vec![Node::Folder(Both::default())] };
        changes.iter().for_each(|change| disk.apply(change));
        let files = disk.files(View::Kept);
        files.into_iter().map(|(path, bytes)| (path, bytes.unwrap_or_default().to_vec())).collect()
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
        let whole: Vec<Change> = base.into_iter().chain([Change::SyncFolder("".into())]).collect();
        assert_eq!(kept(&whole), [("new".into(), b"new bytes".to_vec())]);
    }
}
