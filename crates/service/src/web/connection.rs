//! One connection from accept to end: TLS, then HTTP/1.1 or HTTP/2, each step with its limit of time and
//! bytes.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::Limits;
use super::listen::HEADER_BYTES_MIN;
use super::peer::{Attested, PeerCertificate};
use super::places::{Arriving, Place, Seat};

/// How every HTTP/2 connection begins; no HTTP/1 request does.
const PREFACE_START: &[u8] = b"PRI * HTTP/2.0";
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// What one HTTP/2 stream may send ahead of being read, and one connection: the largest body of a door
/// fits, and all places together stay within a quarter of a gigabyte.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// What one HTTP/2 stream is sent ahead of its client's reading.
const SEND_BYTES_MAX: usize = 64 << 10;
/// Streams that a client has opened and reset before they were looked at ("rapid reset"), and streams that
/// were reset for its own mistakes: beyond these its connection ends.
const RESET_STREAMS_MAX: usize = 20;
const MISTAKEN_STREAMS_MAX: usize = 128;
/// Pause between the first two looks at a preface that arrives in pieces; each further one is twice as long.
const PEEK_PAUSE_MILLISECONDS: u64 = 5;
const PEEK_PAUSE_MILLISECONDS_MAX: u64 = 640;

/// A connection just accepted, with its place among those allowed.
pub(super) struct Fresh {
    stream: Stream,
    place: Place,
}

pub(super) enum Stream {
    Tcp(TcpStream, Option<TlsAcceptor>),
    Unix(UnixStream),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

impl Fresh {
    pub(super) fn new(stream: Stream, place: Place) -> Self {
        Self { stream, place }
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
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BYTES_MAX)
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .max_local_error_reset_streams(MISTAKEN_STREAMS_MAX);
        Self { http1, http2, patience }
    }

    /// Serves one connection until it ends, or until it must give way to another.
    pub(super) async fn carry<S, B>(self, fresh: Fresh, service: S, watcher: Watcher)
    where
        S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Fresh { stream, place } = fresh;
        let service = attended(service, place.seat());
        let outcome = tokio::select! {
            outcome = self.converse(stream, service, watcher) => outcome,
            () = place.called_back() => Err("it gave way to another one".into()),
        };
        if let Err(fault) = outcome {
            // Clients that go away or talk nonsense are daily life: nothing an operator must act on.
            tracing::debug!(error = %fault, "a connection ended early");
        }
    }

    async fn converse<S, B>(
        &self,
        stream: Stream,
        service: S,
        watcher: Watcher,
    ) -> Result<(), Box<dyn Error + Send + Sync>>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        match stream {
            Stream::Tcp(stream, Some(tls)) => {
                self.bound(&stream)?;
                let (stream, version) = self.handshake(stream, &tls).await?;
                let certificate = PeerCertificate::of(stream.get_ref().1);
                self.speak(stream, version, Attested { service, certificate }, watcher).await
            }
            Stream::Tcp(stream, None) => {
                self.bound(&stream)?;
                let version = self.look(&stream).await?;
                self.speak(stream, version, service, watcher).await
            }
            Stream::Unix(stream) => self.speak(stream, Version::Http1, service, watcher).await,
        }
    }

    /// Whoever does not take what is sent to them, or is gone without a word, is given up by the kernel.
    fn bound(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let milliseconds = u32::try_from(self.patience.as_millis()).unwrap_or(u32::MAX);
        Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds)?)
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        tls: &TlsAcceptor,
    ) -> io::Result<(tokio_rustls::server::TlsStream<TcpStream>, Version)> {
        let stream = timeout(self.patience, tls.accept(stream)).await??;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, if http2 { Version::Http2 } else { Version::Http1 }))
    }

    /// Tells HTTP/2 in clear from HTTP/1 by its first bytes, without taking them from the stream.
    async fn look(&self, stream: &TcpStream) -> io::Result<Version> {
        timeout(self.patience, async {
            let mut start = [0; PREFACE_START.len()];
            let mut pause = PEEK_PAUSE_MILLISECONDS;
            loop {
                let seen = stream.peek(&mut start).await?;
                if seen == 0 || start[..seen] != PREFACE_START[..seen] {
                    return Ok(Version::Http1);
                }
                if seen == PREFACE_START.len() {
                    return Ok(Version::Http2);
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
                pause = (pause * 2).min(PEEK_PAUSE_MILLISECONDS_MAX);
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

/// The service, with the connection's seat told when a request is under way and when it waits for its client.
fn attended<S, B>(
    service: S,
    seat: Arc<Seat>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<B>,
    Error = Infallible,
    Future: Future<Output = Result<Response<B>, Infallible>> + Send,
> + Send
+ 'static
where
    S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body + 'static,
{
    service_fn(move |request: Request<Incoming>| {
        let busy = seat.begin();
        let answering = service.call(request.map(|body| Arriving::new(body, Arc::clone(&seat))));
        async move {
            match busy {
                Some(_busy) => answering.await,
                None => std::future::pending().await,
            }
        }
    })
}

/// The router's answer, or 503 where it takes too long.
pub(super) async fn answer_within(
    patience: Duration,
    router: Router,
    request: Request<Arriving>,
) -> axum::response::Response {
    match timeout(patience, router.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_late) => (StatusCode::SERVICE_UNAVAILABLE, "this took too long\n").into_response(),
    }
}
