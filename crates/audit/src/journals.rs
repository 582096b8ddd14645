//! Journals, wherever they lie: are they as they were written?

use std::path::PathBuf;

use farside_service::cli::{Failure, Output};
use farside_service::journal;

use crate::noted;

/// `farside audit verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Journals, or folders of them.
    #[arg(required = true)]
    journals: Vec<PathBuf>,
    /// Where heads of these journals were noted: a bundle, a manifest, a long receipt, or the journals of the
    /// other side (a file or a folder). May be given more than once.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// The charter by whose online signers a bundle or manifest is believed.
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
    #[command(flatten)]
    reach: journal::Reach,
}

impl Verify {
    pub(crate) fn run(&self, output: Output) -> Result<(), Failure> {
        let mut noted = Vec::new();
        for path in &self.against {
            noted.extend(noted::heads_in(path, self.charter.as_deref())?);
        }
        journal::audit(&self.reach, &self.journals, &noted, output)
    }
}
