//! Sites: added with what their tokens must look like, enrolled with the recipient key that their gate shows.
//! Audiences and issuers are unique in the realm, so that a token can be meant for one site only.

use farside_crossing::RecipientPublic;
use farside_crossing::cedar::Policies;
use farside_service::duration::Seconds;

use crate::names::{self, NameFault};
use crate::store::{Audience, Directory, Site, SiteTerms, Store, StoreFault, signed};
use crate::tiers;

/// Longest lifetime a site may allow: 31 days.
pub const LIFETIME_SECONDS_CEILING: u64 = 31 * 86_400;
/// Largest size budget: what a verifier reads at all.
const TOKEN_BYTES_CEILING: usize = 16 * 1024;
/// Largest forgiven clock difference.
const LEEWAY_SECONDS_CEILING: u64 = 600;
const PROFILES: [&str; 3] = ["access", "lean", "jwt-svid"];

/// Why a site was not added or enrolled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteFault {
    /// A name cannot be used.
    #[error("{0}")]
    Name(#[from] NameFault),
    /// The site exists.
    #[error("there is a site {0} already")]
    Exists(String),
    /// There is no such site.
    #[error("there is no site {0}")]
    Unknown(String),
    /// The issuer is another site's.
    #[error("the issuer {issuer} is that of site {site}")]
    IssuerTaken {
        /// The issuer.
        issuer: String,
        /// Whose it is.
        site: String,
    },
    /// The audience is another site's.
    #[error("the audience {audience} belongs to site {site}; audiences are unique in the realm")]
    AudienceTaken {
        /// The audience.
        audience: String,
        /// Whose it is.
        site: String,
    },
    /// A standing order is for an audience that would go.
    #[error("standing order {order} is for the audience {audience}, which would be gone")]
    Ordered {
        /// The audience.
        audience: String,
        /// The order's number.
        order: i64,
    },
    /// Tokens are for somebody.
    #[error("a site needs at least one audience")]
    NoAudience,
    /// The issuer is no web address.
    #[error("the issuer must be an https (or http) URL without query or fragment")]
    Issuer,
    /// A number is out of its range.
    #[error("{what} must lie between {min} and {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A stricter action would be admitted on older state than a laxer one.
    #[error(
        "{0}: no tier may be 0s, and none may be longer than that of a laxer action: read, write, safety"
    )]
    Tiers(String),
    /// `--only` names an audience that the site does not have.
    #[error("the site has no audience {0}")]
    NoSuchAudience(String),
    /// No such token profile.
    #[error("there is no token profile {0}; there are access, lean and jwt-svid")]
    Profile(String),
    /// The Cedar policies do not read, or would never apply.
    #[error("these Cedar policies cannot be taken: {0}")]
    Cedar(String),
    /// The recipient line belongs to another site, or is none.
    #[error("this recipient key cannot be taken: {0}")]
    Recipient(String),
    /// Nothing is sealed to this site.
    #[error("site {0} was added unsealed and takes no recipient key")]
    Unsealed(String),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for SiteFault {
    fn from(fault: rusqlite::Error) -> Self {
        Self::Store(fault.into())
    }
}

impl From<SiteFault> for farside_service::cli::Failure {
    fn from(fault: SiteFault) -> Self {
        match fault {
            SiteFault::Store(fault) => fault.into(),
            fault => Self::refused(fault.to_string()),
        }
    }
}

impl SiteTerms {
    /// Whether gates would see no difference.
    pub fn same_policy(&self, other: &SiteTerms) -> bool {
        let seen = |terms: &Self| {
            let times = (terms.lifetime_seconds_max, terms.leeway_seconds);
            (
                terms.issuer.clone(),
                terms.audiences.clone(),
                times,
                terms.profiles.clone(),
                terms.cedar.clone(),
            )
        };
        seen(self) == seen(other)
    }

    /// What it costs that nothing is sealed to the site; nothing where something is.
    pub fn costs(&self) -> Vec<String> {
        if self.sealed {
            return Vec::new();
        }
        let courier = Seconds(self.courier_seconds);
        vec![
            "no token is carried to it: holders bring theirs themselves".to_owned(),
            format!("no receipt is believed: a new key signs only {courier} after its bundle was made"),
            "whoever carries a bundle can read all of it: keys, policy, who and what is revoked".to_owned(),
        ]
    }

    /// What an audience closes before the next bundle is there, a sentence each.
    pub fn gaps(&self) -> Vec<String> {
        let (every, courier) = (self.every_seconds, self.courier_seconds);
        let told = |audience: &Audience| {
            let gaps = tiers::gaps(&audience.stale_seconds_max, every, courier);
            gaps.into_iter().map(|gap| format!("{}: {gap}", audience.name)).collect::<Vec<_>>()
        };
        self.audiences.iter().flat_map(told).collect()
    }

