//! Standing orders: whenever a bundle is made for a site, each of its orders gets a fresh token in it.
//!
//! So a carried token is renewed on the site's own cadence, before the last one expires, and its text lies
//! nowhere on the near side but inside the sealed bundle. An order that may no longer be served is left out
//! and told in the log; it never keeps a bundle from being made.

use std::ops::Range;

use farside_crossing::parcels::{Claim, Parcel};
use farside_crossing::{Digest, Fingerprint, Head, RawJson};
use farside_service::duration::Seconds;
use farside_service::{digest, random};
use farside_verify::encode::base64url;
use farside_verify::merkle::Hash;

use crate::bundler::{Issuance, IssuanceFault};
use crate::claims::{Confirmation, Profile};
use crate::issue::{IssueFault, Issuer};
use crate::judge::{self, IssueRequest, Refused, Requester};
use crate::log::{LockedBundle, LogFault};
use crate::store::{self, Directory, Order, Site, Store, StoreFault};

/// Words of a claim phrase that is made here, each one of 256: 80 bits.
const PHRASE_WORDS: usize = 10;

/// Fewest bytes of a claim phrase that someone else has chosen.
pub const PHRASE_BYTES_MIN: usize = 12;

/// An order to be placed.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The site.
    pub site: String,
    /// Whom its tokens are for.
    pub subject: String,
    /// For which of the site's audiences.
    pub audience: String,
    /// How long each token lives; `None`: until the next bundle must have arrived.
    pub lifetime_seconds: Option<u64>,
    /// Roles to write; `None`: those held when a token is made.
    pub roles: Option<Vec<String>>,
    /// The tokens' shape.
    pub profile: Profile,
    /// The key that their holder must prove to have.
    pub confirmation: Option<Confirmation>,
    /// How the holder collects them.
    pub claim: ClaimWanted,
}

/// How a holder is to collect.
#[derive(Clone)]
pub enum ClaimWanted {
    /// By this phrase.
    Phrase(String),
    /// By proof of the key that the directory knows.
    Key,
    /// From a file.
    File,
}

impl std::fmt::Debug for ClaimWanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ClaimWanted::Phrase(_) => "Phrase",
            ClaimWanted::Key => "Key",
            ClaimWanted::File => "File",
        })
    }
}

/// An order that was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its number.
    pub id: i64,
    /// How long its tokens live.
    pub lifetime_seconds: u64,
    /// Whether a token may expire before the next one arrives.
    pub may_lapse: bool,
}

