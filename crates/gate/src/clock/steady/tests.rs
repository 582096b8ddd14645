//! The clock's promises, each on its own and then under years of random misuse.

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;

const T0: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

/// A machine with its clocks, and the truth beside it.
struct Machine {
    /// What time it really is, milliseconds.
    true_ms: u64,
    /// What the wall clock is wrong by.
    wrong_ms: i64,
    started_ms: u64,
    starts: u64,
    steady: Steady,
    proven: Proven,
}

impl Machine {
    fn new() -> Machine {
        let proven = Proven { floor: T0, not_after: Some(T0 + 30 * DAY), leeway_seconds: 60 };
        let true_ms = T0 * 1_000;
        Machine {
            true_ms,
            wrong_ms: 0,
            started_ms: true_ms - 5_000,
            starts: 1,
            steady: Steady::default(),
            proven,
        }
    }

    fn reading(&self) -> Reading {
        let wall_ms = self.true_ms.saturating_add_signed(self.wrong_ms);
        Reading { wall_ms, boot_ms: self.true_ms - self.started_ms, boot: self.starts.to_string() }
    }

    fn look(&mut self) -> Moment {
        let reading = self.reading();
        self.steady.look(&reading, &self.proven)
    }

    fn wait(&mut self, seconds: u64) -> Moment {
        self.true_ms += seconds * 1_000;
        self.look()
    }

    fn set_wrong(&mut self, seconds: i64) -> Moment {
        self.wrong_ms = seconds * 1_000;
        self.look()
    }

    /// The process ends and another begins.
    fn restart(&mut self) {
        self.steady = Steady::resume(self.kept());
    }

    fn reboot(&mut self) {
        self.restart();
        self.started_ms = self.true_ms;
        self.starts += 1;
    }

    fn kept(&self) -> Option<Witness> {
        self.steady.witness().cloned().or_else(|| self.steady.witness.clone())
    }

    fn truth(&self) -> u64 {
        self.true_ms / 1_000
    }

    /// Whether a gate would judge at all by this moment.
    fn sound(&self, moment: &Moment) -> bool {
        let lived = self.kept().map_or(0, |witness| witness.steady_ms / 1_000);
        let least = self.proven.floor.max(if moment.steady.is_some() { 0 } else { lived });
        moment.now + self.proven.leeway_seconds >= least
    }
}

#[test]
fn a_clock_set_back_while_it_runs_changes_nothing_but_what_is_told() {
    let mut machine = Machine::new();
    assert_eq!(machine.look().off, None);
    machine.wait(3_600);
    let back = machine.set_wrong(-(YEAR as i64));
    assert_eq!(back.now, machine.truth());
    assert_eq!(back.off, Some(Off { by_seconds: -(YEAR as i64), since: Some(machine.truth()) }));
    let since = machine.truth();
    let later = machine.wait(DAY);
    assert_eq!((later.now, later.off.unwrap().since), (machine.truth(), Some(since)));
    machine.restart();
    let again = machine.wait(DAY);
    assert_eq!((again.now, again.off.unwrap().since), (machine.truth(), Some(since)));
    assert_eq!(machine.set_wrong(0).off, None);
}

#[test]
fn a_clock_set_forward_expires_tokens_only_until_it_is_set_right() {
    let mut machine = Machine::new();
    machine.look();
    let ahead = machine.set_wrong(10 * YEAR as i64);
    assert_eq!((ahead.now, ahead.earliest()), (machine.truth() + 10 * YEAR, machine.truth()));
    machine.wait(3_600);
    machine.restart();
    machine.wait(60);
    let right = machine.set_wrong(0);
    assert_eq!((right.now, right.off), (machine.truth(), None));
}

#[test]
fn a_machine_without_a_clock_battery_is_at_fault_until_it_is_set() {
    let mut machine = Machine::new();
    let cold = machine.set_wrong(-(T0 as i64));
    assert!(!machine.sound(&cold), "1970");
    assert_eq!(cold.off.unwrap().by_seconds, -(T0 as i64));
    // Set wrongly at first, years ahead: all is expired, and nothing is held against the right time.
    let wrong = machine.set_wrong(10 * YEAR as i64);
    assert_eq!((wrong.now, wrong.steady), (machine.truth() + 10 * YEAR, None));
    let right = machine.set_wrong(0);
    assert_eq!((right.now, right.steady), (machine.truth(), Some(machine.truth())));
}

