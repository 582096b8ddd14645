//! An export: a folder of files that a program hands to auditors, with a table of contents that is written
//! last. For mint and gate, which write such folders, and whoever reads them. Refuses folders that are not
//! finished, files that are not as they were written, and names that lead out of the folder.
//!
//! ```text
//!   <folder>/export.json            each file with its length and SHA-256, and what the program adds
//!   <folder>/bundles.jsonl …        one JSON object a line
//!   <folder>/journal/gate.jsonl …   copies
//! ```
//!
//! The digests guard against a damaged copy. They prove nothing about who wrote the folder: signatures,
//! chains and proofs inside the files do.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cli::Failure;
use crate::digest::{Sha256, hex};
use crate::durable::{self, Failed, Mode, Staged, failed};

/// The table of contents.
pub const CONTENTS: &str = "export.json";

/// Longest line of a file of lines.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// Largest table of contents.
const CONTENTS_BYTES_MAX: u64 = 16 << 20;

const BUFFER_BYTES: usize = 1 << 18;

/// Why a folder is not read, or not believed to be whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportFault {
    /// A file or folder failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// There is no table of contents.
    #[error("{0} is no export, or one that was never finished")]
    Unfinished(PathBuf),
    /// The table of contents does not read.
    #[error("{path}: {reason}")]
    Contents {
        /// The table.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A name that is not one inside the folder.
    #[error("{0:?} is no name of a file inside an export")]
    Name(String),
    /// The contents name no such file.
    #[error("the export holds no {0}")]
    Missing(String),
    /// A file is not as it was written.
    #[error("{0} is not as it was written: copy the export again")]
    Changed(PathBuf),
    /// A line does not read.
    #[error("{file}, line {line}: {reason}")]
    Line {
        /// The file.
        file: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<ExportFault> for Failure {
    fn from(fault: ExportFault) -> Failure {
        match fault {
            ExportFault::Failed(fault) => fault.into(),
            ExportFault::Unfinished(_) => Failure::could_not(fault.to_string())
                .hint("make one with `farside mint audit export DIR` or `farside gate audit export DIR`"),
            fault => Failure::could_not(fault.to_string()),
        }
    }
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its path inside the folder, parted by `/`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Contents<H> {
    #[serde(flatten)]
    head: H,
    files: Vec<Entry>,
}

/// An export in the making. Without [`Writer::finish`] it is no export.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    files: Vec<Entry>,
}

impl Writer {
    /// Begins an export in a folder that does not exist yet. Only its owner may read it.
    ///
    /// ```
    /// use farside_service::export::{Reader, Writer};
    /// use serde_json::{Value, json};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let folder = dir.path().join("export");
    /// let mut writer = Writer::create(&folder)?;
    /// let mut file = writer.file("missing.jsonl")?;
    /// file.line(&json!({"first": 3, "last": 4}))?;
    /// file.finish()?;
    /// writer.finish(&json!({"side": "gate"}))?;
    ///
    /// let (reader, head): (_, Value) = Reader::open(&folder)?;
    /// assert_eq!(head["side"], "gate");
    /// let lines: Vec<Value> = reader.rows("missing.jsonl")?;
    /// assert_eq!(lines[0]["last"], 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The folder is there already, or cannot be made.
    pub fn create(folder: &Path) -> Result<Writer, ExportFault> {
        if folder.symlink_metadata().is_ok() {
            return Err(failed("create", folder, io::ErrorKind::AlreadyExists.into()).into());
        }
        durable::create_dir_all(folder, Mode::Private)?;
        Ok(Writer { folder: folder.to_owned(), files: Vec::new() })
    }

    /// Begins a file.
    ///
    /// # Errors
    /// The name is not one inside the folder, or the file cannot be made.
    pub fn file(&mut self, name: &str) -> Result<FileWriter<'_>, ExportFault> {
        let path = inside(&self.folder, name)?;
        durable::create_dir_all(durable::parent(&path), Mode::Private)?;
        let staged = BufWriter::with_capacity(BUFFER_BYTES, Staged::create(&path, Mode::Private)?);
        let (name, hash) = (name.to_owned(), Sha256::new());
        Ok(FileWriter { staged, path, files: &mut self.files, name, bytes: 0, hash })
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// As [`Writer::file`], or the disk fails.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportFault> {
        let mut file = self.file(name)?;
        file.write(bytes)?;
        file.finish()
    }

    /// Writes one line for each row.
    ///
    /// # Errors
    /// As [`Writer::file`], or the disk fails.
    pub fn rows<T: Serialize>(
        &mut self,
        name: &str,
        rows: impl IntoIterator<Item = T>,
    ) -> Result<(), ExportFault> {
        let mut file = self.file(name)?;
        rows.into_iter().try_for_each(|row| file.line(&row))?;
        file.finish()
    }

    /// Copies every `*.jsonl` of a folder into the export's `journal/`. A folder that is not there holds
    /// none.
    ///
    /// # Errors
    /// A journal cannot be read or written.
    pub fn journals(&mut self, folder: &Path) -> Result<(), ExportFault> {
        let fail = |source| failed("read", folder, source);
        let entries = match folder.read_dir() {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(fail)?,
        };
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>().map_err(fail)?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.copy(&format!("journal/{name}"), &path)?;
        }
        Ok(())
    }

    fn copy(&mut self, name: &str, from: &Path) -> Result<(), ExportFault> {
        let fail = |source| failed("read", from, source);
        let mut source = File::open(from).map_err(fail)?;
        let mut file = self.file(name)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match source.read(&mut buffer).map_err(fail)? {
                0 => return file.finish(),
                read => file.write(&buffer[..read])?,
            }
        }
    }

    /// Writes the table of contents, beginning with the members of `head`: now it is an export.
    ///
    /// # Errors
    /// The disk fails.
    pub fn finish(self, head: &impl Serialize) -> Result<Vec<Entry>, ExportFault> {
        let path = self.folder.join(CONTENTS);
        let contents = Contents { head, files: self.files };
        let mut text = serde_json::to_vec_pretty(&contents)
            .map_err(|fault| ExportFault::Contents { path: path.clone(), reason: fault.to_string() })?;
        text.push(b'\n');
        durable::write_new(&path, &text, Mode::Private)?;
        Ok(contents.files)
    }
}

