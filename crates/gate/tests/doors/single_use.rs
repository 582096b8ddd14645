//! Tokens that are admitted once, at every door.

use std::sync::Arc;

use farside_crossing::PolicyDocument;
use farside_gate::judge::judge;
use farside_verify::Code;
use serde_json::{Value, json};

use super::introspect::{basic, introspect};
use super::realm::{AUDIENCE, Far, HOUR, NOW, Plan, audience, policy};
use super::{CLIENT_SECRET, Site, ask, ssh};

#[path = "../../../verify/tests/support/twin.rs"]
mod twin;

/// A gate whose audience `db` admits each token once, and whose other admits it as often as it is shown.
pub(crate) fn single_use() -> Site {
    Site::at(
        || NOW,
        |realm| {
            let mut once = policy(1);
            once.audiences[0].single_use = true;
            once.audiences.push(audience("mail"));
            vec![Plan { policy: Some(once), ..realm.plan() }]
        },
    )
}

impl Site {
    async fn show_for_db(&self, token: &str) -> (u16, String) {
        let authorization = format!("Bearer {token}");
        self.ask("GET", "/verify?aud=db", &[("authorization", &authorization)], "").await.code()
    }
}

#[tokio::test]
async fn a_token_enters_once_in_whatever_spelling_it_comes_again() {
    let site = single_use();
    let token = site.realm.token("anna", 1, "");
    assert_eq!(site.show_for_db(&token).await, (200, String::new()));
    for again in [&token, &twin::twin(&token)] {
        assert_eq!(site.show_for_db(again).await, (401, "replayed".to_owned()));
    }
    assert_eq!(site.show_for_db(&site.realm.token("anna", 2, "")).await, (200, String::new()));
    let verdicts: Vec<Value> =
        site.journal("decision").iter().map(|line| json!([line["verdict"], line["code"]])).collect();
    let refused = json!(["refuse", "replayed"]);
    assert_eq!(verdicts, [json!(["admit", null]), refused.clone(), refused, json!(["admit", null])]);
}

#[tokio::test]
async fn another_audience_admits_as_often_as_before() {
    let site = single_use();
    let mail = site.realm.key.sign("at+jwt", &super::realm::claims("anna", 1, NOW, "").replace("db", "mail"));
    let authorization = format!("Bearer {mail}");
    for _ in 0..3 {
        let said = site.ask("GET", "/verify?aud=mail", &[("authorization", &authorization)], "").await;
        assert_eq!(said.status, 200, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_bring_the_same_token_at_once_one_enters() {
    let site = single_use();
    for round in 0..20 {
        let token = Arc::new(format!("Bearer {}", site.realm.token("anna", round, "")));
        let asked: Vec<_> = (0..16)
            .map(|_| {
                let (doors, token) = (site.doors.clone(), token.clone());
                tokio::spawn(async move {
                    ask(&doors, "GET", "/verify?aud=db", &[("authorization", &token)], "").await.status
                })
            })
            .collect();
        let mut entered = 0;
        for one in asked {
            entered += u32::from(one.await.unwrap() == 200);
        }
        assert_eq!(entered, 1, "in round {round}");
    }
}

#[tokio::test]
async fn a_later_policy_of_a_longer_leeway_brings_no_used_token_back() {
    let (mut realm, far) = Far::enrolled();
    let mut once = policy(1);
    once.audiences[0].single_use = true;
    far.import(&realm.send(Plan { policy: Some(once.clone()), ..realm.plan() }));
    let (token, replay) = (realm.token("anna", 1, ""), far.replay());
    let enters = async |now| match judge(&far.trust_state(), &token, AUDIENCE, now) {
        Ok(pending) => pending.remember(&replay, now).await.map(drop).map_err(|refusal| refusal.code()),
        Err(refusal) => Err(refusal.code()),
    };
    assert_eq!(enters(NOW).await, Ok(()));
    let ended = NOW + HOUR + 120;
    assert_eq!(enters(ended).await, Err(Code::Expired));
    let longer = PolicyDocument { version: 2, leeway_seconds: 600, ..once };
    let plan = Plan { policy: Some(longer), issued_at: NOW + 1, ..realm.plan() };
    far.import_at(&realm.send(plan), NOW + 1);
    for now in [ended, NOW + HOUR + 599] {
        replay.tend(now).await.unwrap();
        assert_eq!(enters(now).await, Err(Code::Replayed), "it is valid again, and used");
    }
}

#[tokio::test]
async fn asking_about_a_token_does_not_use_it_and_tells_when_it_was() {
    let site = single_use();
    let token = site.realm.token("anna", 1, "");
    let body = format!("token={token}");
    for _ in 0..2 {
        let told = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &body).await.json();
        assert_eq!((&told["active"], &told["single_use"]), (&json!(true), &json!(true)));
    }
    assert_eq!(site.show_for_db(&token).await.0, 200);
    let told = introspect(&site.doors, &basic("wiki", CLIENT_SECRET), &body).await.json();
    assert_eq!(told, json!({"active": false}));
}

#[tokio::test]
async fn doors_that_ask_once_for_many_uses_admit_no_such_token() {
    let site = single_use();
    let told = site.review(&site.realm.token("anna", 1, ""), &[]).await.json();
    assert_eq!(told["status"]["authenticated"], false);
    assert!(told["status"]["error"].as_str().unwrap().starts_with("policy_denied: "), "{told}");
    let site = ssh::single_use();
    assert_eq!(site.log_in("ada", &ssh::key(1)).await, Vec::<String>::new());
    assert_eq!(site.journal("decision")[0]["code"], "policy_denied");
}
