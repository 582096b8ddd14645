//! Bundles as the mint makes them, opened and judged as a gate would: numbers without a gap, one digest each,
//! whatever is interrupted when.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::{
    Acceptance, Clock, Digest, Head, Kind, ReceiptCode, RecipientSecret, Signer as _, Stream, bundle, judge,
    leaves, note,
};
use farside_mint::bundler::{self, BundleFault, GUESS_WINDOW_SECONDS, ReceiptFault};
use farside_mint::ceremony;
use farside_mint::log::{LockedBundle, LogFault};
use farside_mint::release;
use farside_mint::revocation::{self, What};
use farside_mint::site;
use farside_mint::store::{SiteTerms, Store};
use farside_verify::merkle::{Frontier, is_consistent};
use ground::{Desk, NOW, RECIPIENT_SEED, SITE, realm};

/// Applies files in order as a gate would and answers the stream afterwards.
fn apply(realm: &ground::Realm, files: &[std::path::PathBuf], now: u64) -> Stream {
    let trusted = ceremony::newest(&realm.store).unwrap();
    let mut stream = Stream::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let opened = bundle::open(&bytes, &trusted, SITE).unwrap();
        match judge(&stream, &opened, Clock { now, leeway_seconds: 60 }).unwrap() {
            Acceptance::Apply { next, missing: None, .. } => stream = next,
            other => panic!("{} was not simply applied: {other:?}", file.display()),
        }
    }
    stream
}

#[test]
fn a_gate_applies_what_the_mint_makes() {
    let realm = realm();
    let desk = Desk::with_parcels(3);
    let first = realm.make(Kind::Full, NOW, &desk).unwrap();
    assert_eq!((first.seq, first.parcels, first.leaves), (1, 3, 3));
    desk.grow(2);
    let second = realm.make(Kind::Delta, NOW + 10, &desk).unwrap();
    assert_eq!((second.seq, second.leaves), (2, 2));
    realm.make(Kind::Beacon, NOW + 20, &desk).unwrap();
    desk.grow(1);
    let fourth = realm.make(Kind::Delta, NOW + 30, &desk).unwrap();
    assert_eq!((fourth.seq, fourth.leaves), (4, 1), "a delta builds on the last bundle that was no beacon");
    assert_eq!(apply(&realm, &realm.outbox(), NOW + 40).seq(), 4);
}

