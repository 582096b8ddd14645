//! The leaves component: hashes of the issuance log since the last bundle, in runs, each run from one log
//! shard.
//!
//! ```text
//! farside-leaves/1 <shard> <first index> <count> <proof bytes>\n
//! <proof>                                  a checkpoint note and what links it to the last one; may be empty
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

/// Longest first line of a run, in bytes.
const LINE_BYTES_MAX: usize = 160;

/// First word of a run's line.
const KIND: &str = "farside-leaves";

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
    let cut = component.iter().take(LINE_BYTES_MAX).position(|b| *b == b'\n');
    let cut = cut.ok_or_else(|| malformed("a run of leaves without its line"))?;
    let line = str::from_utf8(&component[..cut]).map_err(|_| malformed("a run of leaves"))?;
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [kind, shard, first, rest] = words[..] else { return Err(malformed("a run of leaves")) };
    let [count, proof] = first_line(&format!("{kind} {rest}"), KIND)?.map(decimal);
    let (Some(first), Some(count), Some(proof)) = (decimal(first), count, proof) else {
        return Err(malformed("a number in a run of leaves"));
    };
    check_run(shard, first, count, proof)?;
    let proof = usize::try_from(proof).map_err(|_| malformed("the length of a proof"))?;
    let count = usize::try_from(count).map_err(|_| malformed("the number of leaves"))?;
    let short = || malformed("fewer leaves than announced");
    let (proof, rest) = component[cut + 1..].split_at_checked(proof).ok_or_else(short)?;
    let (hashes, rest) = rest.split_at_checked(count * 32).ok_or_else(short)?;
    Ok((Run { shard, first, proof, hashes: hashes.as_chunks::<32>().0 }, rest))
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
