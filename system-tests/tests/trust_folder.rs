//! The trust folder as others read it: two SPIFFE libraries and Envoy, with keys and tokens of a real mint.

use std::path::Path;

use farside_system_tests::http;
use farside_system_tests::peers::{self, Oracle};
use farside_system_tests::programs::{Server, free_address};
use farside_system_tests::sides::{CONTROL, Sides};
use serde_json::Value;
use spiffe::{JwtBundle, JwtBundleSet, JwtSvid, TrustDomain};

const DOMAIN: &str = "moonbase";
const LANDER: &str = "spiffe://moonbase/bot/lander-7";

/// Both sides, a trust folder, and a key for JWT-SVIDs that has crossed.
fn sides() -> (Sides, String) {
    let sides = Sides::founded();
    let configuration = format!("{}\n\n[trust_folder]\npath = \"trust\"\n", sides.text("far/gate.toml"));
    sides.put("far/gate.toml", configuration.as_bytes());
    sides.mint("site set dome --profile access --profile jwt-svid");
    let made = sides.mint("keys new --site dome --use jwt-svid --json").json();
    let kid = made["kid"].as_str().unwrap_or_else(|| panic!("no kid in {made}")).to_owned();
    sides.bundle("full");
    sides.cross();
    (sides, kid)
}

fn svid(sides: &Sides) -> String {
    sides.mint(&format!(
        "token issue --site dome --subject lander-7 --audience {CONTROL} --profile jwt-svid --out svid.jwt"
    ));
    sides.text("svid.jwt")
}

fn shown(sides: &Sides, name: &str) -> Value {
    serde_json::from_slice(&sides.get(&format!("far/trust/{name}"))).expect("JSON")
}

/// By the Rust library: it takes keys one by one, as its Workload API hands them over.
fn by_rust(sides: &Sides, token: &str) -> Result<String, String> {
    let mut bundle = JwtBundle::new(TrustDomain::new(DOMAIN).expect("a trust domain"));
    for key in shown(sides, "spiffe-bundle.json")["keys"].as_array().expect("keys") {
        bundle.add_jwk_authority_json(key.to_string().as_bytes()).expect("a key of the SPIFFE kind");
    }
    let mut bundles = JwtBundleSet::new();
    bundles.add_bundle(bundle);
    let svid = JwtSvid::parse_and_validate(token, &bundles, &[CONTROL]).map_err(|fault| fault.to_string())?;
    Ok(svid.spiffe_id().to_string())
}

#[test]
fn a_jwt_svid_of_the_mints_is_believed_by_the_folder_until_its_key_is_revoked() {
    let (sides, kid) = sides();
    let bundle = sides.path("far/trust/spiffe-bundle.json");
    let mut python = Oracle::python(&["spiffe", &bundle.to_string_lossy(), DOMAIN, CONTROL]);
    let token = svid(&sides);
    assert_eq!(by_rust(&sides, &token), Ok(LANDER.to_owned()));
    assert_eq!(python.ask(&token), format!("accept {LANDER}"));
    // An access token is none, whoever signed it.
    let access = sides.token("lander-7", CONTROL);
    assert!(by_rust(&sides, &access).is_err());
    assert!(python.ask(&access).starts_with("refuse "));
    assert_eq!(shown(&sides, "jwks.json")["keys"].as_array().map(Vec::len), Some(2));
    let before = shown(&sides, "spiffe-bundle.json")["spiffe_sequence"].as_u64();

    sides.mint(&format!("revoke key {kid} --reason stolen"));
    sides.bundle("full");
    sides.cross();
    // The import has returned: nobody who reads the file now believes it.
    assert!(by_rust(&sides, &token).is_err());
    assert!(python.ask(&token).starts_with("refuse "), "an empty bundle is a bundle");
    let after = shown(&sides, "spiffe-bundle.json");
    assert!(after["spiffe_sequence"].as_u64() > before && after["keys"] == serde_json::json!([]), "{after}");
    assert_eq!(shown(&sides, "status.json")["bundle"]["seq"], 2);
}

