//! What the proxy says that it received: believed where the configuration says so, and read strictly.

use std::sync::Arc;

use farside_crossing::PolicyDocument;
use farside_gate::config::{Proxy as Told, RequestHeaders};
use farside_gate::http::Doors;
use farside_service::journal::Journal;
use serde_json::{Value, json};

use super::realm::{Far, NOW, Plan, policy};
use super::{Said, ask};

/// Doors whose proxy is believed.
pub(crate) struct Behind {
    pub(crate) realm: super::realm::Realm,
    pub(crate) far: Far,
    pub(crate) doors: Arc<Doors>,
}

impl Behind {
    pub(crate) fn open(told: Told) -> Behind {
        Behind::with(told, policy(1))
    }

    pub(crate) fn with(told: Told, policy: PolicyDocument) -> Behind {
        let (mut realm, far) = Far::enrolled();
        far.import(&realm.send(Plan { policy: Some(policy), ..realm.plan() }));
        let (journal, _) = Journal::open(&far.config.journal(), "gate").unwrap();
        let doors = Doors::new(Arc::new(far.gate()), journal, far.replay(), &[], || NOW).proxy(told);
        Behind { realm, far, doors: Arc::new(doors) }
    }

    pub(crate) async fn verify(&self, headers: &[(&str, &str)]) -> Said {
        ask(&self.doors, "GET", "/verify", headers, "").await
    }

    /// What the journal says of the last decision's request.
    fn told(&self) -> Value {
        last_request(&self.far)
    }
}

pub(crate) fn last_request(far: &Far) -> Value {
    let text = std::fs::read_to_string(far.config.journal().join("gate.jsonl")).unwrap();
    let mut lines = text.lines().filter(|line| line.contains("\"event\":\"decision\""));
    let last: Value = lines.next_back().map(|line| serde_json::from_str(line).unwrap()).unwrap_or_default();
    last["request"].clone()
}

pub(crate) fn believed() -> Told {
    Told { request: Some(RequestHeaders::XForwarded), certificate: None }
}

const FACTS: [(&str, &str); 4] = [
    ("x-forwarded-method", "PUT"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "Wiki.example:8443"),
    ("x-forwarded-uri", "/page?token=secret"),
];

#[tokio::test]
async fn what_a_proxy_received_is_believed_where_the_configuration_says_so_and_journalled_without_its_query()
{
    let behind = Behind::open(believed());
    let good = format!("Bearer {}", behind.realm.token("anna", 1, ""));
    let mut headers = FACTS.to_vec();
    headers.push(("authorization", &good));
    assert_eq!(behind.verify(&headers).await.status, 200);
    let told =
        json!({"method": "PUT", "scheme": "https", "host": "wiki.example", "port": 8443, "path": "/page"});
    assert_eq!(behind.told(), told);

    let unbelieving = Behind::open(Told::default());
    let good = format!("Bearer {}", unbelieving.realm.token("anna", 1, ""));
    headers[4].1 = &good;
    headers.push(("x-forwarded-uri", "http://twice/"));
    assert_eq!(unbelieving.verify(&headers).await.status, 200);
    assert_eq!(unbelieving.told(), Value::Null);
}

#[tokio::test]
async fn a_request_that_the_proxy_does_not_name_plainly_is_wrong_however_good_its_token() {
    let behind = Behind::open(believed());
    let good = format!("Bearer {}", behind.realm.token("anna", 1, ""));
    let wrong = async |headers: &[(&str, &str)]| {
        let mut all = headers.to_vec();
        all.push(("authorization", &good));
        let said = behind.verify(&all).await;
        assert_eq!(said.code(), (400, "forwarded_invalid".to_owned()), "{headers:?}");
    };
    for at in 0..FACTS.len() {
        let mut missing = FACTS.to_vec();
        missing.remove(at);
        wrong(&missing).await;
        let mut twice = FACTS.to_vec();
        twice.push(FACTS[at]);
        wrong(&twice).await;
        for value in ["", "a, b", "caf\u{e9}", "\t"] {
            let mut odd = FACTS.to_vec();
            odd[at].1 = value;
            wrong(&odd).await;
        }
    }
    for target in
        ["page", "*", "/page#top", "http://wiki.example/page", "/\u{e9}", &format!("/{}", "a".repeat(8192))]
    {
        let mut odd = FACTS.to_vec();
        odd[3].1 = target;
        wrong(&odd).await;
    }
}
