//! Judges many states at once, on as many threads as the machine has cores, and says how many they were.
//! `cargo xtask torture` asks for more of them than an ordinary test run, by `FARSIDE_TORTURE_STATES`.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::crash::{Image, Recording};
use crate::programs::scratch;

/// States that an ordinary test run judges, all scenarios together; the long run has ten times as many.
const STATES_DEFAULT: usize = 5_000;
/// What the long run has so many times more of.
const CASES_LEFT_OUT: usize = 10;

/// What share of all states, in percent, a scenario is to judge: here or over several recordings.
pub fn share(percent: usize) -> usize {
    (all() * percent).div_ceil(100)
}

/// So many states, parted among recordings that bring at most `each`: a long recording makes each of its
/// states slow to judge.
pub fn rounds(count: usize, each: usize) -> impl Iterator<Item = usize> {
    let rounds = count.div_ceil(each).max(1);
    (0..rounds).map(move |round| count * (round + 1) / rounds - count * round / rounds)
}

/// One of how many cases an ordinary test run takes, where the long run takes each: 1 there.
pub fn one_of() -> usize {
    (STATES_DEFAULT * CASES_LEFT_OUT / all()).max(1)
}

fn all() -> usize {
    let all = std::env::var("FARSIDE_TORTURE_STATES").ok();
    all.map_or(STATES_DEFAULT, |count| count.parse().expect("FARSIDE_TORTURE_STATES is a number"))
}

/// Lays out so many states of a recording, each in an empty folder, and has each judged there: `judge` panics
/// at a state that must not be. It may leave what it likes in the folder.
///
/// # Panics
/// The recording does not have so many states: a scenario must not promise more than it tries.
pub fn judge(scenario: &str, recording: &Recording, count: usize, judge: impl Fn(&Image, &Path) + Sync) {
    let states = Mutex::new(recording.states(count));
    let (judged, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let scratch = scratch();
                let folder = scratch.path().join("cut");
                while !failed.load(Ordering::Relaxed) {
                    let Some(image) = states.lock().expect("states are made without fault").next() else {
                        return;
                    };
                    let _ = std::fs::remove_dir_all(&folder);
                    std::fs::create_dir(&folder).expect("a folder for the state");
                    image.lay_out(&folder);
                    let verdict = catch_unwind(AssertUnwindSafe(|| judge(&image, &folder)));
                    // One bad state is enough: nobody waits for the others.
                    failed.fetch_or(verdict.is_err(), Ordering::Relaxed);
                    judged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let judged = judged.into_inner();
    assert!(!failed.into_inner(), "{scenario}: a state that must not be, as told above");
    assert!(judged >= count, "{scenario}: only {judged} different states of {count} to be tried");
    tell(scenario, judged);
}

/// Says how many states a scenario has tried: past the test harness, which shows nothing of tests that pass.
fn tell(scenario: &str, states: usize) {
    let line = format!("torture: {scenario}: {states} states\n");
    std::io::stdout().write_all(line.as_bytes()).expect("standard output takes a line");
}
