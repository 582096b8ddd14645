//! Believes a bundle's runs of log leaves: the run makes the head that the log key has signed, and that head
//! continues every head which this gate holds. Only then anything of it is kept.
//!
//! ```text
//!   edge ┈┈┈ leaves of the run ┈┈┈▶ root = checkpoint's     what came before, and what tokens brought
//!      ▲          ▲        ▲                                along, must be this tree at that size
//!      └ link ┈ held head  └ stapled head
//! ```

use farside_crossing::bundle::Opened;
use farside_crossing::leaves::{Run, RunProof};
use farside_crossing::{Code, Head, LogKey, PolicyDocument, Refusal, checkpoint};
use farside_verify::encode::base64url;
use farside_verify::merkle::{Frontier, Hash, is_consistent};
use rusqlite::Transaction;

use super::apply::Trouble;
use super::report::HeadLetGo;
use crate::store::{self, LogFork, LogRow, StapledHead, StoreFault};

/// A run that may be kept.
pub(super) struct BelievedRun<'b> {
    run: Run<'b>,
    checkpoint: &'b [u8],
    head: Head,
    held: Option<LogRow>,
    /// Sizes of the heads brought along by tokens that stand on this tree.
    reconciled: Vec<u64>,
    /// Release people let the log begin anew, and it has to.
    anew: bool,
}

/// What a bundle's runs turned out to be.
pub(super) enum Runs<'b> {
    /// Each may be kept.
    Believed(Vec<BelievedRun<'b>>),
    /// One is of another log than what this gate holds. Both heads have been kept.
    Forked(Refusal),
}

/// What the runs brought.
#[derive(Default)]
pub(super) struct LogsIn {
    pub(super) leaves: u64,
    /// Shards whose log began anew.
    pub(super) anew: Vec<String>,
}

/// Believes every run, or none. Of a fork both heads are written down; nothing else is written here.
// log.md §7.2
pub(super) fn believe<'b>(
    tx: &Transaction<'_>,
    opened: &Opened<'b>,
    fenced: bool,
    now: u64,
) -> Result<Runs<'b>, Trouble> {
    let mut believed = Vec::new();
    for run in opened.leaves().unwrap_or_default() {
        let proof = RunProof::read(run.proof)?;
        let head = checkpoint::open(proof.checkpoint, opened.charter().log(), run.shard)?.head();
        let held = store::log(tx, run.shard)?;
        let mut stapled = store::stapled_heads(tx, run.shard)?;
        if !opened.charters_new().is_empty() {
            stapled.retain(|head| is_signed(run.shard, head, opened.charter().log()));
        }
        let verdict = Candidate { run, proof: &proof, head }.judge(tx, held.as_ref(), &stapled)?;
        let (reconciled, anew) = match verdict {
            Verdict::Continues { reconciled } => (reconciled, false),
            // log.md §7.4
            Verdict::Forked { .. } | Verdict::Unlinked { .. } if fenced => (Vec::new(), true),
            Verdict::Unlinked { from } => return Err(unlinked(run, head, from).into()),
            Verdict::Forked { from, stapled } => {
                let fork = LogFork {
                    shard: run.shard,
                    held: (from.size, from.root),
                    held_proof: stapled,
                    other: (head.size, head.root),
                    checkpoint: proof.checkpoint,
                };
                store::add_log_fork(tx, &fork, now)?;
                return Ok(Runs::Forked(forked(run, head, from)));
            }
        };
        let checkpoint = proof.checkpoint;
        believed.push(BelievedRun { run: *run, checkpoint, head, held, reconciled, anew });
    }
    Ok(Runs::Believed(believed))
}

