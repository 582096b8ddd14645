//! `mint bundle make|list|receipt`: what crosses, and what is known to have arrived.

use std::path::{Path, PathBuf};

use farside_crossing::LongReceipt;
use farside_crossing::manifest::Kind;
use farside_crossing::receipt::{ReceiptCode, ReceiptFault};
use farside_service::cli::{Failure, Style, operator, table, times};
use farside_service::time::{now_unix, rfc3339};
use serde_json::json;

use super::{Program, read_text};
use crate::bundler::{self, Made};
use crate::control::{Command as Order, Reply};
use crate::desk;

/// Bundles.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a site's next bundle, with fresh tokens for its standing orders
    Make {
        /// The site
        #[arg(long)]
        site: String,
        /// What kind
        #[arg(long, value_enum, default_value = "full")]
        kind: KindName,
        /// Prove that the log has only grown since this size, which a gate named that is late by many bundles
        #[arg(long, value_name = "SIZE")]
        since: Option<u64>,
    },
    /// Every bundle made
    List {
        /// Of this site only
        #[arg(long)]
        site: Option<String>,
    },
    /// Enter the code that the gate shows once it has applied a bundle, or its long receipt
    Receipt {
        /// The site
        #[arg(long, required_unless_present = "long")]
        site: Option<String>,
        /// The bundle's number
        #[arg(long, required_unless_present = "long")]
        seq: Option<u64>,
        /// The code, as the gate shows it
        #[arg(required_unless_present = "long")]
        code: Option<String>,
        /// The file with what `gate receipt --long` printed; `-` for standard input
        #[arg(long, value_name = "FILE", conflicts_with_all = ["site", "seq", "code"])]
        long: Option<PathBuf>,
    },
}

/// The kinds by name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum KindName {
    /// Everything a gate needs
    Full,
    /// What has changed since its base
    Delta,
    /// Only that the mint is still there
    Beacon,
}

pub(crate) fn run(command: Command, program: &Program) -> Result<(), Failure> {
    match command {
        Command::Make { site, kind, since } => make(site, kind, since, program),
        Command::List { site } => list(site.as_deref(), program),
        Command::Receipt { long: Some(file), .. } => long_receipt(&file, program),
        Command::Receipt { site: Some(site), seq: Some(seq), code: Some(code), .. } => {
            let code = code.parse().map_err(mistyped)?;
            receipt(&site, seq, &code, None, program)
        }
        Command::Receipt { .. } => Err(Failure::could_not("name the site, the number and the code")),
    }
}

fn make(site: String, kind: KindName, since: Option<u64>, program: &Program) -> Result<(), Failure> {
    let kind = match kind {
        KindName::Full => Kind::Full,
        KindName::Delta => Kind::Delta,
        KindName::Beacon => Kind::Beacon,
    };
    let order = Order::MakeBundle { site, kind, since, operator: operator() };
    let reply = desk::carry_out(&program.mint()?, &order, now_unix())?;
    let Reply::Bundle(made) = reply else {
        return Err(Failure::could_not("the mint answered another question"));
    };
    program.output.say(|| describe(&made), &made)
}

fn describe(made: &Made) -> String {
    let Made { site, seq, digest, path, bytes, parcels, leaves, .. } = made;
    format!(
        "bundle {seq} for {site}: {bytes} bytes, {parcels} tokens, {leaves} log leaves\n  {}\n  digest {}",
        path.display(),
        digest.hex()
    )
}

fn list(site: Option<&str>, program: &Program) -> Result<(), Failure> {
    let bundles = bundler::list(&program.mint()?.store()?, site)?;
    let rows: Vec<_> = bundles
        .iter()
        .map(|bundle| {
            vec![
                bundle.site.clone(),
                bundle.seq.to_string(),
                bundle.kind.clone(),
                bundle.bytes.to_string(),
                rfc3339(bundle.issued_at),
                bundle.receipted_at.map_or_else(|| "not yet".to_owned(), rfc3339),
                bundle.file.clone(),
            ]
        })
        .collect();
    let headings = ["site", "number", "kind", "bytes", "made", "receipted", "file"];
    program.output.say(|| table(&headings, &rows).trim_end().to_owned(), &bundles)
}

fn long_receipt(file: &Path, program: &Program) -> Result<(), Failure> {
    let unproven = LongReceipt::read(&read_text(file)?).map_err(|fault| {
        Failure::refused(format!("that is not a long receipt: {fault}"))
            .hint("carry back what `farside gate receipt --long` prints, unchanged")
    })?;
    let proven = bundler::prove_receipt(&program.mint()?.store()?, unproven)?;
    receipt(&proven.site, proven.seq, &proven.code, Some(&proven), program)
}

/// Told from a code that nobody expects: a slip proves nothing, and nothing of it is kept.
// bundle.md §12.2
fn mistyped(fault: ReceiptFault) -> Failure {
    Failure::refused(fault.to_string())
        .hint("nothing was recorded; have it read out again: twelve letters and digits in fours")
}

/// Marks a bundle as applied; what else the gate said goes into the journal, and that it broke the glass is
/// said at once.
fn receipt(
    site: &str,
    seq: u64,
    code: &ReceiptCode,
    long: Option<&LongReceipt>,
    program: &Program,
) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Receipted<'a> {
        site: &'a str,
        seq: u64,
        receipted_at: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        breakglass: Option<u64>,
    }
    let (mint, now) = (program.mint()?, now_unix());
    let receipted_at = match bundler::receipt(&mint.store()?, site, seq, code, now) {
        Ok(()) => now,
        // Where a long receipt follows the code, what it says beyond that is news.
        Err(bundler::ReceiptFault::Already { at, .. }) if long.is_some() => at,
        Err(fault) => {
            if fault.is_wrong_code() {
                let refused = json!({"site": site, "seq": seq, "reason": fault.to_string()});
                mint.diary()?.record("receipt_refused", refused)?;
            }
            return Err(fault.into());
        }
    };
    let mut members = json!({"site": site, "seq": seq});
    if let Some(LongReceipt { counted, journals, .. }) = long {
        members["counted"] = json!(counted);
        members["journals"] = json!(journals);
    }
    mint.diary()?.record("bundle_receipted", members)?;
    let breakglass = long.map(|long| long.counted.breakglass);
    let told = Receipted { site, seq, receipted_at, breakglass };
    program.output.say(|| receipted(told.site, seq, breakglass.unwrap_or(0)), &told)
}

// breakglass.md §6.4
fn receipted(site: &str, seq: u64, breakglass: u64) -> String {
    let applied = format!("site {site} has applied bundle {seq}");
    if breakglass == 0 {
        return applied;
    }
    let loud = Style::stdout().red(&format!("the glass was broken there {} in all", times(breakglass)));
    format!("{applied}\n{loud}: have its export brought, and `farside audit reconcile` tells by whom and why")
}
