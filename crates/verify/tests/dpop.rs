//! DPoP proofs: what holds, and every way of not holding.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod support;

use farside_verify::dpop::{self, Demand, PROOF_AGE_SECONDS_MAX, PROOF_ID_BYTES_MAX, Proof};
use farside_verify::encode::base64url;
use farside_verify::uri::HttpUri;
use farside_verify::{Algorithm, Code, Refusal, thumbprint};
use support::{NOW, Signer, every_signer};

const LEEWAY: u64 = 60;
const TOKEN: &str = "a.b.c";
const URI: &str = "https://wiki.example/page";

/// SHA-256 of the token, as `ath` has it.
fn token_hash() -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, TOKEN.as_bytes());
    base64url(hash)
}

fn header(signer: &Signer) -> String {
    let (alg, members) = (signer.algorithm, signer.public_members());
    let named = if matches!(signer.pair, support::Pair::MlDsa(_)) {
        format!(r#","alg":"{alg}""#)
    } else {
        String::new()
    };
    format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{{{members}{named}}}}}"#)
}

fn payload() -> String {
    format!(r#"{{"jti":"p-1","htm":"GET","htu":"{URI}","iat":{NOW},"ath":"{}"}}"#, token_hash())
}

fn verify_for(method: &str, uri: &str, proof: &str, now: u64) -> Result<Proof, Refusal> {
    let uri = HttpUri::read(uri);
    let demand = Demand { method, uri: uri.as_ref(), token: Some(TOKEN), leeway_seconds: LEEWAY };
    dpop::verify(proof, &demand, now)
}

fn verify(proof: &str) -> Result<Proof, Refusal> {
    verify_for("GET", URI, proof, NOW)
}

fn refused(what: &str, outcome: Result<Proof, Refusal>) {
    assert_eq!(outcome.err().map(|refusal| refusal.code()), Some(Code::HolderProofInvalid), "{what}");
}

#[test]
fn a_proof_of_every_algorithm_holds_and_says_whose_it_is() {
    for signer in every_signer() {
        let proof = verify(&signer.sign(header(&signer), payload())).unwrap();
        assert_eq!(proof.thumbprint(), &thumbprint(signer.jwk().as_bytes()).unwrap(), "{}", signer.algorithm);
        assert_eq!((proof.id(), proof.issued_at()), ("p-1", NOW));
    }
}

/// RFC 9449 §4.1 and §7.1: their key, token and thumbprint.
#[test]
fn the_proofs_of_the_rfc_hold() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/dpop");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
    let uri = HttpUri::read("https://server.example.com/token");
    let demand = Demand { method: "POST", uri: uri.as_ref(), token: None, leeway_seconds: 0 };
    let asked = dpop::verify(&read("rfc9449-4.1.txt"), &demand, 1_562_262_616).unwrap();

    let uri = HttpUri::read("https://resource.example.org/protectedresource");
    let token = Some("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    let demand = Demand { method: "GET", uri: uri.as_ref(), token, leeway_seconds: 0 };
    let shown = dpop::verify(&read("rfc9449-7.1.txt"), &demand, 1_562_262_618).unwrap();
    assert_eq!(base64url(shown.thumbprint()), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(asked.thumbprint(), shown.thumbprint());
}

#[test]
fn a_header_that_is_not_a_proofs_is_refused() {
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let (good, members) = (header(&signer), signer.public_members());
    assert!(verify(&signer.sign(&good, payload())).is_ok());
    let jwk = format!("{{{members}}}");
    for (what, from, to) in [
        ("no typ", r#""typ":"dpop+jwt","#, ""),
        ("a token's typ", "dpop+jwt", "at+jwt"),
        ("typ with a parameter", "dpop+jwt", "dpop+jwt;v=1"),
        ("typ that is a number", r#""dpop+jwt""#, "1"),
        ("no alg", r#""alg":"ES256","#, ""),
        ("alg none", "ES256", "none"),
        ("a symmetric alg", "ES256", "HS256"),
        ("another alg", "ES256", "ES384"),
        ("no jwk", jwk.as_str(), "{}"),
        ("jwk that is a string", jwk.as_str(), r#""key""#),
        ("a symmetric key", jwk.as_str(), r#"{"kty":"oct","k":"AAAA"}"#),
        ("a private key", r#""kty":"EC""#, r#""kty":"EC","d":"AAAA""#),
        ("a key with a shared secret in it", r#""kty":"EC""#, r#""kty":"EC","k":"AAAA""#),
        ("a key to encrypt to", r#""kty":"EC""#, r#""kty":"EC","use":"enc""#),
        ("a key of a workload's", r#""kty":"EC""#, r#""kty":"EC","use":"jwt-svid""#),
        ("a key that may only sign", r#""kty":"EC""#, r#""kty":"EC","key_ops":["sign"]"#),
        ("a key for another alg", r#""kty":"EC""#, r#""kty":"EC","alg":"ES384""#),
        ("a key twice", r#""alg":"ES256""#, &format!(r#""alg":"ES256","jwk":{jwk}"#)),
        ("crit", r#""alg":"ES256""#, r#""alg":"ES256","crit":["b64"]"#),
        ("a point off its curve", r#""y":""#, r#""y":"A"#),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{what}");
        refused(what, verify(&signer.sign(bad, payload())));
    }
    // What WebCrypto exports, and a key's own name, are no fault; nor are ways to a key that nobody follows.
    for more in [r#""ext":true,"key_ops":["verify"]"#, r#""kid":"mine","use":"sig""#] {
        let fine = good.replacen(r#""kty":"EC""#, &format!(r#""kty":"EC",{more}"#), 1);
        assert!(verify(&signer.sign(fine, payload())).is_ok(), "{more}");
    }
    let pointed = good.replacen(r#""alg""#, r#""jku":"https://evil.example","kid":"x","alg""#, 1);
    assert!(verify(&signer.sign(pointed, payload())).is_ok());
    assert!(verify(&signer.sign(good.replacen("dpop+jwt", "Application/DPoP+JWT", 1), payload())).is_ok());
}

#[test]
fn a_weak_rsa_key_and_a_key_of_small_order_are_refused() {
    let rsa = Signer::generate(Algorithm::Ps256, "k1");
    let (good, members) = (header(&rsa), rsa.public_members());
    let even = members.replacen(r#""e":"AQAB""#, r#""e":"AQ""#, 1);
    assert_ne!(even, members);
    refused("an exponent of one", verify(&rsa.sign(good.replacen(&members, &even, 1), payload())));
    let edwards = Signer::fixed("k1");
    let small = format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64url([0; 32]));
    let bad = header(&edwards).replacen(&edwards.public_members(), &small, 1);
    refused("a point of small order", verify(&edwards.sign(bad, payload())));
}

#[test]
fn only_the_key_in_the_proof_can_have_made_it() {
    let (signer, other) =
        (Signer::generate(Algorithm::Es256, "k1"), Signer::generate(Algorithm::Es256, "k2"));
    refused("another key", verify(&other.sign(header(&signer), payload())));
    let good = signer.sign(header(&signer), payload());
    refused("cut short", verify(&good[..good.len() - 4]));
    refused("padded", verify(&format!("{good}=")));
    refused("a space behind", verify(&format!("{good} ")));
    refused("two proofs", verify(&format!("{good},{good}")));
    refused("nothing", verify(""));
    refused("too long", verify(&"a".repeat(16 * 1024 + 1)));
}

#[test]
fn a_proof_without_what_it_must_say_is_refused() {
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let hash = token_hash();
    let members = [
        ("jti", r#""p-1""#.to_owned()),
        ("htm", r#""GET""#.to_owned()),
        ("htu", format!(r#""{URI}""#)),
        ("iat", NOW.to_string()),
        ("ath", format!(r#""{hash}""#)),
    ];
    let with = |name: &str, value: Option<&str>| {
        let pairs = members.iter().filter_map(|(known, own)| {
            let value = if *known == name { value? } else { own };
            Some(format!(r#""{known}":{value}"#))
        });
        let payload = format!("{{{}}}", pairs.collect::<Vec<_>>().join(","));
        verify(&signer.sign(header(&signer), payload))
    };
    assert!(with("", None).is_ok());
    for (name, own) in &members {
        refused(name, with(name, None));
        for value in ["null", "true", "[]", "{}", r#""""#, r#""x""#, "1e400"] {
            if (*name, value) != ("jti", r#""x""#) {
                refused(&format!("{name} {value}"), with(name, Some(value)));
            }
        }
        refused("twice", with(name, Some(&format!(r#"{own},"{name}":{own}"#))));
    }
    let long = format!(r#""{}""#, "j".repeat(PROOF_ID_BYTES_MAX));
    assert!(with("jti", Some(&long)).is_ok());
    refused("a longer jti", with("jti", Some(&long.replacen('j', "jj", 1))));
    refused("another token's hash", with("ath", Some(&format!(r#""{}""#, base64url([0; 32])))));
    refused("a padded hash", with("ath", Some(&format!(r#""{hash}=""#))));
    for method in ["get", "POST", "GET ", "GET,POST"] {
        refused(method, with("htm", Some(&format!(r#""{method}""#))));
    }
}

#[test]
fn the_address_is_compared_as_an_address() {
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let named = |htu: &str| {
        let payload = payload().replacen(URI, htu, 1);
        verify(&signer.sign(header(&signer), payload))
    };
    for same in [
        "HTTPS://WIKI.example/page",
        "https://wiki.example:443/page",
        "https://wiki.example/%70age",
        "https://wiki.example/a/../page",
        "https://wiki.example/page?a=1#top",
        r"https:\/\/wiki.example\/page",
    ] {
        assert!(named(same).is_ok(), "{same}");
    }
    for other in [
        "http://wiki.example/page",
        "https://wiki.example:8443/page",
        "https://wiki.example/page/",
        "https://wiki.example/Page",
        "https://wiki.example//page",
        "https://other.example/page",
        "https://wiki.example.evil/page",
        "https://wiki.example@evil/page",
        "https://anna@wiki.example/page",
        "//wiki.example/page",
        "/page",
        "",
    ] {
        refused(other, named(other));
    }
    let good = signer.sign(header(&signer), payload());
    let demand = Demand { method: "GET", uri: None, token: Some(TOKEN), leeway_seconds: LEEWAY };
    refused("a request without address", dpop::verify(&good, &demand, NOW));
    let nowhere = signer.sign(header(&signer), payload().replacen(URI, "nowhere", 1));
    refused("two that cannot be read are not the same", dpop::verify(&nowhere, &demand, NOW));
}

#[test]
fn a_proof_is_for_now() {
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let good = signer.sign(header(&signer), payload());
    let oldest = NOW + PROOF_AGE_SECONDS_MAX + LEEWAY;
    assert!(verify_for("GET", URI, &good, oldest).is_ok());
    refused("too old", verify_for("GET", URI, &good, oldest + 1));
    assert!(verify_for("GET", URI, &good, NOW - LEEWAY).is_ok());
    refused("from the future", verify_for("GET", URI, &good, NOW - LEEWAY - 1));
    let also = |more: String| {
        verify(&signer.sign(header(&signer), payload().replacen('{', &format!("{{{more},"), 1)))
    };
    assert!(also(format!(r#""exp":{},"nbf":{NOW}"#, NOW + 30)).is_ok());
    refused("ended by its own word", also(format!(r#""exp":{}"#, NOW - LEEWAY)));
    refused("not begun by its own word", also(format!(r#""nbf":{}"#, NOW + LEEWAY + 1)));
    let part = payload().replacen(&format!(r#""iat":{NOW}"#), &format!(r#""iat":{}.5"#, NOW + LEEWAY), 1);
    refused("half a second too early", verify(&signer.sign(header(&signer), part)));
}
