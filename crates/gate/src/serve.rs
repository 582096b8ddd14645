//! `farside gate serve`: opens the doors, watches the inbox, and closes without losing an answer.
//!
//! Seven things run side by side until a signal ends them: the doors, the admin address, the watch, which
//! imports what the ferry dropped, the vigil over freshness, the keeper of the clock, that of the replay
//! store, and whoever keeps the trust folder. Verification opens no socket, and what counts once none but to
//! the Redis that gates may share; all other sockets are the ones listened on.

use std::sync::Arc;
use std::time::Duration;

use farside_service::cli::{Failure, OrFailure, operator};
use farside_service::journal::Journal;
use farside_service::web::{self, Server, Shutdown};
use farside_service::{logging, metrics as exposed};
use serde_json::json;

use crate::breakglass;
use crate::clock::{Keeper, Seen};
use crate::config::{Audit, Config};
use crate::freshness::keeper;
use crate::http::Doors;
use crate::import::{self, Outcome, Report};
use crate::replay::{self, Replay};
use crate::trust::Gate;
use crate::trust_folder;

/// The journal of decisions, beside the one that the import keeps.
const JOURNAL_NAME: &str = "gate";

/// How often the trust folder is compared with the trust.
const FOLDER_LOOK: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
///
/// # Errors
/// The store, the journal or an address cannot be opened.
pub fn run(config: &Config) -> Result<(), Failure> {
    logging::init(logging::Options::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .or_could_not(|| "start the threads of the server".to_owned())?;
    runtime.block_on(serve(Arc::new(config.clone())))
}

async fn serve(config: Arc<Config>) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals().or_could_not(|| "listen for signals".to_owned())?;
    let handle = exposed::install()?;
    let gate = Arc::new(Gate::open(&config)?);
    gate.keep_warm();
    let (journal, _) = Journal::open(&config.journal(), JOURNAL_NAME)?;
    let server = Server::bind(&config.listen, &config.limits).await?;
    let admin = match &config.admin {
        Some(listen) => Some(Server::bind(listen, &config.limits).await?),
        None => None,
    };
    let now = gate.moment().now;
    let replay = Replay::open(&config, gate.store(), now)?;
    let lost = replay.meet(now).await?;
    let asked = gate.clone();
    let clock = move || asked.time();
    let doors = Doors::new(gate.clone(), journal, replay, &config.introspection_clients, clock);
    let doors = doors.kubernetes(config.kubernetes.clone()).ssh(config.ssh.clone());
    let doors = Arc::new(doors.proxy(config.proxy.clone()).audit(config.audit));
    doors
        .write_down(
            "started",
            gate.moment().now,
            json!({"by": operator(), "site": config.site, "audit": config.audit.as_str()}),
        )
        .await
        .map_err(|refusal| {
            Failure::could_not(format!("write to the journal: {refusal}")).hint(refusal.cure().to_owned())
        })?;
    let address = server.local_addr().map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(address, site = config.site, "the doors are open");
    if config.audit == Audit::Batched {
        tracing::warn!("audit = \"batched\": a power cut takes the last decisions from the journal");
    }

    let watching = tokio::spawn(watch(config.clone(), gate.clone(), shutdown.clone()));
    let vigil = tokio::spawn(keeper::keep(doors.clone(), gate.clone(), shutdown.clone()));
    let keeping = tokio::spawn(Keeper::default().run(gate.clone(), doors.clone(), shutdown.clone()));
    let showing = tokio::spawn(show(config.clone(), gate.clone(), shutdown.clone()));
    let glass = tokio::spawn(breakglass::watch::keep(config.clone(), gate.clone(), shutdown.clone()));
    let remembering = tokio::spawn(replay::keeper::keep(doors.clone(), gate.clone(), lost, shutdown.clone()));
    let admin = tokio::spawn(serve_admin(admin, handle, gate.clone(), shutdown.clone()));
    let served = serve_doors(server, doors.clone(), shutdown.clone()).await;
    // Whatever ended the doors ends the rest.
    shutdown.trigger();
    let watched = watching.await.or_could_not(|| "watch the inbox".to_owned());
    let watched = watched.and(vigil.await.or_could_not(|| "watch freshness".to_owned()));
    let watched = watched.and(keeping.await.or_could_not(|| "keep the clock".to_owned()));
    let shown = showing.await.or_could_not(|| "keep the trust folder".to_owned());
    let watched = watched.and(glass.await.or_could_not(|| "watch broken glass".to_owned()));
    let watched = watched.and(remembering.await.or_could_not(|| "keep the replay store".to_owned()));
    let administered = admin.await.or_could_not(|| "serve the admin address".to_owned())?;
    if doors.write_down("stopped", gate.moment().now, json!({"by": operator()})).await.is_err() {
        tracing::error!("the end could not be written to the journal");
    }
    served.and(watched).and(shown).and(administered)
}

