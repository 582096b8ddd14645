//! The nine rules, each with bundles that were really packed, signed and opened.

use farside_crossing::acceptance::{Acceptance, Clock, Held, Stream, judge};
use farside_crossing::fence::FenceDocument;
use farside_crossing::manifest::{ComponentType, Kind};
use farside_crossing::pardon::PardonDocument;
use farside_crossing::{Base, Code, Digest, Draft, Packed, Refusal, Writer, bundle};

use crate::support::{NOW, Realm, based, draft};

const CLOCK: Clock = Clock { now: NOW + 10, leeway_seconds: 60 };

/// A gate that has applied some bundles.
struct Gate {
    realm: Realm,
    stream: Stream,
}

impl Gate {
    fn new() -> Gate {
        Gate { realm: Realm::small(), stream: Stream::new() }
    }

    /// Holds bundle `seq` of an honest past.
    fn holding(seq: u64) -> (Gate, Packed) {
        let mut gate = Gate::new();
        let packed = gate.realm.full(seq, None);
        gate.apply(&packed);
        (gate, packed)
    }

    fn offer(&self, packed: &Packed, clock: Clock) -> Result<Acceptance, Refusal> {
        judge(&self.stream, &bundle::open(&packed.bytes, &self.realm.charter, "plant").unwrap(), clock)
    }

    fn apply(&mut self, packed: &Packed) -> (Option<(u64, u64)>, bool) {
        match self.offer(packed, CLOCK).unwrap() {
            Acceptance::Apply { next, missing, thawed } => {
                self.stream = next;
                (missing, thawed)
            }
            other => panic!("not applied: {other:?}"),
        }
    }

    fn refused(&self, packed: &Packed) -> Code {
        self.offer(packed, CLOCK).unwrap_err().code()
    }

    fn pack(&self, writer: Writer) -> Packed {
        writer.finish(&[&self.realm.online]).unwrap()
    }

    fn fence(&self, version: u64, seq_min: u64, seq_max: u64) -> Vec<u8> {
        let (realm, site) = ("acme".into(), "plant".into());
        let fence = FenceDocument { realm, site, version, issued_at: NOW, seq_min, seq_max };
        self.realm.released(fence.text())
    }
}

#[test]
fn rule_1_the_next_bundle_applies() {
    let (mut gate, first) = Gate::holding(1);
    let second = gate.realm.full(2, Some(first.digest));
    assert_eq!(gate.apply(&second), (None, false));
    assert_eq!(gate.stream.last, Some(Base { seq: 2, digest: second.digest }));
    assert_eq!(gate.stream.next_by, NOW + 3_600);
    let kept = serde_json::to_string(&gate.stream).unwrap();
    assert_eq!(serde_json::from_str::<Stream>(&kept).unwrap(), gate.stream);
}

#[test]
fn rule_1_another_past_is_a_fork() {
    let (gate, _) = Gate::holding(1);
    let stranger = gate.realm.full(2, Some(Digest::of(b"another bundle 1")));
    let Ok(Acceptance::Forked { next, refusal }) = gate.offer(&stranger, CLOCK) else { panic!("no fork") };
    assert_eq!(refusal.code(), Code::Fork);
    assert!(next.frozen.is_some());
}

#[test]
fn rule_2_a_full_bundle_crosses_a_hole_and_names_it() {
    let (mut gate, _) = Gate::holding(3);
    assert_eq!(gate.apply(&gate.realm.full(9, None)), (Some((4, 8)), false));
}

#[test]
fn rule_2_a_delta_needs_its_exact_base() {
    let (mut gate, first) = Gate::holding(1);
    let delta = |gate: &Gate, seq, prev, base: &Packed| {
        gate.pack(Writer::new(based(Kind::Delta, seq, prev, base)).status(&gate.realm.status(seq)).unwrap())
    };
    let second = delta(&gate, 2, first.digest, &first);
    let third = delta(&gate, 3, second.digest, &second);
    assert_eq!(gate.refused(&third), Code::Gap);
    gate.apply(&second);
    gate.apply(&third);
    // The same number as the base, but another bundle.
    let impostor = Packed { digest: Digest::of(b"other"), ..third.clone() };
    let fifth = delta(&gate, 5, Digest::of(b"4"), &impostor);
    assert_eq!(gate.refused(&fifth), Code::Gap);
    // A gate that holds nothing begins with a full bundle.
    assert_eq!(Gate::new().refused(&second), Code::Gap);
}

