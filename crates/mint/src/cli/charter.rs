//! `mint charter`: drafted from public lines, signed by root signers in turn, adopted by the mint, exported
//! for gates.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use farside_crossing::{Role, SignerPublic, charter, note};
use farside_service::cli::{Failure, printable, table};
use farside_service::durable::{self, Mode};
use farside_service::time;
use serde_json::json;

use super::key::{AddSignature, read_public};
use super::{Program, counted, joined, read_text};
use crate::ceremony::own::{self, Changes, LogChange, OnlineChange};
use crate::ceremony::{self, CharterFault, Roles};
use crate::config::Mint;
use crate::role_keys;

/// Who may sign what.
#[derive(Debug, Subcommand)]
pub enum Charter {
    /// Draft a charter: the realm's first, or the next.
    Draft {
        /// A root signer: its public line, or a file with it. Left out: as in the charter in force.
        #[arg(long = "root", value_name = "PUB")]
        root: Vec<String>,
        /// How many root signers it takes.
        #[arg(long, value_name = "K")]
        root_threshold: Option<usize>,
        /// A release signer: its public line, or a file with it. Left out: as in the charter in force.
        #[arg(long = "release", value_name = "PUB")]
        release: Vec<String>,
        /// How many release signers it takes.
        #[arg(long, value_name = "K")]
        release_threshold: Option<usize>,
        #[command(flatten)]
        cards: Cards,
        /// Make a new online key that takes the place of the one in use.
        #[arg(long)]
        new_online: bool,
        /// Make a new log key that follows the one in use, which stays believed for what it has signed.
        #[arg(long, conflicts_with = "drop_old_log")]
        new_log: bool,
        /// Name the log key that was followed no more.
        #[arg(long)]
        drop_old_log: bool,
        /// Where to write the draft.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Draft the charter that removes a stolen online or log key at once; a new one takes its place.
    ///
    /// Nothing that the removed key has signed is believed from the moment a gate knows this charter.
    Emergency {
        /// Whose key was stolen; may be given for both.
        #[arg(long, required = true, value_enum)]
        remove: Vec<Stolen>,
        /// Where to write the draft.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add a root signer's signature to a draft.
    Sign(AddSignature),
    /// Show what a charter or draft says and who has signed it.
    Show {
        /// The charter; left out: the one in force.
        file: Option<PathBuf>,
    },
    /// Put a charter into force.
    Adopt {
        /// The charter.
        file: PathBuf,
    },
    /// Write the charter in force to a file, for gates to trust.
    ///
    /// With --since, all later ones go into one file, for a gate that missed more than a bundle carries, or
    /// that is to follow an emergency charter before any bundle: `farside gate import FILE`.
    Export {
        /// The charter that the gate trusts already.
        #[arg(long, value_name = "VERSION")]
        since: Option<u64>,
        /// Where to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Whose cards break the glass on the far side (docs/breakglass.md).
#[derive(Debug, Default, Args)]
pub struct Cards {
    /// A break-glass card: its public line, or a file with it. Left out: as in the charter in force.
    #[arg(long = "breakglass", value_name = "PUB")]
    cards: Vec<String>,
    /// How many cards it takes. One alone only where this says so.
    #[arg(long, value_name = "M")]
    breakglass_threshold: Option<usize>,
    /// No card opens anything any more.
    #[arg(long, conflicts_with_all = ["cards", "breakglass_threshold"])]
    no_breakglass: bool,
}

impl Cards {
    /// The role, as it is to be.
    // breakglass.md §2.2
    fn role(&self, held: Option<&Role>) -> Result<Option<(Vec<SignerPublic>, usize)>, Failure> {
        let held = held.filter(|_| !self.no_breakglass);
        let cards: Vec<SignerPublic> = match (&self.cards[..], held) {
            ([], Some(held)) => held.signers().to_vec(),
            (lines, _) => lines.iter().map(|line| read_public(line)).collect::<Result<_, _>>()?,
        };
        let threshold = self.breakglass_threshold.or(held.map(Role::threshold));
        match (cards.len(), threshold) {
            (0, None) => Ok(None),
            (0, Some(_)) => {
                Err(Failure::refused("a threshold without cards").hint("name them with --breakglass"))
            }
            (1, None) => Err(Failure::refused("one card alone would break the glass")
                .hint("name more, or say --breakglass-threshold 1 if that is what you want")),
            (count, threshold) => Ok(Some((cards, threshold.unwrap_or(count)))),
        }
    }
}

/// A key of the mint's own that a thief may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stolen {
    /// The one that signs manifests.
    Online,
    /// The one that signs the log's heads.
    Log,
}

pub(super) fn run(command: &Charter, program: &Program) -> Result<(), Failure> {
    match command {
        Charter::Draft {
            root,
            root_threshold,
            release,
            release_threshold,
            cards,
            new_online,
            new_log,
            drop_old_log,
            out,
        } => {
            let people = People { root, root_threshold, release, release_threshold, cards };
            let online = if *new_online { OnlineChange::Replace } else { OnlineChange::Keep };
            let log = match (new_log, drop_old_log) {
                (true, _) => LogChange::Follow,
                (false, true) => LogChange::DropOld,
                (false, false) => LogChange::Keep,
            };
            let bytes = draft(&people, Changes { online, log }, out, program)?;
            show(&bytes, &[], program)
        }
        Charter::Emergency { remove, out } => emergency(remove, out, program),
        Charter::Sign(signature) => sign(signature, program),
        Charter::Show { file } => match file {
            Some(file) => show(read_text(file)?.as_bytes(), &[], program),
            None => show(ceremony::newest(&program.mint()?.store()?)?.bytes(), &[], program),
        },
        Charter::Adopt { file } => adopt(file, program),
        Charter::Export { since: None, out } => export(out, program),
        Charter::Export { since: Some(since), out } => export_chain(*since, out, program),
    }
}

#[derive(Clone, Copy)]
struct People<'a> {
    root: &'a [String],
    root_threshold: &'a Option<usize>,
    release: &'a [String],
    release_threshold: &'a Option<usize>,
    cards: &'a Cards,
}

fn draft(people: &People<'_>, changes: Changes, out: &Path, program: &Program) -> Result<Vec<u8>, Failure> {
    let mint = program.mint()?;
    let newest = ceremony::chain(&mint.store()?)?.last().cloned();
    let signers = |lines: &[String], held: Option<&Role>, role: &str, threshold: &Option<usize>| {
        let signers: Vec<SignerPublic> = match (lines, held) {
            ([], Some(held)) => held.signers().to_vec(),
            ([], None) => {
                return Err(Failure::refused(format!("the first charter needs at least one --{role}")));
            }
            (lines, _) => lines.iter().map(|line| read_public(line)).collect::<Result<_, _>>()?,
        };
        let threshold = threshold.or(held.map(Role::threshold)).unwrap_or(signers.len());
        Ok((signers, threshold))
    };
    let roles = Roles {
        root: signers(people.root, newest.as_ref().map(|held| held.root()), "root", people.root_threshold)?,
        release: signers(
            people.release,
            newest.as_ref().map(|held| held.release()),
            "release",
            people.release_threshold,
        )?,
        online: own::online(&mint, newest.as_ref(), changes.online)?,
        log: own::log(&mint, newest.as_ref(), changes.log)?,
        breakglass: people.cards.role(newest.as_ref().and_then(|held| held.breakglass()))?,
    };
    warn_of_one_card(roles.breakglass.as_ref());
    let draft = ceremony::draft(&mint.config.realm, newest.as_ref(), roles, time::now_unix())
        .map_err(CharterFault::from)?;
    let text = draft.text().map_err(CharterFault::from)?;
    let bytes = note::unsigned(&text);
    durable::write_new(out, &bytes, Mode::Shared)?;
    Ok(bytes)
}

/// It is allowed, and nobody shall have done it unknowingly.
fn warn_of_one_card(cards: Option<&(Vec<SignerPublic>, usize)>) {
    if cards.is_some_and(|(_, threshold)| *threshold == 1) {
        eprintln!("warning: any one of these cards breaks the glass alone, and so does whoever steals it");
    }
}

/// The mint's own online key that a charter names; it must name one of the mint's log keys too, or the mint
/// could do nothing under it.
fn own_online(mint: &Mint, note: &[u8]) -> Result<SignerPublic, Failure> {
    let draft = charter::review(note).map_err(CharterFault::from)?.draft;
    let online = role_keys::named_online(&mint.home, draft.online.signers())?;
    let online = online.ok_or(CharterFault::OnlineMissing)?;
    if role_keys::named_logs(&mint.home, &draft.log)?.is_empty() {
        return Err(CharterFault::LogMissing.into());
    }
    read_public(&online.public)
}

fn emergency(remove: &[Stolen], out: &Path, program: &Program) -> Result<(), Failure> {
    let (cards, none) = (Cards::default(), None);
    let people =
        People { root: &[], root_threshold: &none, release: &[], release_threshold: &none, cards: &cards };
    ceremony::newest(&program.mint()?.store()?)?;
    let online = if remove.contains(&Stolen::Online) { OnlineChange::Replace } else { OnlineChange::Keep };
    let log = if remove.contains(&Stolen::Log) { LogChange::Replace } else { LogChange::Keep };
    let bytes = draft(&people, Changes { online, log }, out, program)?;
    let out = out.display();
    let next = [
        format!("mint charter sign --key KEY {out}     each root signer in turn"),
        format!("mint charter adopt {out}"),
        "mint charter export --since VERSION --out charters.note     to be imported at every gate".to_owned(),
        "mint bundle make --site SITE --kind full     for every site".to_owned(),
        "docs/rotation.md: what the thief may have done before, and what undoes it".to_owned(),
    ];
    show(&bytes, &next, program)
}

fn sign(signature: &AddSignature, program: &Program) -> Result<(), Failure> {
    // Nobody signs what cannot be read: the review refuses a draft whose parts do not fit.
    for file in &signature.files {
        charter::review(read_text(file)?.as_bytes()).map_err(CharterFault::from)?;
    }
    signature.add()?.iter().try_for_each(|(_, bytes)| show(bytes, &[], program))
}

fn adopt(file: &Path, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let diary = mint.diary()?;
    let (store, note) = (mint.store()?, read_text(file)?);
    let online = own_online(&mint, note.as_bytes())?;
    let charter = ceremony::adopt(&store, note.as_bytes(), &online, time::now_unix())?;
    let fingerprint = charter.fingerprint();
    diary.record(
        "charter_adopted",
        json!({ "version": charter.version(), "fingerprint": fingerprint.hex() }),
    )?;
    durable::write(&mint.home.charter(), charter.bytes(), Mode::Shared)?;
    let value = json!({
        "realm": charter.realm(), "version": charter.version(), "fingerprint": fingerprint.hex(),
        "words": fingerprint.words(), "charter": mint.home.charter(),
    });
    program.output.say(
        || {
            format!(
                "Charter {} of realm {} is in force. Its fingerprint:\n\n  {}\n  {}",
                charter.version(),
                charter.realm(),
                fingerprint.words(),
                fingerprint.hex()
            )
        },
        &value,
    )
}

fn export(out: &Path, program: &Program) -> Result<(), Failure> {
    let charter = ceremony::newest(&program.mint()?.store()?)?;
    durable::write(out, charter.bytes(), Mode::Shared)?;
    let fingerprint = charter.fingerprint();
    let value = json!({
        "file": out, "version": charter.version(), "fingerprint": fingerprint.hex(),
        "words": fingerprint.words(),
    });
    program.output.say(
        || format!("Charter {} is in {}.\n\n  {}", charter.version(), out.display(), fingerprint.words()),
        &value,
    )
}

fn export_chain(since: u64, out: &Path, program: &Program) -> Result<(), Failure> {
    let chain = ceremony::chain(&program.mint()?.store()?)?;
    let newest = chain.last().ok_or(CharterFault::None)?;
    let later: Vec<&[u8]> =
        chain.iter().filter(|charter| charter.version() > since).map(|charter| charter.bytes()).collect();
    if later.is_empty() {
        let version = newest.version();
        return Err(Failure::refused(format!("charter {version} is the newest: none came after {since}")));
    }
    durable::write(out, &charter::chain_file(newest.realm(), &later), Mode::Shared)?;
    let (version, count) = (newest.version(), later.len());
    let value = json!({ "file": out, "version": version, "charters": count });
    program.output.say(
        || {
            let file = out.display();
            format!("The {count} charters up to {version} are in {file}: `farside gate import {file}`.")
        },
        &value,
    )
}

fn show(bytes: &[u8], next: &[String], program: &Program) -> Result<(), Failure> {
    let review = charter::review(bytes).map_err(CharterFault::from)?;
    let draft = &review.draft;
    let roles: Vec<&Role> =
        [&draft.root, &draft.release, &draft.online].into_iter().chain(&draft.breakglass).collect();
    let names =
        |role: &Role| role.signers().iter().map(|signer| signer.name().to_owned()).collect::<Vec<_>>();
    let missing = draft.root.threshold().saturating_sub(review.signed.len());
    let value = json!({
        "realm": draft.realm, "version": draft.version, "fingerprint": review.fingerprint.hex(),
        "words": review.fingerprint.words(), "signed": review.signed, "signatures_missing": missing,
        "roles": roles.iter().map(|role| json!({
            "role": role.name().as_str(), "threshold": role.threshold(), "signers": names(role),
        })).collect::<Vec<_>>(),
        "log": draft.log.iter().map(ToString::to_string).collect::<Vec<_>>(), "next": next,
    });
    program.output.say(
        || {
            let mut rows: Vec<Vec<String>> = roles
                .iter()
                .map(|role| {
                    let count = format!("{} of {}", role.threshold(), role.signers().len());
                    vec![role.name().as_str().to_owned(), count, joined(&names(role))]
                })
                .collect();
            let logs: Vec<String> = draft.log.iter().map(key_shown).collect();
            rows.push(vec!["log".to_owned(), "any".to_owned(), joined(&logs)]);
            let state = match missing {
                0 => format!("Signed by {}: enough.", joined(&review.signed)),
                _ => format!(
                    "Signed by {}; {} must sign.",
                    joined(&review.signed),
                    counted(missing, "more root signer")
                ),
            };
            let next: String = next.iter().map(|step| format!("\n  {step}")).collect();
            format!(
                "Charter {} of realm {}\n\n{}\n\n  {}\n  {}\n\n{state}{next}",
                draft.version,
                printable(&draft.realm),
                table(&["role", "takes", "signers"], &rows),
                review.fingerprint.words(),
                review.fingerprint.hex(),
            )
        },
        &value,
    )
}

/// Name and id of a log's key; the rest of its line is the key itself.
fn key_shown(key: &farside_crossing::LogKey) -> String {
    let line = key.to_string();
    let mut parts = line.splitn(3, '+');
    format!("{}+{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}
