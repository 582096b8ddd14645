//! `mint release`: documents that release people sign: calendars, policies, fences and pardons. Where their
//! keys are at hand the document is signed and adopted at once; otherwise a draft is left for them, to be
//! signed in turn.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use farside_crossing::{Note, Role, Signer, charter, note};
use farside_service::cli::Failure;
use farside_service::durable::{self, Mode};
use farside_service::time;
use farside_verify::leaf::TokenPosition;
use serde_json::{Value, json};

use super::key::{AddSignature, passphrase_for};
use super::{Program, joined, read_text};
use crate::ceremony;
use crate::config::{Diary, Mint};
use crate::keys::{self, KeyKind, PairSigner, Tokens};
use crate::release::{self, Adopted, Document, Draft, Kind, Pardoned, ReleaseFault, Renewal};
use crate::store::{Site, Store};

/// Documents that release people sign.
#[derive(Debug, Subcommand)]
pub enum Release {
    /// Draft the next version of a site's document.
    Draft {
        /// The site.
        #[arg(long)]
        site: String,
        /// Which document.
        #[arg(long)]
        kind: Standing,
        /// Where to write it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Let a site's gates go on at the next bundles: out of a fork, or over a jump in the numbers.
    Fence {
        /// The site.
        #[arg(long)]
        site: String,
        /// First number at which they may go on; left out: the next bundle's.
        #[arg(long, value_name = "SEQ")]
        seq_min: Option<u64>,
        /// Last such number; left out: 100 numbers in all.
        #[arg(long, value_name = "SEQ")]
        seq_max: Option<u64>,
        #[command(flatten)]
        at_hand: AtHand,
    },
    /// Take revocations back at a site.
    Pardon {
        /// The site.
        #[arg(long)]
        site: String,
        /// A token, by its id.
        #[arg(long = "token", value_name = "ID")]
        tokens: Vec<TokenPosition>,
        /// A subject.
        #[arg(long = "subject", value_name = "NAME")]
        subjects: Vec<String>,
        /// A client, by its client id, and its subject where that was revoked with it.
        #[arg(long = "client", value_name = "ID")]
        clients: Vec<String>,
        /// A group, and the members that were revoked with it and for nothing else.
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
        /// What was issued up to a moment.
        #[arg(long)]
        all: bool,
        /// A token key, by its id.
        #[arg(long = "key", value_name = "KID", allow_hyphen_values = true)]
        kids: Vec<String>,
        #[command(flatten)]
        at_hand: AtHand,
    },
    /// Have what is in force signed again, unchanged, after the release role has changed, or before it does.
    ///
    /// Until then no bundle is made for those sites: their gates would refuse it.
    Renew {
        /// One site only.
        #[arg(long)]
        site: Option<String>,
        /// The charter that is to come: its release people sign before it is adopted, and no bundle waits.
        #[arg(long, value_name = "FILE")]
        charter: Option<PathBuf>,
        #[command(flatten)]
        at_hand: AtHand,
    },
    /// Show what a document says and whose names are under it.
    Show {
        /// The document.
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// Add a release signer's signature to a draft. It needs no mint: carry the draft to the signer's
    /// machine.
    Sign {
        #[command(flatten)]
        signature: AddSignature,
        #[command(flatten)]
        by: By,
    },
    /// Put a signed document into force: it crosses with the next bundle.
    Adopt {
        /// The document; several are adopted one after the other.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// The documents that follow from what the mint holds.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Standing {
    /// The calendar of the site's keys.
    Keys,
    /// Its policy.
    Policy,
}

/// Whose signatures count.
#[derive(Debug, Clone, Args)]
pub struct By {
    /// The charter that names the release signers; left out: the one in force, where a mint is at hand.
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
}

impl By {
    fn release(&self, program: &Program) -> Result<Option<Role>, Failure> {
        match &self.charter {
            Some(file) => release_of(file).map(Some),
            None if program.config.exists() => {
                Ok(Some(ceremony::newest(&program.mint()?.store()?)?.release().clone()))
            }
            None => Ok(None),
        }
    }
}

/// The release role of a charter, or of one that is still being signed.
fn release_of(charter: &Path) -> Result<Role, Failure> {
    let review = charter::review(read_text(charter)?.as_bytes()).map_err(ceremony::CharterFault::from)?;
    Ok(review.draft.release)
}

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

pub(super) fn run(command: &Release, program: &Program) -> Result<(), Failure> {
    match command {
        Release::Draft { site, kind, out } => {
            let store = program.mint()?.store()?;
            let document = match kind {
                Standing::Keys => Document::Keys,
                Standing::Policy => Document::Policy,
            };
            let draft = release::draft(&store, site, &document, time::now_unix())?;
            durable::write_new(out, &note::unsigned(&draft.text), Mode::Shared)?;
            say_progress(Some(ceremony::newest(&store)?.release()), out, program)
        }
        Release::Fence { site, seq_min, seq_max, at_hand } => give_leave(site, at_hand, program, |site| {
            let default = release::fence_numbers(site);
            let first = seq_min.unwrap_or(*default.start());
            let count = default.end() - default.start();
            Document::Fence(first..=seq_max.unwrap_or(first.saturating_add(count)))
        }),
        Release::Pardon { site, tokens, subjects, clients, groups, all, kids, at_hand } => {
            let pardoned = Pardoned {
                tokens: tokens.clone(),
                subjects: subjects.clone(),
                clients: clients.clone(),
                groups: groups.clone(),
                keys: kids.clone(),
                all: *all,
            };
            give_leave(site, at_hand, program, |_| Document::Pardon(pardoned))
        }
        Release::Renew { site, charter, at_hand } => {
            renew(site.as_deref(), charter.as_deref(), at_hand, program)
        }
        Release::Show { file, by } => say_progress(by.release(program)?.as_ref(), file, program),
        Release::Sign { signature, by } => {
            let role = by.release(program)?;
            // Nobody signs what cannot be read.
            for file in &signature.files {
                release::shown(read_text(file)?.as_bytes()).map_err(ReleaseFault::from)?;
            }
            signature.add()?;
            signature.files.iter().try_for_each(|file| say_progress(role.as_ref(), file, program))
        }
        Release::Adopt { files } => {
            let mint = program.mint()?;
            let (diary, store) = (mint.diary()?, mint.store()?);
            for file in files {
                let adopted = release::adopt(&store, read_text(file)?.as_bytes(), time::now_unix())?;
                record(&diary, &adopted)?;
                program.output.say(|| in_force(&adopted), &adopted)?;
            }
            Ok(())
        }
    }
}

fn give_leave(
    site: &str,
    at_hand: &AtHand,
    program: &Program,
    leave: impl FnOnce(&Site) -> Document,
) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    let directory = store.directory()?;
    let known = directory.site(site).ok_or_else(|| ReleaseFault::NoSite(site.to_owned()))?;
    let outcome = release_at_once(&mint, &store, &mint.diary()?, (site, &leave(known)), at_hand)?;
    program.output.say(|| outcome.sentence(), &outcome.value())
}

fn say_progress(release: Option<&Role>, file: &Path, program: &Program) -> Result<(), Failure> {
    let text = read_text(file)?;
    let shown = release::shown(text.as_bytes()).map_err(ReleaseFault::from)?;
    let Some(release) = release else {
        let note = Note::parse(text.as_bytes()).map_err(ReleaseFault::from)?;
        let names: Vec<String> = note.signer_names().into_iter().map(str::to_owned).collect();
        let value = json!({ "file": file, "names": names });
        let say = || {
            let (file, names) = (file.display(), joined(&names));
            format!("{shown}\n\n{file} bears the names of {names}; no charter is here to check them by.")
        };
        return program.output.say(say, &value);
    };
    let (signed, threshold) = release::progress(release, text.as_bytes()).map_err(ReleaseFault::from)?;
    let missing = threshold.saturating_sub(signed.len());
    let value =
        json!({ "file": file, "signed": signed, "threshold": threshold, "signatures_missing": missing });
    program.output.say(
        || {
            let next = match missing {
                0 => format!("enough: `mint release adopt {}`", file.display()),
                _ => format!("{missing} more release signers must sign"),
            };
            format!("{shown}\n\n{} is signed by {}; {next}.", file.display(), joined(&signed))
        },
        &value,
    )
}

/// What became of a document that was to be released at once.
pub(super) enum Outcome {
    Adopted(Adopted),
    /// Too few keys were at hand; the draft waits here with the signatures it has.
    Waiting {
        kind: Kind,
        path: PathBuf,
        missing: usize,
    },
}

impl Outcome {
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Adopted(adopted) => in_force(adopted),
            Self::Waiting { kind, path, missing } => {
                let (kind, path) = (kind.as_str(), path.display());
                format!(
                    "The {kind} document waits for {missing} more release signatures in {path}:\n  \
                     mint release sign --key KEY {path}\n  mint release adopt {path}"
                )
            }
        }
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Adopted(adopted) => json!({ "adopted": adopted }),
            Self::Waiting { kind, path, missing } => {
                json!({ "waiting": { "kind": kind, "file": path, "signatures_missing": missing } })
            }
        }
    }
}