/// Why an order is not placed.
#[derive(Debug, thiserror::Error)]
pub enum OrderFault {
    /// No token could be made for it.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The audience is another site's.
    #[error("audience {audience:?} does not belong to site {site:?}")]
    OtherSite {
        /// The site asked for.
        site: String,
        /// The audience.
        audience: String,
    },
    /// Parcels are sealed to the site, and this one's bundles are not.
    #[error("bundles for site {0:?} are not sealed: they carry no tokens")]
    Unsealed(String),
    /// The subject has no registered key.
    #[error("subject {0:?} has no registered key to collect by")]
    NoKey(String),
    /// The phrase can be guessed.
    #[error("the claim phrase is shorter than {PHRASE_BYTES_MIN} bytes")]
    PhraseShort,
    /// The claim could not be spelled.
    #[error("the claim could not be spelled: {0}")]
    Claim(#[from] serde_json::Error),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

/// Places an order, if a token could be made for it today.
pub fn add(store: &Store, order: &NewOrder, now: u64) -> Result<Placed, OrderFault> {
    let directory = store.directory()?;
    let site = site(&directory, order)?;
    let arrives_within = site.terms.every_seconds.saturating_add(site.terms.courier_seconds);
    let lifetime_seconds =
        order.lifetime_seconds.unwrap_or(arrives_within.min(site.terms.lifetime_seconds_max));
    judge::could_be_asked(&directory, &request(order, lifetime_seconds))?;
    let claim = serde_json::to_string(&claim(&directory, order)?)?;
    let roles = order.roles.as_ref().map(serde_json::to_string).transpose()?;
    let confirmation = order.confirmation.as_ref().map(serde_json::to_string).transpose()?;
    let id = store.write(|transaction| {
        transaction.execute(
            "INSERT INTO standing_order (site, subject, audience, lifetime_seconds, profile, roles,
               claim, created_at, confirmation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            (
                &order.site,
                &order.subject,
                &order.audience,
                store::signed(lifetime_seconds),
                order.profile.name(),
                &roles,
                &claim,
                store::signed(now),
                &confirmation,
            ),
        )?;
        Ok::<_, StoreFault>(transaction.last_insert_rowid())
    })?;
    Ok(Placed { id, lifetime_seconds, may_lapse: lifetime_seconds < arrives_within })
}

/// Stops an order; `false` where there is none of that number. Its row stays, for the record.
pub fn remove(store: &Store, id: i64) -> Result<bool, StoreFault> {
    store.write(|transaction| {
        let stop = "UPDATE standing_order SET enabled = 0 WHERE id = ?1 AND enabled = 1";
        Ok(transaction.execute(stop, [id])? == 1)
    })
}

/// A phrase of ten words, to be told to one person.
pub fn make_phrase() -> Result<String, random::Failed> {
    let words = Fingerprint::from(Digest::of(&random::bytes::<32>()?)).words();
    Ok(words.split(' ').take(PHRASE_WORDS).collect::<Vec<_>>().join(" "))
}

/// An order as lists show it.
#[derive(Debug, serde::Serialize)]
pub struct Listed {
    order: i64,
    site: String,
    subject: String,
    audience: String,
    lifetime_seconds: u64,
    profile: String,
    claim: &'static str,
}

impl Listed {
    /// What a list shows of `order`.
    pub fn of(order: &Order) -> Listed {
        let claim = match serde_json::from_str(&order.claim) {
            Ok(Claim::Phrase { .. }) => "phrase",
            Ok(Claim::Key { .. }) => "key",
            Ok(Claim::File) => "file",
            Err(_) => "unreadable",
        };
        Listed {
            order: order.id,
            site: order.site.clone(),
            subject: order.subject.clone(),
            audience: order.audience.clone(),
            lifetime_seconds: order.lifetime_seconds,
            profile: order.profile.clone(),
            claim,
        }
    }

    /// The cells of its row.
    pub fn cells(&self) -> Vec<String> {
        let lifetime = Seconds(self.lifetime_seconds).to_string();
        let texts = [&self.site, &self.subject, &self.audience, &lifetime, &self.profile];
        let mut cells = vec![self.order.to_string()];
        cells.extend(texts.into_iter().cloned());
        cells.push(self.claim.to_owned());
        cells
    }
}

impl Issuance for Issuer {
    fn parcels(&self, site: &Site, now: u64) -> Result<Vec<Parcel>, IssuanceFault> {
        let directory = self.store().directory().map_err(|fault| IssuanceFault(fault.to_string()))?;
        let orders = directory.orders_of(&site.name).iter().filter(|order| order.enabled);
        let servable: Vec<_> = orders.filter_map(readable).collect();
        let requests: Vec<_> = servable.iter().map(|(_, request, _)| request.clone()).collect();
        let tokens = self.issue_many(&requests, now).map_err(|fault| IssuanceFault(fault.to_string()))?;
        let mut parcels = Vec::with_capacity(tokens.len());
        for ((order, _, claim), token) in servable.into_iter().zip(tokens) {
            match token {
                Ok(token) => parcels.push(Parcel {
                    token: token.expose().to_owned(),
                    sub: order.subject.clone(),
                    aud: Some(order.audience.clone()),
                    claim,
                }),
                Err(IssueFault::Refused(refused)) => leave_out(order, &refused.to_string()),
                Err(fault) => return Err(IssuanceFault(fault.to_string())),
            }
        }
        Ok(parcels)
    }

    fn sign_list(&self, site: &Site, claims: &str, now: u64) -> Result<String, IssuanceFault> {
        self.sign_status_list(&site.name, claims, now).map_err(|fault| IssuanceFault(fault.to_string()))
    }

    fn shards(&self, site: &Site) -> Vec<String> {
        vec![site.shard(self.replica())]
    }

    fn note(&self, bundle: &LockedBundle) -> Result<(), LogFault> {
        self.log().note_bundle(bundle)
    }

    fn publish(&self) -> Result<(), LogFault> {
        self.log().publish().map(drop)
    }

    fn signed_head(&self, shard: &str) -> Option<(Head, Vec<u8>)> {
        self.log().signed_head(shard)
    }

    fn leaf_hashes(&self, shard: &str, range: Range<u64>) -> Result<Vec<Hash>, LogFault> {
        self.log().leaves(shard, range)
    }

    fn edge(&self, shard: &str, size: u64) -> Result<Vec<Hash>, LogFault> {
        self.log().edge(shard, size)
    }

    fn consistency(&self, shard: &str, old: u64, size: u64) -> Result<Vec<Hash>, LogFault> {
        self.log().consistency(shard, old, size)
    }
}

fn readable(order: &Order) -> Option<(&Order, IssueRequest, Claim)> {
    let claim = serde_json::from_str(&order.claim).ok();
    let read = Profile::from_name(&order.profile).zip(claim);
    let Some((profile, claim)) = read else {
        leave_out(order, "its profile or claim cannot be read");
        return None;
    };
    let request = IssueRequest {
        requester: Requester::Order(order.id),
        subject: order.subject.clone(),
        audience: order.audience.clone(),
        roles: order.roles.clone(),
        groups: Vec::new(),
        scope: None,
        lifetime_seconds: Some(order.lifetime_seconds),
        profile,
        confirmation: order.confirmation.clone(),
        assertion: None,
    };
    Some((order, request, claim))
}

fn site<'d>(directory: &'d Directory, order: &NewOrder) -> Result<&'d Site, OrderFault> {
    let audience = &order.audience;
    let unknown = || Refused::AudienceUnknown { audience: audience.clone() };
    let site = directory.site_of_audience(audience).ok_or_else(unknown)?;
    if site.name != order.site {
        return Err(OrderFault::OtherSite { site: order.site.clone(), audience: audience.clone() });
    }
    if !site.terms.sealed {
        return Err(OrderFault::Unsealed(site.name.clone()));
    }
    Ok(site)
}

