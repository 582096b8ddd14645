//! The directory as one immutable picture in memory: subjects, sites with their calendars, standing orders.
//! Whoever judges a request reads this and nothing else, so a decision never sees half of a change.

use std::collections::HashMap;
use std::path::PathBuf;

use farside_verify::Algorithm;
use rusqlite::{Connection, Row};

use super::{StoreFault, unsigned};

/// Everything a decision about a token needs, as of one commit.
#[derive(Debug)]
pub struct Directory {
    data_version: i64,
    realm: String,
    subjects: Vec<Subject>,
    subject_by_name: HashMap<String, usize>,
    subject_by_client: HashMap<String, usize>,
    sites: Vec<Site>,
    site_by_name: HashMap<String, usize>,
    site_by_audience: HashMap<String, usize>,
    orders: Vec<Order>,
}

impl Directory {
    /// The realm's name.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Changes whenever any process has committed; never compare it between two [`super::Store`]s.
    pub fn data_version(&self) -> i64 {
        self.data_version
    }

    /// Every subject, by name.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The subject of that name, enabled or not.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subject_by_name.get(name).and_then(|index| self.subjects.get(*index))
    }

    /// The subject that uses this client id at the token endpoint.
    pub fn client(&self, client_id: &str) -> Option<&Subject> {
        self.subject_by_client.get(client_id).and_then(|index| self.subjects.get(*index))
    }

    /// Every site, by name.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The site of that name, enabled or not.
    pub fn site(&self, name: &str) -> Option<&Site> {
        self.site_by_name.get(name).and_then(|index| self.sites.get(*index))
    }

    /// The one site to which this audience belongs.
    pub fn site_of_audience(&self, audience: &str) -> Option<&Site> {
        self.site_by_audience.get(audience).and_then(|index| self.sites.get(*index))
    }

    /// Every standing order, oldest first, the stopped ones included.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    pub(super) fn read(connection: &Connection, data_version: i64) -> Result<Self, StoreFault> {
        let subjects = read_subjects(connection)?;
        let sites = read_sites(connection)?;
        Ok(Self {
            data_version,
            realm: connection.query_row("SELECT name FROM realm", [], |row| row.get(0))?,
            subject_by_name: index(subjects.iter().map(|subject| subject.name.clone())),
            subject_by_client: index(subjects.iter().map(|subject| subject.client_id.clone())),
            subjects,
            site_by_name: index(sites.iter().map(|site| site.name.clone())),
            site_by_audience: sites
                .iter()
                .enumerate()
                .flat_map(|(at, site)| site.audiences.iter().map(move |audience| (audience.name.clone(), at)))
                .collect(),
            sites,
            orders: read_orders(connection)?,
        })
    }
}

/// What kind of holder a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A human being; never a client of the token endpoint.
    Person,
    /// A program.
    Bot,
    /// An AI agent, which may act for a person.
    Agent,
}

impl Kind {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Bot => "bot",
            Self::Agent => "agent",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Person, Self::Bot, Self::Agent].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A person, bot or agent.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Unique in the realm; written as `sub`.
    pub name: String,
    /// Person, bot or agent.
    pub kind: Kind,
    /// For people to read.
    pub display: String,
    /// Nothing is issued for a disabled subject.
    pub enabled: bool,
    /// Own roles and those of the subject's enabled groups; sorted, each once.
    pub roles: Vec<String>,
    /// Enabled groups, sorted.
    pub groups: Vec<String>,
    /// Written as `client_id`, and the name used at the token endpoint; short by default.
    pub client_id: String,
    /// How it proves itself at the token endpoint.
    pub auth: ClientAuth,
}

/// The proofs that a client may offer; none for people.
#[derive(Clone, Default)]
pub struct ClientAuth {
    /// JWK Set text of the client's public keys (RFC 7523).
    pub jwks: Option<String>,
    /// SHA-256 of the secret's text: 256 random bits in base64url, so a plain hash is the right one.
    pub secret_sha256: Option<[u8; 32]>,
}

impl std::fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAuth")
            .field("jwks", &self.jwks.is_some())
            .field("secret", &self.secret_sha256.is_some())
            .finish()
    }
}

