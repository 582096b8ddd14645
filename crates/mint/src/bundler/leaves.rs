//! The leaves that a bundle brings: from each of the site's shards the hashes that its gate lacks, under the
//! published head and with what ties them to it and to the heads that the gate may hold.
//!
//! Refuses to pack what a gate would refuse: every run and link is checked as the gate will check it.

use farside_crossing::leaves::{LINKS_MAX, Link, Run, RunProof, push_run};
use farside_crossing::{Head, Kind};
use farside_verify::merkle::{Frontier, Hash, is_consistent};

use super::content::Content;
use super::{BundleFault, Issuance, Order};
use crate::store::{Site, signed, unsigned};

/// The leaves of one shard that a bundle brings.
pub(super) struct LeafMark {
    pub(super) shard: String,
    pub(super) first: u64,
    pub(super) until: u64,
}

/// The component, and how far each shard is carried by it.
#[derive(Default)]
pub(super) struct Leaves {
    pub(super) component: Vec<u8>,
    pub(super) marks: Vec<LeafMark>,
}

/// Publishes what is durable, and takes from each shard the leaves since the base for a delta; for a full
/// bundle those since the newest bundle so old that no token of its time can still be accepted.
pub(super) fn gather(
    order: &Order<'_>,
    site: &Site,
    content: &Content,
    issuance: &dyn Issuance,
) -> Result<Leaves, BundleFault> {
    if order.kind == Kind::Beacon {
        return Ok(Leaves::default());
    }
    // log.md §4.1 (f): what is carried is under a head that the lock holds.
    issuance.publish()?;
    let settled_before =
        order.now.saturating_sub(site.terms.lifetime_seconds_max + 2 * site.terms.leeway_seconds);
    let mut leaves = Leaves::default();
    for shard in issuance.shards(site) {
        let Some((head, checkpoint)) = issuance.signed_head(&shard) else { continue };
        let first = order.store.read(|transaction| {
            content.leaves_from(transaction, &site.name, &shard, order.kind, settled_before)
        })?;
        let mark = LeafMark { first: first.min(head.size), until: head.size, shard };
        // A delta without news of a shard leaves its head as the base has it.
        if order.kind == Kind::Full || mark.first < mark.until {
            let older = older_sizes(order, site, &mark)?;
            push(&mut leaves.component, &mark, (head, &checkpoint), &older, issuance)?;
        }
        leaves.marks.push(mark);
    }
    Ok(leaves)
}

// log.md §7.3: a gate computes a head within the run by itself; one before it needs a link.
fn older_sizes(order: &Order<'_>, site: &Site, mark: &LeafMark) -> Result<Vec<u64>, BundleFault> {
    let mut sizes: Vec<u64> =
        order.since.filter(|since| (1..mark.first).contains(since)).into_iter().collect();
    let carried: Vec<u64> = order.store.read(|transaction| {
        let mut statement = transaction.prepare(
            "SELECT DISTINCT until FROM bundle_leaves WHERE site = ?1 AND shard = ?2 AND until > 0
             AND until < ?3 ORDER BY until DESC LIMIT ?4",
        )?;
        let wanted = (&site.name, &mark.shard, signed(mark.first), signed(LINKS_MAX as u64));
        let rows = statement.query_map(wanted, |row| Ok(unsigned(row.get(0)?)))?;
        Ok::<_, BundleFault>(rows.collect::<Result<_, _>>()?)
    })?;
    sizes.extend(carried.into_iter().filter(|size| Some(*size) != order.since));
    sizes.truncate(LINKS_MAX);
    sizes.sort_unstable();
    Ok(sizes)
}

fn push(
    component: &mut Vec<u8>,
    mark: &LeafMark,
    (head, checkpoint): (Head, &[u8]),
    older: &[u64],
    issuance: &dyn Issuance,
) -> Result<(), BundleFault> {
    let LeafMark { shard, first, until } = mark;
    let hashes = issuance.leaf_hashes(shard, *first..*until)?;
    let edge = issuance.edge(shard, *first)?;
    let mut links = Vec::new();
    for size in older {
        links.push((*size, issuance.consistency(shard, *size, *until)?));
    }
    refuse_torn_run(mark, &head, &edge, &hashes)?;
    for (size, proof) in &links {
        refuse_torn_link(mark, &head, (*size, issuance.edge(shard, *size)?), proof)?;
    }
    let links = links.iter().map(|(size, hashes)| Link { size: *size, hashes }).collect();
    let proof = RunProof { checkpoint, edge: &edge, links }.to_bytes()?;
    Ok(push_run(component, &Run { shard, first: *first, proof: &proof, hashes: &hashes })?)
}

// log.md §7.2
fn refuse_torn_run(mark: &LeafMark, head: &Head, edge: &[Hash], hashes: &[Hash]) -> Result<(), BundleFault> {
    let mut tree = Frontier::new(mark.first, edge.to_vec()).unwrap_or_default();
    tree.extend(hashes.iter().copied());
    match (tree.size(), tree.root()) == (head.size, head.root) {
        true => Ok(()),
        false => Err(BundleFault::LeavesTorn { shard: mark.shard.clone(), size: head.size }),
    }
}

// log.md §7.3
fn refuse_torn_link(
    mark: &LeafMark,
    head: &Head,
    (size, edge): (u64, Vec<Hash>),
    proof: &[Hash],
) -> Result<(), BundleFault> {
    let old = Frontier::new(size, edge).unwrap_or_default();
    match is_consistent((size, &old.root()), (head.size, &head.root), proof) {
        true => Ok(()),
        false => Err(BundleFault::LeavesTorn { shard: mark.shard.clone(), size }),
    }
}
