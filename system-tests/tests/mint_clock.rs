//! A mint under a clock that is years ahead: commands, and a service that is started by it.

use farside_service::time::now_unix;
use farside_system_tests::faketime::FakeTime;
use farside_system_tests::programs::{Finished, Server, run};
use farside_system_tests::sides::{CONTROL, Sides};
use serde_json::Value;

const YEARS: i64 = 3 * 365 * 86_400;

/// The site's first key: when it was destroyed, and its file.
fn key(sides: &Sides) -> (Value, bool) {
    let listed = sides.mint("keys list --json").json();
    let key = &listed[0]["key"];
    let place = key["place"].as_str().expect("a place");
    (key["destroyed_at"].clone(), sides.path("near").join(place).exists())
}

fn events(sides: &Sides, event: &str) -> Vec<Value> {
    let lines = sides.text("near/journal/mint.jsonl");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a journal line"));
    lines.filter(|line| line["event"] == event).collect()
}

fn warned(status: &Value) -> bool {
    let warnings = status["warnings"].as_array().expect("warnings");
    warnings.iter().any(|warning| warning["code"] == "clock_doubted")
}

#[test]
fn a_mint_under_a_clock_years_ahead_keeps_its_keys_until_people_order_otherwise() {
    let sides = Sides::founded();
    sides.token("ada", CONTROL);
    let clock = FakeTime::wall();
    let ahead = |line: &str| -> Finished {
        run(clock.before(sides.command(&format!("{line} --config near/mint.toml"))))
    };
    clock.set(YEARS);
    // A single command, as somebody gives it by the wrong clock.
    ahead("mint bundle make --site dome --kind full").expect_code(0);
    assert_eq!(key(&sides), (Value::Null, true));
    let [doubted] = events(&sides, "clock_doubted").try_into().expect("it is written down once");
    assert!(doubted["at_most"].as_str() < doubted["clock"].as_str(), "{doubted}");
    // The service, after a new start of the machine.
    let store = rusqlite::Connection::open(sides.path("near/mint.db")).expect("the store opens");
    store.execute("UPDATE clock_mark SET boot = 'an earlier start'", []).expect("the store takes it");
    let mut mint = Server::start(clock.before(sides.command("mint serve --config near/mint.toml")));
    mint.wait_for(sides.mint);
    let told =
        || farside_system_tests::http::get(sides.admin, "/healthz", &[]).body.contains("clock_doubted");
    mint.wait_until("it is told", told);
    assert_eq!(key(&sides), (Value::Null, true));
    assert!(warned(&ahead("mint status --json").expect_code(0).json()));
    assert!(!warned(&sides.mint("status --json").json()), "the right clock is not doubted");

    let unreasoned = ahead("mint keys destroy-due");
    assert!(unreasoned.expect_code(2).stderr.contains("--reason"));
    let said = ahead("mint keys destroy-due --reason \"three years in store\" --json").expect_code(0).json();
    assert_eq!(
        (&said["clock_was_doubted"], said["token_keys"].as_array().map(Vec::len)),
        (&true.into(), Some(1))
    );
    let (destroyed_at, there) = key(&sides);
    assert!(destroyed_at.as_u64() > Some(now_unix()) && !there);
    let [believed] = events(&sides, "clock_believed").try_into().expect("it is written down");
    assert_eq!(believed["reason"], "three years in store");
    assert!(!warned(&ahead("mint status --json").expect_code(0).json()));
}
