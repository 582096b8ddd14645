//! Cedar policies: what one question costs, and what reading the policies of a site costs, by their number.

use std::time::Instant;

use farside_crossing::Action;
use farside_crossing::cedar::{
    Circumstances, Doing, Policies, Principal, Question, Target, TokenFacts, Verdict,
};

const ROUNDS: usize = 7;
const QUESTIONS: u32 = 2_000;
const NOW: u64 = 1_800_000_000;

/// Runs all.
pub(crate) fn run() {
    for number in [10, 200] {
        let text = site_of(number);
        let started = Instant::now();
        let policies = Policies::read(&text).unwrap();
        println!("policies_{number}_read_ms {:.1}", started.elapsed().as_secs_f64() * 1e3);
        println!("policies_{number}_decide_us {:.1}", decide_us(&policies));
    }
}

/// Policies as a site has them: roles on folders, some with conditions, some that forbid.
fn site_of(number: usize) -> String {
    let policy = |n: usize| match n % 5 {
        0 => format!(
            "@id(\"p{n}\") forbid(principal, action in Action::\"write\", resource in Path::\"hmi.example/area-{n}/locked\")\n\
             unless {{ principal in Role::\"lead-{n}\" }};\n"
        ),
        1 => format!(
            "@id(\"p{n}\") permit(principal in Role::\"role-{n}\", action in Action::\"http\", resource in Path::\"hmi.example/area-{n}\")\n\
             when {{ context.freshness == \"fresh\" && context has token && context.token.lifetime_seconds <= 3600 }};\n"
        ),
        2 => format!(
            "@id(\"p{n}\") permit(principal, action == Action::\"login\", resource == Account::\"machine-{n}\")\n\
             when {{ principal in Group::\"crew-{n}\" }};\n"
        ),
        _ => format!(
            "@id(\"p{n}\") permit(principal in Role::\"role-{n}\", action in Action::\"read\", resource in Path::\"hmi.example/area-{n}\");\n"
        ),
    };
    (0..number).map(policy).collect()
}

fn decide_us(policies: &Policies) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round_us(policies)).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// One round, with all that a door does for it: the path is read, entities are made, policies are asked.
fn round_us(policies: &Policies) -> f64 {
    let started = Instant::now();
    for _ in 0..QUESTIONS {
        let target = Target::read("https", "hmi.example", "/area-3/lines/2/valves?state=1").unwrap();
        let principal = Principal {
            subject: "anna",
            roles: vec!["role-3".into(), "operator".into()],
            groups: vec!["crew".into(), "shift-a".into()],
            client: Some("c1"),
            scope: Some("read write"),
            ..Principal::default()
        };
        let token = TokenFacts { id: "dome-4f", key: "x7Qd81aa", issued_at: NOW, expires_at: NOW + 900 };
        let circumstances = Circumstances {
            audience: "hmi",
            tier: Some(Action::Read),
            now: NOW + 60,
            freshness: "fresh",
            age_seconds: 120,
            breakglass: false,
            proven: &[],
            token: Some(token),
        };
        let doing = Doing::Request { method: "GET", target: &target };
        let verdict = policies.decide(&Question { principal, doing, circumstances });
        assert!(matches!(verdict, Verdict::Permitted { .. }), "{verdict:?}");
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(QUESTIONS)
}
