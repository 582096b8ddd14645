//! The calendar of the coming token keys, worked out before any key is made. Refuses figures that cannot work
//! together, and says which one to change.
//!
//! ```text
//!   key 1 ├── signs ─────────────┤·· accepted still ··┤
//!   key 2                        ├── signs ─────────────┤·· accepted still ··┤
//!                                ◀──── overlap ──────▶
//! ```

use farside_service::duration::Seconds;
use farside_verify::{Algorithm, KEYS_MAX};

use super::profile::CryptoProfile;
use crate::keys::Period;
use crate::store::{Purpose, Site};

/// Shortest cryptoperiod, in seconds.
pub const CRYPTOPERIOD_SECONDS_MIN: u64 = 3_600;
/// Most keys made in one go: ten years of months.
pub const PERIODS_MAX: usize = 120;

/// What is asked of the calendar.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Whose rules hold.
    pub profile: &'static CryptoProfile,
    /// How many keys, one after the other.
    pub periods: usize,
    /// `None`: the site's, or the profile's where it leaves no choice.
    pub algorithm: Option<Algorithm>,
    /// Access tokens, or SPIFFE's.
    pub purpose: Purpose,
    /// When the first begins to sign; `None`: when the last one of the site ends, or now.
    pub sign_from: Option<u64>,
    /// How long each signs, in seconds; `None`: the profile's figure.
    pub cryptoperiod_seconds: Option<u64>,
    /// For how long each is accepted after its last signature, in seconds; `None`: as long as it takes.
    pub overlap_seconds: Option<u64>,
}

impl Wish {
    /// One key for access tokens after that profile.
    pub fn new(profile: &'static CryptoProfile) -> Wish {
        Wish {
            profile,
            periods: 1,
            algorithm: None,
            purpose: Purpose::Sig,
            sign_from: None,
            cryptoperiod_seconds: None,
            overlap_seconds: None,
        }
    }
}

/// A calendar that works. [`plan`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    algorithm: Algorithm,
    purpose: Purpose,
    periods: Vec<Period>,
}

impl Plan {
    /// Of every key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Of every key.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// One for each key, in order.
    pub fn periods(&self) -> &[Period] {
        &self.periods
    }
}

/// Why a calendar cannot work, and which number to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// SPIFFE allows few algorithms.
    #[error("JWT-SVIDs are signed with ES256 or RS256, not with {0}")]
    SvidAlgorithm(Algorithm),
    /// The profile allows others.
    #[error("profile {profile} does not allow {algorithm} keys")]
    Algorithm {
        /// The profile.
        profile: &'static str,
        /// What was asked, or is the site's.
        algorithm: Algorithm,
    },
    /// No calendar, or one for a lifetime.
    #[error("a calendar has 1 to {PERIODS_MAX} keys, not {0}")]
    Periods(usize),
    /// More keys than a key set may hold.
    #[error("the site would have {0} keys in force, and a key set holds {KEYS_MAX}")]
    TooManyKeys(usize),
    /// The period is too short, or beyond the profile's.
    #[error("a cryptoperiod of {asked} is not within {min} to {max}, which profile {profile} allows")]
    Cryptoperiod {
        /// What was asked.
        asked: Seconds,
        /// What is sensible.
        min: Seconds,
        /// What is allowed.
        max: Seconds,
        /// By whom.
        profile: &'static str,
    },
    /// Tokens would outlive their key, or their key's last bundle would come too late.
    #[error(
        "an overlap of {asked} is too short: tokens live up to {lifetime}, clocks differ by {leeway} and a \
         courier takes up to {courier}, {needed} together"
    )]
    Overlap {
        /// What was asked.
        asked: Seconds,
        /// The site's longest token lifetime.
        lifetime: Seconds,
        /// The site's leeway.
        leeway: Seconds,
        /// The site's courier interval.
        courier: Seconds,
        /// Their sum.
        needed: Seconds,
    },
    /// Three generations of keys would be in force at once.
    #[error("a cryptoperiod of {cryptoperiod} is shorter than the overlap of {overlap}")]
    OverlapTooLong {
        /// How long a key signs.
        cryptoperiod: Seconds,
        /// How long it is accepted afterwards.
        overlap: Seconds,
    },
    /// The keys before would sign at the same time, or the first would begin in the past.
    #[error("the first key would begin to sign before {0}, when the site's last key ends")]
    SignFrom(String),
    /// Revocations would reach the site too late for the profile.
    #[error(
        "a bundle every {every} that takes up to {courier} is older than the {max} that profile {profile} \
         allows"
    )]
    BundleAge {
        /// The site's cadence.
        every: Seconds,
        /// The site's courier interval.
        courier: Seconds,
        /// What is allowed.
        max: Seconds,
        /// By whom.
        profile: &'static str,
    },
}

impl PlanFault {
    /// Which number to change.
    pub fn hint(&self) -> String {
        match self {
            PlanFault::SvidAlgorithm(_) => "say --algorithm ES256".to_owned(),
            PlanFault::Algorithm { .. } => "say another --algorithm, or another --profile".to_owned(),
            PlanFault::Periods(_) | PlanFault::TooManyKeys(_) => "lower --periods".to_owned(),
            PlanFault::Cryptoperiod { asked, min, .. } if asked < min => "raise --cryptoperiod".to_owned(),
            PlanFault::Cryptoperiod { max, .. } => format!("lower --cryptoperiod to at most {max}"),
            PlanFault::Overlap { needed, .. } => {
                format!(
                    "raise --overlap to at least {needed}, or lower the site's lifetime or courier interval"
                )
            }
            PlanFault::OverlapTooLong { overlap, .. } => {
                format!("raise --cryptoperiod above {overlap}, or lower --overlap")
            }
            PlanFault::SignFrom(_) => "leave --sign-from out, or raise it".to_owned(),
            PlanFault::BundleAge { .. } => "lower the site's --every or --courier-interval".to_owned(),
        }
    }
}

