//! Tokens that are bound to the key of the client that asks for them (RFC 9449 §5).

use super::*;

/// A proof for this endpoint, with these claims changed.
fn proof(key: &EcdsaKeyPair, jwks: &str, change: impl FnOnce(&mut Value)) -> String {
    let jwk = &serde_json::from_str::<Value>(jwks).unwrap()["keys"][0];
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"]});
    let id = base64url(farside_service::random::bytes::<12>().unwrap());
    let uri = format!("{URL}/oauth2/token");
    let mut claims = json!({"jti": id, "htm": "POST", "htu": uri, "iat": now_unix()});
    change(&mut claims);
    assertion(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}), &claims, key)
}

#[tokio::test]
async fn a_client_that_proves_a_key_gets_a_token_bound_to_it_and_each_proof_counts_once() {
    let mint = Mint::open();
    let (key, jwks) = key_pair();
    let ask = async |proofs: &[&str]| {
        let mut request = Request::post("/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", basic("p1", SECRET));
        for proof in proofs {
            request = request.header("DPoP", *proof);
        }
        let body = format!("grant_type=client_credentials&audience={AUDIENCE}");
        mint.ask(request.body(Body::from(body)).unwrap()).await
    };
    let good = proof(&key, &jwks, |_| ());
    let answer = ask(&[&good]).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["token_type"]),
        (200, &json!("DPoP")),
        "{}",
        answer.body
    );
    let jwk = serde_json::from_str::<Value>(&jwks).unwrap()["keys"][0].to_string();
    let thumbprint = farside_verify::thumbprint(jwk.as_bytes()).unwrap();
    assert_eq!(mint.believes(&answer).confirmation().unwrap().jkt, Some(thumbprint));

    let other = key_pair().0;
    let fresh = || proof(&key, &jwks, |_| ());
    for (case, proofs) in [
        ("used", vec![good.clone()]),
        ("two", vec![fresh(), fresh()]),
        ("another's signature", vec![proof(&other, &jwks, |_| ())]),
        (
            "another endpoint",
            vec![proof(&key, &jwks, |claims| claims["htu"] = json!(format!("{URL}/oauth2/revoke")))],
        ),
        ("another method", vec![proof(&key, &jwks, |claims| claims["htm"] = json!("GET"))]),
        ("old", vec![proof(&key, &jwks, |claims| claims["iat"] = json!(now_unix() - 3_600))]),
        ("nothing", vec![String::new()]),
    ] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        assert_error(&ask(&proofs).await, 400, "invalid_dpop_proof", case);
    }
}
