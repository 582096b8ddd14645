//! What a seed decides before anything happens: how many sites, how often a bundle is made for each, how long
//! its courier takes, and how badly people keep to that.

use farside_crossing::Logged;
use farside_verify::Algorithm;

use super::dice::Dice;

pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 24 * HOUR;
/// Lives begin here: after every build date, and before anybody's last key.
pub(super) const BEGIN: u64 = 1_830_000_000;
/// What gate and mint forgive each other's clocks.
pub(super) const LEEWAY: u64 = 60;
/// Longest lifetime that a site may allow.
const LIFETIME_DAYS_MAX: u64 = 31;
/// Sites of a world, at most.
const SITES_MAX: u64 = 4;

/// How one site is run.
#[derive(Debug, Clone)]
pub struct SitePlan {
    /// Its name.
    pub name: String,
    /// Seconds between bundles.
    pub every: u64,
    /// The declared courier interval, in seconds.
    pub courier: u64,
    /// Longest lifetime of a token, in seconds.
    pub lifetime_max: u64,
    /// How long each key signs, in seconds.
    pub cryptoperiod: u64,
    /// Which algorithm its tokens are signed with.
    pub algorithm: Algorithm,
    /// Whether bundles are sealed and carry tokens.
    pub sealed: bool,
    /// The proof of logging that its audience demands.
    pub logged: Logged,
    /// Whether everybody keeps to what is declared: no more than three couriers are missed in a row, the
    /// clock stays right, the calendar is planned in time.
    pub faithful: bool,
    /// How the gate's clock drifts, in parts per million.
    pub drift_ppm: i64,
    /// Standing orders.
    pub orders: u64,
    /// Whether receipts come back.
    pub receipts: bool,
}

/// A whole world.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed that it follows from.
    pub seed: u64,
    /// How long it lives, in days.
    pub days: u64,
    /// Its sites.
    pub sites: Vec<SitePlan>,
}

impl Scenario {
    /// What follows from `seed`, and the dice for the rest of its life.
    pub(super) fn of(seed: u64) -> (Scenario, Dice) {
        let mut dice = Dice::new(seed);
        let days = dice.pick(&[365, 365, 730]);
        let sites = (0..dice.between(1, SITES_MAX)).map(|number| site(&mut dice, number)).collect();
        (Scenario { seed, days, sites }, dice)
    }

    /// A world of one faithful site, for questions about figures.
    pub(super) fn of_one(seed: u64, days: u64, site: SitePlan) -> (Scenario, Dice) {
        (Scenario { seed, days, sites: vec![site] }, Dice::new(seed))
    }
}

fn site(dice: &mut Dice, number: u64) -> SitePlan {
    let every = dice.pick(&[DAY, 2 * DAY, 3 * DAY, 7 * DAY, 7 * DAY, 7 * DAY, 7 * DAY]);
    let courier = match every {
        DAY => dice.pick(&[12 * HOUR, DAY, 2 * DAY]),
        every if every < 7 * DAY => dice.pick(&[DAY, 3 * DAY, 5 * DAY]),
        _ => dice.pick(&[2 * DAY, 5 * DAY, 7 * DAY]),
    };
    let bridging = every + 4 * courier + DAY;
    let lifetime_max = bridging.min(LIFETIME_DAYS_MAX * DAY);
    let overlap = lifetime_max + LEEWAY + courier;
    let faithful = bridging <= LIFETIME_DAYS_MAX * DAY && dice.permille(500);
    SitePlan {
        name: format!("site-{number}"),
        every,
        courier,
        lifetime_max,
        cryptoperiod: dice.between(overlap + DAY, overlap + 90 * DAY),
        algorithm: if dice.permille(300) { Algorithm::EdDsa } else { Algorithm::Es256 },
        sealed: faithful || dice.permille(850),
        logged: if dice.permille(300) { Logged::Leaf } else { Logged::No },
        faithful,
        drift_ppm: i64::try_from(dice.below(46)).expect("small") - 23,
        orders: dice.between(1, 3),
        receipts: dice.permille(600),
    }
}

impl SitePlan {
    /// The longest that a bundle may take where three couriers are missed.
    pub(super) fn every_and_couriers(&self) -> u64 {
        self.every + 4 * self.courier
    }
}
