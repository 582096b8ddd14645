//! What the mint issues, a gate believes; what it may not issue is refused before a position is taken; and no
//! token is without its leaf.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod common;

use common::{AUDIENCE, ISSUER_URL, NOW, Realm, for_ada};
use farside_mint::claims::{Confirmation, Profile};
use farside_mint::issue::IssueFault;
use farside_mint::judge::{IssueRequest, Refused, Requester};
use farside_mint::log::{self, Entry};
use farside_mint::release;
use farside_mint::store::Purpose;
use farside_verify::leaf::{self, TokenPosition};
use farside_verify::{Algorithm, KeySet, Policy, Verifier};

fn gate(realm: &Realm) -> Verifier {
    let keys = KeySet::from_jwks(realm.jwks().as_bytes()).unwrap();
    Verifier::new(keys, Policy::access_token(ISSUER_URL, [AUDIENCE]))
}

fn refused(realm: &Realm, request: &IssueRequest) -> Refused {
    match realm.issuer().issue(request, NOW).unwrap_err() {
        IssueFault::Refused(refused) => refused,
        fault => panic!("not a refusal: {fault}"),
    }
}

#[test]
fn a_gate_believes_tokens_of_every_algorithm() {
    for algorithm in Algorithm::ALL {
        let realm = Realm::with_key(*algorithm, Purpose::Sig);
        let token = realm.issuer().issue(&for_ada(), NOW).unwrap();
        let claims = gate(&realm).verify(token.expose(), NOW).unwrap();
        assert_eq!(claims.subject(), Some("ada"), "{algorithm}");
        assert_eq!(claims.client_id(), Some("ada"));
        assert_eq!(claims.token_id(), Some("plant7-0"));
        assert_eq!(claims.expires_at(), Some(NOW + 900));
        assert!(claims.roles().eq(["operator"]));
        assert_eq!(claims.floor(), None, "no bundle has been made");
    }
}

#[test]
fn tokens_are_small() {
    let realm = Realm::founded();
    let issuer = realm.issuer();
    let digest = "0".repeat(64);
    realm.sql(&format!(
        "INSERT INTO bundle (site, seq, kind, digest, file_sha256, file_bytes, file, issued_at,
           not_after, next_by,
            charter_version, keys_version, policy_version)
         VALUES ('plant7', 4711, 'full', '{digest}', '{digest}', 1, 'f', {NOW}, {NOW}, {NOW}, 1, 1, 1)"
    ));
    let token = issuer.issue(&for_ada(), NOW).unwrap();
    assert_eq!(gate(&realm).verify(token.expose(), NOW).unwrap().floor(), Some(4711));
    assert!(token.expose().len() <= 380, "{} bytes", token.expose().len());
    realm.sql("UPDATE audience SET name = 'hmi'; UPDATE site SET issuer = 'https://p7.example'");
    let request = IssueRequest { profile: Profile::Lean, audience: "hmi".into(), ..for_ada() };
    let lean = issuer.issue(&request, NOW).unwrap();
    assert!(lean.expose().len() <= 330, "{} bytes", lean.expose().len());
}

#[test]
fn a_jwt_svid_says_what_spiffe_knows_and_no_more() {
    let realm = Realm::with_key(Algorithm::Es256, Purpose::JwtSvid);
    let request = IssueRequest { profile: Profile::JwtSvid, ..for_ada() };
    let token = realm.issuer().issue(&request, NOW).unwrap();
    let keys = KeySet::from_jwks(realm.jwks().as_bytes()).unwrap();
    let verifier = Verifier::new(keys, Policy::undemanding().audiences([AUDIENCE]).typ("JWT"));
    let claims = verifier.verify(token.expose(), NOW).unwrap();
    let json: serde_json::Value = serde_json::from_str(claims.json()).unwrap();
    let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["aud", "exp", "iat", "jti", "sub"]);
    assert_eq!(claims.subject(), Some("spiffe://acme/person/ada"));
    let access = refused(&realm, &for_ada());
    assert!(matches!(access, Refused::NoKey { .. }), "a jwt-svid key signs nothing else: {access}");
    let with_roles = IssueRequest { roles: Some(vec!["operator".to_owned()]), ..request };
    assert!(matches!(refused(&realm, &with_roles), Refused::Profile { .. }));
}

