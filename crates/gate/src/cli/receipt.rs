//! `gate receipt`: the code that a person may carry back, proof that a bundle was applied; or, where text may
//! be carried back, the long form.

use farside_crossing::{Digest, JournalHead, LongReceipt, ReceiptCode};
use farside_service::cli::{Failure, Output, Style};
use farside_service::journal;
use serde_json::json;

use crate::config::Config;
use crate::store::{self, AppliedRow, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Receipt {
    /// Where text may be carried back: also how far this gate's journals have come, for the mint to keep.
    #[arg(long)]
    long: bool,
}

impl Receipt {
    // bundle.md §12
    pub(super) fn show(&self, config: &Config, output: Output) -> Result<(), Failure> {
        let store = Store::open(&config.database())?;
        let Some(applied) = store.read(|tx| store::newest_receipt(tx))? else {
            return Err(Failure::refused("no sealed bundle has been applied").hint(
                "a receipt comes with a full or delta bundle for a site whose recipient key the mint knows; a \
                 site without one has none",
            ));
        };
        let code = applied.receipt.clone().unwrap_or_default();
        let spoken = code.parse::<ReceiptCode>().map(|code| code.spoken()).unwrap_or_default();
        let AppliedRow { seq, digest, applied_at, .. } = &applied;
        let mut value = json!({"site": config.site, "seq": seq, "digest": digest, "code": code,
                               "spoken": spoken, "applied_at": applied_at});
        if !self.long {
            return output.say(|| read_out(&config.site, &applied, &code, &spoken), &value);
        }
        let text = long(config, &store, &applied)?;
        value["text"] = json!(text);
        output.say(|| text.trim_end().to_owned(), &value)
    }
}

/// Short enough for a telephone: the number, the code, and how it sounds.
fn read_out(site: &str, applied: &AppliedRow, code: &str, spoken: &str) -> String {
    let (style, seq) = (Style::stdout(), applied.seq);
    format!(
        "bundle {seq} applied: {}\n  read out: {spoken}\n  at the mint: {}",
        style.bold(code),
        style.dim(&format!("farside mint bundle receipt --site {site} --seq {seq} {code}")),
    )
}

fn long(config: &Config, store: &Store, applied: &AppliedRow) -> Result<String, Failure> {
    let unreadable = || Failure::could_not("what this gate keeps of its newest receipt cannot be read");
    let (key, counted) = store
        .read(|tx| Ok::<_, store::StoreFault>((store::receipt_key(tx, applied.seq)?, store::counted(tx)?)))?;
    let heads = journal::heads(&config.journal())?.into_iter();
    let receipt = LongReceipt {
        site: config.site.clone(),
        seq: applied.seq,
        digest: applied.digest.parse().map_err(|_| unreadable())?,
        code: applied.receipt.as_deref().unwrap_or_default().parse().map_err(|_| unreadable())?,
        counted,
        journals: heads
            .map(|head| JournalHead {
                name: head.name,
                lines: head.lines,
                head: Digest::from_bytes(head.hash),
            })
            .collect(),
    };
    let text = receipt.text(&key.ok_or_else(unreadable)?);
    text.map_err(|refusal| Failure::could_not(refusal.to_string()))
}