#[test]
fn a_clock_that_went_back_across_a_new_start_of_the_machine_is_at_fault() {
    let mut machine = Machine::new();
    machine.look();
    machine.wait(10 * DAY);
    machine.reboot();
    let back = machine.set_wrong(-(DAY as i64));
    assert!(!machine.sound(&back));
    assert_eq!(back.off, Some(Off { by_seconds: -(DAY as i64), since: Some(machine.truth()) }));
    let right = machine.set_wrong(0);
    assert!(machine.sound(&right) && right.steady.is_some());
}

#[test]
fn sleep_counts_as_time() {
    let mut machine = Machine::new();
    machine.look();
    // The battery's clock stood still meanwhile.
    machine.wrong_ms = -(DAY as i64) * 1_000;
    assert_eq!(machine.wait(DAY).now, machine.truth());
}

#[test]
fn a_memory_put_back_is_another_start() {
    let mut machine = Machine::new();
    machine.look();
    machine.wait(DAY);
    machine.started_ms = machine.true_ms;
    let back = machine.set_wrong(-3_600);
    assert!(back.steady.is_none() && !machine.sound(&back));
}

#[test]
fn small_differences_are_closed_slowly_in_both_directions() {
    for wrong in [-50, 50] {
        let mut machine = Machine::new();
        machine.look();
        machine.set_wrong(wrong);
        for _ in 0..1_000 {
            machine.wait(60);
        }
        let held = machine.look().steady.unwrap();
        assert_eq!(held, machine.truth().saturating_add_signed(wrong));
    }
}

#[test]
fn a_bundle_lifts_the_clock_and_nothing_lowers_it() {
    let mut machine = Machine::new();
    machine.look();
    machine.proven.floor = T0 + DAY;
    assert_eq!(machine.look().now, T0 + DAY);
}

/// Everything that may befall a clock, at random, for years. What must hold at every look:
/// (1) the steady clock never goes back while it runs, and a new process goes on from the last one's;
/// (2) the gate's time is never before it, so that what it has seen expire stays expired;
/// (3) a token is refused as expired before its time only while the wall clock is ahead, and by no more;
/// (4) with a wall clock that is right the gate's time is right, to what was never more than the leeway;
/// (5) where the gate judges at all, its time is no earlier than all that is proven.
#[test]
fn whatever_befalls_the_clock_what_expired_stays_expired() {
    for seed in 0..40_u8 {
        let mut dice = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut machine = Machine::new();
        let first = machine.look();
        let (mut lived, mut at_fault) = (first.steady.unwrap(), false);
        for step in 0..10_000 {
            befall(&mut machine, &mut dice);
            let moment = machine.look();
            let place = format!("seed {seed}, step {step}: {moment:?}, truth {}", machine.truth());
            if let Some(steady) = moment.steady {
                assert!(steady >= lived, "(1) {place}, lived {lived}");
                assert!(moment.now >= steady, "(2) {place}");
                lived = steady;
                let ahead = moment.wall.saturating_sub(steady);
                assert!(moment.now <= steady + ahead, "(3) {place}");
            }
            let wall_is_right = machine.wrong_ms == 0;
            at_fault |= !wall_is_right && moment.steady.is_none();
            if machine.sound(&moment) {
                assert!(
                    moment.now + machine.proven.leeway_seconds >= lived.max(machine.proven.floor),
                    "(5) {place}"
                );
                if wall_is_right && !at_fault {
                    assert!(moment.now.abs_diff(machine.truth()) <= 60, "(4) {place}");
                }
            }
        }
    }
}

/// One thing that happens. The wall clock is wrong by much or little, in either direction, or set right; time
/// passes; the process or the machine starts anew (with a clock that is right and a bundle that is good: what
/// else may stand at a start is told above); a bundle comes.
fn befall(machine: &mut Machine, dice: &mut TestRng) {
    let mut below = |most: u64| dice.next_u64() % most;
    match below(12) {
        0 => machine.wrong_ms = -i64::try_from(below(2 * YEAR * 1_000)).unwrap(),
        1 => machine.wrong_ms = i64::try_from(below(20 * YEAR * 1_000)).unwrap(),
        2 | 3 => machine.wrong_ms = 0,
        4 => machine.restart(),
        5 => {
            machine.wrong_ms = 0;
            machine.proven.not_after = Some(machine.truth() + 30 * DAY);
            machine.reboot();
        }
        6 => {
            let made = machine.truth() - below(3_600);
            machine.proven.floor = machine.proven.floor.max(made);
            machine.proven.not_after = Some(machine.proven.not_after.unwrap().max(made + 30 * DAY));
        }
        7 => machine.true_ms += below(3 * DAY * 1_000),
        _ => machine.true_ms += below(10_000),
    }
}