fn in_force(adopted: &Adopted) -> String {
    let state = if adopted.renewed { "stays in force" } else { "is in force" };
    format!(
        "The {} document {} of site {} {state}, signed by {}; it crosses with the next bundle.",
        adopted.kind.as_str(),
        adopted.version,
        adopted.site,
        joined(&adopted.signers)
    )
}

fn record(diary: &Diary, adopted: &Adopted) -> Result<(), Failure> {
    diary.record(
        "release_adopted",
        json!({
            "site": adopted.site, "kind": adopted.kind, "version": adopted.version,
            "signers": adopted.signers, "renewed": adopted.renewed,
        }),
    )
}

/// Drafts a document and releases it with the keys at hand.
pub(super) fn release_at_once(
    mint: &Mint,
    store: &Store,
    diary: &Diary,
    (site, document): (&str, &Document),
    at_hand: &AtHand,
) -> Result<Outcome, Failure> {
    let now = time::now_unix();
    let draft = release::draft(store, site, document, now)?;
    let charter = ceremony::newest(store)?;
    let signers = open_at_hand(mint, charter.release(), at_hand)?;
    let missing = charter.release().threshold().saturating_sub(signers.len());
    if missing > 0 {
        let path = leave(mint, site, &draft, &signers)?;
        return Ok(Outcome::Waiting { kind: draft.kind, path, missing });
    }
    let signers: Vec<&dyn Signer> = signers.iter().map(|signer| signer as &dyn Signer).collect();
    let adopted = release::sign_and_adopt(store, &draft, &signers, now)?;
    record(diary, &adopted)?;
    Ok(Outcome::Adopted(adopted))
}