fn request(order: &NewOrder, lifetime_seconds: u64) -> IssueRequest {
    IssueRequest {
        requester: Requester::Order(0),
        subject: order.subject.clone(),
        audience: order.audience.clone(),
        roles: order.roles.clone(),
        groups: Vec::new(),
        scope: None,
        lifetime_seconds: Some(lifetime_seconds),
        profile: order.profile,
        confirmation: order.confirmation.clone(),
        assertion: None,
    }
}

fn claim(directory: &Directory, order: &NewOrder) -> Result<Claim, OrderFault> {
    match &order.claim {
        ClaimWanted::File => Ok(Claim::File),
        ClaimWanted::Key => {
            let jwks = directory.subject(&order.subject).and_then(|subject| subject.auth.jwks.as_deref());
            let jwk = jwks.and_then(first_key).ok_or_else(|| OrderFault::NoKey(order.subject.clone()))?;
            Ok(Claim::Key { jwk })
        }
        ClaimWanted::Phrase(phrase) if phrase.trim().len() < PHRASE_BYTES_MIN => Err(OrderFault::PhraseShort),
        // The same spelling as at the gate: blanks at either end do not count.
        ClaimWanted::Phrase(phrase) => {
            Ok(Claim::Phrase { sha256: base64url(digest::sha256(phrase.trim().as_bytes())) })
        }
    }
}

fn first_key(jwks: &str) -> Option<RawJson> {
    let set: serde_json::Value = serde_json::from_str(jwks).ok()?;
    RawJson::new(&set.get("keys")?.get(0)?.to_string()).ok()
}

impl From<OrderFault> for farside_service::cli::Failure {
    fn from(fault: OrderFault) -> Self {
        match fault {
            OrderFault::Refused(refused) => IssueFault::Refused(refused).into(),
            OrderFault::Store(fault) => fault.into(),
            OrderFault::NoKey(subject) => Self::refused(OrderFault::NoKey(subject.clone()).to_string())
                .hint(format!("register one with `farside mint bot key {subject} --jwk FILE`")),
            fault @ OrderFault::Claim(_) => Self::could_not(fault.to_string()),
            fault => Self::refused(fault.to_string()),
        }
    }
}

fn leave_out(order: &Order, reason: &str) {
    metrics::counter!("farside_mint_orders_left_out_total").increment(1);
    tracing::warn!(order = order.id, site = order.site, reason, "a standing order is left out of the bundle");
}
