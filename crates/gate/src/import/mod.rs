//! Lets bundles in: takes a file, believes it or not, applies it in one durable step or quarantines it with
//! its reason, and tells the journal before and after.
//!
//! ```text
//!   file ─▶ intake ─▶ bundle::open ─▶ acceptance ─▶ components ─▶ journal ─▶ commit ─▶ Applied
//!            bounded    signatures      nine rules     checks                    └──── every door sees it
//!              └───────────┴───────────────┴─────────────┴──▶ quarantine/ ─▶ Refused
//! ```
//!
//! One import at a time, whichever process runs it. A refused bundle changes nothing but what a fork must
//! change.

mod apply;
mod intake;
mod log;
mod parcels;
mod past;
mod report;
mod status;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farside_crossing::{Code, RecipientSecret, Refusal};
use farside_service::append::Ticket;
use farside_service::cli::{Failure, OrFailure as _, operator, printable};
use farside_service::digest::{hex, sha256};
use farside_service::durable;
use farside_service::journal::Journal;
use farside_service::lock::Exclusive;
use serde_json::json;

use crate::config::Config;
use crate::known::{Believers, CacheLimits};
use crate::quarantine;
use crate::recipient;
use crate::store::{self, Store};
use crate::trust::Gate;

pub use intake::{BUNDLE_BYTES_MAX, FILES_MAX};
pub use report::{Applied, Chartered, HeadLetGo, Outcome, ParcelsIn, Report};

use apply::{Considered, Instead, Trouble};
use intake::Taken;

/// How long an import waits for another to end.
const LOCK_WAIT_SECONDS_MAX: u64 = 120;

/// A file cut short that was written this recently may still be arriving.
const ARRIVING_SECONDS: u64 = 10;

/// Name of the importer's own journal: `serve` keeps another, and each file has one writer.
pub const JOURNAL_NAME: &str = "gate-import";

/// Whether an import changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Apply or quarantine.
    Apply,
    /// Say what would happen, and leave everything as it is.
    DryRun,
}

/// Imports a file, or every file of a folder in the order of their numbers. The files stay where they are.
///
/// # Errors
/// The gate could not work at all. A refused bundle is no error here: see [`Outcome`].
pub fn path(config: &Config, path: &Path, mode: Mode, now: u64) -> Result<Vec<Report>, Failure> {
    let files = if path.is_dir() {
        let folder = intake::folder_of_site(path, &config.site);
        intake::list(&folder).or_could_not(|| format!("read {}", folder.display()))?
    } else {
        std::fs::symlink_metadata(path).or_could_not(|| format!("read {}", path.display()))?;
        vec![path.to_path_buf()]
    };
    let importer = Importer::open(config, mode, now)?;
    importer.rounds(&files, Whose::Theirs)
}

/// Imports what lies in the inbox and empties it: applied bundles are removed, refused ones go to quarantine.
///
/// # Errors
/// The gate could not work at all.
pub fn inbox(config: &Config, now: u64) -> Result<Vec<Report>, Failure> {
    inbox_by(config, now, now)
}

/// As [`inbox`], where it may also be as early as `earliest`: a clock that jumped ahead makes nothing expire
/// that can wait until it is set right.
///
/// # Errors
/// As [`inbox`].
// bundle.md §13.9
pub fn inbox_by(config: &Config, now: u64, earliest: u64) -> Result<Vec<Report>, Failure> {
    inbox_with(config, now, earliest, None)
}

/// As [`inbox_by`], for the running gate: the tokens that come in parcels are verified here, and known at its
/// doors from then on.
///
/// # Errors
/// As [`inbox`].
pub fn inbox_of(gate: &Gate, config: &Config, now: u64, earliest: u64) -> Result<Vec<Report>, Failure> {
    inbox_with(config, now, earliest, Some(Arc::clone(gate.believers())))
}

fn inbox_with(
    config: &Config,
    now: u64,
    earliest: u64,
    believers: Option<Arc<Believers>>,
) -> Result<Vec<Report>, Failure> {
    let folder = config.inbox();
    let files = intake::list(&folder).or_could_not(|| format!("read {}", folder.display()))?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mut importer = Importer { earliest, ..Importer::open(config, Mode::Apply, now)? };
    importer.believers = believers.unwrap_or(importer.believers);
    importer.rounds(&files, Whose::Ours)
}