async fn serve_doors(server: Server, doors: Arc<Doors>, shutdown: Shutdown) -> Result<(), Failure> {
    let answer = move |request| {
        let doors = doors.clone();
        doors.answer_any(request)
    };
    Ok(server.serve_fn(answer, shutdown).await?)
}

async fn serve_admin(
    server: Option<Server>,
    handle: exposed::Handle,
    gate: Arc<Gate>,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let Some(server) = server else { return Ok(()) };
    let healthy = move || {
        let moment = gate.moment();
        let trust = gate.trust().map_err(|refusal| refusal.to_string())?;
        trust.ready(moment.now).map_err(|refusal| refusal.to_string())?;
        let facts = Seen::of(&trust, &moment).facts();
        Ok(facts.into_iter().map(|(about, line, _)| format!("{about}: {line}")).collect())
    };
    Ok(server.serve_router(web::admin_router(handle, healthy), shutdown).await?)
}

/// Looks into the inbox at once and then at every poll. One round ends before the next begins, and before the
/// end.
async fn watch(config: Arc<Config>, gate: Arc<Gate>, shutdown: Shutdown) {
    let poll = Duration::from_secs(config.inbox_poll.0.max(1));
    loop {
        let (round, known, moment) = (config.clone(), gate.clone(), gate.moment());
        let import = move || import::inbox_of(&known, &round, moment.now, moment.earliest());
        let imported = tokio::task::spawn_blocking(import).await;
        match imported {
            Ok(Ok(reports)) => reports.iter().for_each(log_report),
            Ok(Err(failure)) => tracing::error!(%failure, "the inbox could not be read"),
            Err(stopped) => tracing::error!(%stopped, "the import stopped"),
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(poll) => {}
        }
    }
}

/// Keeps the trust folder as the trust is: what time alone has ended too goes from it, within a second.
async fn show(config: Arc<Config>, gate: Arc<Gate>, shutdown: Shutdown) {
    if config.trust_folder.is_none() {
        return;
    }
    loop {
        let (config, gate) = (config.clone(), gate.clone());
        let shown =
            tokio::task::spawn_blocking(move || trust_folder::refresh(&config, &gate, gate.moment().now))
                .await;
        match shown {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                metrics::counter!("farside_gate_trust_folder_failures_total").increment(1);
                tracing::error!(%failure, "the trust folder could not be written");
            }
            Err(stopped) => tracing::error!(%stopped, "the trust folder is not kept"),
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(FOLDER_LOOK) => {}
        }
    }
}

fn log_report(report: &Report) {
    let file = report.file.as_str();
    let outcome = match &report.outcome {
        Outcome::Applied(applied) => {
            let (seq, kind, missing) = (applied.seq, applied.kind.as_str(), applied.missing);
            tracing::info!(file, seq, kind, ?missing, "bundle applied");
            "applied"
        }
        Outcome::AlreadyApplied { seq } => {
            tracing::debug!(file, seq, "bundle is held already");
            "already_applied"
        }
        Outcome::Superseded { held, offered, .. } => {
            tracing::debug!(file, held, offered, "a newer bundle is held");
            "superseded"
        }
        Outcome::Refused { refusal, .. } => {
            tracing::warn!(file, code = refusal.code().as_str(), detail = refusal.detail(), "bundle refused");
            "refused"
        }
        Outcome::Chartered(chartered) => {
            let (version, new) = (chartered.version, chartered.charters.len());
            tracing::info!(file, version, new, "charters followed");
            "chartered"
        }
        Outcome::Ignored(_) => "ignored",
    };
    metrics::counter!("farside_gate_imports_total", "outcome" => outcome).increment(1);
}
