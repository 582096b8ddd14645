//! Which demands of the common catalogues this report is evidence for, and by what: NIST SP 800-53 Rev. 5
//! (AU, AC-4, MP-5 and neighbours), IEC 62443-3-3 and NERC CIP. It claims evidence, never compliance.

use serde::Serialize;

use super::model::Report;
use super::page::grouped;
use crate::evidence::Proof;
use crate::finding::Code;

/// One demand and what stands here for it.
#[derive(Debug, Serialize)]
pub(super) struct Control {
    pub(super) catalogue: &'static str,
    pub(super) number: &'static str,
    pub(super) title: &'static str,
    pub(super) evidence: String,
    /// Whether something found here speaks against it.
    pub(super) contradicted: bool,
}

const NIST: &str = "NIST SP 800-53";
const IEC: &str = "IEC 62443-3-3";
const NERC: &str = "NERC CIP";

type Row = (&'static str, &'static str, &'static str, String, bool);

/// What this report is evidence for.
pub(super) fn controls(report: &Report) -> Vec<Control> {
    let seen = Seen::of(report);
    let rows = seen.audit().into_iter().chain(seen.flow()).chain(seen.keys());
    rows.map(|(catalogue, number, title, evidence, contradicted)| Control {
        catalogue,
        number,
        title,
        evidence,
        contradicted,
    })
    .collect()
}

/// The report's figures as sentences.
struct Seen<'r> {
    report: &'r Report,
    events: String,
    chains: String,
    bundles: String,
    media: String,
    keys: String,
}

impl<'r> Seen<'r> {
    fn of(report: &'r Report) -> Seen<'r> {
        let figures = &report.figures;
        let checks = |what: &'static str, proof: Proof| {
            let of_kind = report.checks.iter().filter(move |check| check.what.starts_with(what));
            grouped(Some(of_kind.filter(|check| check.proof == proof).count() as u64))
        };
        let count = |number: usize| grouped(Some(number as u64));
        Seen {
            report,
            events: format!(
                "{} tokens issued, {} decisions at gates, {} administrative acts, each with time, subject and \
                 outcome",
                grouped(figures.issued),
                grouped(Some(figures.decisions)),
                count(report.acts.len()),
            ),
            chains: format!(
                "{} hash-chained journals whole, {} broken; {} copies of issuance logs make the root that is \
                 signed, {} do not",
                checks("journal", Proof::Proven),
                checks("journal", Proof::Broken),
                checks("log", Proof::Proven),
                checks("log", Proof::Broken),
            ),
            bundles: format!(
                "{} bundles made, {} applied, {} missing; every manifest signed and bound to one site",
                grouped(figures.bundles_made),
                grouped(figures.bundles_applied),
                grouped(Some(figures.bundles_missing)),
            ),
            media: format!(
                "{} media or lanes; each file with digest, time sent and time received; {} files refused or lost",
                count(report.media.len()),
                count(report.not_carried.len()),
            ),
            keys: format!("{} token keys, each with its calendar and its use", count(report.keys.len())),
        }
    }

    fn found(&self, codes: &[Code]) -> bool {
        self.report.counts.iter().any(|counted| codes.contains(&counted.code))
    }

    fn audit(&self) -> Vec<Row> {
        let (events, chains) = (&self.events, &self.chains);
        let cut = self.found(&[Code::JournalBroken, Code::LogContradicted]);
        let compared = format!(
            "{} alarms and {} notices, from {} checks",
            grouped(Some(self.report.alarms)),
            grouped(Some(self.report.notices)),
            grouped(Some(self.report.checks.len() as u64)),
        );
        let time =
            "every line bears its time in UTC; a gate's clock is held above the time proven by bundles";
        vec![
            (NIST, "AU-2, AU-12", "Event logging, record generation", events.clone(), false),
            (NIST, "AU-3", "Content of audit records", events.clone(), false),
            (NIST, "AU-6, AU-7", "Review, analysis, reporting; reduction", compared.clone(), false),
            (NIST, "AU-8", "Time stamps", time.to_owned(), false),
            (NIST, "AU-9, AU-9(3)", "Protection of audit information", chains.clone(), cut),
            (NIST, "AU-10", "Non-repudiation", chains.clone(), cut),
            (IEC, "SR 2.8", "Auditable events", events.clone(), false),
            (IEC, "SR 2.11", "Timestamps", time.to_owned(), false),
            (IEC, "SR 2.12", "Non-repudiation", chains.clone(), cut),
            (IEC, "SR 3.9", "Protection of audit information", chains.clone(), cut),
            (IEC, "SR 6.1", "Audit log accessibility", compared.clone(), false),
            (NERC, "CIP-007-6 R4", "Security event monitoring", events.clone(), false),
            (NERC, "CIP-007-6 R4.4", "Review of logged events", compared, false),
        ]
    }

    fn flow(&self) -> Vec<Row> {
        let (bundles, media) = (&self.bundles, &self.media);
        let forged = self.found(&[Code::BundleForged, Code::BundleForked, Code::ManifestUnproven]);
        let custody = self.found(&[Code::Unwitnessed, Code::BundleMissing]);
        vec![
            (NIST, "AC-4", "Information flow enforcement", bundles.clone(), forged),
            (NIST, "MP-5, MP-5(3)", "Media transport, custodians", media.clone(), custody),
            (NIST, "MP-4", "Media storage: accountability", media.clone(), custody),
            (NIST, "SC-8, SI-7", "Transmission and information integrity", bundles.clone(), forged),
            (IEC, "SR 3.1", "Communication integrity", bundles.clone(), forged),
            (IEC, "SR 5.2", "Zone boundary protection", bundles.clone(), forged),
            (IEC, "SR 2.3", "Portable and mobile devices", media.clone(), custody),
            (NERC, "CIP-010-4 R4", "Transient cyber assets and removable media", media.clone(), custody),
            (NERC, "CIP-005-7 R1", "Electronic security perimeter", bundles.clone(), forged),
        ]
    }

    fn keys(&self) -> Vec<Row> {
        let admitted = format!(
            "{} admitted, {} refused, {} of them revoked",
            grouped(self.report.figures.admitted),
            grouped(self.report.figures.refused),
            grouped(self.report.figures.revoked_tried),
        );
        let forged = self.found(&[
            Code::AdmittedNeverIssued,
            Code::AdmittedElsewhere,
            Code::UsedAtTwoSites,
            Code::UsedAfterRevocation,
        ]);
        let off = self.found(&[Code::UsedPastKey, Code::SignedOffCalendar, Code::KeyOutlived]);
        let revoked = format!("{} revocations, each with its way to the gate", self.report.revocations.len());
        let late = self.found(&[Code::UsedAfterRevocation]);
        vec![
            (NIST, "AC-3, IA-9", "Access enforcement, service identification", admitted.clone(), forged),
            (NIST, "SC-12", "Cryptographic key management", self.keys.clone(), off),
            (NIST, "AC-2(3), IA-5", "Disabling accounts, authenticator management", revoked.clone(), late),
            (IEC, "SR 1.9", "Strength of public-key authentication", self.keys.clone(), off),
            (IEC, "SR 1.3, SR 2.1", "Account management, authorization", admitted.clone(), forged),
            (NERC, "CIP-004-7 R5", "Access revocation", revoked, late),
            (NERC, "CIP-007-6 R5", "System access control", admitted, forged),
        ]
    }
}
