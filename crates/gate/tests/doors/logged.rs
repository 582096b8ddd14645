//! Proof of logging at each door: a token that a stolen key has signed enters nowhere, one that brings its
//! proof along enters where that counts.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_crossing::Logged;
use farside_service::time::now_unix;

use super::process::{PROGRAM, Running};
use super::realm::{AUDIENCE, NOW, Plan, Realm, Tree, claims, code, policy};
use super::{CLIENT_SECRET, Said, Site, ask};

/// A bundle with a log of three leaves, whose policy demands proof.
fn demanding(realm: &Realm, logged: Logged, tree: &mut Tree) -> Plan {
    let mut demanded = policy(1);
    demanded.audiences[0].logged = logged;
    let leaves = Some(tree.run(0, tree.size(), &[]));
    Plan { policy: Some(demanded), leaves, ..realm.plan() }
}

/// A site whose gate demands proof, its log, and a token logged there: the third and last leaf.
fn site(logged: Logged) -> (Site, Tree, String) {
    let mut kept = None;
    let site = Site::at(
        || NOW,
        |realm| {
            let token = realm.token("anna", 2, "");
            let mut tree = realm.tree();
            tree.fill(2, "before").log(&token);
            let plan = demanding(realm, logged, &mut tree);
            kept = Some((tree, token));
            vec![plan]
        },
    );
    let (tree, token) = kept.unwrap();
    (site, tree, token)
}

async fn introspect(site: &Site, token: &str) -> Said {
    let basic = format!("Basic {}", STANDARD.encode(format!("wiki:{CLIENT_SECRET}")));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = format!("token={token}");
    ask(&site.doors, "POST", "/introspect", &[("authorization", &basic), form], &body).await
}

#[tokio::test]
async fn forged_with_the_real_key_but_never_logged_it_enters_nowhere() {
    for logged in [Logged::Leaf, Logged::Staple] {
        let (site, mut tree, token) = site(logged);
        assert_eq!(site.show(&token).await.status, 200);
        assert_eq!(introspect(&site, &token).await.json()["active"], true);
        let forged = site.realm.token("eve", 2, "");
        let ahead = site.realm.token("eve", 3, "");
        // The staple of an honest token, and one that the thief made of a log of its own.
        let borrowed = tree.staple(&token, 2, 3);
        let borrowed = format!("{forged}~{}", borrowed.split_once('~').unwrap().1);
        let own = Tree::new(std::sync::Arc::new(super::realm::LogPair::new("moon-log")));
        let own = own.clone().fill(3, "own").log(&ahead).staple(&ahead, 3, 4);
        for forged in [forged, ahead, borrowed, own] {
            let said = site.show(&forged).await;
            assert_eq!(said.code(), (401, "not_logged".to_owned()), "{said:?}");
            assert_eq!(introspect(&site, &forged).await.body, r#"{"active":false}"#);
        }
        let decisions = site.journal("decision");
        assert_eq!(decisions.iter().filter(|line| line["code"] == "not_logged").count(), 8);
    }
}

#[tokio::test]
async fn a_token_that_brings_its_proof_along_enters_and_leaves_one_trace() {
    let (site, mut tree, _) = site(Logged::Staple);
    let token = site.realm.token("bert", 3, "");
    tree.log(&token).fill(5, "after");
    let stapled = tree.staple(&token, 3, 9);
    assert_eq!(site.show(&token).await.code(), (401, "not_logged".to_owned()));
    let said = site.show(&stapled).await;
    assert_eq!((said.status.as_u16(), said.header("x-farside-subject")), (200, "bert"), "{said:?}");
    assert_eq!(introspect(&site, &stapled).await.json()["sub"], "bert");
    assert_eq!(site.far.status()["logs"][0]["stapled_heads"], 1);
    // A token with a broken staple is refused, and written down under the same hash as without.
    assert_eq!(site.show(&format!("{token}~AA")).await.code(), (401, "malformed".to_owned()));
    let decisions = site.journal("decision");
    assert_eq!(decisions.last().unwrap()["token_sha256"], decisions[0]["token_sha256"]);
}

#[tokio::test]
async fn a_head_that_cannot_be_kept_admits_nobody_and_holds_up_no_other_door() {
    let (site, mut tree, token) = site(Logged::Staple);
    let ahead = site.realm.token("bert", 3, "");
    let stapled = tree.log(&ahead).staple(&ahead, 3, 4);
    let other = rusqlite::Connection::open(site.far.config.database()).unwrap();
    // An import that takes its time.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (refused, admitted) = tokio::join!(site.show(&stapled), site.show(&token));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(admitted.status, 200, "{admitted:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(site.show(&stapled).await.status, 200);
}

#[test]
fn the_program_demands_it_while_it_serves_and_at_the_command_line() {
    let mut kept = None;
    let gate = Running::start_with("", &[], |realm| {
        let token = realm.key.sign("at+jwt", &claims("anna", 0, now_unix(), ""));
        let mut tree = realm.tree();
        tree.log(&token);
        let plan = demanding(realm, Logged::Staple, &mut tree);
        kept = Some((tree, token));
        plan
    });
    let (mut tree, token) = kept.unwrap();
    let ahead = gate.token("bert", 1);
    let stapled = tree.log(&ahead).staple(&ahead, 1, 2);
    let forged = gate.token("eve", 0);
    let config = gate.far.config.home().join("gate.toml");
    let check = |credential: &str| {
        let mut check = Command::new(PROGRAM);
        check.args(["check", credential, "--audience", AUDIENCE, "--json", "--config"]).arg(&config);
        let told: serde_json::Value = serde_json::from_slice(&check.output().unwrap().stdout).unwrap();
        told["code"].as_str().or(told["verdict"].as_str()).unwrap().to_owned()
    };
    for (credential, status, verdict) in [
        (&token, "200", "accept"),
        (&stapled, "200", "accept"),
        (&ahead, "401", "not_logged"),
        (&forged, "401", "not_logged"),
    ] {
        let answer = gate.show(credential);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert_eq!(check(credential), verdict);
    }
}

#[tokio::test]
async fn a_bundle_that_carries_the_leaf_opens_the_door_at_once() {
    let (mut site, mut tree, _) = site(Logged::Leaf);
    let token = site.realm.token("bert", 3, "");
    tree.log(&token);
    assert_eq!(site.show(&token).await.code(), (401, "not_logged".to_owned()));
    let plan = demanding(&site.realm, Logged::Leaf, &mut tree);
    assert_eq!(code(&site.far.import(&site.realm.send(plan))), "applied 2");
    assert_eq!(site.show(&token).await.status, 200);
}
