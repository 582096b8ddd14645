//! Makes token keys for a site's calendar. A key that follows another begins to sign only when every site
//! gate can have it: made early, it waits until its keys document has crossed.
//!
//! ```text
//!   Wish ──plan──▶ Plan ──make──▶ key files and rows ──release (k of n)──▶ keys document ──▶ bundle
//! ```

pub mod plan;
pub mod profile;

use rusqlite::Connection;

use crate::config::Home;
use crate::keys::{self, KeyFault, KeyPlace, MadeKey, Passphrase, Period, Token};
use crate::store::{Store, StoreFault, signed};

pub use plan::{Plan, PlanFault, Wish};
pub use profile::CryptoProfile;

/// Tries before a collision of key ids is reported; one collision already happens once in 2^48.
const COLLISIONS_MAX: usize = 4;

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarFault {
    /// There is no such site.
    #[error("there is no site {0}")]
    NoSite(String),
    /// The calendar cannot work.
    #[error("{0}")]
    Plan(#[from] PlanFault),
    /// The realm has keys of the ids that were made.
    #[error("the new key's id was taken {COLLISIONS_MAX} times in a row")]
    Collision,
    /// The key could not be made or kept.
    #[error("{0}")]
    Key(#[from] KeyFault),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<CalendarFault> for farside_service::cli::Failure {
    fn from(fault: CalendarFault) -> Self {
        match fault {
            CalendarFault::Store(fault) => fault.into(),
            CalendarFault::Key(fault) => fault.into(),
            CalendarFault::Plan(fault) => Self::refused(fault.to_string()).hint(fault.hint()),
            fault => Self::refused(fault.to_string()),
        }
    }
}

/// Works out the coming keys of a site without making any.
pub fn draft(store: &Store, site: &str, wish: &Wish, now: u64) -> Result<Plan, CalendarFault> {
    let directory = store.directory()?;
    let site = directory.site(site).ok_or_else(|| CalendarFault::NoSite(site.to_owned()))?;
    Ok(plan::plan(site, wish, now)?)
}

/// Where keys are made and kept.
#[derive(Clone, Copy)]
pub struct Smithy<'a> {
    /// The PKCS#11 token that keeps them; none: encrypted files do.
    pub token: Option<&'a Token>,
    /// The mint's folder.
    pub home: &'a Home,
    /// Its database.
    pub store: &'a Store,
    /// What the files are encrypted under.
    pub passphrase: &'a Passphrase,
}

impl Smithy<'_> {
    /// Makes the planned keys of each site, keeps them and enters them into the calendars, all or none;
    /// answers their ids in that order. They sign nothing before they stand in an adopted keys document and
    /// that document has had time to cross.
    ///
    /// # Errors
    /// A key cannot be made or kept: none is in a calendar then.
    pub fn make(&self, plans: &[(&str, &Plan)], now: u64) -> Result<Vec<String>, CalendarFault> {
        // A wrong passphrase is told before any key is made under it; and all of the mint's keys share what
        // Argon2id makes of it.
        if let Err(fault @ KeyFault::Locked { .. }) = keys::opens(&self.home.online_key(), self.passphrase) {
            return Err(fault.into());
        }
        let mut made: Vec<(Workshop<'_>, Made)> = Vec::new();
        for (site, plan) in plans {
            let Smithy { token, home, store, passphrase } = *self;
            let workshop = Workshop { token, home, store, site, plan, passphrase };
            for period in plan.periods() {
                let key = workshop.make(*period)?;
                // token.md §4: nor is one that stands in no calendar yet made twice.
                if made.iter().any(|(_, other)| other.key.kid == key.key.kid) {
                    return Err(CalendarFault::Collision);
                }
                made.push((workshop, key));
            }
        }
        self.store.write(|transaction| {
            let mut keys = made.iter();
            keys.try_for_each(|(shop, made)| made.enter(transaction, shop.site, shop.plan, now))
                .map_err(StoreFault::from)
        })?;
        Ok(made.into_iter().map(|(_, made)| made.key.kid).collect())
    }
}

#[derive(Clone, Copy)]
struct Workshop<'a> {
    token: Option<&'a Token>,
    home: &'a Home,
    store: &'a Store,
    site: &'a str,
    plan: &'a Plan,
    passphrase: &'a Passphrase,
}

/// A key that is kept.
struct Made {
    key: MadeKey,
    period: Period,
    place: KeyPlace,
}

impl Workshop<'_> {
    /// The key first: a row without its key would stop the mint, a key without its row is only litter.
    fn make(&self, period: Period) -> Result<Made, CalendarFault> {
        for _ in 0..COLLISIONS_MAX {
            let key = self.generate(period)?;
            let file = format!("keys/token-{}-{}.key", self.site, key.kid);
            let place = key.place(&file);
            // token.md §4: a kid is unique in the realm.
            if !knows(self.store, &key.kid)? {
                key.keep(&self.home.0.join(&file), self.passphrase)?;
                return Ok(Made { key, period, place });
            }
            if let KeyPlace::Token(_) = place {
                place.destroy(&self.home.0, self.passphrase)?;
            }
        }
        Err(CalendarFault::Collision)
    }

    fn generate(&self, period: Period) -> Result<MadeKey, KeyFault> {
        let (algorithm, purpose) = (self.plan.algorithm(), self.plan.purpose());
        match self.token {
            None => MadeKey::generate(algorithm, purpose, period),
            Some(token) => MadeKey::generate_in(token, self.site, algorithm, purpose, period),
        }
    }
}

impl Made {
    fn enter(&self, connection: &Connection, site: &str, plan: &Plan, now: u64) -> rusqlite::Result<()> {
        let Made { key, period, place } = self;
        connection
            .prepare_cached(
                "INSERT INTO token_key (kid, site, algorithm, purpose, jwk, path, sign_from, sign_until,
                     accept_until, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute((
                &key.kid,
                site,
                plan.algorithm().name(),
                plan.purpose().as_str(),
                &key.jwk,
                place.to_string(),
                signed(period.sign_from),
                signed(period.sign_until),
                signed(period.accept_until),
                signed(now),
            ))?;
        Ok(())
    }
}

fn knows(store: &Store, kid: &str) -> Result<bool, StoreFault> {
    store.read(|transaction| {
        let mut statement =
            transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM token_key WHERE kid = ?1)")?;
        Ok(statement.query_row([kid], |row| row.get(0))?)
    })
}
