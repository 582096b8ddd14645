//! The issuance log: records of the mint's export, leaves that crossed to gates, and the signed heads that
//! both must agree with.

use std::borrow::Cow;
use std::collections::BTreeMap;

use farside_crossing::Head;
use farside_crossing::checkpoint;
use farside_crossing::evidence::{HEADS, HeadRow, LEAVES, LeavesRow, RECORDS};
use farside_service::cli::Failure;
use farside_service::digest::SHA256_BYTES;
use farside_service::export::Reader;
use farside_verify::encode::base64url_decode;
use farside_verify::leaf::{self, TokenPosition};
use farside_verify::merkle::{Frontier, Hash};
use serde::Deserialize;

use super::{Evidence, Names, Proof};
use crate::finding::{Code, Findings, Found};

/// Highest index of a leaf.
// bundle.md §1.1
const INDEX_MAX: u64 = (1 << 53) - 1;

/// The shards of one side.
#[derive(Debug)]
pub(crate) struct Log<L> {
    pub(crate) shards: BTreeMap<String, Shard<L>>,
}

impl<L> Default for Log<L> {
    fn default() -> Self {
        Log { shards: BTreeMap::new() }
    }
}

/// One shard's leaves: all from index `first` on.
#[derive(Debug)]
pub(crate) struct Shard<L> {
    pub(crate) first: u64,
    pub(crate) leaves: Vec<L>,
    /// Leaves behind a hole, which rows in another order may still fill.
    ahead: BTreeMap<u64, L>,
    /// The signed head, and the number of leaves and root that it names.
    pub(crate) head: Option<Head>,
}

/// A leaf of which its record tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    pub(crate) hash: Hash,
    /// When it was taken.
    pub(crate) at: u64,
    /// What stands there; `None` where no token was signed.
    pub(crate) token: Option<Record>,
}

/// What a token's record says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// The key that signed.
    pub(crate) kid: u32,
}

impl<L> Log<L> {
    /// The leaf at a position.
    pub(crate) fn leaf(&self, position: &TokenPosition) -> Option<&L> {
        self.shards.get(position.shard())?.leaf(position.index())
    }
}

