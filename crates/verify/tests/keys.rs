//! Weak, misdirected and ambiguous keys never verify, and the refusal says which key and why.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use farside_verify::encode::base64url;
use farside_verify::{
    Algorithm, Code, KeySet, KeySetError, Policy, UnusableReason, Verifier, key_id, thumbprint,
};
use support::*;

fn reason(jwk: &str) -> UnusableReason {
    let keys = KeySet::from_jwks(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap();
    assert!(keys.is_empty(), "{jwk}");
    keys.unusable()[0].reason
}

fn usable(jwk: &str) -> bool {
    KeySet::from_jwks(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap().len() == 1
}

#[test]
fn sets_that_are_not_a_strict_object_of_keys_are_refused_whole() {
    let read = |jwks: &str| KeySet::from_jwks(jwks.as_bytes()).map(|_| ()).unwrap_err();
    for jwks in ["{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"Keys":[]}"#] {
        assert_eq!(read(jwks), KeySetError::NoKeys, "{jwks}");
    }
    for jwks in
        ["", "[]", r#"{"keys":[]"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[{"kty":"EC","kty":"EC"}]}"#]
    {
        assert!(matches!(read(jwks), KeySetError::NotJson { .. }), "{jwks}");
    }
    assert_eq!(read(r#"{"keys":[1]}"#), KeySetError::NotAKey { index: 0 });
    let many = jwks(&vec![r#"{"kty":"new"}"#.to_owned(); 1025]);
    assert_eq!(read(&many), KeySetError::TooManyKeys);
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(1024 * 1024));
    assert!(matches!(read(&large), KeySetError::TooLarge { .. }));
}

#[test]
fn two_keys_with_one_id_condemn_the_set() {
    let (one, other) = (Signer::generate(Algorithm::Es256, "a"), Signer::generate(Algorithm::EdDsa, "a"));
    let shared = |jwks: String| KeySet::from_jwks(jwks.as_bytes()).map(|_| ());
    assert!(matches!(shared(jwks(&[one.jwk(), other.jwk()])), Err(KeySetError::SharedId { .. })));
    let escaped = other.jwk().replace(r#""a""#, r#""\u0061""#);
    assert!(matches!(shared(jwks(&[one.jwk(), escaped])), Err(KeySetError::SharedId { .. })));
    let weak = r#"{"kty":"oct","k":"AAAA","kid":"a"}"#.to_owned();
    assert!(matches!(shared(jwks(&[one.jwk(), weak])), Err(KeySetError::SharedId { .. })));
    let unknown = r#"{"kty":"FUTURE","kid":"a"}"#.to_owned();
    assert!(shared(jwks(&[one.jwk(), unknown])).is_ok());
}

#[test]
fn a_key_says_its_algorithm_unless_its_type_leaves_one() {
    for signer in every_signer() {
        let bare = format!(r#"{{{},"kid":"k1"}}"#, signer.public_members());
        let leaves_one = bare.contains(r#""EC""#) || bare.contains(r#""OKP""#);
        assert_eq!(usable(&bare), leaves_one, "{}", signer.algorithm);
        if !leaves_one {
            assert_eq!(reason(&bare), UnusableReason::AlgorithmMissing);
        }
        for wrong in ["HS256", "none", "RSA-OAEP", "ECDH-ES", "es256", ""] {
            let jwk = format!(r#"{{{},"alg":"{wrong}"}}"#, signer.public_members());
            assert_eq!(reason(&jwk), UnusableReason::Algorithm, "{wrong}");
        }
        let mistyped = format!(r#"{{{},"alg":7}}"#, signer.public_members());
        assert_eq!(reason(&mistyped), UnusableReason::Malformed);
    }
    let p256 = Signer::generate(Algorithm::Es256, "k1").public_members();
    assert_eq!(reason(&format!(r#"{{{p256},"alg":"ES384"}}"#)), UnusableReason::Algorithm);
    assert_eq!(reason(&format!(r#"{{{p256},"alg":"EdDSA"}}"#)), UnusableReason::Algorithm);
}

#[test]
fn use_and_key_ops_must_allow_verifying() {
    let members = Signer::fixed("k1").public_members();
    let with = |more: &str| format!(r#"{{{members},{more}}}"#);
    for fine in [
        r#""use":"sig""#,
        r#""key_ops":["verify"]"#,
        r#""key_ops":["sign","verify"]"#,
        r#""use":"sig","key_ops":["verify"]"#,
        r#""use":"jwt-svid""#,
        r#""key_ops":["verify","x"]"#,
    ] {
        assert!(usable(&with(fine)), "{fine}");
    }
    for wrong in [r#""use":"enc""#, r#""use":"SIG""#, r#""use":1"#, r#""use":null"#, r#""use":"x509-svid""#] {
        assert_eq!(reason(&with(wrong)), UnusableReason::Use, "{wrong}");
    }
    for wrong in [
        r#""key_ops":[]"#,
        r#""key_ops":["sign"]"#,
        r#""key_ops":"verify""#,
        r#""key_ops":["verify",1]"#,
        r#""key_ops":["verify","verify"]"#,
        r#""use":"sig","key_ops":["verify","encrypt"]"#,
        r#""key_ops":null"#,
    ] {
        assert_eq!(reason(&with(wrong)), UnusableReason::KeyOps, "{wrong}");
    }
}

#[test]
fn weak_rsa_keys_never_load() {
    let rsa = |n: &[u8], e: &[u8]| {
        format!(r#"{{"kty":"RSA","alg":"RS256","n":"{}","e":"{}"}}"#, base64url(n), base64url(e))
    };
    let modulus = |bytes: usize| {
        let mut n = vec![0xc5; bytes];
        n[bytes - 1] |= 1;
        n
    };
    let f4: &[u8] = &[1, 0, 1];
    assert_eq!(reason(&rsa(&modulus(255), f4)), UnusableReason::WeakRsa);
    assert_eq!(reason(&rsa(&modulus(128), f4)), UnusableReason::WeakRsa);
    assert_eq!(reason(&rsa(&modulus(1025), f4)), UnusableReason::WeakRsa);
    let mut bits_2047 = modulus(256);
    bits_2047[0] = 0x7f;
    assert_eq!(reason(&rsa(&bits_2047, f4)), UnusableReason::WeakRsa);
    let mut even = modulus(256);
    even[255] &= 0xfe;
    assert_eq!(reason(&rsa(&even, f4)), UnusableReason::WeakRsa);
    for exponent in [&[1][..], &[2], &[1, 0, 0], &[1, 0, 0, 0, 0, 0, 1]] {
        assert_eq!(reason(&rsa(&modulus(256), exponent)), UnusableReason::WeakRsa, "{exponent:?}");
    }
    assert_eq!(reason(&rsa(&[&[0], modulus(256).as_slice()].concat(), f4)), UnusableReason::Malformed);
    assert_eq!(reason(&rsa(&modulus(256), &[0, 1, 0, 1])), UnusableReason::Malformed);
    assert_eq!(reason(&rsa(&modulus(256), &[])), UnusableReason::Malformed);
    assert_eq!(reason(&rsa(&[], f4)), UnusableReason::Malformed);
    assert!(usable(&rsa(&modulus(256), f4)) && usable(&rsa(&modulus(1024), &[3])));
}

#[test]
fn points_off_the_curve_and_of_small_order_never_load() {
    let ec = |crv: &str, x: &[u8], y: &[u8]| {
        format!(r#"{{"kty":"EC","crv":"{crv}","x":"{}","y":"{}"}}"#, base64url(x), base64url(y))
    };
    for (crv, bytes) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
        assert_eq!(reason(&ec(crv, &vec![1; bytes], &vec![1; bytes])), UnusableReason::Point);
        assert_eq!(reason(&ec(crv, &vec![0; bytes], &vec![0; bytes])), UnusableReason::Point);
        assert_eq!(reason(&ec(crv, &vec![1; bytes - 1], &vec![1; bytes])), UnusableReason::Malformed);
        assert_eq!(reason(&ec(crv, &vec![1; bytes + 1], &vec![1; bytes])), UnusableReason::Malformed);
    }
    assert_eq!(reason(&ec("P-256K", &[1; 32], &[1; 32])), UnusableReason::Algorithm);
    assert_eq!(reason(&ec("secp256k1", &[1; 32], &[1; 32])), UnusableReason::Algorithm);
    let okp = |crv: &str, x: &[u8]| format!(r#"{{"kty":"OKP","crv":"{crv}","x":"{}"}}"#, base64url(x));
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(reason(&okp("Ed25519", &one)), UnusableReason::SmallOrder);
    assert_eq!(reason(&okp("Ed25519", &[0; 32])), UnusableReason::SmallOrder);
    assert_eq!(reason(&okp("Ed25519", &[0xff; 32])), UnusableReason::Point);
    assert_eq!(reason(&okp("Ed25519", &[1; 31])), UnusableReason::Malformed);
    assert_eq!(reason(&okp("X25519", &[9; 32])), UnusableReason::Algorithm);
    assert_eq!(reason(&okp("Ed448", &[9; 57])), UnusableReason::Algorithm);
    let akp = |alg: &str, bytes: usize| {
        format!(r#"{{"kty":"AKP","alg":"{alg}","pub":"{}"}}"#, base64url(vec![1; bytes]))
    };
    assert_eq!(reason(&akp("ML-DSA-65", 1312)), UnusableReason::Malformed);
    assert_eq!(reason(&akp("ES256", 1312)), UnusableReason::Algorithm);
    assert_eq!(reason(r#"{"kty":"oct","k":"AAAA","alg":"HS256"}"#), UnusableReason::KeyType);
    assert_eq!(reason(r#"{"kid":"a"}"#), UnusableReason::KeyType);
    assert_eq!(reason(r#"{"kty":"EC","kid":5}"#), UnusableReason::Malformed);
}

#[test]
fn a_refusal_names_the_unusable_key_and_its_reason() {
    let signer = Signer::fixed("weak");
    let jwk = format!(r#"{{{},"kid":"weak","use":"enc"}}"#, signer.public_members());
    let keys = KeySet::from_jwks(jwks(&[jwk]).as_bytes()).unwrap();
    let refusal = Verifier::new(keys, Policy::undemanding()).verify(signer.token("{}"), NOW).unwrap_err();
    assert_eq!(refusal.code(), Code::KeyUnusable);
    assert!(refusal.detail().contains("weak") && refusal.detail().contains("use"));
}

#[test]
fn the_key_is_found_by_id_to_the_byte_or_is_the_only_one() {
    let (a, b) = (Signer::generate(Algorithm::Es256, "a"), Signer::generate(Algorithm::Es256, "b"));
    let eddsa = Signer::generate(Algorithm::EdDsa, "c");
    let all = jwks(&[a.jwk(), b.jwk(), eddsa.jwk()]);
    let verifier = Verifier::new(KeySet::from_jwks(all.as_bytes()).unwrap(), Policy::undemanding());
    let code = |token: String| verifier.verify(token, NOW).map(|_| ()).map_err(|refusal| refusal.code());
    assert_eq!(code(a.token("{}")), Ok(()));
    assert_eq!(code(b.sign(r#"{"alg":"ES256","kid":"\u0062"}"#, "{}")), Ok(()));
    for kid in ["A", "a ", "", "aa", "d"] {
        assert_eq!(code(a.sign(format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), "{}")), Err(Code::KeyUnknown));
    }
    assert_eq!(code(a.sign(r#"{"alg":"ES256","kid":"b"}"#, "{}")), Err(Code::SignatureInvalid));
    assert_eq!(code(a.sign(r#"{"alg":"ES256"}"#, "{}")), Err(Code::KeyAmbiguous));
    assert_eq!(code(eddsa.sign(r#"{"alg":"EdDSA"}"#, "{}")), Ok(()));
    assert_eq!(code(a.sign(r#"{"alg":"ES384"}"#, "{}")), Err(Code::AlgMismatch));
}

#[test]
fn svid_keys_verify_svids_alone() {
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let jwk = format!(r#"{{{},"kid":"k1","use":"jwt-svid"}}"#, signer.public_members());
    let verifier = Verifier::new(KeySet::from_jwks(jwks(&[jwk]).as_bytes()).unwrap(), Policy::undemanding());
    assert!(verifier.verify(signer.sign(signer.header("JWT"), "{}"), NOW).is_ok());
    assert!(verifier.verify(signer.sign(r#"{"alg":"ES256","kid":"k1"}"#, "{}"), NOW).is_ok());
    assert_eq!(verifier.verify(signer.token("{}"), NOW).unwrap_err().code(), Code::TypMismatch);
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    // RFC 7638 §3.1
    let rsa = include_bytes!("../../../vectors/jwk/rfc7638_3_1.json");
    let rsa = thumbprint(rsa).unwrap();
    assert_eq!(base64url(rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(key_id(&rsa), "NzbLsXh8");
    // RFC 8037 §A.3
    let okp = include_bytes!("../../../vectors/jwk/rfc8037_a_2.json");
    assert_eq!(base64url(thumbprint(okp).unwrap()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert!(thumbprint(br#"{"kty":"oct","k":"AAAA"}"#).is_err());
    assert!(thumbprint(br#"{"kty":"EC","crv":"P-256"}"#).is_err());
}
