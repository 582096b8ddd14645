//! Makes token keys for a site's calendar. A key that follows another begins to sign only when every site
//! gate can have it: made early, it waits until its keys document has crossed.
//!
//! ```text
//!   Wish ──plan──▶ Plan ──make──▶ key files and rows ──release (k of n)──▶ keys document ──▶ bundle
//! ```

pub mod plan;
pub mod profile;

use crate::config::Home;
use crate::keys::{KeyFault, KeyPlace, MadeKey, Passphrase, Period, Token};
use crate::store::{Directory, Store, StoreFault, signed};

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
    let workshop = Workshop { token, home, store, site, plan, passphrase, now };
    plan.periods().iter().map(|period| workshop.make(*period)).collect()
}

struct Workshop<'a> {
    token: Option<&'a Token>,
    home: &'a Home,
    store: &'a Store,
    site: &'a str,
    plan: &'a Plan,
    passphrase: &'a Passphrase,
    now: u64,
}

impl Workshop<'_> {
    fn make(&self, period: Period) -> Result<String, CalendarFault> {
        let directory = self.store.directory()?;
        for _ in 0..COLLISIONS_MAX {
            let made = self.generate(period)?;
            let file = format!("keys/token-{}-{}.key", self.site, made.kid);
            let place = made.place(&file);
            // token.md §4: a kid is unique in the realm.
            if !knows(&directory, &made.kid) {
                // The key first: a row without its key would stop the mint, a key without its row is only
                // litter.
                made.keep(&self.home.0.join(&file), self.passphrase)?;
                self.enter(&made, &place, period)?;
                return Ok(made.kid);
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

    fn enter(&self, made: &MadeKey, place: &KeyPlace, period: Period) -> Result<(), CalendarFault> {
        self.store.write(|transaction| {
            transaction
                .execute(
                    "INSERT INTO token_key (kid, site, algorithm, purpose, jwk, path, sign_from, sign_until,
                         accept_until, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    (
                        &made.kid,
                        self.site,
                        self.plan.algorithm().name(),
                        self.plan.purpose().as_str(),
                        &made.jwk,
                        place.to_string(),
                        signed(period.sign_from),
                        signed(period.sign_until),
                        signed(period.accept_until),
                        signed(self.now),
                    ),
                )
                .map_err(StoreFault::from)?;
            Ok(())
        })
    }
}

fn knows(directory: &Directory, kid: &str) -> bool {
    directory.sites().iter().flat_map(|site| &site.keys).any(|key| key.kid == kid)
}