/// One isolated network.
#[derive(Debug, Clone)]
pub struct Site {
    /// Unique in the realm; also the name of its log shard.
    pub name: String,
    /// Written as `iss`.
    pub issuer: String,
    /// Unique in the realm; never empty.
    pub audiences: Vec<Audience>,
    /// With which new token keys are made.
    pub algorithm: Algorithm,
    /// Lifetime of a token that asks for none, in seconds.
    pub lifetime_seconds_default: u64,
    /// Longest lifetime that is ever issued, in seconds.
    pub lifetime_seconds_max: u64,
    /// Size budget of a token, in bytes.
    pub token_bytes_max: usize,
    /// Clock difference that the gate forgives, in seconds.
    pub leeway_seconds: u64,
    /// Declared longest time between making a bundle and its being applied, in seconds.
    pub courier_seconds: u64,
    /// How often a bundle is made, in seconds.
    pub every_seconds: u64,
    /// Roles that may be issued for the site; `None`: any.
    pub roles_allowed: Option<Vec<String>>,
    /// Token profiles that may be issued: `access`, `lean`, `jwt-svid`.
    pub profiles: Vec<String>,
    /// Whether bundles are sealed to the site's recipient key.
    pub sealed: bool,
    /// The site's recipient line, once enrolled.
    pub recipient: Option<String>,
    /// Nothing is issued or bundled for a disabled site.
    pub enabled: bool,
    /// The calendar, oldest period first.
    pub keys: Vec<TokenKeyRecord>,
    /// The newest bundle made.
    pub last_bundle: Option<BundleMark>,
}

impl Site {
    /// The key to sign with at `now`: of those usable, the one whose period began last.
    pub fn signing_key(&self, purpose: Purpose, now: u64) -> Option<&TokenKeyRecord> {
        self.keys
            .iter()
            .filter(|key| key.purpose == purpose && key.signs_at(now))
            .max_by_key(|key| (key.sign_from, key.created_at))
    }

    /// The `typ` values that the site's gates accept, which follow from its profiles.
    pub fn token_types(&self) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for profile in &self.profiles {
            let typ = if profile == "access" { "at+jwt" } else { "JWT" };
            if !types.iter().any(|known| known == typ) {
                types.push(typ.to_owned());
            }
        }
        types
    }

    /// The number of the newest bundle made; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_bundle.map_or(0, |mark| mark.seq)
    }

    /// Name of the log shard that `replica` of the mint writes for this site: the site's own for the first replica.
    pub fn shard(&self, replica: &str) -> String {
        if replica.is_empty() { self.name.clone() } else { format!("{}.{replica}", self.name) }
    }
}

/// A bundle that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleMark {
    /// Its number.
    pub seq: u64,
    /// When, in Unix seconds.
    pub issued_at: u64,
}

/// One audience of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Written as `aud`.
    pub name: String,
    /// Oldest state on which the gate still admits, in seconds.
    pub stale_seconds_max: Option<u64>,
    /// Whether the gate demands proof of logging.
    pub logged: bool,
}

/// What a token key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Access tokens, lean ones included.
    Sig,
    /// SPIFFE JWT-SVIDs, which demand a key of their own.
    JwtSvid,
}

impl Purpose {
    /// As the JWK's `use` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sig => "sig",
            Self::JwtSvid => "jwt-svid",
        }
    }

    /// The purpose called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sig, Self::JwtSvid].into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// One token key of a site's calendar. All instants are Unix seconds.
#[derive(Debug, Clone)]
pub struct TokenKeyRecord {
    /// First 8 characters of the thumbprint; unique in the realm.
    pub kid: String,
    /// The algorithm, fixed to the key.
    pub algorithm: Algorithm,
    /// What it is for.
    pub purpose: Purpose,
    /// The public key as published, calendar members included.
    pub jwk: String,
    /// The encrypted private key, relative to the mint's home.
    pub path: PathBuf,
    /// First instant of its signing period.
    pub sign_from: u64,
    /// First instant after its signing period.
    pub sign_until: u64,
    /// No token signed with it is believed after this; none outlives it.
    pub accept_until: u64,
    /// When it was made.
    pub created_at: u64,
    /// From when the mint may sign with it: the rotation rule. `None`: it stands in no adopted keys document, is still on
    /// its way to the site, or is revoked.
    pub usable_from: Option<u64>,
    /// Whether it was revoked.
    pub revoked: bool,
}

impl TokenKeyRecord {
    /// Whether the mint may sign with it at `now`.
    pub fn signs_at(&self, now: u64) -> bool {
        !self.revoked
            && self.usable_from.is_some_and(|from| from <= now)
            && (self.sign_from..self.sign_until).contains(&now)
    }
}