/// Whether the files are ours to remove.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
}

/// One import under its lock.
struct Importer<'a> {
    config: &'a Config,
    mode: Mode,
    now: u64,
    /// The earliest that it can be.
    earliest: u64,
    store: Store,
    secret: Option<RecipientSecret>,
    believers: Arc<Believers>,
    journal: Option<Journal>,
    /// Who gave the order.
    by: String,
    _lock: Exclusive,
}

impl<'a> Importer<'a> {
    fn open(config: &'a Config, mode: Mode, now: u64) -> Result<Importer<'a>, Failure> {
        let store = Store::open(&config.database())?;
        let lock = Exclusive::take_within(&config.import_lock(), Duration::from_secs(LOCK_WAIT_SECONDS_MAX))?;
        let key = config.recipient_key();
        let secret = if key.exists() { Some(recipient::read(&key, &config.site)?) } else { None };
        let journal = match mode {
            Mode::Apply => Some(Journal::open(&config.journal(), JOURNAL_NAME)?.0),
            Mode::DryRun => None,
        };
        let believers = Arc::new(Believers::new(CacheLimits::NONE));
        let (earliest, by) = (now, operator());
        Ok(Importer { config, mode, now, earliest, store, secret, believers, journal, by, _lock: lock })
    }

    /// Goes through the files until a round brings nothing new: a bundle may wait for one whose name sorts
    /// later.
    fn rounds(&self, files: &[std::path::PathBuf], whose: Whose) -> Result<Vec<Report>, Failure> {
        let mut reports: Vec<Report> = Vec::new();
        let mut waiting: Vec<&std::path::PathBuf> = files.iter().collect();
        loop {
            let (mut progress, mut still) = (false, Vec::new());
            for file in waiting {
                let report = self.file(file, whose)?;
                progress |= report.brought_something();
                if report.waits() {
                    still.push(file);
                } else {
                    reports.push(self.settle(file, report, whose)?);
                }
            }
            if !progress || still.is_empty() {
                for file in still {
                    let report = self.file(file, whose)?;
                    reports.push(self.settle(file, report, whose)?);
                }
                return Ok(reports);
            }
            waiting = still;
        }
    }

    /// Judges one file, and applies it if it may be.
    fn file(&self, path: &Path, whose: Whose) -> Result<Report, Failure> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = printable(&name).into_owned();
        let taken = match intake::take(path) {
            Ok(taken) => taken,
            Err(error) => {
                let outcome = Outcome::Ignored(format!("it cannot be read: {error}"));
                return Ok(Report { file: name, outcome, taken: None });
            }
        };
        let outcome = match &taken {
            Taken::Folder => Outcome::Ignored("a folder".to_owned()),
            Taken::NoFile(what) => refused(Refusal::new(Code::Malformed, format!("not a file but {what}"))),
            Taken::Huge { file_bytes, .. } => refused(Refusal::new(
                Code::TooLarge,
                format!("{file_bytes} bytes of at most {BUNDLE_BYTES_MAX}"),
            )),
            Taken::Whole(bytes) => match self.consider(&name, bytes)? {
                // Whoever names a file means it as it is; what drops into the inbox may be given a moment
                // more.
                Outcome::Refused { refusal, .. }
                    if refusal.code() == Code::Truncated && whose == Whose::Ours && arriving(path) =>
                {
                    Outcome::Ignored("cut short, and may still be arriving".to_owned())
                }
                Outcome::Refused { refusal, .. }
                    if refusal.code() == Code::Expired
                        && self.earliest < self.now
                        && whose == Whose::Ours =>
                {
                    Outcome::Ignored(
                        "expired by a clock that jumped ahead; it waits until that is settled".to_owned(),
                    )
                }
                outcome => outcome,
            },
        };
        Ok(Report { file: name, outcome, taken: Some(taken) })
    }

