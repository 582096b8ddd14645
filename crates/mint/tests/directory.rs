//! The directory as an operator fills it: a dry run that says what the real run then does, all of a file or
//! nothing, and a running server that sees every change.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use farside_mint::client::{self, ClientFault};
use farside_mint::import::{self, FileFault, ImportFault, Reach, Run};
use farside_mint::site::{self, SiteFault};
use farside_mint::store::{Kind, Store, StoreFault};
use ground::{NOW, SITE, plant};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(&folder.path().join("mint.db"), "acme", NOW).unwrap();
    (folder, store)
}

fn csv(text: &str) -> Result<Vec<import::Entry>, FileFault> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    import::read_csv(file.path())
}

fn json(text: &str) -> Result<Vec<import::Entry>, FileFault> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    import::read_json(file.path())
}

const FIRST: &str = "kind,name,display,roles,groups,enabled\n\
                     group,ops,,operator,,\n\
                     person,anna,Anna,engineer,ops,\n\
                     bot,hauler,,carrier,,yes\n";

#[test]
fn the_dry_run_says_what_the_real_run_does_and_does_nothing() {
    let (_folder, store) = store();
    let entries = csv(FIRST).unwrap();
    let dry = import::import(&store, &entries, (Reach::Named, Run::Dry), "uid 7", || NOW).unwrap();
    assert!(store.directory().unwrap().subjects().is_empty());
    let real = import::import(&store, &entries, (Reach::Named, Run::Real), "uid 7", || NOW).unwrap();
    assert_eq!(dry, real);
    assert_eq!(real.added, ["ops", "anna", "hauler"]);
    let again = import::import(&store, &entries, (Reach::Named, Run::Real), "uid 7", || NOW).unwrap();
    assert_eq!((again.unchanged, again.added.len(), again.changed.len()), (3, 0, 0));
}

#[test]
fn roles_come_from_the_subject_and_from_its_groups() {
    let (_folder, store) = store();
    import::import(&store, &csv(FIRST).unwrap(), (Reach::Named, Run::Real), "uid 7", || NOW).unwrap();
    let directory = store.directory().unwrap();
    let anna = directory.subject("anna").unwrap();
    assert_eq!(anna.roles, ["engineer", "operator"]);
    assert_eq!((anna.kind, anna.groups.clone()), (Kind::Person, vec!["ops".to_owned()]));
    assert_eq!(directory.client("hauler").unwrap().name, "hauler", "a bot's client id is its name");
    assert!(anna.client_id.len() <= 4, "a person's is short, since it rides in every token");
}

#[test]
fn changes_and_disables_are_named_one_by_one() {
    let (_folder, store) = store();
    import::import(&store, &csv(FIRST).unwrap(), (Reach::Named, Run::Real), "uid 7", || NOW).unwrap();
    let second = csv("kind,name,display,roles,groups,enabled\n\
                      group,ops,,operator,,\n\
                      person,anna,Anna,engineer;lead,,\n")
    .unwrap();
    let plan = import::import(&store, &second, (Reach::Whole, Run::Real), "uid 7", || NOW).unwrap();
    assert_eq!(plan.changed.len(), 1);
    assert_eq!(plan.changed[0].what, ["groups -ops", "roles +lead"]);
    assert_eq!(plan.disabled, ["hauler"], "whoever the whole directory does not name");
    let directory = store.directory().unwrap();
    assert!(!directory.subject("hauler").unwrap().enabled);
    assert_eq!(directory.subject("anna").unwrap().roles, ["engineer", "lead"]);
}

