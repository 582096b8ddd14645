//! `farside mint serve`: token endpoint, admin pages, command socket and the sites' bundles, in one process.
//!
//! ```text
//!   clients ──TLS──▶ oauth ─┐                 admin ──▶ /metrics /healthz
//!   commands ─socket─▶ desk ┼─▶ Issuer ─▶ log
//!   each site's cadence ────┘
//! ```
//! Refuses to start without the log's lock, and to listen in clear beyond loopback (see `service::web`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use farside_service::cli::{Failure, operator};
use farside_service::durable::{self, Mode};
use farside_service::time::now_unix;
use farside_service::web::{Limits, Listen, Server, Shutdown, WebFault, admin_router};
use farside_service::{logging, metrics};

use serde_json::json;

use crate::bundler;
use crate::config::Mint;
use crate::control::{ANSWER_SECONDS_MAX, COMMAND_PATH, Command, MESSAGE_BYTES_MAX, Reply};
use crate::desk::Desk;
use crate::log::witness::Rounds;
use crate::log::{LogFault, Recovered, http};
use crate::oauth::{Endpoints, SpentAssertions};
use crate::status_pages::StatusPages;
use crate::watch::TokenWatch;

/// Serves until it is told to stop (SIGTERM, SIGINT).
pub fn run(mint: &Mint) -> Result<(), Failure> {
    // A second set-up in one process is a test's; the first one stands.
    let _set_up_before = logging::init(logging::Options::default());
    let metrics = metrics::install()?;
    let now = now_unix();
    let (desk, recovered) = Desk::open(mint, now)?;
    bundler::settle_all(&mint.home, desk.issuer().store(), &**desk.issuer())?;
    desk.issuer().warm_up(now)?;
    publish_first(&desk)?;
    tell(&recovered);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|fault| Failure::could_not(format!("no threads could be had: {fault}")))?;
    let serving = Serving { mint: mint.clone(), desk: Arc::new(desk), metrics, recovered };
    runtime.block_on(serving.until_told_to_stop())
}

/// Publishes what was issued before. Where the log's key is in a PKCS#11 token that is away, heads wait for
/// it, and tokens of other keys do not.
fn publish_first(desk: &Desk) -> Result<(), Failure> {
    match desk.issuer().log().publish() {
        Err(LogFault::Key(fault)) if fault.is_passing() => {
            tracing::error!(%fault, "no head is published until the log's key is back");
            Ok(())
        }
        published => Ok(published.map(drop)?),
    }
}

/// What runs.
struct Serving {
    mint: Mint,
    desk: Arc<Desk>,
    metrics: metrics::Handle,
    recovered: Recovered,
}

impl Serving {
    async fn until_told_to_stop(self) -> Result<(), Failure> {
        let stopped = |fault| Failure::could_not(format!("signals cannot be heard: {fault}"));
        let shutdown = Shutdown::on_signals().map_err(stopped)?;
        // Whoever finds the public port open can also give commands.
        let control = self.control().await?;
        let listen = self.beside_the_configuration(&self.mint.config.listen);
        let public = Server::bind(&listen, &self.mint.config.limits).await?;
        let url = self.url(&listen, &public);
        let spent = SpentAssertions::recovered(self.recovered.assertions.clone(), now_unix());
        let endpoints =
            Endpoints::new(Arc::clone(self.desk.issuer()), &url, spent, Arc::clone(&self.desk) as _);
        let admin = self.admin().await?;
        let Recovered { records, torn_bytes, voided, .. } = &self.recovered;
        let (records, by) = (*records, operator());
        let started = json!({"by": by, "records": records, "torn_bytes": torn_bytes, "voided": voided});
        self.desk.record("started", started)?;
        tracing::info!(%url, socket = %self.mint.home.socket().display(), "the mint is open");
        let lists = StatusPages::new(self.desk.issuer(), &self.mint.home);
        let mut pages = endpoints.router().merge(lists.router());
        if self.mint.config.log.serve {
            pages = pages.merge(http::router(Arc::clone(self.desk.issuer().log())));
        }
        tokio::try_join!(
            public.serve_router(pages, shutdown.clone()),
            control.serve_router(control_router(&self.desk), shutdown.clone()),
            serve_admin(admin, self.admin_pages(), shutdown.clone()),
            Arc::clone(&self.desk).keep_cadence(shutdown.clone()),
            Arc::clone(&self.desk).keep_publishing(shutdown.clone()),
            self.keep_witnesses(shutdown.clone()),
            TokenWatch::new(Arc::clone(&self.desk)).keep(shutdown.clone()),
        )?;
        self.desk.tell_issuing(now_unix())?;
        self.desk.record("stopped", json!({"by": by}))?;
        tracing::info!("the mint is closed");
        Ok(())
    }