/// Opens those keys named or lying in `offline/` that the charter's release role knows.
fn open_at_hand(mint: &Mint, release: &Role, at_hand: &AtHand) -> Result<Vec<PairSigner>, Failure> {
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

/// Leaves a draft, with whatever signatures it has, where people find it.
fn leave(mint: &Mint, site: &str, draft: &Draft, signers: &[PairSigner]) -> Result<PathBuf, Failure> {
    let mut bytes = note::unsigned(&draft.text);
    add_signatures(&mut bytes, signers)?;
    durable::create_dir_all(&mint.home.drafts(), Mode::Private)?;
    let path = mint.home.drafts().join(format!("{site}-{}-{}.note", draft.kind.as_str(), draft.version));
    durable::write(&path, &bytes, Mode::Shared)?;
    Ok(path)
}

fn add_signatures(bytes: &mut Vec<u8>, signers: &[PairSigner]) -> Result<(), Failure> {
    for signer in signers {
        *bytes = note::add_signature(bytes, signer).map_err(|fault| Failure::could_not(fault.to_string()))?;
    }
    Ok(())
}

/// Has every document signed again that the release people of the charter in force, or of the next, have not
/// signed.
fn renew(
    site: Option<&str>,
    next: Option<&Path>,
    at_hand: &AtHand,
    program: &Program,
) -> Result<(), Failure> {
    let mint = program.mint()?;
    let (store, diary) = (mint.store()?, mint.diary()?);
    let held = ceremony::newest(&store)?.release().clone();
    let next = next.map_or_else(|| Ok(held.clone()), release_of)?;
    let renewals = release::outdated(&store, site, (&held, &next))?;
    let signers = open_at_hand(&mint, &next, at_hand)?;
    let (mut renewed, mut waiting) = (Vec::new(), Vec::new());
    for mut renewal in renewals {
        add_signatures(&mut renewal.note, &signers)?;
        let enough = |role: &Role| Note::parse(&renewal.note).is_ok_and(|note| role.verify(&note).is_ok());
        if enough(&next) && enough(&held) {
            let adopted = release::adopt(&store, &renewal.note, time::now_unix())?;
            record(&diary, &adopted)?;
            renewed.push(adopted);
        } else {
            durable::create_dir_all(&mint.home.drafts(), Mode::Private)?;
            let Renewal { site, kind, version, note } = &renewal;
            let path = mint.home.drafts().join(format!("{site}-{}-{version}.again.note", kind.as_str()));
            durable::write(&path, note, Mode::Shared)?;
            waiting.push(path);
        }
    }
    let value = json!({ "renewed": renewed, "waiting": waiting });
    program.output.say(
        || match (renewed.len(), waiting.len()) {
            (0, 0) => "Everything in force is signed by the release people already.".to_owned(),
            (done, 0) => format!("{done} documents are signed again and stay in force."),
            (done, left) => format!(
                "{done} documents are signed again; {left} wait for signatures in {}:\n  \
                 mint release sign --key KEY FILE…     each release signer in turn\n  \
                 mint release adopt FILE…",
                mint.home.drafts().display()
            ),
        },
        &value,
    )
}
