//! Tiles that another implementation has cut (vectors from Sunlight) make the root that its checkpoint says.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use base64::Engine as _;
use farside_verify::merkle::{Frontier, Hash};

#[test]
fn the_tiles_of_another_implementation_make_the_root_of_its_checkpoint() {
    let tile = |bytes: &[u8]| -> Vec<Hash> { bytes.as_chunks::<32>().0.to_vec() };
    let above = tile(include_bytes!("../../../vectors/tlog/tile/1/000.p/1"));
    let mut tree = Frontier::default();
    tree.extend(tile(include_bytes!("../../../vectors/tlog/tile/0/000")));
    assert_eq!(above, [tree.root()]);
    tree.extend(tile(include_bytes!("../../../vectors/tlog/tile/0/001.p/44")));
    let checkpoint = include_str!("../../../vectors/tlog/mirrored.checkpoint");
    let root = base64::engine::general_purpose::STANDARD.encode(tree.root());
    assert!(checkpoint.starts_with(&format!("rome2026h1.example.org\n{}\n{root}\n", tree.size())));
}
