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
const SITES_MAX: u64 = 6;
/// Of a thousand worlds so many live fast: bundles by the hour, for some weeks.
const DENSE_PERMILLE: u64 = 25;

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
    /// Whether its gate serves, and so goes by its steady clock; else by the machine's, as a command does.
    pub serves: bool,
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
        let dense = dice.permille(DENSE_PERMILLE);
        let (days, sites_max) = match dense {
            true => (dice.between(7, 25), 2),
            false => (dice.pick(&[365, 365, 730]), SITES_MAX),
        };
        let sites = (0..dice.between(1, sites_max)).map(|number| site(&mut dice, dense, number)).collect();
        (Scenario { seed, days, sites }, dice)
    }

    /// A world of one faithful site, for questions about figures.
    pub(super) fn of_one(seed: u64, days: u64, site: SitePlan) -> (Scenario, Dice) {
        (Scenario { seed, days, sites: vec![site] }, Dice::new(seed))
    }
}

fn site(dice: &mut Dice, dense: bool, number: u64) -> SitePlan {
    let every = match dense {
        true => dice.pick(&[HOUR, 4 * HOUR, 12 * HOUR]),
        // Most of the years are spent where a bundle is rare: each is then a step to be held.
        false => match dice.below(24) {
            0..3 => dice.between(1, 3) * DAY,
            3..9 => 7 * DAY,
            9..17 => 14 * DAY,
            _ => 21 * DAY,
        },
    };
    let courier = match every {
        every if every < DAY => dice.pick(&[2 * HOUR, 6 * HOUR, DAY]),
        DAY => dice.pick(&[12 * HOUR, DAY, 2 * DAY]),
        every if every < 7 * DAY => dice.pick(&[DAY, 3 * DAY, 5 * DAY]),
        every if every == 7 * DAY => dice.pick(&[2 * DAY, 5 * DAY, 7 * DAY]),
        every if every == 14 * DAY => dice.pick(&[2 * DAY, 4 * DAY, 8 * DAY]),
        _ => dice.pick(&[DAY, 2 * DAY, 9 * DAY]),
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
        serves: dice.permille(500),
    }
}

impl SitePlan {
    /// The longest that a bundle may take where three couriers are missed.
    pub(super) fn every_and_couriers(&self) -> u64 {
        self.every + 4 * self.courier
    }

    /// So many days where bundles are made weekly; the more often they are, the sooner.
    pub(super) fn pace(&self, days: u64) -> u64 {
        match self.every {
            every if every < DAY => days * DAY / 14,
            every if every < 2 * DAY => days * DAY / 2,
            every if every <= 7 * DAY => days * DAY,
            _ => days * DAY * 2,
        }
    }
}