#[test]
fn a_file_is_imported_whole_or_not_at_all() {
    let (_folder, store) = store();
    let bad = csv("kind,name,groups\nperson,anna,\nperson,ben,nowhere\n").unwrap();
    let refused = import::import(&store, &bad, (Reach::Named, Run::Real), "uid 7", || NOW);
    assert!(matches!(refused, Err(ImportFault::NoGroup { line: 3, .. })), "{refused:?}");
    assert!(store.directory().unwrap().subjects().is_empty());
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    let (_folder, store) = store();
    let run =
        |text: &str| import::import(&store, &csv(text).unwrap(), (Reach::Named, Run::Real), "uid 7", || NOW);
    assert!(matches!(run("kind,name\nbot,a\nbot,a\n"), Err(ImportFault::Twice { line: 3, .. })));
    assert!(matches!(run("kind,name\nbot,a\u{202e}b\n"), Err(ImportFault::Name { line: 2, .. })));
    assert!(matches!(
        run("kind,name,client_id\nbot,a,x\nbot,b,x\n"),
        Err(ImportFault::ClientId { line: 3, .. })
    ));
    run("kind,name\nbot,a\n").unwrap();
    assert!(matches!(
        run("kind,name\nperson,a\n"),
        Err(ImportFault::Kind { held: "bot", wanted: "person", .. })
    ));
    assert!(matches!(csv("kind,name\nrobot,a\n"), Err(FileFault::Kind(2))));
    assert!(matches!(csv("kind,name,salary\nbot,a,1\n"), Err(FileFault::Csv { .. })), "unknown columns");
    assert!(matches!(csv("kind,name\nbot\n"), Err(FileFault::Csv { line: 2, .. })));
    assert!(matches!(json(r#"[{"kind":"bot","name":"a","nick":"b"}]"#), Err(FileFault::Json { .. })));
}

#[test]
fn json_brings_keys_and_refuses_private_ones() {
    let (_folder, store) = store();
    let public = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let entries = json(&format!(r#"[{{"kind":"bot","name":"a","jwk":{public}}}]"#)).unwrap();
    import::import(&store, &entries, (Reach::Named, Run::Real), "uid 7", || NOW).unwrap();
    assert!(store.directory().unwrap().subject("a").unwrap().auth.jwks.is_some());
    let private = public.replace("\"x\"", "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"x\"");
    let refused = json(&format!(r#"[{{"kind":"bot","name":"a","jwk":{private}}}]"#));
    assert!(matches!(refused, Err(FileFault::Key { fault: ClientFault::Private, .. })));
}

#[test]
fn a_secret_is_kept_as_its_hash_and_people_have_none() {
    let (_folder, store) = store();
    import::import(&store, &csv(FIRST).unwrap(), (Reach::Named, Run::Real), "uid 7", || NOW).unwrap();
    let secret = client::new_secret(&store, "hauler").unwrap();
    assert_eq!(secret.len(), 43);
    let directory = store.directory().unwrap();
    let held = directory.subject("hauler").unwrap().auth.secret_sha256.unwrap();
    assert_eq!(held, farside_service::digest::sha256(secret.as_bytes()));
    assert!(matches!(client::new_secret(&store, "anna"), Err(ClientFault::Person(_))));
    let shown = format!("{:?}", directory.subject("hauler").unwrap());
    assert!(!shown.contains(&*secret) && !shown.contains(&farside_service::digest::hex(&held)));
}

#[test]
fn another_process_sees_a_change_at_once() {
    let (folder, serving) = store();
    let before = serving.directory().unwrap();
    let command = Store::open(&folder.path().join("mint.db"), NOW).unwrap();
    import::import(&command, &csv(FIRST).unwrap(), (Reach::Named, Run::Real), "uid 7", || NOW).unwrap();
    assert_eq!(serving.directory().unwrap().subjects().len(), 2);
    assert!(before.subjects().is_empty(), "who is deciding keeps the picture it began with");
    let (first, second) = (serving.directory().unwrap(), serving.directory().unwrap());
    assert!(Arc::ptr_eq(&first, &second), "nothing is read again without a change");
}

#[test]
fn whoever_reads_for_long_keeps_no_request_waiting() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    let looked = store.read(|_| {
        let (told, heard) = mpsc::channel();
        let other = Arc::clone(&store);
        thread::spawn(move || told.send(other.directory().is_ok()));
        Ok::<_, StoreFault>(heard.recv_timeout(Duration::from_secs(60)))
    });
    assert_eq!(looked.unwrap(), Ok(true));
}

#[test]
fn audiences_and_issuers_belong_to_one_site() {
    let (_folder, store) = store();
    site::add(&store, SITE, &plant(), NOW).unwrap();
    let mut other = plant();
    assert!(matches!(site::add(&store, SITE, &other, NOW), Err(SiteFault::Exists(_))));
    assert!(matches!(site::add(&store, "plant-8", &other, NOW), Err(SiteFault::IssuerTaken { .. })));
    other.issuer = "https://gate.plant-8.example".into();
    assert!(matches!(site::add(&store, "plant-8", &other, NOW), Err(SiteFault::AudienceTaken { .. })));
    other.audiences[0].name = "saw".into();
    site::add(&store, "plant-8", &other, NOW).unwrap();
    let names: BTreeSet<_> = store.directory().unwrap().sites().map(|site| site.name.clone()).collect();
    assert_eq!(names, ["plant-7".to_owned(), "plant-8".to_owned()].into());
}

#[test]
fn a_recipient_line_of_another_site_is_refused() {
    let (_folder, store) = store();
    site::add(&store, SITE, &plant(), NOW).unwrap();
    let other = farside_crossing::RecipientSecret::from_seed(&[1; 32]).public("plant-8").unwrap();
    assert!(matches!(site::read_recipient("plant-7", &other.to_string()), Err(SiteFault::Recipient(_))));
    assert!(matches!(site::read_recipient("plant-7", "garbage"), Err(SiteFault::Recipient(_))));
}

#[test]
fn changed_terms_leave_no_order_without_its_audience() {
    let (_folder, store) = store();
    site::add(&store, SITE, &plant(), NOW).unwrap();
    store
        .write(|transaction| {
            transaction
                .execute_batch(
                    "INSERT INTO subject (name, kind, client_id) VALUES ('ada', 'person', 'ada');
                     INSERT INTO standing_order (site, subject, audience, lifetime_seconds, profile, claim,
                         created_at) VALUES ('plant-7', 'ada', 'press', 900, 'access', '\"file\"', 1)",
                )
                .map_err(farside_mint::store::StoreFault::from)
        })
        .unwrap();
    let mut terms = plant();
    terms.audiences[0].name = "saw".into();
    let refused = site::set(&store, SITE, &terms, NOW);
    assert!(matches!(refused, Err(SiteFault::Ordered { .. })), "{refused:?}");
    terms.audiences.push(plant().audiences[0].clone());
    site::set(&store, SITE, &terms, NOW).unwrap();
    let directory = store.directory().unwrap();
    assert_eq!(directory.site_of_audience("saw").map(|site| site.name.as_str()), Some(SITE));
    assert!(matches!(site::set(&store, "plant-8", &terms, NOW), Err(SiteFault::Unknown(_))));
    assert!(matches!(site::switch(&store, "plant-8", true), Err(SiteFault::Unknown(_))));
}
