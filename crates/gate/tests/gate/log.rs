//! Runs of log leaves at import: what continues the log is kept, what contradicts it freezes the stream, what
//! cannot be tied to it waits.

use farside_crossing::fence::FenceDocument;
use farside_crossing::leaves::{Run, push_run};
use farside_crossing::{Head, Kind, checkpoint};
use farside_gate::import::Outcome;

use crate::realm::{Far, HOUR, LogPair, NOW, Plan, REALM, Realm, SITE, Tree, code, status};

/// A near side, a gate, and a log of `count` leaves.
fn ground(count: u64) -> (Realm, Far, Tree) {
    let (realm, far) = Far::enrolled();
    let mut tree = realm.tree();
    tree.fill(count, "honest");
    (realm, far, tree)
}

fn send(realm: &mut Realm, far: &Far, leaves: Vec<u8>) -> String {
    let plan = Plan { leaves: Some(leaves), ..realm.plan() };
    code(&far.import(&realm.send(plan)))
}

/// Offers a bundle that is refused and never sent again.
fn offer(realm: &Realm, far: &Far, leaves: Vec<u8>) -> String {
    code(&far.import(&realm.pack(&Plan { leaves: Some(leaves), ..realm.plan() }).bytes))
}

fn fence(seq: u64) -> FenceDocument {
    let (realm, site) = (REALM.to_owned(), SITE.to_owned());
    FenceDocument { realm, site, version: 1, issued_at: NOW, seq_min: seq, seq_max: seq }
}

fn held(far: &Far) -> (u64, String) {
    let log = far.status()["logs"][0].clone();
    (log["size"].as_u64().unwrap_or(0), log["root"].as_str().unwrap_or_default().to_owned())
}

fn hex(head: &Head) -> (u64, String) {
    (head.size, farside_service::digest::hex(&head.root))
}

#[test]
fn runs_that_continue_the_log_are_kept() {
    let (mut realm, far, mut tree) = ground(5_000);
    assert_eq!(send(&mut realm, &far, tree.run(0, 3_000, &[])), "applied 1");
    // On from there; then one that repeats all, as a full bundle may; then one without a leaf.
    assert_eq!(send(&mut realm, &far, tree.run(3_000, 4_100, &[3_000])), "applied 2");
    assert_eq!(send(&mut realm, &far, tree.run(0, 5_000, &[])), "applied 3");
    assert_eq!(send(&mut realm, &far, tree.run(5_000, 5_000, &[])), "applied 4");
    assert_eq!(held(&far), hex(&tree.head(5_000)));
    assert_eq!(far.status()["leaves"], 5_000);
    // A gate that comes late takes a run from wherever it begins: the edge proves what lies before.
    let late = Far::made();
    realm.recipient = Some(late.recipient.clone());
    late.trust(&realm.charter);
    assert_eq!(send(&mut realm, &late, tree.run(4_321, 4_900, &[])), "applied 5");
    assert_eq!(held(&late), hex(&tree.head(4_900)));
}

#[test]
fn every_size_continues_every_other() {
    let (mut realm, _, mut tree) = ground(34);
    for old in 1..=33 {
        let far = Far::made();
        (realm.recipient, realm.last) = (Some(far.recipient.clone()), None);
        far.trust(&realm.charter);
        assert_eq!(send(&mut realm, &far, tree.run(0, old, &[])), "applied 1");
        // Held within the run, at its beginning, or before it with a link.
        let first = [0, old, 34][old as usize % 3].max(old / 2);
        let links: &[u64] = if first > old { &[old] } else { &[] };
        assert_eq!(send(&mut realm, &far, tree.run(first, 34, links)), "applied 2", "{old}");
        assert_eq!(held(&far), hex(&tree.head(34)));
    }
}

#[test]
fn a_hole_needs_a_link_and_waits_for_the_bundle_between() {
    let (mut realm, far, mut tree) = ground(300);
    assert_eq!(send(&mut realm, &far, tree.run(0, 100, &[])), "applied 1");
    let unlinked = realm.pack(&Plan { leaves: Some(tree.run(200, 300, &[200])), ..realm.plan() });
    let Outcome::Refused { refusal, .. } = far.import(&unlinked.bytes) else { panic!("nothing links it") };
    assert_eq!(refusal.code().as_str(), "log_gap");
    assert!(refusal.cure().contains("--since 100"), "{}", refusal.cure());
    assert!(!far.trust_state().frozen(), "a gap is no fork");
    assert_eq!(held(&far), hex(&tree.head(100)));
    assert_eq!(send(&mut realm, &far, tree.run(200, 300, &[100])), "applied 2");
    assert_eq!(held(&far), hex(&tree.head(300)));
    assert_eq!(far.status()["leaves"], 200);
}

