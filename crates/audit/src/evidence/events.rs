//! What the journals tell: each is checked from its first line, and read as far as it holds.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use farside_crossing::evidence::JOURNALS;
use farside_crossing::manifest::JournalHead;
use farside_service::cli::{Failure, OrFailure as _};
use farside_service::digest::unhex;
use farside_service::export::Reader;
use farside_service::journal::{Beginning, JournalFault, Stored, Summary};
use farside_service::{durable, time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::far::{Admitted, BundleRefused, Far};
use super::{Entry, Evidence, Names, Proof};
use crate::finding::{Code, Found};

const DAY_SECONDS: u64 = 86_400;

/// What a ferry did with one file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Carriage {
    /// Whose journal tells.
    pub(crate) of: String,
    pub(crate) at: u64,
    /// `sent`, `received`, `not_sent`, `not_received`.
    pub(crate) event: String,
    pub(crate) lane: String,
    pub(crate) folder: String,
    pub(crate) name: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) sha256: Option<String>,
    /// The medium's label or serial number, where the ferry could tell.
    pub(crate) medium: Option<String>,
    /// Who gave the order.
    pub(crate) by: Option<String>,
    /// Why it was not carried.
    pub(crate) reason: Option<String>,
}

/// What somebody did with a mint or gate.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Act {
    /// Whose journal tells.
    pub(crate) of: String,
    pub(crate) at: u64,
    pub(crate) event: String,
    pub(crate) members: Map<String, Value>,
}

/// Members that every line has.
const CHAIN_MEMBERS: [&str; 6] = ["n", "batch", "at", "event", "prev", "hash"];

/// Acts that are kept; a journal of millions of others is only counted.
const ACTS_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Line<'a> {
    n: u64,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
}

/// The members of a gate's decision that are needed here.
#[derive(Deserialize)]
struct Decision {
    verdict: String,
    code: Option<String>,
    sub: Option<String>,
    jti: Option<String>,
    kid: Option<String>,
    signing_input_sha256: Option<String>,
    /// The order whose pass was shown.
    breakglass: Option<String>,
    #[serde(default)]
    door: String,
    request: Option<RequestLine>,
}

#[derive(Deserialize)]
struct RequestLine {
    method: String,
    host: String,
    path: String,
}

#[derive(Deserialize)]
struct FerryLine {
    #[serde(default)]
    lane: String,
    #[serde(default)]
    folder: String,
    file: FerryFile,
    #[serde(default)]
    medium: Option<Medium>,
    #[serde(default)]
    by: Option<String>,
}

/// What a ferry could tell of a stick.
#[derive(Deserialize)]
struct Medium {
    label: Option<String>,
    serial: Option<String>,
    volume: Option<String>,
}

impl Medium {
    fn name(self) -> Option<String> {
        match (self.label, self.serial.or(self.volume)) {
            (Some(label), Some(serial)) => Some(format!("{label} ({serial})")),
            (label, serial) => label.or(serial),
        }
    }
}