    // Beside everything else: a witness that does not answer delays nothing (log.md §5.3).
    async fn keep_witnesses(&self, shutdown: Shutdown) -> Result<(), WebFault> {
        let config = &self.mint.config.log;
        if config.witness.is_empty() {
            return Ok(());
        }
        let log = Arc::clone(self.desk.issuer().log());
        let rounds = Rounds::new(log, config.witness.clone(), &self.mint.home.0);
        let rounds = Arc::new(Mutex::new(rounds));
        loop {
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = tokio::time::sleep(Duration::from_secs(config.publish_seconds)) => {}
            }
            let rounds = Arc::clone(&rounds);
            let round = move || rounds.lock().unwrap_or_else(PoisonError::into_inner).go();
            if tokio::task::spawn_blocking(round).await.is_err() {
                tracing::error!("a round of the witnesses failed");
            }
        }
    }

    async fn control(&self) -> Result<Server, Failure> {
        let socket = self.mint.home.socket();
        if let Some(folder) = socket.parent() {
            durable::create_dir_all(folder, Mode::Private)?;
        }
        let limits = Limits {
            body_bytes_max: MESSAGE_BYTES_MAX,
            request_seconds_max: ANSWER_SECONDS_MAX,
            ..Limits::default()
        };
        Ok(Server::bind_unix(&socket, &limits).await?)
    }

    async fn admin(&self) -> Result<Option<Server>, Failure> {
        let Some(listen) = &self.mint.config.admin else { return Ok(None) };
        let server = Server::bind(&self.beside_the_configuration(listen), &self.mint.config.limits).await?;
        if let Some(address) = server.local_addr() {
            tracing::info!(%address, "metrics and health are shown");
        }
        Ok(Some(server))
    }

    fn admin_pages(&self) -> Router {
        let (issuer, desk) = (Arc::clone(self.desk.issuer()), Arc::clone(&self.desk));
        let healthy = move || {
            issuer.log().healthy().map_err(|fault| fault.to_string())?;
            desk.journal().healthy().map_err(|fault| format!("journal: {fault}"))?;
            issuer.store().directory().map(drop).map_err(|fault| fault.to_string())?;
            let tokens = issuer.tokens().alarms();
            Ok(tokens.iter().map(ToString::to_string).chain(desk.to_do()).collect())
        };
        admin_router(self.metrics.clone(), healthy)
    }

    fn url(&self, listen: &Listen, server: &Server) -> String {
        let scheme = if listen.tls.is_some() { "https" } else { "http" };
        let address = server.local_addr().unwrap_or(listen.address);
        self.mint.config.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"))
    }

    // Paths in mint.toml are relative to its folder.
    fn beside_the_configuration(&self, listen: &Listen) -> Listen {
        let mut listen = listen.clone();
        if let Some(tls) = &mut listen.tls {
            tls.certificates = self.mint.home.0.join(&tls.certificates);
            tls.key = self.mint.home.0.join(&tls.key);
        }
        listen
    }
}

async fn serve_admin(server: Option<Server>, pages: Router, shutdown: Shutdown) -> Result<(), WebFault> {
    match server {
        Some(server) => server.serve_router(pages, shutdown).await,
        None => Ok(()),
    }
}

fn control_router(desk: &Arc<Desk>) -> Router {
    Router::new()
        .route(COMMAND_PATH, post(command))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
        .with_state(Arc::clone(desk))
}

async fn command(State(desk): State<Arc<Desk>>, Json(command): Json<Command>) -> Json<Reply> {
    let done = tokio::task::spawn_blocking(move || desk.carry_out(&command, now_unix())).await;
    Json(match done {
        Ok(Ok(reply)) => reply,
        Ok(Err(failure)) => Reply::failed(&failure),
        Err(_) => Reply::failed(&Failure::could_not("the mint failed at this command; its log says more")),
    })
}

fn tell(recovered: &Recovered) {
    let Recovered { records, torn_bytes, voided, .. } = recovered;
    if *torn_bytes > 0 || *voided > 0 {
        tracing::warn!(records, torn_bytes, voided, "the log was mended after a crash");
    } else {
        tracing::info!(records, "the log is whole");
    }
}