/// Keeps believed runs, brought by bundle `seq` of `issued_at`.
pub(super) fn keep(
    tx: &Transaction<'_>,
    runs: Vec<BelievedRun<'_>>,
    seq: u64,
    issued_at: u64,
) -> Result<LogsIn, StoreFault> {
    let mut came = LogsIn::default();
    for BelievedRun { run, checkpoint, head, held, reconciled, anew } in runs {
        if anew {
            store::forget_log(tx, run.shard)?;
            came.anew.push(run.shard.to_owned());
        }
        let held = held.filter(|_| !anew);
        let (began, kept_from) = held.as_ref().map_or((seq, 0), |held| (held.began, held.kept_from));
        // What no token needs any more does not come back with a run that repeats it.
        let pruned = usize::try_from(kept_from.saturating_sub(run.first)).unwrap_or(usize::MAX);
        let hashes = run.hashes.get(pruned..).unwrap_or_default();
        let first = run.first.max(kept_from);
        came.leaves += store::add_run(tx, (run.shard, issued_at), first, hashes)?;
        for size in reconciled {
            store::forget_stapled_head(tx, run.shard, size)?;
        }
        if held.is_none_or(|held| held.size < head.size) {
            let log = LogRow { size: head.size, root: head.root, seq, began, kept_from };
            store::set_log(tx, run.shard, &log, checkpoint)?;
        }
    }
    Ok(came)
}

/// How long before a bundle was issued the leaves may have come that its gate still needs: no token lives
/// longer, and the clocks of the mint, of the gate and of the time floor may each be off by the leeway.
// log.md §7.6
pub(super) fn kept_seconds(policy: &PolicyDocument) -> u64 {
    policy.lifetime_seconds_max.saturating_add(3 * policy.leeway_seconds)
}

/// Forgets leaves, and heads brought along by tokens, that no token which is still accepted may need.
// log.md §7.6
pub(super) fn prune(tx: &Transaction<'_>, oldest: u64) -> Result<(), StoreFault> {
    for (shard, log) in store::logs(tx)? {
        if let Some(kept_from) = store::prune_leaves(tx, &shard, oldest, log.size)? {
            store::set_kept_from(tx, &shard, kept_from)?;
        }
    }
    store::forget_old_stapled_heads(tx, oldest)
}

/// Forgets heads that tokens brought along and that none of these log keys has signed: the charter has
/// dropped the key, and what a thief may have signed with it must not stand against the log. They are
/// answered: what a thief has signed is evidence.
// log.md §7.7
pub(super) fn let_go(tx: &Transaction<'_>, keys: &[LogKey]) -> Result<Vec<HeadLetGo>, StoreFault> {
    let mut gone = Vec::new();
    for (shard, heads) in store::every_stapled_head(tx)? {
        for head in heads.iter().filter(|head| !is_signed(&shard, head, keys)) {
            store::forget_stapled_head(tx, &shard, head.size)?;
            gone.push(HeadLetGo {
                shard: shard.clone(),
                size: head.size,
                root: base64url(head.root),
                signature: base64url(head.signature),
            });
        }
    }
    Ok(gone)
}

fn is_signed(shard: &str, head: &StapledHead, keys: &[LogKey]) -> bool {
    let StapledHead { size, root, signature } = head;
    checkpoint::believe(keys, shard, Head { size: *size, root: *root }, signature).is_ok()
}

/// A run whose checkpoint is signed, against what is held.
struct Candidate<'c, 'b> {
    run: &'c Run<'b>,
    proof: &'c RunProof<'b>,
    head: Head,
}

enum Verdict {
    /// It makes its head, and its tree continues the heads held.
    Continues { reconciled: Vec<u64> },
    /// Its tree was another at the size of a head held; with the signature, where that was stapled.
    Forked { from: Head, stapled: Option<[u8; 64]> },
    /// Nothing shows whether its tree continues the head held.
    Unlinked { from: Head },
}

/// What stands of the run's tree at the size of an earlier head.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Same,
    Other,
    Unknown,
}