#[test]
fn a_forked_log_freezes_the_stream_and_both_heads_are_kept() {
    let (mut realm, far, mut tree) = ground(100);
    assert_eq!(send(&mut realm, &far, tree.run(0, 100, &[])), "applied 1");
    // The same log until leaf 80; then what a mint restored from a backup wrote instead.
    let mut other = realm.tree();
    other.fill(80, "honest").fill(40, "restored");
    let mut linked = other.run(110, 120, &[100]);
    for leaves in [other.run(60, 120, &[]), other.run(100, 120, &[]), linked.clone()] {
        let far = far_after_one(&mut realm, &mut tree);
        assert_eq!(offer(&realm, &far, leaves), "log_forked");
        let seen = far.status();
        assert_eq!((&seen["frozen"], &seen["bundle"]["seq"]), (&true.into(), &1.into()));
        let fork = &seen["log_forks"][0];
        assert_eq!((&fork["held_size"], &fork["size"]), (&100.into(), &120.into()));
        assert_eq!(fork["held_root"], hex(&tree.head(100)).1);
        assert_eq!(fork["root"], hex(&other.head(120)).1);
        assert_eq!(held(&far), hex(&tree.head(100)), "what was believed is still believed");
        assert_eq!(offer(&realm, &far, tree.run(0, 100, &[])), "frozen");
        // Release people look into it, and let the log begin anew.
        let leaves = Some(std::mem::take(&mut linked)).filter(|linked| !linked.is_empty());
        let leaves = leaves.unwrap_or_else(|| other.run(60, 120, &[]));
        let fenced = realm.pack(&Plan { fence: Some(fence(2)), leaves: Some(leaves), ..realm.plan() });
        assert_eq!(code(&far.import(&fenced.bytes)), "applied 2");
        assert_eq!(held(&far), hex(&other.head(120)));
    }
}

/// A new gate that has applied the realm's first bundle, with the first hundred leaves.
fn far_after_one(realm: &mut Realm, tree: &mut Tree) -> Far {
    let far = Far::made();
    (realm.recipient, realm.last) = (Some(far.recipient.clone()), None);
    far.trust(&realm.charter);
    assert_eq!(send(realm, &far, tree.run(0, 100, &[])), "applied 1");
    far
}

#[test]
fn a_fence_for_other_numbers_lets_no_log_begin_anew() {
    let (mut realm, far, mut tree) = ground(100);
    assert_eq!(send(&mut realm, &far, tree.run(0, 100, &[])), "applied 1");
    let mut other = realm.tree();
    let leaves = Some(other.fill(120, "thief").run(0, 120, &[]));
    // Release people signed it for another day; the thief of the online key found it.
    let fenced = realm.pack(&Plan { fence: Some(fence(40)), leaves, ..realm.plan() });
    assert_eq!(code(&far.import(&fenced.bytes)), "log_forked");
    assert_eq!(held(&far), hex(&tree.head(100)));
}

#[test]
fn a_log_rolled_back_is_refused_and_one_that_stands_still_is_not() {
    let (mut realm, _, mut tree) = ground(100);
    // An older head of the same log: nothing new, and nothing against it. The newest head stays.
    let far = far_after_one(&mut realm, &mut tree);
    assert_eq!(send(&mut realm, &far, tree.run(0, 90, &[])), "applied 2");
    assert_eq!(held(&far), hex(&tree.head(100)));
    // Rolled back, and written on differently: smaller than what is held, and not its beginning.
    let mut other = realm.tree();
    other.fill(80, "honest").fill(5, "restored");
    assert_eq!(offer(&realm, &far, other.run(80, 85, &[])), "log_forked");
    assert!(far.trust_state().frozen());
}

#[test]
fn a_run_that_does_not_make_its_signed_head_is_refused_and_is_no_fork() {
    let (mut realm, far, mut tree) = ground(100);
    assert_eq!(send(&mut realm, &far, tree.run(0, 50, &[])), "applied 1");
    let good = tree.run(40, 100, &[]);
    let log = std::sync::Arc::clone(&realm.log);
    let head = |tree: &mut Tree, size| log.checkpoint(&tree.head(size));
    let mut other = realm.tree();
    other.fill(100, "other");
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut edge = tree.run(40, 100, &[]);
    let edge_at = edge.len() - 60 * 32 - 5;
    edge[edge_at] ^= 1;
    let cases = [
        ("a leaf was changed", flipped),
        ("the edge was changed", edge),
        ("leaves of another log", other.run_under(&head(&mut tree, 100), 40, 100, &[])),
        ("a smaller head", tree.clone().run_under(&head(&mut tree, 99), 40, 100, &[])),
        ("without a proof", unproven(10)),
        ("a larger head", tree.clone().run_under(&head(tree.clone().fill(1, "more"), 101), 40, 100, &[])),
    ];
    for (name, leaves) in cases {
        let told = offer(&realm, &far, leaves);
        assert!(["log_invalid", "signature_invalid", "malformed"].contains(&told.as_str()), "{name}: {told}");
        assert!(!far.trust_state().frozen(), "{name}");
    }
    assert_eq!(send(&mut realm, &far, good), "applied 2");
}

