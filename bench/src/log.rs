//! Looking up one record among a million: by token id, by subject, by requester and by time, as `mint log`
//! does.

use std::path::Path;
use std::time::Instant;

use farside_mint::log::index::{Index, Query};
use farside_service::append::Segments;

const LEAVES: u64 = 1_000_000;
const SUBJECTS: u64 = 100_000;
const LOOKS: u64 = 200;
const NOW: u64 = 1_764_000_000;
/// Tokens an hour, so that times spread as they do in life.
const AN_HOUR: u64 = 10_000;

/// Prints the figures of looking something up.
pub(crate) fn run() {
    let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
    fill(folder.path());
    let index = Index::open(folder.path()).expect("an index");
    let start = Instant::now();
    index.catch_up().expect("an index that follows");
    println!("log_leaves {LEAVES}");
    println!("log_index_build_seconds {:.2}", start.elapsed().as_secs_f64());
    let query = Query::default;
    let subject = |n| Query { subject: Some(format!("person-{}", n % SUBJECTS)), ..query() };
    let hour = |n| Query { since: Some(at(n)), until: Some(at(n) + 3600), ..query() };
    print_looks("token_id", &index, |n| Query { token_id: Some(token_id(n)), ..query() });
    print_looks("subject", &index, subject);
    print_looks("requester", &index, |n| Query { requester: Some(requester(n)), ..query() });
    print_looks("hour", &index, hour);
    let start = Instant::now();
    let opened = Index::open(folder.path()).expect("an index");
    opened.find(&subject(7), 100).expect("a look");
    println!("log_find_cold_milliseconds {:.2}", start.elapsed().as_secs_f64() * 1e3);
}

fn print_looks(name: &str, index: &Index, query: impl Fn(u64) -> Query) {
    let mut worst: f64 = 0.0;
    let start = Instant::now();
    for look in 0..LOOKS {
        let one = Instant::now();
        let found = index.find(&query(look * (LEAVES / LOOKS)), 100).expect("a look");
        assert!(!found.is_empty(), "{name} {look}");
        worst = worst.max(one.elapsed().as_secs_f64());
    }
    println!("log_find_by_{name}_milliseconds {:.3}", start.elapsed().as_secs_f64() * 1e3 / LOOKS as f64);
    println!("log_find_by_{name}_worst_milliseconds {:.3}", worst * 1e3);
}

fn fill(folder: &Path) {
    let (group, _) = Segments::new(folder, "issued").open(0, |_| {}).expect("a log");
    let mut last = None;
    for number in 0..LEAVES {
        let record = format!(
            concat!(
                r#"{{"shard":"site-a","index":{},"at":{},"entry":{{"token":{{"requester":"{}","#,
                r#""subject":"person-{}","audience":"warehouse","expires_at":{},"kid":"x7QdT0aB","#,
                r#""profile":"access","signing_input_sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}}}}}"#
            ),
            number,
            at(number),
            requester(number),
            number % SUBJECTS,
            at(number) + 900
        );
        last = Some(group.append(record.into_bytes()).expect("an open log"));
    }
    last.expect("a record").wait().expect("a disk");
}

fn at(number: u64) -> u64 {
    NOW + number * 3600 / AN_HOUR
}

fn requester(number: u64) -> String {
    format!("client:c{}", number % 1000)
}

fn token_id(number: u64) -> String {
    farside_verify::leaf::TokenPosition::new("site-a", number).expect("a name").to_string()
}
