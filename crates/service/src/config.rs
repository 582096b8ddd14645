//! Reads a program's configuration: one TOML file into one struct, whose documentation is the manual. Refuses
//! files over the limit and, where the struct says `#[serde(deny_unknown_fields)]`, every key it does not
//! know.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::durable;

/// The largest configuration file read.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// The file could not be read.
    #[error(transparent)]
    Unreadable(#[from] durable::Failed),
    /// The file is not UTF-8.
    #[error("{0}: not UTF-8 text")]
    NotText(PathBuf),
    /// TOML or the struct disagree with the file.
    #[error("{path}, line {line}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser expected, one sentence.
        reason: String,
    },
}

/// The configuration in `path`.
///
/// ```no_run
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config { realm: String }
/// let config: Config = farside_service::config::load("mint.toml".as_ref())?;
/// # Ok::<(), farside_service::config::ConfigFault>(())
/// ```
///
/// # Errors
/// Unreadable, too large, not TOML, or not what `T` demands; the line is named.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigFault> {
    let bytes = durable::read_limited(path, CONFIG_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| ConfigFault::NotText(path.to_owned()))?;
    toml::from_str(&text).map_err(|fault| {
        let upto = fault.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..upto].iter().filter(|byte| **byte == b'\n').count();
        let reason = fault.message().replace('\n', " ");
        ConfigFault::Invalid { path: path.to_owned(), line, reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        realm: String,
        every: crate::duration::Seconds,
    }

    fn read(text: &str) -> Result<Config, ConfigFault> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mint.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn a_good_file_is_taken() {
        let config = read("realm = \"moon\"\nevery = \"1h\"\n").unwrap();
        assert_eq!((config.realm.as_str(), config.every.0), ("moon", 3600));
    }

    #[test]
    fn an_unknown_key_is_refused_and_its_line_named() {
        let fault = read("realm = \"moon\"\nevery = \"1h\"\nevry = \"2h\"\n").unwrap_err().to_string();
        assert!(fault.contains("line 3") && fault.contains("evry"), "{fault}");
    }

    #[test]
    fn a_wrong_duration_is_explained() {
        let fault = read("realm = \"moon\"\nevery = \"1w\"\n").unwrap_err().to_string();
        assert!(fault.contains("line 2") && fault.contains("15m"), "{fault}");
    }
}