#[test]
fn rule_2_a_beacon_cannot_hide_a_dropped_revocation() {
    let (mut gate, first) = Gate::holding(1);
    let beacon =
        |gate: &Gate, seq, prev, base: &Packed| gate.pack(Writer::new(based(Kind::Beacon, seq, prev, base)));
    let second = beacon(&gate, 2, first.digest, &first);
    let third = beacon(&gate, 3, second.digest, &first);
    let mut skipping = Gate { realm: Realm::small(), stream: gate.stream.clone() };
    assert_eq!(skipping.apply(&third), (Some((2, 2)), false));
    gate.apply(&second);
    let writer = Writer::new(based(Kind::Delta, 3, second.digest, &first));
    let revoking = gate.pack(writer.status(&gate.realm.status(2)).unwrap());
    let after = beacon(&gate, 4, revoking.digest, &revoking);
    assert_eq!(gate.refused(&after), Code::Gap);
    gate.apply(&revoking);
    gate.apply(&after);
}

#[test]
fn rules_3_and_5_repeats_and_older_ones_change_nothing() {
    let (gate, held) = Gate::holding(5);
    assert_eq!(gate.offer(&held, CLOCK), Ok(Acceptance::AlreadyApplied));
    let late = Clock { now: NOW + 1_000_000, leeway_seconds: 0 };
    assert_eq!(gate.offer(&held, late), Ok(Acceptance::AlreadyApplied));
    let older = gate.offer(&gate.realm.full(4, None), CLOCK).unwrap();
    assert_eq!(older, Acceptance::Superseded { held: 5, offered: 4 });
    assert_eq!(older.refusal().unwrap().code(), Code::Rollback);
}

#[test]
fn rule_4_a_fork_freezes_until_a_new_fence() {
    let (mut gate, held) = Gate::holding(5);
    let twin = Draft { issued_at: NOW + 1, ..draft(5, None) };
    let twin = gate.pack(gate.realm.full_writer(twin));
    let Ok(Acceptance::Forked { next, refusal }) = gate.offer(&twin, CLOCK) else { panic!("no fork") };
    assert_eq!(refusal.code(), Code::Fork);
    gate.stream = next;
    let sixth = gate.realm.full(6, Some(held.digest));
    assert_eq!(gate.refused(&sixth), Code::Frozen);
    assert_eq!(gate.offer(&held, CLOCK), Ok(Acceptance::AlreadyApplied));
    // A fence that does not reach, then one that does.
    let short = gate.realm.full_writer(draft(7, None)).fence(&gate.fence(1, 20, 30)).unwrap();
    assert_eq!(gate.refused(&gate.pack(short)), Code::Frozen);
    let fenced = gate.realm.full_writer(draft(7, None)).fence(&gate.fence(1, 7, 30)).unwrap();
    assert_eq!(gate.apply(&gate.pack(fenced)), (Some((6, 6)), true));
    assert_eq!(gate.stream.frozen, None);
    // The same fence does not act twice.
    let twin = Draft { issued_at: NOW + 1, ..draft(7, None) };
    let twin = gate.pack(gate.realm.full_writer(twin));
    let Ok(Acceptance::Forked { next, .. }) = gate.offer(&twin, CLOCK) else { panic!("no fork") };
    gate.stream = next;
    let again = gate.realm.full_writer(draft(9, None)).fence(&gate.fence(1, 7, 30)).unwrap();
    assert_eq!(gate.refused(&gate.pack(again)), Code::Frozen);
}

#[test]
fn rule_6_components_only_rise() {
    let (mut gate, first) = Gate::holding(1);
    let rewrite = |gate: &Gate, keys: u64, status: u64| {
        let writer = Writer::new(draft(2, Some(first.digest)));
        let writer = writer.keys(&gate.realm.released(gate.realm.keys(keys).text())).unwrap();
        let writer = writer.policy(&gate.realm.released(gate.realm.policy(2).text())).unwrap();
        gate.pack(writer.status(&gate.realm.status(status)).unwrap())
    };
    gate.stream.components.insert(ComponentType::Keys, Held { version: 5, sha256: Digest::of(b"5") });
    assert_eq!(gate.refused(&rewrite(&gate, 4, 2)), Code::ComponentRollback);
    assert_eq!(gate.refused(&rewrite(&gate, 5, 2)), Code::ComponentConflict);
    gate.stream.components.insert(ComponentType::Status, Held { version: 5, sha256: Digest::of(b"5") });
    assert_eq!(gate.refused(&rewrite(&gate, 6, 4)), Code::ComponentRollback);
    gate.apply(&rewrite(&gate, 6, 6));
    assert_eq!(gate.stream.components[&ComponentType::Keys].version, 6);
}

