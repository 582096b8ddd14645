//! Journals, wherever they lie: are they as they were written?

use std::path::PathBuf;

use farside_service::cli::{Failure, Output};
use farside_service::journal;

/// `farside audit verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Journals, or folders of them.
    #[arg(required = true)]
    journals: Vec<PathBuf>,
    #[command(flatten)]
    how: journal::Verify,
}

impl Verify {
    pub(crate) fn run(&self, output: Output) -> Result<(), Failure> {
        journal::audit(&self.how, &self.journals, &[], output)
    }
}
