//! Status: lists encode as the draft says, the online key can only tighten, and time alone lets go.

use farside_crossing::breakglass::LIFETIME_SECONDS_MAX;
use farside_crossing::pardon::{PardonDocument, PardonedToken};
use farside_crossing::status::{
    BitList, COVERED_SLACK_SECONDS, Horizon, LIST_BITS_MAX, LISTS_BYTES_MAX, Lists, RevokedAll, RevokedKey,
    RevokedName, TokenList, apply_delta, judge_change,
};
use farside_crossing::{Code, Refusal, StatusDocument};
use proptest::prelude::*;

use crate::support::{NOW, Realm};

const DAY: u64 = 86_400;

/// When the tokens of these tests have expired.
const UNTIL: u64 = NOW + DAY;

/// zlib and base64url, as whoever verifies tokens decodes them.
fn decode(lst: &str, bytes_max: usize) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(lst).ok()?;
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(&packed, bytes_max).ok()
}

fn lists(indices: &[u64], until: u64) -> Vec<TokenList> {
    let mut lists = Lists::default();
    indices.iter().for_each(|index| lists.set("a", until, *index));
    lists.close()
}

fn name(name: &str, before: u64) -> RevokedName {
    RevokedName { name: name.into(), before, reason: "left".into(), by: "uid 7".into(), at: NOW }
}

fn key(kid: &str) -> RevokedKey {
    RevokedKey { kid: kid.into(), reason: "stolen".into(), by: "uid 7".into(), at: NOW }
}

fn all(before: u64) -> Option<RevokedAll> {
    Some(RevokedAll { before, reason: "break-in".into(), by: "uid 7".into(), at: NOW })
}

/// One of everything.
fn held() -> StatusDocument {
    StatusDocument {
        tokens: lists(&[1, 9], UNTIL),
        subjects: vec![name("mallory", NOW)],
        clients: vec![name("c9", NOW)],
        groups: vec![name("crew", NOW)],
        keys: vec![key("k1")],
        all: all(NOW - 5),
        ..Realm::small().status(2)
    }
}

/// The held status with one thing taken back, each in its way.
fn loose() -> Vec<(&'static str, StatusDocument)> {
    vec![
        ("a token", StatusDocument { tokens: lists(&[1], UNTIL), ..held() }),
        ("a token, by an earlier end", StatusDocument { tokens: lists(&[1, 9], UNTIL - 1), ..held() }),
        ("a shard", StatusDocument { tokens: vec![], ..held() }),
        ("a subject", StatusDocument { subjects: vec![], ..held() }),
        ("a subject, in part", StatusDocument { subjects: vec![name("mallory", NOW - 1)], ..held() }),
        ("a client", StatusDocument { clients: vec![], ..held() }),
        ("a group", StatusDocument { groups: vec![name("crew", NOW - 1)], ..held() }),
        ("a key", StatusDocument { keys: vec![], ..held() }),
        ("all", StatusDocument { all: None, ..held() }),
        ("all, in part", StatusDocument { all: all(NOW - 6), ..held() }),
    ]
}

/// The change as judged at a moment, with tokens of a day and a key that ends when they do.
fn judged(new: &StatusDocument, pardon: Option<&PardonDocument>, issued_at: u64) -> Result<(), Refusal> {
    let horizon = Horizon { issued_at, lifetime_seconds_highest: DAY, key_ends: &|_| UNTIL };
    judge_change(&held(), new, pardon, &horizon, decode)
}

#[test]
fn the_list_of_the_draft_encodes_alike() {
    // draft-ietf-oauth-status-list §4.1, the sixteen statuses of its example: bytes 0xB9 0xA3.
    let mut list = BitList::new();
    [0, 3, 4, 5, 7, 8, 9, 13, 15].into_iter().for_each(|index| list.set(index).unwrap());
    assert_eq!(list.as_bytes(), [0xb9, 0xa3]);
    assert_eq!(decode(&list.encode(), 2).unwrap(), [0xb9, 0xa3]);
    assert_eq!(decode("eNrbuRgAAhcBXQ", 2).unwrap(), [0xb9, 0xa3]);
    assert!(BitList::new().set(LIST_BITS_MAX).is_err());
}

#[test]
fn lists_begin_where_they_are_needed_and_keep_every_index() {
    let indices = [3, 8, 70_000, LIST_BITS_MAX - 1, LIST_BITS_MAX, 5 * LIST_BITS_MAX + 9];
    let closed = lists(&indices, UNTIL);
    assert_eq!(closed.len(), 3, "a list for each window");
    assert_eq!(closed[2].first, 5 * LIST_BITS_MAX + 8);
    let opened = Lists::open(&closed, decode).unwrap();
    let opened = opened.by_shard();
    let found: Vec<u64> = opened["a"].iter().flat_map(|bits| bits.indices().collect::<Vec<_>>()).collect();
    assert_eq!(found, indices);
    assert_eq!(opened["a"].iter().map(|bits| bits.ones()).sum::<u64>(), 6);
}