impl<L> Shard<L> {
    /// The leaf at an index.
    pub(crate) fn leaf(&self, index: u64) -> Option<&L> {
        self.leaves.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// The index behind the last leaf.
    pub(crate) fn until(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    /// Takes a leaf; `false` where one stands there already.
    fn take(&mut self, index: u64, leaf: L) -> bool {
        if index < self.until() || self.ahead.contains_key(&index) {
            return false;
        }
        if index > self.until() {
            self.ahead.insert(index, leaf);
            return true;
        }
        self.leaves.push(leaf);
        while let Some(next) = self.ahead.remove(&self.until()) {
            self.leaves.push(next);
        }
        true
    }
}

/// A record as log.md §2.3 has it. What it says of people besides is not needed here.
#[derive(Deserialize)]
struct RecordRow<'a> {
    #[serde(borrow)]
    shard: Cow<'a, str>,
    index: u64,
    at: u64,
    entry: EntryRow<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryRow<'a> {
    #[serde(borrow)]
    Token(TokenRow<'a>),
    /// log.md §9: who it was for is gone; what was signed still stands.
    Redacted(TokenRow<'a>),
    Void(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct TokenRow<'a> {
    #[serde(borrow, default)]
    kid: Cow<'a, str>,
    #[serde(borrow)]
    signing_input_sha256: Cow<'a, str>,
}

/// Reads the mint's records.
pub(super) fn read_records(
    reader: &Reader,
    names: &mut Names,
    findings: &mut Findings,
) -> Result<Log<Leaf>, Failure> {
    let mut log = Log::default();
    reader.lines(RECORDS, |line| {
        let row: RecordRow = serde_json::from_slice(line).map_err(|fault| fault.to_string())?;
        let position = TokenPosition::new(&row.shard, row.index).map_err(|fault| fault.to_string())?;
        let leaf = leaf_of(&row, &position, names).ok_or("its hash is not 32 bytes of base64url")?;
        let shard = match log.shards.get_mut(row.shard.as_ref()) {
            Some(shard) => shard,
            None => log.shards.entry(row.shard.clone().into_owned()).or_insert_with(Shard::empty),
        };
        if !shard.take(row.index, leaf) {
            contradicted(findings, "mint", &row.shard, format!("two records stand at {position}"));
        }
        Ok(())
    })?;
    Ok(log)
}

impl<L> Shard<L> {
    fn empty() -> Shard<L> {
        Shard { first: 0, leaves: Vec::new(), ahead: BTreeMap::new(), head: None }
    }
}

fn leaf_of(row: &RecordRow<'_>, position: &TokenPosition, names: &mut Names) -> Option<Leaf> {
    let (token, hash) = match &row.entry {
        EntryRow::Void(_) => (None, leaf::void_hash(position)),
        EntryRow::Token(token) | EntryRow::Redacted(token) => {
            let signed = base64url_decode(token.signing_input_sha256.as_ref())?.try_into().ok()?;
            let record = Record { kid: names.number(&token.kid) };
            (Some(record), leaf::hash(position, &signed))
        }
    };
    Some(Leaf { hash, at: row.at, token })
}

/// Reads the leaves that a gate holds.
pub(super) fn read_leaves(reader: &Reader, of: &str, findings: &mut Findings) -> Result<Log<Hash>, Failure> {
    let mut log: Log<Hash> = Log::default();
    let mut runs: BTreeMap<(String, u64), Vec<u8>> = BTreeMap::new();
    for row in reader.rows::<LeavesRow>(LEAVES)? {
        let fit = |bytes: &Vec<u8>| bytes.len().is_multiple_of(SHA256_BYTES) && row.first <= INDEX_MAX;
        let hashes = base64url_decode(&row.hashes).filter(fit);
        match hashes {
            Some(hashes) => drop(runs.insert((row.shard, row.first), hashes)),
            None => {
                contradicted(findings, of, &row.shard, "leaves that are no hashes, or no index".to_owned())
            }
        }
    }
    for ((name, first), hashes) in runs {
        let shard = log.shards.entry(name).or_insert_with(|| Shard { first, ..Shard::empty() });
        for (hash, index) in hashes.as_chunks::<SHA256_BYTES>().0.iter().zip(first..) {
            shard.take(index, *hash);
        }
    }
    Ok(log)
}

/// Reads the signed heads of an export into its log.
// audit.md §3.4
pub(super) fn read_heads<L>(
    reader: &Reader,
    of: &str,
    log: &mut Log<L>,
    evidence: &mut Evidence,
) -> Result<(), Failure> {
    for HeadRow { shard, checkpoint } in reader.rows(HEADS)? {
        let mut keys = evidence.charters.chain().iter().rev().map(farside_crossing::Charter::log);
        let opened = keys.find_map(|logs| checkpoint::open(checkpoint.as_bytes(), logs, &shard).ok());
        match opened {
            Some(opened) => {
                let held = log.shards.entry(shard).or_insert_with(Shard::empty);
                held.head = Some(opened.head());
            }
            None => {
                let detail = "no log key of the charters has signed its head".to_owned();
                evidence.check(of, format!("log {shard}"), Proof::Broken, detail.clone());
                contradicted(&mut evidence.findings, of, &shard, detail);
            }
        }
    }
    Ok(())
}

/// Every head must be made by the leaves at hand, and leaves that crossed must be those of the records.
// audit.md §3.4, §3.6
pub(super) fn prove(evidence: &mut Evidence) {
    let mut told = Vec::new();
    if let Some(near) = &evidence.near {
        for (name, shard) in &near.log.shards {
            let mut verdict = under_head(shard, |leaf| leaf.hash);
            // Behind a signed head positions may still be open: tokens were being made meanwhile.
            if shard.head.is_none() && !shard.ahead.is_empty() {
                let hole = shard.until();
                verdict = (Proof::Broken, format!("no record stands at index {hole}, though later ones do"));
            }
            told.push(("mint".to_owned(), name.clone(), verdict));
        }
    }
    for far in &evidence.far {
        for (name, shard) in &far.log.shards {
            let mut verdict = under_head(shard, |hash| *hash);
            let near = evidence.near.as_ref().and_then(|near| near.log.shards.get(name));
            if let Some(index) = near.and_then(|near| first_other(near, shard)) {
                verdict = (Proof::Broken, format!("leaf {index} that crossed is not the mint's"));
            }
            told.push((far.label.clone(), name.clone(), verdict));
        }
    }
    for (of, shard, (proof, detail)) in told {
        if proof == Proof::Broken {
            contradicted(&mut evidence.findings, &of, &shard, detail.clone());
        }
        evidence.check(&of, format!("log {shard}"), proof, detail);
    }
}

fn under_head<L>(shard: &Shard<L>, hash: impl Fn(&L) -> Hash) -> (Proof, String) {
    let held = shard.leaves.len();
    let Some(head) = shard.head else { return (Proof::Stated, format!("{held} leaves, no signed head")) };
    if shard.first > 0 {
        let detail = format!("signed head of {} leaves; the first {} are not held", head.size, shard.first);
        return (Proof::Stated, detail);
    }
    let Some(under) = usize::try_from(head.size).ok().and_then(|size| shard.leaves.get(..size)) else {
        return (Proof::Broken, format!("{held} leaves, but its head is signed over {}", head.size));
    };
    let mut tree = Frontier::default();
    tree.extend(under.iter().map(hash));
    match tree.root() == head.root {
        true => (Proof::Proven, format!("{} of {held} leaves make the root that is signed", head.size)),
        false => {
            (Proof::Broken, format!("the first {} leaves do not make the root that is signed", head.size))
        }
    }
}

/// The first index where a leaf that crossed is not that of the record.
fn first_other(near: &Shard<Leaf>, far: &Shard<Hash>) -> Option<u64> {
    let mut crossed = far.leaves.iter().zip(far.first..);
    crossed.find(|(hash, index)| near.leaf(*index).is_none_or(|leaf| leaf.hash != **hash)).map(|(_, at)| at)
}

fn contradicted(findings: &mut Findings, of: &str, shard: &str, detail: String) {
    let found = Found { of: of.to_owned(), place: format!("log {shard}"), at: None, detail };
    findings.alarm(Code::LogContradicted, found);
}