#[derive(Deserialize)]
struct FerryFile {
    name: String,
    bytes: Option<u64>,
    sha256: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct ReceiptLine {
    site: String,
    seq: u64,
    #[serde(default)]
    journals: Vec<JournalHead>,
    #[serde(default)]
    counted: Option<CountedLine>,
}

#[derive(Deserialize)]
struct CountedLine {
    #[serde(default)]
    breakglass: u64,
}

#[derive(Deserialize)]
struct GlassLine {
    id: String,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
struct DestroyedLine {
    kid: String,
}

#[derive(Deserialize)]
struct RefusedLine {
    #[serde(default)]
    file: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

/// Reads the journals of an export; a gate's tell of its decisions.
pub(super) fn read_export(
    reader: &Reader,
    of: &str,
    far: Option<&mut Far>,
    evidence: &mut Evidence,
) -> Result<(), Failure> {
    let first = reader.below(JOURNALS).next();
    match first {
        Some((_, path)) => read_path(durable::parent(&path), of, far, evidence),
        None => Ok(()),
    }
}

/// Reads a journal, or every one of a folder.
pub(super) fn read_path(
    path: &Path,
    of: &str,
    mut far: Option<&mut Far>,
    evidence: &mut Evidence,
) -> Result<(), Failure> {
    Stored::at(path)?.iter().try_for_each(|journal| read(journal, of, far.as_deref_mut(), evidence))
}

// audit.md §3.1
fn read(journal: &Stored, of: &str, far: Option<&mut Far>, evidence: &mut Evidence) -> Result<(), Failure> {
    let name = journal.name();
    // Files that were archived are not missed: each names the line with which it begins.
    let copied_at = match &far {
        Some(far) => far.made_at,
        None => evidence.near.as_ref().map_or(0, |near| near.made_at),
    };
    let noted = evidence.heads.of(of, name, copied_at);
    let (proof, detail, wrong) = match journal.verify(Beginning::Archived, &noted) {
        Ok(seen) => (Proof::Proven, whole(&seen), u64::MAX),
        Err(JournalFault::Failed(fault)) => return Err(fault.into()),
        Err(fault) => (Proof::Broken, fault.to_string(), fault.line().unwrap_or(0)),
    };
    evidence.check(of, format!("journal {name}"), proof, detail.clone());
    if proof == Proof::Broken {
        let place = format!("journal {name}, line {wrong}");
        evidence.findings.alarm(Code::JournalBroken, Found { of: of.to_owned(), place, at: None, detail });
    }
    let mut told = Told { of, far, evidence };
    journal.files().try_for_each(|path| told.read(path, wrong))
}

fn whole(seen: &Summary) -> String {
    let Summary { lines, head, begins, noted, .. } = seen;
    let mut detail = match begins {
        0 | 1 => format!("{lines} lines, head {head}"),
        _ => format!("lines {begins} to {lines}, head {head}; what stood before lies in an archive"),
    };
    if *noted > 0 {
        detail.push_str(&format!("; agrees with {noted} heads that the other side noted"));
    }
    detail
}

/// Where a journal's lines go.
struct Told<'e> {
    of: &'e str,
    far: Option<&'e mut Far>,
    evidence: &'e mut Evidence,
}

impl Told<'_> {
    /// Takes a file's lines before number `wrong`.
    fn read(&mut self, path: &Path, wrong: u64) -> Result<(), Failure> {
        let fail = || format!("read {}", path.display());
        let mut reader = BufReader::with_capacity(1 << 18, File::open(path).or_could_not(fail)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line).or_could_not(fail)?;
            let Some(text) = line.strip_suffix(b"\n") else { return Ok(()) };
            match serde_json::from_slice::<Line>(text) {
                Ok(parsed) if parsed.n < wrong => self.take(&parsed, text),
                _ => return Ok(()),
            }
        }
    }

    /// A line whose members are others than this version knows tells nothing here; it still is in its chain.
    fn take(&mut self, line: &Line<'_>, text: &[u8]) {
        let at = time::parse_rfc3339(&line.at).unwrap_or_default();
        match line.event.as_ref() {
            "decision" => self.decision(at, text),
            "sent" | "received" | "not_sent" | "not_received" => self.carriage(at, &line.event, text),
            // A rhythm, no act; its figures are in the log itself.
            "issuing" => {}
            event => {
                self.receipt(at, event, text);
                self.glass(at, event, text);
                self.destroyed(at, event, text);
                if event == "bundle_refused"
                    && let (Some(far), Ok(refused)) = (&mut self.far, serde_json::from_slice(text))
                {
                    let RefusedLine { file, code, detail } = refused;
                    far.bundles_refused.push(BundleRefused { at, file, code, detail });
                }
                self.act(at, event, text);
            }
        }
    }

