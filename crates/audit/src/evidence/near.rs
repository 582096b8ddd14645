//! The near side, as the mint's export has it.

use std::collections::BTreeMap;

use farside_crossing::evidence::{
    BUNDLES, Head, KEYS, KeyRow, MadeRow, REVOCATIONS, RevocationRow, SITES, SiteRow,
};
use farside_service::cli::Failure;
use farside_service::export::Reader;

use super::log::{self, Leaf, Log};
use super::{Evidence, Proof, label};
use crate::finding::{Code, Found};

/// What the mint knows.
#[derive(Debug, Default)]
pub(crate) struct Near {
    pub(crate) realm: String,
    pub(crate) made_at: u64,
    pub(crate) sites: BTreeMap<String, SiteRow>,
    pub(crate) keys: Vec<KeyRow>,
    /// By site and number.
    pub(crate) bundles: BTreeMap<String, BTreeMap<u64, MadeRow>>,
    pub(crate) revocations: Vec<RevocationRow>,
    pub(crate) log: Log<Leaf>,
    /// How many break-glass orders each site's receipts have told of, and when that was entered.
    pub(crate) glass_counted: Vec<(String, u64, u64)>,
}

impl Near {
    /// The site whose log a shard is: a shard is called like its site, with `.<replica>` behind it for
    /// further replicas.
    pub(crate) fn site_of(shard: &str) -> &str {
        shard.split('.').next().unwrap_or(shard)
    }
}

pub(super) fn read(reader: &Reader, head: &Head, evidence: &mut Evidence) -> Result<(), Failure> {
    let mut near = Near { realm: head.realm.clone(), made_at: head.made_at, ..Near::default() };
    let sites = reader.rows::<SiteRow>(SITES)?.into_iter();
    near.sites = sites.map(|row| (row.site.clone(), row)).collect();
    near.keys = reader.rows(KEYS)?;
    near.revocations = reader.rows(REVOCATIONS)?;
    for made in reader.rows::<MadeRow>(BUNDLES)? {
        near.bundles.entry(made.site.clone()).or_default().insert(made.seq, made);
    }
    prove_manifests(&near, evidence);
    near.log = log::read_records(reader, &mut evidence.names, &mut evidence.findings)?;
    log::read_heads(reader, &label(head), &mut near.log, evidence)?;
    evidence.near = Some(near);
    Ok(())
}

// audit.md §3.3
fn prove_manifests(near: &Near, evidence: &mut Evidence) {
    for (site, bundles) in &near.bundles {
        let (mut proven, mut stated, mut broken) = (0u64, 0u64, 0u64);
        for made in bundles.values() {
            let Some(note) = &made.manifest else {
                stated += 1;
                continue;
            };
            let opened = evidence.charters.open_manifest(note, site);
            let fault = match opened {
                Err(refusal) => Some(refusal.to_string()),
                Ok((manifest, digest)) => {
                    let same = digest == made.digest
                        && (manifest.seq, manifest.kind, manifest.issued_at)
                            == (made.seq, made.kind, made.issued_at);
                    if same {
                        evidence.heads.manifest(&manifest);
                    }
                    (!same).then(|| "the row says otherwise than the manifest signed".to_owned())
                }
            };
            match fault {
                None => proven += 1,
                Some(detail) => {
                    broken += 1;
                    let found = Found::bundle(site, made.seq, Some(made.issued_at), detail);
                    evidence.findings.alarm(Code::ManifestUnproven, found);
                }
            }
        }
        let (proof, detail) = told_of_manifests(proven, stated, broken);
        evidence.check("mint", format!("manifests for {site}"), proof, detail);
    }
}

/// How many manifests were signed as the charter demands.
pub(super) fn told_of_manifests(proven: u64, stated: u64, broken: u64) -> (Proof, String) {
    let mut detail = format!("{proven} signed as the charter demands");
    if stated > 0 {
        detail.push_str(&format!(", {stated} no longer in the outbox"));
    }
    if broken > 0 {
        detail.push_str(&format!(", {broken} not"));
    }
    match (broken, proven) {
        (0, 0) => (Proof::Stated, detail),
        (0, _) => (Proof::Proven, detail),
        _ => (Proof::Broken, detail),
    }
}
