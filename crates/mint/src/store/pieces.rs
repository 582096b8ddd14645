//! A map from names that is copied in small pieces: whoever changes a few entries shares all other pieces
//! with the picture before, whose readers see nothing of it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

/// A map of a million entries is copied a thousand at a time.
const PIECES: usize = 1024;

/// The map.
#[derive(Debug, Clone)]
pub(super) struct Pieces<V>(Vec<Arc<HashMap<String, V>>>);

impl<V: Clone> Pieces<V> {
    pub(super) fn new() -> Self {
        Self((0..PIECES).map(|_| Arc::default()).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.0[place(name)].get(name)
    }

    pub(super) fn insert(&mut self, name: String, value: V) {
        Arc::make_mut(&mut self.0[place(&name)]).insert(name, value);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<V> {
        let piece = &mut self.0[place(name)];
        if piece.contains_key(name) { Arc::make_mut(piece).remove(name) } else { None }
    }

    /// All values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().flat_map(|piece| piece.values())
    }
}

/// The maps within hash with seeds of their own: names that share a piece on purpose make it large, not slow.
fn place(name: &str) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
    (hash % PIECES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_the_copy_before_as_it_was_and_shares_the_other_pieces() {
        let mut before = Pieces::new();
        (0..10_000).for_each(|n| before.insert(format!("n{n}"), n));
        let mut after = before.clone();
        after.insert("n7".to_owned(), 70);
        assert_eq!(after.remove("n8"), Some(8));
        assert_eq!(after.remove("n8"), None);
        assert_eq!((before.get("n7"), before.get("n8")), (Some(&7), Some(&8)));
        assert_eq!((after.get("n7"), after.get("n8"), after.get("n9")), (Some(&70), None, Some(&9)));
        assert_eq!((before.values().count(), after.values().count()), (10_000, 9_999));
        let shared = before.0.iter().zip(&after.0).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert!(shared >= PIECES - 2, "{shared}");
    }
}
