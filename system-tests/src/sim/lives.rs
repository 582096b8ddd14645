//! Lives of many worlds, one after the other or on several threads, and what a failure shows.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::history::Wrong;
use super::scenario::{Scenario, SitePlan};
use super::world::World;

/// Days of a year.
const DAYS: u64 = 365;

/// A life that kept its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lived {
    /// The seed.
    pub seed: u64,
    /// One site living one day, each.
    pub site_days: u64,
    /// Things that happened.
    pub steps: u64,
    /// Bundles made.
    pub bundles: u64,
    /// Tokens shown at doors.
    pub shown: u64,
    /// Two lives with one digest had one history.
    pub digest: u64,
}

/// A life that broke one.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed: it fails again the same way.
    pub seed: u64,
    /// At which step.
    pub step: u64,
    /// What is wrong.
    pub wrong: Wrong,
    /// The last things that happened.
    pub tail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, step, wrong: Wrong { invariant, detail }, tail } = self;
        write!(f, "seed {seed}, step {step}: not so: {invariant}\n  {detail}\n  before that:{tail}\n")?;
        write!(f, "  again: cargo xtask simulate --seed {seed} --worlds 1")
    }
}

/// Lives the world of `seed`.
///
/// # Errors
/// A promise does not hold.
pub fn live(seed: u64) -> Result<Lived, Box<Failure>> {
    let (scenario, dice) = Scenario::of(seed);
    run(scenario, dice)
}

/// Lives one site for so many days.
///
/// # Errors
/// As [`live`].
pub fn live_one(seed: u64, days: u64, site: SitePlan) -> Result<Lived, Box<Failure>> {
    let (scenario, dice) = Scenario::of_one(seed, days, site);
    run(scenario, dice)
}

fn run(scenario: Scenario, dice: super::dice::Dice) -> Result<Lived, Box<Failure>> {
    let (seed, site_days) = (scenario.seed, scenario.days * scenario.sites.len() as u64);
    let broken = |step, wrong, tail| Box::new(Failure { seed, step, wrong, tail });
    let mut world = World::found(scenario, dice).map_err(|wrong| broken(0, wrong, String::new()))?;
    let outcome = catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Wrong { invariant: "nothing panics", detail: text.unwrap_or_default() })
    });
    match outcome {
        Err(wrong) => Err(broken(world.history.steps, wrong, world.history.tail())),
        Ok(()) => Ok(Lived {
            seed,
            site_days,
            steps: world.history.steps,
            bundles: world.bundles,
            shown: world.shown,
            digest: world.history.digest(),
        }),
    }
}

/// What many lives came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    /// Worlds.
    pub worlds: u64,
    /// One site living one day, each.
    pub site_days: u64,
    /// Bundles made.
    pub bundles: u64,
    /// Tokens shown at doors.
    pub shown: u64,
}

impl Sum {
    /// Whole years of sites.
    #[must_use]
    pub fn site_years(&self) -> u64 {
        self.site_days / DAYS
    }

    fn add(&mut self, lived: &Lived) {
        self.worlds += 1;
        self.site_days += lived.site_days;
        self.bundles += lived.bundles;
        self.shown += lived.shown;
    }
}

/// Lives worlds from `seed` on until `enough`, on so many threads; each world is told as it ends.
///
/// # Errors
/// The first failure.
pub fn many(
    seed: u64,
    threads: usize,
    enough: impl Fn(&Sum) -> bool + Sync,
    told: impl Fn(&Lived) + Sync,
) -> Result<Sum, Box<Failure>> {
    let (next, sum) = (AtomicU64::new(seed), Mutex::new((Sum::default(), None)));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let over = |held: &(Sum, Option<_>)| held.1.is_some() || enough(&held.0);
                    if over(&sum.lock().expect("no thread panics with it")) {
                        return;
                    }
                    let outcome = live(next.fetch_add(1, Ordering::Relaxed));
                    let mut held = sum.lock().expect("no thread panics with it");
                    match outcome {
                        Ok(lived) => {
                            held.0.add(&lived);
                            told(&lived);
                        }
                        Err(failure) => held.1 = held.1.take().or(Some(failure)),
                    }
                }
            });
        }
    });
    let (sum, failure) = sum.into_inner().expect("no thread panicked");
    failure.map_or(Ok(sum), Err)
}
