//! What was found, with its place: each kind of finding has a code that never changes and one of two
//! gravities.

use std::collections::BTreeMap;

use serde::Serialize;

/// Findings of one code that are listed one by one; the rest is counted.
pub(crate) const LISTED_MAX: usize = 1_000;

macro_rules! codes {
    ($($variant:ident $name:literal, $sentence:literal;)*) => {
        /// The kinds, gravest first.
        // audit.md §4.2
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Code {
            $(#[doc = $sentence] $variant,)*
        }

        #[cfg(test)]
        const ALL: &[Code] = &[$(Code::$variant,)*];

        impl Code {
            /// As reports and scripts know it.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// What it says, in a sentence.
            pub(crate) fn sentence(self) -> &'static str {
                match self { $(Code::$variant => $sentence,)* }
            }
        }
    };
}

codes! {
    JournalBroken "journal_broken", "A journal is not as it was written; nothing from there on is counted.";
    CharterBroken "charter_broken", "The charters do not follow from each other, or from the one expected.";
    ManifestUnproven "manifest_unproven", "A manifest is not signed as the charter demands, or is another.";
    LogContradicted "log_contradicted", "Records, leaves that crossed and the signed head do not agree.";
    BundleForged "bundle_forged", "A gate applied a bundle that the mint did not make.";
    BundleForked "bundle_forked", "Two bundles came under one number.";
    ReceiptUnapplied "receipt_unapplied", "A receipt was entered for a bundle that the gate never applied.";
    BreakglassOpened "breakglass_opened", "Cards broke the glass at a gate: who let whom in, where to and why.";
    BreakglassUnproven "breakglass_unproven", "A gate opened an order that the charter's cards do not bear out.";
    BreakglassUntold "breakglass_untold", "Store, journal and receipts do not tell the same of broken glass.";
    AdmittedNeverIssued "admitted_never_issued", "A token was admitted that does not stand in the issuance log.";
    AdmittedElsewhere "admitted_elsewhere", "A gate admitted a token of another site's log.";
    UsedAtTwoSites "used_at_two_sites", "One token was admitted at two sites.";
    UsedAfterRevocation "used_after_revocation", "A gate admitted what a bundle it had applied revokes.";
    UsedPastKey "used_past_key", "A token was admitted after its key had ended.";
    SignedOffCalendar "signed_off_calendar", "A token was signed outside its key's calendar.";
    KeyOutlived "key_outlived", "A key had ended, and no record tells that its private half was destroyed.";
    IssuedNeverCarried "issued_never_carried", "A token's leaf rode in no bundle.";
    BundleMissing "bundle_missing", "A bundle was made and never applied, though a later one was.";
    BundleLate "bundle_late", "A bundle came after its successor was due, or is due still.";
    UsedBeforeRevocationArrived "used_before_revocation_arrived", "A token was admitted after it was revoked, before any bundle could say so.";
    AdmittedUnproven "admitted_unproven", "A token was admitted whose leaf is not among those at hand.";
    Unwitnessed "unwitnessed", "A bundle was applied that no ferry's journal saw arrive.";
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How much a finding asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Gravity {
    /// Somebody has to explain it.
    Alarm,
    /// How a one-way crossing looks.
    Notice,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) code: Code,
    pub(crate) gravity: Gravity,
    /// The site, or what else it is about.
    pub(crate) of: String,
    /// Bundle, token or line.
    pub(crate) place: String,
    /// When, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    /// What exactly.
    pub(crate) detail: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    listed: Vec<Finding>,
    counts: BTreeMap<(Gravity, Code), u64>,
}

impl Findings {
    /// Adds an alarm.
    pub(crate) fn alarm(&mut self, code: Code, found: Found) {
        self.add(Gravity::Alarm, code, found);
    }

    /// Adds a notice.
    pub(crate) fn notice(&mut self, code: Code, found: Found) {
        self.add(Gravity::Notice, code, found);
    }

    fn add(&mut self, gravity: Gravity, code: Code, found: Found) {
        let count = self.counts.entry((gravity, code)).or_default();
        *count += 1;
        if *count <= LISTED_MAX as u64 {
            let Found { of, place, at, detail } = found;
            self.listed.push(Finding { code, gravity, of, place, at, detail });
        }
    }

    /// Those that are listed, gravest first.
    pub(crate) fn listed(&self) -> Vec<&Finding> {
        let mut listed: Vec<_> = self.listed.iter().collect();
        listed.sort_by_key(|finding| (finding.gravity, finding.code));
        listed
    }

    /// How many there are of each.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Gravity, Code, u64)> {
        self.counts.iter().map(|((gravity, code), count)| (*gravity, *code, *count))
    }

    /// How many there are of one gravity.
    pub(crate) fn total(&self, gravity: Gravity) -> u64 {
        self.counts().filter(|(of, ..)| *of == gravity).map(|(.., count)| count).sum()
    }
}

/// The place of a finding.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) of: String,
    pub(crate) place: String,
    pub(crate) at: Option<u64>,
    pub(crate) detail: String,
}

impl Found {
    /// Something about a bundle.
    pub(crate) fn bundle(site: &str, seq: u64, at: Option<u64>, detail: impl Into<String>) -> Found {
        Found { of: site.to_owned(), place: format!("bundle {seq}"), at, detail: detail.into() }
    }

    /// Something about a token.
    pub(crate) fn token(site: &str, token: impl ToString, at: u64, detail: impl Into<String>) -> Found {
        Found { of: site.to_owned(), place: token.to_string(), at: Some(at), detail: detail.into() }
    }
}

/// A length of time in the two units that matter.
pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_lists_every_code_once_and_no_other() {
        let spec = include_str!("../../../spec/audit.md");
        let listed: Vec<&str> = spec
            .lines()
            .filter(|line| line.contains("| alarm") || line.contains("| notice"))
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(listed, ALL.iter().map(|code| code.name()).collect::<Vec<_>>());
    }

    #[test]
    fn lengths_of_time_are_for_eyes() {
        assert_eq!((duration(59).as_str(), duration(3_660).as_str()), ("59 s", "1 h 1 min"));
        assert_eq!((duration(61).as_str(), duration(90_000).as_str()), ("1 min 1 s", "1 d 1 h"));
    }
}
