//! `mint.toml`, and where everything lies in the folder beside it. Unknown keys are refused; every path in
//! the file is relative to its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farside_service::cli::{Failure, operator};
use farside_service::durable::{self, Mode};
use farside_service::duration::Seconds;
use farside_service::journal::Journal;
use farside_service::lock::Exclusive;
use farside_service::secret_file::{self, Source};
use farside_service::{config, time, web};
use serde::Deserialize;
use serde_json::Value;

use crate::calendar::profile::{CryptoProfile, PROFILES};
use crate::keys::{Passphrase, TokenConfig, Tokens};
use crate::log::witness::Witness;
use crate::store::Store;

/// What `mint.toml` may hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The realm, as the charter names it.
    pub realm: String,
    /// Name of this replica where several mints serve one realm; empty for the first. It becomes part of its
    /// log shards.
    #[serde(default)]
    pub replica: String,
    /// File with the passphrase of the online, log and token keys. Left out: a systemd credential, else a
    /// prompt.
    pub passphrase_file: Option<PathBuf>,
    /// The token endpoint's public URL, as clients see it: the `issuer` of its metadata and the audience of
    /// client assertions. Left out: made from the listening address.
    pub public_url: Option<String>,
    /// Where `serve` listens.
    #[serde(default = "listen_default")]
    pub listen: web::Listen,
    /// Where `serve` shows metrics and health. Left out: nowhere.
    pub admin: Option<web::Listen>,
    /// Bounds on what a client may send.
    #[serde(default)]
    pub limits: web::Limits,
    /// The issuance log.
    #[serde(default)]
    pub log: LogConfig,
    /// PKCS#11 tokens that hold private keys.
    #[serde(default)]
    pub pkcs11: Vec<TokenConfig>,
    /// How keys come and go.
    #[serde(default)]
    pub rotation: RotationConfig,
}

/// `[rotation]`: when people are warned that keys end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RotationConfig {
    /// Whose cryptoperiod holds for the keys of root, release, online and log: `default`, `sp800-57`,
    /// `cnsa-2.0` or `nerc-cip`.
    #[serde(deserialize_with = "read_profile")]
    profile: &'static CryptoProfile,
    /// How long people need to draft and sign: a calendar that ends sooner, two courier intervals added, is
    /// warned of.
    pub release_time: Seconds,
}

impl RotationConfig {
    /// Whose rules hold.
    pub fn profile(&self) -> &'static CryptoProfile {
        self.profile
    }
}

impl Default for RotationConfig {
    fn default() -> Self {
        Self { profile: &PROFILES[0], release_time: Seconds(RELEASE_SECONDS_DEFAULT) }
    }
}

/// How long people need to sign when the file does not say: two weeks.
const RELEASE_SECONDS_DEFAULT: u64 = 14 * 86_400;

fn read_profile<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static CryptoProfile, D::Error> {
    let name = String::deserialize(deserializer)?;
    CryptoProfile::from_name(&name).ok_or_else(|| {
        let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
        serde::de::Error::custom(format!("there is no profile {name:?}; there are {}", names.join(", ")))
    })
}

/// `[log]`: how the issuance log is published.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Where the newest signed heads are kept; left out: `lock/heads.db`. Never restore it from a backup: it
    /// is what an old copy of the log is known by. Best on another disk than the log.
    pub lock: Option<PathBuf>,
    /// How many seconds after a token was issued its leaf is under a published head at the latest.
    pub publish_seconds: u64,
    /// Whether `serve` shows heads and tiles at `/log/<shard>/`, for tile clients and witnesses.
    pub serve: bool,
    /// Who is asked to cosign heads.
    pub witness: Vec<Witness>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { lock: None, publish_seconds: PUBLISH_SECONDS_DEFAULT, serve: false, witness: Vec::new() }
    }
}

/// How often heads are published when the file does not say.
const PUBLISH_SECONDS_DEFAULT: u64 = 10;

fn listen_default() -> web::Listen {
    web::Listen { address: LISTEN_DEFAULT, tls: None, clear_beyond_loopback: None }
}

/// Where the token endpoint listens when the file does not say.
const LISTEN_DEFAULT: std::net::SocketAddr =
    std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8700));

/// A founded mint: its configuration and its folder.
#[derive(Debug, Clone)]
pub struct Mint {
    /// Where everything lies.
    pub home: Home,
    /// What its file says.
    pub config: Config,
    /// The PKCS#11 tokens that its file describes.
    tokens: Arc<Tokens>,
}

