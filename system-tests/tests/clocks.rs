//! Clocks that die, go back, leap ahead, jump, drift and sleep under the real gate. What has expired stays
//! expired, what is good is refused for no more than the clock is wrong, and the operator is told.
//!
//! The truth here is an hour after the machine's: then a token of the machine's hour has expired, and one
//! that the mint issues under a clock an hour ahead is good.

use farside_service::time::now_unix;
use std::sync::atomic::{AtomicBool, Ordering};

use farside_system_tests::faketime::{FakeTime, start_machine_anew};
use farside_system_tests::http;
use farside_system_tests::programs::{Finished, Server, run};
use farside_system_tests::sides::{CONTROL, Sides};
use serde_json::Value;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The truth, from the machine's clock.
const TRUTH: i64 = HOUR;

/// A gate whose clock lies, and two tokens.
struct Scene {
    sides: Sides,
    clock: FakeTime,
    good: String,
    expired: String,
}

impl Scene {
    /// The gate has applied bundle 1 by a clock that was right, and been stopped.
    fn new(clock: FakeTime) -> Scene {
        let sides = Sides::founded();
        let expired = sides.token("ada", CONTROL);
        let bundle = sides.bundle("full");
        let good = token_at(&sides, TRUTH);
        let scene = Scene { sides, clock, good, expired };
        scene.wrong_by(0);
        scene.gate(&format!("import {bundle}"));
        assert_eq!(scene.gate("status --json").json()["clock"]["off_by_seconds"], 0);
        scene
    }

    fn wrong_by(&self, seconds: i64) {
        self.clock.set(TRUTH + seconds);
    }

    /// A command at the gate, by its clock.
    fn attempt(&self, line: &str) -> Finished {
        run(self.clock.before(self.sides.command(&format!("gate {line} --config far/gate.toml"))))
    }

    #[track_caller]
    fn gate(&self, line: &str) -> Finished {
        self.attempt(line).expect_code(0)
    }

    fn serve(&self) -> Server {
        let mut server =
            Server::start(self.clock.before(self.sides.command("gate serve --config far/gate.toml")));
        server.wait_for(self.sides.gate);
        server
    }

