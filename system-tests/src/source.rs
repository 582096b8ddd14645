//! The repository as text, for the tests that judge it.

use std::path::{Path, PathBuf};

use crate::programs::workspace;

/// A file of the repository: its path from the root, and its text.
pub struct Source {
    /// From the root, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

const SKIPPED: [&str; 6] = ["target", "node_modules", ".venv", ".git", "corpus", "artifacts"];

/// Every file whose name ends so, in order of path.
pub fn files(ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(workspace(), &mut paths);
    paths.sort();
    let wanted = paths.into_iter().filter(|path| path.to_string_lossy().ends_with(ending));
    wanted.map(|path| Source { text: read(&path), path: relative(&path) }).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("folder can be listed") {
        let path = entry.expect("entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
            collect(&path, paths);
        } else if path.is_file() {
            paths.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(workspace()).expect("it lies in the workspace").to_string_lossy().into_owned()
}
