//! `farside bundle inspect`: what a bundle holds, as it looks from outside. Nothing is believed here; only a
//! gate that trusts the charter can do that, and this command says so.

use std::path::PathBuf;

use farside_crossing::inspect::{self, Inspection};
use farside_crossing::manifest::{BUNDLE_BYTES_MAX, Manifest};
use farside_service::cli::{Exit, Failure, Output, Style, printable, table};
use farside_service::{durable, time};

/// The largest bundle there is, and one byte to see that a file is larger.
const FILE_BYTES_MAX: u64 = BUNDLE_BYTES_MAX as u64 + 1;

/// Looks into bundles.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows the manifest and the components of a bundle, without believing them.
    ///
    /// Exit code 0: it reads well; 1: something in it does not; 2: there is no such file.
    Inspect {
        /// The bundle.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let Command::Inspect { file, json } = command;
    let inspection = inspect::inspect(&durable::read_limited(&file, FILE_BYTES_MAX)?);
    Output { json }.say(|| shown(&inspection), &inspection)?;
    if inspection.fault.is_some() { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
}

fn shown(inspection: &Inspection) -> String {
    let style = Style::stdout();
    let mut parts = Vec::new();
    parts.extend(inspection.manifest.as_ref().map(|seen| manifest(seen, inspection)));
    if !inspection.components.is_empty() {
        parts.push(components(inspection));
    }
    for charter in &inspection.charters {
        let (realm, signers) = (printable(&charter.realm), charter.signer_names.join(", "));
        let signers = printable(&signers).into_owned();
        let fingerprint = &charter.fingerprint;
        parts.push(format!("charter {} of {realm}, signed by {signers}\n  {fingerprint}", charter.version));
    }
    if let Some(fault) = &inspection.fault {
        parts.push(style.red(&format!("{}: {}", fault.code().as_str(), printable(&fault.to_string()))));
    }
    parts.push(style.dim(inspection.caution));
    parts.join("\n\n")
}

fn manifest(manifest: &Manifest, inspection: &Inspection) -> String {
    let rows = [
        ("realm", manifest.realm.clone()),
        ("site", manifest.site.clone()),
        ("bundle", format!("{} ({}, {} bytes)", manifest.seq, manifest.kind.as_str(), inspection.bytes)),
        ("issued", time::rfc3339(manifest.issued_at)),
        ("next by", time::rfc3339(manifest.next_by)),
        ("not after", time::rfc3339(manifest.not_after)),
        ("digest", inspection.digest.map_or_else(String::new, |digest| digest.to_string())),
        ("signed by", inspection.signer_names.join(", ")),
    ];
    let lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("{name:<10} {}", printable(value))).collect();
    lines.join("\n")
}

fn components(inspection: &Inspection) -> String {
    let rows: Vec<Vec<String>> = inspection
        .components
        .iter()
        .map(|component| {
            let digest = if component.digest_ok { "fits" } else { "DIFFERS" };
            let sealed = if component.sealed { "sealed" } else { "" };
            vec![
                component.r#type.as_str().to_owned(),
                component.version.to_string(),
                component.len.to_string(),
                digest.to_owned(),
                sealed.to_owned(),
                component.signer_names.join(", "),
            ]
        })
        .collect();
    table(&["component", "version", "bytes", "digest", "", "signed by"], &rows)
}
