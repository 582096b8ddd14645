//! The directory as one immutable picture in memory: subjects, sites with their calendars, standing orders.
//! Whoever judges a request reads this and nothing else, so a decision never sees half of a change.
//!
//! ```text
//!   change ─▶ trigger ─▶ number in `change` ─▶ the next picture reads those parts anew and shares the others
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use farside_crossing::{Breakglass, Logged, StaleMax};
use farside_verify::Algorithm;

use super::pieces::Pieces;
use crate::claims::Confirmation;
use crate::keys::KeyPlace;

/// Everything a decision about a token needs, as of one commit.
#[derive(Debug, Clone)]
pub struct Directory {
    pub(super) data_version: i64,
    /// The number of the newest change that is in it.
    pub(super) newest: i64,
    pub(super) realm: String,
    subjects: Pieces<Arc<Subject>>,
    subject_by_client: Pieces<String>,
    sites: BTreeMap<String, Arc<Site>>,
    site_by_audience: HashMap<String, String>,
    orders: BTreeMap<String, Arc<[Order]>>,
}

impl Directory {
    pub(super) fn empty(realm: String) -> Directory {
        Directory {
            data_version: 0,
            newest: 0,
            realm,
            subjects: Pieces::new(),
            subject_by_client: Pieces::new(),
            sites: BTreeMap::new(),
            site_by_audience: HashMap::new(),
            orders: BTreeMap::new(),
        }
    }

    /// Takes in what was found of those that changed: whoever is not among the found is gone.
    pub(super) fn take_subjects(&mut self, changed: &[String], found: Vec<Subject>) {
        for name in changed {
            if let Some(before) = self.subjects.remove(name) {
                self.subject_by_client.remove(&before.client_id);
            }
        }
        for subject in found {
            self.subject_by_client.insert(subject.client_id.clone(), subject.name.clone());
            self.subjects.insert(subject.name.clone(), Arc::new(subject));
        }
    }

    /// As [`Directory::take_subjects`].
    pub(super) fn take_sites(&mut self, changed: &[String], found: Vec<Site>) {
        for name in changed {
            if let Some(before) = self.sites.remove(name) {
                before.terms.audiences.iter().for_each(|gone| drop(self.site_by_audience.remove(&gone.name)));
            }
        }
        for site in found {
            let audiences = site.terms.audiences.iter();
            self.site_by_audience.extend(audiences.map(|held| (held.name.clone(), site.name.clone())));
            self.sites.insert(site.name.clone(), Arc::new(site));
        }
    }

    /// As [`Directory::take_subjects`], of all orders of the sites that changed.
    pub(super) fn take_orders(&mut self, changed: &[String], found: Vec<Order>) {
        changed.iter().for_each(|site| drop(self.orders.remove(site)));
        let mut of_sites: BTreeMap<String, Vec<Order>> = BTreeMap::new();
        found.into_iter().for_each(|order| of_sites.entry(order.site.clone()).or_default().push(order));
        self.orders.extend(of_sites.into_iter().map(|(site, orders)| (site, orders.into())));
    }

    /// The realm's name.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Changes whenever any process has committed; never compare it between two [`super::Store`]s.
    pub fn data_version(&self) -> i64 {
        self.data_version
    }

    /// Every subject, by name.
    pub fn subjects(&self) -> Vec<&Subject> {
        let mut subjects: Vec<&Subject> = self.subjects.values().map(Arc::as_ref).collect();
        subjects.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        subjects
    }

    /// The subject of that name, enabled or not.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.get(name).map(Arc::as_ref)
    }

    /// The subject that uses this client id at the token endpoint.
    pub fn client(&self, client_id: &str) -> Option<&Subject> {
        self.subject(self.subject_by_client.get(client_id)?)
    }

    /// Every site, by name.
    pub fn sites(&self) -> impl Iterator<Item = &Site> + Clone {
        self.sites.values().map(Arc::as_ref)
    }

    /// The site of that name, enabled or not.
    pub fn site(&self, name: &str) -> Option<&Site> {
        self.sites.get(name).map(Arc::as_ref)
    }

    /// The one site to which this audience belongs.
    pub fn site_of_audience(&self, audience: &str) -> Option<&Site> {
        self.site(self.site_by_audience.get(audience)?)
    }

    /// Every standing order of a site, oldest first, the stopped ones included.
    pub fn orders_of(&self, site: &str) -> &[Order] {
        self.orders.get(site).map_or(&[], |orders| orders)
    }

    /// Every standing order, oldest first, the stopped ones included.
    pub fn orders(&self) -> Vec<&Order> {
        let mut orders: Vec<&Order> = self.orders.values().flat_map(|orders| orders.iter()).collect();
        orders.sort_unstable_by_key(|order| order.id);
        orders
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Clone, Default, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Unique in the realm; also the name of its log shard.
    pub name: String,
    /// What its tokens and bundles must be like.
    pub terms: SiteTerms,
    /// The site's recipient line, once enrolled.
    pub recipient: Option<String>,
    /// Nothing is issued or bundled for a disabled site.
    pub enabled: bool,
    /// The longest lifetime that was ever allowed: nothing issued for it lives longer.
    pub lifetime_seconds_highest: u64,
    /// The calendar, oldest period first.
    pub keys: Vec<TokenKeyRecord>,
    /// The newest bundle made.
    pub last_bundle: Option<BundleMark>,
}

