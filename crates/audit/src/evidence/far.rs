//! A far side, as its gate's export has it.

use std::collections::BTreeMap;

use farside_crossing::evidence::{
    AppliedRow, BUNDLES, FORKS, ForkRow, Head, KEYS, KeyRow, MISSING, MissingRow, RevocationRow, STATUS,
};
use farside_crossing::status::{Lists, RevokedKey, STATUS_BYTES_MAX, TokenBits};
use farside_crossing::{ComponentType, Digest, Kind, Manifest, StatusDocument};
use farside_service::cli::{Failure, OrFailure as _};
use farside_service::export::Reader;
use farside_verify::leaf::TokenPosition;
use farside_verify::merkle::Hash;
use farside_verify::status_list::StatusList;

use super::glass::{self, Glass, GlassTold};
use super::log::{self, Log};
use super::near::told_of_manifests;
use super::{Evidence, Proof, label};
use crate::finding::{Code, Found};

/// What a gate knows.
#[derive(Debug, Default)]
pub(crate) struct Far {
    pub(crate) label: String,
    pub(crate) realm: String,
    pub(crate) site: String,
    pub(crate) made_at: u64,
    pub(crate) bundles: BTreeMap<u64, AppliedRow>,
    pub(crate) missing: Vec<MissingRow>,
    pub(crate) forks: Vec<ForkRow>,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) status: Option<Status>,
    pub(crate) log: Log<Hash>,
    pub(crate) admitted: Vec<Admitted>,
    /// Refusals: by code, and by day (days since 1970).
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) refused_days: BTreeMap<u64, u64>,
    /// Break-glass orders that were opened, by id, and what the journals tell of each.
    pub(crate) glasses: BTreeMap<String, Glass>,
    pub(crate) glass_told: BTreeMap<String, GlassTold>,
    /// Bundles refused: when, name, code.
    pub(crate) bundles_refused: Vec<BundleRefused>,
}

impl Far {
    /// When the gate applied the first bundle that can have told of a revocation.
    // audit.md §4.4
    pub(crate) fn known_since(&self, row: &RevocationRow) -> Option<u64> {
        let later = |bundle: &&AppliedRow| bundle.kind != Kind::Beacon && bundle.issued_at > row.at;
        self.bundles.values().filter(later).map(|bundle| bundle.applied_at).min()
    }
}

/// A bundle that a gate did not take.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct BundleRefused {
    pub(crate) at: u64,
    pub(crate) file: String,
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// One admission.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) at: u64,
    /// The token's position, spelled as its `jti`.
    pub(crate) token: String,
    /// SHA-256 of what was signed.
    pub(crate) signing_input: Hash,
    pub(crate) subject: u32,
    pub(crate) kid: u32,
}

impl Admitted {
    /// Where it claims to stand in the log.
    pub(crate) fn position(&self) -> Option<TokenPosition> {
        self.token.parse().ok()
    }
}

/// The revocations that a gate held when it exported, as each bundle brought them.
#[derive(Debug, Default)]
pub(crate) struct Status {
    parts: Vec<Part>,
}

/// What one bundle brought, and when the gate applied it.
#[derive(Debug)]
struct Part {
    applied_at: u64,
    document: StatusDocument,
    tokens: BTreeMap<String, Vec<TokenBits>>,
}

impl Status {
    /// Every key that was revoked.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &RevokedKey> {
        self.parts.iter().flat_map(|part| &part.document.keys)
    }

    /// Whether what had been applied before `at` revokes a token by its position or its key.
    pub(crate) fn revokes(&self, at: u64, position: Option<&TokenPosition>, kid: &str) -> bool {
        self.parts.iter().filter(|part| at > part.applied_at).any(|part| {
            part.document.keys.iter().any(|key| key.kid == kid)
                || position.is_some_and(|position| {
                    let lists = part.tokens.get(position.shard());
                    lists.is_some_and(|lists| lists.iter().any(|bits| bits.get(position.index())))
                })
        })
    }
}

