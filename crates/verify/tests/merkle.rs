//! The tree is that of RFC 6962, and a proof holds for its own place alone.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use farside_verify::merkle::{
    Frontier, Hash, empty_root, is_consistent, leaf_hash, node_hash, root_of_inclusion,
};

/// RFC 6962 §2.1 as it is written: split at the largest power of two below the size.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// RFC 6962 §2.1.1.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut inner, sibling) = match index < left.len() {
        true => (path(index, left), root(right)),
        false => (path(index - left.len(), right), root(left)),
    };
    inner.push(sibling);
    inner
}

/// RFC 6962 §2.1.2.
fn consistency(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut inner, sibling) = match old <= left.len() {
        true => (consistency(old, left, whole), root(right)),
        false => (consistency(old - left.len(), right, false), root(left)),
    };
    inner.push(sibling);
    inner
}

fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(format!("leaf {n}").as_bytes())).collect()
}

#[test]
fn roots_are_those_of_rfc_6962() {
    // The leaves and roots that Certificate Transparency's own implementations test with.
    let entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
    let expected = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    ];
    let mut tree = Frontier::default();
    assert_eq!(hex(&tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (entry, expected) in entries.iter().zip(expected) {
        tree.push(leaf_hash(&unhex(entry)));
        assert_eq!(hex(&tree.root()), expected);
    }
}

#[test]
fn a_frontier_grows_the_tree_of_any_size() {
    let leaves = leaves(300);
    let mut tree = Frontier::default();
    for size in 0..=leaves.len() {
        assert_eq!(tree.root(), root(&leaves[..size]), "{size}");
        let restored = Frontier::new(tree.size(), tree.nodes().to_vec()).unwrap();
        assert_eq!(restored, tree);
        assert_eq!(Frontier::new(tree.size() + 1, tree.nodes().to_vec()).is_some(), one_bit_more(size));
        tree.extend(leaves.get(size).copied());
    }
}

#[test]
fn an_inclusion_proof_holds_for_its_leaf_and_place_alone() {
    let leaves = leaves(40);
    for size in 1..=leaves.len() {
        let root = root(&leaves[..size]);
        for index in 0..size {
            let proof = path(index, &leaves[..size]);
            let under = |leaf: &Hash, index: usize, size: usize, proof: &[Hash]| {
                root_of_inclusion(leaf, index as u64, size as u64, proof) == Some(root)
            };
            assert!(under(&leaves[index], index, size, &proof), "{index} of {size}");
            assert!(!under(&leaf_hash(b"forged"), index, size, &proof));
            for other in (0..size).filter(|other| *other != index) {
                assert!(!under(&leaves[index], other, size, &proof), "{index} as {other} of {size}");
            }
            let longer = [&proof[..], &[root]].concat();
            assert!(!under(&leaves[index], index, size, &longer));
            assert!(proof.is_empty() || !under(&leaves[index], index, size, &proof[1..]));
        }
        assert_eq!(root_of_inclusion(&leaves[0], size as u64, size as u64, &[]), None);
    }
}

#[test]
fn a_consistency_proof_holds_for_its_two_trees_alone() {
    let leaves = leaves(40);
    for new in 1..=leaves.len() {
        let new_root = root(&leaves[..new]);
        for old in 1..=new {
            let (old_root, proof) = (root(&leaves[..old]), consistency(old, &leaves[..new], true));
            let holds = |old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
                is_consistent((old as u64, old_root), (new as u64, new_root), proof)
            };
            assert!(holds(&old_root, &new_root, &proof), "{old} to {new}");
            let forged = leaf_hash(b"forged");
            assert!(!holds(&forged, &new_root, &proof));
            assert!(!holds(&old_root, &forged, &proof));
            assert!(!holds(&old_root, &new_root, &[&proof[..], &[forged]].concat()));
            assert!(proof.is_empty() || !holds(&old_root, &new_root, &proof[1..]));
        }
        assert!(is_consistent((0, &empty_root()), (new as u64, &new_root), &[]));
        assert!(!is_consistent((0, &new_root), (new as u64, &new_root), &[]));
        assert!(!is_consistent((new as u64 + 1, &new_root), (new as u64, &new_root), &[]));
    }
}

fn one_bit_more(size: usize) -> bool {
    (size + 1).count_ones() == size.count_ones()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}
