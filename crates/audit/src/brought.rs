//! What is brought to the auditor: exports, further journals, and the fingerprint that people compared.

use std::path::PathBuf;

use farside_crossing::ExpectedFingerprint;

/// Where evidence comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Brought {
    /// Folders that `farside mint audit export` and `farside gate audit export` have made.
    #[arg(required = true)]
    pub(crate) exports: Vec<PathBuf>,
    /// A ferry's journal kept elsewhere, or a folder of journals; may be given more than once.
    #[arg(long = "journal", value_name = "PATH")]
    pub(crate) journals: Vec<PathBuf>,
    /// The charter's fingerprint as people compared it: 64 hex digits or sixteen words.
    #[arg(long, value_name = "WORDS")]
    pub(crate) fingerprint: Option<ExpectedFingerprint>,
}
