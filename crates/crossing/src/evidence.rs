//! What mint and gate hand to auditors: the rows of their export folders, each type one file of JSON lines
//! (`spec/audit.md` §2). Nothing here is believed for standing in such a row: what can be proven, the notes,
//! hashes and chains among them prove.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::Kind;

/// Version of the folders' format.
pub const VERSION: u32 = 1;

/// Charters, as `charters/<version>.note`.
pub const CHARTERS: &str = "charters";
/// [`SiteRow`], of a mint.
pub const SITES: &str = "sites.jsonl";
/// [`KeyRow`], of both.
pub const KEYS: &str = "keys.jsonl";
/// [`MadeRow`] of a mint, [`AppliedRow`] of a gate.
pub const BUNDLES: &str = "bundles.jsonl";
/// [`RevocationRow`], of a mint.
pub const REVOCATIONS: &str = "revocations.jsonl";
/// Records of the issuance log as log.md §2.3 has them, of a mint.
pub const RECORDS: &str = "records.jsonl";
/// [`HeadRow`], of both.
pub const HEADS: &str = "heads.jsonl";
/// [`LeavesRow`], of a gate.
pub const LEAVES: &str = "leaves.jsonl";
/// [`MissingRow`], of a gate.
pub const MISSING: &str = "missing.jsonl";
/// [`ForkRow`], of a gate.
pub const FORKS: &str = "forks.jsonl";
/// [`GlassRow`], of a gate.
pub const BREAKGLASS: &str = "breakglass.jsonl";
/// The status components that a gate holds, as the mint packed them, as `status/<bundle>.json`: a full list
/// and the deltas since.
pub const STATUS: &str = "status";
/// Journals, as `journal/<file>`.
pub const JOURNALS: &str = "journal";

/// What opens an export's table of contents.
// audit.md §2.1
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The format's version.
    #[serde(rename = "farside-export")]
    pub version: u32,
    /// Who exported.
    pub side: Side,
    /// The realm.
    pub realm: String,
    /// The site, of a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// When, Unix seconds.
    pub made_at: u64,
}

/// Which program exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The near side.
    Mint,
    /// The far side.
    Gate,
}

/// A site as the mint serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteRow {
    /// Its name.
    pub site: String,
    /// Issuer of its tokens.
    pub issuer: String,
    /// How long a courier may take.
    pub courier_seconds: u64,
}

/// A token key and its calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRow {
    /// The site that it signs for.
    pub site: String,
    /// Its id.
    pub kid: String,
    /// Its algorithm, where that is named.
    pub algorithm: Option<String>,
    /// When it was made, where that is known.
    pub created_at: Option<u64>,
    /// From when tokens may be signed with it.
    pub sign_from: Option<u64>,
    /// Until when.
    pub sign_until: Option<u64>,
    /// Until when they are believed.
    pub accept_until: Option<u64>,
    /// When its private half was destroyed, as the mint has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<u64>,
}

/// A bundle that the mint made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeRow {
    /// For which site.
    pub site: String,
    /// Its number.
    pub seq: u64,
    /// What it is.
    pub kind: Kind,
    /// SHA-256 of the manifest's text.
    pub digest: Digest,
    /// Its file's name.
    pub file: String,
    /// SHA-256 of the file: what a ferry sees of it.
    pub file_sha256: Digest,
    /// The file's length.
    pub bytes: u64,
    /// When it was made.
    pub issued_at: u64,
    /// When the next one was due.
    pub next_by: u64,
    /// Until when it counted.
    pub not_after: u64,
    /// When the site's receipt was entered.
    pub receipted_at: Option<u64>,
    /// How many leaves of each log shard had been carried with it.
    pub leaves: BTreeMap<String, u64>,
    /// The signed manifest, where the file still lies in the outbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

/// A bundle that a gate has applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedRow {
    /// Its number.
    pub seq: u64,
    /// What it is.
    pub kind: Kind,
    /// SHA-256 of the manifest's text.
    pub digest: Digest,
    /// When it was made.
    pub issued_at: u64,
    /// When the next one was due.
    pub next_by: u64,
    /// Until when it counted.
    pub not_after: u64,
    /// When the gate applied it, by its own clock.
    pub applied_at: u64,
    /// The signed manifest.
    pub manifest: String,
}

/// Something that the mint has taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationRow {
    /// For which site.
    pub site: String,
    /// What kind of thing.
    pub kind: RevokedKind,
    /// Token id, subject, client id, group or key id; nothing for all.
    pub what: String,
    /// Of subject, client, group and all: tokens issued up to then.
    pub before: u64,
    /// Why.
    pub reason: String,
    /// When.
    pub at: u64,
    /// Who revoked.
    pub by: String,
    /// When release people took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pardoned_at: Option<u64>,
}

/// What can be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevokedKind {
    /// One token.
    Token,
    /// All tokens of a subject up to a moment.
    Subject,
    /// All tokens of a client up to a moment.
    Client,
    /// All tokens of a group's members up to a moment.
    Group,
    /// All tokens that a key has signed.
    Key,
    /// All tokens up to a moment.
    All,
}

/// The newest signed head of a log shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadRow {
    /// The shard.
    pub shard: String,
    /// The checkpoint note.
    pub checkpoint: String,
}

/// Leaf hashes that a gate holds, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeavesRow {
    /// The shard.
    pub shard: String,
    /// Index of the first.
    pub first: u64,
    /// 32 bytes each, base64url.
    pub hashes: String,
}

/// Numbers that never came to a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingRow {
    /// The first of them.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// When the gate noticed.
    pub noticed_at: u64,
}

/// A second bundle under a number that a gate had applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkRow {
    /// The number.
    pub seq: u64,
    /// Digest of the one applied.
    pub held: Digest,
    /// Digest of the other.
    pub digest: Digest,
    /// When the gate noticed.
    pub noticed_at: u64,
    /// The other's signed manifest.
    pub manifest: String,
}

/// A break-glass order that a gate has opened. Its pass is in no export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlassRow {
    /// The order's id.
    pub id: String,
    /// When it was opened, by the gate's own clock.
    pub opened_at: u64,
    /// When its pass was over, where that is known.
    pub closed_at: Option<u64>,
    /// Why it was over.
    pub why: Option<String>,
    /// The order as it was signed.
    pub note: String,
}