/// A token to be kept fresh at a site.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// The site.
    pub site: String,
    /// For whom.
    pub subject: String,
    /// The audience, one of the site's.
    pub audience: String,
    /// The token's lifetime in seconds.
    pub lifetime_seconds: u64,
    /// Profile by name: `access`, `lean` or `jwt-svid`.
    pub profile: String,
    /// Roles to ask for; `None`: those that the subject holds when the token is made.
    pub roles: Option<Vec<String>>,
    /// How the holder claims it at the gate: [`farside_crossing::parcels::Claim`] as JSON.
    pub claim: String,
    /// Stopped orders stay for the record.
    pub enabled: bool,
}

fn index(names: impl Iterator<Item = String>) -> HashMap<String, usize> {
    names.enumerate().map(|(at, name)| (name, at)).collect()
}

fn read_subjects(connection: &Connection) -> Result<Vec<Subject>, StoreFault> {
    let mut roles = pairs(
        connection,
        "SELECT subject, role FROM subject_role
         UNION SELECT m.subject, r.role FROM team_member m JOIN team t ON t.name = m.team AND t.enabled
               JOIN team_role r ON r.team = m.team
         ORDER BY 1, 2",
    )?;
    let mut groups = pairs(
        connection,
        "SELECT m.subject, m.team FROM team_member m JOIN team t ON t.name = m.team AND t.enabled ORDER BY 1, 2",
    )?;
    let mut statement = connection.prepare(
        "SELECT name, kind, display, enabled, client_id, jwks, secret_sha256 FROM subject ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    let mut subjects = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let kind: String = row.get(1)?;
        subjects.push(Subject {
            kind: Kind::from_name(&kind).ok_or(StoreFault::Unreadable { what: "kind", value: kind })?,
            display: row.get(2)?,
            enabled: row.get(3)?,
            roles: roles.remove(&name).unwrap_or_default(),
            groups: groups.remove(&name).unwrap_or_default(),
            client_id: row.get(4)?,
            auth: ClientAuth { jwks: row.get(5)?, secret_sha256: row.get(6)? },
            name,
        });
    }
    Ok(subjects)
}

fn pairs(connection: &Connection, sql: &str) -> Result<HashMap<String, Vec<String>>, StoreFault> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    while let Some(row) = rows.next()? {
        found.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(found)
}

fn read_sites(connection: &Connection) -> Result<Vec<Site>, StoreFault> {
    let mut statement = connection.prepare(
        "SELECT s.name, issuer, algorithm, lifetime_seconds_default, lifetime_seconds_max, token_bytes_max,
                leeway_seconds, courier_seconds, every_seconds, roles_allowed, sealed, recipient, enabled,
                b.seq, b.issued_at, profiles
         FROM site s LEFT JOIN bundle b ON b.site = s.name AND b.seq = (SELECT max(seq) FROM bundle WHERE site = s.name)
         ORDER BY s.name",
    )?;
    let mut rows = statement.query([])?;
    let mut sites = Vec::new();
    while let Some(row) = rows.next()? {
        let mut site = read_site(row)?;
        site.audiences = read_audiences(connection, &site.name)?;
        site.keys = read_keys(connection, &site.name, site.courier_seconds)?;
        sites.push(site);
    }
    Ok(sites)
}

fn read_site(row: &Row<'_>) -> Result<Site, StoreFault> {
    let seconds = |column: usize| row.get::<_, i64>(column).map(unsigned);
    let last_bundle = match (row.get::<_, Option<i64>>(13)?, row.get::<_, Option<i64>>(14)?) {
        (Some(seq), Some(at)) => Some(BundleMark { seq: unsigned(seq), issued_at: unsigned(at) }),
        _ => None,
    };
    Ok(Site {
        name: row.get(0)?,
        issuer: row.get(1)?,
        audiences: Vec::new(),
        algorithm: algorithm(row.get(2)?)?,
        lifetime_seconds_default: seconds(3)?,
        lifetime_seconds_max: seconds(4)?,
        token_bytes_max: usize::try_from(seconds(5)?).unwrap_or(usize::MAX),
        leeway_seconds: seconds(6)?,
        courier_seconds: seconds(7)?,
        every_seconds: seconds(8)?,
        roles_allowed: names(row.get(9)?)?,
        profiles: names(Some(row.get(15)?))?.unwrap_or_default(),
        sealed: row.get(10)?,
        recipient: row.get(11)?,
        enabled: row.get(12)?,
        keys: Vec::new(),
        last_bundle,
    })
}

