//! The leaves component: hashes of the issuance log since the last bundle, in runs, each run from one log
//! shard.
//!
//! ```text
//! farside-leaves/1 <shard> <first index> <count> <proof bytes>\n
//! <proof>                                  the shard's signed head and what ties the run to it: [`RunProof`]
//! <count × 32 bytes>                       RFC 6962 leaf hashes, in order
//! ```
//!
//! For gates of a hundred thousand tokens an hour: hashes stay where the bundle has them, nothing is copied.

use crate::document::first_line;
use crate::refusal::{Code, Refusal};
use crate::text::{check_integer, check_name, decimal};

/// Most runs in one component.
pub const RUNS_MAX: usize = 64;

/// Most leaves in one run: 4 Mi are 128 MiB.
pub const RUN_LEAVES_MAX: u64 = 4 << 20;

/// Largest proof of a run, in bytes.
pub const PROOF_BYTES_MAX: u64 = 64 << 10;

/// Most links of a run's proof.
pub const LINKS_MAX: usize = 24;

/// Most hashes of an edge or a link: one for each level of a tree.
const HASHES_MAX: usize = 64;

/// Longest first line of a run or of its proof, in bytes.
const LINE_BYTES_MAX: usize = 160;

/// First word of a run's line.
const KIND: &str = "farside-leaves";

/// First word of a proof's line.
const PROOF_KIND: &str = "farside-proof";

/// Consecutive leaves of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'b> {
    /// Log shard.
    pub shard: &'b str,
    /// Index of the first leaf.
    pub first: u64,
    /// Checkpoint and consistency proof, or nothing.
    pub proof: &'b [u8],
    /// The leaf hashes.
    pub hashes: &'b [[u8; 32]],
}

/// Appends a run to a component in the making.
///
/// # Errors
/// `too_large`, `malformed`.
pub fn push_run(component: &mut Vec<u8>, run: &Run<'_>) -> Result<(), Refusal> {
    let (count, proof) = (run.hashes.len() as u64, run.proof.len() as u64);
    check_run(run.shard, run.first, count, proof)?;
    component.extend_from_slice(format!("{KIND}/1 {} {} {count} {proof}\n", run.shard, run.first).as_bytes());
    component.extend_from_slice(run.proof);
    component.extend_from_slice(run.hashes.as_flattened());
    Ok(())
}

/// What ties a run to its shard's signed head: nothing of it is believed before the root has been computed.
///
/// ```text
/// farside-proof/1 <checkpoint bytes> <edge hashes> <links>\n
/// <checkpoint note>
/// <edge: roots of the perfect subtrees before the run's first leaf, largest first>
/// <links × ( <older size> <hashes>\n consistency proof from there to the checkpoint )>
/// ```
// log.md §7.1
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunProof<'b> {
    /// The checkpoint note of the head with which the run ends.
    pub checkpoint: &'b [u8],
    /// The tree's right edge where the run begins: with the run's leaves it makes the root.
    pub edge: &'b [[u8; 32]],
    /// From earlier heads that a gate may hold.
    pub links: Vec<Link<'b>>,
}

/// A consistency proof (RFC 9162 §2.1.4) from an earlier size to the run's checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'b> {
    /// The earlier size.
    pub size: u64,
    /// The proof.
    pub hashes: &'b [[u8; 32]],
}

impl<'b> RunProof<'b> {
    /// As it stands in a run.
    ///
    /// # Errors
    /// `too_large`.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Refusal> {
        let (checkpoint, edge) = (self.checkpoint.len(), self.edge.len());
        let mut out = format!("{PROOF_KIND}/1 {checkpoint} {edge} {}\n", self.links.len()).into_bytes();
        out.extend_from_slice(self.checkpoint);
        out.extend_from_slice(self.edge.as_flattened());
        for link in &self.links {
            out.extend_from_slice(format!("{} {}\n", link.size, link.hashes.len()).as_bytes());
            out.extend_from_slice(link.hashes.as_flattened());
        }
        match out.len() as u64 <= PROOF_BYTES_MAX && self.links.len() <= LINKS_MAX {
            true => Ok(out),
            false => Err(Refusal::new(Code::TooLarge, "the proof of a run")),
        }
    }

    /// Reads the proof of a run whose component's digest has been checked.
    ///
    /// # Errors
    /// `malformed`, `too_large`, `version_unsupported`.
    pub fn read(proof: &'b [u8]) -> Result<RunProof<'b>, Refusal> {
        let (line, rest) = cut_line(proof)?;
        let (line, links) = line.rsplit_once(' ').ok_or_else(|| malformed("the proof of a run"))?;
        let [checkpoint, edge] = first_line(line, PROOF_KIND)?.map(decimal);
        let (checkpoint, edge, links) = (length(checkpoint)?, length(edge)?, length(decimal(links))?);
        if links > LINKS_MAX || edge > HASHES_MAX {
            return Err(Refusal::new(Code::TooLarge, "the proof of a run"));
        }
        let (checkpoint, rest) = rest.split_at_checked(checkpoint).ok_or_else(short)?;
        let (edge, mut rest) = cut_hashes(rest, edge)?;
        let mut read: Vec<Link> = Vec::new();
        for _ in 0..links {
            let (link, behind) = Link::read(rest)?;
            // Ascending, so that one size has one proof.
            if read.last().is_some_and(|last| last.size >= link.size) {
                return Err(malformed("links of a run out of order"));
            }
            read.push(link);
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(malformed("bytes behind the proof of a run"));
        }
        Ok(RunProof { checkpoint, edge, links: read })
    }

    /// The consistency proof from a size, if it was carried.
    pub fn link_from(&self, size: u64) -> Option<&'b [[u8; 32]]> {
        self.links.iter().find(|link| link.size == size).map(|link| link.hashes)
    }
}

