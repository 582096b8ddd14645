//! HTTP plumbing for the two servers: a listener with limits, TLS, a graceful end, and the admin pages. It
//! carries an axum router or a plain function, and refuses to listen beyond loopback in clear unless the
//! configuration says who stands there.
//!
//! ```text
//!   accept (at most connections_max) ─ TLS or clear ─ HTTP/1.1 or 2 by ALPN or preface ─ router │ function
//!      bounded in time: handshake, preface, header, idle          bounded in bytes: header, body
//! ```
//!
//! When all places are taken, a connection that waits for its client gives way to the next (`places`).

mod accept;
mod admin;
pub mod client;
mod connection;
mod handles;
mod listen;
mod peer;
mod places;
mod shutdown;
mod tls;
mod unix;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use hyper::body::Body;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use accept::accepts;
pub use admin::admin_router;
use connection::{Carrier, Fresh, Stream};
pub use listen::{ClearBeyondLoopback, ClientCertificates, Limits, Listen, Tls};
pub use peer::PeerCertificate;
pub use places::Arriving;
use places::{Peer, Places};
pub use shutdown::Shutdown;

use crate::cli::Failure;
use crate::durable::{Failed, failed};
use crate::tls::TlsFault;

/// How long connections may take to end once the end was asked for.
const FAREWELL_SECONDS: u64 = 10;
/// Pause after a failed accept, so that the loop does not spin.
const ACCEPT_PAUSE_MILLISECONDS: u64 = 50;
/// The same after somebody was asked to leave, who gives a file handle back.
const LEAVE_PAUSE_MILLISECONDS: u64 = 5;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum WebFault {
    /// The address is reachable from elsewhere and nothing protects the bytes.
    #[error(
        "{0} can be reached from other machines, and without TLS tokens would cross the network in clear"
    )]
    ClearBeyondLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The socket file cannot be made.
    #[error(transparent)]
    Socket(#[from] Failed),
    /// Another server answers there already.
    #[error("{0} is served already")]
    Served(PathBuf),
    /// Certificate or key are not usable.
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

impl From<WebFault> for Failure {
    fn from(fault: WebFault) -> Self {
        let hint = match &fault {
            WebFault::ClearBeyondLoopback(_) => {
                "add `tls`, listen on 127.0.0.1, or say in clear_beyond_loopback who stands there"
            }
            WebFault::Bind { .. } => "choose another address, or stop who has it",
            WebFault::Socket(_) => "check the folder's owner and free space",
            WebFault::Served(_) => "stop the one that runs",
            WebFault::Tls(_) => "check the files named under `tls`",
        };
        Self::could_not(fault.to_string()).hint(hint)
    }
}

/// A bound listener. Dropped, it gives its address back.
///
/// ```no_run
/// use farside_service::web::{Limits, Listen, Server, Shutdown};
/// # async fn run(listen: Listen, router: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(&listen, &Limits::default()).await?;
/// server.serve_router(router, Shutdown::on_signals()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    limits: Limits,
}

enum Listener {
    Tcp { listener: TcpListener, address: SocketAddr, tls: Option<TlsAcceptor> },
    Unix { listener: UnixListener, file: unix::SocketFile },
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { address, .. } => write!(f, "{address}"),
            Self::Unix { file, .. } => write!(f, "{}", file.path().display()),
        }
    }
}

