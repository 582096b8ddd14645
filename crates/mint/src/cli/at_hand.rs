//! Release keys at hand: documents that are signed and adopted at once where enough of them are, and left as
//! drafts where they are not; of many sites as one file.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use farside_crossing::{Role, Signer as _, note};
use farside_service::cli::Failure;
use farside_service::durable::{self, Mode};
use farside_service::time;
use serde_json::{Value, json};

use super::key::passphrase_for;
use super::{counted, joined};
use crate::ceremony;
use crate::config::{Diary, Mint};
use crate::keys::{self, KeyKind, PairSigner, Tokens};
use crate::release::{self, Adopted, Document, Draft, Kind};
use crate::store::Store;

/// Where release keys are, for commands that release at once.
#[derive(Debug, Clone, Args)]
pub struct AtHand {
    /// A release signer's key file; those in the mint's own `offline/` are found by themselves.
    #[arg(long = "release-key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// File with the passphrase of those keys; left out: the mint's own.
    #[arg(long = "release-passphrase-file", value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// File with the PIN of the PKCS#11 token that holds half of those keys; left out: you are asked.
    #[arg(long = "release-pin-file", value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// What became of documents of one kind that were to be released at once.
pub(super) enum Outcome {
    Adopted(Vec<Adopted>),
    /// Too few keys were at hand; the drafts wait here with the signatures they have.
    Waiting {
        kind: Kind,
        path: PathBuf,
        missing: usize,
        documents: usize,
    },
}

impl Outcome {
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Adopted(adopted) => in_force(adopted),
            Self::Waiting { kind, path, missing, documents } => {
                let (kind, path, signatures) =
                    (kind.as_str(), path.display(), counted(*missing, "more release signature"));
                let waits = match documents {
                    1 => format!("The {kind} document waits"),
                    many => format!("The {kind} documents of {many} sites wait"),
                };
                format!(
                    "{waits} for {signatures} in {path}:\n  mint release sign --key KEY {path}\n  \
                     mint release adopt {path}"
                )
            }
        }
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Adopted(adopted) => match &adopted[..] {
                [only] => json!({ "adopted": only }),
                all => json!({ "adopted": all }),
            },
            Self::Waiting { kind, path, missing, documents } => json!({ "waiting": {
                "kind": kind, "file": path, "signatures_missing": missing, "documents": documents,
            } }),
        }
    }
}

/// As a sentence.
pub(super) fn in_force(adopted: &[Adopted]) -> String {
    let [first, others @ ..] = adopted else { return "Nothing was to be adopted.".to_owned() };
    let (kind, signers) = (first.kind.as_str(), joined(&first.signers));
    if !others.is_empty() {
        let count = adopted.len();
        return format!(
            "The documents of {count} sites are in force, signed by {signers}; they cross with the next bundles."
        );
    }
    let state = if first.renewed { "stays in force" } else { "is in force" };
    format!(
        "The {kind} document {} of site {} {state}, signed by {signers}; it crosses with the next bundle.",
        first.version, first.site,
    )
}

/// Writes down what was adopted; durable when this returns.
pub(super) fn record(diary: &Diary, adopted: &[Adopted]) -> Result<(), Failure> {
    let told = adopted.iter().map(|adopted| {
        json!({
            "site": adopted.site, "kind": adopted.kind, "version": adopted.version,
            "signers": adopted.signers, "renewed": adopted.renewed,
        })
    });
    diary.record_all("release_adopted", told)
}

/// Drafts a document and releases it with the keys at hand.
pub(super) fn release_at_once(
    mint: &Mint,
    store: &Store,
    diary: &Diary,
    (site, document): (&str, &Document),
    at_hand: &AtHand,
) -> Result<Outcome, Failure> {
    release_all_at_once(mint, (store, diary), &[site], document, at_hand)
}

/// Drafts such a document for each of these sites, at least one, and releases them all or none.
pub(super) fn release_all_at_once(
    mint: &Mint,
    (store, diary): (&Store, &Diary),
    sites: &[&str],
    document: &Document,
    at_hand: &AtHand,
) -> Result<Outcome, Failure> {
    let now = time::now_unix();
    let drafts = sites.iter().map(|site| release::draft(store, site, document, now));
    let drafts = drafts.collect::<Result<Vec<Draft>, _>>()?;
    let charter = ceremony::newest(store)?;
    let signers = open_at_hand(mint, charter.release(), at_hand)?;
    let sign = |draft: &Draft| {
        let mut bytes = note::unsigned(&draft.text);
        add_signatures(&mut bytes, &signers).map(|()| bytes)
    };
    let notes = drafts.iter().map(sign).collect::<Result<Vec<_>, Failure>>()?;
    let missing = charter.release().threshold().saturating_sub(signers.len());
    if missing > 0 {
        let name = match (sites, &drafts[..]) {
            ([site], [draft]) => format!("{site}-{}-{}.note", draft.kind.as_str(), draft.version),
            _ => format!("{}-of-{}-sites-{now}.note", document.kind().as_str(), sites.len()),
        };
        durable::create_dir_all(&mint.home.drafts(), Mode::Private)?;
        let path = mint.home.drafts().join(name);
        durable::write(&path, &release::tie(&notes), Mode::Shared)?;
        return Ok(Outcome::Waiting { kind: document.kind(), path, missing, documents: notes.len() });
    }
    let notes: Vec<&[u8]> = notes.iter().map(Vec::as_slice).collect();
    let adopted = release::adopt_all(store, &notes, now)?;
    record(diary, &adopted)?;
    Ok(Outcome::Adopted(adopted))
}

/// Opens those keys named or lying in `offline/` that the charter's release role knows.
pub(super) fn open_at_hand(
    mint: &Mint,
    release: &Role,
    at_hand: &AtHand,
) -> Result<Vec<PairSigner>, Failure> {
    let mut files = at_hand.keys.clone();
    if let Ok(folder) = std::fs::read_dir(mint.home.offline()) {
        files.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let mut opened: Vec<PairSigner> = Vec::new();
    for file in files {
        let named = at_hand.keys.contains(&file);
        let Some(header) = keys::inspect(&file).ok().filter(|header| header.kind == KeyKind::Signer) else {
            if named {
                return Err(Failure::refused(format!("{} is no signer's key file", file.display())));
            }
            continue;
        };
        let known = release.signers().iter().any(|signer| signer.to_string() == header.public);
        if !known && named {
            return Err(Failure::refused(format!("{} is no release signer of the charter", header.name)));
        }
        if known && !opened.iter().any(|signer| signer.public().to_string() == header.public) {
            let passphrase = match (&at_hand.passphrase_file, named) {
                (Some(path), true) => passphrase_for(Some(path))?,
                _ => mint.passphrase()?,
            };
            let tokens = match &at_hand.pin_file {
                Some(path) if named => Arc::new(Tokens::of_key_files(Some(path))),
                _ => Arc::clone(mint.tokens()),
            };
            let passphrase = passphrase.with_tokens(tokens);
            opened.push(keys::open_signer(&file, &passphrase)?);
        }
    }
    Ok(opened)
}

/// Adds a signature of each.
pub(super) fn add_signatures(bytes: &mut Vec<u8>, signers: &[PairSigner]) -> Result<(), Failure> {
    for signer in signers {
        *bytes = note::add_signature(bytes, signer).map_err(|fault| Failure::could_not(fault.to_string()))?;
    }
    Ok(())
}
