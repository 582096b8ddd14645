//! npm `jose` and we judge the same tokens. Where the two differ, the test says who is right, by RFC section.

#[path = "../../crates/verify/tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use farside_verify::{Algorithm, Code, KeySet, Policy, Verifier};
use serde_json::{Value, json};
use support::{NOW, Signer, jwks};

/// What `jose` on Node 20 and we both know.
const SHARED: [&str; 11] =
    ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// A running `judge.mjs`; ended when dropped.
struct Jose {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Jose {
    /// `None`, with the reason on stderr, where the package is not installed.
    fn start() -> Option<Jose> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/jose");
        if !folder.join("node_modules/jose").is_dir() {
            eprintln!("skipped: npm `jose` is not installed; `cargo xtask test` runs `npm ci` in {folder:?}");
            return None;
        }
        let mut child = Command::new("node")
            .arg("judge.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a piped stdout"));
        Some(Jose { child, requests, answers })
    }

    fn ask(&mut self, request: &Value) -> Value {
        let requests = self.requests.as_mut().expect("open until dropped");
        writeln!(requests, "{request}").expect("node reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("node answers");
        serde_json::from_str(&answer).expect("a JSON answer")
    }

    fn accepts(&mut self, token: &str, jwks: &str, options: &Value) -> bool {
        let jwks: Value = serde_json::from_str(jwks).expect("a JSON key set");
        let request = json!({ "op": "verify", "token": token, "jwks": jwks, "options": options });
        self.ask(&request)["accept"].as_bool().expect("a verdict")
    }
}