    /// All of a judgement and its consequences in one transaction.
    fn consider(&self, file: &str, bytes: &[u8]) -> Result<Outcome, Failure> {
        let (site, secret, believers) = (&self.config.site, self.secret.as_ref(), &*self.believers);
        let scene = apply::Scene { site, secret, believers, now: self.now };
        let done = self.store.write(|tx| {
            let considered = apply::consider(tx, &scene, bytes)?;
            if self.mode == Mode::DryRun {
                return Err(Trouble::Otherwise(Instead::DryRun(Box::new(considered.into_outcome()))));
            }
            // Whatever is about to be believed stands in the journal before it is.
            let (event, mut members, let_go) = match &considered {
                Considered::Applied(applied) => ("bundle_accepted", json!(applied), &applied.heads_let_go),
                Considered::Chartered(new) if !new.charters.is_empty() => {
                    ("charters_followed", json!(new), &new.heads_let_go)
                }
                _ => return Ok(considered),
            };
            for head in let_go {
                self.begin_record("log_head_let_go", &json!(head))?;
            }
            members["by"] = json!(self.by);
            members["file"] = json!(file);
            self.record(event, &members)?;
            Ok(considered)
        });
        match done {
            Ok(considered) => {
                let outcome = considered.into_outcome();
                if let Outcome::Applied(applied) = &outcome {
                    self.record("bundle_applied", &json!({"seq": applied.seq, "digest": applied.digest}))?;
                }
                Ok(outcome)
            }
            Err(Trouble::Otherwise(Instead::DryRun(outcome))) => Ok(*outcome),
            Err(Trouble::Refused(refusal)) => Ok(refused(refusal)),
            Err(Trouble::Otherwise(Instead::FromLater(refusal, ahead))) => {
                if self.mode == Mode::Apply {
                    self.store.write(|tx| store::set_mint_ahead(tx, Some(ahead)))?;
                }
                Ok(refused(refusal))
            }
            Err(Trouble::Broken(failure)) => Err(failure),
        }
    }

    /// Writes down what became of a file that was not applied, keeps the refused, and empties the inbox.
    fn settle(&self, path: &Path, mut report: Report, mut whose: Whose) -> Result<Report, Failure> {
        let taken = report.taken.take();
        if self.mode == Mode::DryRun {
            return Ok(report);
        }
        if let (Outcome::Refused { refusal, kept }, Some(taken)) = (&mut report.outcome, &taken) {
            let (bytes, file_bytes) = match taken {
                Taken::Whole(bytes) => (bytes.as_slice(), bytes.len() as u64),
                Taken::Huge { head, file_bytes } => (head.as_slice(), *file_bytes),
                Taken::NoFile(_) | Taken::Folder => (&[][..], 0),
            };
            let found = quarantine::Refused { name: &report.file, bytes, file_bytes, refusal };
            // A quarantine that cannot be written must not keep good bundles out: the file stays where it is.
            match quarantine::keep(self.config, &found, self.now) {
                Ok(entry) => *kept = entry,
                Err(fault) => {
                    tracing::error!(file = report.file, %fault, "a refused file could not be put into quarantine");
                    whose = Whose::Theirs;
                }
            }
            let folder = kept.as_ref().and_then(|kept| kept.file_name()).map(|name| name.to_string_lossy());
            let file_sha256 = hex(&sha256(bytes));
            self.record(
                "bundle_refused",
                &json!({"by": self.by, "file": report.file, "file_sha256": file_sha256, "file_bytes": file_bytes,
                        "code": refusal.code().as_str(), "detail": refusal.detail(), "quarantine": folder}),
            )?;
        }
        if let Outcome::Superseded { held, offered, .. } = &report.outcome {
            let members = json!({"by": self.by, "file": report.file, "held": held, "offered": offered});
            self.record("bundle_superseded", &members)?;
        }
        if whose == Whose::Ours && !matches!(report.outcome, Outcome::Ignored(_)) {
            durable::remove(path)?;
        }
        Ok(report)
    }

    /// Durable when this returns.
    fn record(&self, event: &str, fields: &serde_json::Value) -> Result<(), Failure> {
        Ok(self.begin_record(event, fields)?.map_or(Ok(()), Ticket::wait)?)
    }

    /// Durable with the next line that is.
    fn begin_record(&self, event: &str, fields: &serde_json::Value) -> Result<Option<Ticket>, Failure> {
        let Some(journal) = &self.journal else { return Ok(None) };
        Ok(Some(journal.record_at(self.now, event, fields.clone())?))
    }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused { refusal, kept: None }
}

/// Whether the file was written so recently that whoever copies it may not be done.
fn arriving(path: &Path) -> bool {
    let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age.as_secs() < ARRIVING_SECONDS)
}
