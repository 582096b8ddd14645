//! `[replay]` of `gate.toml`: how much is remembered, and whether several gates share it.

use std::path::{Path, PathBuf};

use farside_service::cli::Failure;
use farside_service::secret_file::{self, Source};
use farside_service::tls::{self, Identity};
use farside_service::web::ClearBeyondLoopback;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use rustls::ClientConfig;
use serde::Deserialize;

use super::shared::SharedFault;

/// Most entries that are remembered at once, where the configuration does not say.
pub const ENTRIES_MAX_DEFAULT: u64 = 1_000_000;

/// A holder's share, where the configuration does not say: one of so many, but never less than that.
const SHARES_DEFAULT: u64 = 8;
const SHARE_MIN: u64 = 1_000;

/// The table as spelled.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    entries_max: Option<u64>,
    holder_entries_max: Option<u64>,
    redis: Option<String>,
    redis_user: Option<String>,
    redis_password_file: Option<PathBuf>,
    redis_ca: Option<PathBuf>,
    redis_certificate: Option<PathBuf>,
    redis_key: Option<PathBuf>,
    clear_beyond_loopback: Option<ClearBeyondLoopback>,
}

/// How much is remembered, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most entries at once.
    pub entries_max: u64,
    /// Most proofs of one holder among them.
    pub holder_entries_max: u64,
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
    tls: Option<RedisTls>,
}

/// Whom to believe that it is the Redis, and what it is shown.
#[derive(Debug, Clone)]
struct RedisTls {
    ca: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
}

/// What begins the address of a Redis that is spoken to in TLS.
const TLS_SCHEME: &str = "rediss://";
const CLEAR_SCHEME: &str = "redis://";

impl Default for Settings {
    fn default() -> Settings {
        let holder_entries_max = share(ENTRIES_MAX_DEFAULT);
        Settings { entries_max: ENTRIES_MAX_DEFAULT, holder_entries_max, redis: None }
    }
}

impl Settings {
    /// Reads the table; relative paths are from `home`.
    pub(crate) fn read(table: Table, home: &Path) -> Result<Settings, Failure> {
        let entries_max = table.entries_max.unwrap_or(ENTRIES_MAX_DEFAULT);
        if entries_max == 0 {
            return Err(Failure::could_not("[replay]: entries_max is 0, and so nothing could ever be taken"));
        }
        let holder_entries_max = table.holder_entries_max.unwrap_or_else(|| share(entries_max));
        if !(1..=entries_max).contains(&holder_entries_max) {
            let what =
                format!("[replay]: holder_entries_max is not within 1 and {entries_max}, the entries_max");
            return Err(Failure::could_not(what));
        }
        let redis = match &table.redis {
            Some(address) => Some(RedisSettings::read(address, &table, home)?),
            None if table.speaks_of_redis() => {
                let what = "[replay]: something is said of Redis, and no Redis is named";
                return Err(Failure::could_not(what).hint("name it: redis = \"redis://127.0.0.1:6379\""));
            }
            None => None,
        };
        Ok(Settings { entries_max, holder_entries_max, redis })
    }
}

fn share(entries_max: u64) -> u64 {
    (entries_max / SHARES_DEFAULT).max(SHARE_MIN).min(entries_max)
}

impl Table {
    fn speaks_of_redis(&self) -> bool {
        let files = [&self.redis_password_file, &self.redis_ca, &self.redis_certificate, &self.redis_key];
        self.redis_user.is_some()
            || files.iter().any(|file| file.is_some())
            || self.clear_beyond_loopback.is_some()
    }
}

