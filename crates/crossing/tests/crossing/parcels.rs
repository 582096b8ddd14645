//! Sealed parcels: only the site opens them, whole, in bounded memory.

use farside_crossing::{
    Claim, Code, Parcel, RawJson, ReceiptCode, RecipientPublic, RecipientSecret, Refusal, bundle,
};
use proptest::prelude::*;

use crate::support::{Realm, draft};

fn parcel(n: usize) -> Parcel {
    let token: String = (0..400).map(|i| char::from(b'a' + ((n * 31 + i * 7) % 26) as u8)).collect();
    let claim = match n % 3 {
        0 => Claim::File,
        1 => Claim::Phrase { sha256: "A".repeat(43) },
        _ => Claim::Key { jwk: RawJson::new(r#"{"kty":"OKP", "x":"é"}"#).unwrap() },
    };
    Parcel { token, sub: format!("person-{n}"), aud: n.is_multiple_of(2).then(|| "historian".into()), claim }
}

/// Packs into a bundle and opens again, to the first error.
fn through(realm: &Realm, seq: u64, sealed: Vec<u8>) -> Result<Vec<Parcel>, Refusal> {
    let packed = realm.full_writer(draft(seq, None)).parcels(sealed).finish(&[&realm.online]).unwrap();
    let opened = bundle::open(&packed.bytes, &realm.charter, "plant").unwrap();
    opened.parcels(&realm.secret)?.unwrap().collect()
}

#[test]
fn thousands_of_parcels_cross_over_many_chunks() {
    let realm = Realm::small();
    let parcels: Vec<Parcel> = (0..20_000).map(parcel).collect();
    let sealed = realm.seal(3, &parcels);
    assert_eq!(through(&realm, 3, sealed).unwrap(), parcels);
}

#[test]
fn parcels_open_in_their_own_bundle_and_site_alone() {
    let realm = Realm::small();
    let sealed = realm.seal(3, &[parcel(1)]);
    assert_eq!(through(&realm, 4, sealed.clone()).unwrap_err().code(), Code::SealBroken);
    let other = Realm { secret: RecipientSecret::from_seed(&[8; 32]), ..Realm::small() };
    assert_eq!(through(&other, 3, sealed).unwrap_err().code(), Code::SealBroken);
}

#[test]
fn chunks_cannot_be_dropped_doubled_or_swapped() {
    // Random tokens, so that the sealed part spans several chunks.
    let realm = Realm::small();
    let mut seed = 7u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[(seed >> 58) as usize]
    };
    let parcels: Vec<Parcel> = (0..3_000)
        .map(|n| Parcel { token: (0..400).map(|_| char::from(random())).collect(), ..parcel(n) })
        .collect();
    let sealed = realm.seal(1, &parcels);
    const CHUNK: usize = (256 << 10) + 16;
    let (head, chunks) = sealed.split_at(1_120);
    assert!(chunks.len() > 2 * CHUNK);
    let (one, rest) = chunks.split_at(CHUNK);
    let (two, last) = rest.split_at(CHUNK);
    let torn = [
        [head, two, one, last].concat(),
        [head, one, last].concat(),
        [head, one, one, two, last].concat(),
        [head, one, two].concat(),
        [head, one].concat(),
        head.to_vec(),
        sealed[..sealed.len() - 1].to_vec(),
        [&sealed[..], b"x"].concat(),
        vec![],
    ];
    for sealed in torn {
        assert_eq!(through(&realm, 1, sealed).unwrap_err().code(), Code::SealBroken);
    }
}

#[test]
fn every_bit_of_the_seal_matters() {
    let realm = Realm::small();
    let sealed = realm.seal(1, &[parcel(0)]);
    for place in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[place] ^= 1 << (place % 8);
        let refusal = through(&realm, 1, flipped).unwrap_err();
        assert_eq!(refusal.code(), Code::SealBroken, "byte {place}");
    }
}

#[test]
fn what_is_no_parcel_is_not_packed() {
    let realm = Realm::small();
    let context = farside_crossing::SealContext { realm: "acme", site: "plant", seq: 1 };
    let recipient = realm.secret.public("plant").unwrap();
    let mut packer = farside_crossing::parcels::Packer::new(&recipient, context, &[0; 16], &[1; 32]).unwrap();
    let bad = [
        (Parcel { token: "a.b.c\n".into(), ..parcel(0) }, Code::Malformed),
        (Parcel { token: String::new(), ..parcel(0) }, Code::Malformed),
        (Parcel { token: "a".repeat(16_385), ..parcel(0) }, Code::TooLarge),
        (Parcel { sub: "a\u{7}".into(), ..parcel(0) }, Code::Malformed),
        (Parcel { claim: Claim::Phrase { sha256: "AAAA".into() }, ..parcel(0) }, Code::Malformed),
    ];
    for (parcel, code) in bad {
        assert_eq!(packer.push(&parcel).unwrap_err().code(), code);
    }
    let elsewhere = realm.secret.public("harbour").unwrap();
    let refused = farside_crossing::parcels::Packer::new(&elsewhere, context, &[0; 16], &[1; 32]);
    assert_eq!(refused.err().unwrap().code(), Code::WrongSite);
}

#[test]
fn a_token_never_shows_in_debug_output() {
    let shown = format!("{:?}", parcel(1));
    assert!(!shown.contains(&parcel(1).token) && !shown.contains("AAAA"));
    let secret = format!("{:?}", RecipientSecret::from_seed(&[9; 32]));
    assert!(secret.starts_with("RecipientSecret(") && secret.len() < 30);
}

#[test]
fn a_recipients_line_reads_back_and_a_broken_one_does_not() {
    let public = RecipientSecret::from_seed(&[9; 32]).public("plant").unwrap();
    let line = public.to_string();
    assert_eq!(line.parse(), Ok(public.clone()));
    assert_eq!(format!("{line}\n").parse(), Ok(public.clone()));
    assert_eq!(public.words().split(' ').count(), 16);
    for wrong in
        [line.replace("/1", "/2"), line.replace("plant", "pla nt"), line[..line.len() - 4].to_owned()]
    {
        assert!(wrong.parse::<RecipientPublic>().is_err());
    }
    // The name belongs to the fingerprint: a key enrolled under another site's name shows other words.
    let renamed: RecipientPublic = line.replace("plant", "harbour").parse().unwrap();
    assert_ne!(renamed.words(), public.words());
}

#[test]
fn receipts_tell_a_slip_from_a_wrong_code() {
    let digest = farside_crossing::Digest::of(b"bundle");
    let code = ReceiptCode::new(&[5; 16], 7, &digest);
    for other in [ReceiptCode::new(&[6; 16], 7, &digest), ReceiptCode::new(&[5; 16], 8, &digest)] {
        assert_ne!(other, code);
    }
    let shown = code.to_string();
    assert_eq!(shown.len(), 14);
    assert_eq!(shown.parse(), Ok(code));
    assert_eq!(shown.to_lowercase().replace('-', "").replace('0', "o").replace('1', "l").parse(), Ok(code));
    let first = if shown.starts_with('A') { "B" } else { "A" };
    let slip = format!("{first}{}", &shown[1..]);
    assert!(slip.parse::<ReceiptCode>().is_err());
    assert!("XXXX".parse::<ReceiptCode>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_parcels_come_back(count in 0usize..40, offset in 0usize..1000) {
        let realm = Realm::small();
        let parcels: Vec<Parcel> = (offset..offset + count).map(parcel).collect();
        prop_assert_eq!(through(&realm, 2, realm.seal(2, &parcels)).unwrap(), parcels);
    }
}