impl<'b> Link<'b> {
    fn read(bytes: &'b [u8]) -> Result<(Link<'b>, &'b [u8]), Refusal> {
        let (line, rest) = cut_line(bytes)?;
        let (size, count) = line.split_once(' ').ok_or_else(|| malformed("a link of a run"))?;
        let size = decimal(size).ok_or_else(|| malformed("a link of a run"))?;
        let count = length(decimal(count))?;
        if count > HASHES_MAX {
            return Err(Refusal::new(Code::TooLarge, "a link of a run"));
        }
        let (hashes, rest) = cut_hashes(rest, count)?;
        Ok((Link { size, hashes }, rest))
    }
}

/// Reads a component whose digest has been checked.
///
/// # Errors
/// `malformed`, `too_large`, `version_unsupported`.
pub fn read(mut component: &[u8]) -> Result<Vec<Run<'_>>, Refusal> {
    let mut runs: Vec<Run> = Vec::new();
    while !component.is_empty() {
        // bundle.md §8.2
        if runs.len() == RUNS_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("more than {RUNS_MAX} runs of leaves")));
        }
        let (run, rest) = read_run(component)?;
        // bundle.md §8.3
        if runs.iter().any(|other| other.shard == run.shard) {
            return Err(malformed("two runs of one shard"));
        }
        runs.push(run);
        component = rest;
    }
    Ok(runs)
}

fn read_run(component: &[u8]) -> Result<(Run<'_>, &[u8]), Refusal> {
    let (line, rest) = cut_line(component)?;
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [kind, shard, first, lengths] = words[..] else { return Err(malformed("a run of leaves")) };
    let [count, proof] = first_line(&format!("{kind} {lengths}"), KIND)?.map(decimal);
    let (Some(first), Some(count), Some(proof)) = (decimal(first), count, proof) else {
        return Err(malformed("a number in a run of leaves"));
    };
    check_run(shard, first, count, proof)?;
    let (proof, rest) = rest.split_at_checked(length(Some(proof))?).ok_or_else(short)?;
    let (hashes, rest) = cut_hashes(rest, length(Some(count))?)?;
    Ok((Run { shard, first, proof, hashes }, rest))
}

fn cut_line(bytes: &[u8]) -> Result<(&str, &[u8]), Refusal> {
    let cut = bytes.iter().take(LINE_BYTES_MAX).position(|b| *b == b'\n');
    let (line, rest) = bytes.split_at(cut.ok_or_else(|| malformed("a run of leaves without its line"))?);
    Ok((str::from_utf8(line).map_err(|_| malformed("a run of leaves"))?, &rest[1..]))
}

fn cut_hashes(bytes: &[u8], count: usize) -> Result<(&[[u8; 32]], &[u8]), Refusal> {
    let (hashes, rest) = bytes.split_at_checked(count * 32).ok_or_else(short)?;
    Ok((hashes.as_chunks::<32>().0, rest))
}

fn length(number: Option<u64>) -> Result<usize, Refusal> {
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| malformed("a number in a run of leaves"))
}

fn short() -> Refusal {
    malformed("fewer bytes than a run of leaves announces")
}

fn check_run(shard: &str, first: u64, count: u64, proof: u64) -> Result<(), Refusal> {
    check_name("log shard", shard)?;
    if count > RUN_LEAVES_MAX || proof > PROOF_BYTES_MAX {
        return Err(Refusal::new(Code::TooLarge, "a run of leaves or its proof"));
    }
    check_integer("log index", first + count)
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Code::Malformed, what)
}
