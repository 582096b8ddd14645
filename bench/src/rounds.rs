//! Several pieces of work timed in turn, round after round, so that a busy machine slows all of them alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 401;
const ROUND: Duration = Duration::from_micros(1500);

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
    /// Median operations per second of one piece of work.
    pub(crate) fn per_second(&self, which: usize) -> f64 {
        median(self.0[which].clone())
    }

    /// Median over the rounds of how many times as fast `one` is as `other`.
    pub(crate) fn times_as_fast(&self, one: usize, other: usize) -> f64 {
        median(self.0[one].iter().zip(&self.0[other]).map(|(one, other)| one / other).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
