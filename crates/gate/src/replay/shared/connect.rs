//! Connecting to a shared store: what it is told, and whether it can be believed to know the past.
//!
//! ```text
//!   connect ─▶ evicts? refuse ─▶ same run, nothing evicted ───────────────▶ whole
//!                                another run, every write was synced ──────▶ whole
//!                                anything else ────────────────────────────▶ a new epoch
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use farside_service::{digest, random};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, InfoDict, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Began, FORGET, REDIS_WAIT, Shared, SharedFault, TAKE};

const BEGIN: &str = include_str!("begin.lua");

/// The only policy under which nothing is let go.
const NO_EVICTION: &str = "noeviction";

/// A connection, and what was found at its other end.
pub(crate) struct Live {
    pub(super) connection: MultiplexedConnection,
    pub(super) epoch: String,
    pub(super) take_sha: String,
    pub(super) forget_sha: String,
    evicted: u64,
}

/// What Redis says of itself.
struct About {
    run: String,
    policy: String,
    evicted: u64,
    was_a_replica: bool,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Shared {
    /// Connects anew. `elsewhere` says that this gate has taken entries that this Redis knows nothing of.
    // replay.md §6
    pub(crate) async fn connect(&self, now: u64, elsewhere: bool) -> Result<Began, SharedFault> {
        let mut connection = self.dial().await?;
        let about = self.about(&mut connection).await?;
        self.evicts_nothing(&about)?;
        let durable = !about.was_a_replica && durable(&mut connection).await;
        let load = async |connection: &mut MultiplexedConnection, text: &str| -> Result<String, RedisError> {
            redis::cmd("SCRIPT").arg("LOAD").arg(text).query_async(connection).await
        };
        let take_sha = load(&mut connection, TAKE).await.map_err(|error| self.failed(error))?;
        let forget_sha = load(&mut connection, FORGET).await.map_err(|error| self.failed(error))?;
        let mut begin = redis::cmd("EVAL");
        begin.arg(BEGIN).arg(1).arg(self.mark());
        begin.arg(&about.run).arg(u8::from(durable)).arg(about.evicted).arg(self.fresh_epoch()?);
        begin.arg(now).arg(u8::from(elsewhere));
        let begun: (String, String, u64) =
            begin.query_async(&mut connection).await.map_err(|error| self.failed(error))?;
        let (epoch, word, since) = begun;
        let began = match word.as_str() {
            "whole" => Began::Whole,
            "lost" => Began::Lost { since },
            _ => return Err(SharedFault::Strange { place: self.place().to_owned() }),
        };
        let live = Live { connection, epoch, take_sha, forget_sha, evicted: about.evicted };
        self.live.store(Some(Arc::new(live)));
        Ok(began)
    }

    /// How many entries are remembered and until when what was used is not known, by a connection of its own
    /// that changes nothing.
    pub(crate) async fn survey(&self) -> Result<(u64, u64), SharedFault> {
        let mut connection = self.dial().await?;
        let mut mark = redis::cmd("HMGET");
        mark.arg(self.mark()).arg("entries").arg("since");
        let mark: (Option<u64>, Option<u64>) =
            mark.query_async(&mut connection).await.map_err(|error| self.failed(error))?;
        Ok((mark.0.unwrap_or_default(), mark.1.unwrap_or_default()))
    }

    async fn dial(&self) -> Result<MultiplexedConnection, SharedFault> {
        let info = self.settings.connection()?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REDIS_WAIT))
            .set_response_timeout(Some(REDIS_WAIT));
        if let Some(tls) = self.settings.tls()? {
            return self.dial_in_tls(&info, tls, config).await;
        }
        let client = Client::open(info).map_err(|error| self.failed(error))?;
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        connection.await.map_err(|error| self.failed(error))
    }

    /// Over a TLS of ours: the client's own would believe the system's certificates too.
    // replay.md §6.5
    async fn dial_in_tls(
        &self,
        info: &ConnectionInfo,
        (tls, host, port): (ClientConfig, &str, u16),
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, SharedFault> {
        let dialled = async {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
            MultiplexedConnection::new_with_config(info.redis_settings(), stream, config).await
        };
        let late = |_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        let dialled = tokio::time::timeout(REDIS_WAIT, dialled).await.map_err(late).flatten();
        let (connection, driver) = dialled.map_err(|error| self.failed(error))?;
        // It ends with the last handle on the connection.
        tokio::spawn(driver);
        Ok(connection)
    }

    /// Nothing was evicted, and nothing will be.
    pub(super) async fn unchanged(&self, live: &Live) -> Result<(), SharedFault> {
        let mut connection = live.connection.clone();
        let about = self.about(&mut connection).await?;
        self.evicts_nothing(&about)?;
        if about.evicted == live.evicted && durable(&mut connection).await {
            return Ok(());
        }
        if about.evicted != live.evicted {
            return Err(SharedFault::Changed { place: self.place().to_owned() });
        }
        // From now on a restart counts as a loss, whatever the settings are by then.
        let mut undurable = redis::cmd("HSET");
        undurable.arg(self.mark()).arg("durable").arg(0);
        undurable.exec_async(&mut connection).await.map_err(|error| self.failed(error))
    }

    async fn about(&self, connection: &mut MultiplexedConnection) -> Result<About, SharedFault> {
        let info: InfoDict =
            redis::cmd("INFO").query_async(connection).await.map_err(|error| self.failed(error))?;
        let about = || {
            Some(About {
                run: info.get("run_id")?,
                policy: info.get("maxmemory_policy")?,
                evicted: info.get("evicted_keys")?,
                // It followed another once, and may have been behind when it took over.
                was_a_replica: info
                    .get::<String>("master_replid2")
                    .is_some_and(|id| id.bytes().any(|digit| digit != b'0')),
            })
        };
        about().ok_or_else(|| SharedFault::Strange { place: self.place().to_owned() })
    }

    // replay.md §6.3
    fn evicts_nothing(&self, about: &About) -> Result<(), SharedFault> {
        if about.policy == NO_EVICTION {
            return Ok(());
        }
        Err(SharedFault::Evicts { place: self.place().to_owned(), policy: about.policy.clone() })
    }

    fn fresh_epoch(&self) -> Result<String, SharedFault> {
        let drawn = random::bytes::<16>().map(|drawn| digest::hex(&drawn));
        drawn.map_err(|_| SharedFault::Strange { place: self.place().to_owned() })
    }
}

/// Whether every write is synced before it is answered. Where the settings are not shown they are not known,
/// and a restart counts as a loss.
async fn durable(connection: &mut MultiplexedConnection) -> bool {
    let mut settings = redis::cmd("CONFIG");
    settings.arg("GET").arg("append*");
    let settings: Result<HashMap<String, String>, RedisError> = settings.query_async(connection).await;
    settings.is_ok_and(|settings| {
        let is = |name: &str, value: &str| settings.get(name).is_some_and(|found| found == value);
        is("appendonly", "yes") && is("appendfsync", "always")
    })
}