pub(super) fn read(reader: &Reader, head: &Head, evidence: &mut Evidence) -> Result<(), Failure> {
    let site = head.site.clone().unwrap_or_default();
    let (label, realm, made_at) = (label(head), head.realm.clone(), head.made_at);
    let mut far = Far { label, realm, site, made_at, ..Far::default() };
    far.keys = reader.rows(KEYS)?;
    far.missing = reader.rows(MISSING)?;
    far.forks = reader.rows(FORKS)?;
    far.glasses = glass::read(reader, &far, evidence)?;
    let bundles = reader.rows::<AppliedRow>(BUNDLES)?.into_iter();
    far.bundles = bundles.map(|row| (row.seq, row)).collect();
    let manifests = prove_manifests(&far, evidence);
    far.status = read_status(reader, &far, &manifests, evidence)?;
    far.log = log::read_leaves(reader, &far.label, &mut evidence.findings)?;
    log::read_heads(reader, &far.label, &mut far.log, evidence)?;
    evidence.far.push(far);
    Ok(())
}

// audit.md §3.3
fn prove_manifests(far: &Far, evidence: &mut Evidence) -> Vec<Manifest> {
    let mut manifests = Vec::new();
    for row in far.bundles.values() {
        let opened = evidence.charters.open_manifest(&row.manifest, &far.site);
        let fault = match opened {
            Err(refusal) => refusal.to_string(),
            Ok((manifest, digest)) if digest == row.digest && manifest.seq == row.seq => {
                evidence.heads.manifest(&manifest);
                manifests.push(manifest);
                continue;
            }
            Ok(_) => "the row says otherwise than the manifest signed".to_owned(),
        };
        let found = Found::bundle(&far.site, row.seq, Some(row.applied_at), fault);
        evidence.findings.alarm(Code::ManifestUnproven, found);
    }
    let proven = manifests.len() as u64;
    let (proof, detail) = told_of_manifests(proven, 0, far.bundles.len() as u64 - proven);
    evidence.check(&far.label, "manifests applied", proof, detail);
    manifests
}

// audit.md §3.5
fn read_status(
    reader: &Reader,
    far: &Far,
    manifests: &[Manifest],
    evidence: &mut Evidence,
) -> Result<Option<Status>, Failure> {
    let names: Vec<String> = reader.below(STATUS).map(|(name, _)| name.to_owned()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let mut status = Status::default();
    let (mut brought, mut unproven) = (Vec::new(), 0_u64);
    // A full list and the deltas since.
    for name in names {
        let bytes = reader.bytes(&name, STATUS_BYTES_MAX as u64)?;
        let digest = Digest::of(&bytes);
        let named = |manifest: &&Manifest| {
            manifest.component(ComponentType::Status).is_some_and(|entry| entry.sha256 == digest)
        };
        let seq = manifests.iter().find(named).map(|manifest| manifest.seq);
        match seq {
            Some(seq) => brought.push(seq.to_string()),
            None => unproven += 1,
        }
        status.parts.push(part(&bytes, seq.and_then(|seq| far.bundles.get(&seq)), &far.label)?);
    }
    if unproven == 0 {
        let detail = format!("as bundle {} brought them", brought.join(", "));
        evidence.check(&far.label, "revocations held", Proof::Proven, detail);
    } else {
        let detail = "no proven manifest names them".to_owned();
        evidence.check(&far.label, "revocations held", Proof::Broken, detail.clone());
        let of = far.label.clone();
        let found = Found { of, place: STATUS.to_owned(), at: None, detail };
        evidence.findings.alarm(Code::ManifestUnproven, found);
    }
    Ok(Some(status))
}

fn part(bytes: &[u8], row: Option<&AppliedRow>, label: &str) -> Result<Part, Failure> {
    let document: StatusDocument =
        serde_json::from_slice(bytes).or_could_not(|| format!("read {STATUS} of {label}"))?;
    let decode = |lst: &str, bytes_max: usize| {
        StatusList::decode_within(1, lst, bytes_max).ok().map(StatusList::into_bytes)
    };
    let lists = Lists::open(&document.tokens, decode).or_could_not(|| format!("read {STATUS} of {label}"))?;
    let tokens = lists.by_shard().into_iter().map(|(shard, bits)| (shard.to_owned(), bits)).collect();
    Ok(Part { applied_at: row.map_or(u64::MAX, |row| row.applied_at), document, tokens })
}
