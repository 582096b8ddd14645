//! One connection from accept to end: TLS, then HTTP/1.1 or HTTP/2, each step with its limit of time and
//! bytes.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::Limits;
use super::listen::HEADER_BYTES_MIN;

/// How every HTTP/2 connection begins; no HTTP/1 request does.
const PREFACE_START: &[u8] = b"PRI * HTTP/2.0";
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Pause between two looks at a preface that arrives in pieces.
const PEEK_PAUSE_MILLISECONDS: u64 = 5;

/// A connection just accepted, with its place among those allowed.
pub(super) struct Fresh {
    stream: Stream,
    _place: OwnedSemaphorePermit,
}

enum Stream {
    Tcp(TcpStream, Option<TlsAcceptor>),
    Unix(UnixStream),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

impl Fresh {
    pub(super) fn tcp(stream: TcpStream, tls: Option<TlsAcceptor>, place: OwnedSemaphorePermit) -> Self {
        Self { stream: Stream::Tcp(stream, tls), _place: place }
    }

    pub(super) fn unix(stream: UnixStream, place: OwnedSemaphorePermit) -> Self {
        Self { stream: Stream::Unix(stream), _place: place }
    }
}

/// Carries connections: hyper's builders with our limits.
#[derive(Clone)]
pub(super) struct Carrier {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    patience: Duration,
}

impl Carrier {
    pub(super) fn new(limits: &Limits) -> Self {
        let patience = Duration::from_secs(limits.header_seconds_max.max(1));
        let header_bytes = limits.header_bytes_max.max(HEADER_BYTES_MIN);
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_headers(limits.header_lines_max)
            .max_header_size(header_bytes as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(patience)
            .keep_alive_timeout(patience)
            .max_header_list_size(header_bytes)
            .max_concurrent_streams(STREAMS_MAX);
        Self { http1, http2, patience }
    }

    pub(super) async fn carry<S, B>(self, fresh: Fresh, service: S, watcher: Watcher)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Fresh { stream, _place } = fresh;
        let outcome = match stream {
            Stream::Tcp(stream, Some(tls)) => match self.handshake(stream, &tls).await {
                Ok((stream, version)) => self.speak(stream, version, service, watcher).await,
                Err(fault) => Err(fault.into()),
            },
            Stream::Tcp(stream, None) => match self.look(&stream).await {
                Ok(version) => self.speak(stream, version, service, watcher).await,
                Err(fault) => Err(fault.into()),
            },
            Stream::Unix(stream) => self.speak(stream, Version::Http1, service, watcher).await,
        };
        if let Err(fault) = outcome {
            // Clients that go away or talk nonsense are daily life: nothing an operator must act on.
            tracing::debug!(error = %fault, "a connection ended early");
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        tls: &TlsAcceptor,
    ) -> io::Result<(tokio_rustls::server::TlsStream<TcpStream>, Version)> {
        stream.set_nodelay(true)?;
        let stream = timeout(self.patience, tls.accept(stream)).await??;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, if http2 { Version::Http2 } else { Version::Http1 }))
    }

    /// Tells HTTP/2 in clear from HTTP/1 by its first bytes, without taking them from the stream.
    async fn look(&self, stream: &TcpStream) -> io::Result<Version> {
        stream.set_nodelay(true)?;
        timeout(self.patience, async {
            let mut start = [0; PREFACE_START.len()];
            loop {
                let seen = stream.peek(&mut start).await?;
                if seen == 0 || start[..seen] != PREFACE_START[..seen] {
                    return Ok(Version::Http1);
                }
                if seen == PREFACE_START.len() {
                    return Ok(Version::Http2);
                }
                tokio::time::sleep(Duration::from_millis(PEEK_PAUSE_MILLISECONDS)).await;
            }
        })
        .await?
    }

    async fn speak<I, S, B>(
        &self,
        stream: I,
        version: Version,
        service: S,
        watcher: Watcher,
    ) -> Result<(), Box<dyn Error + Send + Sync>>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let stream = TokioIo::new(stream);
        match version {
            Version::Http1 => watcher.watch(self.http1.serve_connection(stream, service)).await?,
            Version::Http2 => watcher.watch(self.http2.serve_connection(stream, service)).await?,
        }
        Ok(())
    }
}

/// The router's answer, or 503 where it takes too long.
pub(super) async fn answer_within(
    patience: Duration,
    router: Router,
    request: Request<Incoming>,
) -> axum::response::Response {
    match timeout(patience, router.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_late) => (StatusCode::SERVICE_UNAVAILABLE, "this took too long\n").into_response(),
    }
}
