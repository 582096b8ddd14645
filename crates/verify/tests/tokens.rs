//! Good tokens of every algorithm are believed; whatever is changed in them is refused with its reason.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;
#[path = "support/twin.rs"]
mod twin;

use farside_verify::encode::{base64url, base64url_decode};
use farside_verify::{Algorithm, Code, KeySet, Policy, Verifier};
use support::*;

fn code(verifier: &Verifier, token: &str) -> Code {
    verifier.verify(token, NOW).unwrap_err().code()
}

fn claims_code(payload: &str) -> Code {
    let signer = Signer::fixed("k1");
    code(&signer.undemanding(), &signer.token(payload))
}

fn header_code(header: &str) -> Code {
    let signer = Signer::fixed("k1");
    code(&signer.undemanding(), &signer.sign(header, "{}"))
}

#[test]
fn every_algorithm_is_believed_and_no_other_key_is() {
    for signer in every_signer() {
        let verifier = Verifier::new(signer.keys(), access_policy());
        let token = signer.token(access_claims());
        let verified = verifier.verify(&token, NOW).unwrap();
        assert_eq!(verified.subject(), Some("ada"));
        assert_eq!(verified.algorithm(), signer.algorithm);
        assert_eq!((verified.key_id(), verified.typ()), ("k1", Some("at+jwt")));
        assert_eq!(verified.roles().collect::<Vec<_>>(), ["operator"]);
        assert_eq!(verified.json(), access_claims());

        let other = Signer::generate(signer.algorithm, "k1");
        assert_eq!(code(&verifier, &other.token(access_claims())), Code::SignatureInvalid);
    }
}

#[test]
fn no_flipped_bit_cut_or_added_character_is_believed() {
    for signer in every_signer() {
        let verifier = signer.undemanding();
        let token = signer.token(access_claims());
        let step = (token.len() / 150).max(1);
        for at in (0..token.len()).step_by(step) {
            for bit in [1, 2, 16] {
                let mut changed = token.clone().into_bytes();
                changed[at] ^= bit;
                assert!(verifier.verify(&changed, NOW).is_err(), "{} byte {at}", signer.algorithm);
            }
            assert!(verifier.verify(&token[..at], NOW).is_err());
        }
        for added in [" ", "\n", "=", ".", "A", "\0"] {
            assert!(verifier.verify(format!("{token}{added}"), NOW).is_err());
            assert!(verifier.verify(format!("{added}{token}"), NOW).is_err());
        }
    }
}

#[test]
fn second_spellings_of_a_segment_are_malformed() {
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let verifier = signer.undemanding();
    let token = signer.token(access_claims());
    let (input, signature) = token.rsplit_once('.').unwrap();
    // 64 bytes leave four unused bits in the last character: 'A', 'Q', 'g' and 'w' alone are canonical.
    let last = signature.chars().last().unwrap();
    let sibling = char::from(last as u8 + 1);
    let tail_bits = format!("{input}.{}{sibling}", &signature[..signature.len() - 1]);
    assert_eq!(code(&verifier, &tail_bits), Code::Malformed);
    assert_eq!(code(&verifier, &format!("{token}==")), Code::Malformed);
    assert_eq!(code(&verifier, &format!("{input}.{signature}\n")), Code::Malformed);
    assert_eq!(code(&verifier, &format!(" {token}")), Code::Malformed);
    let standard_alphabet = format!("{input}.{}", signature.replace('-', "+").replace('_', "/"));
    if standard_alphabet != token {
        assert_eq!(code(&verifier, &standard_alphabet), Code::Malformed);
    }
}

#[test]
fn the_twin_of_an_ecdsa_signature_has_the_same_identity() {
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let token = signer.token(access_claims());
    let twin = twin::twin(&token);
    assert_ne!(twin, token);
    let verifier = signer.undemanding();
    let (one, other) = (verifier.verify(&token, NOW).unwrap(), verifier.verify(&twin, NOW).unwrap());
    assert_eq!(one.signing_input_sha256(), other.signing_input_sha256());
}