#[test]
fn what_leaves_is_written_down_first_and_carries_how_far_the_journals_had_come() {
    let realm = realm();
    let desk = Desk::with_parcels(1);
    let first = realm.make(Kind::Full, NOW, &desk).unwrap();
    let second = realm.make(Kind::Beacon, NOW + 10, &desk).unwrap();
    let journal = std::fs::read_to_string(realm.home.journal().join("mint.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|line| (line["event"].as_str().unwrap(), &line["seq"])).collect();
    let (one, two) = (serde_json::json!(1), serde_json::json!(2));
    let expected =
        [("bundle_packed", &one), ("bundle_made", &one), ("bundle_packed", &two), ("bundle_made", &two)];
    assert_eq!(events, expected);
    assert_eq!(lines[0]["digest"], first.digest.hex());
    let sha256 = farside_service::digest::sha256(&std::fs::read(&first.path).unwrap());
    assert_eq!(lines[0]["file_sha256"], farside_service::digest::hex(&sha256));

    let heads = |path| {
        let bytes = std::fs::read(path).unwrap();
        let trusted = ceremony::newest(&realm.store).unwrap();
        bundle::open(&bytes, &trusted, SITE).unwrap().manifest().journals.clone()
    };
    assert_eq!(heads(&first.path), []);
    let [head] = heads(&second.path).try_into().unwrap();
    assert_eq!((head.name.as_str(), head.lines), ("mint", 2));
    assert_eq!(head.head.hex(), lines[1]["hash"]);
}

#[test]
fn a_clock_set_back_by_seconds_makes_no_bundle_that_gates_refuse() {
    let realm = realm();
    let desk = Desk::with_parcels(1);
    realm.make(Kind::Full, NOW, &desk).unwrap();
    realm.make(Kind::Beacon, NOW - 5, &desk).unwrap();
    assert_eq!(apply(&realm, &realm.outbox(), NOW).seq(), 2);
}

#[test]
fn parcels_open_at_the_site_and_its_receipt_is_known_here() {
    let realm = realm();
    let made = realm.make(Kind::Full, NOW, &Desk::with_parcels(2)).unwrap();
    let bytes = std::fs::read(&made.path).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    let reader = opened.parcels(&RecipientSecret::from_seed(&RECIPIENT_SEED)).unwrap().unwrap();
    let code = ReceiptCode::new(&reader.nonce(), made.seq, &made.digest);
    let subjects: Vec<String> = reader.map(|parcel| parcel.unwrap().sub).collect();
    assert_eq!(subjects, ["bot-0", "bot-1"]);
    let guessed = ReceiptCode::new(&[0; 16], 1, &made.digest);
    let refused = bundler::receipt(&realm.store, SITE, 1, &guessed, NOW).unwrap_err();
    assert!(matches!(refused, ReceiptFault::Wrong { .. }), "{refused}");
    bundler::receipt(&realm.store, SITE, 1, &code, NOW + 5).unwrap();
    assert_eq!(bundler::list(&realm.store, Some(SITE)).unwrap()[0].receipted_at, Some(NOW + 5));
}

/// The code that the site's gate shows for a bundle.
fn code_of(realm: &ground::Realm, made: &bundler::Made) -> ReceiptCode {
    let bytes = std::fs::read(&made.path).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    let nonce = opened.parcels(&RecipientSecret::from_seed(&RECIPIENT_SEED)).unwrap().unwrap().nonce();
    ReceiptCode::new(&nonce, made.seq, &made.digest)
}

#[test]
fn a_code_counts_once_for_its_own_bundle_and_no_other() {
    let realm = realm();
    let desk = Desk::default();
    let made = [0, 1].map(|step| realm.make(Kind::Full, NOW + step, &desk).unwrap());
    let beacon = realm.make(Kind::Beacon, NOW + 2, &desk).unwrap();
    let [first, second] = [&made[0], &made[1]].map(|made| code_of(&realm, made));
    let enter = |seq, code, now| bundler::receipt(&realm.store, SITE, seq, code, now);
    let receipted = |seq: usize| bundler::list(&realm.store, Some(SITE)).unwrap()[seq - 1].receipted_at;

    let of_another = enter(1, &second, NOW + 5).unwrap_err();
    assert!(matches!(of_another, ReceiptFault::OfAnother { seq: 1, of: 2, .. }), "{of_another}");
    assert!(matches!(enter(beacon.seq, &first, NOW + 5), Err(ReceiptFault::Beacon { .. })));
    assert!(matches!(enter(9, &first, NOW + 5), Err(ReceiptFault::NoBundle { .. })));
    assert_eq!((receipted(1), receipted(2)), (None, None));

    enter(1, &first, NOW + 6).unwrap();
    let again = enter(1, &first, NOW + 7).unwrap_err();
    assert!(matches!(again, ReceiptFault::Already { at, .. } if at == NOW + 6), "{again}");
    assert!(matches!(enter(2, &first, NOW + 8), Err(ReceiptFault::OfAnother { of: 1, .. })));
    assert_eq!((receipted(1), receipted(2)), (Some(NOW + 6), None), "a second entry changes nothing");
}

#[test]
fn nobody_guesses_codes_for_long() {
    let realm = realm();
    let made = realm.make(Kind::Full, NOW, &Desk::default()).unwrap();
    let right = code_of(&realm, &made);
    let guess = |n: u8, now| {
        let wrong = ReceiptCode::new(&[n; 16], 1, &made.digest);
        bundler::receipt(&realm.store, SITE, 1, &wrong, now).unwrap_err()
    };
    for n in 1..=5 {
        assert!(matches!(guess(n, NOW + u64::from(n)), ReceiptFault::Wrong { .. }), "{n}");
    }
    let over = NOW + 1 + GUESS_WINDOW_SECONDS;
    let left = over - NOW - 10;
    assert!(matches!(guess(6, NOW + 10), ReceiptFault::TooMany { wait_seconds, .. } if wait_seconds == left));
    // Not even the right one, or guessing on would find it; nor with the clock set back.
    for now in [NOW + 10, over - 1, NOW - 86_400] {
        let refused = bundler::receipt(&realm.store, SITE, 1, &right, now).unwrap_err();
        assert!(matches!(refused, ReceiptFault::TooMany { .. }), "{now}: {refused}");
    }
    bundler::receipt(&realm.store, SITE, 1, &right, over).unwrap();
}

#[test]
fn a_full_bundle_bridges_any_hole() {
    let realm = realm();
    let desk = Desk::with_parcels(1);
    for step in 0..4 {
        realm.make(Kind::Full, NOW + step, &desk).unwrap();
    }
    let files = realm.outbox();
    let stream = apply(&realm, &files[..1], NOW + 9);
    let bytes = std::fs::read(&files[3]).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    let verdict = judge(&stream, &opened, Clock { now: NOW + 9, leeway_seconds: 60 }).unwrap();
    assert!(matches!(verdict, Acceptance::Apply { missing: Some((2, 3)), .. }), "{verdict:?}");
}

#[test]
fn a_staged_file_without_its_row_is_thrown_away() {
    let realm = realm();
    let desk = Desk::default();
    realm.make(Kind::Full, NOW, &desk).unwrap();
    // Crash after staging, before the commit: nobody has seen the file.
    let orphan = realm.home.staging().join(format!("{SITE}.{}.staged", "0".repeat(64)));
    std::fs::write(&orphan, b"bundle 2 that never was").unwrap();
    let second = realm.make(Kind::Full, NOW + 1, &desk).unwrap();
    assert_eq!(second.seq, 2);
    assert!(!orphan.exists());
    assert_eq!(apply(&realm, &realm.outbox(), NOW + 2).seq(), 2);
}

#[test]
fn a_committed_bundle_is_published_as_it_is_after_a_crash() {
    let realm = realm();
    let desk = Desk::default();
    let first = realm.make(Kind::Full, NOW, &desk).unwrap();
    // Crash after the commit, before the rename: put the file back where it then lies.
    let bytes = std::fs::read(&first.path).unwrap();
    let name = farside_service::digest::hex(&farside_service::digest::sha256(&bytes));
    std::fs::rename(&first.path, realm.home.staging().join(format!("{SITE}.{name}.staged"))).unwrap();
    assert!(realm.outbox().is_empty());
    bundler::settle_all(&realm.home, &realm.store, &desk).unwrap();
    assert_eq!(std::fs::read(&first.path).unwrap(), bytes, "one number, one content");
    assert_eq!(realm.make(Kind::Full, NOW + 1, &desk).unwrap().seq, 2);
    assert_eq!(apply(&realm, &realm.outbox(), NOW + 2).seq(), 2);
}

#[test]
fn a_beacon_puts_no_bundle_off_that_brings_something() {
    let realm = realm();
    let desk = Desk::default();
    realm.make(Kind::Full, NOW, &desk).unwrap();
    for step in 1..5 {
        realm.make(Kind::Beacon, NOW + step * 1_000, &desk).unwrap();
        let directory = realm.store.directory().unwrap();
        assert_eq!(directory.site(SITE).unwrap().bundle_due_at(), Some(NOW + 3_600));
    }
}

#[test]
fn an_old_copy_of_the_database_is_not_gone_on_with_where_bundles_without_leaves_went_out_since() {
    let realm = realm();
    // No token, so no leaf: the log alone could not tell.
    let desk = Desk::default();
    realm.make(Kind::Full, NOW, &desk).unwrap();
    let copy = realm.folder.path().join("copy.db");
    let database = rusqlite::Connection::open(realm.home.database()).unwrap();
    database.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).unwrap();
    let (copy, lock) = (Store::open(&copy, NOW).unwrap(), realm.home.lock());
    let fault = |store: &Store| {
        let locked = desk.log.locked_bundles().unwrap();
        bundler::rolled_back(store, &lock, locked.as_deref()).unwrap()
    };
    assert!(fault(&realm.store).is_none() && fault(&copy).is_none(), "nothing went out since");
    let second = realm.make(Kind::Beacon, NOW + 1, &desk).unwrap();
    assert!(fault(&realm.store).is_none());
    assert!(matches!(fault(&copy), Some(LogFault::BundleLost { seq: 2, .. })));
    // Nor where no lock is left to ask.
    assert!(matches!(bundler::rolled_back(&copy, &lock, None), Ok(Some(LogFault::LockMissing { .. }))));
    // And whoever goes on with it all the same gets no number twice.
    let other = Digest::of(b"another bundle 2").hex();
    let forked = LockedBundle { site: SITE.to_owned(), seq: second.seq, digest: other };
    assert!(matches!(desk.log.note_bundle(&forked), Err(LogFault::BundleMoved { seq: 2, .. })));
    assert!(matches!(
        realm.make(Kind::Full, NOW + 2, &desk),
        Err(BundleFault::Log(LogFault::Stopped { .. }))
    ));
}

#[test]
fn bundlers_at_once_take_turns() {
    let realm = realm();
    let desk = Desk::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    realm.make(Kind::Full, NOW, &desk).unwrap();
                }
            });
        }
    });
    assert_eq!(realm.outbox().len(), 12);
    assert_eq!(apply(&realm, &realm.outbox(), NOW).seq(), 12);
}

