//! Tokens that are bound to a key: who enters with which proof, and everybody who does not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use farside_crossing::PolicyDocument;
use farside_gate::config::{CertificateHeader, Proxy as Told};
use farside_service::digest;
use farside_verify::encode::base64url;
use serde_json::{Value, json};

use super::Said;
use super::forwarded::{Behind, believed};
use super::realm::{NOW, policy};

/// A holder's key, and the proofs that it makes.
pub(crate) struct Holder {
    pair: EcdsaKeyPair,
}

impl Holder {
    pub(crate) fn new() -> Holder {
        Holder { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
    }

    /// `cnf` of a token that is bound to this key.
    fn cnf(&self) -> String {
        let thumbprint = farside_verify::thumbprint(self.jwk().to_string().as_bytes()).unwrap();
        format!(r#","cnf":{{"jkt":"{}"}}"#, base64url(thumbprint))
    }

    /// A proof for `PUT https://wiki.example:8443/page`, with these members changed.
    fn proof(&self, token: &str, id: &str, change: &[(&str, Value)]) -> String {
        let mut claims = json!({"jti": id, "htm": "PUT", "htu": "https://wiki.example:8443/page", "iat": NOW,
                                "ath": base64url(digest::sha256(token.as_bytes()))});
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", base64url(signature.as_ref()))
    }
}

const RECEIVED: [(&str, &str); 4] = [
    ("x-forwarded-method", "PUT"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "wiki.example:8443"),
    ("x-forwarded-uri", "/page?a=1"),
];

/// Shows a token so at a door whose proxy is believed.
async fn show(behind: &Behind, authorization: &str, more: &[(&str, &str)]) -> Said {
    let mut headers = RECEIVED.to_vec();
    headers.push(("authorization", authorization));
    headers.extend_from_slice(more);
    behind.verify(&headers).await
}

async fn with_proofs(behind: &Behind, token: &str, proofs: &[&str]) -> Said {
    let proofs: Vec<(&str, &str)> = proofs.iter().map(|proof| ("dpop", *proof)).collect();
    show(behind, &format!("DPoP {token}"), &proofs).await
}

#[tokio::test]
async fn a_bound_token_enters_once_for_each_proof_of_its_key_and_never_as_a_bearer_token() {
    let (behind, holder) = (Behind::open(believed()), Holder::new());
    let token = behind.realm.token("anna", 1, &holder.cnf());
    let proof = holder.proof(&token, "p-1", &[]);
    let said = with_proofs(&behind, &token, &[&proof]).await;
    assert_eq!((said.status.as_u16(), said.header("x-farside-subject")), (200, "anna"), "{said:?}");
    let again = with_proofs(&behind, &token, &[&proof]).await;
    assert_eq!(again.code(), (401, "replayed".to_owned()));
    let another = with_proofs(&behind, &token, &[&holder.proof(&token, "p-2", &[])]).await;
    assert_eq!(another.status, 200, "{another:?}");

    let bearer = format!("Bearer {token}");
    for more in [&[][..], &[("dpop", holder.proof(&token, "p-3", &[]).as_str())]] {
        let said = show(&behind, &bearer, more).await;
        assert_eq!(said.code(), (401, "holder_proof_required".to_owned()));
        let challenge = said.header("www-authenticate");
        assert!(challenge.starts_with("Bearer realm=\"farside\", error=\"invalid_token\""), "{challenge}");
        assert!(challenge.contains(", DPoP realm=\"farside\", algs=\"ES256 "), "{challenge}");
    }
    let bare = with_proofs(&behind, &token, &[]).await;
    assert_eq!(bare.code(), (401, "holder_proof_required".to_owned()));
    let proofs = [holder.proof(&token, "p-4", &[]), holder.proof(&token, "p-5", &[])];
    let two = with_proofs(&behind, &token, &[&proofs[0], &proofs[1]]).await;
    assert_eq!(two.code(), (400, "dpop_malformed".to_owned()));
    let challenged = behind.verify(&RECEIVED).await;
    let offered = challenged.header("www-authenticate");
    assert!(offered.starts_with("Bearer realm=\"farside\", DPoP realm=\"farside\", algs="), "{offered}");
}

#[tokio::test]
async fn a_proof_of_another_request_token_key_or_time_admits_nobody() {
    let (behind, holder) = (Behind::open(believed()), Holder::new());
    let token = behind.realm.token("anna", 1, &holder.cnf());
    for (what, change) in [
        ("another method", ("htm", json!("GET"))),
        ("another path", ("htu", json!("https://wiki.example:8443/other"))),
        ("another host", ("htu", json!("https://wiki.evil:8443/page"))),
        ("another port", ("htu", json!("https://wiki.example/page"))),
        ("in clear", ("htu", json!("http://wiki.example:8443/page"))),
        ("another token", ("ath", json!(base64url(digest::sha256(b"a.b.c"))))),
        ("old", ("iat", json!(NOW - 121))),
        ("early", ("iat", json!(NOW + 61))),
        ("no id", ("jti", json!(""))),
    ] {
        let said = with_proofs(&behind, &token, &[&holder.proof(&token, what, &[change])]).await;
        assert_eq!(said.code(), (401, "holder_proof_invalid".to_owned()), "{what}");
        let challenge = said.header("www-authenticate");
        assert!(challenge.starts_with("DPoP realm=\"farside\", error=\"invalid_dpop_proof\""), "{challenge}");
    }
    let said = with_proofs(&behind, &token, &[&Holder::new().proof(&token, "p-1", &[])]).await;
    assert_eq!(said.code(), (401, "holder_proof_required".to_owned()), "a stranger's key");
    let unbound = behind.realm.token("anna", 2, "");
    let said = with_proofs(&behind, &unbound, &[&holder.proof(&unbound, "p-2", &[])]).await;
    assert_eq!(said.code(), (401, "holder_proof_invalid".to_owned()), "bound to nothing");

    // Where nobody says what was requested, no proof can be about it.
    let alone = Behind::open(Told::default());
    let token = alone.realm.token("anna", 1, &holder.cnf());
    let said = with_proofs(&alone, &token, &[&holder.proof(&token, "p-3", &[])]).await;
    assert_eq!(said.code(), (503, "request_unknown".to_owned()));
}

fn holder_bound() -> PolicyDocument {
    let mut bound = policy(1);
    bound.audiences[0].holder_bound = true;
    bound
}

#[tokio::test]
async fn an_audience_that_wants_holders_admits_those_alone_and_every_binding_is_proven() {
    let told = Told { certificate: Some(CertificateHeader::ClientCert), ..believed() };
    let behind = Behind::with(told, holder_bound());
    let (holder, realm) = (Holder::new(), &behind.realm);
    let certificate = ("client-cert", ":MAMCASo=:");
    let hash = base64url(digest::sha256(&[0x30, 3, 2, 1, 0x2a]));
    let (by_certificate, other) = (format!(r#""x5t#S256":"{hash}""#), base64url([1; 32]));
    let required = (401, "holder_proof_required".to_owned());

    let bearer = |token: &str| format!("Bearer {token}");
    let unbound = realm.token("anna", 1, "");
    assert_eq!(show(&behind, &bearer(&unbound), &[certificate]).await.code(), required);

    let by_tls = bearer(&realm.token("anna", 2, &format!(r#","cnf":{{{by_certificate}}}"#)));
    assert_eq!(show(&behind, &by_tls, &[certificate]).await.status, 200);
    assert_eq!(show(&behind, &by_tls, &[]).await.code(), required);
    assert_eq!(show(&behind, &by_tls, &[("client-cert", "::")]).await.code(), required);
    let another = [("client-cert", ":MAMCASs=:")];
    assert_eq!(show(&behind, &by_tls, &another).await.code(), required);
    let twice = show(&behind, &by_tls, &[certificate, certificate]).await;
    assert_eq!(twice.code(), (400, "forwarded_invalid".to_owned()));

    let both = realm.token("anna", 3, &holder.cnf().replace("{", &format!("{{{by_certificate},")));
    let (proof, next) = (holder.proof(&both, "p-1", &[]), holder.proof(&both, "p-2", &[]));
    let (scheme, proof) = (format!("DPoP {both}"), ("dpop", proof.as_str()));
    assert_eq!(show(&behind, &scheme, &[proof]).await.code(), required);
    assert_eq!(show(&behind, &bearer(&both), &[certificate]).await.code(), required);
    assert_eq!(show(&behind, &scheme, &[("dpop", &next), certificate]).await.status, 200);

    for cnf in [
        "{}".to_owned(),
        r#"{"later":"x"}"#.to_owned(),
        format!(r#"{{"ssh":"{other}"}}"#),
        format!(r#"{{"ssh":"{other}",{by_certificate}}}"#),
    ] {
        let token = realm.token("anna", 4, &format!(r#","cnf":{cnf}"#));
        assert_eq!(show(&behind, &bearer(&token), &[certificate]).await.code(), required, "{cnf}");
    }
}

#[tokio::test]
async fn a_certificate_header_of_the_clients_own_is_not_looked_at_where_no_proxy_sets_it() {
    let behind = Behind::open(believed());
    let hash = base64url(digest::sha256(&[0x30, 3, 2, 1, 0x2a]));
    let token = behind.realm.token("anna", 1, &format!(r#","cnf":{{"x5t#S256":"{hash}"}}"#));
    for header in [
        ("client-cert", ":MAMCASo=:"),
        ("x-ssl-client-cert", "MAMCASo="),
        ("x-forwarded-tls-client-cert", "MAMCASo="),
        (
            "x-forwarded-client-cert",
            &format!("Hash={}", digest::hex(&digest::sha256(&[0x30, 3, 2, 1, 0x2a]))),
        ),
    ] {
        let said = show(&behind, &format!("Bearer {token}"), &[header]).await;
        assert_eq!(said.code(), (401, "holder_proof_required".to_owned()), "{header:?}");
    }
}