    fn decision(&mut self, at: u64, text: &[u8]) {
        let (Some(far), Ok(decision)) = (&mut self.far, serde_json::from_slice::<Decision>(text)) else {
            return;
        };
        if let ("admit", Some(id)) = (decision.verdict.as_str(), &decision.breakglass) {
            let request =
                decision.request.map(|asked| format!("{} {}{}", asked.method, asked.host, asked.path));
            far.glass_told.entry(id.clone()).or_default().used(Entry { at, door: decision.door, request });
        } else if decision.verdict == "admit" {
            far.admitted.extend(admitted(decision, at, &mut self.evidence.names));
        } else {
            *far.refused.entry(decision.code.unwrap_or_default()).or_default() += 1;
            *far.refused_days.entry(at / DAY_SECONDS).or_default() += 1;
        }
    }

    fn carriage(&mut self, at: u64, event: &str, text: &[u8]) {
        let Ok(FerryLine { lane, folder, file, medium, by }) = serde_json::from_slice(text) else { return };
        let FerryFile { name, bytes, sha256, reason } = file;
        let (of, event) = (self.of.to_owned(), event.to_owned());
        let medium = medium.and_then(Medium::name);
        let carriage = Carriage { of, at, event, lane, folder, name, bytes, sha256, medium, by, reason };
        self.evidence.carriages.push(carriage);
    }

    /// A receipt that came back in its long form bears the heads of the gate's journals.
    fn receipt(&mut self, at: u64, event: &str, text: &[u8]) {
        if let ("bundle_receipted", Ok(receipt)) = (event, serde_json::from_slice::<ReceiptLine>(text)) {
            let (of, by) =
                (format!("gate {}", receipt.site), format!("the receipt of bundle {}", receipt.seq));
            self.evidence.heads.note(&of, &receipt.journals, at, &by);
            if let (Some(near), Some(counted)) = (&mut self.evidence.near, receipt.counted) {
                near.glass_counted.push((receipt.site, at, counted.breakglass));
            }
        }
    }

    /// An order that the journal says was opened, or is over.
    fn glass(&mut self, at: u64, event: &str, text: &[u8]) {
        let known = matches!(event, "breakglass_accepted" | "breakglass_opened" | "breakglass_closed");
        let (Some(far), true, Ok(line)) = (&mut self.far, known, serde_json::from_slice::<GlassLine>(text))
        else {
            return;
        };
        let told = far.glass_told.entry(line.id).or_default();
        match event {
            "breakglass_closed" => told.closed = Some((at, line.why)),
            _ => {
                told.accepted |= event == "breakglass_accepted";
                told.opened |= event == "breakglass_opened";
                told.said = serde_json::from_slice(text).ok().or(told.said.take());
            }
        }
    }

    /// The mint's own word for the end of a key.
    fn destroyed(&mut self, at: u64, event: &str, text: &[u8]) {
        let near = self.far.is_none() && self.of == "mint";
        if let (true, "token_key_destroyed", Ok(line)) = (near, event, serde_json::from_slice(text)) {
            let DestroyedLine { kid } = line;
            self.evidence.destroyed.insert(kid, at);
        }
    }

    fn act(&mut self, at: u64, event: &str, text: &[u8]) {
        if self.evidence.acts.len() >= ACTS_MAX {
            return;
        }
        if let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(text) {
            members.retain(|name, _| !CHAIN_MEMBERS.contains(&name.as_str()));
            let (of, event) = (self.of.to_owned(), event.to_owned());
            self.evidence.acts.push(Act { of, at, event, members });
        }
    }
}

fn admitted(decision: Decision, at: u64, names: &mut Names) -> Option<Admitted> {
    Some(Admitted {
        at,
        token: decision.jti.unwrap_or_default(),
        signing_input: unhex(&decision.signing_input_sha256?)?,
        subject: names.number(&decision.sub.unwrap_or_default()),
        kid: names.number(&decision.kid.unwrap_or_default()),
    })
}