#[test]
fn revocations_cross_with_the_next_bundle() {
    let realm = realm();
    let desk = Desk::default();
    let token: farside_verify::leaf::TokenPosition = format!("{SITE}-2s").parse().unwrap();
    let what = What::Token { position: token, expires_at: Some(NOW + 900) };
    let revoked = revocation::revoke(&realm.store, &ground::revocation(what), NOW).unwrap();
    assert_eq!(revoked.sites, [SITE]);
    let kid = realm.store.directory().unwrap().site(SITE).unwrap().keys[0].kid.clone();
    revocation::revoke(&realm.store, &ground::revocation(What::Key(kid.clone())), NOW).unwrap();
    let made = realm.make(Kind::Full, NOW, &desk).unwrap();
    let bytes = std::fs::read(&made.path).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    let status = opened.status().unwrap();
    assert_eq!(status.keys[0].kid, kid);
    assert_eq!((status.keys[0].by.as_str(), status.keys[0].reason.as_str()), ("uid 7", "left"));
    let [list] = &status.tokens[..] else { panic!("one list") };
    let decoded = farside_verify::status_list::StatusList::decode(1, &list.lst).unwrap();
    assert_eq!((list.first, decoded.get(100 - list.first)), (96, Some(1)));
    assert!(list.until >= NOW + 900 && decoded.capacity() == 8);
    let directory = realm.store.directory().unwrap();
    let key = &directory.site(SITE).unwrap().keys[0];
    assert!(key.revoked && !key.signs_at(NOW), "a revoked key signs nothing more");
}