impl RedisSettings {
    fn read(address: &str, table: &Table, home: &Path) -> Result<RedisSettings, Failure> {
        let tls = RedisTls::read(address.starts_with(TLS_SCHEME), table, home)?;
        let named = match address.strip_prefix(TLS_SCHEME) {
            Some(rest) => format!("{CLEAR_SCHEME}{rest}"),
            None => address.to_owned(),
        };
        // Behind `#` stands at most that certificates are not looked at.
        if named.contains('#') {
            return Err(unreadable());
        }
        let info = named.as_str().into_connection_info().map_err(|_| unreadable())?;
        let trusted = table.clear_beyond_loopback == Some(ClearBeyondLoopback::TrustedNetwork);
        let place = place(&info, tls.is_some() || trusted)?;
        if info.redis_settings().password().is_some() || info.redis_settings().username().is_some() {
            let what = "[replay]: a user or password stands in the address of Redis";
            return Err(Failure::could_not(what).hint("use redis_user and redis_password_file"));
        }
        let password_file = table.redis_password_file.as_ref().map(|path| home.join(path));
        Ok(RedisSettings { info, place, user: table.redis_user.clone(), password_file, tls })
    }

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

    /// How to speak TLS, and to whom, where it is spoken; the files are read each time, as the password is.
    pub(crate) fn tls(&self) -> Result<Option<(ClientConfig, &str, u16)>, SharedFault> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let unusable = |reason: String| SharedFault::Tls { place: self.place.clone(), reason };
        let ConnectionAddr::Tcp(host, port) = self.info.addr() else {
            return Err(unusable("there is no host to show a certificate".into()));
        };
        let config = tls.client().map_err(|fault| unusable(fault.to_string()))?;
        Ok(Some((config, bare(host), *port)))
    }
}

impl RedisTls {
    /// What the table says of it; the two of an identity stand together.
    fn read(spoken: bool, table: &Table, home: &Path) -> Result<Option<RedisTls>, Failure> {
        let at = |path: &PathBuf| home.join(path);
        let identity = match (&table.redis_certificate, &table.redis_key) {
            (Some(certificate), Some(key)) => Some((at(certificate), at(key))),
            (None, None) => None,
            _ => {
                let what = "[replay]: of redis_certificate and redis_key one is missing";
                return Err(Failure::could_not(what).hint("name both, or neither"));
            }
        };
        match (spoken, &table.redis_ca) {
            (true, Some(ca)) => Ok(Some(RedisTls { ca: at(ca), identity })),
            (true, None) => Err(Failure::could_not("[replay]: a Redis in TLS, and nobody to vouch for it")
                .hint("name the certificates that do: redis_ca = \"redis-ca.pem\"")),
            (false, None) if identity.is_none() => Ok(None),
            (false, _) => {
                Err(Failure::could_not("[replay]: certificates for a Redis that is spoken to in clear")
                    .hint("write rediss:// in its address"))
            }
        }
    }

    fn client(&self) -> Result<ClientConfig, tls::TlsFault> {
        let identity = self.identity.as_ref().map(|(certificates, key)| Identity { certificates, key });
        tls::client(&self.ca, identity)
    }
}

/// Where it is, for people. Clear text stays on this machine, unless the configuration says that the network
/// is trusted.
// replay.md §6.5
fn place(info: &ConnectionInfo, may_be_elsewhere: bool) -> Result<String, Failure> {
    match info.addr() {
        ConnectionAddr::Unix(path) => Ok(format!("unix:{}", path.display())),
        ConnectionAddr::Tcp(host, port) => {
            let address = bare(host).parse::<std::net::IpAddr>();
            let here =
                host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback());
            if here || may_be_elsewhere {
                return Ok(format!("{host}:{port}"));
            }
            let what =
                format!("[replay]: Redis at {host}:{port} would be spoken to in clear beyond this machine");
            Err(Failure::could_not(what).hint(
                "use rediss:// and redis_ca, or say clear_beyond_loopback = \"trusted-network\" in [replay]",
            ))
        }
        _ => Err(unreadable()),
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

fn unreadable() -> Failure {
    Failure::could_not("[replay]: the address of Redis is not understood")
        .hint("write redis://127.0.0.1:6379, rediss://redis.example:6379, or unix:///run/redis/redis.sock")
}