#[test]
fn adding_is_always_allowed() {
    let more = StatusDocument {
        tokens: lists(&[1, 2, 9, 4_000], UNTIL + 5),
        subjects: vec![name("mallory", NOW + 5), name("eve", NOW)],
        all: all(NOW),
        ..held()
    };
    judged(&held(), None, NOW).unwrap();
    judged(&more, None, NOW).unwrap();
    let horizon = Horizon { issued_at: NOW, lifetime_seconds_highest: DAY, key_ends: &|_| UNTIL };
    judge_change(&Realm::small().status(1), &held(), None, &horizon, decode).unwrap();
}

#[test]
fn taking_back_needs_a_pardon_that_names_it() {
    let pardon = PardonDocument {
        tokens: vec![PardonedToken { shard: "a".into(), index: 9 }],
        subjects: vec!["mallory".into()],
        clients: vec!["c9".into()],
        groups: vec!["crew".into()],
        keys: vec!["k1".into()],
        all: true,
        ..PardonDocument::empty("acme", "plant", 1, NOW)
    };
    let another =
        PardonDocument { subjects: vec!["eve".into()], ..PardonDocument::empty("acme", "plant", 1, NOW) };
    for (what, new) in loose() {
        assert_eq!(judged(&new, None, NOW).unwrap_err().code(), Code::Loosening, "{what}");
        assert_eq!(judged(&new, Some(&another), NOW).unwrap_err().code(), Code::Loosening, "{what}");
        match what {
            // Token 1 stands in no pardon.
            "a shard" | "a token, by an earlier end" => {
                let refusal = judged(&new, Some(&pardon), NOW).unwrap_err();
                assert!(refusal.detail().contains("token 1 of shard a"), "{what}: {}", refusal.detail());
            }
            _ => judged(&new, Some(&pardon), NOW).unwrap(),
        }
    }
}

#[test]
fn an_entry_may_go_once_everything_it_covers_has_expired_and_not_a_second_before() {
    for (what, new) in loose() {
        // The last token was issued at NOW, or five seconds before, and lived for a day.
        let ended = if what.starts_with("all") { UNTIL - 5 } else { UNTIL };
        let early = judged(&new, None, ended + COVERED_SLACK_SECONDS);
        assert_eq!(early.unwrap_err().code(), Code::Loosening, "{what}");
        judged(&new, None, ended + COVERED_SLACK_SECONDS + 1).unwrap_or_else(|late| panic!("{what}: {late}"));
    }
}

#[test]
fn a_list_that_does_not_decode_or_is_too_large_is_refused() {
    let broken = |list: TokenList| judged(&StatusDocument { tokens: vec![list], ..held() }, None, NOW);
    let good = lists(&[1, 9], UNTIL).remove(0);
    let garbage = TokenList { lst: "AAAA".into(), ..good.clone() };
    assert_eq!(broken(garbage).unwrap_err().code(), Code::Malformed);
    let astride =
        TokenList { first: LIST_BITS_MAX - 8, lst: lists(&[0, 15], 1).remove(0).lst, ..good.clone() };
    assert_eq!(broken(astride).unwrap_err().code(), Code::Malformed, "across two windows");
    // A thousandfold compression: together they would fill more memory than any status may.
    let huge = TokenList { lst: zeros(LISTS_BYTES_MAX / 8), ..good };
    let bomb: Vec<TokenList> =
        (0..9).map(|nth| TokenList { first: nth * LIST_BITS_MAX, ..huge.clone() }).collect();
    assert!(Lists::open(&bomb[..8], decode).is_ok());
    assert_eq!(Lists::open(&bomb, decode).unwrap_err().code(), Code::Malformed);
}

fn zeros(bytes: usize) -> String {
    use base64::Engine as _;
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; bytes], 6);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(packed)
}

#[test]
fn entries_listed_twice_are_refused() {
    let twice: [fn(&mut StatusDocument); 5] = [
        |status| status.subjects.extend_from_within(..1),
        |status| status.clients.extend_from_within(..1),
        |status| status.groups.extend_from_within(..1),
        |status| status.keys.extend_from_within(..1),
        |status| status.tokens.extend_from_within(..1),
    ];
    held().to_json().unwrap();
    for change in twice {
        let mut status = held();
        change(&mut status);
        assert_eq!(status.to_json().unwrap_err().code(), Code::Malformed);
    }
}

/// A few of everything that may be revoked, as a mint would list it.
#[derive(Debug, Clone, Default)]
struct Revoked {
    tokens: Vec<(u64, u64)>,
    names: Vec<(u8, u8, u64)>,
    keys: Vec<u8>,
    all: Option<u64>,
}

fn revoked() -> impl Strategy<Value = Revoked> {
    let token = (0..50_000_u64, 0..3_u64).prop_map(|(index, days)| (index, UNTIL + days * DAY));
    (
        prop::collection::vec(token, 0..40),
        prop::collection::vec((0..3_u8, 0..6_u8, 0..100_u64), 0..12),
        prop::collection::vec(0..5_u8, 0..4),
        prop::option::of(0..50_u64),
    )
        .prop_map(|(tokens, names, keys, all)| Revoked { tokens, names, keys, all })
}