/// Works out the site's coming keys.
pub fn plan(site: &Site, wish: &Wish, now: u64) -> Result<Plan, PlanFault> {
    let algorithm = algorithm(site, wish)?;
    bundle_age(site, wish.profile)?;
    let cryptoperiod = cryptoperiod(wish)?;
    let overlap = overlap(site, wish, cryptoperiod)?;
    how_many(site, wish.periods, now)?;
    let first = sign_from(site, wish, now)?;
    let period = |number: u64| {
        let sign_from = first + number * cryptoperiod;
        let sign_until = sign_from + cryptoperiod;
        Period { sign_from, sign_until, accept_until: sign_until + overlap }
    };
    Ok(Plan { algorithm, purpose: wish.purpose, periods: (0..wish.periods as u64).map(period).collect() })
}

fn algorithm(site: &Site, wish: &Wish) -> Result<Algorithm, PlanFault> {
    let only = match wish.profile.algorithms {
        [only] => Some(*only),
        _ => None,
    };
    let algorithm = match (wish.purpose, wish.algorithm) {
        (_, Some(chosen)) => chosen,
        (Purpose::Sig, None) => only.unwrap_or(site.terms.algorithm),
        (Purpose::JwtSvid, None) => Algorithm::Es256,
    };
    if wish.purpose == Purpose::JwtSvid && !matches!(algorithm, Algorithm::Es256 | Algorithm::Rs256) {
        return Err(PlanFault::SvidAlgorithm(algorithm));
    }
    if !wish.profile.allows(algorithm) {
        return Err(PlanFault::Algorithm { profile: wish.profile.name, algorithm });
    }
    Ok(algorithm)
}

fn bundle_age(site: &Site, profile: &'static CryptoProfile) -> Result<(), PlanFault> {
    let (every, courier) = (site.terms.every_seconds, site.terms.courier_seconds);
    match profile.bundle_age_seconds_max {
        Some(max) if every + courier > max => Err(PlanFault::BundleAge {
            every: Seconds(every),
            courier: Seconds(courier),
            max: Seconds(max),
            profile: profile.name,
        }),
        _ => Ok(()),
    }
}

fn cryptoperiod(wish: &Wish) -> Result<u64, PlanFault> {
    let asked = wish.cryptoperiod_seconds.unwrap_or(wish.profile.cryptoperiod_seconds_default);
    let (min, max) = (CRYPTOPERIOD_SECONDS_MIN, wish.profile.cryptoperiod_seconds_max);
    if !(min..=max).contains(&asked) {
        let (asked, min, max) = (Seconds(asked), Seconds(min), Seconds(max));
        return Err(PlanFault::Cryptoperiod { asked, min, max, profile: wish.profile.name });
    }
    Ok(asked)
}

// design: no token outlives its key, on a clock that lags and with a bundle that is late.
fn overlap(site: &Site, wish: &Wish, cryptoperiod: u64) -> Result<u64, PlanFault> {
    let terms = &site.terms;
    let needed = terms.lifetime_seconds_max + terms.leeway_seconds + terms.courier_seconds;
    let asked = wish.overlap_seconds.unwrap_or(needed);
    if asked < needed {
        return Err(PlanFault::Overlap {
            asked: Seconds(asked),
            lifetime: Seconds(terms.lifetime_seconds_max),
            leeway: Seconds(terms.leeway_seconds),
            courier: Seconds(terms.courier_seconds),
            needed: Seconds(needed),
        });
    }
    // A single key is followed by nothing yet: whoever plans the next one is told.
    if asked > cryptoperiod && wish.periods > 1 {
        let (cryptoperiod, overlap) = (Seconds(cryptoperiod), Seconds(asked));
        return Err(PlanFault::OverlapTooLong { cryptoperiod, overlap });
    }
    Ok(asked)
}

fn how_many(site: &Site, periods: usize, now: u64) -> Result<(), PlanFault> {
    if !(1..=PERIODS_MAX).contains(&periods) {
        return Err(PlanFault::Periods(periods));
    }
    let held = site.keys.iter().filter(|key| key.accept_until > now && !key.revoked).count();
    if held + periods > KEYS_MAX { Err(PlanFault::TooManyKeys(held + periods)) } else { Ok(()) }
}

fn sign_from(site: &Site, wish: &Wish, now: u64) -> Result<u64, PlanFault> {
    let held = site.keys.iter().filter(|key| key.purpose == wish.purpose && !key.revoked);
    let follows = held.map(|key| key.sign_until).max().filter(|until| *until > now);
    match (wish.sign_from, follows) {
        // In a calendar of several keys nothing may sign twice; a single key may be made to take over early.
        (Some(asked), Some(ends)) if asked < ends && wish.periods > 1 => {
            Err(PlanFault::SignFrom(farside_service::time::rfc3339(ends)))
        }
        (asked, follows) => Ok(asked.or(follows).unwrap_or(now)),
    }
}
