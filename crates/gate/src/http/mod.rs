//! The doors of the gate, as HTTP: one service, one decision behind all of them.
//!
//! ```text
//!   /verify      ─┐                                           ┌─ 200 and who it is
//!   ext_authz    ─┤   over gRPC                               │
//!   /introspect  ─┼─▶ credential ─▶ judge ─▶ once ─▶ journal ─┤
//!   /pickup      ─┤                                           └─ 400 401 403 404 429 503, with code and cure
//!   /kubernetes  ─┤
//!   /ssh         ─┘   there the token is one that was carried
//!   /.well-known/… /jwks.json   what the gate believes now        /healthz /readyz   one word
//! ```
//!
//! Refuses whatever cannot be judged or written down. Nothing a client sends besides its credential decides
//! anything; what its proxy says of the request counts where the configuration says so.

pub mod answer;
pub mod attempts;
mod body;
mod clients;
mod counts;
pub mod credential;
mod decide;
mod discovery;
mod ext_authz;
pub mod form;
mod forwarded;
mod health;
mod introspect;
mod pickup;
pub mod pickup_client;
mod proof;
pub(crate) mod ssh;
mod status_list;
mod tokenreview;
mod verify;
mod wanted;

pub use body::RequestBody;
pub use ext_authz::AnyAnswer;

use std::sync::{Arc, Mutex};

use farside_service::journal::Journal;
use hyper::{Method, Request};

use crate::config::{Audit, IntrospectionClient, Kubernetes, Proxy, Ssh};
use crate::patience::Patience;
use crate::replay::Replay;
use crate::trust::Gate;
use answer::Answer;
use attempts::Attempts;
use clients::Clients;
use counts::Counts;

/// All doors of one gate, shared by all connections.
pub struct Doors {
    gate: Arc<Gate>,
    journal: Journal,
    clients: Clients,
    kubernetes: Option<Kubernetes>,
    ssh: Option<Ssh>,
    replay: Replay,
    proxy: Proxy,
    /// Owns the counts of failed pick-ups.
    attempts: Mutex<Attempts>,
    /// How the journal's disk is waited for.
    patience: Patience,
    /// How decisions are written down.
    audit: Audit,
    counts: Counts,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// The doors that decide about tokens, by the names they have in the journal and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Forward-auth.
    Verify,
    /// Envoy's ext_authz over gRPC.
    ExtAuthz,
    /// RFC 7662.
    Introspect,
    /// Kubernetes' webhook.
    TokenReview,
    /// sshd's `AuthorizedKeysCommand`.
    Ssh,
}

impl Door {
    const ALL: [Door; 5] = [Self::Verify, Self::ExtAuthz, Self::Introspect, Self::TokenReview, Self::Ssh];

    fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::ExtAuthz => "ext_authz",
            Self::Introspect => "introspect",
            Self::TokenReview => "tokenreview",
            Self::Ssh => "ssh",
        }
    }
}

impl Doors {
    /// Opens the doors of a gate, deciding by `clock` (Unix seconds), writing into `journal`, and remembering
    /// in `replay` what counts once.
    pub fn new(
        gate: Arc<Gate>,
        journal: Journal,
        replay: Replay,
        clients: &[IntrospectionClient],
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let clients = Clients::new(clients);
        Self {
            gate,
            journal,
            clients,
            kubernetes: None,
            ssh: None,
            replay,
            proxy: Proxy::default(),
            attempts: Mutex::default(),
            patience: Patience::default(),
            audit: Audit::default(),
            counts: Counts::new(),
            clock: Box::new(clock),
        }
    }

    /// Opens the door for sshd too, where it is configured.
    #[must_use]
    pub fn ssh(mut self, ssh: Option<Ssh>) -> Self {
        self.ssh = ssh;
        self
    }

    /// Takes the word of the proxy in front, as far as it is configured.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Writes decisions down as the configuration says.
    #[must_use]
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Opens the door for API servers too, where it is configured.
    #[must_use]
    pub fn kubernetes(mut self, kubernetes: Option<Kubernetes>) -> Self {
        self.kubernetes = kubernetes;
        self
    }

    /// Answers one request. No path is free of its door's rules; what is no door is 404.
    pub async fn answer(&self, request: Request<impl RequestBody>) -> Answer {
        let answer = self.route(request).await;
        self.finished(answer)
    }

    /// What every answer says, whichever door it comes from.
    fn finished(&self, mut answer: Answer) -> Answer {
        answer::say_freshness(&mut answer, self.gate.last().freshness(self.now()));
        answer
    }

    async fn route(&self, request: Request<impl RequestBody>) -> Answer {
        let (request, body) = request.into_parts();
        match request.uri.path() {
            "/verify" => verify::answer(self, &request).await,
            "/introspect" => introspect::answer(self, &request, body).await,
            "/pickup" => pickup::answer(self, &request, body).await,
            "/ssh/authorized-keys" => ssh::answer(self, &request, body).await,
            "/kubernetes/tokenreview" => tokenreview::answer(self, &request, body).await,
            path => match (&request.method, path) {
                (&Method::GET | &Method::HEAD, path) if path.starts_with("/status/") => {
                    status_list::answer(self, &request)
                }
                (&Method::GET | &Method::HEAD, _) => self.show(path),
                (_, path) if is_shown(path) => answer::method_not_allowed("GET, HEAD"),
                _ => answer::bare(hyper::StatusCode::NOT_FOUND),
            },
        }
    }

    fn show(&self, path: &str) -> Answer {
        match path {
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" => {
                discovery::configuration(self)
            }
            "/jwks.json" => discovery::jwks(self),
            "/healthz" => health::alive(),
            "/readyz" => health::ready(self),
            _ => answer::bare(hyper::StatusCode::NOT_FOUND),
        }
    }

    pub(crate) fn replay(&self) -> &Replay {
        &self.replay
    }

    pub(crate) fn now(&self) -> u64 {
        (self.clock)()
    }
}

fn is_shown(path: &str) -> bool {
    matches!(path, "/jwks.json" | "/healthz" | "/readyz")
        || path.starts_with("/.well-known/o")
        || path.starts_with("/status/")
}

/// Counts a request that is wrong whatever its token.
fn count_wrong(door: &'static str, code: &'static str) {
    metrics::counter!("farside_gate_wrong_requests_total", "door" => door, "code" => code).increment(1);
}