#[test]
fn nothing_is_made_that_a_gate_would_refuse() {
    let realm = ground::founded();
    let desk = Desk::default();
    assert!(matches!(realm.make(Kind::Full, NOW, &desk), Err(BundleFault::NoSite(_))));
    farside_mint::site::add(&realm.store, SITE, &ground::plant(), NOW).unwrap();
    realm.new_key(NOW);
    assert!(matches!(realm.make(Kind::Full, NOW, &desk), Err(BundleFault::NoDocument { kind: "keys", .. })));
    realm.release_document(release::Document::Keys, NOW);
    realm.release_document(release::Document::Policy, NOW);
    assert!(matches!(realm.make(Kind::Full, NOW, &desk), Err(BundleFault::NotEnrolled(_))));
    assert!(matches!(realm.make(Kind::Delta, NOW, &desk), Err(BundleFault::NoBase(_))));
    assert!(realm.outbox().is_empty());
    assert!(bundler::list(&realm.store, None).unwrap().is_empty(), "no number was spent");
}

#[test]
fn a_new_key_signs_only_once_its_calendar_can_have_arrived() {
    let realm = realm();
    let desk = Desk::default();
    let usable = |kid: &str| {
        let directory = realm.store.directory().unwrap();
        directory.site(SITE).unwrap().keys.iter().find(|key| key.kid == kid).unwrap().usable_from
    };
    let first = realm.store.directory().unwrap().site(SITE).unwrap().keys[0].kid.clone();
    assert_eq!(usable(&first), Some(NOW), "the first key travels with the first token");
    realm.make(Kind::Full, NOW + 10, &desk).unwrap();
    let second = realm.new_key(NOW + 20);
    assert_eq!(usable(&second), None, "not released");
    realm.release_document(release::Document::Keys, NOW + 30);
    assert_eq!(usable(&second), None, "released, not carried");
    realm.make(Kind::Beacon, NOW + 35, &desk).unwrap();
    assert_eq!(usable(&second), None, "a beacon carries no keys");
    let made = realm.make(Kind::Full, NOW + 40, &desk).unwrap();
    assert_eq!(usable(&second), Some(NOW + 40 + 86_400), "carried: one courier interval later");
    let bytes = std::fs::read(&made.path).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    let nonce = opened.parcels(&RecipientSecret::from_seed(&RECIPIENT_SEED)).unwrap().unwrap().nonce();
    let code = ReceiptCode::new(&nonce, made.seq, &made.digest);
    bundler::receipt(&realm.store, SITE, made.seq, &code, NOW + 50).unwrap();
    assert_eq!(usable(&second), Some(NOW + 50), "receipted: at once");
}

