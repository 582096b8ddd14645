//! `gate receipt`: the code that a person may carry back, proof that a bundle was applied.

use farside_service::cli::{Failure, Output};
use farside_service::journal;
use serde::Serialize;

use crate::config::Config;
use crate::import::JOURNAL_NAME;
use crate::store::{self, Store};

/// The receipt as printed.
#[derive(Serialize)]
struct Receipt {
    site: String,
    seq: u64,
    digest: String,
    code: String,
    applied_at: u64,
    journal: Option<JournalHead>,
}

/// Where the importer's journal stands: carried back, it pins everything recorded so far.
#[derive(Serialize)]
struct JournalHead {
    lines: u64,
    head: String,
}

// bundle.md §12
pub(super) fn show(config: &Config, output: Output) -> Result<(), Failure> {
    let applied = Store::open(&config.database())?.read(|tx| store::newest_receipt(tx))?;
    let Some(applied) = applied else {
        return Err(Failure::refused("no sealed bundle has been applied").hint(
            "a receipt comes with a full or delta bundle for a site whose recipient key the mint knows",
        ));
    };
    let path = config.journal().join(format!("{JOURNAL_NAME}.jsonl"));
    let seen =
        journal::verify(&path).map_err(|fault| Failure::refused(format!("{}: {fault}", path.display())))?;
    let receipt = Receipt {
        site: config.site.clone(),
        seq: applied.seq,
        digest: applied.digest,
        code: applied.receipt.unwrap_or_default(),
        applied_at: applied.applied_at,
        journal: Some(JournalHead { lines: seen.lines, head: seen.head }),
    };
    output.say(|| format!("bundle {} applied: {}", receipt.seq, receipt.code), &receipt)
}
