//! The Merkle tree over a log's leaves: RFC 6962 §2.1 hashing, inclusion and consistency proofs as RFC 9162
//! §2.1.3 and §2.1.4 check them, and a [`Frontier`] that grows a tree without keeping it.
//!
//! ```text
//!   leaves ──push──▶ Frontier ──root──▶ what a checkpoint must say
//!   leaf + proof ──root_of_inclusion──▶ the root it would stand under
//! ```
//!
//! For the mint, which builds, and whoever holds a checkpoint. Nothing here is believed: a root counts only
//! once it equals one that a checkpoint has signed.

use crate::leaf::{HASH_BYTES, sha256};

/// A leaf hash, a node or a root.
pub type Hash = [u8; HASH_BYTES];

/// Longest proof: one hash for each level of a tree of 2^64 leaves.
pub const PROOF_HASHES_MAX: usize = 64;

/// The hash of a leaf: SHA-256(0x00 ‖ entry).
// RFC 6962 §2.1
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// The hash of a node: SHA-256(0x01 ‖ left ‖ right).
// RFC 6962 §2.1
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root of a tree without leaves: SHA-256 of nothing.
// RFC 6962 §2.1
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The right edge of a growing tree: the roots of its perfect subtrees, largest first, one for each bit set
/// in its size.
///
/// ```
/// use farside_verify::merkle::{Frontier, leaf_hash, node_hash};
///
/// let (a, b, c) = (leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c"));
/// let mut tree = Frontier::default();
/// tree.extend([a, b, c]);
/// assert_eq!(tree.size(), 3);
/// assert_eq!(tree.root(), node_hash(&node_hash(&a, &b), &c));
/// assert_eq!(Frontier::new(3, tree.nodes().to_vec()), Some(tree));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The edge of a tree of `size` leaves; `None` where the number of nodes does not fit.
    pub fn new(size: u64, nodes: Vec<Hash>) -> Option<Frontier> {
        (nodes.len() == size.count_ones() as usize).then_some(Frontier { size, nodes })
    }

    /// Adds the next leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each perfect subtree of the new leaf's size, from small to large, is complete now.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// How many leaves stand behind it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The subtrees' roots, largest first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return empty_root() };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }
}

impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

/// The root under which `leaf` stands at `index` of `size` leaves, if `proof` is one for such a place.
///
/// ```
/// use farside_verify::merkle::{leaf_hash, node_hash, root_of_inclusion};
///
/// let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
/// assert_eq!(root_of_inclusion(&b, 1, 2, &[a]), Some(node_hash(&a, &b)));
/// assert_eq!(root_of_inclusion(&b, 1, 2, &[]), None);
/// ```
// RFC 9162 §2.1.3.2
pub fn root_of_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut root = *leaf;
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            root = node_hash(sibling, &root);
            // On the right edge the levels without a sibling have nothing in the proof.
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

/// Whether the tree of `old` leaves, with its root, is how the tree of `new` leaves began.
///
/// ```
/// use farside_verify::merkle::{is_consistent, leaf_hash, node_hash};
///
/// let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
/// assert!(is_consistent((1, &a), (2, &node_hash(&a, &b)), &[b]));
/// assert!(!is_consistent((1, &b), (2, &node_hash(&a, &b)), &[b]));
/// ```
// RFC 9162 §2.1.4.2
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    match old_size {
        // Every tree begins as the empty one.
        0 => proof.is_empty() && *old_root == empty_root(),
        _ if old_size > new_size => false,
        _ if old_size == new_size => proof.is_empty() && old_root == new_root,
        _ => roots_of_consistency(old_size, old_root, new_size, proof) == Some((*old_root, *new_root)),
    }
}

// The two roots that the proof makes for 0 < old < new.
fn roots_of_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    proof: &[Hash],
) -> Option<(Hash, Hash)> {
    // A tree whose size is a power of two is itself the proof's first node.
    let (first, rest) = match old_size.is_power_of_two() {
        true => (old_root, proof),
        false => proof.split_first()?,
    };
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    while place & 1 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    let (mut old, mut new) = (*first, *first);
    for node in rest {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            old = node_hash(node, &old);
            new = node_hash(node, &new);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, node);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some((old, new))
}
