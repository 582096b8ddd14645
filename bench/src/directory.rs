//! The directory of a large realm: what the first request after a change waits for.

use std::fmt::Write as _;
use std::time::Instant;

use farside_mint::import::{self, Reach, Run};
use farside_mint::revocation::{self, Order, What};
use farside_mint::site;
use farside_mint::store::Store;

use crate::rotation::terms;

const PEOPLE: usize = 100_000;
const GROUPS: usize = 100;
const SITES: usize = 1_000;
const ROUNDS: usize = 9;
const NOW: u64 = 1_800_000_000;

/// Prints the figures of the directory.
pub(crate) fn run() {
    let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
    let store = Store::create(&folder.path().join("mint.db"), "bench", NOW).expect("a database");
    for n in 0..SITES {
        let name = format!("site-{n:04}");
        site::add(&store, &name, &terms(&name), NOW).expect("a site");
    }
    let file = folder.path().join("people.csv");
    std::fs::write(&file, people()).expect("a file of people");
    let entries = import::read_csv(&file).expect("people");
    let start = Instant::now();
    import::import(&store, &entries, (Reach::Named, Run::Real), "bench", || NOW).expect("they are in");
    println!("directory_import_100k_people_s {:.2}", start.elapsed().as_secs_f64());
    println!("directory_first_picture_ms {:.1}", picture(&store));
    let after = |name: &str, change: &dyn Fn(usize)| {
        let mut taken: Vec<f64> = (0..ROUNDS)
            .map(|round| {
                change(round);
                picture(&store)
            })
            .collect();
        taken.sort_by(f64::total_cmp);
        println!("{name} {:.2}", taken[ROUNDS / 2]);
    };
    after("directory_after_a_revocation_ms", &|round| {
        let what = What::Subject(format!("person-{round:06}"));
        let site = Some("site-0001".to_owned());
        let order = Order { what, site, before: None, reason: "left".into(), by: "bench".into() };
        revocation::revoke(&store, &order, NOW).expect("a revocation");
    });
    after("directory_after_one_person_ms", &|round| {
        let more = format!("kind,name,display,roles,groups,enabled\nperson,new-{round},New,engineer,,\n");
        std::fs::write(&file, more).expect("a file of one");
        let entry = import::read_csv(&file).expect("one");
        import::import(&store, &entry, (Reach::Named, Run::Real), "bench", || NOW).expect("that one is in");
    });
}

fn picture(store: &Store) -> f64 {
    let start = Instant::now();
    store.directory().expect("a directory");
    start.elapsed().as_secs_f64() * 1_000.0
}

fn people() -> String {
    let mut text = "kind,name,display,roles,groups,enabled\n".to_owned();
    let groups = (0..GROUPS).map(|n| format!("group,group-{n:02},,operator,,\n"));
    text.extend(groups);
    for n in 0..PEOPLE {
        let _ = writeln!(text, "person,person-{n:06},Person {n},engineer,group-{:02},", n % GROUPS);
    }
    text
}
