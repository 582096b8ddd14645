//! Proof that a token is logged: what `mint log prove` shows, what is stapled to a token, and what an export
//! for outsiders carries.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_crossing::{LogKey, Note, Refusal, Staple};
use farside_verify::leaf::TokenPosition;
use farside_verify::merkle::{Hash, node_hash};
use serde::{Deserialize, Serialize};

use super::proof::{self, Nodes};
use super::tile::Tiles;
use super::{IssuanceLog, LogFault, Record};

/// A leaf's place under a published head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// The log shard.
    pub shard: String,
    /// The leaf's index in it.
    pub index: u64,
    /// How many leaves the head has.
    pub size: u64,
    /// Inclusion proof (RFC 9162 §2.1.3), each hash in base64.
    pub hashes: Vec<String>,
    /// The checkpoint note.
    pub checkpoint: String,
}

impl IssuanceLog {
    /// Proves that the leaf at `position` stands under the newest published head; `None` where it does not.
    pub fn prove(&self, position: &TokenPosition) -> Result<Option<Logged>, LogFault> {
        let (shard, index) = (position.shard().to_owned(), position.index());
        // Read once: by the next line another head may have been published.
        let Some((checkpoint, size)) = self.checkpoint(&shard).and_then(sized) else { return Ok(None) };
        if index >= size {
            return Ok(None);
        }
        let hashes = spelled(&self.inclusion(&shard, index, size)?);
        Ok(Some(Logged { shard, index, size, hashes, checkpoint }))
    }
}

impl Logged {
    /// As c2sp.org/tlog-proof has it: one text that any verifier of such logs reads.
    pub fn to_text(&self) -> String {
        let mut text = format!("c2sp.org/tlog-proof@v1\nindex {}\n", self.index);
        for hash in &self.hashes {
            text.push_str(hash);
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// To be carried with the token ahead of its bundle.
    ///
    /// # Errors
    /// The checkpoint is not one that `log` has signed.
    // log.md §8.2
    pub fn staple(&self, log: &LogKey) -> Result<Option<Staple>, Refusal> {
        let note = Note::parse(self.checkpoint.as_bytes())?;
        let signature = log.of_shard(&self.shard)?.signature_on(&note);
        let hash = |text: &String| STANDARD.decode(text).ok()?.try_into().ok();
        let proof: Option<Vec<Hash>> = self.hashes.iter().map(hash).collect();
        Ok(signature.zip(proof).map(|(signature, proof)| Staple { size: self.size, signature, proof }))
    }
}

/// Proofs for every record of an export: the trees are made of the records themselves, and the heads read
/// where they were published. Works beside a running mint.
#[derive(Debug, Default)]
pub struct ProvenExport {
    shards: BTreeMap<String, Proven>,
}

#[derive(Debug)]
struct Proven {
    size: u64,
    subtrees: Subtrees,
}

/// A record's proof in an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineProof {
    size: u64,
    hashes: Vec<String>,
}

impl ProvenExport {
    /// Reads the log in `folder` and the heads of its shards.
    pub fn read(folder: &Path) -> Result<ProvenExport, LogFault> {
        let tiles = Tiles::of(folder);
        let mut shards = BTreeMap::new();
        for shard in tiles.shards()? {
            if let Some((_, size)) = tiles.checkpoint(&shard)?.and_then(sized) {
                shards.insert(shard, Proven { size, subtrees: Subtrees::default() });
            }
        }
        let mut fault = None;
        super::read(folder, |record| {
            if let Some(proven) = shards.get_mut(&record.shard).filter(|proven| record.index < proven.size) {
                match record.leaf_hash() {
                    Ok(hash) => proven.subtrees.leaf(record.index, hash),
                    Err(wrong) => fault = Some(LogFault::Unwritable { fault: wrong }),
                }
            }
        })?;
        shards.values_mut().for_each(|proven| proven.subtrees.grow());
        fault.map_or(Ok(ProvenExport { shards }), Err)
    }

    /// The proof of one record; `None` where it stands under no head yet.
    pub fn of(&mut self, record: &Record) -> Option<LineProof> {
        let Proven { size, subtrees } = self.shards.get_mut(&record.shard)?;
        if record.index >= *size {
            return None;
        }
        let hashes = proof::inclusion(subtrees, record.index, *size).ok()?;
        Some(LineProof { size: *size, hashes: spelled(&hashes) })
    }
}

/// The perfect subtrees of a tree, level by level.
#[derive(Debug, Default)]
struct Subtrees {
    levels: Vec<Vec<Hash>>,
}

/// A leaf is missing below its head.
#[derive(Debug)]
struct Missing;

impl Subtrees {
    fn leaf(&mut self, index: u64, hash: Hash) {
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        let (Some(leaves), Ok(place)) = (self.levels.first_mut(), usize::try_from(index)) else { return };
        // Records stand in the order in which they became durable: a leaf may come before an earlier one.
        if leaves.len() <= place {
            leaves.resize(place + 1, [0; 32]);
        }
        leaves[place] = hash;
    }

    fn grow(&mut self) {
        while let Some(below) = self.levels.last().filter(|below| below.len() > 1) {
            let above = below.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
            self.levels.push(above);
        }
    }
}

impl Nodes for Subtrees {
    type Fault = Missing;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Missing> {
        let place = usize::try_from(index).map_err(|_| Missing)?;
        self.levels.get(level as usize).and_then(|row| row.get(place)).copied().ok_or(Missing)
    }
}

/// A checkpoint note of our own, and the size that it names.
fn sized(checkpoint: Vec<u8>) -> Option<(String, u64)> {
    let checkpoint = String::from_utf8(checkpoint).ok()?;
    let size = checkpoint.split('\n').nth(1)?.parse().ok()?;
    Some((checkpoint, size))
}

fn spelled(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}
