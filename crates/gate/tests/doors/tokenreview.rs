//! What a Kubernetes API server is told.

use farside_gate::config::{Kubernetes, KubernetesNames};
use farside_service::digest;
use serde_json::{Value, json};

use super::realm::{HOUR, NOW, Plan, audience, policy, revoked_name};
use super::{Said, Site, ask};

const SECRET: &str = "kubeconfig-secret-of-32-random-bytes";

pub(crate) fn configured() -> Kubernetes {
    let names = KubernetesNames {
        username_prefix: "far:".to_owned(),
        groups_prefix: String::new(),
        roles_prefix: Some("role:".to_owned()),
    };
    let (audience, secret_sha256) = ("db".to_owned(), digest::sha256(SECRET.as_bytes()));
    Kubernetes { audience, secret_sha256, action: None, names }
}

/// As kube-apiserver sends it, with the members that it never leaves out.
fn review(token: &str, audiences: &[&str]) -> Value {
    let mut spec = json!({"token": token});
    if !audiences.is_empty() {
        spec["audiences"] = json!(audiences);
    }
    json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
           "metadata": {"creationTimestamp": null}, "spec": spec, "status": {"user": {}}})
}

impl Site {
    pub(crate) async fn review(&self, token: &str, audiences: &[&str]) -> Said {
        self.post(&review(token, audiences).to_string(), SECRET).await
    }

    async fn post(&self, body: &str, secret: &str) -> Said {
        let bearer = format!("Bearer {secret}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        self.ask("POST", "/kubernetes/tokenreview?timeout=30s", &headers, body).await
    }
}

#[tokio::test]
async fn a_good_token_names_a_user_with_groups_roles_and_its_id() {
    let site = Site::open();
    let token = site.realm.token("anna", 7, r#","groups":["crew"],"roles":["admin"],"scope":"read""#);
    let said = site.review(&token, &[]).await;
    assert_eq!(said.status, 200);
    let told = said.json();
    assert_eq!(told["kind"], "TokenReview");
    let user = json!({"username": "far:anna", "uid": "anna", "groups": ["crew", "role:admin"],
        "extra": {"farside/token-id": ["dome-7"], "farside/roles": ["admin"], "farside/scope": ["read"]}});
    assert_eq!(told["status"], json!({"authenticated": true, "user": user}));
    assert!(!said.body.contains(&token), "the token is not sent back");
    let line = site.journal("decision").remove(0);
    let noted = (&line["door"], &line["verdict"], &line["aud"], &line["sub"]);
    assert_eq!(noted, (&json!("tokenreview"), &json!("admit"), &json!("db"), &json!("anna")));
}

#[tokio::test]
async fn of_the_audiences_asked_for_the_tokens_own_is_named_or_it_is_refused() {
    let mut two = policy(1);
    two.audiences.push(audience("mail"));
    let site = Site::at(|| NOW, move |realm| vec![Plan { policy: Some(two), ..realm.plan() }]);
    let token = site.realm.token("anna", 1, "");
    for asked in [&["db"][..], &["https://kubernetes.default.svc", "db"], &["mail", "db"]] {
        let told = site.review(&token, asked).await.json();
        assert_eq!(told["status"]["authenticated"], true, "{asked:?} {told}");
        assert_eq!(told["status"]["audiences"], json!(["db"]), "{asked:?}");
    }
    for asked in [&["mail"][..], &["https://kubernetes.default.svc"]] {
        let told = site.review(&token, asked).await.json();
        assert_eq!(told["status"]["authenticated"], false, "{asked:?} {told}");
        assert!(told["status"]["error"].as_str().unwrap().starts_with("audience_mismatch: "), "{told}");
        assert!(told["status"].get("user").is_none(), "{told}");
    }
    assert_eq!(site.journal("decision").len(), 5, "one line for each review");
}

#[tokio::test]
async fn refused_tokens_are_unauthenticated_with_their_code() {
    let revoked = revoked_name("eve", NOW + 1);
    let site = Site::at(
        || NOW,
        |realm| {
            let mut plan = realm.plan();
            plan.status.as_mut().unwrap().subjects.push(revoked);
            vec![plan]
        },
    );
    let (eve, anna) = (site.realm.token("eve", 1, ""), site.realm.token("anna", 2, ""));
    let bound = site.realm.token("anna", 3, &format!(r#","cnf":{{"jkt":"{}"}}"#, "A".repeat(43)));
    for (token, code) in [
        (eve.as_str(), "revoked"),
        (&anna[..anna.len() - 6], "signature_invalid"),
        (&bound, "holder_proof_required"),
        ("", "malformed"),
        ("no token", "malformed"),
    ] {
        let said = site.review(token, &[]).await;
        let told = said.json();
        assert_eq!((said.status.as_u16(), &told["status"]["authenticated"]), (200, &json!(false)), "{told}");
        assert!(told["status"]["error"].as_str().unwrap().starts_with(code), "{code}: {told}");
    }
}

#[tokio::test]
async fn nobody_becomes_system_masters_by_a_group_that_is_named_so() {
    let site = Site::open();
    let masters = site.realm.token("anna", 1, r#","groups":["crew","system:masters"]"#);
    let told = site.review(&masters, &[]).await.json();
    assert_eq!(told["status"]["authenticated"], false, "{told}");
    assert!(told["status"]["error"].as_str().unwrap().starts_with("policy_denied"), "{told}");
    assert_eq!(site.journal("decision")[0]["verdict"], "refuse");
}

#[tokio::test]
async fn only_the_api_server_learns_anything_and_only_of_a_review_that_is_one() {
    let site = Site::open();
    let token = site.realm.token("anna", 1, "");
    let good = review(&token, &[]).to_string();
    for secret in ["", "wrong", &token] {
        let said = site.post(&good, secret).await;
        assert_eq!((said.status.as_u16(), said.body.contains("anna")), (401, false), "{secret}");
    }
    assert!(site.journal("decision").is_empty());
    for body in [
        String::new(),
        "[]".to_owned(),
        good.replace("/v1\"", "/v1beta1\""),
        good.replace("TokenReview", "SubjectAccessReview"),
        good.replacen("\"spec\":", "\"spec\":{},\"spec\":", 1),
        review(&token, &["a"; 17]).to_string(),
        review(&"a".repeat(70_000), &[]).to_string(),
    ] {
        assert_eq!(site.post(&body, SECRET).await.code(), (400, "body_invalid".to_owned()), "{body:.80}");
    }
    let said = site.ask("GET", "/kubernetes/tokenreview", &[], "").await;
    assert_eq!((said.status.as_u16(), said.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn a_gate_that_cannot_judge_says_so_and_not_that_the_token_is_bad() {
    let expired = Site::at(|| NOW + 25 * HOUR, |realm| vec![realm.plan()]);
    let token = expired.realm.token("anna", 1, "");
    let said = expired.review(&token, &[]).await;
    assert_eq!(said.code(), (503, "stale".to_owned()));
}

#[tokio::test]
async fn without_configuration_there_is_no_such_door() {
    let doors = super::plain_doors(&super::realm::Far::made());
    assert_eq!(ask(&doors, "POST", "/kubernetes/tokenreview", &[], "{}").await.status, 404);
}
