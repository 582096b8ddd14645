//! The same tokens to `jsonwebtoken` and to us. Where the two differ, the test says who is right.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use farside_verify::{Algorithm, Code, Policy, Verifier};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::Signer;

/// What both know.
const SHARED: [Algorithm; 9] = [
    Algorithm::EdDsa,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

static SIGNERS: LazyLock<Vec<Signer>> =
    LazyLock::new(|| SHARED.iter().map(|&algorithm| Signer::generate(algorithm, "k1")).collect());

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn their_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.name().parse().unwrap()
}

/// The other library's verdict with the same demands as [`our_policy`].
fn theirs(signer: &Signer, token: &str) -> Result<Value, jsonwebtoken::errors::Error> {
    let jwk: Jwk = serde_json::from_str(&signer.jwk()).unwrap();
    let mut validation = Validation::new(their_algorithm(signer.algorithm));
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.required_spec_claims.clear();
    validation.set_audience(&["db"]);
    validation.set_issuer(&["https://a"]);
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).map(|data| data.claims)
}

fn our_policy() -> Policy {
    Policy::undemanding().issuer("https://a").audiences(["db"])
}

fn ours(signer: &Signer, token: &str) -> Result<String, Code> {
    let verdict = Verifier::new(signer.keys(), our_policy()).verify(token, now());
    verdict.map(|verified| verified.json().to_owned()).map_err(|refusal| refusal.code())
}

/// Times well apart from now, since the other library reads the clock itself.
fn time() -> impl Strategy<Value = Option<Value>> {
    let whole = prop_oneof![-100_000_i64..-100, 100_i64..100_000];
    let seconds = whole.prop_map(|offset| i64::try_from(now()).unwrap() + offset);
    let number =
        prop_oneof![seconds.clone().prop_map(|at| json!(at)), seconds.prop_map(|at| json!(at as f64 + 0.5)),];
    prop::option::weighted(0.7, number)
}

fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let issuer = prop::option::weighted(0.9, prop_oneof![3 => Just("https://a"), 1 => Just("https://b")]);
    let audience = prop::option::weighted(
        0.9,
        prop_oneof![Just(json!("db")), Just(json!(["x", "db"])), Just(json!("x")), Just(json!(["x"]))],
    );
    let subject = prop::option::of("[ -~é漢]{0,20}");
    (issuer, audience, subject, time(), time(), time()).prop_map(|(iss, aud, sub, exp, nbf, iat)| {
        let members = [
            ("iss", iss.map(Value::from)),
            ("aud", aud),
            ("sub", sub.map(Value::from)),
            ("exp", exp),
            ("nbf", nbf),
            ("iat", iat),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_typed_claims_are_judged_alike(claims in claims(), which in 0..SHARED.len()) {
        let signer = &SIGNERS[which];
        let payload = serde_json::to_string(&claims).unwrap();
        let token = signer.token(&payload);
        match (ours(signer, &token), theirs(signer, &token)) {
            (Ok(json), Ok(value)) => {
                prop_assert_eq!(&json, &payload);
                prop_assert_eq!(value, Value::Object(claims));
            }
            (Err(_), Err(_)) => (),
            // RFC 7519 §4.1.6 leaves `iat` to the verifier; token.md §6.5 judges it. We are stricter.
            (Err(Code::IssuedInFuture), Ok(_)) => (),
            // Absent `iss` and `aud`: demanded here (RFC 8725 §3.8, §3.9); there only what is required
            // by name is. We are right to refuse: the demand was made.
            (Err(Code::ClaimMissing), Ok(_)) => {
                prop_assert!(!claims.contains_key("iss") || !claims.contains_key("aud"));
            }
            (ours, theirs) => prop_assert!(false, "{:?} but {:?}: {}", ours, theirs.is_ok(), payload),
        }
    }

    #[test]
    fn a_mutated_token_is_refused_by_us_whatever_they_say(
        which in 0..SHARED.len(),
        at in any::<prop::sample::Index>(),
        mutation in 0..5_u8,
        byte in prop::sample::select(b"Aw_-=.+/ \n\x00z".to_vec()),
    ) {
        let signer = &SIGNERS[which];
        let token = signer.token(r#"{"iss":"https://a","aud":"db"}"#);
        let at = at.index(token.len());
        let mut bytes = token.clone().into_bytes();
        match mutation {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => { bytes.remove(at); }
            3 => bytes.truncate(at),
            _ => bytes.swap(at, (at + 7) % token.len()),
        }
        let mutated = String::from_utf8(bytes).unwrap();
        prop_assert!(ours(signer, &token).is_ok() && theirs(signer, &token).is_ok());
        if mutated != token {
            prop_assert!(ours(signer, &mutated).is_err(), "{}", mutated);
        }
    }

    #[test]
    fn wrong_types_are_refused_by_us_even_where_they_are_not_by_them(
        claim in prop::sample::select(vec!["exp", "nbf", "iat", "iss", "sub", "aud", "jti"]),
        value in prop::sample::select(vec!["null", "true", "{}", "[1]", "[[]]", "\"1\"", "7"]),
    ) {
        let texts = ["iss", "sub", "aud", "jti"];
        let right = if texts.contains(&claim) { value == "\"1\"" } else { value == "7" };
        prop_assume!(!right);
        let signer = &SIGNERS[0];
        let token = signer.token(format!(r#"{{"{claim}":{value}}}"#));
        // RFC 7519 §4.1 gives each claim one type. The other library reads `null` as absent and does not
        // look at `iat` and `jti`; we are right.
        prop_assert_eq!(ours(signer, &token), Err(Code::ClaimsInvalid));
    }
}

#[test]
fn what_they_sign_we_believe() {
    for signer in SIGNERS.iter() {
        let key = match signer.algorithm.name().as_bytes() {
            [b'E', b'S', ..] => EncodingKey::from_ec_der(&signer.pkcs8()),
            [b'E', b'd', ..] => EncodingKey::from_ed_der(&signer.pkcs8()),
            _ => EncodingKey::from_rsa_der(&signer.pkcs1()),
        };
        let mut header = Header::new(their_algorithm(signer.algorithm));
        header.kid = Some("k1".to_owned());
        let claims = json!({ "iss": "https://a", "aud": ["db"], "exp": now() + 900, "iat": now() });
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let verified = Verifier::new(signer.keys(), our_policy().typ("JWT")).verify(token, now()).unwrap();
        assert_eq!(verified.expires_at(), claims["exp"].as_u64());
    }
}

#[test]
fn members_named_twice_divide_us_and_the_stricter_reading_is_allowed() {
    let signer = &SIGNERS[0];
    let token = signer.token(r#"{"iss":"https://a","aud":"db","roles":["a"],"roles":["root"]}"#);
    // RFC 7519 §4: refuse, or take the last. The other library takes the last; a gate and an application
    // behind it that read the token differently are the danger, so we refuse.
    assert_eq!(theirs(signer, &token).unwrap()["roles"], json!(["root"]));
    assert_eq!(ours(signer, &token), Err(Code::ClaimsInvalid));
}

#[test]
fn critical_extensions_divide_us_and_the_rfc_is_ours() {
    let signer = &SIGNERS[0];
    let header = r#"{"alg":"EdDSA","kid":"k1","crit":["urn:example"],"urn:example":1}"#;
    let token = signer.sign(header, r#"{"iss":"https://a","aud":"db"}"#);
    // RFC 7515 §4.1.11: "the JWS is invalid" where an extension is not understood.
    assert_eq!(ours(signer, &token), Err(Code::CritUnsupported));
}

#[test]
fn the_second_of_expiry_divides_us_and_the_rfc_is_ours() {
    let signer = &SIGNERS[0];
    let at = now();
    let token = signer.token(format!(r#"{{"iss":"https://a","aud":"db","exp":{at}}}"#));
    // RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted".
    let verdict = Verifier::new(signer.keys(), our_policy()).verify(token, at);
    assert_eq!(verdict.unwrap_err().code(), Code::Expired);
}
