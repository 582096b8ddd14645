//! A slice of what `cargo xtask simulate` lives at length: years of realms in which couriers fail, keys are
//! stolen, machines are restarted and rolled back. Every promise is held at every step.

use farside_system_tests::sim::{self, Run, Sum};

/// The slice: from this seed on, until so many site-years are over.
const SEED: u64 = 8;
const SITE_YEARS: u64 = 6;

#[test]
fn worlds_live_for_years_and_every_promise_holds() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let enough = |sum: &Sum| sum.site_years() >= SITE_YEARS;
    let told = |lived: &Result<sim::Lived, _>| lived.iter().for_each(|lived| println!("{lived}"));
    let run = Run::new(SEED, threads);
    let sum = sim::many(&run, enough, told).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(sum.bundles > 100 && sum.shown > 500, "next to nothing happened: {sum:?}");
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let live = |seed| sim::live(seed).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(live(9), live(9));
}