/// A file of an export in the making. Without [`FileWriter::finish`] there is no such file.
pub struct FileWriter<'w> {
    staged: BufWriter<Staged>,
    path: PathBuf,
    files: &'w mut Vec<Entry>,
    name: String,
    bytes: u64,
    hash: Sha256,
}

impl FileWriter<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ExportFault> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.staged.write_all(bytes).map_err(|source| failed("write", &self.path, source))?)
    }

    /// Appends a row as one line.
    ///
    /// # Errors
    /// The row cannot be spelled as JSON, or the disk fails.
    pub fn line(&mut self, row: &impl Serialize) -> Result<(), ExportFault> {
        let mut line = serde_json::to_vec(row)
            .map_err(|fault| ExportFault::Contents { path: self.path.clone(), reason: fault.to_string() })?;
        line.push(b'\n');
        self.write(&line)
    }

    /// Makes it durable under its name.
    ///
    /// # Errors
    /// The disk fails.
    pub fn finish(self) -> Result<(), ExportFault> {
        let Self { staged, path, files, name, bytes, hash } = self;
        let staged = staged.into_inner().map_err(|fault| failed("write", &path, fault.into_error()))?;
        staged.commit_new()?;
        files.push(Entry { name, bytes, sha256: hex(&hash.finish()) });
        Ok(())
    }
}

/// An export, read.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    files: Vec<Entry>,
}

impl Reader {
    /// Opens an export: reads its contents, and each file once to compare it with them.
    ///
    /// # Errors
    /// It is none, or a file is missing or not as it was written.
    pub fn open<H: DeserializeOwned>(folder: &Path) -> Result<(Reader, H), ExportFault> {
        let path = folder.join(CONTENTS);
        if !path.is_file() {
            return Err(ExportFault::Unfinished(folder.to_owned()));
        }
        let text = durable::read_limited(&path, CONTENTS_BYTES_MAX)?;
        let contents: Contents<H> = serde_json::from_slice(&text)
            .map_err(|fault| ExportFault::Contents { path, reason: fault.to_string() })?;
        let reader = Reader { folder: folder.to_owned(), files: contents.files };
        reader.files.iter().try_for_each(|entry| reader.compare(entry))?;
        Ok((reader, contents.head))
    }

