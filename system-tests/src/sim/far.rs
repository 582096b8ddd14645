//! The far side of one site: a real gate on a folder of its own, with its clock and its people.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use farside_crossing::RecipientPublic;
use farside_gate::clock::{Proven, Steady, Witness};
use farside_gate::config::Config;
use farside_gate::enrol::{self, Candidate, Doors};
use farside_gate::import::{self, Mode, Outcome, Report};
use farside_gate::judge;
use farside_gate::pickup;
use farside_gate::status;
use farside_gate::trust::Gate;
use farside_service::time::Reading;

use super::clock::Clock;
use super::history::{Step, could, wrong};
use super::near::copy;
use super::scenario::LEEWAY;

/// A gate.
pub(super) struct Far {
    pub(super) clock: Clock,
    home: PathBuf,
    config: Config,
    gate: Option<Gate>,
    /// The clock that a gate goes by which serves.
    steady: Option<RefCell<Steady>>,
    /// Which start of the machine it is, and when that was.
    boot: (u64, u64),
    /// The steady clock as a backup holds it.
    copied: Option<Witness>,
}

/// What a door said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Admitted { sha256: String },
    Refused { code: String },
}

impl Far {
    /// Makes a gate, and shows its recipient key.
    pub(super) fn make(home: &Path, site: &str, now: u64) -> Step<(Far, RecipientPublic)> {
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        let doors = Doors { listen: nowhere, admin: nowhere };
        let (config, recipient) = could("a gate is made", enrol::init(home, site, &doors, now))?;
        let (clock, home) = (Clock::default(), home.to_owned());
        let far = Far { clock, home, config, gate: None, steady: None, boot: (0, now), copied: None };
        Ok((far, recipient))
    }

    /// From now on it goes by its steady clock.
    pub(super) fn serve(&mut self) {
        self.steady = Some(RefCell::default());
    }

    /// Trusts a charter after its fingerprint was compared, and opens.
    pub(super) fn trust(&mut self, charter: &farside_crossing::Charter, now: u64) -> Step {
        let file = self.home.join("charter.note");
        could("a charter is carried", std::fs::write(&file, charter.bytes()))?;
        let candidate = could("a charter is read", Candidate::read(&file))?;
        let trusted = enrol::trust(&self.config, &candidate, &charter.fingerprint().into(), now);
        could("a charter is trusted", trusted)?;
        self.restart()
    }

    /// Ends and starts.
    pub(super) fn restart(&mut self) -> Step {
        self.gate = None;
        self.gate = Some(could("a gate opens", Gate::open(&self.config))?);
        Ok(())
    }

    pub(super) fn gate(&self) -> &Gate {
        self.gate.as_ref().expect("the gate runs")
    }

    /// What time it is by this gate.
    pub(super) fn now(&self, truth: u64) -> u64 {
        let wall = self.clock.shows(truth);
        let (Some(steady), Ok(trust)) = (&self.steady, self.gate().trust()) else { return wall };
        let proven = Proven {
            floor: trust.time_floor(),
            not_after: trust.applied().map(|applied| applied.not_after),
            leeway_seconds: LEEWAY,
        };
        let since = Clock { set_at: self.boot.1, offset_seconds: 0, ..self.clock }.shows(truth) - self.boot.1;
        let reading =
            Reading { wall_ms: wall * 1_000, boot_ms: since * 1_000, boot: format!("start {}", self.boot.0) };
        let mut steady = steady.borrow_mut();
        let before = steady.witness().filter(|held| held.boot == reading.boot).map(|held| held.steady_ms);
        let moment = steady.look(&reading, &proven);
        let back = before.is_some_and(|before| moment.steady.is_none_or(|after| after < before / 1_000));
        assert!(!back, "the steady clock of a machine that runs went back from {before:?}: {moment:?}");
        moment.now
    }

    /// The program ends and starts, or with it the machine.
    pub(super) fn start_again(&mut self, machine: Option<u64>) -> Step {
        if let Some(now) = machine {
            self.boot = (self.boot.0 + 1, now);
        }
        if let Some(steady) = &mut self.steady {
            let kept = steady.get_mut().witness().cloned();
            steady.replace(Steady::resume(kept));
        }
        self.restart()
    }

    /// Imports from a stick: a folder as it came.
    pub(super) fn import_stick(&self, files: &[(String, Vec<u8>)], now: u64) -> Step<Vec<Report>> {
        let stick = self.home.join("stick");
        let _ = std::fs::remove_dir_all(&stick);
        could("a stick", std::fs::create_dir(&stick))?;
        lay(&stick, files)?;
        could("an import", import::path(&self.config, &stick, Mode::Apply, now))
    }