/// A run that says nothing of where it comes from.
fn unproven(count: usize) -> Vec<u8> {
    let (mut component, hashes) = (Vec::new(), vec![[7; 32]; count]);
    push_run(&mut component, &Run { shard: SITE, first: 50, proof: &[], hashes: &hashes }).unwrap();
    component
}

#[test]
fn a_head_that_no_log_key_of_the_charter_signed_for_this_shard_is_refused() {
    let (mut realm, far, mut tree) = ground(10);
    let thief = LogPair::new("moon-log");
    let stranger = LogPair::new("other-log");
    let head = tree.head(10);
    let elsewhere = Head { size: 10, ..head };
    // Another shard's head, honestly signed.
    let text = checkpoint::text(&realm.log.public, "dome-2", &elsewhere);
    let moved =
        String::from_utf8(realm.log.checkpoint(&head)).unwrap().replace("moon-log/dome", "moon-log/dome-2");
    assert!(moved.starts_with(&text));
    for (name, note, expected) in [
        ("a thief's key of the same name", thief.checkpoint(&head), "threshold_unmet"),
        ("a stranger's", stranger.checkpoint(&head), "threshold_unmet"),
        ("another shard's", moved.into_bytes(), "threshold_unmet"),
        ("none", Vec::new(), "malformed"),
    ] {
        assert_eq!(offer(&realm, &far, tree.run_under(&note, 0, 10, &[])), expected, "{name}");
    }
    let mut both = realm.log.checkpoint(&head);
    both.extend_from_slice(thief.checkpoint(&head).split(|byte| *byte == b'\n').nth(4).unwrap());
    both.push(b'\n');
    let leaves = tree.run_under(&both, 0, 10, &[]);
    assert_eq!(send(&mut realm, &far, leaves), "applied 1", "lines of unknown keys are ignored");
}

#[test]
fn a_refused_run_leaves_nothing_of_its_bundle() {
    let (mut realm, far, mut tree) = ground(20);
    assert_eq!(send(&mut realm, &far, tree.run(0, 10, &[])), "applied 1");
    let before = far.status();
    let mut forked = realm.tree();
    forked.fill(20, "other");
    let mut plan = Plan { status: Some(status(7)), ..realm.plan() };
    for leaves in [tree.run(15, 20, &[]), forked.run(0, 20, &[])] {
        plan.leaves = Some(leaves);
        plan.keys = Some(realm.keys(2));
        assert!(code(&far.import(&realm.pack(&plan).bytes)).starts_with("log_"));
        let after = far.status();
        for what in ["bundle", "keys", "logs", "leaves", "revoked", "clock"] {
            assert_eq!(after[what], before[what], "{what}");
        }
    }
}

#[test]
fn leaves_that_no_token_needs_any_more_are_forgotten() {
    let (mut realm, far, mut tree) = ground(4_000);
    let day = 24 * HOUR;
    let at = |realm: &mut Realm, now: u64, leaves: Vec<u8>| {
        let plan = realm.plan();
        let leaves = Some(leaves);
        let plan = Plan { issued_at: now, next_by: now + HOUR, not_after: now + day, leaves, ..plan };
        code(&far.import_at(&realm.send(plan), now))
    };
    assert_eq!(at(&mut realm, NOW, tree.run(0, 2_048, &[])), "applied 1");
    // Tokens live for a day, the leeway is a minute: until then nothing may be forgotten.
    let last = NOW + day + 3 * 60;
    assert_eq!(at(&mut realm, last, tree.run(2_048, 3_000, &[])), "applied 2");
    assert_eq!(far.status()["leaves"], 3_000);
    assert_eq!(at(&mut realm, last + 1, tree.run(3_000, 3_500, &[])), "applied 3");
    assert_eq!(far.status()["leaves"], 3_500 - 2_048);
    // A run that repeats everything brings back nothing that was forgotten.
    assert_eq!(at(&mut realm, last + 2, tree.run(0, 4_000, &[])), "applied 4");
    assert_eq!(far.status()["leaves"], 4_000 - 2_048);
    assert_eq!(far.status()["logs"][0]["kept_from"], 2_048);
    assert_eq!(held(&far), hex(&tree.head(4_000)), "the head is kept for good");
}

#[test]
fn a_beacon_and_a_delta_go_on_from_the_log_that_is_held() {
    let (mut realm, far, mut tree) = ground(30);
    assert_eq!(send(&mut realm, &far, tree.run(0, 10, &[])), "applied 1");
    let leaves = Some(tree.run(10, 30, &[10]));
    let delta = realm.plan_on_base(Kind::Delta);
    assert_eq!(code(&far.import(&realm.send(Plan { leaves, ..delta }))), "applied 2");
    let beacon = realm.plan_on_base(Kind::Beacon);
    assert_eq!(code(&far.import(&realm.send(beacon))), "applied 3");
    assert_eq!(held(&far).0, 30);
}