#[test]
fn what_the_far_side_would_refuse_is_refused_at_issue() {
    let realm = Realm::founded();
    realm.sql("INSERT INTO subject (name, kind, enabled, client_id) VALUES ('gone', 'person', 0, 'gone')");
    let role = |name: &str| Some(vec![name.to_owned()]);
    let cases: [(&str, IssueRequest); 8] = [
        ("no subject", IssueRequest { subject: "eve".into(), ..for_ada() }),
        ("disabled", IssueRequest { subject: "gone".into(), ..for_ada() }),
        ("no site", IssueRequest { audience: "moon".into(), ..for_ada() }),
        ("does not hold role", IssueRequest { roles: role("admin"), ..for_ada() }),
        ("not in group", IssueRequest { groups: vec!["staff".into()], ..for_ada() }),
        ("a lifetime of 86401", IssueRequest { lifetime_seconds: Some(86_401), ..for_ada() }),
        ("a lifetime of 0", IssueRequest { lifetime_seconds: Some(0), ..for_ada() }),
        ("may ask for itself", IssueRequest { requester: Requester::Client("p1".into()), ..for_ada() }),
    ];
    for (reason, request) in cases {
        let refusal = refused(&realm, &request).to_string();
        assert!(refusal.contains(reason), "{reason}: {refusal}");
    }
    assert_eq!(log::check(&realm.mint.home.log()).unwrap().records, 0, "a refusal takes no position");
}

#[test]
fn site_policy_bounds_roles_and_size() {
    let realm = Realm::founded();
    realm.sql("UPDATE site SET roles_allowed = '[\"reader\"]'");
    let poller = IssueRequest { subject: "poller".into(), ..for_ada() };
    let token = realm.issuer().issue(&poller, NOW).unwrap();
    assert!(gate(&realm).verify(token.expose(), NOW).unwrap().roles().eq(["reader"]));
    let asked = IssueRequest { roles: Some(vec!["writer".to_owned()]), ..poller };
    assert!(matches!(refused(&realm, &asked), Refused::RoleNotAllowed { .. }));
    realm.sql("UPDATE site SET token_bytes_max = 300");
    assert!(matches!(refused(&realm, &for_ada()), Refused::TooLarge { max: 300, .. }));
}

#[test]
fn no_token_outlives_its_key() {
    let realm = Realm::founded();
    realm.sql(&format!("UPDATE token_key SET sign_until = {0}, accept_until = {0}", NOW + 100));
    let token = realm.issuer().issue(&for_ada(), NOW).unwrap();
    assert_eq!(token.draft().expires_at(), NOW + 100);
    let late = realm.issuer().issue(&for_ada(), NOW + 100).unwrap_err();
    assert!(matches!(late, IssueFault::Refused(Refused::NoKey { .. })), "{late}");
}

#[test]
fn a_revoked_key_and_a_disabled_subject_issue_nothing_from_the_next_request_on() {
    let realm = Realm::founded();
    let issuer = realm.issuer();
    issuer.issue(&for_ada(), NOW).unwrap();
    realm.sql("UPDATE subject SET enabled = 0 WHERE name = 'ada'");
    assert!(matches!(
        issuer.issue(&for_ada(), NOW).unwrap_err(),
        IssueFault::Refused(Refused::SubjectDisabled { .. })
    ));
    realm.sql("UPDATE subject SET enabled = 1 WHERE name = 'ada'");
    let kid = &realm.kids[0].1;
    realm.sql(&format!(
        "INSERT INTO revocation (site, kind, what, before, reason, at, by) VALUES ('plant7', 'key', '{kid}',
           0, 'lost', {NOW}, 'test')"
    ));
    assert!(matches!(issuer.issue(&for_ada(), NOW).unwrap_err(), IssueFault::Refused(Refused::NoKey { .. })));
}

#[test]
fn an_audience_of_bound_tokens_gets_no_others() {
    let realm = Realm::founded();
    realm.sql("UPDATE audience SET holder_bound = 1");
    assert!(matches!(refused(&realm, &for_ada()), Refused::Unbound { .. }));
    let confirmation = Some(Confirmation::Jkt(farside_verify::encode::base64url([7; 32])));
    realm.issuer().issue(&IssueRequest { confirmation, ..for_ada() }, NOW).unwrap();
    let policy = release::draft(&realm.store, "plant7", &release::Document::Policy, NOW).unwrap();
    assert!(policy.text.contains("\"holder_bound\": true"), "its gates demand them: {}", policy.text);
}

