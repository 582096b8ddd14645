//! What a policy demands is demanded exactly, what it leaves out is not, and times are never rounded.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use farside_verify::{Algorithm, Code, KeySet, Policy, Verifier};
use support::*;

fn judge(policy: Policy, header_typ: &str, payload: &str, now: u64) -> Result<(), Code> {
    let signer = Signer::fixed("k1");
    let token = signer.sign(signer.header(header_typ), payload);
    match Verifier::new(signer.keys(), policy).verify(token, now) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.code()),
    }
}

fn at(policy: Policy, payload: &str, now: u64) -> Result<(), Code> {
    judge(policy, "JWT", payload, now)
}

#[test]
fn what_is_left_out_is_not_demanded() {
    assert_eq!(at(Policy::undemanding(), "{}", NOW), Ok(()));
    assert_eq!(at(Policy::undemanding(), r#"{"iss":"x","aud":"y"}"#, NOW), Ok(()));
}

#[test]
fn times_that_are_present_are_judged_even_where_nothing_is_demanded() {
    assert_eq!(at(Policy::undemanding(), r#"{"exp":100}"#, 99), Ok(()));
    assert_eq!(at(Policy::undemanding(), r#"{"exp":100}"#, 100), Err(Code::Expired));
    assert_eq!(at(Policy::undemanding(), r#"{"nbf":100}"#, 100), Ok(()));
    assert_eq!(at(Policy::undemanding(), r#"{"nbf":100}"#, 99), Err(Code::NotYetValid));
    assert_eq!(at(Policy::undemanding(), r#"{"iat":100}"#, 100), Ok(()));
    assert_eq!(at(Policy::undemanding(), r#"{"iat":100}"#, 99), Err(Code::IssuedInFuture));
    assert_eq!(at(Policy::undemanding(), r#"{"exp":-1}"#, 0), Err(Code::Expired));
    assert_eq!(at(Policy::undemanding(), r#"{"exp":253402300799}"#, NOW), Ok(()));
}

#[test]
fn leeway_moves_each_bound_by_itself_and_no_more() {
    let policy = || Policy::undemanding().leeway_seconds(60);
    assert_eq!(at(policy(), r#"{"exp":1000}"#, 1059), Ok(()));
    assert_eq!(at(policy(), r#"{"exp":1000}"#, 1060), Err(Code::Expired));
    assert_eq!(at(policy(), r#"{"nbf":1000}"#, 940), Ok(()));
    assert_eq!(at(policy(), r#"{"nbf":1000}"#, 939), Err(Code::NotYetValid));
    assert_eq!(at(policy(), r#"{"iat":1000}"#, 940), Ok(()));
    assert_eq!(at(policy(), r#"{"iat":1000}"#, 939), Err(Code::IssuedInFuture));
    let unbounded = Policy::undemanding().leeway_seconds(u64::MAX);
    assert_eq!(at(unbounded, r#"{"exp":1,"nbf":99,"iat":99}"#, u64::MAX), Ok(()));
}

#[test]
fn fractions_and_exponents_are_compared_exactly() {
    for (payload, now, verdict) in [
        (r#"{"exp":100.5}"#, 100, Ok(())),
        (r#"{"exp":100.000}"#, 100, Err(Code::Expired)),
        (r#"{"exp":1.005e2}"#, 100, Ok(())),
        (r#"{"exp":1005E-1}"#, 100, Ok(())),
        (r#"{"exp":10050000e-5}"#, 101, Err(Code::Expired)),
        (r#"{"exp":1e2}"#, 99, Ok(())),
        (r#"{"exp":1e2}"#, 100, Err(Code::Expired)),
        (r#"{"exp":0.1e3}"#, 99, Ok(())),
        (r#"{"exp":0.00001e7}"#, 100, Err(Code::Expired)),
        (r#"{"exp":100.0000000000000000000000000001}"#, 100, Ok(())),
        (r#"{"exp":99.9999999999999999999999999999}"#, 100, Err(Code::Expired)),
        (r#"{"nbf":100.5}"#, 100, Err(Code::NotYetValid)),
        (r#"{"nbf":100.5}"#, 101, Ok(())),
        (r#"{"nbf":100.0000000000000000000000000001}"#, 100, Err(Code::NotYetValid)),
        (r#"{"nbf":1e-999999999999999999999999}"#, 0, Err(Code::NotYetValid)),
        (r#"{"nbf":1e-999999999999999999999999}"#, 1, Ok(())),
        (r#"{"nbf":-0.5}"#, 0, Ok(())),
        (r#"{"iat":100.5}"#, 100, Err(Code::IssuedInFuture)),
        (r#"{"nbf":0e999999999999}"#, 0, Ok(())),
        (r#"{"exp":253402300799.5}"#, NOW, Ok(())),
        (r#"{"exp":253402300800}"#, NOW, Err(Code::ClaimsInvalid)),
        (r#"{"exp":1e400}"#, NOW, Err(Code::ClaimsInvalid)),
        (r#"{"exp":-1e400}"#, NOW, Err(Code::ClaimsInvalid)),
        (r#"{"exp":18446744073709551616}"#, NOW, Err(Code::ClaimsInvalid)),
        (r#"{"exp":9007199254740993}"#, NOW, Err(Code::ClaimsInvalid)),
    ] {
        assert_eq!(at(Policy::undemanding(), payload, now), verdict, "{payload} at {now}");
    }
}

#[test]
fn the_lifetime_is_capped_exactly_and_needs_both_ends() {
    let capped = || Policy::undemanding().lifetime_seconds_max(900);
    let live = |exp: &str, iat: &str| at(capped(), &format!(r#"{{"exp":{exp},"iat":{iat}}}"#), 1000);
    assert_eq!(live("1900", "1000"), Ok(()));
    assert_eq!(live("1901", "1000"), Err(Code::LifetimeTooLong));
    assert_eq!(live("1900.5", "1000"), Err(Code::LifetimeTooLong));
    assert_eq!(live("1899.5", "999.5"), Ok(()));
    assert_eq!(live("1899.6", "999.5"), Err(Code::LifetimeTooLong));
    assert_eq!(live("253402300799", "-62135596800"), Err(Code::LifetimeTooLong));
    assert_eq!(at(capped(), r#"{"exp":1001}"#, 1000), Err(Code::ClaimMissing));
    assert_eq!(at(capped(), r#"{"iat":1000}"#, 1000), Err(Code::ClaimMissing));
}

/// Whoever remembers a verified token asks it again, and hears what verifying it anew would say.
#[test]
fn what_is_remembered_is_judged_by_the_clock_as_if_it_were_new() {
    let signer = Signer::fixed("k1");
    let keys = || {
        let jwk = signer.jwk();
        let retiring = jwk.replacen('{', r#"{"accept_until":5000,"sign_from":100,"sign_until":4000,"#, 1);
        KeySet::from_jwks(format!(r#"{{"keys":[{retiring}]}}"#).as_bytes()).unwrap()
    };
    let payloads = [
        r#"{"iat":1000,"exp":3000}"#,
        r#"{"iat":1000.5,"exp":3000.5,"nbf":1500.000001}"#,
        r#"{"iat":1000}"#,
        r#"{"iat":1000,"exp":9000,"nbf":-5}"#,
        r#"{"iat":1e3,"exp":253402300799}"#,
    ];
    for policy in [Policy::undemanding(), Policy::undemanding().leeway_seconds(60)] {
        let verifier = Verifier::new(keys(), policy);
        for payload in payloads {
            let token = signer.sign(signer.header("JWT"), payload);
            let remembered = verifier.verify(&token, 2000).unwrap().identified();
            let edges = [1000, 1500, 2000, 3000, 4000, 5000, 9000].into_iter();
            let times = edges
                .flat_map(|at: u64| [-61, -60, -1, 0, 1, 59, 60, 61].map(|by| at.saturating_add_signed(by)));
            for now in times.chain([0, u64::MAX]) {
                let anew = verifier.verify(&token, now).map(drop);
                assert_eq!(remembered.still(now), anew, "{payload} at {now}");
            }
        }
    }
}

#[test]
fn issuer_and_audience_are_compared_to_the_byte() {
    let policy = || Policy::undemanding().issuer("https://a").audiences(["db", "web"]);
    assert_eq!(at(policy(), r#"{"iss":"https://a","aud":"db"}"#, NOW), Ok(()));
    assert_eq!(at(policy(), r#"{"iss":"https:\/\/a","aud":["x","w\u0065b"]}"#, NOW), Ok(()));
    for iss in ["https://a/", "https://A", "https://a ", "", "https://", "https://ab"] {
        let payload = format!(r#"{{"iss":"{iss}","aud":"db"}}"#);
        assert_eq!(at(policy(), &payload, NOW), Err(Code::IssuerMismatch), "{iss}");
    }
    for aud in [r#""d""#, r#""dbx""#, r#""DB""#, r#""db web""#, r#"["x"]"#, r#""""#] {
        let payload = format!(r#"{{"iss":"https://a","aud":{aud}}}"#);
        assert_eq!(at(policy(), &payload, NOW), Err(Code::AudienceMismatch), "{aud}");
    }
    assert_eq!(at(policy(), r#"{"aud":"db"}"#, NOW), Err(Code::ClaimMissing));
    assert_eq!(at(policy(), r#"{"iss":"https://a"}"#, NOW), Err(Code::ClaimMissing));
    assert_eq!(at(policy(), r#"{"iss":"https://a","aud":[]}"#, NOW), Err(Code::ClaimMissing));
    let nobody = Policy::undemanding().audiences(Vec::<String>::new());
    assert_eq!(at(nobody, r#"{"aud":"db"}"#, NOW), Err(Code::AudienceMismatch));
}

#[test]
fn types_are_compared_as_media_types() {
    let typ = |demanded: &str, found: &str| judge(Policy::undemanding().typ(demanded), found, "{}", NOW);
    for found in ["JWT", "jwt", "application/jwt", "APPLICATION/JWT"] {
        assert_eq!(typ("JWT", found), Ok(()), "{found}");
        assert_eq!(typ("application/jwt", found), Ok(()), "{found}");
    }
    for found in ["at+jwt", "", " JWT", "JWT;v=1", "text/jwt", "application/application/jwt", "application/"]
    {
        assert_eq!(typ("JWT", found), Err(Code::TypMismatch), "{found}");
    }
    let signer = Signer::fixed("k1");
    let untyped = signer.sign(r#"{"alg":"EdDSA","kid":"k1"}"#, "{}");
    let verifier = Verifier::new(signer.keys(), Policy::undemanding().typ("JWT"));
    assert_eq!(verifier.verify(untyped, NOW).unwrap_err().code(), Code::TypMismatch);
}

#[test]
fn access_tokens_are_complete_wherever_they_are_demanded() {
    let whole = access_claims();
    let policy = || Policy::undemanding().typ("at+jwt");
    assert_eq!(judge(policy(), "Application/AT+JWT", &whole, NOW), Ok(()));
    for claim in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
        let less = whole.replace(&format!("\"{claim}\""), "\"other\"");
        assert_eq!(judge(policy(), "at+jwt", &less, NOW), Err(Code::ClaimMissing), "{claim}");
        assert_eq!(judge(Policy::undemanding(), "at+jwt", &less, NOW), Ok(()), "{claim}");
    }
    let nameless = whole.replace("\"ada\"", "\"\"");
    assert_eq!(judge(policy(), "at+jwt", &nameless, NOW), Err(Code::ClaimMissing));
    // A site that also takes lean tokens demands completeness of access tokens only.
    let both = || Policy::undemanding().types(["at+jwt", "JWT"]);
    assert_eq!(judge(both(), "JWT", "{}", NOW), Ok(()));
    assert_eq!(judge(both(), "at+jwt", "{}", NOW), Err(Code::ClaimMissing));
}

#[test]
fn algorithms_outside_the_policy_are_not_allowed() {
    let only = |algorithm| Policy::undemanding().algorithms([algorithm]);
    assert_eq!(at(only(Algorithm::EdDsa), "{}", NOW), Ok(()));
    assert_eq!(at(only(Algorithm::Ed25519), "{}", NOW), Err(Code::AlgNotAllowed));
    assert_eq!(at(only(Algorithm::Es256), "{}", NOW), Err(Code::AlgNotAllowed));
    let unknown = Policy::undemanding().algorithm_names(["HS256", "none"]);
    assert_eq!(at(unknown, "{}", NOW), Err(Code::AlgNotAllowed));
}

#[test]
fn a_bad_signature_is_named_before_anything_in_the_claims() {
    let signer = Signer::fixed("k1");
    let token = signer.token(r#"{"exp":1,"exp":"#); // neither JSON nor in time
    let forged = format!("{}A", &token[..token.len() - 1]);
    let refusal = Verifier::new(signer.keys(), access_policy()).verify(forged, NOW).unwrap_err();
    assert_eq!(refusal.code(), Code::SignatureInvalid);
}

#[test]
fn a_keys_calendar_bounds_issue_and_acceptance() {
    let signer = Signer::fixed("k1");
    let verdict = |payload: &str, now: u64| {
        let calendar = r#""sign_from":1000,"sign_until":2000,"accept_until":3000"#;
        let jwk = format!(r#"{{{},"kid":"k1","alg":"EdDSA",{calendar}}}"#, signer.public_members());
        let keys = KeySet::from_jwks(jwks(&[jwk]).as_bytes()).unwrap();
        let verifier = Verifier::new(keys, Policy::undemanding().leeway_seconds(10));
        verifier.verify(signer.token(payload), now).map(|_| ()).map_err(|refusal| refusal.code())
    };
    assert_eq!(verdict(r#"{"iat":1000}"#, 1500), Ok(()));
    assert_eq!(verdict(r#"{"iat":990}"#, 1500), Ok(()));
    assert_eq!(verdict(r#"{"iat":989.5}"#, 1500), Err(Code::KeyRetired));
    assert_eq!(verdict(r#"{"iat":2010}"#, 2500), Ok(()));
    assert_eq!(verdict(r#"{"iat":2010.5}"#, 2500), Err(Code::KeyRetired));
    assert_eq!(verdict(r#"{"iat":1500}"#, 3000), Ok(()));
    assert_eq!(verdict(r#"{"iat":1500}"#, 3001), Err(Code::KeyRetired));
    assert_eq!(verdict("{}", 1500), Err(Code::ClaimMissing));
}

#[test]
fn the_signature_alone_is_checked_over_any_payload() {
    for signer in every_signer() {
        let verifier = signer.undemanding();
        for payload in [b"".as_slice(), b"\xff\x00", b"{\"exp\":1}", b"It's a dangerous business"] {
            let verified = verifier.verify_jws(signer.token(payload)).unwrap();
            assert_eq!(&**verified, payload);
        }
        let mut token = signer.token("x").into_bytes();
        let last = token.len() - 3;
        token[last] = if token[last] == b'A' { b'B' } else { b'A' };
        assert_eq!(verifier.verify_jws(&token).unwrap_err().code(), Code::SignatureInvalid);
    }
}

#[test]
fn refusals_never_repeat_what_the_token_says() {
    let signer = Signer::fixed("k1");
    let verifier = Verifier::new(signer.keys(), access_policy());
    let canary = "canary-7f3a";
    for (header, payload) in [
        (format!(r#"{{"alg":"{canary}"}}"#), "{}".to_owned()),
        (format!(r#"{{"alg":"EdDSA","kid":"k1","typ":"{canary}"}}"#), "{}".to_owned()),
        (signer.header("at+jwt"), access_claims().replace("gate.example", canary)),
        (signer.header("at+jwt"), access_claims().replace("\"db\"", &format!("\"{canary}\""))),
        (signer.header("at+jwt"), format!(r#"{{"sub":"{canary}","sub":1}}"#)),
        (signer.header("at+jwt"), format!(r#"{{"{canary}":1,"{canary}":1}}"#)),
    ] {
        let refusal = verifier.verify(signer.sign(header, payload), NOW).unwrap_err();
        let shown = format!("{refusal} {refusal:?} {} {}", refusal.detail(), refusal.cure());
        assert!(!shown.contains(canary), "{shown}");
    }
    let verified = signer.undemanding().verify(signer.token(access_claims()), NOW).unwrap();
    assert!(!format!("{verified:?} {:?}", *verified).contains("ada"));
}