#[test]
fn rule_7_a_long_jump_needs_a_fence() {
    let (mut gate, _) = Gate::holding(1);
    gate.offer(&gate.realm.full(10_001, None), CLOCK).unwrap();
    assert_eq!(gate.refused(&gate.realm.full(10_002, None)), Code::SequenceJump);
    let fenced = gate.realm.full_writer(draft(20_000, None)).fence(&gate.fence(1, 15_000, 25_000)).unwrap();
    assert_eq!(gate.apply(&gate.pack(fenced)), (Some((2, 19_999)), false));
    assert!(Gate::new().offer(&gate.realm.full(900_000, None), CLOCK).is_ok());
}

#[test]
fn a_fence_lets_a_robbed_realm_begin_anew_but_never_lowers_what_people_signed() {
    let (mut gate, _) = Gate::holding(1);
    let sky = Held { version: 9_000_000, sha256: Digest::of(b"thief") };
    gate.stream.components.insert(ComponentType::Status, sky);
    assert_eq!(gate.refused(&gate.realm.full(3, None)), Code::ComponentRollback);
    let fenced = gate.realm.full_writer(draft(3, None)).fence(&gate.fence(1, 3, 3)).unwrap();
    let fenced = gate.pack(fenced);
    gate.offer(&fenced, CLOCK).unwrap();
    gate.stream.components.insert(ComponentType::Keys, sky);
    assert_eq!(gate.refused(&fenced), Code::ComponentRollback);
}

#[test]
fn a_pardon_acts_once() {
    let (mut gate, _) = Gate::holding(1);
    let subjects = vec!["mallory".into()];
    let pardon = PardonDocument { subjects, ..PardonDocument::empty("acme", "plant", 1, NOW) };
    let note = gate.realm.released(pardon.text());
    let second = gate.realm.full_writer(draft(3, None)).pardon(&note).unwrap();
    let second = gate.pack(second);
    let opened = bundle::open(&second.bytes, &gate.realm.charter, "plant").unwrap();
    assert_eq!(gate.stream.fresh_pardon(&opened), Some(&pardon));
    gate.apply(&second);
    assert_eq!(gate.stream.fresh_pardon(&opened), None);
}

#[test]
fn rule_8_time_is_judged_on_both_ends() {
    let (gate, first) = Gate::holding(1);
    let second = gate.realm.full(2, Some(first.digest));
    let at = |now| gate.offer(&second, Clock { now, leeway_seconds: 60 });
    assert!(at(NOW + 86_400).is_ok());
    assert_eq!(at(NOW + 86_401).unwrap_err().code(), Code::Expired);
    assert!(at(NOW - 60).is_ok());
    assert_eq!(at(NOW - 61).unwrap_err().code(), Code::NotYetIssued);
    let earlier = Draft { issued_at: NOW - 1, ..draft(2, Some(first.digest)) };
    let earlier = gate.pack(gate.realm.full_writer(earlier));
    assert_eq!(gate.refused(&earlier), Code::Rollback);
}

#[test]
fn no_order_of_honest_bundles_takes_a_gate_back() {
    // Ten honest bundles offered in many scrambled orders: the number held never falls, the last is always
    // reached.
    let realm = Realm::small();
    let mut bundles: Vec<Packed> = Vec::new();
    for seq in 1..=10 {
        bundles.push(realm.full(seq, bundles.last().map(|packed| packed.digest)));
    }
    let opened: Vec<_> =
        bundles.iter().map(|p| bundle::open(&p.bytes, &realm.charter, "plant").unwrap()).collect();
    let mut seed = 1u64;
    for _ in 0..2_000 {
        let mut stream = Stream::new();
        for _ in 0..30 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offered = &opened[(seed >> 33) as usize % opened.len()];
            let before = stream.seq();
            match judge(&stream, offered, CLOCK) {
                Ok(Acceptance::Apply { next, .. }) => {
                    assert!(next.seq() > before);
                    stream = next;
                }
                Ok(Acceptance::AlreadyApplied) => assert_eq!(offered.manifest().seq, before),
                Ok(Acceptance::Superseded { .. }) => assert!(offered.manifest().seq < before),
                other => panic!("an honest bundle: {other:?}"),
            }
        }
        match judge(&stream, &opened[9], CLOCK).unwrap() {
            Acceptance::Apply { next, .. } => assert_eq!(next.seq(), 10),
            other => assert_eq!(other, Acceptance::AlreadyApplied),
        }
    }
}
