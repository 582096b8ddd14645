//! Several pieces of work timed in turn, round after round, so that a busy machine slows all of them alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 401;
const ROUND: Duration = Duration::from_micros(1500);
/// Of all rounds the one is quoted that is faster than so many in a hundred: on a shared machine most
/// rounds are interrupted, and interruptions are no property of the work.
const QUIET_PERCENT: usize = 90;

/// Operations per second of each piece of work, one entry a round.
pub(crate) struct Measured(Vec<Vec<f64>>);

/// Times each of `works` in turn for every round.
pub(crate) fn measure(works: &mut [&mut dyn FnMut()]) -> Measured {
    let repeats: Vec<u32> = works.iter_mut().map(|work| repeats_for(&mut **work)).collect();
    let mut rounds = vec![Vec::with_capacity(ROUNDS); works.len()];
    for round in 0..ROUNDS {
        for place in 0..works.len() {
            // Another one begins each round, so that none always runs on a warm or cold machine.
            let which = (place + round) % works.len();
            let start = Instant::now();
            for _ in 0..repeats[which] {
                black_box(&mut works[which])();
            }
            rounds[which].push(f64::from(repeats[which]) / start.elapsed().as_secs_f64());
        }
    }
    Measured(rounds)
}

fn repeats_for(work: &mut dyn FnMut()) -> u32 {
    let mut repeats = 1;
    loop {
        let start = Instant::now();
        for _ in 0..repeats {
            black_box(&mut *work)();
        }
        if start.elapsed() >= ROUND / 2 {
            return (repeats * 2).max(1);
        }
        repeats *= 2;
    }
}

impl Measured {
    /// Operations per second of one piece of work in its quiet rounds.
    pub(crate) fn per_second(&self, which: usize) -> f64 {
        let mut rounds = self.0[which].clone();
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() * QUIET_PERCENT / 100]
    }

    /// How many times as fast `one` is as `other`.
    pub(crate) fn times_as_fast(&self, one: usize, other: usize) -> f64 {
        self.per_second(one) / self.per_second(other)
    }
}