    fn compare(&self, entry: &Entry) -> Result<(), ExportFault> {
        let path = inside(&self.folder, &entry.name)?;
        let fail = |source| failed("read", &path, source);
        let mut file = File::open(&path).map_err(fail)?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER_BYTES]);
        loop {
            match file.read(&mut buffer).map_err(fail)? {
                0 => break,
                read => {
                    hash.update(&buffer[..read]);
                    bytes += read as u64;
                }
            }
        }
        match bytes == entry.bytes && hex(&hash.finish()) == entry.sha256 {
            true => Ok(()),
            false => Err(ExportFault::Changed(path)),
        }
    }

    /// Whether it holds a file.
    pub fn has(&self, name: &str) -> bool {
        self.files.iter().any(|entry| entry.name == name)
    }

    /// The files below a folder of the export, by name.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = (&str, PathBuf)> {
        let under =
            move |entry: &&Entry| entry.name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files.iter().filter(under).map(|entry| (entry.name.as_str(), self.folder.join(&entry.name)))
    }

    /// A file whole.
    ///
    /// # Errors
    /// There is no such file, or it is larger than `bytes_max`.
    pub fn bytes(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, ExportFault> {
        Ok(durable::read_limited(&self.path(name)?, bytes_max)?)
    }

    /// Every row of a file; none where the export holds no such file.
    ///
    /// # Errors
    /// A line does not read.
    pub fn rows<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, ExportFault> {
        let mut rows = Vec::new();
        if self.has(name) {
            self.lines(name, |line| {
                rows.push(serde_json::from_slice(line).map_err(|fault| fault.to_string())?);
                Ok(())
            })?;
        }
        Ok(rows)
    }

    /// Hands out every line of a file, without its end.
    ///
    /// # Errors
    /// There is no such file, a line is too long, or `each` does not take it and says why.
    pub fn lines(
        &self,
        name: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), ExportFault> {
        let path = self.path(name)?;
        let fail = |source| failed("read", &path, source);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(&path).map_err(fail)?);
        let (mut bytes, mut line) = (Vec::new(), 0);
        loop {
            bytes.clear();
            line += 1;
            let wrong = |reason| ExportFault::Line { file: name.to_owned(), line, reason };
            reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes).map_err(fail)?;
            match bytes.strip_suffix(b"\n") {
                Some(text) => each(text).map_err(wrong)?,
                None if bytes.is_empty() => return Ok(()),
                None => return Err(wrong("it does not end, or is too long".to_owned())),
            }
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf, ExportFault> {
        match self.has(name) {
            true => inside(&self.folder, name),
            false => Err(ExportFault::Missing(name.to_owned())),
        }
    }
}

/// The path of a file inside the folder: words of one alphabet, none of which begins with a dot.
fn inside(folder: &Path, name: &str) -> Result<PathBuf, ExportFault> {
    let fit = |word: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !word.is_empty() && !word.starts_with('.') && word.bytes().all(legal)
    };
    match name.split('/').all(fit) && name != CONTENTS {
        true => Ok(folder.join(name)),
        false => Err(ExportFault::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::fs;

    fn exported() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("export");
        let mut writer = Writer::create(&folder).unwrap();
        writer.rows("bundles.jsonl", [json!({"seq": 1}), json!({"seq": 2})]).unwrap();
        writer.bytes("charters/1.note", b"note\n").unwrap();
        writer.finish(&json!({"side": "mint"})).unwrap();
        (dir, folder)
    }

    fn open(folder: &Path) -> Result<(Reader, Value), ExportFault> {
        Reader::open(folder)
    }

    #[test]
    fn a_damaged_copy_of_an_export_is_refused_by_the_files_name() {
        let (_dir, folder) = exported();
        assert_eq!(open(&folder).unwrap().0.below("charters").count(), 1);
        fs::write(folder.join("bundles.jsonl"), b"{\"seq\": 1}\n").unwrap();
        assert!(matches!(open(&folder), Err(ExportFault::Changed(path)) if path.ends_with("bundles.jsonl")));
        fs::remove_file(folder.join(CONTENTS)).unwrap();
        assert!(matches!(open(&folder), Err(ExportFault::Unfinished(_))));
    }

    #[test]
    fn an_exports_contents_lead_to_no_file_outside_it() {
        let (dir, folder) = exported();
        fs::write(dir.path().join("secret"), b"").unwrap();
        for name in ["../secret", "/etc/passwd", "a/../../secret", ".hidden", "a//b", "export.json", ""] {
            let entry = json!({"name": name, "bytes": 0, "sha256": hex(&Sha256::new().finish())});
            let contents = json!({"side": "mint", "files": [entry]}).to_string();
            fs::write(folder.join(CONTENTS), contents).unwrap();
            assert!(matches!(open(&folder), Err(ExportFault::Name(_))), "{name}");
        }
    }

    #[test]
    fn nothing_is_exported_over_something_else() {
        let (_dir, folder) = exported();
        let refused = Writer::create(&folder).unwrap_err();
        assert!(matches!(refused, ExportFault::Failed(fault) if fault.to_string().contains("exists")));
    }
}