#[test]
fn a_serving_gate_keeps_the_folder_as_bundles_arrive() {
    let (sides, kid) = sides();
    let mut gate = sides.serve_gate();
    sides.mint(&format!("revoke key {kid} --reason stolen"));
    sides.bundle("full");
    sides.farside("ferry send --from near/outbox/dome --to stick");
    sides.farside("ferry receive --from stick --to far/inbox");
    let emptied = || shown(&sides, "spiffe-bundle.json")["keys"] == serde_json::json!([]);
    gate.wait_until("the key goes from the folder", emptied);
    assert!(gate.stop().success());
}

#[test]
fn an_agent_keeps_an_svid_fresh_out_of_what_bundles_carry_until_its_holder_is_revoked() {
    let (sides, _) = sides();
    let key = rcgen::KeyPair::generate().expect("an ES256 key");
    sides.put("bot.pem", key.serialize_pem().as_bytes());
    sides.put("bot.json", jwk(&key).as_bytes());
    sides.mint("bot key lander-7 --jwk bot.json");
    sides.mint(&format!(
        "order add --site dome --subject lander-7 --audience {CONTROL} --profile jwt-svid --claim key"
    ));
    sides.bundle("full");
    sides.cross();
    let gate = sides.serve_gate();
    let agent = format!(
        "gate agent --once --gate {} --subject {LANDER} --key bot.pem --out agent.jwt --json",
        sides.gate
    );
    sides.farside(&agent);
    let token = sides.text("agent.jwt");
    assert_eq!(by_rust(&sides, &token), Ok(LANDER.to_owned()));
    // It opens no door of the gate's own.
    assert_eq!(sides.knock(&token, CONTROL).status, 401);

    // No fresh token crosses any more: it would be of after the revocation. The one that lies there stays.
    sides.mint("order remove 1");
    sides.bundle("full");
    sides.cross();
    sides.farside(&agent);
    sides.mint("revoke subject lander-7 --reason lost");
    sides.bundle("full");
    sides.cross();
    let refused = sides.attempt(&agent).expect_code(1);
    assert!(refused.stderr.contains("nothing_to_collect"), "{refused:?}");
    assert!(gate.stop().success());
}

/// The public half of a key, as RFC 7517 has it.
fn jwk(key: &rcgen::KeyPair) -> String {
    use rcgen::PublicKeyData as _;
    let (x, y) = key.der_bytes()[1..].split_at(32);
    let (x, y) = (farside_verify::encode::base64url(x), farside_verify::encode::base64url(y));
    format!(r#"{{"kty":"EC","crv":"P-256","alg":"ES256","x":"{x}","y":"{y}"}}"#)
}

/// Envoy before an application, with the keys in this file.
fn envoy(folder: &Path, jwks: &Path) -> (Server, std::net::SocketAddr) {
    let (address, application) = (free_address(), http::application());
    let changes = [
        ("8081", address.port().to_string()),
        ("8080", application.port().to_string()),
        ("<audience>", CONTROL.to_owned()),
        ("                          issuer: \"<issuer>\"\n", String::new()),
        ("/var/lib/farside/trust/jwks.json", jwks.display().to_string()),
    ];
    (peers::envoy(folder, &peers::deployed("envoy/trust-folder.yaml", &changes), address), address)
}

#[test]
fn envoy_believes_the_file_as_it_stands_when_it_starts() {
    let (sides, kid) = sides();
    let token = format!("Bearer {}", svid(&sides));
    let jwks = sides.path("far/trust/jwks.json");
    let (server, address) = envoy(sides.folder(), &jwks);
    let ask = |address, token: &str| http::get(address, "/page", &[("authorization", token)]);
    let answer = ask(address, &token);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains(&format!("x-token-subject: {LANDER}")), "{answer:?}");
    assert_eq!(ask(address, "Bearer a.b.c").status, 401);
    drop(server);

    sides.mint(&format!("revoke key {kid} --reason stolen"));
    sides.bundle("full");
    sides.cross();
    let (_server, address) = envoy(sides.folder(), &jwks);
    assert_eq!(ask(address, &token).status, 401, "restarted, as deploy/ has it");
}
