//! What is found, what survives damage, and what a redaction leaves on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::log::{Entry, IssuanceLog, Record, TokenEntry};

const NOW: u64 = 1_764_000_000;
const LATER: u64 = NOW + 100_000;

struct Ground {
    folder: tempfile::TempDir,
    log: Arc<IssuanceLog>,
    index: Index,
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = crate::log::tests::open(folder.path(), NOW);
        let index = Index::open(folder.path()).unwrap();
        Ground { folder, log, index }
    }

    fn issue(&self, shard: &str, subject: &str, requester: &str, at: u64) {
        let reservation = self.log.reserve(shard, at).unwrap();
        let entry = TokenEntry {
            requester: requester.to_owned(),
            subject: subject.to_owned(),
            audience: format!("audience-of-{subject}"),
            expires_at: at + 900,
            kid: "x7Qd1234".to_owned(),
            profile: "access".to_owned(),
            signing_input_sha256: farside_verify::encode::base64url([7; 32]),
            assertion: Some(format!("assertion-of-{subject}")),
        };
        reservation.commit(entry).unwrap().wait().unwrap();
    }

    /// Ada, Bob, a void position, Ada again: at four moments, in two shards.
    fn filled() -> Ground {
        let ground = Ground::new();
        ground.issue("plant7", "ada", "client:ada", NOW);
        ground.issue("mine2", "bob", "operator:uid 7", NOW + 1);
        drop(ground.log.reserve("plant7", NOW + 2).unwrap());
        ground.issue("plant7", "ada", "client:ada", NOW + 3);
        ground
    }

    fn find(&self, query: &Query) -> Vec<String> {
        let found = self.index.find(query, 100).unwrap();
        found.iter().map(|found| found.record.position().unwrap().to_string()).collect()
    }

    fn files_with(&self, text: &str) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let bytes = std::fs::read(entry.path()).unwrap();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names
    }

    fn leaves(&self) -> BTreeMap<String, merkle::Hash> {
        let mut leaves = BTreeMap::new();
        let add = |record: append::Record<'_>| {
            let record = Record::parse(record.bytes).unwrap();
            leaves.insert(record.position().unwrap().to_string(), record.leaf_hash().unwrap());
        };
        self.index.log.read(0, add).unwrap();
        leaves
    }
}

fn of_subject(name: &str) -> Query {
    Query { subject: Some(name.to_owned()), ..Query::default() }
}

#[test]
fn records_are_found_by_token_id_subject_requester_and_time_newest_first() {
    let ground = Ground::filled();
    assert_eq!(ground.find(&Query::default()), ["plant7-2", "plant7-1", "mine2-0", "plant7-0"]);
    assert_eq!(ground.find(&of_subject("ada")), ["plant7-2", "plant7-0"]);
    assert!(ground.find(&of_subject("client:ada")).is_empty());
    let by_bob = Query { requester: Some("operator:uid 7".into()), ..Query::default() };
    assert_eq!(ground.find(&by_bob), ["mine2-0"]);
    let early = Query { since: Some(NOW + 1), until: Some(NOW + 3), ..Query::default() };
    assert_eq!(ground.find(&early), ["plant7-1", "mine2-0"]);
    assert_eq!(ground.find(&Query { since: Some(NOW + 1), ..of_subject("ada") }), ["plant7-2"]);
    assert_eq!(ground.index.find(&of_subject("ada"), 1).unwrap()[0].number, 3);
    let Entry::Token(token) = ground.index.show("plant7-2").unwrap().unwrap().record.entry else { panic!() };
    assert_eq!(token.subject, "ada");
    for unknown in ["plant7-3", "nowhere-0", "no position"] {
        assert_eq!(ground.index.show(unknown).unwrap(), None);
    }
    ground.issue("plant7", "ada", "client:ada", NOW + 9);
    assert_eq!(ground.find(&of_subject("ada")), ["plant7-3", "plant7-2", "plant7-0"]);
}