#[test]
fn rarer_bundles_begin_when_the_last_one_has_promised_the_next() {
    let realm = realm();
    let due = || realm.store.directory().unwrap().site(SITE).unwrap().bundle_due_at();
    assert_eq!(due(), None);
    realm.make(Kind::Full, NOW, &Desk::default()).unwrap();
    assert_eq!(due(), Some(NOW + 3_600));
    let rarer = SiteTerms { every_seconds: 86_400, ..ground::plant() };
    site::set(&realm.store, SITE, &rarer, NOW + 10).unwrap();
    assert_eq!(due(), Some(NOW + 3_600), "the gate would be LATE, and EXPIRED with too few couriers missed");
    realm.make(Kind::Full, NOW + 3_600, &Desk::default()).unwrap();
    assert_eq!(due(), Some(NOW + 3_600 + 86_400));
    site::set(&realm.store, SITE, &ground::plant(), NOW + 4_000).unwrap();
    assert_eq!(due(), Some(NOW + 7_200), "more often is so at once");
}

#[test]
fn a_beacon_is_not_made_where_the_gate_could_not_know_its_signer() {
    let realm = realm();
    realm.make(Kind::Full, NOW, &Desk::default()).unwrap();
    realm.make(Kind::Beacon, NOW + 5, &Desk::default()).unwrap();
    let newest = ceremony::newest(&realm.store).unwrap();
    let log = newest.log()[0].to_string();
    let roles = ground::roles(&[&realm.root], 1, &[&realm.release], &realm.online, &log);
    let text = ceremony::draft("acme", Some(&newest), roles, NOW + 10).unwrap().text().unwrap();
    let charter = note::sign(&text, &[&realm.root]).unwrap();
    ceremony::adopt(&realm.store, &charter, realm.online.public(), NOW + 10).unwrap();
    let beacon = realm.make(Kind::Beacon, NOW + 20, &Desk::default());
    assert!(matches!(beacon, Err(BundleFault::FullFirst { .. })), "{beacon:?}");
    realm.make(Kind::Delta, NOW + 30, &Desk::default()).unwrap();
    realm.make(Kind::Beacon, NOW + 40, &Desk::default()).unwrap();
}

/// The runs of a bundle's leaves as a gate reads them.
fn runs(realm: &ground::Realm, made: &bundler::Made) -> Vec<(u64, Vec<[u8; 32]>, Vec<u8>)> {
    let bytes = std::fs::read(&made.path).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    let owned = |run: &leaves::Run<'_>| (run.first, run.hashes.to_vec(), run.proof.to_vec());
    opened.leaves().unwrap_or_default().iter().map(owned).collect()
}

#[test]
fn each_run_of_leaves_hangs_together_with_the_heads_before() {
    let realm = realm();
    let desk = Desk::default();
    let mut heads = Vec::new();
    for (step, count) in (0..).zip([3, 2, 300]) {
        desk.grow(count);
        let kind = if step == 0 { Kind::Full } else { Kind::Delta };
        let made = realm.make(kind, NOW + step, &desk).unwrap();
        let [(first, hashes, proof)] = &runs(&realm, &made)[..] else { panic!("one run of one shard") };
        let proof = leaves::RunProof::read(proof).unwrap();
        let (head, note) = desk.log.signed_head(SITE).unwrap();
        assert_eq!((proof.checkpoint, head.size), (&note[..], first + hashes.len() as u64));
        let mut tree = Frontier::new(*first, proof.edge.to_vec()).unwrap();
        tree.extend(hashes.iter().copied());
        assert_eq!(tree.root(), head.root);
        for old in heads.iter().filter(|old: &&Head| old.size < *first) {
            let link = proof.link_from(old.size).unwrap();
            assert!(is_consistent((old.size, &old.root), (head.size, &head.root), link));
        }
        heads.push(head);
    }
    let quiet = realm.make(Kind::Delta, NOW + 9, &desk).unwrap();
    assert!(runs(&realm, &quiet).is_empty(), "no news, no run");
    desk.grow(1);
    let next = realm.make(Kind::Delta, NOW + 10, &desk).unwrap();
    assert_eq!(runs(&realm, &next)[0].0, 305, "the delta after it goes on where leaves were carried");
}

#[test]
fn a_gate_that_is_late_gets_a_proof_from_the_size_it_names() {
    let realm = realm();
    let desk = Desk::default();
    desk.grow(40);
    realm.make(Kind::Full, NOW, &desk).unwrap();
    desk.grow(10);
    let made = realm.make_since(Kind::Delta, Some(17), NOW + 1, &desk).unwrap();
    let (first, _, proof) = &runs(&realm, &made)[0];
    let proof = leaves::RunProof::read(proof).unwrap();
    let mut tree = Frontier::default();
    tree.extend(desk.log.leaves(SITE, 0..17).unwrap());
    let head = desk.log.head(SITE);
    let link = proof.link_from(17).unwrap();
    assert_eq!((*first, head.size), (40, 50));
    assert!(is_consistent((17, &tree.root()), (50, &head.root), link));
}