    /// Imports what a ferry has dropped into the inbox.
    pub(super) fn import_inbox(&self, files: &[(String, Vec<u8>)], now: u64) -> Step<Vec<Report>> {
        lay(&self.config.inbox(), files)?;
        let reports = could("an import", import::inbox(&self.config, now))?;
        let left = could("the inbox", std::fs::read_dir(self.config.inbox()))?.count();
        if left > 0 {
            return wrong("an import empties the inbox", format!("{left} files are left"));
        }
        Ok(reports)
    }

    /// Shows a token at a door.
    pub(super) fn show(&self, token: &str, audience: &str, now: u64) -> Step<Said> {
        let trust = match self.gate().trust() {
            Ok(trust) => trust,
            Err(refusal) => return wrong("a gate can read what it believes", refusal),
        };
        Ok(match judge::judge(&trust, token, audience, now) {
            Ok(_grant) => Said::Admitted { sha256: signing_input_sha256(token) },
            Err(refusal) => Said::Refused { code: refusal.code().to_string() },
        })
    }

    /// The tokens that lie here for `subject`.
    pub(super) fn collect(&self, subject: &str, now: u64) -> Step<Vec<String>> {
        let gate = self.gate();
        let trust = gate.trust().or_else(|refusal| wrong("a gate can read what it believes", refusal))?;
        match pickup::collect_files(gate.store(), &trust, subject, now) {
            Ok(collected) => Ok(collected.iter().map(|parcel| parcel.token.to_string()).collect()),
            Err(pickup::Refused::CannotJudge(_) | pickup::Refused::NothingToCollect) => Ok(Vec::new()),
            Err(fault) => wrong("a holder can ask for tokens", fault),
        }
    }

    /// The receipt of the bundle applied last.
    pub(super) fn receipt(&self) -> Step<Option<String>> {
        let trust =
            self.gate().trust().or_else(|refusal| wrong("a gate can read what it believes", refusal))?;
        Ok(trust.applied().and_then(|applied| applied.receipt.clone()))
    }

    /// How many leaves the gate's head of its log has.
    pub(super) fn log_size(&self) -> Step<u64> {
        let status = could("a gate tells its status", status::look(&self.config, 0))?;
        Ok(status.logs.first().map_or(0, |log| log.size))
    }

    /// Copies everything, as a backup does.
    pub(super) fn copy_to(&mut self, folder: &Path) -> Step {
        self.gate = None;
        let _ = std::fs::remove_dir_all(folder);
        copy(&self.home, folder, &["quarantine", "stick"]);
        self.copied = self.steady.as_mut().and_then(|steady| steady.get_mut().witness().cloned());
        self.restart()
    }

    /// Puts a copy in the place of everything: a disk that was rolled back.
    pub(super) fn restore_from(&mut self, folder: &Path, now: u64) -> Step {
        self.gate = None;
        self.boot = (self.boot.0 + 1, now);
        if let Some(steady) = &mut self.steady {
            steady.replace(Steady::resume(self.copied.clone()));
        }
        could("a disk is wiped", std::fs::remove_dir_all(&self.home))?;
        copy(folder, &self.home, &[]);
        could("a folder", std::fs::create_dir_all(self.config.quarantine()))?;
        self.restart()
    }

    /// What is refused and kept would fill the disk of a world that lives for years.
    pub(super) fn sweep_quarantine(&self) {
        let _ = std::fs::remove_dir_all(self.config.quarantine());
        std::fs::create_dir_all(self.config.quarantine()).expect("a folder");
    }
}

/// What the log's leaf commits to: everything before the signature.
fn signing_input_sha256(token: &str) -> String {
    let input = token.rsplit_once('.').map_or(token, |(input, _)| input);
    farside_verify::encode::base64url(farside_service::digest::sha256(input.as_bytes()))
}

fn lay(folder: &Path, files: &[(String, Vec<u8>)]) -> Step {
    for (name, bytes) in files {
        could("a file is carried", std::fs::write(folder.join(name), bytes))?;
    }
    Ok(())
}

/// One word for what became of a file, or the code of its refusal.
pub(super) fn outcome(report: &Report) -> String {
    match &report.outcome {
        Outcome::Applied(_) => "applied".to_owned(),
        Outcome::AlreadyApplied { .. } => "already".to_owned(),
        Outcome::Superseded { .. } => "superseded".to_owned(),
        Outcome::Refused { refusal, .. } => refusal.code().as_str().to_owned(),
        Outcome::Ignored(why) => format!("ignored: {why}"),
        _ => "unheard of".to_owned(),
    }
}