#[test]
fn an_index_that_is_lost_broken_or_stale_is_built_anew() {
    let Ground { folder, log: _log, index } = Ground::filled();
    index.catch_up().unwrap();
    drop(index);
    for damage in [b"".to_vec(), b"no database at all, but long enough to be looked at".repeat(99)] {
        std::fs::write(folder.path().join(FILE_NAME), damage).unwrap();
        let index = Index::open(folder.path()).unwrap();
        assert_eq!(index.find(&of_subject("bob"), 9).unwrap().len(), 1);
    }
    // As a redaction leaves it that was ended by a crash after files were rewritten.
    let ground = Ground::filled();
    ground.index.catch_up().unwrap();
    let wreck = "UPDATE leaf SET offset = offset + 1; UPDATE state SET erasure = 1";
    ground.index.connection().execute_batch(wreck).unwrap();
    assert_eq!(ground.find(&of_subject("ada")), ["plant7-2", "plant7-0"]);
}

#[test]
fn a_start_reads_from_the_first_record_that_is_unpublished_or_young() {
    let ground = Ground::filled();
    let from = |published: &[(&str, u64)], since| {
        let sizes: Vec<_> = published.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        ground.index.replay_from(&sizes, since).unwrap()
    };
    assert_eq!(from(&[], LATER), 0);
    assert_eq!(from(&[("plant7", 1), ("mine2", 1)], LATER), 2);
    assert_eq!(from(&[("plant7", 3), ("mine2", 1)], LATER), 4);
    assert_eq!(from(&[("plant7", 3), ("mine2", 1)], NOW + 3), 3);
    assert_eq!(from(&[("plant7", 3)], LATER), 1, "a shard without tiles is read whole");
}

#[test]
fn a_redaction_leaves_every_leaf_and_no_trace_of_the_subject_in_any_file_of_the_log() {
    let ground = Ground::filled();
    for number in 0..300 {
        ground.issue("plant7", &format!("person{number}"), "order:1", NOW);
    }
    // What a crash tore may name her too.
    std::fs::write(ground.folder.path().join("issued.log.torn-999"), b"half of ada").unwrap();
    ground.index.catch_up().unwrap();
    let leaves = ground.leaves();
    let redacted = ground.log.redact(&ground.index, &of_subject("ada"), LATER).unwrap();
    assert_eq!((redacted.records, redacted.alive), (2, 0));
    assert_eq!(ground.leaves(), leaves, "every leaf is what it was");
    for trace in ["ada", "assertion-of-ada"] {
        assert!(ground.files_with(trace).is_empty(), "{trace}: {:?}", ground.files_with(trace));
    }
    let key = key_of("ada").to_be_bytes();
    for name in ["index.db", "index.db-wal"] {
        let bytes = std::fs::read(ground.folder.path().join(name)).unwrap();
        assert!(!bytes.windows(8).any(|window| window == key), "{name} holds the hash of her name");
    }
    assert!(ground.find(&of_subject("ada")).is_empty());
    let found = ground.index.show("plant7-0").unwrap().unwrap();
    assert!(matches!(found.record.entry, Entry::Redacted(ref entry) if entry.expires_at == NOW + 900));
    assert_eq!(ground.find(&of_subject("person299")), ["plant7-8e"]);
    ground.issue("plant7", "eve", "order:1", LATER);
    let Ground { folder, log, index } = ground;
    drop((log, index));
    let (log, recovered) = crate::log::tests::open(folder.path(), LATER);
    assert_eq!((log.len("plant7"), recovered.voided), (304, 0), "and the log starts as before");
}

#[test]
fn a_token_that_lives_is_not_redacted_nor_is_everything_at_once() {
    let ground = Ground::filled();
    let redacted = ground.log.redact(&ground.index, &of_subject("ada"), NOW + 901).unwrap();
    assert_eq!((redacted.records, redacted.alive, redacted.alive_until), (1, 1, NOW + 903));
    assert_eq!(ground.find(&of_subject("ada")), ["plant7-2"]);
    assert!(matches!(
        ground.log.redact(&ground.index, &Query::default(), LATER),
        Err(crate::log::RedactFault::Everything)
    ));
    let old = Query { until: Some(NOW + 2), ..Query::default() };
    assert_eq!(ground.log.redact(&ground.index, &old, LATER).unwrap().records, 1);
    assert!(ground.find(&of_subject("bob")).is_empty());
}
