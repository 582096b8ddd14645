//! The mint's log in memory: every leaf, and proofs made by the recursive definitions of RFC 6962 §2.1,
//! which the gate's own arithmetic is held against.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use farside_crossing::leaves::{Link, Run, RunProof, push_run};
use farside_crossing::{Head, LogKey, Staple, checkpoint};
use farside_verify::merkle::{Hash, empty_root, node_hash};

use super::{SITE, leaf_of};

/// A log key.
pub(crate) struct LogPair {
    pub(crate) public: LogKey,
    pair: Ed25519KeyPair,
}

impl LogPair {
    pub(crate) fn new(name: &str) -> LogPair {
        let pair = Ed25519KeyPair::generate().unwrap();
        let point = pair.public_key().as_ref().try_into().unwrap();
        LogPair { public: LogKey::new(name, point).unwrap(), pair }
    }

    pub(crate) fn sign(&self, head: &Head) -> [u8; 64] {
        let text = checkpoint::text(&self.public, SITE, head);
        self.pair.sign(text.as_bytes()).as_ref().try_into().unwrap()
    }

    pub(crate) fn checkpoint(&self, head: &Head) -> Vec<u8> {
        checkpoint::note(&self.public, SITE, head, &self.sign(head)).unwrap()
    }
}

/// One shard.
#[derive(Clone)]
pub(crate) struct Tree {
    log: Arc<LogPair>,
    leaves: Vec<Hash>,
    /// Roots of perfect subtrees, by level and place: large trees are asked many times.
    known: HashMap<(u32, usize), Hash>,
}

impl Tree {
    pub(crate) fn new(log: Arc<LogPair>) -> Tree {
        Tree { log, leaves: Vec::new(), known: HashMap::new() }
    }

    /// Appends these leaves.
    pub(crate) fn extend(&mut self, leaves: impl IntoIterator<Item = Hash>) -> &mut Tree {
        self.leaves.extend(leaves);
        self
    }

    /// Appends a token's leaf at its place: the next.
    pub(crate) fn log(&mut self, token: &str) -> &mut Tree {
        let leaf = leaf_of(token, self.leaves.len() as u64);
        self.leaves.push(leaf);
        self
    }

    /// Appends leaves of nobody in particular.
    pub(crate) fn fill(&mut self, count: u64, salt: &str) -> &mut Tree {
        let first = self.leaves.len();
        let leaf = |n: usize| *farside_crossing::Digest::of(format!("{salt} {n}").as_bytes()).as_bytes();
        self.leaves.extend((first..first + count as usize).map(leaf));
        self
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    pub(crate) fn head(&mut self, size: u64) -> Head {
        Head { size, root: if size == 0 { empty_root() } else { self.root(0, size as usize) } }
    }

    // RFC 6962 §2.1: MTH(D[from:to]).
    fn root(&mut self, from: usize, to: usize) -> Hash {
        let width = to - from;
        if width == 1 {
            return self.leaves[from];
        }
        let perfect = width.is_power_of_two().then(|| (width.trailing_zeros(), from));
        if let Some(root) = perfect.and_then(|key| self.known.get(&key)) {
            return *root;
        }
        let middle = from + split(width);
        let root = node_hash(&self.root(from, middle), &self.root(middle, to));
        if let Some(key) = perfect.filter(|_| width >= 64) {
            self.known.insert(key, root);
        }
        root
    }

    /// RFC 6962 §2.1.1: `PATH(index, D[0:size])`.
    pub(crate) fn inclusion(&mut self, index: u64, size: u64) -> Vec<Hash> {
        let (mut from, mut to, mut path) = (0, size as usize, Vec::new());
        while to - from > 1 {
            let middle = from + split(to - from);
            if (index as usize) < middle {
                path.push(self.root(middle, to));
                to = middle;
            } else {
                path.push(self.root(from, middle));
                from = middle;
            }
        }
        path.reverse();
        path
    }

    /// RFC 6962 §2.1.2: `PROOF(old, D[0:new])`.
    pub(crate) fn consistency(&mut self, old: u64, new: u64) -> Vec<Hash> {
        let (mut from, mut to, mut proof) = (0, new as usize, Vec::new());
        while to != old as usize {
            let middle = from + split(to - from);
            if old as usize <= middle {
                proof.push(self.root(middle, to));
                to = middle;
            } else {
                proof.push(self.root(from, middle));
                from = middle;
            }
        }
        if from > 0 {
            proof.push(self.root(from, to));
        }
        proof.reverse();
        proof
    }

    /// The roots of the perfect subtrees over the leaves before `first`, largest first.
    pub(crate) fn edge(&mut self, first: u64) -> Vec<Hash> {
        let (mut at, mut edge) = (0, Vec::new());
        for bit in (0..usize::BITS).rev().map(|bit| 1 << bit).filter(|bit| first as usize & bit != 0) {
            edge.push(self.root(at, at + bit));
            at += bit;
        }
        edge
    }

    /// A leaves component with one run, as the mint makes it.
    pub(crate) fn run(&mut self, first: u64, until: u64, links: &[u64]) -> Vec<u8> {
        let head = self.head(until);
        self.run_under(&self.log.checkpoint(&head), first, until, links)
    }

    /// A run with a checkpoint that the test has chosen.
    pub(crate) fn run_under(&mut self, checkpoint: &[u8], first: u64, until: u64, links: &[u64]) -> Vec<u8> {
        let edge = self.edge(first);
        let proofs: Vec<(u64, Vec<Hash>)> =
            links.iter().map(|old| (*old, self.consistency(*old, until))).collect();
        let links = proofs.iter().map(|(size, hashes)| Link { size: *size, hashes }).collect();
        let proof = RunProof { checkpoint, edge: &edge, links }.to_bytes().unwrap();
        let hashes = &self.leaves[first as usize..until as usize];
        let mut component = Vec::new();
        push_run(&mut component, &Run { shard: SITE, first, proof: &proof, hashes }).unwrap();
        component
    }

    /// The token with its proof under the head of `size`.
    pub(crate) fn staple(&mut self, token: &str, index: u64, size: u64) -> String {
        let head = self.head(size);
        let signature = self.log.sign(&head);
        Staple { size, signature, proof: self.inclusion(index, size) }.to_token(token)
    }
}

/// The largest power of two below `width`.
fn split(width: usize) -> usize {
    1 << (usize::BITS - 1 - (width - 1).leading_zeros())
}