    fn check(&self) -> Result<(), SiteFault> {
        check_issuer(&self.issuer)?;
        if self.audiences.is_empty() {
            return Err(SiteFault::NoAudience);
        }
        for audience in &self.audiences {
            names::claim("audience", &audience.name)?;
            if !audience.stale_seconds_max.is_sound() {
                return Err(SiteFault::Tiers(audience.name.clone()));
            }
        }
        for role in self.roles_allowed.iter().flatten() {
            names::claim("role", role)?;
        }
        if let Some(unknown) = self.profiles.iter().find(|profile| !PROFILES.contains(&profile.as_str())) {
            return Err(SiteFault::Profile(unknown.clone()));
        }
        self.check_cedar()?;
        let day = 86_400;
        within("the longest lifetime in seconds", self.lifetime_seconds_max, 1, LIFETIME_SECONDS_CEILING)?;
        within("the usual lifetime in seconds", self.lifetime_seconds_default, 1, self.lifetime_seconds_max)?;
        within("the size budget in bytes", self.token_bytes_max as u64, 256, TOKEN_BYTES_CEILING as u64)?;
        within("the leeway in seconds", self.leeway_seconds, 0, LEEWAY_SECONDS_CEILING)?;
        within("the courier interval in seconds", self.courier_seconds, 1, 366 * day)?;
        within("the time between bundles in seconds", self.every_seconds, 1, 366 * day)
    }

    // policy.md §1.4
    fn check_cedar(&self) -> Result<(), SiteFault> {
        let Some(text) = &self.cedar else { return Ok(()) };
        let policies =
            Policies::read(text).map_err(|refusal| SiteFault::Cedar(refusal.detail().to_owned()))?;
        match policies.idle().first() {
            Some(idle) => Err(SiteFault::Cedar(idle.clone())),
            None => Ok(()),
        }
    }
}

fn within(what: &'static str, value: u64, min: u64, max: u64) -> Result<(), SiteFault> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SiteFault::Range { what, min, max }) }
}

// RFC 8414 §2: an issuer is a URL without query or fragment; far-side networks without TLS may use http.
fn check_issuer(issuer: &str) -> Result<(), SiteFault> {
    names::claim("issuer", issuer)?;
    let host = issuer.strip_prefix("https://").or_else(|| issuer.strip_prefix("http://"));
    let sound = host
        .is_some_and(|host| !host.is_empty() && !host.starts_with('/') && !host.contains(['?', '#', ' ']));
    if sound { Ok(()) } else { Err(SiteFault::Issuer) }
}

/// Adds a site with its audiences.
pub fn add(store: &Store, name: &str, terms: &SiteTerms, now: u64) -> Result<(), SiteFault> {
    names::site(name)?;
    let directory = store.directory()?;
    if directory.site(name).is_some() {
        return Err(SiteFault::Exists(name.to_owned()));
    }
    put(store, &directory, name, terms, now)
}

/// Changes the terms of a site; tokens are issued under them from the next one on. What gates must know of
/// them is a policy to be released.
pub fn set(store: &Store, name: &str, terms: &SiteTerms, now: u64) -> Result<(), SiteFault> {
    let directory = store.directory()?;
    let known = directory.site(name).ok_or_else(|| SiteFault::Unknown(name.to_owned()))?;
    let stays = |audience: &str| terms.audiences.iter().any(|kept| kept.name == audience);
    let mut orders = directory.orders_of(&known.name).iter();
    if let Some(order) = orders.find(|order| !stays(&order.audience)) {
        return Err(SiteFault::Ordered { audience: order.audience.clone(), order: order.id });
    }
    put(store, &directory, name, terms, now)
}

/// Stops issuing and bundling for a site, or begins again.
pub fn switch(store: &Store, name: &str, enabled: bool) -> Result<(), SiteFault> {
    store.write(|transaction| {
        match transaction.execute("UPDATE site SET enabled = ?2 WHERE name = ?1", (name, enabled))? {
            0 => Err(SiteFault::Unknown(name.to_owned())),
            _ => Ok(()),
        }
    })
}

