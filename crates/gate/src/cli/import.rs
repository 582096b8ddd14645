//! `gate import`: what became of each file.

use std::path::PathBuf;

use farside_service::cli::{Exit, Failure, Output, Style};
use farside_service::time::rfc3339;

use crate::config::Config;
use crate::import::{self, Applied, Chartered, Mode, Outcome, Report};
use crate::trust::Gate;
use crate::trust_folder;

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// A bundle, a folder of bundles, a stick that a ferry has written, or a file of charters.
    path: PathBuf,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub(super) fn run(self, config: &Config, output: Output) -> Result<(), Failure> {
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Apply };
        let gate = Gate::open(config)?;
        let reports = import::path(config, &self.path, mode, gate.moment().now)?;
        // What was applied is shown and told, whatever else fails.
        let shown = self.shown(config, &gate);
        let kept = self.kept(&gate);
        if reports.is_empty() {
            return Err(Failure::refused(format!("no bundle lies in {}", self.path.display())));
        }
        for report in &reports {
            output.say(|| line(report, mode), report)?;
        }
        shown?;
        kept?;
        // Whoever names one old bundle wanted it applied; in a folder of old ones it is only passed over.
        let old = !self.path.is_dir() && matches!(reports[0].outcome, Outcome::Superseded { .. });
        // Each refusal has been told in its line.
        if old || reports.iter().any(Report::refused) { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
    }
}

impl Import {
    /// By what it brought the clock may be believed.
    fn kept(&self, gate: &Gate) -> Result<(), Failure> {
        if self.dry_run {
            return Ok(());
        }
        gate.moment();
        Ok(gate.keep_clock()?)
    }

    /// What an import has revoked is gone from the trust folder before this command ends.
    fn shown(&self, config: &Config, gate: &Gate) -> Result<(), Failure> {
        if self.dry_run || config.trust_folder.is_none() {
            return Ok(());
        }
        trust_folder::refresh(config, gate, gate.moment().now)
    }
}

fn line(report: &Report, mode: Mode) -> String {
    let style = Style::stdout();
    let told = match &report.outcome {
        Outcome::Applied(applied) => applied_line(applied, mode),
        Outcome::AlreadyApplied { seq } => format!("bundle {seq} is applied already: nothing to do"),
        Outcome::Superseded { refusal, .. } => {
            let code = style.yellow(refusal.code().as_str());
            format!("passed over, {code}: {refusal}\n  hint: {}", refusal.cure())
        }
        Outcome::Refused { refusal, kept } => {
            let kept =
                kept.as_ref().map(|kept| format!("\n  kept in {}", kept.display())).unwrap_or_default();
            let code = style.red(refusal.code().as_str());
            format!("refused, {code}: {refusal}\n  hint: {}{kept}", refusal.cure())
        }
        Outcome::Chartered(Chartered { version, charters, .. }) if charters.is_empty() => {
            format!("holds no charter that is new: version {version} is trusted already")
        }
        Outcome::Chartered(Chartered { version, charters, .. }) => {
            let verb = if mode == Mode::DryRun { "would trust" } else { "trusts" };
            let (verb, count) = (style.green(verb), charters.len());
            format!("{verb} charter {version} now, {count} of its charters being new")
        }
        Outcome::Ignored(why) => format!("left alone: {why}"),
    };
    format!("{}: {told}", report.file)
}

fn applied_line(applied: &Applied, mode: Mode) -> String {
    let style = Style::stdout();
    let verb = if mode == Mode::DryRun { "would apply" } else { "applied" };
    let mut line = format!(
        "{} bundle {} ({}), good until {}",
        style.green(verb),
        applied.seq,
        applied.kind,
        rfc3339(applied.not_after),
    );
    if let Some((first, last)) = applied.missing {
        line.push_str(&style.yellow(&format!("\n  missing: {first} to {last} never came")));
    }
    if applied.thawed {
        line.push_str("\n  the stream was frozen by a fork and goes on");
    }
    let parcels = applied.parcels;
    if parcels.stored + parcels.expired + parcels.refused > 0 {
        line.push_str(&format!("\n  parcels: {} stored", parcels.stored));
    }
    if parcels.expired + parcels.refused > 0 {
        line.push_str(&format!(", {} expired on the way, {} refused", parcels.expired, parcels.refused));
    }
    if applied.leaves > 0 {
        line.push_str(&format!("\n  log: {} new leaves", applied.leaves));
    }
    for shard in &applied.logs_anew {
        line.push_str(&style.yellow(&format!("\n  log: {shard} begins anew, as its fence allows")));
    }
    if let Some(code) = &applied.receipt {
        line.push_str(&format!("\n  receipt: {}", style.bold(code)));
    }
    line
}