fn listed(revoked: &[Revoked], version: u64, since: Option<u64>) -> StatusDocument {
    let mut status = StatusDocument { since, ..Realm::small().status(version) };
    let mut lists = Lists::default();
    let each = || revoked.iter();
    each().flat_map(|r| &r.tokens).for_each(|(index, until)| lists.set("a", *until, *index));
    status.tokens = lists.close();
    for (kind, who, before) in each().flat_map(|r| &r.names) {
        let names = [&mut status.subjects, &mut status.clients, &mut status.groups];
        let Some(names) = names.into_iter().nth(usize::from(*kind)) else { continue };
        let (who, before) = (format!("n{who}"), NOW + before);
        match names.iter_mut().find(|entry| entry.name == who) {
            Some(entry) => entry.before = entry.before.max(before),
            None => names.push(name(&who, before)),
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let mut keys: Vec<u8> = each().flat_map(|r| r.keys.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    status.keys = keys.into_iter().map(|kid| key(&format!("k{kid}"))).collect();
    status.all = each().filter_map(|r| r.all).max().and_then(|before| all(NOW + before));
    status
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_delta_on_its_base_is_the_full_list_and_takes_nothing_back(before in revoked(), after in revoked()) {
        let horizon = Horizon { issued_at: NOW, lifetime_seconds_highest: DAY, key_ends: &|_| UNTIL };
        let base = listed(std::slice::from_ref(&before), 4, None);
        let delta = listed(std::slice::from_ref(&after), 5, Some(4));
        let full = listed(&[before, after], 5, None);
        let joined = apply_delta(&base, &delta, &horizon, decode).unwrap();
        prop_assert_eq!(&joined, &full);
        judge_change(&base, &joined, None, &horizon, decode).unwrap();
        // On any other base it does not apply.
        let other = StatusDocument { version: 3, ..base };
        prop_assert_eq!(apply_delta(&other, &delta, &horizon, decode).unwrap_err().code(), Code::Gap);
    }
}

#[test]
fn deltas_alone_let_go_what_has_expired() {
    let later = UNTIL + COVERED_SLACK_SECONDS + 1;
    let horizon = Horizon { issued_at: later, lifetime_seconds_highest: DAY, key_ends: &|_| UNTIL };
    let delta = StatusDocument { since: Some(2), ..Realm::small().status(3) };
    let joined = apply_delta(&held(), &delta, &horizon, decode).unwrap();
    assert_eq!(joined, Realm::small().status(3), "nothing that it covers can be shown any more");
}

#[test]
fn names_that_everything_covers_may_go_and_nothing_else() {
    // A subject's entry ends passes too, for the hour that one may live.
    let late = NOW + LIFETIME_SECONDS_MAX + COVERED_SLACK_SECONDS + 1;
    let nameless = |before| StatusDocument {
        subjects: vec![],
        clients: vec![],
        groups: vec![],
        all: all(before),
        ..held()
    };
    judged(&nameless(NOW), None, late).unwrap();
    let all_but_subjects = StatusDocument { subjects: held().subjects, ..nameless(NOW) };
    judged(&all_but_subjects, None, NOW).unwrap();
    let stays = [
        ("a subject, whose passes may live", nameless(NOW), late - 1),
        ("what reaches further", nameless(NOW - 1), late),
        ("a token", StatusDocument { tokens: vec![], ..nameless(NOW) }, late),
        ("a key", StatusDocument { keys: vec![], ..nameless(NOW) }, late),
    ];
    for (what, new, at) in stays {
        assert_eq!(judged(&new, None, at).unwrap_err().code(), Code::Loosening, "{what}");
    }
    // Whoever takes everything back puts the names back with it.
    let pardon = PardonDocument { all: true, ..PardonDocument::empty("acme", "plant", 1, NOW) };
    let bare = StatusDocument { all: None, ..nameless(NOW) };
    assert_eq!(judged(&bare, Some(&pardon), late).unwrap_err().code(), Code::Loosening);
}

#[test]
fn a_subjects_entry_outlives_the_passes_that_it_ends_also_where_tokens_are_short() {
    let short = |issued_at| Horizon { issued_at, lifetime_seconds_highest: 60, key_ends: &|_| UNTIL };
    let without = StatusDocument { subjects: vec![], ..held() };
    let passes_end = NOW + LIFETIME_SECONDS_MAX + COVERED_SLACK_SECONDS;
    let judged = |at| judge_change(&held(), &without, None, &short(at), decode);
    assert_eq!(judged(passes_end).unwrap_err().code(), Code::Loosening);
    judged(passes_end + 1).unwrap();
    let delta = |at| {
        let delta = StatusDocument { since: Some(2), ..Realm::small().status(3) };
        apply_delta(&held(), &delta, &short(at), decode).unwrap().subjects.len()
    };
    assert_eq!([delta(passes_end), delta(passes_end + 1)], [1, 0]);
}
