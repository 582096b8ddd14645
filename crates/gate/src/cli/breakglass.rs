//! `gate breakglass`: the way in when nothing else helps. docs/breakglass.md is the page to follow under
//! stress.

use std::path::{Path, PathBuf};

use farside_crossing::breakglass::{self as orders, ORDER_BYTES_MAX};
use farside_crossing::{GlassOrder, note};
use farside_service::cli::{Failure, Output, Style, printable, table};
use farside_service::durable::{self, Mode};
use farside_service::duration::Seconds;
use farside_service::time::{self, Reading, rfc3339};
use serde_json::json;

use crate::breakglass::shown::GlassShown;
use crate::breakglass::{Desk, LIFETIME_SECONDS_DEFAULT, Opened, Wish};
use crate::config::Config;
use crate::enrol::refused;
use crate::judge::Clocks;
use crate::store::{self, Store};
use crate::trust::{self, Gate};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Breakglass {
    /// Write an order, for people to sign with their cards: `farside mint key sign --key CARD FILE`.
    Draft(Draft),
    /// Show what an order says and whose cards have signed it.
    Show {
        /// The order.
        file: PathBuf,
    },
    /// Open a signed order: once, and loudly. Its pass is shown on stdout and never again.
    Open {
        /// The order.
        file: PathBuf,
        /// Write the pass into this new file instead, for its owner's eyes alone.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// End a pass now.
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Close {
        /// The order's id.
        #[arg(group = "which")]
        id: Option<String>,
        /// Every pass that counts.
        #[arg(long, group = "which")]
        all: bool,
    },
    /// Show every order that was ever opened here.
    List,
}

#[derive(Debug, clap::Args)]
pub(super) struct Draft {
    /// Who will use it: a person's name.
    #[arg(long)]
    subject: String,
    /// The audience to be entered; left out where the site has only one.
    #[arg(long)]
    audience: Option<String>,
    /// The role to be had there.
    #[arg(long)]
    role: String,
    /// Why; everybody who signs or audits reads it.
    #[arg(long)]
    reason: String,
    /// For how long, an hour at most.
    #[arg(long, value_name = "TIME", default_value_t = Seconds(LIFETIME_SECONDS_DEFAULT))]
    lifetime: Seconds,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(command: Breakglass, config: &Config, output: Output) -> Result<(), Failure> {
    let reading = time::read_clocks();
    let clocks = Clocks { now: Gate::open(config)?.moment().now, reading: &reading };
    match command {
        Breakglass::Draft(draft) => draft.run(config, clocks.now, output),
        Breakglass::Show { file } => show(&file, config, output),
        Breakglass::Open { file, out } => open(&file, out.as_deref(), config, clocks, output),
        Breakglass::Close { id, .. } => close(id.as_deref(), config, clocks, output),
        Breakglass::List => list(config, &reading, output),
    }
}

impl Draft {
    fn run(self, config: &Config, now: u64, output: Output) -> Result<(), Failure> {
        let wish = Wish {
            subject: self.subject,
            audience: self.audience,
            role: self.role,
            reason: self.reason,
            lifetime_seconds: self.lifetime.0,
        };
        let (order, text) = Desk::take(config)?.draft(&wish, now)?;
        durable::write_new(&self.out, &note::unsigned(&text), Mode::Shared)?;
        let file = self.out.display();
        let told = || {
            format!(
                "{}\n\nIt lies in {file}. Carry it to the people with the cards; each signs with\n  \
                 farside mint key sign --key CARD {file}\nthen: farside gate breakglass open {file}",
                described(&order),
            )
        };
        output.say(told, &json!({ "file": self.out, "order": order }))
    }
}

fn show(file: &Path, config: &Config, output: Output) -> Result<(), Failure> {
    let bytes = read(file)?;
    let review = orders::review(&bytes).map_err(refused)?;
    let charters = Store::open(&config.database())?.read(|tx| store::charters(tx))?;
    let charter = charters.last().map(|note| trust::newest_charter(note)).transpose()?;
    let cards = charter.as_ref().and_then(|charter| charter.breakglass());
    let signed = match &charter {
        Some(charter) if cards.is_some() => orders::signed_by(&bytes, charter).map_err(refused)?,
        _ => Vec::new(),
    };
    let needed = cards.map_or(0, |role| role.threshold());
    let missing = needed.saturating_sub(signed.len());
    let told = || {
        let state = match (needed, missing) {
            (0, _) => "The charter that this gate trusts names no cards: it does not open.".to_owned(),
            (_, 0) => format!("Signed by {}: enough.", signed.join(", ")),
            _ => format!("Signed by {} of {needed}; {missing} more cards must sign.", signed.len()),
        };
        format!("{}\n\n{state}", described(&review.order))
    };
    let value = json!({ "order": review.order, "signed": signed, "signatures_missing": missing });
    output.say(told, &value)
}

fn open(
    file: &Path,
    out: Option<&Path>,
    config: &Config,
    clocks: Clocks<'_>,
    output: Output,
) -> Result<(), Failure> {
    let Opened { signed, pass, seconds } = Desk::take(config)?.open(&read(file)?, clocks)?;
    let (order, minutes) = (signed.order(), seconds.div_ceil(60));
    if !output.json {
        let style = Style::stderr();
        let loud = format!("THE GLASS IS BROKEN: order {}, {minutes} min", order.id);
        eprintln!("{}\n{}\nsigned by {}\n", style.red(&loud), described(order), signed.signers().join(", "));
        eprintln!(
            "Every use is journalled, and will have to be explained. When you are done:\n  \
             farside gate breakglass close {}\nThe pass, shown once (Authorization: Bearer …):",
            order.id
        );
    }
    let mut value = json!({ "order": order, "signers": signed.signers(), "seconds": seconds });
    match out {
        Some(file) => {
            durable::write_new(file, format!("{}\n", pass.text()).as_bytes(), Mode::Private)?;
            value["file"] = json!(file);
            output.say(|| file.display().to_string(), &value)
        }
        None => {
            value["pass"] = json!(pass.text());
            output.say(|| pass.text().to_owned(), &value)
        }
    }
}

fn close(id: Option<&str>, config: &Config, clocks: Clocks<'_>, output: Output) -> Result<(), Failure> {
    let closed = Desk::take(config)?.close(id, clocks)?;
    if let (Some(id), true) = (id, closed.is_empty()) {
        return Err(Failure::refused(format!("no pass of order {} counts", printable(id)))
            .hint("farside gate breakglass list"));
    }
    let told = || match closed.len() {
        0 => "no pass counts".to_owned(),
        _ => format!("closed: {}", closed.join(", ")),
    };
    output.say(told, &json!({ "closed": closed }))
}

fn list(config: &Config, reading: &Reading, output: Output) -> Result<(), Failure> {
    let rows = Store::open(&config.database())?.read(|tx| store::breakglass::every(tx))?;
    let shown: Vec<GlassShown> =
        rows.into_iter().map(|row| GlassShown::of(row, reading)).collect::<Result<_, _>>()?;
    let row = |glass: &GlassShown| {
        let state = match glass.seconds_left {
            Some(left) => format!("open, {} min left", left.div_ceil(60)),
            None => glass.why.clone().unwrap_or_else(|| "over".to_owned()),
        };
        vec![
            glass.id.clone(),
            rfc3339(glass.opened_at),
            glass.subject.clone(),
            glass.role.clone(),
            glass.audience.clone(),
            glass.signers.join(", "),
            state,
            glass.reason.clone(),
        ]
    };
    let headings = ["order", "opened", "subject", "role", "audience", "signed by", "state", "reason"];
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    output.say(|| table(&headings, &rows), &shown)
}

/// What people read before they sign or open.
fn described(order: &GlassOrder) -> String {
    table(&["order", &order.id], &order.rows(rfc3339))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    Ok(durable::read_limited(file, ORDER_BYTES_MAX as u64)?)
}
