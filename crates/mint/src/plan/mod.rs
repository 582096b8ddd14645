//! Will it fit? What a lifetime, a cadence and a lane come to for so many holders: worked out from real
//! bundles that are packed to be weighed, and from the rules that mint and gate live by.
//!
//! ```text
//!   made at t ── arrives within the courier's time ──▶ good until t + ttl
//!        next one made at t + every ── arrives ──▶ must be there by then
//! ```

mod lane;
mod sample;

use farside_crossing::manifest::BUNDLE_BYTES_MAX;
use farside_crossing::parcels::PARCELS_MAX;
use farside_crossing::policy::StaleMax;
use farside_crossing::{Kind, NoteFault, PackFault, Refusal};
use farside_service::duration::Seconds;
use farside_service::random;
use serde::Serialize;

use crate::bundler::COURIERS_MISSED_MAX;
use crate::keys::KeyFault;
use crate::site::LIFETIME_SECONDS_CEILING;
use crate::tiers;
pub use lane::{Lane, NoLane, frames, sheets};
use sample::{Load, Sample};

const DAY_SECONDS: u64 = 86_400;
const YEAR_DAYS: u64 = 365;
/// Tokens of the two bundles from which larger ones are worked out.
const WEIGHED: [u64; 2] = [64, 512];
/// Of a hundred live tokens so many are taken to be revoked.
const REVOKED_PERCENT: u64 = 1;
/// Most revoked tokens that are really marked: beyond, the list is nearly as long as its bits.
const REVOKED_MARKED_MAX: u64 = 100_000;
/// Clock difference that gates forgive unless told otherwise.
const LEEWAY_SECONDS: u64 = 60;
/// Most holders of one site that anybody plans for.
pub const USERS_MAX: u64 = 100_000_000;

/// What is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Holders, each with one token in every bundle.
    pub users: u64,
    /// Lifetime of a token, in seconds.
    pub ttl_seconds: u64,
    /// Time between bundles, in seconds.
    pub every_seconds: u64,
    /// The courier interval to be declared: the longest from making a bundle to applying it, in seconds.
    pub courier_seconds: u64,
    /// How long a token key signs, in seconds.
    pub cryptoperiod_seconds: u64,
    /// What carries it.
    pub lane: Lane,
    /// How old the gate's knowledge may be for what.
    pub stale_seconds_max: StaleMax,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// Whether nothing speaks against it.
    pub holds: bool,
    /// What speaks against it, and which number to change.
    pub faults: Vec<Fault>,
    /// What does not speak against it and ought to be meant.
    pub notes: Vec<String>,
    /// A full bundle.
    pub full: Crossing,
    /// One that brings only what is new since the last.
    pub delta: Crossing,
    /// One that says only that nothing is new.
    pub beacon: Crossing,
    /// Bundles in a day, rounded up.
    pub bundles_per_day: u64,
    /// Bytes in a day, in full bundles.
    pub bytes_per_day: u64,
    /// How much of the time the lane is busy with full bundles, in percent, rounded up.
    pub lane_busy_percent: u64,
    /// The longest that a bundle may take so that nobody is left without a token; `None`: they are, always.
    pub courier_latest_seconds: Option<u64>,
    /// Couriers that may be missed in a row until somebody is left without a token.
    pub couriers_missed_max: u64,
    /// After so long without news the gate is LATE, counted from when its bundle was made.
    pub late_after_seconds: u64,
    /// After so long it is EXPIRED and refuses.
    pub expired_after_seconds: u64,
    /// The longest from revoking to refusing, with the courier in time.
    pub revocation_seconds: u64,
    /// The same where a bundle is made at once.
    pub revocation_urgent_seconds: u64,
    /// The longest that a gate which hears nothing goes on admitting what was revoked.
    pub revocation_unheard_seconds: u64,
    /// Token keys in a year, rounded up.
    pub keys_per_year: u64,
    /// How long a key must be accepted behind its signing period.
    pub overlap_seconds: u64,
    /// Leaves of the log in a year.
    pub leaves_per_year: u64,
    /// Bytes that the log grows in a year.
    pub log_bytes_per_year: u64,
    /// Whether the lane's figures are computed, there being no such lane in this release.
    pub lane_computed: bool,
}