    /// Status and code at the door, for both tokens: the expired and the good.
    fn doors(&self) -> [(u16, String); 2] {
        [&self.expired, &self.good].map(|token| {
            let answer = self.sides.knock(token, CONTROL);
            let code = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
            (answer.status, code["code"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// The same by `gate check`.
    fn checked(&self) -> [String; 2] {
        [&self.expired, &self.good].map(|token| {
            let said = self.attempt(&format!("check {token} --audience {CONTROL} --json")).json();
            said.get("code").unwrap_or(&said["verdict"]).as_str().expect("a verdict").to_owned()
        })
    }

    #[track_caller]
    fn only_the_good_enters(&self) {
        let [expired, good] = self.doors();
        assert_eq!((expired, good.0), ((401, "expired".to_owned()), 200));
        assert_eq!(self.checked(), ["expired", "accept"]);
    }

    /// The journal's lines of one event.
    fn journal(&self, event: &str) -> Vec<Value> {
        let text = self.sides.text("far/journal/gate.jsonl");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        lines.filter(|line| line["event"] == event).collect()
    }

    /// Waits until the gate has written so many lines of one event.
    fn told(&self, server: &mut Server, event: &str, times: usize) -> Value {
        server.wait_until(event, || self.journal(event).len() >= times);
        self.journal(event).last().expect("a line").clone()
    }
}

/// A token that the mint issues by a clock so many seconds ahead.
fn token_at(sides: &Sides, seconds: i64) -> String {
    let clock = FakeTime::wall();
    clock.set(seconds);
    let line = format!(
        "mint token issue --site dome --subject grace --audience {CONTROL} --out later.jwt --config near/mint.toml"
    );
    run(clock.before(sides.command(&line))).expect_code(0);
    sides.text("later.jwt")
}

fn ready(sides: &Sides) -> u16 {
    http::get(sides.gate, "/readyz", &[]).status
}

/// Seconds that the clock is said to be off, give or take what passed meanwhile.
#[track_caller]
fn off_by(seen: &Value, seconds: i64) {
    let told = seen["off_by_seconds"].as_i64().expect("a number");
    assert!((told - seconds).abs() <= 120, "{told} instead of {seconds}: {seen}");
}

#[test]
fn a_machine_that_starts_in_1970_judges_nobody_and_says_so_until_its_clock_is_set() {
    let scene = Scene::new(FakeTime::wall());
    start_machine_anew(&scene.sides);
    let now = i64::try_from(now_unix()).unwrap();
    scene.wrong_by(-now - TRUTH);
    let mut server = scene.serve();
    for (status, code) in scene.doors() {
        assert_eq!((status, code.as_str()), (503, "clock_fault"));
    }
    assert_eq!(ready(&scene.sides), 503);
    let status = scene.gate("status --json").json();
    off_by(&status["clock"], -now - TRUTH);
    assert!(scene.gate("status").stdout.contains("behind"), "people are told too");
    assert!(scene.told(&mut server, "clock_stepped", 1)["by_seconds"].as_i64().unwrap() < -50 * YEAR);
    // Set wrongly at first: all is expired, and nothing of it is remembered.
    scene.wrong_by(10 * YEAR);
    assert!(scene.doors().iter().all(|(status, code)| (*status, code.as_str()) == (503, "stale")));
    scene.wrong_by(0);
    scene.only_the_good_enters();
    scene.told(&mut server, "clock_righted", 1);
    server.stop();
}

#[test]
fn a_clock_set_back_a_year_revives_nothing_and_refuses_nothing_good() {
    let scene = Scene::new(FakeTime::wall());
    let mut server = scene.serve();
    scene.only_the_good_enters();
    scene.wrong_by(-YEAR);
    scene.only_the_good_enters();
    assert_eq!(ready(&scene.sides), 200);
    let stepped = scene.told(&mut server, "clock_stepped", 1);
    assert!((stepped["by_seconds"].as_i64().unwrap() + YEAR).abs() <= 120, "{stepped}");
    let seen = scene.gate("status --json").json();
    off_by(&seen["clock"], -YEAR);
    let since = seen["clock"]["off_since"].as_u64().expect("since when");
    assert!(since.abs_diff(now_unix() + TRUTH as u64) <= 120, "{seen}");
    let metrics = scene.sides.gate_metrics();
    assert!(metrics.contains("farside_gate_clock_offset_seconds -3153"), "{metrics}");
    server.stop();
    // Another process of the same start of the machine: the same time, since the same moment.
    let mut server = scene.serve();
    scene.only_the_good_enters();
    assert_eq!(scene.gate("status --json").json()["clock"]["off_since"].as_u64(), Some(since));
    scene.told(&mut server, "clock_stepped", 2);
    scene.wrong_by(0);
    scene.told(&mut server, "clock_righted", 1);
    server.stop();
    // Across a new start of the machine nothing but the clock says how late it is: a fault, and by how much.
    start_machine_anew(&scene.sides);
    scene.wrong_by(-YEAR);
    assert_eq!(scene.checked(), ["clock_fault", "clock_fault"]);
    // Nor may people order it away: a bundle proves that it is later.
    let refused = scene.attempt("clock accept").expect_code(1);
    assert!(refused.stderr.contains("bundle 1"), "{}", refused.stderr);
    scene.wrong_by(0);
    assert_eq!(scene.checked(), ["expired", "accept"]);
}

#[test]
fn a_clock_set_forward_ten_years_refuses_only_until_it_is_set_right() {
    let scene = Scene::new(FakeTime::wall());
    let bundle = scene.sides.bundle("full");
    let mut server = scene.serve();
    scene.wrong_by(10 * YEAR);
    assert!(scene.doors().iter().all(|(status, _)| *status == 503));
    let stepped = scene.told(&mut server, "clock_stepped", 1);
    assert!((stepped["by_seconds"].as_i64().unwrap() - 10 * YEAR).abs() <= 120, "{stepped}");
    assert!(scene.gate("status").stdout.contains("ahead of this gate's steady clock"));
    // What comes meanwhile waits, and is not thrown away as expired.
    std::fs::copy(scene.sides.path(&bundle), scene.sides.path("far/inbox/two.fbundle")).expect("it drops in");
    server.wait_until("the bundle was looked at", || server_saw(&scene));
    scene.wrong_by(0);
    server.wait_until("it is applied", || !scene.sides.path("far/inbox/two.fbundle").exists());
    assert_eq!(scene.gate("status --json").json()["bundle"]["seq"], 2);
    scene.only_the_good_enters();
    server.stop();
    // A machine that starts ten years ahead has expired trust, and remembers none of it either.
    start_machine_anew(&scene.sides);
    scene.wrong_by(10 * YEAR);
    assert_eq!(scene.checked(), ["stale", "stale"]);
    scene.wrong_by(0);
    assert_eq!(scene.checked(), ["expired", "accept"]);
}

/// The inbox has been gone through at least once by the wrong clock.
fn server_saw(scene: &Scene) -> bool {
    let applied = scene.sides.gate_metrics();
    applied.contains(r#"farside_gate_imports_total{outcome="ignored"}"#)
}

/// Ten thousand requests under a clock that jumps all the while.
#[test]
fn a_clock_that_jumps_under_requests_lets_nothing_expired_in() {
    const JUMPS: u64 = 400;
    const KNOCKS: usize = 12;
    let scene = Scene::new(FakeTime::wall());
    let server = scene.serve();
    let mut dice = Dice(20_261_125);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let hammering = scope.spawn(|| hammer(&scene, &enough));
        let _end = AtEnd(&enough);
        for jump in 0..JUMPS {
            let wrong = dice.jump();
            scene.wrong_by(wrong);
            for knock in 0..KNOCKS {
                let place = format!("jump {jump} to {wrong}, knock {knock}");
                if knock % 2 == 0 {
                    assert_ne!(scene.sides.knock(&scene.expired, CONTROL).status, 200, "{place}");
                    continue;
                }
                let answer = scene.sides.knock(&scene.good, CONTROL);
                // Behind or right: good. Ahead beyond the token's life: refused. Between: as it was.
                match wrong {
                    ..=0 => assert_eq!(answer.status, 200, "{place}: {answer:?}"),
                    wrong if wrong > HOUR => assert_ne!(answer.status, 200, "{place}"),
                    _ => {}
                }
            }
        }
        scene.wrong_by(0);
        enough.store(true, Ordering::Relaxed);
        assert!(hammering.join().expect("the other side knocks on") > 1_000);
    });
    scene.only_the_good_enters();
    server.stop();
}

/// Shows the expired token without a pause, whatever the clock does; answers how often.
fn hammer(scene: &Scene, enough: &AtomicBool) -> usize {
    let mut knocks = 0;
    while !enough.load(Ordering::Relaxed) {
        assert_ne!(scene.sides.knock(&scene.expired, CONTROL).status, 200);
        knocks += 1;
    }
    knocks
}

/// Lets the other side end, however this one does.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A sequence of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self, most: u64) -> i64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % most).expect("small enough")
    }

    fn jump(&mut self) -> i64 {
        match self.next(5) {
            0 => -self.next(2 * YEAR as u64),
            1 => self.next(20 * YEAR as u64),
            2 => -self.next(HOUR as u64),
            3 => self.next(2 * DAY as u64),
            _ => 0,
        }
    }
}

/// Two seconds a minute, for an hour in each direction.
#[test]
fn a_clock_that_drifts_refuses_nothing_beyond_the_drift_and_is_told() {
    let scene = Scene::new(FakeTime::wall());
    let mut server = scene.serve();
    for (times, direction) in [(1, 1), (2, -1)] {
        for minute in 0..60 {
            scene.wrong_by(direction * 2 * minute);
            let [expired, good] = scene.doors();
            assert_eq!((expired.0, good.0), (401, 200), "{minute} minutes, {direction}");
        }
        server.wait_until("the drift is told", || {
            let told = scene.journal("clock_stepped");
            told.iter().any(|line| line["by_seconds"].as_i64().expect("a number") * direction > 60)
        });
        let seen = scene.gate("status --json").json();
        assert!(seen["clock"]["off_by_seconds"].as_i64().expect("a number") * direction > 60, "{seen}");
        scene.wrong_by(0);
        scene.told(&mut server, "clock_righted", times);
    }
    server.stop();
}

/// A clock that is slow altogether shows at the next bundle.
#[test]
fn a_bundle_shows_how_far_a_slow_clock_is_behind_the_mints() {
    let scene = Scene::new(FakeTime::wall());
    start_machine_anew(&scene.sides);
    let clock = FakeTime::wall();
    clock.set(DAY);
    let line = "mint bundle make --site dome --kind full --json --config near/mint.toml";
    let made = run(clock.before(scene.sides.command(line))).expect_code(0).json();
    let bundle = made["path"].as_str().expect("a path");
    scene.wrong_by(0);
    let report = scene.attempt(&format!("import {bundle} --json")).expect_code(1).json();
    assert_eq!(report["refusal"]["code"], "not_yet_issued");
    let ahead = &scene.gate("status --json").json()["clock"]["mint_ahead"];
    let by = ahead["issued_at"].as_i64().unwrap() - ahead["seen_at"].as_i64().unwrap();
    assert!((by - (DAY - HOUR)).abs() <= 120, "{ahead}");
    assert!(scene.gate("status").stdout.contains("behind the mint's"));
    scene.clock.set(DAY);
    scene.gate(&format!("import {bundle}"));
    assert_eq!(scene.gate("status --json").json()["clock"]["mint_ahead"], Value::Null);
}

/// All clocks go on together, as after a sleep: what expired meanwhile is refused, what came is admitted, and
/// no clock is said to be wrong.
#[test]
fn a_machine_that_slept_a_day_knows_it() {
    let scene = Scene::new(FakeTime::whole());
    let server = scene.serve();
    let [expired, good] = scene.doors();
    assert_eq!((expired.0, good.0), (401, 200));
    scene.clock.set(TRUTH + DAY);
    let after = token_at(&scene.sides, TRUTH + DAY);
    let [_, slept_through] = scene.doors();
    assert_eq!((slept_through.0, slept_through.1.as_str()), (401, "expired"));
    assert_eq!(scene.sides.knock(&after, CONTROL).status, 200);
    assert_eq!(scene.gate("status --json").json()["clock"]["off_by_seconds"], 0);
    assert!(scene.journal("clock_stepped").is_empty());
    server.stop();
}