#[test]
fn signatures_of_zeros_of_wrong_length_or_der_form_are_refused() {
    for signer in every_signer() {
        let verifier = signer.undemanding();
        let token = signer.token(access_claims());
        let (input, signature) = token.rsplit_once('.').unwrap();
        let bytes = base64url_decode(signature).unwrap();
        let mut hostile = vec![vec![], vec![0], vec![0; bytes.len()], vec![0xff; bytes.len()]];
        hostile.push(bytes[1..].to_vec());
        hostile.push(bytes[..bytes.len() - 1].to_vec());
        hostile.push([&[0], bytes.as_slice()].concat());
        hostile.push([bytes.as_slice(), &[0]].concat());
        hostile.push(vec![0x30, 6, 2, 1, 1, 2, 1, 1]);
        for signature in hostile {
            let token = format!("{input}.{}", base64url(&signature));
            assert_eq!(code(&verifier, &token), Code::SignatureInvalid, "{}", signer.algorithm);
        }
    }
}

#[test]
fn the_algorithm_is_the_keys_and_never_the_headers() {
    for signer in every_signer() {
        let verifier = signer.undemanding();
        for other in Algorithm::ALL.iter().filter(|&&other| other != signer.algorithm) {
            let token = signer.sign(format!(r#"{{"alg":"{other}","kid":"k1"}}"#), access_claims());
            assert_eq!(code(&verifier, &token), Code::AlgMismatch);
            let without_kid = signer.sign(format!(r#"{{"alg":"{other}"}}"#), access_claims());
            assert_eq!(code(&verifier, &without_kid), Code::AlgMismatch);
        }
    }
}

#[test]
fn none_hmac_and_odd_spellings_of_algorithms_are_not_allowed() {
    for alg in [
        "none",
        "None",
        "NONE",
        "",
        "HS256",
        "HS384",
        "HS512",
        "es256",
        "ES256 ",
        "eddsa",
        "ES256K",
        "Ed448",
        "RSA-OAEP",
        "dir",
        "RS1",
        "ES256\\u0000",
        "ML-DSA-65 ",
    ] {
        assert_eq!(header_code(&format!(r#"{{"alg":"{alg}","kid":"k1"}}"#)), Code::AlgNotAllowed, "{alg}");
    }
    let unsigned = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url("{}"));
    assert_eq!(code(&Signer::fixed("k1").undemanding(), &unsigned), Code::AlgNotAllowed);
}

#[test]
fn headers_that_rfc_7515_does_not_allow_are_invalid() {
    for header in [
        "",
        "[]",
        "null",
        "\"x\"",
        "{}",
        r#"{"alg":1}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":"EdDSA","kid":null}"#,
        r#"{"alg":"EdDSA","typ":7}"#,
        r#"{"alg":"EdDSA","b64":false}"#,
        r#"{"alg":"EdDSA","b64":"true"}"#,
        r#"{"alg":"EdDSA","enc":"A128GCM"}"#,
        r#"{"alg":"EdDSA","jwk":"x"}"#,
        r#"{"alg":"EdDSA","x5c":"x"}"#,
        r#"{"alg":"EdDSA","jku":{}}"#,
        "{\"alg\":\"EdDSA\"}x",
        "\u{feff}{\"alg\":\"EdDSA\"}",
        r#"{"alg":"EdDSA",}"#,
        r#"{'alg':"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":"\ud800"}"#,
    ] {
        assert_eq!(header_code(header), Code::HeaderInvalid, "{header}");
    }
    let signer = Signer::fixed("k1");
    let not_utf8 = signer.sign(b"{\"alg\":\"EdDSA\",\"x\":\"\xff\"}", "{}");
    assert_eq!(code(&signer.undemanding(), &not_utf8), Code::HeaderInvalid);
}

#[test]
fn crit_is_refused_whatever_it_lists() {
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "\"x\"", r#"["alg"]"#] {
        let header = format!(r#"{{"alg":"EdDSA","kid":"k1","crit":{crit},"exp":1}}"#);
        assert_eq!(header_code(&header), Code::CritUnsupported);
    }
}

#[test]
fn keys_inside_a_header_are_never_followed() {
    let (trusted, stranger) = (Signer::fixed("k1"), Signer::generate(Algorithm::Ed25519, "k1"));
    let jwk = stranger.public_members();
    let header = format!(r#"{{"alg":"EdDSA","kid":"k1","jwk":{{{jwk}}},"jku":"https://evil.example/jwks"}}"#);
    assert_eq!(code(&trusted.undemanding(), &stranger.sign(&header, "{}")), Code::SignatureInvalid);
    // The members do no harm either, where the trusted key signed.
    assert!(trusted.undemanding().verify(trusted.sign(&header, "{}"), NOW).is_ok());
}

#[test]
fn ed25519_has_two_names_and_a_key_with_alg_takes_one() {
    let signer = Signer::fixed("k1");
    let as_named = |name: &str| signer.sign(format!(r#"{{"alg":"{name}","kid":"k1"}}"#), "{}");
    let with = |alg: &str| {
        let jwk = format!(r#"{{{}{alg},"kid":"k1"}}"#, signer.public_members());
        Verifier::new(KeySet::from_jwks(jwks(&[jwk]).as_bytes()).unwrap(), Policy::undemanding())
    };
    let (either, old, new) = (with(""), with(r#","alg":"EdDSA""#), with(r#","alg":"Ed25519""#));
    assert!(either.verify(as_named("EdDSA"), NOW).is_ok());
    assert!(either.verify(as_named("Ed25519"), NOW).is_ok());
    assert!(old.verify(as_named("EdDSA"), NOW).is_ok());
    assert!(new.verify(as_named("Ed25519"), NOW).is_ok());
    assert_eq!(code(&old, &as_named("Ed25519")), Code::AlgMismatch);
    assert_eq!(code(&new, &as_named("EdDSA")), Code::AlgMismatch);
}

#[test]
fn segments_are_three_and_the_text_is_bounded() {
    let signer = Signer::fixed("k1");
    let verifier = signer.undemanding();
    let token = signer.token("{}");
    for text in ["", ".", "..", "...", "....", "a.b", "a.b.c.d.e", "\u{0}", "é.é.é"] {
        assert!(matches!(code(&verifier, text), Code::Malformed | Code::HeaderInvalid), "{text:?}");
    }
    assert_eq!(code(&verifier, &format!("{token}.{token}")), Code::Malformed);
    assert_eq!(code(&verifier, &"a".repeat(16 * 1024 + 1)), Code::TooLarge);
    let large = signer.token(format!(r#"{{"sub":"{}"}}"#, "a".repeat(12_000)));
    assert!(large.len() > 16_000 && large.len() <= 16 * 1024);
    assert!(verifier.verify(&large, NOW).is_ok());
}

#[test]
fn claims_of_a_wrong_type_are_refused_and_never_taken_as_absent() {
    let wrong: [(&str, &[&str]); 16] = [
        ("iss", &["1", "null", "[]", "{}", "true"]),
        ("sub", &["1", "null", "[\"a\"]"]),
        ("aud", &["1", "null", "{}", "[1]", "[\"a\",null]", "[[\"a\"]]"]),
        ("exp", &["\"1800000900\"", "null", "true", "[]", "{}", "1e12", "253402300800"]),
        ("nbf", &["\"0\"", "null", "true", "253402300800", "1e99999999999999999999"]),
        ("iat", &["\"0\"", "null", "false", "-1e13"]),
        ("jti", &["1", "null"]),
        ("client_id", &["1", "null"]),
        ("scope", &["[\"a\"]", "null"]),
        ("roles", &["\"admin\"", "null", "[1]", "{}", "[{\"value\":\"a\"}]"]),
        ("groups", &["\"g\"", "null", "[null]"]),
        ("entitlements", &["\"e\"", "7"]),
        ("act", &["\"a\"", "null", "[]", r#"{"sub":1}"#, r#"{"act":"x"}"#, r#"{"act":{"sub":null}}"#]),
        ("cnf", &["\"a\"", "null", r#"{"jkt":1}"#, r#"{"jkt":"AAAA"}"#, r#"{"x5t#S256":"!"}"#]),
        ("flr", &["\"1\"", "null", "1.5", "-1", "1e2", "18446744073709551616"]),
        (
            "status",
            &[
                "\"ok\"",
                "null",
                r#"{"status_list":1}"#,
                r#"{"status_list":{"idx":-1,"uri":"u"}}"#,
                r#"{"status_list":{"idx":0}}"#,
            ],
        ),
    ];
    for (claim, values) in wrong {
        for value in values {
            assert_eq!(
                claims_code(&format!(r#"{{"{claim}":{value}}}"#)),
                Code::ClaimsInvalid,
                "{claim}: {value}"
            );
        }
    }
}

#[test]
fn payloads_that_are_no_strict_object_are_refused() {
    for payload in [
        "",
        " ",
        "[]",
        "null",
        "7",
        "\"{}\"",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{,}",
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":+1}"#,
        r#"{"a":1e}"#,
        r#"{"a":NaN}"#,
        r#"{"a":-}"#,
        r#"{"a":0x1}"#,
        r#"{"a":tru}"#,
        r#"{"a":True}"#,
        r#"{"a":'x'}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"b":{"a":1,"a":2}}"#,
        r#"{"b":[{"a":1,"\u0061":2}]}"#,
        "{\"a\":1}\u{0}",
        "\u{feff}{}",
        "{}//",
        "/**/{}",
        "\u{a0}{}",
        "\u{b}{}",
        r#"{"é":1,"\u00e9":2}"#,
        r#"{"😀":1,"\ud83d\ude00":2}"#,
        r#"{"":1,"":2}"#,
        &deep(33),
        &wide(1025),
    ] {
        assert_eq!(claims_code(payload), Code::ClaimsInvalid, "{payload:.60}");
    }
}

#[test]
fn white_space_escapes_and_nesting_within_the_rules_are_read() {
    let signer = Signer::fixed("k1");
    for fine in [
        "{}",
        " {} ",
        "\t\r\n{ }\n",
        r#"{"a":-0.0e+10}"#,
        r#"{"a":"\ud83d\ude00\/"}"#,
        &deep(32),
        &wide(1024),
    ] {
        assert!(signer.undemanding().verify(signer.token(fine), NOW).is_ok(), "{fine:.60}");
    }
    let not_utf8 = signer.token(b"{\"a\":\"\xed\xa0\x80\"}");
    assert_eq!(code(&signer.undemanding(), &not_utf8), Code::ClaimsInvalid);
}

#[test]
fn names_hold_no_controls_and_change_no_direction() {
    for unfit in [
        "\\u0000", "\\n", "\\u001b", "\u{7f}", "\\u0085", "\u{202e}", "\\u202e", "\u{2066}", "\u{61c}",
        "\u{200f}", "\u{2028}",
    ] {
        for claim in ["iss", "sub", "jti", "client_id", "scope"] {
            assert_eq!(claims_code(&format!(r#"{{"{claim}":"a{unfit}b"}}"#)), Code::ClaimsInvalid);
        }
        for claim in ["aud", "roles", "groups", "entitlements"] {
            assert_eq!(claims_code(&format!(r#"{{"{claim}":["ok","a{unfit}b"]}}"#)), Code::ClaimsInvalid);
        }
        assert_eq!(claims_code(&format!(r#"{{"aud":"{unfit}"}}"#)), Code::ClaimsInvalid);
        assert_eq!(claims_code(&format!(r#"{{"act":{{"sub":"{unfit}"}}}}"#)), Code::ClaimsInvalid);
    }
    let signer = Signer::fixed("k1");
    let fine = signer.token(r#"{"sub":"Zoë 李 \u00e9\/😀","note":"\u0000\u202e"}"#);
    assert_eq!(signer.undemanding().verify(fine, NOW).unwrap().subject(), Some("Zoë 李 é/😀"));
}

fn deep(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

fn wide(members: usize) -> String {
    let members: Vec<_> = (0..members).map(|i| format!("\"{i}\":0")).collect();
    format!("{{{}}}", members.join(","))
}
