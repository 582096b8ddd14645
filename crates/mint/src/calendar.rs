//! Makes token keys for a site's calendar. A key that follows another begins to sign only when every site
//! gate can have it: made early, it waits until its keys document has crossed.

use farside_verify::Algorithm;

use crate::config::Home;
use crate::keys::{KeyFault, MadeKey, Passphrase, Period};
use crate::store::{Purpose, Site, Store, StoreFault, signed};

/// How long a key signs by default: 90 days.
pub const CRYPTOPERIOD_SECONDS_DEFAULT: u64 = 90 * 86_400;
/// Longest cryptoperiod: three years (SP 800-57 part 1, table 1, private signature keys).
pub const CRYPTOPERIOD_SECONDS_MAX: u64 = 3 * 366 * 86_400;
/// Tries before a collision of key ids is reported; one collision already happens once in 2^48.
const COLLISIONS_MAX: usize = 4;

/// What the new key shall be.
#[derive(Debug, Clone, Copy)]
pub struct NewKey {
    /// `None`: the site's.
    pub algorithm: Option<Algorithm>,
    /// Access tokens, or SPIFFE's.
    pub purpose: Purpose,
    /// When it begins to sign; `None`: when the last one of the site ends, or now.
    pub sign_from: Option<u64>,
    /// How long it signs, in seconds.
    pub cryptoperiod_seconds: u64,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarFault {
    /// There is no such site.
    #[error("there is no site {0}")]
    NoSite(String),
    /// SPIFFE allows few algorithms.
    #[error("JWT-SVIDs are signed with ES256 or RS256, not with {0}")]
    SvidAlgorithm(Algorithm),
    /// The period is no period.
    #[error("a token key signs for at least an hour and at most {} days", CRYPTOPERIOD_SECONDS_MAX / 86_400)]
    Cryptoperiod,
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
            fault => Self::refused(fault.to_string()),
        }
    }
}

/// Makes a key, keeps its file and enters it into the calendar. It signs nothing before it stands in an
/// adopted keys document and that document has had time to cross.
pub fn make(
    home: &Home,
    store: &Store,
    site: &str,
    new: NewKey,
    passphrase: &Passphrase,
    now: u64,
) -> Result<String, CalendarFault> {
    let directory = store.directory()?;
    let site = directory.site(site).ok_or_else(|| CalendarFault::NoSite(site.to_owned()))?;
    let algorithm = algorithm(site, new)?;
    let period = period(site, new, now)?;
    let known = |kid: &str| directory.sites().iter().flat_map(|site| &site.keys).any(|key| key.kid == kid);
    for _ in 0..COLLISIONS_MAX {
        let made = MadeKey::generate(algorithm, new.purpose, period)?;
        // token.md: a kid is unique in the realm.
        if !known(&made.kid) {
            enter(home, store, site, &Entry { algorithm, new, period, made: &made, now }, passphrase)?;
            return Ok(made.kid);
        }
    }
    Err(CalendarFault::Collision)
}

fn algorithm(site: &Site, new: NewKey) -> Result<Algorithm, CalendarFault> {
    match (new.purpose, new.algorithm) {
        (Purpose::Sig, chosen) => Ok(chosen.unwrap_or(site.terms.algorithm)),
        (Purpose::JwtSvid, None) => Ok(Algorithm::Es256),
        (Purpose::JwtSvid, Some(chosen @ (Algorithm::Es256 | Algorithm::Rs256))) => Ok(chosen),
        (Purpose::JwtSvid, Some(other)) => Err(CalendarFault::SvidAlgorithm(other)),
    }
}

fn period(site: &Site, new: NewKey, now: u64) -> Result<Period, CalendarFault> {
    if !(3600..=CRYPTOPERIOD_SECONDS_MAX).contains(&new.cryptoperiod_seconds) {
        return Err(CalendarFault::Cryptoperiod);
    }
    let last = site.keys.iter().filter(|key| key.purpose == new.purpose && !key.revoked);
    let follows = last.map(|key| key.sign_until).max().filter(|until| *until > now);
    let sign_from = new.sign_from.or(follows).unwrap_or(now);
    let sign_until = sign_from + new.cryptoperiod_seconds;
    // No token outlives its key: the last one signed may live as long as the site allows, on a clock that
    // lags.
    let accept_until = sign_until + site.terms.lifetime_seconds_max + site.terms.leeway_seconds;
    Ok(Period { sign_from, sign_until, accept_until })
}

struct Entry<'a> {
    algorithm: Algorithm,
    new: NewKey,
    period: Period,
    made: &'a MadeKey,
    now: u64,
}

fn enter(
    home: &Home,
    store: &Store,
    site: &Site,
    entry: &Entry<'_>,
    passphrase: &Passphrase,
) -> Result<(), CalendarFault> {
    let file = format!("keys/token-{}-{}.key", site.name, entry.made.kid);
    // The file first: a row without its key would stop the mint, a file without its row is only litter.
    entry.made.keep(&home.0.join(&file), passphrase)?;
    store.write(|transaction| {
        transaction
            .execute(
                "INSERT INTO token_key (kid, site, algorithm, purpose, jwk, path, sign_from, sign_until,
                     accept_until, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                (
                    &entry.made.kid,
                    &site.name,
                    entry.algorithm.name(),
                    entry.new.purpose.as_str(),
                    &entry.made.jwk,
                    &file,
                    signed(entry.period.sign_from),
                    signed(entry.period.sign_until),
                    signed(entry.period.accept_until),
                    signed(entry.now),
                ),
            )
            .map_err(StoreFault::from)?;
        Ok(())
    })
}