impl Server {
    /// Takes the address; whoever connects from now on waits to be served.
    ///
    /// # Errors
    /// In clear beyond loopback without leave, address taken, or certificate and key unusable.
    pub async fn bind(listen: &Listen, limits: &Limits) -> Result<Self, WebFault> {
        listen.refuse_clear_beyond_loopback()?;
        let tls = listen.tls.as_ref().map(tls::acceptor).transpose()?;
        let refused = |source| WebFault::Bind { address: listen.address, source };
        let listener = TcpListener::bind(listen.address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener: Listener::Tcp { listener, address, tls }, limits: *limits })
    }

    /// Takes a Unix socket that only this user may connect to (mode 0600).
    ///
    /// # Errors
    /// Another server answers there, or the socket cannot be made.
    pub async fn bind_unix(path: &Path, limits: &Limits) -> Result<Self, WebFault> {
        let (listener, file) = unix::bind(path).await?;
        Ok(Self { listener: Listener::Unix { listener, file }, limits: *limits })
    }

    /// The address it has, where it is one; with port 0 configured, the port that was given.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Tcp { address, .. } => Some(*address),
            Listener::Unix { .. } => None,
        }
    }

    /// Serves a router until `shutdown`, then lets what is under way end. A request takes at most
    /// `limits.request_seconds_max` until its answer begins; bodies are held to `limits.body_bytes_max`.
    ///
    /// # Errors
    /// None once it was bound; the result leaves room for listeners that can fail.
    pub async fn serve_router(self, router: Router, shutdown: Shutdown) -> Result<(), WebFault> {
        let router = router.layer(DefaultBodyLimit::max(self.limits.body_bytes_max));
        let patience = Duration::from_secs(self.limits.request_seconds_max);
        let answer = service_fn(move |request: Request<Arriving>| {
            let router = router.clone();
            async move { Ok::<_, Infallible>(connection::answer_within(patience, router, request).await) }
        });
        self.serve(answer, shutdown).await
    }

    /// Serves a function until `shutdown`, for paths that must be short. The function bounds the body and the
    /// time it takes by itself.
    ///
    /// # Errors
    /// As [`Server::serve_router`].
    pub async fn serve_fn<F, Fut, B>(self, answer: F, shutdown: Shutdown) -> Result<(), WebFault>
    where
        F: Fn(Request<Arriving>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let answer = service_fn(move |request| {
            let answering = answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        self.serve(answer, shutdown).await
    }

    async fn serve<S, B>(self, service: S, shutdown: Shutdown) -> Result<(), WebFault>
    where
        S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let places = Places::new(handles::places(self.limits.connections_max));
        let graceful = GracefulShutdown::new();
        let carrier = Carrier::new(&self.limits);
        let mut running = JoinSet::new();
        // Accepted, and without a place yet.
        let mut came: Option<(Stream, Peer)> = None;
        loop {
            let taking = async {
                match &came {
                    Some((_, peer)) => places.take(*peer).await,
                    None => std::future::pending().await,
                }
            };
            let place = tokio::select! {
                () = shutdown.wait() => break,
                Some(_ended) = running.join_next() => continue,
                accepted = self.accept(&places), if came.is_none() => {
                    came = accepted;
                    continue;
                }
                place = taking => place,
            };
            if let Some((stream, _)) = came.take() {
                let fresh = Fresh::new(stream, place);
                running.spawn(carrier.clone().carry(fresh, service.clone(), graceful.watcher()));
            }
        }
        drop(self.listener);
        let farewell = async {
            graceful.shutdown().await;
            while running.join_next().await.is_some() {}
        };
        if tokio::time::timeout(Duration::from_secs(FAREWELL_SECONDS), farewell).await.is_err() {
            tracing::warn!(seconds = FAREWELL_SECONDS, "connections that did not end in time were cut");
        }
        Ok(())
    }

    /// The next connection and whose it is; `None` after a failure worth a pause.
    async fn accept(&self, places: &Places) -> Option<(Stream, Peer)> {
        let accepted = match &self.listener {
            Listener::Tcp { listener, tls, .. } => {
                let accepted = listener.accept().await;
                accepted.map(|(stream, from)| (Stream::Tcp(stream, tls.clone()), from.ip().into()))
            }
            Listener::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), Peer::Local))
            }
        };
        match accepted {
            Ok(came) => Some(came),
            Err(fault) => {
                let pause = match places.not_accepted(&fault) {
                    true => LEAVE_PAUSE_MILLISECONDS,
                    false => ACCEPT_PAUSE_MILLISECONDS,
                };
                tokio::time::sleep(Duration::from_millis(pause)).await;
                None
            }
        }
    }
}

fn socket_failed(action: &'static str, path: &Path, source: io::Error) -> WebFault {
    failed(action, path, source).into()
}

#[cfg(test)]
mod tests;