impl Drop for Jose {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

fn ours(jwks: &str, policy: Policy, token: &str) -> Result<(), Code> {
    let keys = KeySet::from_jwks(jwks.as_bytes()).map_err(|_| Code::KeysInvalid)?;
    Verifier::new(keys, policy).verify(token, NOW).map(|_| ()).map_err(|refusal| refusal.code())
}

#[test]
fn what_jose_signs_we_believe_with_the_same_claims() {
    let Some(mut jose) = Jose::start() else { return };
    let claims = json!({ "iss": "https://a", "sub": "Zoë \u{1F600} \"q\" \\ /", "aud": ["x", "db"],
        "exp": NOW + 900, "iat": NOW, "roles": ["operator"], "nested": { "deep": [1, 2.5, null, true] } });
    for alg in SHARED {
        let header = json!({ "typ": "JWT" });
        let request = json!({ "op": "sign", "alg": alg, "kid": "k1", "claims": claims, "header": header });
        let answer = jose.ask(&request);
        let keys = jwks(&[answer["jwk"].to_string()]);
        let verifier = Verifier::new(
            KeySet::from_jwks(keys.as_bytes()).expect("jose's key sets"),
            Policy::undemanding().issuer("https://a").audiences(["db"]).typ("JWT"),
        );
        let token = answer["token"].as_str().expect("a token");
        let verified = verifier.verify(token, NOW).unwrap_or_else(|refusal| panic!("{alg}: {refusal}"));
        let read: Value = serde_json::from_str(verified.json()).expect("JSON");
        assert_eq!((verified.algorithm().name(), read), (alg, claims.clone()));
    }
}

#[test]
fn what_we_sign_jose_believes() {
    let Some(mut jose) = Jose::start() else { return };
    for alg in SHARED {
        let signer = Signer::generate(Algorithm::from_name(alg).expect("a shared name"), "k1");
        let token = signer.token(support::access_claims());
        let options = json!({ "issuer": support::ISSUER, "audience": support::AUDIENCE, "typ": "at+jwt" });
        assert!(jose.accepts(&token, &signer.jwks(), &options), "{alg}");
        assert_eq!(ours(&signer.jwks(), support::access_policy(), &token), Ok(()), "{alg}");
    }
}

#[test]
fn changed_tokens_are_refused_by_both() {
    let Some(mut jose) = Jose::start() else { return };
    for alg in ["ES256", "Ed25519", "RS256"] {
        let signer = Signer::generate(Algorithm::from_name(alg).expect("a shared name"), "k1");
        let token = signer.token(support::access_claims());
        // Not the very last character: its unused bits are a case of their own, below.
        for at in (0..token.len() - 1).step_by(9) {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            let (we, they) = (
                ours(&signer.jwks(), Policy::undemanding(), &changed),
                jose.accepts(&changed, &signer.jwks(), &json!({})),
            );
            assert!(we.is_err() && !they, "{alg} byte {at}: {we:?}, jose {they}");
        }
    }
}

/// A payload, whether jose accepts it, what we say, and why.
struct Difference {
    header: &'static str,
    payload: &'static str,
    jose: bool,
    ours: Result<(), Code>,
    reason: &'static str,
}

const PLAIN: &str = r#"{"alg":"EdDSA","kid":"k1"}"#;

const JUDGED: &[Difference] = &[
    alike(PLAIN, r#"{"exp":1800000001}"#, Ok(())),
    alike(PLAIN, r#"{"exp":1800000000}"#, Err(Code::Expired)),
    alike(PLAIN, r#"{"nbf":1800000000}"#, Ok(())),
    alike(PLAIN, r#"{"nbf":1800000001}"#, Err(Code::NotYetValid)),
    alike(PLAIN, r#"{"exp":"1800000001"}"#, Err(Code::ClaimsInvalid)),
    alike(PLAIN, r#"{"exp":null}"#, Err(Code::ClaimsInvalid)),
    alike(PLAIN, r#"{"nbf":true}"#, Err(Code::ClaimsInvalid)),
    alike(PLAIN, "[]", Err(Code::ClaimsInvalid)),
    alike(PLAIN, r#"{"sub":"a",}"#, Err(Code::ClaimsInvalid)),
    alike(PLAIN, "", Err(Code::ClaimsInvalid)),
    alike(r#"{"alg":"EdDSA","kid":"k1","crit":["x"],"x":1}"#, "{}", Err(Code::CritUnsupported)),
    alike(r#"{"alg":"EdDSA","kid":"k1","crit":[]}"#, "{}", Err(Code::CritUnsupported)),
    alike(r#"{"alg":"EdDSA","kid":"other"}"#, "{}", Err(Code::KeyUnknown)),
    alike(r#"{"alg":"ES256","kid":"k1"}"#, "{}", Err(Code::AlgMismatch)),
    alike(r#"{"alg":"Ed25519","kid":"k1"}"#, "{}", Err(Code::AlgMismatch)),
    alike(r#"{"alg":"none"}"#, "{}", Err(Code::AlgNotAllowed)),
    alike(r#"{"alg":1,"kid":"k1"}"#, "{}", Err(Code::HeaderInvalid)),
    stricter(PLAIN, r#"{"sub":"a","sub":"b"}"#, Code::ClaimsInvalid, "RFC 7519 §4: refuse, or take the last"),
    stricter(PLAIN, r#"{"a":{"b":1,"\u0062":2}}"#, Code::ClaimsInvalid, "RFC 8259 §4: readers differ"),
    stricter(PLAIN, r#"{"a":"\ud800"}"#, Code::ClaimsInvalid, "RFC 8259 §8.2: unpredictable"),
    stricter(PLAIN, r#"{"iat":1800000100}"#, Code::IssuedInFuture, "RFC 7519 §4.1.6: the verifier's choice"),
    stricter(PLAIN, r#"{"iss":7}"#, Code::ClaimsInvalid, "RFC 7519 §4.1.1: a string, demanded or not"),
    stricter(PLAIN, r#"{"sub":null}"#, Code::ClaimsInvalid, "RFC 7519 §4.1.2: a string"),
    stricter(PLAIN, r#"{"aud":{}}"#, Code::ClaimsInvalid, "RFC 7519 §4.1.3: strings"),
    stricter(PLAIN, r#"{"jti":1}"#, Code::ClaimsInvalid, "RFC 7519 §4.1.7: a string"),
    stricter(PLAIN, r#"{"exp":1e300}"#, Code::ClaimsInvalid, "RFC 7519 §2: seconds that no date has"),
    stricter(r#"{"alg":"EdDSA","kid":"k1","typ":7}"#, "{}", Code::HeaderInvalid, "RFC 7515 §4.1.9: a string"),
    stricter(r#"{"alg":"EdDSA","alg":"EdDSA","kid":"k1"}"#, "{}", Code::HeaderInvalid, "RFC 7515 §4: unique"),
];

const fn alike(header: &'static str, payload: &'static str, ours: Result<(), Code>) -> Difference {
    Difference { header, payload, jose: ours.is_ok(), ours, reason: "both" }
}

const fn stricter(
    header: &'static str,
    payload: &'static str,
    code: Code,
    reason: &'static str,
) -> Difference {
    Difference { header, payload, jose: true, ours: Err(code), reason }
}

#[test]
fn verdicts_agree_or_ours_is_the_one_the_rfc_asks_for() {
    let Some(mut jose) = Jose::start() else { return };
    let signer = Signer::fixed("k1");
    for case in JUDGED {
        let token = signer.sign(case.header, case.payload);
        let (we, they) = (
            ours(&signer.jwks(), Policy::undemanding(), &token),
            jose.accepts(&token, &signer.jwks(), &json!({})),
        );
        assert_eq!((we, they), (case.ours, case.jose), "{} {}: {}", case.header, case.payload, case.reason);
    }
}

#[test]
fn second_spellings_divide_us_and_the_rfc_is_ours() {
    let Some(mut jose) = Jose::start() else { return };
    let signer = Signer::generate(Algorithm::Es256, "k1");
    let token = signer.token("{}");
    let last = token.chars().last().expect("a signature");
    let sibling = char::from(last as u8 + 1);
    let respelled = format!("{}{sibling}", &token[..token.len() - 1]);
    // RFC 4648 §3.5: pad bits are zero, decoders may refuse. Node's decoder takes both spellings, so a
    // revocation by token text would miss the second; we refuse it (RFC 7515 §2 knows one encoding).
    assert!(jose.accepts(&respelled, &signer.jwks(), &json!({})));
    assert_eq!(ours(&signer.jwks(), Policy::undemanding(), &respelled), Err(Code::Malformed));
}

#[test]
fn a_key_without_alg_divides_us_and_bcp_225_is_ours() {
    let Some(mut jose) = Jose::start() else { return };
    let signer = Signer::generate(Algorithm::Rs256, "k1");
    let keys = jwks(&[format!(r#"{{{},"kid":"k1"}}"#, signer.public_members())]);
    let token = signer.token("{}");
    // RFC 8725 §3.1: each key is used with exactly one algorithm, which the header must not choose.
    assert!(jose.accepts(&token, &keys, &json!({})));
    assert_eq!(ours(&keys, Policy::undemanding(), &token), Err(Code::KeyUnusable));
}