fn read_audiences(connection: &Connection, site: &str) -> Result<Vec<Audience>, StoreFault> {
    let mut statement = connection
        .prepare("SELECT name, stale_seconds_max, logged FROM audience WHERE site = ?1 ORDER BY rowid")?;
    let rows = statement.query_map([site], |row| {
        Ok(Audience {
            name: row.get(0)?,
            stale_seconds_max: row.get::<_, Option<i64>>(1)?.map(unsigned),
            logged: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reads a site's calendar and works out the rotation rule (bundle.md, rotation): sign with a key only once a bundle that
/// carried it was receipted, or is older than the courier interval. A site that has never been sent a key needs no such
/// patience: its first keys travel before, or together with, the first token.
fn read_keys(
    connection: &Connection,
    site: &str,
    courier_seconds: u64,
) -> Result<Vec<TokenKeyRecord>, StoreFault> {
    let mut statement = connection.prepare(
        "SELECT k.kid, k.algorithm, k.purpose, k.jwk, k.path, k.sign_from, k.sign_until, k.accept_until, k.created_at,
                EXISTS (SELECT 1 FROM revocation r WHERE r.site = k.site AND r.kind = 'key' AND r.what = k.kid),
                (SELECT min(d.adopted_at) FROM release_key c
                   JOIN release_document d ON d.site = c.site AND d.kind = 'keys' AND d.version = c.version
                  WHERE c.site = k.site AND c.kid = k.kid),
                (SELECT min(min(b.issued_at + ?2, coalesce(b.receipted_at, b.issued_at + ?2)))
                   FROM release_key c JOIN bundle b ON b.site = c.site AND b.keys_version = c.version
                  WHERE c.site = k.site AND c.kid = k.kid),
                (SELECT min(c.version) FROM release_key c WHERE c.site = k.site AND c.kid = k.kid)
                = (SELECT min(c.version) FROM release_key c JOIN token_key o ON o.kid = c.kid
                    WHERE c.site = k.site AND o.purpose = k.purpose)
         FROM token_key k WHERE k.site = ?1 ORDER BY k.sign_from, k.created_at, k.kid",
    )?;
    let mut rows = statement.query((site, super::signed(courier_seconds)))?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read_key(row)?);
    }
    Ok(keys)
}

fn read_key(row: &Row<'_>) -> Result<TokenKeyRecord, StoreFault> {
    let purpose: String = row.get(2)?;
    let path: String = row.get(4)?;
    let adopted: Option<u64> = row.get::<_, Option<i64>>(10)?.map(unsigned);
    let crossed: Option<u64> = row.get::<_, Option<i64>>(11)?.map(unsigned);
    let first = row.get::<_, Option<bool>>(12)?.unwrap_or(false);
    Ok(TokenKeyRecord {
        kid: row.get(0)?,
        algorithm: algorithm(row.get(1)?)?,
        purpose: Purpose::from_name(&purpose)
            .ok_or(StoreFault::Unreadable { what: "key purpose", value: purpose })?,
        jwk: row.get(3)?,
        path: PathBuf::from(path),
        sign_from: unsigned(row.get(5)?),
        sign_until: unsigned(row.get(6)?),
        accept_until: unsigned(row.get(7)?),
        created_at: unsigned(row.get(8)?),
        usable_from: if first { adopted } else { crossed },
        revoked: row.get(9)?,
    })
}

fn read_orders(connection: &Connection) -> Result<Vec<Order>, StoreFault> {
    let mut statement = connection.prepare(
        "SELECT id, site, subject, audience, lifetime_seconds, profile, roles, claim, enabled
         FROM standing_order ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(Order {
            id: row.get(0)?,
            site: row.get(1)?,
            subject: row.get(2)?,
            audience: row.get(3)?,
            lifetime_seconds: unsigned(row.get(4)?),
            profile: row.get(5)?,
            roles: names(row.get(6)?)?,
            claim: row.get(7)?,
            enabled: row.get(8)?,
        });
    }
    Ok(orders)
}

fn algorithm(name: String) -> Result<Algorithm, StoreFault> {
    Algorithm::from_name(&name).ok_or(StoreFault::Unreadable { what: "algorithm", value: name })
}

fn names(text: Option<String>) -> Result<Option<Vec<String>>, StoreFault> {
    text.map(|text| {
        serde_json::from_str(&text).map_err(|_| StoreFault::Unreadable { what: "list of roles", value: text })
    })
    .transpose()
}