/// What an operator decides about a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteTerms {
    /// Written as `iss`; unique in the realm.
    pub issuer: String,
    /// At least one; unique in the realm.
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
    /// Whether its tokens name their place in a status list, for third parties; its bundles carry the lists.
    pub status_claim: bool,
    /// Cedar policies by which its gates decide; without, the audience alone does.
    pub cedar: Option<String>,
}

impl Site {
    /// The key to sign with at `now`: of those usable, the one whose period began last.
    pub fn signing_key(&self, purpose: Purpose, now: u64) -> Option<&TokenKeyRecord> {
        self.signing_keys(purpose, now).into_iter().next()
    }

    /// The keys that may sign at `now`, the one to sign with first; the others stand in for it where it is
    /// away.
    pub fn signing_keys(&self, purpose: Purpose, now: u64) -> Vec<&TokenKeyRecord> {
        let may_sign = |key: &&TokenKeyRecord| key.purpose == purpose && key.signs_at(now);
        let mut keys: Vec<&TokenKeyRecord> = self.keys.iter().filter(may_sign).collect();
        keys.reverse();
        keys.sort_by_key(|key| std::cmp::Reverse((key.sign_from, key.created_at)));
        keys
    }

    /// The `typ` values that the site's gates accept, which follow from its profiles.
    pub fn token_types(&self) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for profile in &self.terms.profiles {
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

    /// When its next bundle is to be made; `None` before the first. No later than the last one has promised:
    /// terms that are changed to rarer bundles reach the gate with one that still comes as often. A beacon
    /// brings no tokens and no revocations, and puts off none.
    pub fn bundle_due_at(&self) -> Option<u64> {
        let last = self.last_bundle?;
        let promised = last.next_by.saturating_sub(self.terms.courier_seconds).max(last.issued_at);
        Some(last.content_at.saturating_add(self.terms.every_seconds).min(promised))
    }

    /// Name of the log shard that `replica` of the mint writes for this site: the site's own for the first
    /// replica.
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
    /// By when it said that the next one would be applied, in Unix seconds.
    pub next_by: u64,
    /// When the newest one that was no beacon was made; 0 where there is none.
    pub content_at: u64,
}

/// One audience of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Written as `aud`.
    pub name: String,
    /// Oldest state on which the gate still admits, for each action.
    pub stale_seconds_max: StaleMax,
    /// Which proof of logging the gate demands.
    pub logged: Logged,
    /// Whether cards may open it in an emergency.
    pub breakglass: Breakglass,
    /// Whether the gate admits each token once.
    pub single_use: bool,
    /// Whether the gate admits only whoever proves the key that a token is bound to.
    pub holder_bound: bool,
}

/// What a token key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Access tokens, lean ones included.
    Sig,
    /// SPIFFE JWT-SVIDs, which demand a key of their own.
    JwtSvid,
}

impl Purpose {
    /// Both.
    pub const ALL: [Purpose; 2] = [Self::Sig, Self::JwtSvid];

    /// As the JWK's `use` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sig => "sig",
            Self::JwtSvid => "jwt-svid",
        }
    }

    /// The purpose called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// One token key of a site's calendar. All instants are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKeyRecord {
    /// First 8 characters of the thumbprint; unique in the realm.
    pub kid: String,
    /// The algorithm, fixed to the key.
    pub algorithm: Algorithm,
    /// What it is for.
    pub purpose: Purpose,
    /// The public key as published, calendar members included.
    pub jwk: String,
    /// Where the private key lives.
    pub place: KeyPlace,
    /// First instant of its signing period.
    pub sign_from: u64,
    /// First instant after its signing period.
    pub sign_until: u64,
    /// No token signed with it is believed after this; none outlives it.
    pub accept_until: u64,
    /// When it was made.
    pub created_at: u64,
    /// From when the mint may sign with it: the rotation rule. `None`: it stands in no adopted keys document,
    /// is still on its way to the site, or is revoked.
    pub usable_from: Option<u64>,
    /// When a keys document with it was first adopted.
    pub adopted_at: Option<u64>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When its private half was destroyed.
    pub destroyed_at: Option<u64>,
}

impl TokenKeyRecord {
    /// Whether the mint may sign with it at `now`.
    pub fn signs_at(&self, now: u64) -> bool {
        !self.revoked
            && self.destroyed_at.is_none()
            && self.usable_from.is_some_and(|from| from <= now)
            && (self.sign_from..self.sign_until).contains(&now)
    }
}

/// A token to be kept fresh at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The key that its holder must prove to have.
    pub confirmation: Option<Confirmation>,
    /// How the holder claims it at the gate: [`farside_crossing::parcels::Claim`] as JSON.
    pub claim: String,
    /// Stopped orders stay for the record.
    pub enabled: bool,
}