fn put(
    store: &Store,
    directory: &Directory,
    name: &str,
    terms: &SiteTerms,
    now: u64,
) -> Result<(), SiteFault> {
    terms.check()?;
    refuse_taken(directory, name, terms)?;
    store.write(|transaction| {
        transaction.execute(
            "INSERT INTO site (name, issuer, algorithm, lifetime_seconds_default, lifetime_seconds_max,
                 token_bytes_max, leeway_seconds, courier_seconds, every_seconds, roles_allowed, profiles,
                 sealed, created_at, lifetime_seconds_highest, status_claim, cedar)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?5, ?14, ?15)
             ON CONFLICT (name) DO UPDATE SET issuer = excluded.issuer, algorithm = excluded.algorithm,
                 lifetime_seconds_default = excluded.lifetime_seconds_default,
                 lifetime_seconds_max = excluded.lifetime_seconds_max,
                 lifetime_seconds_highest =
                     max(lifetime_seconds_highest, excluded.lifetime_seconds_highest),
                 token_bytes_max = excluded.token_bytes_max, leeway_seconds = excluded.leeway_seconds,
                 courier_seconds = excluded.courier_seconds, every_seconds = excluded.every_seconds,
                 roles_allowed = excluded.roles_allowed, profiles = excluded.profiles,
                 status_claim = excluded.status_claim, cedar = excluded.cedar",
            rusqlite::params![
                name,
                terms.issuer,
                terms.algorithm.name(),
                signed(terms.lifetime_seconds_default),
                signed(terms.lifetime_seconds_max),
                signed(terms.token_bytes_max as u64),
                signed(terms.leeway_seconds),
                signed(terms.courier_seconds),
                signed(terms.every_seconds),
                terms.roles_allowed.as_ref().map(|roles| names::list(roles)),
                names::list(&terms.profiles),
                terms.sealed,
                signed(now),
                terms.status_claim,
                terms.cedar,
            ],
        )?;
        put_audiences(transaction, name, &terms.audiences)
    })
}

fn put_audiences(
    transaction: &rusqlite::Transaction<'_>,
    name: &str,
    audiences: &[Audience],
) -> Result<(), SiteFault> {
    let kept: Vec<String> = audiences.iter().map(|audience| audience.name.clone()).collect();
    transaction.execute(
        "DELETE FROM audience WHERE site = ?1 AND name NOT IN (SELECT value FROM json_each(?2))",
        (name, names::list(&kept)),
    )?;
    for audience in audiences {
        let stale = &audience.stale_seconds_max;
        transaction.execute(
            "INSERT INTO audience (name, site, logged, stale_read_seconds_max, stale_write_seconds_max,
                 stale_safety_seconds_max, breakglass, single_use, holder_bound)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (name) DO UPDATE SET logged = excluded.logged, breakglass = excluded.breakglass,
                 single_use = excluded.single_use, holder_bound = excluded.holder_bound,
                 stale_read_seconds_max = excluded.stale_read_seconds_max,
                 stale_write_seconds_max = excluded.stale_write_seconds_max,
                 stale_safety_seconds_max = excluded.stale_safety_seconds_max",
            (
                &audience.name,
                name,
                audience.logged.as_str(),
                stale.read.map(signed),
                stale.write.map(signed),
                stale.safety.map(signed),
                audience.breakglass.as_str(),
                audience.single_use,
                audience.holder_bound,
            ),
        )?;
    }
    Ok(())
}

/// Issuer and audiences are one site's alone.
fn refuse_taken(directory: &Directory, name: &str, terms: &SiteTerms) -> Result<(), SiteFault> {
    let taken = |site: &&Site| site.name != name && site.terms.issuer == terms.issuer;
    if let Some(other) = directory.sites().find(taken) {
        return Err(SiteFault::IssuerTaken { issuer: terms.issuer.clone(), site: other.name.clone() });
    }
    for audience in &terms.audiences {
        if let Some(other) = directory.site_of_audience(&audience.name).filter(|site| site.name != name) {
            return Err(SiteFault::AudienceTaken {
                audience: audience.name.clone(),
                site: other.name.clone(),
            });
        }
    }
    Ok(())
}

/// Reads the line that a gate showed, and refuses one that is another site's.
pub fn read_recipient(site: &str, line: &str) -> Result<RecipientPublic, SiteFault> {
    let recipient: RecipientPublic = line
        .trim()
        .parse()
        .map_err(|refusal: farside_crossing::Refusal| SiteFault::Recipient(refusal.to_string()))?;
    if recipient.site() != site {
        return Err(SiteFault::Recipient(format!("it is of site {}", recipient.site())));
    }
    Ok(recipient)
}

/// Enrols a site: from now on its bundles are sealed to this key.
pub fn enrol(store: &Store, site: &str, recipient: &RecipientPublic) -> Result<(), SiteFault> {
    let directory = store.directory()?;
    let known = directory.site(site).ok_or_else(|| SiteFault::Unknown(site.to_owned()))?;
    if !known.terms.sealed {
        return Err(SiteFault::Unsealed(site.to_owned()));
    }
    store.write(|transaction| {
        transaction
            .execute("UPDATE site SET recipient = ?2 WHERE name = ?1", (site, recipient.to_string()))?;
        Ok(())
    })
}
