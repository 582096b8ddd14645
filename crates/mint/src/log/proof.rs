//! Proofs out of the perfect subtrees of a tree: RFC 9162 §2.1.3.1 and §2.1.4.1. Pure: whoever calls hands in
//! how a subtree's root is found.

use farside_verify::merkle::{Hash, node_hash};

/// Finds the root of the perfect subtree of 2^level leaves that is the `index`-th of its level.
pub(super) trait Nodes {
    type Fault;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Self::Fault>;
}

/// The roots of the perfect subtrees of the first `size` leaves, largest first.
pub(super) fn edge<N: Nodes>(nodes: &mut N, size: u64) -> Result<Vec<Hash>, N::Fault> {
    let levels = (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1);
    levels.map(|level| nodes.node(level, (size >> level) - 1)).collect()
}

/// That the leaf at `index` stands under the root of `size` leaves.
// RFC 9162 §2.1.3.1
pub(super) fn inclusion<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Fault> {
    let (mut begin, mut end, mut siblings) = (0, size, Vec::new());
    while end - begin > 1 {
        let middle = split(begin, end);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((begin, middle));
            begin = middle;
        }
    }
    siblings.into_iter().rev().map(|(begin, end)| root(nodes, begin, end)).collect()
}

/// That the tree of `old` leaves is how the tree of `size` leaves began; both more than none.
// RFC 9162 §2.1.4.1
pub(super) fn consistency<N: Nodes>(nodes: &mut N, old: u64, size: u64) -> Result<Vec<Hash>, N::Fault> {
    let (mut begin, mut end, mut parts) = (0, size, Vec::new());
    while old < end {
        let middle = split(begin, end);
        if old <= middle {
            parts.push((middle, end));
            end = middle;
        } else {
            parts.push((begin, middle));
            begin = middle;
        }
    }
    // What is left ends where the old tree ended; where it is all of that tree, the verifier knows its root.
    if begin > 0 {
        parts.push((begin, end));
    }
    parts.into_iter().rev().map(|(begin, end)| root(nodes, begin, end)).collect()
}

// Where RFC 9162 §2.1.1 divides: behind the largest power of two that is smaller than the number of leaves.
fn split(begin: u64, end: u64) -> u64 {
    begin + (1 << (end - begin - 1).ilog2())
}

fn root<N: Nodes>(nodes: &mut N, begin: u64, end: u64) -> Result<Hash, N::Fault> {
    let leaves = end - begin;
    if leaves.is_power_of_two() {
        let level = leaves.ilog2();
        return nodes.node(level, begin >> level);
    }
    let middle = split(begin, end);
    Ok(node_hash(&root(nodes, begin, middle)?, &root(nodes, middle, end)?))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use farside_verify::merkle::{Frontier, is_consistent, leaf_hash, root_of_inclusion};

    use super::*;

    /// All leaves, hashed anew for every node.
    struct Leaves(Vec<Hash>);

    impl Leaves {
        fn edge(&self, size: u64) -> Frontier {
            let mut edge = Frontier::default();
            edge.extend(self.0[..size as usize].iter().copied());
            edge
        }
    }

    impl Nodes for Leaves {
        type Fault = Infallible;

        fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
            let mut tree = Frontier::default();
            tree.extend(self.0[(index << level) as usize..][..1 << level].iter().copied());
            Ok(tree.root())
        }
    }

    #[test]
    fn every_proof_of_every_small_tree_holds() {
        let mut leaves = Leaves((0..40_u8).map(|n| leaf_hash(&[n])).collect());
        for size in 1..=40 {
            let whole = leaves.edge(size);
            let Ok(edge) = edge(&mut leaves, size);
            assert_eq!(edge, whole.nodes());
            for index in 0..size {
                let Ok(proof) = inclusion(&mut leaves, index, size);
                let root = root_of_inclusion(&leaves.0[index as usize], index, size, &proof);
                assert_eq!(root, Some(whole.root()), "leaf {index} of {size}");
            }
            for old in 1..=size {
                let Ok(proof) = consistency(&mut leaves, old, size);
                let before = leaves.edge(old).root();
                assert!(is_consistent((old, &before), (size, &whole.root()), &proof), "{old} of {size}");
            }
        }
    }
}
