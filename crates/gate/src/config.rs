//! `gate.toml`: what a site's operator may choose, and where the gate keeps its things.
//!
//! Nothing in it loosens a judgement: issuer, audiences, leeway and freshness come from the signed policy.
//! What a door is used for picks among the tiers that the policy grants.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use farside_crossing::Action;
use farside_service::cli::Failure;
use farside_service::config::load;
use farside_service::duration::Seconds;
use farside_service::web::{Limits, Listen};
use serde::Deserialize;

use crate::enrol::Doors;
use crate::known::CacheLimits;
use crate::replay;

/// Name of the configuration file in the gate's folder.
pub const FILE_NAME: &str = "gate.toml";

/// How often `serve` looks into the inbox, where the configuration does not say.
const INBOX_POLL_SECONDS_DEFAULT: u64 = 1;

/// Most bytes the quarantine keeps, where the configuration does not say.
const QUARANTINE_BYTES_MAX_DEFAULT: u64 = 1 << 30;

/// How often readers of the SPIFFE bundle look again, where the configuration does not say.
const REFRESH_HINT_SECONDS_DEFAULT: u64 = 60;

/// The gate's configuration, read and bound to the folder it was read from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The site this gate stands in; bundles for any other site are refused.
    pub site: String,
    /// Where the doors listen.
    pub listen: Listen,
    /// Where metrics and health are shown; nowhere if absent.
    pub admin: Option<Listen>,
    /// Bounds on connections and requests.
    pub limits: Limits,
    /// When a decision counts as written down.
    pub audit: Audit,
    /// How many verified tokens are kept in memory.
    pub cache: CacheLimits,
    /// How often `serve` looks into the inbox.
    pub inbox_poll: Seconds,
    /// Most bytes that refused bundles may take on disk.
    pub quarantine_bytes_max: u64,
    /// Who may ask `/introspect`.
    pub introspection_clients: Vec<IntrospectionClient>,
    /// Files that follow the gate's trust; none if absent.
    pub trust_folder: Option<TrustFolder>,
    /// The door for API servers; closed if absent.
    pub kubernetes: Option<Kubernetes>,
    /// The door for sshd; closed if absent.
    pub ssh: Option<Ssh>,
    /// What the proxy in front is believed.
    pub proxy: Proxy,
    /// How much is remembered of what counts once, and where.
    pub replay: replay::Settings,
    home: PathBuf,
}

/// `audit`: when a decision counts as written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audit {
    /// Once its line is on the medium: nobody enters of whom the journal would not tell. The default.
    #[default]
    Strict,
    /// Once its line is on the way there: a power cut, or a gate that is killed, takes the last decisions
    /// with it, those of about a twentieth of a second.
    Batched,
}

impl Audit {
    /// As it is spelled in `gate.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Audit::Strict => "strict",
            Audit::Batched => "batched",
        }
    }
}

/// One client of `/introspect`: a resource server of this site.
#[derive(Clone, Debug)]
pub struct IntrospectionClient {
    /// Its name, as sent in HTTP Basic authentication.
    pub id: String,
    /// The audience it stands for; without one it may ask about tokens of any audience of the site.
    pub audience: Option<String>,
    /// SHA-256 of its secret, which is 256 random bits, so that no slower hash is needed.
    pub secret_sha256: [u8; 32],
}

/// `[kubernetes]`: the door for API servers; closed if absent.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// The audience of the site that the API server stands for, where a review names none.
    pub audience: String,
    /// SHA-256 of the secret in the API server's kubeconfig, which is 256 random bits.
    pub secret_sha256: [u8; 32],
    /// What the API server is used for, which says how fresh this gate must be; if not said, the strictest.
    pub action: Option<Action>,
    /// How holders are named there.
    pub names: KubernetesNames,
}

/// How holders are named in Kubernetes. Whatever begins with `system:` is refused all the same.
#[derive(Clone, Debug, Default)]
pub struct KubernetesNames {
    /// Stands before the subject, such as `farside:`; nothing if not said.
    pub username_prefix: String,
    /// Stands before each group; nothing if not said.
    pub groups_prefix: String,
    /// Where it is said, roles are groups too, with this before them.
    pub roles_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KubernetesEntry {
    audience: String,
    secret_sha256: String,
    action: Option<Action>,
    #[serde(default)]
    username_prefix: String,
    #[serde(default)]
    groups_prefix: String,
    roles_prefix: Option<String>,
}

/// `[ssh]`: the door for sshd; closed if absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// The audience of the site that logins stand for: tokens for any other let nobody in.
    pub audience: String,
    /// What logins are for, which says how fresh this gate must be: `read`, `write` or `safety`; if not said,
    /// the strictest.
    pub action: Option<Action>,
    /// Accounts that several people share, each with the role that opens it. Any other account is the
    /// subject's of its name; `root` is nobody's unless it stands here.
    #[serde(default)]
    pub accounts: BTreeMap<String, String>,
}

/// `[proxy]`: what the proxy in front of `/verify` is believed; nothing if not said. Whoever else can reach
/// the doors is believed it too, so they must be the proxy's alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// The headers in which it says what it received; it sets each of them itself, whatever its client sent.
    pub request: Option<RequestHeaders>,
    /// The header in which it says which certificate's key its client has proven to hold; it sets or removes
    /// that header itself. If not said, a certificate counts that was shown to this gate's own TLS.
    pub certificate: Option<CertificateHeader>,
}