impl Candidate<'_, '_> {
    fn judge(
        &self,
        tx: &Transaction<'_>,
        held: Option<&LogRow>,
        stapled: &[StapledHead],
    ) -> Result<Verdict, Trouble> {
        let newest = held.map(|held| Head { size: held.size, root: held.root });
        let mut sizes: Vec<u64> = stapled.iter().map(|head| head.size).collect();
        sizes.extend(newest.map(|head| head.size));
        sizes.retain(|size| (self.run.first..=self.head.size).contains(size));
        sizes.sort_unstable();
        let (tree, roots) = self.grow(&sizes)?;
        let standing = |past: Head| -> Result<Standing, StoreFault> {
            if let Some((_, root)) = roots.iter().find(|(size, _)| *size == past.size) {
                return Ok(if *root == past.root { Standing::Same } else { Standing::Other });
            }
            match past.size > self.head.size {
                true => self.behind(tx, tree.clone(), past),
                false => Ok(self.linked(past)),
            }
        };
        if let Some(from) = newest {
            match standing(from)? {
                Standing::Same => {}
                Standing::Other => return Ok(Verdict::Forked { from, stapled: None }),
                Standing::Unknown => return Ok(Verdict::Unlinked { from }),
            }
        }
        let mut reconciled = Vec::new();
        for head in stapled {
            let from = Head { size: head.size, root: head.root };
            // log.md §7.5: one that is still ahead, or behind the run without a link, goes on waiting.
            match if from.size > self.head.size { Standing::Unknown } else { standing(from)? } {
                Standing::Same => reconciled.push(head.size),
                Standing::Other => return Ok(Verdict::Forked { from, stapled: Some(head.signature) }),
                Standing::Unknown => {}
            }
        }
        Ok(Verdict::Continues { reconciled })
    }

    /// Grows the tree from the edge through the run's leaves, noting its root at each of `sizes`.
    fn grow(&self, sizes: &[u64]) -> Result<(Frontier, Vec<(u64, Hash)>), Refusal> {
        let Run { shard, first, hashes, .. } = *self.run;
        let invalid = |what: &str| Refusal::new(Code::LogInvalid, format!("log {shard}: {what}"));
        if first + hashes.len() as u64 != self.head.size {
            return Err(invalid("the run does not end where its checkpoint does"));
        }
        let edge = Frontier::new(first, self.proof.edge.to_vec());
        let mut tree = edge.ok_or_else(|| invalid("the edge does not fit the run's beginning"))?;
        let (mut rest, mut roots) = (hashes, Vec::new());
        for size in sizes {
            let ahead = usize::try_from(size - tree.size()).unwrap_or(usize::MAX);
            let (before, after) = rest.split_at(ahead.min(rest.len()));
            tree.extend(before.iter().copied());
            roots.push((*size, tree.root()));
            rest = after;
        }
        tree.extend(rest.iter().copied());
        match tree.root() == self.head.root {
            true => Ok((tree, roots)),
            false => Err(invalid("edge and leaves do not make the checkpoint's root")),
        }
    }

    // log.md §7.3: before the run, by a link.
    fn linked(&self, past: Head) -> Standing {
        let Some(link) = self.proof.link_from(past.size) else { return Standing::Unknown };
        let new = (self.head.size, &self.head.root);
        match is_consistent((past.size, &past.root), new, link) {
            true => Standing::Same,
            false => Standing::Other,
        }
    }

    // log.md §7.3: past the checkpoint, by the leaves that this gate holds itself.
    fn behind(&self, tx: &Transaction<'_>, mut tree: Frontier, past: Head) -> Result<Standing, StoreFault> {
        let range = (self.head.size, past.size);
        let whole = store::each_between(tx, self.run.shard, range, |leaf| tree.push(leaf))?;
        Ok(match whole {
            false => Standing::Unknown,
            true if tree.root() == past.root => Standing::Same,
            true => Standing::Other,
        })
    }
}

fn forked(run: &Run<'_>, head: Head, from: Head) -> Refusal {
    let (shard, size, held) = (run.shard, head.size, from.size);
    Refusal::new(
        Code::LogForked,
        format!("log {shard}: of the head of {held} leaves the one of {size} is no continuation"),
    )
}

fn unlinked(run: &Run<'_>, head: Head, from: Head) -> Refusal {
    let (shard, size, held) = (run.shard, head.size, from.size);
    Refusal::new(Code::LogGap, format!("log {shard}: from {held} leaves to {size}")).with_cure(format!(
        "import a bundle between, or have one made with `farside mint bundle make --since {held}`"
    ))
}
