//! `mint release`: documents that release people sign: calendars, policies, fences and pardons. Where their
//! keys are at hand the document is signed and adopted at once; otherwise a draft is left for them, to be
//! signed in turn.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use farside_crossing::{Note, Role, charter, note};
use farside_service::cli::Failure;
use farside_service::durable::{self, Mode};
use farside_service::time;
use farside_verify::leaf::TokenPosition;
use serde_json::json;

use super::at_hand::{AtHand, add_signatures, in_force, open_at_hand, record, release_at_once};
use super::key::AddSignature;
use super::{Program, counted, joined, read_sheaf, read_text};
use crate::ceremony;
use crate::release::{self, Document, Pardoned, ReleaseFault, Renewal};
use crate::store::Site;

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
                release::shown(&read_sheaf(file)?).map_err(ReleaseFault::from)?;
            }
            signature.add()?;
            signature.files.iter().try_for_each(|file| say_progress(role.as_ref(), file, program))
        }
        Release::Adopt { files } => {
            let mint = program.mint()?;
            let (diary, store) = (mint.diary()?, mint.store()?);
            for file in files {
                let sheaf = read_sheaf(file)?;
                let notes = release::untie(&sheaf).map_err(ReleaseFault::from)?;
                let adopted = release::adopt_all(&store, &notes, time::now_unix())?;
                record(&diary, &adopted)?;
                match &adopted[..] {
                    [only] => program.output.say(|| in_force(&adopted), only)?,
                    _ => program.output.say(|| in_force(&adopted), &adopted)?,
                }
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
    let bytes = read_sheaf(file)?;
    let shown = release::shown(&bytes).map_err(ReleaseFault::from)?;
    let Some(release) = release else {
        let names = release::names(&bytes).map_err(ReleaseFault::from)?;
        let value = json!({ "file": file, "names": names });
        let say = || {
            let (file, names) = (file.display(), joined(&names));
            format!("{shown}\n\n{file} bears the names of {names}; no charter is here to check them by.")
        };
        return program.output.say(say, &value);
    };
    let (signed, threshold) = release::progress(release, &bytes).map_err(ReleaseFault::from)?;
    let missing = threshold.saturating_sub(signed.len());
    let value =
        json!({ "file": file, "signed": signed, "threshold": threshold, "signatures_missing": missing });
    program.output.say(
        || {
            let next = match missing {
                0 => format!("enough: `mint release adopt {}`", file.display()),
                _ => format!("{} must sign", counted(missing, "more release signer")),
            };
            format!("{shown}\n\n{} is signed by {}; {next}.", file.display(), joined(&signed))
        },
        &value,
    )
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
            record(&diary, std::slice::from_ref(&adopted))?;
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