#[test]
fn a_bound_token_names_the_key_it_is_bound_to() {
    let realm = Realm::founded();
    let thumbprint = farside_verify::encode::base64url([7; 32]);
    let confirmation = Some(Confirmation::Jkt(thumbprint));
    let token = realm.issuer().issue(&IssueRequest { confirmation, ..for_ada() }, NOW).unwrap();
    let claims = gate(&realm).verify(token.expose(), NOW).unwrap();
    assert_eq!(claims.confirmation().unwrap().jkt, Some([7; 32]));
}

#[test]
fn every_token_has_the_leaf_that_a_gate_computes() {
    let realm = Realm::founded();
    let issuer = realm.issuer();
    let requests = vec![for_ada(); 50];
    let tokens: Vec<_> = issuer.issue_many(&requests, NOW).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(issuer.log().len("plant7"), 50);
    let leaves = issuer.log().leaves("plant7", 0..50).unwrap();
    let verifier = gate(&realm);
    for token in &tokens {
        let claims = verifier.verify(token.expose(), NOW).unwrap();
        let position: TokenPosition = claims.token_id().unwrap().parse().unwrap();
        let expected = leaf::hash(&position, &claims.signing_input_sha256());
        assert_eq!(leaves[usize::try_from(position.index()).unwrap()], expected);
    }
    drop(issuer);
    let again = realm.issuer();
    assert_eq!(again.log().leaves("plant7", 0..50).unwrap(), leaves, "leaves survive a restart");
    assert_eq!(again.issue(&for_ada(), NOW).unwrap().position().index(), 50);
}

#[test]
fn the_log_says_who_got_what_and_never_the_token() {
    let realm = Realm::founded();
    let issuer = realm.issuer();
    let token = issuer.issue(&for_ada(), NOW).unwrap().expose().to_owned();
    drop(issuer);
    let bytes = std::fs::read(realm.log_file()).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for part in ["operator:uid 0", "\"ada\"", AUDIENCE, &realm.kids[0].1, "\"access\""] {
        assert!(text.contains(part), "{part} is missing");
    }
    for segment in token.split('.') {
        assert!(!text.contains(segment), "the log holds a part of the token");
    }
}

#[test]
fn a_mint_whose_bundles_went_out_does_not_start_without_its_lock() {
    let realm = Realm::founded();
    realm.issuer().issue(&for_ada(), NOW).unwrap();
    realm.sql("INSERT INTO bundle_leaves (site, seq, shard, until) VALUES ('plant7', 1, 'plant7', 1)");
    let fault =
        farside_mint::issue::Issuer::open(&realm.mint, realm.store.clone(), common::passphrase(), NOW);
    assert!(fault.unwrap_err().to_string().contains("heads.db is missing"));
}

#[test]
fn a_damaged_or_foreign_record_stops_the_mint() {
    let realm = Realm::founded();
    realm.issuer().issue(&for_ada(), NOW).unwrap();
    realm.issuer().issue(&for_ada(), NOW).unwrap();
    let mut bytes = std::fs::read(realm.log_file()).unwrap();
    bytes[40] ^= 1;
    std::fs::write(realm.log_file(), bytes).unwrap();
    assert!(log::check(&realm.mint.home.log()).is_err());
    let opened =
        farside_mint::issue::Issuer::open(&realm.mint, realm.store.clone(), common::passphrase(), NOW);
    assert!(opened.is_err());
}

#[test]
fn two_mints_cannot_hold_one_log() {
    let realm = Realm::founded();
    let _held = realm.issuer();
    let second =
        farside_mint::issue::Issuer::open(&realm.mint, realm.store.clone(), common::passphrase(), NOW);
    assert!(second.unwrap_err().to_string().contains("held by"));
}

#[test]
fn a_void_record_is_a_leaf_of_its_own() {
    let position = TokenPosition::new("plant7", 3).unwrap();
    assert_ne!(leaf::void_hash(&position), leaf::hash(&position, &[0; 32]));
    let reason = farside_mint::log::VoidReason::Lost;
    assert_eq!(serde_json::to_string(&Entry::Void { reason }).unwrap(), "{\"void\":{\"reason\":\"lost\"}}");
}
