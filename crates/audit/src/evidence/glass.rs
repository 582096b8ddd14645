//! Broken glass: the orders that a gate has opened, each judged anew by the cards of the charters, and what
//! its journals tell of them.

use std::collections::BTreeMap;

use farside_crossing::evidence::{BREAKGLASS, GlassRow};
use farside_crossing::{Code as Refused, Refusal, SignedOrder, breakglass};
use farside_service::cli::Failure;
use farside_service::export::Reader;
use serde::{Deserialize, Serialize};

use super::far::Far;
use super::{Charters, Evidence, Proof};
use crate::finding::{Code, Found};

/// An order that a gate has opened.
#[derive(Debug)]
pub(crate) struct Glass {
    pub(crate) row: GlassRow,
    /// What it says and who signed it, where that is proven.
    pub(crate) signed: Option<SignedOrder>,
}

/// Entries by one order that are listed; all are counted.
const ENTRIES_MAX: usize = 1_000;

/// What a gate's journals tell of one order.
#[derive(Debug, Default)]
pub(crate) struct GlassTold {
    /// That it was about to be opened.
    pub(crate) accepted: bool,
    /// That its pass was shown.
    pub(crate) opened: bool,
    /// What it said, and whose cards had signed it.
    pub(crate) said: Option<Said>,
    /// When and why it was over.
    pub(crate) closed: Option<(u64, String)>,
    /// How often it was used, and when last.
    pub(crate) uses: u64,
    pub(crate) last_used: Option<u64>,
    /// The first of these uses.
    pub(crate) entries: Vec<Entry>,
}

/// An order as the journal spells it when it is opened.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Said {
    pub(crate) subject: String,
    pub(crate) audience: String,
    pub(crate) role: String,
    pub(crate) reason: String,
    pub(crate) drafted_at: u64,
    pub(crate) not_after: u64,
    pub(crate) signers: Vec<String>,
}

/// One use of a pass.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) at: u64,
    /// At which door of the gate.
    pub(crate) door: String,
    /// What for, where the door was told: method, host and path.
    pub(crate) request: Option<String>,
}

impl GlassTold {
    /// One use.
    pub(super) fn used(&mut self, entry: Entry) {
        self.uses += 1;
        self.last_used = self.last_used.max(Some(entry.at));
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
        }
    }
}

/// Reads the orders of a gate's export and counts their cards.
// audit.md §3.7
pub(super) fn read(
    reader: &Reader,
    far: &Far,
    evidence: &mut Evidence,
) -> Result<BTreeMap<String, Glass>, Failure> {
    let mut glasses = BTreeMap::new();
    let mut broken = 0u64;
    for row in reader.rows::<GlassRow>(BREAKGLASS)? {
        let signed = match prove(&evidence.charters, &row, &far.site) {
            Ok(signed) => Some(signed),
            Err(refusal) => {
                broken += 1;
                let place = format!("order {}", row.id);
                let (of, at, detail) = (far.site.clone(), Some(row.opened_at), refusal.to_string());
                evidence.findings.alarm(Code::BreakglassUnproven, Found { of, place, at, detail });
                None
            }
        };
        glasses.insert(row.id.clone(), Glass { row, signed });
    }
    if !glasses.is_empty() {
        let proof = if broken == 0 { Proof::Proven } else { Proof::Broken };
        let detail = format!("{} signed by cards of the charter", glasses.len() as u64 - broken);
        evidence.check(&far.label, "break-glass orders", proof, detail);
    }
    Ok(glasses)
}

/// By the cards of whichever charter was in force.
fn prove(charters: &Charters, row: &GlassRow, site: &str) -> Result<SignedOrder, Refusal> {
    let mut told = Refusal::new(Refused::BreakglassUnnamed, "there is no charter");
    for charter in charters.chain().iter().rev() {
        match breakglass::open(row.note.as_bytes(), charter, site) {
            Ok(signed) if signed.order().id == row.id => return Ok(signed),
            Ok(_) => told = Refusal::new(Refused::Malformed, "the row names another order"),
            // A charter that names no cards says less than one that does.
            Err(refusal) if refusal.code() == Refused::BreakglassUnnamed => {}
            Err(refusal) => told = refusal,
        }
    }
    Err(told)
}
