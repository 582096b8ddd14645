//! What `farside plan` says, held against real bundles and against a life that is lived by it.

use farside_mint::plan::{self, Answer, Lane, Question};
use farside_system_tests::programs::{command, run};
use farside_system_tests::sim::questions::{site, supplied, weigh};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// How far a plan's bytes may be from those of real bundles, in percent.
const MARGIN_PERCENT: u64 = 15;

fn question(users: u64, ttl: u64, every: u64, courier: u64) -> Question {
    Question {
        users,
        ttl_seconds: ttl,
        every_seconds: every,
        courier_seconds: courier,
        cryptoperiod_seconds: 90 * DAY,
        lane: Lane::Stick,
        stale_seconds_max: Default::default(),
    }
}

fn answer(question: Question) -> Answer {
    plan::answer(&question).expect("an answer")
}

#[test]
fn a_plan_s_bytes_are_those_of_real_bundles() {
    for users in [1, 60] {
        let weighed = weigh(users, site(DAY, DAY, 3 * DAY)).expect("bundles");
        let question = question(users, 3 * DAY, DAY, DAY);
        let told = plan::bundle_bytes(&question, weighed.leaves).expect("an answer");
        for (told, weighed) in told.into_iter().zip(weighed.bytes) {
            let off = told.abs_diff(weighed) * 100 / weighed;
            assert!(off <= MARGIN_PERCENT, "{users} users: {told} bytes told, {weighed} weighed");
        }
    }
}

#[test]
fn large_bundles_are_worked_out_from_small_ones_that_are_packed() {
    // 512 are packed, 1,024 worked out: twice the tokens are twice what tokens weigh.
    let [few, many] = [512, 1_024].map(|users| answer(question(users, 3 * DAY, DAY, DAY)).full.bytes);
    let empty = answer(question(1, 3 * DAY, DAY, DAY)).full.bytes;
    let (once, twice) = (few - empty, many - empty);
    assert!(twice.abs_diff(2 * once) * 100 / twice <= 3, "{once} and {twice}");
}

#[test]
fn the_latest_courier_is_the_latest_and_one_second_later_somebody_stands_without() {
    for (ttl, every) in [(3 * DAY, DAY), (30 * HOUR, 6 * HOUR)] {
        let latest = answer(question(1, ttl, every, every)).courier_latest_seconds.expect("there is one");
        let live = |lateness| supplied(site(every, latest, ttl), lateness).expect("a life");
        assert!(live(latest), "{latest} s is said to be in time");
        assert!(!live(latest + 1), "{latest} s is said to be the latest");
    }
}

#[test]
fn a_plan_says_which_number_to_change_and_holds_once_it_is_changed() {
    let cases = [
        (question(300, 15 * 60, HOUR, HOUR), "raise --ttl to at least 2h"),
        (
            Question { lane: "300bps".parse().unwrap(), ..question(300, 9 * HOUR, HOUR, 8 * HOUR) },
            "raise --every",
        ),
        (
            Question { cryptoperiod_seconds: 4 * DAY, ..question(3, 3 * DAY, DAY, DAY) },
            "raise --cryptoperiod above",
        ),
        (question(3, 40 * DAY, DAY, DAY), "lower --ttl to at most 31d"),
    ];
    for (question, change) in cases {
        let told = answer(question);
        assert!(!told.holds);
        assert!(told.faults[0].change.starts_with(change), "{:?}", told.faults);
    }
    assert!(answer(question(300, 2 * HOUR, HOUR, HOUR)).holds);
}

#[test]
fn the_command_answers_in_exit_code_table_and_json() {
    let plan = |more: &str| {
        let line = format!("plan --users 20 --every 1h --lane 9600bps {more}");
        run(command(&line.split(' ').collect::<Vec<_>>()))
    };
    let holds = plan("--ttl 2h --json").expect_code(0).json();
    assert_eq!((&holds["holds"], &holds["late_after_seconds"]), (&true.into(), &7_200.into()));
    let not = plan("--ttl 15m").expect_code(1);
    assert!(not.stdout.contains("raise --ttl to at least 2h"), "{}", not.stdout);
    plan("--ttl 0s").expect_code(2);
    plan("--ttl 15m --lane pigeon").expect_code(2);
}