/// One bundle on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// Its bytes.
    pub bytes: u64,
    /// How long the lane is busy with it, in seconds.
    pub seconds: u64,
    /// Frames of an animated code.
    pub qr_frames: u64,
    /// Sheets of paper.
    pub sheets: u64,
}

/// Something that speaks against a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What does not hold.
    pub what: String,
    /// Which number to change.
    pub change: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFault {
    /// A number that nothing can be planned for.
    #[error("{what} must lie between {min} and {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A place in a log that there is not.
    #[error("the log has no such place")]
    Position,
    /// A key could not be made.
    #[error("{0}")]
    Key(#[from] KeyFault),
    /// A document could not be spelled.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It could not be signed.
    #[error("{0}")]
    Sign(#[from] NoteFault),
    /// A bundle could not be packed.
    #[error("{0}")]
    Pack(#[from] PackFault),
    /// No randomness.
    #[error("{0}")]
    Random(#[from] random::Failed),
}

impl From<PlanFault> for farside_service::cli::Failure {
    fn from(fault: PlanFault) -> Self {
        Self::could_not(fault.to_string())
    }
}

/// Works out what it comes to.
///
/// # Errors
/// A number is out of all reason, or a sample could not be packed.
pub fn answer(question: &Question) -> Result<Answer, PlanFault> {
    within("the number of users", question.users, 1, USERS_MAX)?;
    for (what, seconds) in [
        ("the lifetime in seconds", question.ttl_seconds),
        ("the time between bundles in seconds", question.every_seconds),
        ("the courier interval in seconds", question.courier_seconds),
        ("the cryptoperiod in seconds", question.cryptoperiod_seconds),
    ] {
        within(what, seconds, 1, 10 * YEAR_DAYS * DAY_SECONDS)?;
    }
    let [full, delta, beacon] = weigh(question)?;
    let Question { users, ttl_seconds: ttl, every_seconds: every, courier_seconds: courier, .. } = *question;
    let latest = ttl.checked_sub(every);
    let leaves_per_year = users.saturating_mul(YEAR_DAYS * DAY_SECONDS).div_ceil(every);
    let mut answer = Answer {
        question: *question,
        holds: true,
        faults: Vec::new(),
        notes: tiers::gaps(&question.stale_seconds_max, every, courier),
        full,
        delta,
        beacon,
        bundles_per_day: DAY_SECONDS.div_ceil(every),
        bytes_per_day: (full.bytes.saturating_mul(DAY_SECONDS)).div_ceil(every),
        lane_busy_percent: (full.seconds.saturating_mul(100)).div_ceil(every),
        courier_latest_seconds: latest,
        couriers_missed_max: latest.map_or(0, |latest| latest.saturating_sub(courier) / courier),
        late_after_seconds: every + courier,
        expired_after_seconds: every + courier + COURIERS_MISSED_MAX * courier,
        revocation_seconds: every + courier,
        revocation_urgent_seconds: courier,
        revocation_unheard_seconds: every + courier + COURIERS_MISSED_MAX * courier,
        keys_per_year: (YEAR_DAYS * DAY_SECONDS).div_ceil(question.cryptoperiod_seconds),
        overlap_seconds: ttl + LEEWAY_SECONDS + courier,
        leaves_per_year,
        log_bytes_per_year: leaves_per_year.saturating_mul(sample::log_bytes_per_token()?),
        lane_computed: !question.lane.is_built(),
    };
    answer.faults = faults(&answer);
    answer.holds = answer.faults.is_empty();
    Ok(answer)
}

fn within(what: &'static str, value: u64, min: u64, max: u64) -> Result<(), PlanFault> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(PlanFault::Range { what, min, max }) }
}

/// A full bundle, a delta and a beacon of a site whose log is a year old.
fn weigh(question: &Question) -> Result<[Crossing; 3], PlanFault> {
    let every = question.every_seconds.min(YEAR_DAYS * DAY_SECONDS);
    let log_leaves = question.users.saturating_mul(YEAR_DAYS * DAY_SECONDS / every);
    Ok(bundle_bytes(question, log_leaves)?.map(|bytes| Crossing {
        bytes,
        seconds: question.lane.seconds(bytes),
        qr_frames: frames(bytes),
        sheets: sheets(bytes),
    }))
}

/// Bytes of a full bundle, a delta and a beacon of a site whose log has so many leaves: packed where that is
/// quick, else worked out from two that are.
///
/// # Errors
/// A sample could not be packed.
pub fn bundle_bytes(question: &Question, log_leaves: u64) -> Result<[u64; 3], PlanFault> {
    let Question { users, ttl_seconds: ttl, every_seconds: every, .. } = *question;
    // Keys in force at once: the one that signs, the one before, those planned for the coming year.
    let keys = 2 + (YEAR_DAYS * DAY_SECONDS) / question.cryptoperiod_seconds;
    let sample = Sample::found(keys.min(farside_verify::KEYS_MAX as u64))?;
    // A full bundle brings the leaves of every token that may still be good.
    let rounds = ttl.saturating_add(2 * LEEWAY_SECONDS).div_ceil(every) + 1;
    let bytes = |kind: Kind, rounds: u64| -> Result<u64, PlanFault> {
        let load = |tokens: u64| Load {
            tokens,
            leaves: 0,
            log_size: log_leaves,
            revoked: (tokens * REVOKED_PERCENT / 100).min(REVOKED_MARKED_MAX),
        };
        let tokens = match (kind, users <= WEIGHED[1]) {
            (Kind::Beacon, _) => sample.bundle_bytes(kind, &load(0))?,
            (_, true) => sample.bundle_bytes(kind, &load(users))?,
            (_, false) => {
                let [few, many] = WEIGHED;
                let (light, heavy) =
                    (sample.bundle_bytes(kind, &load(few))?, sample.bundle_bytes(kind, &load(many))?);
                light + heavy.saturating_sub(light).saturating_mul(users - few) / (many - few)
            }
        };
        // Hashes are not packed: 32 bytes each.
        Ok(tokens.saturating_add(users.saturating_mul(rounds).saturating_mul(32)))
    };
    Ok([bytes(Kind::Full, rounds)?, bytes(Kind::Delta, 1)?, bytes(Kind::Beacon, 0)?])
}

/// Everything that speaks against a plan, what weighs most first.
fn faults(answer: &Answer) -> Vec<Fault> {
    let Question { users, ttl_seconds: ttl, every_seconds: every, courier_seconds: courier, lane, .. } =
        answer.question;
    let (full, overlap) = (answer.full, answer.overlap_seconds);
    let arrival = courier.max(full.seconds);
    let period = answer.question.cryptoperiod_seconds;
    let mut faults = Vec::new();
    let mut fault = |speaks: bool, what: String, change: String| {
        if speaks {
            faults.push(Fault { what, change });
        }
    };
    fault(
        full.bytes > BUNDLE_BYTES_MAX as u64 || users > PARCELS_MAX,
        format!("a bundle of {} bytes with {users} tokens is larger than any may be", full.bytes),
        "part the site in several, or lower --users".to_owned(),
    );
    fault(
        full.seconds > every && !lane.is_carried(),
        format!(
            "the lane is busy for {} with each bundle, and one is made every {}",
            Seconds(full.seconds),
            Seconds(every)
        ),
        format!("raise --every to at least {}, or choose a faster lane", Seconds(full.seconds)),
    );
    fault(
        full.seconds > courier,
        format!(
            "a bundle takes {} to cross, longer than the courier interval of {}",
            Seconds(full.seconds),
            Seconds(courier)
        ),
        format!("raise --courier to at least {}", Seconds(full.seconds)),
    );
    fault(
        ttl < every.saturating_add(arrival),
        format!(
            "tokens end after {}, and the next ones may come {} after they were made",
            Seconds(ttl),
            Seconds(every.saturating_add(arrival))
        ),
        format!(
            "raise --ttl to at least {}, or lower --every or --courier",
            Seconds(every.saturating_add(arrival))
        ),
    );
    fault(
        ttl > LIFETIME_SECONDS_CEILING,
        format!("no site may allow tokens that live for {}", Seconds(ttl)),
        format!("lower --ttl to at most {}", Seconds(LIFETIME_SECONDS_CEILING)),
    );
    fault(
        overlap > period,
        format!("a key that signs for {} must be accepted for {} more", Seconds(period), Seconds(overlap)),
        format!("raise --cryptoperiod above {}", Seconds(overlap)),
    );
    faults
}
