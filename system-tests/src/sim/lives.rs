//! Lives of many worlds, one after the other or on several threads, and what a failure shows.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
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

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lived { seed, site_days, steps, bundles, shown, digest } = self;
        write!(
            f,
            "seed {seed}: {site_days} site-days, {steps} steps, {bundles} bundles, {shown} tokens shown, "
        )?;
        write!(f, "history {digest:016x}")
    }
}

impl FromStr for Lived {
    type Err = ();

    /// Reads what it is shown as.
    fn from_str(line: &str) -> Result<Lived, ()> {
        let words: Vec<&str> = line.split([' ', ':']).filter(|word| !word.is_empty()).collect();
        let [_, seed, days, _, steps, _, bundles, _, shown, _, _, _, digest] = words[..] else {
            return Err(());
        };
        let number = |word: &str| word.parse().map_err(|_| ());
        Ok(Lived {
            seed: number(seed)?,
            site_days: number(days)?,
            steps: number(steps)?,
            bundles: number(bundles)?,
            shown: number(shown)?,
            digest: u64::from_str_radix(digest, 16).map_err(|_| ())?,
        })
    }
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

    /// Adds a life.
    pub fn add(&mut self, lived: &Lived) {
        self.worlds += 1;
        self.site_days += lived.site_days;
        self.bundles += lived.bundles;
        self.shown += lived.shown;
    }
}

/// Which worlds are lived.
#[derive(Debug, Clone)]
pub struct Run {
    /// From this seed on.
    pub seed: u64,
    /// On so many threads.
    pub threads: usize,
    /// Seeds that were lived before.
    pub lived: BTreeSet<u64>,
    /// What these came to.
    pub sum: Sum,
    /// Whether a failure is told, and other worlds lived all the same.
    pub goes_on: bool,
}

impl Run {
    /// A run that begins, and ends with the first failure.
    #[must_use]
    pub fn new(seed: u64, threads: usize) -> Run {
        Run { seed, threads, lived: BTreeSet::new(), sum: Sum::default(), goes_on: false }
    }
}

/// Lives worlds until `enough`; each is told as it ends, one after the other.
///
/// # Errors
/// The first failure.
pub fn many(
    run: &Run,
    enough: impl Fn(&Sum) -> bool + Sync,
    told: impl Fn(&Result<Lived, Box<Failure>>) + Sync,
) -> Result<Sum, Box<Failure>> {
    let (next, sum) = (AtomicU64::new(run.seed), Mutex::new((run.sum, None)));
    std::thread::scope(|scope| {
        for _ in 0..run.threads {
            scope.spawn(|| {
                loop {
                    let over =
                        |held: &(Sum, Option<_>)| (held.1.is_some() && !run.goes_on) || enough(&held.0);
                    if over(&sum.lock().expect("no thread panics with it")) {
                        return;
                    }
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if run.lived.contains(&seed) {
                        continue;
                    }
                    let outcome = live(seed);
                    let mut held = sum.lock().expect("no thread panics with it");
                    told(&outcome);
                    match outcome {
                        Ok(lived) => held.0.add(&lived),
                        Err(failure) => held.1 = held.1.take().or(Some(failure)),
                    }
                }
            });
        }
    });
    let (sum, failure) = sum.into_inner().expect("no thread panicked");
    failure.map_or(Ok(sum), Err)
}
