//! Status: lists encode as the draft says, and the online key can only tighten.

use farside_crossing::pardon::{PardonDocument, PardonedToken};
use farside_crossing::status::{
    BitList, RevokedKey, RevokedSubject, STATUS_INDEX_MAX, ShardList, judge_change,
};
use farside_crossing::{Code, StatusDocument};

use crate::support::{NOW, Realm};

/// zlib and base64url, as whoever verifies tokens decodes them.
fn decode(lst: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(lst).ok()?;
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(&packed, 1 << 20).ok()
}

fn bits(indices: &[u64]) -> BitList {
    let mut list = BitList::new();
    indices.iter().for_each(|index| list.set(*index).unwrap());
    list
}

fn status(indices: &[u64], subject: Option<u64>, key: Option<&str>) -> StatusDocument {
    let reason = || "left".to_owned();
    StatusDocument {
        tokens: vec![ShardList { shard: "a".into(), lst: bits(indices).encode() }],
        subjects: subject
            .map(|before| RevokedSubject { sub: "mallory".into(), before, reason: reason(), at: NOW })
            .into_iter()
            .collect(),
        keys: key.map(|kid| RevokedKey { kid: kid.into(), reason: reason(), at: NOW }).into_iter().collect(),
        ..Realm::small().status(2)
    }
}

fn pardon() -> PardonDocument {
    PardonDocument {
        realm: "acme".into(),
        site: "plant".into(),
        version: 1,
        issued_at: NOW,
        tokens: vec![PardonedToken { shard: "a".into(), index: 9 }],
        subjects: vec!["mallory".into()],
        keys: vec!["k1".into()],
    }
}

#[test]
fn the_list_of_the_draft_encodes_alike() {
    // draft-ietf-oauth-status-list §4.1, the sixteen statuses of its example: bytes 0xB9 0xA3.
    let list = bits(&[0, 3, 4, 5, 7, 8, 9, 13, 15]);
    assert_eq!(list.as_bytes(), [0xb9, 0xa3]);
    assert_eq!(decode(&list.encode()).unwrap(), [0xb9, 0xa3]);
    assert_eq!(decode("eNrbuRgAAhcBXQ").unwrap(), [0xb9, 0xa3]);
    assert!(BitList::new().set(STATUS_INDEX_MAX + 1).is_err());
}

#[test]
fn adding_is_always_allowed() {
    let held = status(&[1, 9], Some(NOW), Some("k1"));
    let more = status(&[1, 2, 9, 4_000], Some(NOW + 5), Some("k1"));
    judge_change(&held, &held, None, decode).unwrap();
    judge_change(&held, &more, None, decode).unwrap();
    judge_change(&Realm::small().status(1), &held, None, decode).unwrap();
}

#[test]
fn taking_back_needs_a_pardon_that_names_it() {
    let held = status(&[1, 9], Some(NOW), Some("k1"));
    let loose = [
        status(&[1], Some(NOW), Some("k1")),
        status(&[1, 9], Some(NOW - 1), Some("k1")),
        status(&[1, 9], None, Some("k1")),
        status(&[1, 9], Some(NOW), None),
        StatusDocument { tokens: vec![], ..status(&[], None, None) },
    ];
    for new in &loose {
        assert_eq!(judge_change(&held, new, None, decode).unwrap_err().code(), Code::Loosening);
    }
    for new in &loose[..4] {
        judge_change(&held, new, Some(&pardon()), decode).unwrap();
    }
    // Token 1 stands in no pardon.
    let refusal = judge_change(&held, &loose[4], Some(&pardon()), decode).unwrap_err();
    assert_eq!(refusal.code(), Code::Loosening);
    assert!(refusal.detail().contains("token 1 of shard a"));
}

#[test]
fn a_list_that_does_not_decode_is_refused() {
    let held = status(&[1], None, None);
    let mut broken = status(&[1], None, None);
    broken.tokens[0].lst = "AAAA".into();
    assert_eq!(judge_change(&held, &broken, None, decode).unwrap_err().code(), Code::Malformed);
}

#[test]
fn entries_listed_twice_are_refused() {
    let mut twice = status(&[1], Some(NOW), Some("k1"));
    twice.subjects.push(twice.subjects[0].clone());
    assert!(twice.to_json().is_err());
    let mut twice = status(&[1], Some(NOW), Some("k1"));
    twice.tokens.push(twice.tokens[0].clone());
    assert!(twice.to_json().is_err());
}
