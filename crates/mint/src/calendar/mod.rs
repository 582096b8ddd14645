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

/// Makes the planned keys, keeps their files and enters them into the calendar; answers their ids. They sign
/// nothing before they stand in an adopted keys document and that document has had time to cross.
pub fn make(
    home: &Home,
    store: &Store,
    site: &str,
    plan: &Plan,
    passphrase: &Passphrase,
    now: u64,
) -> Result<Vec<String>, CalendarFault> {
    make_in(None, home, store, site, plan, passphrase, now)
}

/// As [`make`], inside a PKCS#11 token where one is given.
pub fn make_in(
    token: Option<&Token>,
    home: &Home,
    store: &Store,
    site: &str,
    plan: &Plan,
    passphrase: &Passphrase,
    now: u64,
) -> Result<Vec<String>, CalendarFault> {
    // A wrong passphrase is told before any key is made under it; and all of the mint's keys share what
    // Argon2id makes of it.
    if let Err(fault @ KeyFault::Locked { .. }) = keys::opens(&home.online_key(), passphrase) {
        return Err(fault.into());
    }
    let workshop = Workshop { token, home, store, site, plan, passphrase };
    let made = plan.periods().iter().map(|period| workshop.make(*period));
    let made = made.collect::<Result<Vec<_>, _>>()?;
    store.write(|transaction| {
        made.iter().try_for_each(|made| made.enter(transaction, site, plan, now)).map_err(StoreFault::from)
    })?;
    Ok(made.into_iter().map(|made| made.key.kid).collect())
}

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
