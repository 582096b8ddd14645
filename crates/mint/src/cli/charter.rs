//! `mint charter`: drafted from public lines, signed by root signers in turn, adopted by the mint, exported
//! for gates.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use farside_crossing::{LogKey, Role, SignerPublic, charter, note};
use farside_service::cli::{Failure, printable, table};
use farside_service::durable::{self, Mode};
use farside_service::time;
use serde_json::json;

use super::key::{AddSignature, read_public};
use super::{Program, joined, read_text};
use crate::ceremony::{self, CharterFault, Roles};
use crate::config::Mint;
use crate::keys;

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
    Export {
        /// Where to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Whose cards break the glass on the far side (docs/breakglass.md).
#[derive(Debug, Args)]
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

pub(super) fn run(command: &Charter, program: &Program) -> Result<(), Failure> {
    match command {
        Charter::Draft { root, root_threshold, release, release_threshold, cards, out } => {
            let people = People { root, root_threshold, release, release_threshold, cards };
            draft(&people, out, program)
        }
        Charter::Sign(signature) => sign(signature, program),
        Charter::Show { file } => match file {
            Some(file) => show(read_text(file)?.as_bytes(), program),
            None => show(ceremony::newest(&program.mint()?.store()?)?.bytes(), program),
        },
        Charter::Adopt { file } => adopt(file, program),
        Charter::Export { out } => export(out, program),
    }
}

struct People<'a> {
    root: &'a [String],
    root_threshold: &'a Option<usize>,
    release: &'a [String],
    release_threshold: &'a Option<usize>,
    cards: &'a Cards,
}

fn draft(people: &People<'_>, out: &Path, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let newest = ceremony::chain(&mint.store()?)?.pop();
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
        online: online(&mint)?,
        log: log(&mint)?,
        breakglass: people.cards.role(newest.as_ref().and_then(|held| held.breakglass()))?,
    };
    warn_of_one_card(roles.breakglass.as_ref());
    let draft = ceremony::draft(&mint.config.realm, newest.as_ref(), roles, time::now_unix())
        .map_err(CharterFault::from)?;
    let text = draft.text().map_err(CharterFault::from)?;
    durable::write_new(out, &note::unsigned(&text), Mode::Shared)?;
    show(&note::unsigned(&text), program)
}

/// It is allowed, and nobody shall have done it unknowingly.
fn warn_of_one_card(cards: Option<&(Vec<SignerPublic>, usize)>) {
    if cards.is_some_and(|(_, threshold)| *threshold == 1) {
        eprintln!("warning: any one of these cards breaks the glass alone, and so does whoever steals it");
    }
}

fn online(mint: &Mint) -> Result<SignerPublic, Failure> {
    read_public(&mint.home.online_key().display().to_string())
}

fn log(mint: &Mint) -> Result<LogKey, Failure> {
    let line = keys::inspect(&mint.home.log_key())?.public;
    line.parse().map_err(|refusal: farside_crossing::Refusal| Failure::could_not(refusal.to_string()))
}

fn sign(signature: &AddSignature, program: &Program) -> Result<(), Failure> {
    // Nobody signs what cannot be read: the review refuses a draft whose parts do not fit.
    charter::review(read_text(&signature.file)?.as_bytes()).map_err(CharterFault::from)?;
    show(&signature.add()?, program)
}

fn adopt(file: &Path, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let diary = mint.diary()?;
    let charter =
        ceremony::adopt(&mint.store()?, read_text(file)?.as_bytes(), &online(&mint)?, time::now_unix())?;
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

fn show(bytes: &[u8], program: &Program) -> Result<(), Failure> {
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
    });
    program.output.say(
        || {
            let rows: Vec<Vec<String>> = roles
                .iter()
                .map(|role| {
                    let count = format!("{} of {}", role.threshold(), role.signers().len());
                    vec![role.name().as_str().to_owned(), count, joined(&names(role))]
                })
                .collect();
            let state = match missing {
                0 => format!("Signed by {}: enough.", joined(&review.signed)),
                _ => format!(
                    "Signed by {}; {missing} more of its root signers must sign.",
                    joined(&review.signed)
                ),
            };
            format!(
                "Charter {} of realm {}\n\n{}\n\n  {}\n  {}\n\n{state}",
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