/// Headers that say which certificate a proxy's client has shown, each with its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateHeader {
    /// `Client-Cert` (RFC 9440): base64 of the DER between colons. Caddy, HAProxy.
    ClientCert,
    /// `X-SSL-Client-Cert`: escaped PEM. nginx's `$ssl_client_escaped_cert`.
    XSslClientCert,
    /// `X-Forwarded-Client-Cert`: Envoy's, of which `Hash` counts.
    XForwardedClientCert,
}

/// Headers that say what a proxy received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestHeaders {
    /// `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`, as all of `deploy/` sets them.
    XForwarded,
}

/// `[trust_folder]`: what is believed, as files for programs that read files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFolder {
    /// The folder, made if it is not there; from `gate.toml`'s own, where it does not begin with `/`.
    pub path: PathBuf,
    /// How often SPIFFE software is asked to look again (`spiffe_refresh_hint`), a minute if not said.
    #[serde(default = "refresh_hint_default")]
    pub refresh_hint: Seconds,
}

fn refresh_hint_default() -> Seconds {
    Seconds(REFRESH_HINT_SECONDS_DEFAULT)
}

/// The file as spelled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    site: String,
    listen: Listen,
    admin: Option<Listen>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    audit: Audit,
    #[serde(default)]
    cache: CacheLimits,
    inbox_poll: Option<Seconds>,
    quarantine_bytes_max: Option<u64>,
    #[serde(default)]
    introspection_client: Vec<ClientEntry>,
    trust_folder: Option<TrustFolder>,
    kubernetes: Option<KubernetesEntry>,
    ssh: Option<Ssh>,
    #[serde(default)]
    proxy: Proxy,
    #[serde(default)]
    replay: replay::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientEntry {
    id: String,
    audience: Option<String>,
    secret_sha256: String,
}

impl Config {
    /// Reads `gate.toml`; unknown keys are refused. The gate's folders lie beside it.
    pub fn load(path: &Path) -> Result<Config, Failure> {
        let file: File = load(path)?;
        let home = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let clients = file.introspection_client.into_iter().map(client).collect::<Result<_, _>>()?;
        Ok(Config {
            site: file.site,
            listen: file.listen,
            admin: file.admin,
            limits: file.limits,
            audit: file.audit,
            cache: file.cache,
            inbox_poll: file.inbox_poll.unwrap_or(Seconds(INBOX_POLL_SECONDS_DEFAULT)),
            quarantine_bytes_max: file.quarantine_bytes_max.unwrap_or(QUARANTINE_BYTES_MAX_DEFAULT),
            introspection_clients: clients,
            trust_folder: file.trust_folder,
            kubernetes: file.kubernetes.map(kubernetes).transpose()?,
            ssh: file.ssh,
            proxy: file.proxy,
            replay: replay::Settings::read(file.replay, &home)?,
            home,
        })
    }

    /// The folder everything else lies in.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The store of trust: charter, documents, high-water marks, parcels.
    pub fn database(&self) -> PathBuf {
        self.home.join("gate.db")
    }

    /// Where the ferry drops bundles.
    pub fn inbox(&self) -> PathBuf {
        self.home.join("inbox")
    }

    /// Where refused bundles lie with their reasons.
    pub fn quarantine(&self) -> PathBuf {
        self.home.join("quarantine")
    }

    /// The folder of the hash-chained journals.
    pub fn journal(&self) -> PathBuf {
        self.home.join("journal")
    }

    /// What was seen that counts once, where this gate keeps it itself.
    pub fn replay_folder(&self) -> PathBuf {
        self.home.join("replay")
    }

    /// The secret half of the key that parcels are sealed to.
    pub fn recipient_key(&self) -> PathBuf {
        self.home.join("keys").join("recipient.key")
    }

    /// Its public half, for the mint.
    pub fn recipient_public(&self) -> PathBuf {
        self.home.join("recipient.pub")
    }

    /// Held by whoever writes the trust folder.
    pub fn trust_folder_lock(&self) -> PathBuf {
        self.home.join("trust-folder.lock")
    }

    /// Held by whoever changes trust, so that two imports never interleave.
    pub fn import_lock(&self) -> PathBuf {
        self.home.join("import.lock")
    }
}

fn client(entry: ClientEntry) -> Result<IntrospectionClient, Failure> {
    let secret_sha256 = secret(&format!("introspection client {}", entry.id), &entry.secret_sha256)?;
    Ok(IntrospectionClient { id: entry.id, audience: entry.audience, secret_sha256 })
}

fn kubernetes(entry: KubernetesEntry) -> Result<Kubernetes, Failure> {
    Ok(Kubernetes {
        audience: entry.audience,
        secret_sha256: secret("[kubernetes]", &entry.secret_sha256)?,
        action: entry.action,
        names: KubernetesNames {
            username_prefix: entry.username_prefix,
            groups_prefix: entry.groups_prefix,
            roles_prefix: entry.roles_prefix,
        },
    })
}

fn secret(whose: &str, hex: &str) -> Result<[u8; 32], Failure> {
    let digits = || Failure::could_not(format!("{whose}: secret_sha256 is not 64 hexadecimal digits"));
    farside_service::digest::unhex(hex).ok_or_else(digits)
}

/// The text of a new `gate.toml`.
pub(crate) fn initial_text(site: &str, doors: &Doors) -> String {
    let Doors { listen, admin } = doors;
    format!(
        "# The gate of site {site}. Issuer, audiences and freshness cross, signed.\n\
         site = \"{site}\"\n\
         inbox_poll = \"1s\"\n\
         \n\
         # The doors. Beyond loopback, name a certificate: tls = {{ certificates = \"…\", key = \"…\" }}\n\
         [listen]\n\
         address = \"{listen}\"\n\
         \n\
         # Metrics and health, for this machine alone.\n\
         [admin]\n\
         address = \"{admin}\"\n"
    )
}
