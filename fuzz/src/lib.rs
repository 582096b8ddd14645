//! What the fuzz targets try, and what must hold for every input. The corpus is replayed through these
//! same functions by `crates/verify/tests/corpus.rs` on a stable compiler.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use farside_verify::encode::{base64url, base64url_decode};
use farside_verify::uri::{Authority, HttpUri};
use farside_verify::{Code, KeySet, Policy, Verifier, dpop};
use serde_json::value::RawValue;

const NOW: u64 = 1_800_000_000;

static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed of 32 bytes"));

/// Two keys that the fuzzer cannot sign with, and one that the targets sign with.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let jwks = format!(
        r#"{{"keys":[{},{{"kty":"OKP","crv":"Ed25519","kid":"k1","alg":"EdDSA","x":"{}"}}]}}"#,
        r#"{"kty":"EC","crv":"P-256","kid":"p","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#, // RFC 7517 §A.1
        base64url(PAIR.public_key())
    );
    Verifier::new(KeySet::from_jwks(jwks.as_bytes()).expect("a good key set"), Policy::undemanding())
});

fn sign(header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    let signature = base64url(PAIR.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// Whether another reader takes these bytes as JSON too. It takes members named twice, so only one
/// direction holds: what we take, it takes.
fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

/// Any bytes as the header of a well-signed token.
pub fn header(data: &[u8]) {
    let token = sign(data, b"{}");
    if VERIFIER.verify(&token, NOW).is_ok() {
        let text = std::str::from_utf8(data).expect("accepted headers are UTF-8");
        assert!(is_json(data) && text.contains("EdDSA") | text.contains("\\u"), "a header that is none");
    }
}

/// Any bytes as the claims of a well-signed token.
pub fn claims(data: &[u8]) {
    let token = sign(br#"{"alg":"EdDSA","kid":"k1"}"#, data);
    let Ok(verified) = VERIFIER.verify(&token, NOW) else { return };
    assert!(is_json(data), "accepted claims are JSON");
    assert_eq!(verified.json().as_bytes(), data);
    assert!(verified.expires_at().is_none_or(|at| at >= NOW));
    assert!(verified.issued_at().is_none_or(|at| at <= NOW));
    let lists = verified.audiences().chain(verified.roles()).chain(verified.groups());
    let texts = [verified.issuer(), verified.subject(), verified.token_id(), verified.client_id()];
    for name in lists.chain(texts.into_iter().flatten().map(Into::into)) {
        assert!(!name.chars().any(char::is_control), "a control character in a name");
    }
    for claim in ["iss", "sub", "aud", "exp", "act", "cnf", "status", "\u{1F600}"] {
        let _ = verified.get(claim);
    }
}

/// Any bytes as a key set.
pub fn jwks(data: &[u8]) {
    let _ = farside_verify::thumbprint(data);
    let Ok(keys) = KeySet::from_jwks(data) else { return };
    assert!(is_json(data), "an accepted key set is JSON");
    assert_eq!(keys.len(), keys.ids().count());
    let verifier = Verifier::new(keys, Policy::undemanding());
    let _ = verifier.verify(sign(br#"{"alg":"EdDSA"}"#, b"{}"), NOW);
}

/// Any bytes as a whole token: none is accepted that has a second spelling, and of those that the
/// targets did not sign only a copy of a corpus token could be.
pub fn token(data: &[u8]) {
    let verdict = VERIFIER.verify_jws(data);
    if let Ok(verified) = &verdict {
        let text = std::str::from_utf8(data).expect("accepted tokens are text");
        let (input, signature) = text.rsplit_once('.').expect("accepted tokens have segments");
        assert_eq!(verified.signing_input(), input.as_bytes());
        let signature = base64url_decode(signature).expect("accepted signatures are strict base64url");
        assert!(PAIR.sign(input.as_bytes()).as_ref() == signature, "a signature that was never made");
    }
    if let Err(refusal) = VERIFIER.verify(data, NOW) {
        assert!(verdict.is_ok() || verdict.is_err_and(|jws| jws.code() == refusal.code()));
        assert!(Code::ALL.contains(&refusal.code()));
    }
}

/// Any bytes, by the first one, as a whole DPoP proof, or as the header or the claims of a well-signed one:
/// none is believed that is old, or of another key than the one that signed.
pub fn proof(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    let uri = HttpUri::read("https://wiki.example/page");
    let demand = dpop::Demand { method: "GET", uri: uri.as_ref(), token: Some("a.b.c"), leeway_seconds: 60 };
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64url(PAIR.public_key()));
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{jwk}}}"#);
    let proof = match part % 3 {
        0 => String::from_utf8_lossy(data).into_owned(),
        1 => sign(data, PROVEN),
        _ => sign(header.as_bytes(), data),
    };
    let Ok(proven) = dpop::verify(&proof, &demand, NOW) else { return };
    let ours = farside_verify::thumbprint(jwk.as_bytes()).expect("a good key");
    assert_eq!(*proven.thumbprint(), ours, "a key that has signed nothing");
    assert!(proven.id().len() <= dpop::PROOF_ID_BYTES_MAX);
    assert!(proven.issued_at() <= NOW + 60 && proven.issued_at() + dpop::PROOF_AGE_SECONDS_MAX + 60 >= NOW);
}

/// A good proof's claims, for the demand above: the hash is that of `a.b.c`.
const PROVEN: &[u8] = br#"{"jti":"1","htm":"GET","htu":"https://wiki.example/page","iat":1800000000,"ath":"hF4wRIgJ4ryJWOsCW_x5UjXROwd6U9DDq70jhRcNybg"}"#;

/// Any text as an address, and as an authority: what is read of it reads the same again.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = HttpUri::read(text);
    let Some(authority) = Authority::read(text) else { return };
    let host = authority.host();
    assert!(!host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']), "no host: {host}");
    let again = Authority::read(host).expect("a host is an authority");
    assert_eq!(again.host(), host, "a host with two spellings");
}
