//! The gate's doors as their clients meet them: statuses, headers, journal, and what happens under load.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

#[path = "../../../../system-tests/src/ports.rs"]
mod ports;
#[path = "../gate/realm.rs"]
mod realm;

mod agent;
mod bound;
mod breakglass;
mod discovery;
mod ext_authz;
mod forwarded;
mod freshness;
mod fronts;
mod hold;
mod holder;
mod introspect;
mod load;
mod logged;
mod nginx;
mod pickup;
mod policies;
mod process;
mod program;
mod proxies;
mod shared;
mod shared_tls;
mod single_use;
mod smuggling;
mod ssh;
mod tokenreview;
mod verify;

use std::sync::Arc;

use farside_crossing::Action;
use farside_gate::config::{IntrospectionClient, Kubernetes, Ssh};
use farside_gate::http::Doors;
use farside_service::digest;
use farside_service::journal::Journal;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use realm::{Far, NOW, Realm};

/// Doors over a gate in a folder, at the time at which everything in `realm` happens.
pub(crate) struct Site {
    pub(crate) realm: Realm,
    pub(crate) far: Far,
    pub(crate) doors: Arc<Doors>,
}

/// What a door answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Site {
    /// A gate that holds one full bundle.
    pub(crate) fn open() -> Site {
        Site::at(|| NOW, |realm| vec![realm.plan()])
    }

    /// A gate that holds these bundles, at this time.
    pub(crate) fn at(clock: fn() -> u64, plans: impl FnOnce(&Realm) -> Vec<realm::Plan>) -> Site {
        Site::used_for(None, clock, plans)
    }

    /// One whose doors for sshd and API servers are configured for this.
    pub(crate) fn used_for(
        action: Option<Action>,
        clock: fn() -> u64,
        plans: impl FnOnce(&Realm) -> Vec<realm::Plan>,
    ) -> Site {
        let (mut realm, far) = Far::enrolled();
        for plan in plans(&realm) {
            let bundle = realm.send(plan);
            assert!(realm::code(&far.import(&bundle)).starts_with("applied"), "the bundle is applied");
        }
        let doors = doors_for(&far, clock, action);
        Site { realm, far, doors }
    }

    /// Asks `/verify` with these headers.
    pub(crate) async fn verify(&self, headers: &[(&str, &str)]) -> Said {
        self.ask("GET", "/verify", headers, "").await
    }

    /// Shows a token at `/verify`.
    pub(crate) async fn show(&self, token: &str) -> Said {
        self.verify(&[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Said {
        ask(&self.doors, method, path, headers, body).await
    }

    /// The journal's lines of one event.
    pub(crate) fn journal(&self, event: &str) -> Vec<serde_json::Value> {
        let text = self.journal_text();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    }

    pub(crate) fn journal_text(&self) -> String {
        std::fs::read_to_string(self.far.config.journal().join("gate.jsonl")).unwrap()
    }
}

impl Said {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    /// Status and refusal code.
    pub(crate) fn code(&self) -> (u16, String) {
        let code = serde_json::from_str::<serde_json::Value>(&self.body).unwrap_or_default();
        (self.status.as_u16(), code["code"].as_str().unwrap_or_default().to_owned())
    }
}

pub(crate) const CLIENT_SECRET: &str = "7Zk3tq8nqv0JcYw0vXv1m2rJxkP4y1b5dQ8sT6uW9zE";

pub(crate) fn doors_of(far: &Far, clock: fn() -> u64) -> Arc<Doors> {
    doors_for(far, clock, None)
}

fn doors_for(far: &Far, clock: fn() -> u64, action: Option<Action>) -> Arc<Doors> {
    let (journal, _) = Journal::open(&far.config.journal(), "gate").unwrap();
    let doors = Doors::new(Arc::new(far.gate()), journal, far.replay(), &[client()], clock);
    let kubernetes = Kubernetes { action, ..tokenreview::configured() };
    let ssh = Ssh { action, ..ssh::configured() };
    Arc::new(doors.kubernetes(Some(kubernetes)).ssh(Some(ssh)))
}

pub(crate) fn client() -> IntrospectionClient {
    let secret_sha256 = digest::sha256(CLIENT_SECRET.as_bytes());
    IntrospectionClient { id: "wiki".to_owned(), audience: None, secret_sha256 }
}

/// The doors that every gate has, and no other.
pub(crate) fn plain_doors(far: &Far) -> Doors {
    let (journal, _) = Journal::open(&far.config.journal(), "gate").unwrap();
    Doors::new(Arc::new(far.gate()), journal, far.replay(), &[], || NOW)
}

pub(crate) async fn ask(
    doors: &Doors,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Said {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let (head, body) = doors.answer(request).await.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Said { status: head.status, headers: head.headers, body }
}
