//! `[replay]` of `gate.toml`: how much is remembered, and whether several gates share it.

use std::path::{Path, PathBuf};

use farside_service::cli::Failure;
use farside_service::secret_file::{self, Source};
use farside_service::web::ClearBeyondLoopback;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use serde::Deserialize;

use super::shared::SharedFault;

/// Most entries that are remembered at once, where the configuration does not say.
pub const ENTRIES_MAX_DEFAULT: u64 = 1_000_000;

/// The table as spelled.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    entries_max: Option<u64>,
    redis: Option<String>,
    redis_user: Option<String>,
    redis_password_file: Option<PathBuf>,
    clear_beyond_loopback: Option<ClearBeyondLoopback>,
}

/// How much is remembered, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most entries at once.
    pub entries_max: u64,
    /// A Redis that several gates share; without it the gate's own disk.
    pub redis: Option<RedisSettings>,
}

/// A Redis, and how to speak to it.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    info: ConnectionInfo,
    place: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { entries_max: ENTRIES_MAX_DEFAULT, redis: None }
    }
}

impl Settings {
    /// Reads the table; relative paths are from `home`.
    pub(crate) fn read(table: Table, home: &Path) -> Result<Settings, Failure> {
        let entries_max = table.entries_max.unwrap_or(ENTRIES_MAX_DEFAULT);
        if entries_max == 0 {
            return Err(Failure::could_not("[replay]: entries_max is 0, and so nothing could ever be taken"));
        }
        let Some(address) = table.redis else {
            let idle = table.redis_user.is_some() || table.redis_password_file.is_some();
            if idle || table.clear_beyond_loopback.is_some() {
                let what = "[replay]: a user, password or network for Redis, and no Redis";
                return Err(Failure::could_not(what).hint("name it: redis = \"redis://127.0.0.1:6379\""));
            }
            return Ok(Settings { entries_max, redis: None });
        };
        let info = address.as_str().into_connection_info().map_err(|_| unreadable())?;
        let place = place(&info, table.clear_beyond_loopback)?;
        if info.redis_settings().password().is_some() || info.redis_settings().username().is_some() {
            let what = "[replay]: a user or password stands in the address of Redis";
            return Err(Failure::could_not(what).hint("use redis_user and redis_password_file"));
        }
        let password_file = table.redis_password_file.map(|path| home.join(path));
        Ok(Settings {
            entries_max,
            redis: Some(RedisSettings { info, place, user: table.redis_user, password_file }),
        })
    }
}

impl RedisSettings {
    /// Where it is, for people.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// What to connect with; the password is read each time, so that it can be changed.
    pub(crate) fn connection(&self) -> Result<ConnectionInfo, SharedFault> {
        let mut redis = self.info.redis_settings().clone();
        if let Some(user) = &self.user {
            redis = redis.set_username(user);
        }
        if let Some(path) = &self.password_file {
            let unread = |reason: String| SharedFault::Password { place: self.place.clone(), reason };
            let secret = secret_file::read_secret(&Source::File(path.clone()), "password of Redis")
                .map_err(|fault| unread(fault.to_string()))?;
            let password =
                std::str::from_utf8(secret.expose()).map_err(|_| unread("it is no text".into()))?;
            redis = redis.set_password(password);
        }
        Ok(self.info.clone().set_redis_settings(redis))
    }
}

/// Clear text stays on this machine, unless the configuration says that the network is trusted.
// replay.md §6.5
fn place(info: &ConnectionInfo, beyond: Option<ClearBeyondLoopback>) -> Result<String, Failure> {
    match info.addr() {
        ConnectionAddr::Unix(path) => Ok(format!("unix:{}", path.display())),
        ConnectionAddr::Tcp(host, port) => {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            let here =
                host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback());
            if here || beyond == Some(ClearBeyondLoopback::TrustedNetwork) {
                return Ok(format!("{host}:{port}"));
            }
            let what =
                format!("[replay]: Redis at {host}:{port} would be spoken to in clear beyond this machine");
            Err(Failure::could_not(what).hint(
                "use a tunnel or a Unix socket, or say clear_beyond_loopback = \"trusted-network\" in [replay]",
            ))
        }
        _ => Err(unreadable()),
    }
}

fn unreadable() -> Failure {
    Failure::could_not("[replay]: the address of Redis is not understood")
        .hint("write redis://127.0.0.1:6379, or unix:///run/redis/redis.sock; TLS is a tunnel's work")
}