impl Mint {
    /// Reads the configuration at `path`; the folder it lies in is the mint's home. One whose founding was
    /// cut short is no mint.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let mint = Self::read(path)?;
        if mint.home.founding().exists() {
            let folder = mint.home.0.display();
            return Err(Failure::could_not(format!("the founding of the mint in {folder} was cut short"))
                .hint("found it again with `mint init`: what is there is cleared away first"));
        }
        Ok(mint)
    }

    /// As [`Mint::open`], for the founding itself.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let config: Config = config::load(path)?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let tokens = Arc::new(Tokens::configure(&config.pkcs11, folder)?);
        Ok(Self { home: Home(folder.to_path_buf()), config, tokens })
    }

    /// Opens the database, which must exist.
    pub fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.home.database(), time::now_unix())?)
    }

    /// The lock of the log's heads.
    pub fn lock(&self) -> PathBuf {
        let path = self.config.log.lock.as_ref().map(|path| self.home.0.join(path));
        path.unwrap_or_else(|| self.home.lock())
    }

    /// The passphrase of the keys that the mint uses unattended, and the tokens of those that are in no file.
    pub fn passphrase(&self) -> Result<Passphrase, Failure> {
        let file = self.config.passphrase_file.as_ref().map(|file| self.home.0.join(file));
        let passphrase = Passphrase::new(secret_file::read_passphrase(&Source::find(file.as_deref()))?);
        Ok(passphrase.with_tokens(Arc::clone(&self.tokens)))
    }

    /// The PKCS#11 tokens that hold some of its keys.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// The journal of administrative acts done by commands; a running `serve` keeps its own beside it.
    /// Commands take turns.
    pub fn diary(&self) -> Result<Diary, Failure> {
        durable::create_dir_all(&self.home.journal(), Mode::Private)?;
        let turn = Exclusive::take_within(&self.home.journal().join("mint-cli.lock"), TURN_WAIT)?;
        Ok(Diary { journal: Journal::open(&self.home.journal(), "mint-cli")?.0, _turn: turn })
    }
}

/// How long a command waits for another one to finish.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// The journal as a command holds it: opened before the act, so that an act which cannot be recorded is not
/// begun.
pub struct Diary {
    journal: Journal,
    /// Held as long as the journal is open; released after it.
    _turn: Exclusive,
}

impl Diary {
    /// Records an act and waits until the record is on disk.
    pub fn record(&self, event: &str, mut members: Value) -> Result<(), Failure> {
        members["by"] = operator().into();
        let ticket = self.journal.record(event, members)?;
        ticket.wait()?;
        Ok(())
    }

    /// Records many acts of one kind, and waits once until all records are on disk.
    pub fn record_all(&self, event: &str, acts: impl IntoIterator<Item = Value>) -> Result<(), Failure> {
        let (by, mut last) = (operator(), None);
        for mut members in acts {
            members["by"] = by.as_str().into();
            last = Some(self.journal.record(event, members)?);
        }
        Ok(last.map_or(Ok(()), |ticket| ticket.wait())?)
    }
}

/// The mint's folder.
#[derive(Debug, Clone)]
pub struct Home(pub PathBuf);

impl Home {
    /// `mint.toml`.
    pub fn config(&self) -> PathBuf {
        self.0.join("mint.toml")
    }

    /// The mark of a founding that is not finished.
    pub fn founding(&self) -> PathBuf {
        self.0.join("founding")
    }

    /// `mint.db`.
    pub fn database(&self) -> PathBuf {
        self.0.join("mint.db")
    }

    /// Keys that the mint uses unattended.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The online signer.
    pub fn online_key(&self) -> PathBuf {
        self.keys().join("online.key")
    }

    /// The key of the log's checkpoints.
    pub fn log_key(&self) -> PathBuf {
        self.keys().join("log.key")
    }

    /// Root and release keys of a small installation; elsewhere these live on other media.
    pub fn offline(&self) -> PathBuf {
        self.0.join("offline")
    }

    /// The charter in force, for gates to trust.
    pub fn charter(&self) -> PathBuf {
        self.0.join("charter.note")
    }

    /// Release documents that wait for signatures.
    pub fn drafts(&self) -> PathBuf {
        self.0.join("drafts")
    }

    /// The issuance log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The newest heads of the log that were signed. No backup restores it.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock").join("heads.db")
    }

    /// The journals.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Finished bundles of `site`, for a ferry to fetch.
    pub fn outbox(&self, site: &str) -> PathBuf {
        self.0.join("outbox").join(site)
    }

    /// Bundles that are written but not yet committed; no ferry looks here.
    pub fn staging(&self) -> PathBuf {
        self.0.join("staging")
    }

    /// The socket on which a running `serve` takes commands.
    pub fn socket(&self) -> PathBuf {
        self.0.join("run").join("mint.sock")
    }
}
