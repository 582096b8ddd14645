//! What is revoked, by whom, and how it crosses: every kind, the token itself in any spelling, what the
//! directory takes away, deltas, and what covers nothing any more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod ground;

use farside_crossing::breakglass::LIFETIME_SECONDS_MAX;
use farside_crossing::status::{self, COVERED_SLACK_SECONDS, Horizon, RevokedName};
use farside_crossing::{Kind, StatusDocument, bundle};
use farside_mint::ceremony;
use farside_mint::import::{self, Entry, Reach, Run, Table, What as Named};
use farside_mint::release::{self, Document, Pardoned};
use farside_mint::revocation::{self, Order, RevocationFault, State, What};
use farside_mint::store::{Kind as Who, StoreFault};
use farside_verify::status_list::StatusList;
use ground::{Desk, NOW, Realm, SITE, realm, revocation as order};

const DAY: u64 = 86_400;

/// Ada and grace of the crew, and a bot of its own.
fn peopled() -> Realm {
    let realm = realm();
    let change = "INSERT INTO team (name) VALUES ('crew');
        INSERT INTO team_role (team, role) VALUES ('crew', 'operator');
        INSERT INTO subject (name, kind, client_id)
            VALUES ('ada', 'person', 'c1'), ('grace', 'person', 'c2'), ('lander', 'bot', 'lander');
        INSERT INTO team_member (team, subject) VALUES ('crew', 'ada'), ('crew', 'grace');";
    realm.store.write(|transaction| transaction.execute_batch(change).map_err(StoreFault::from)).unwrap();
    realm
}

fn revoke(realm: &Realm, what: What, now: u64) -> revocation::Revoked {
    revocation::revoke(&realm.store, &order(what), now).unwrap()
}

fn subject(name: &str) -> What {
    What::Subject(name.to_owned())
}

fn token(id: &str) -> What {
    What::Token { position: id.parse().unwrap(), expires_at: Some(NOW + 900) }
}

/// The status of the next bundle.
fn carried(realm: &Realm, kind: Kind, now: u64) -> StatusDocument {
    let made = realm.make(kind, now, &Desk::default()).unwrap();
    let bytes = std::fs::read(made.path).unwrap();
    let opened = bundle::open(&bytes, &ceremony::newest(&realm.store).unwrap(), SITE).unwrap();
    opened.status().unwrap().clone()
}

fn names(entries: &[RevokedName]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn decode(lst: &str, bytes_max: usize) -> Option<Vec<u8>> {
    StatusList::decode_within(1, lst, bytes_max).ok().map(StatusList::into_bytes)
}

#[test]
fn every_kind_crosses_with_its_reason_and_who() {
    let realm = peopled();
    revoke(&realm, token(&format!("{SITE}-1")), NOW);
    revoke(&realm, subject("ada"), NOW);
    let client = revoke(&realm, What::Client("lander".into()), NOW);
    assert_eq!((client.subjects, client.new), (vec!["lander".to_owned()], 2));
    let group = revoke(&realm, What::Group("crew".into()), NOW + 1);
    assert_eq!(group.subjects, ["ada", "grace"], "tokens that name no group are hit by their subject");
    revocation::revoke(&realm.store, &Order { before: Some(NOW - 60), ..order(What::All) }, NOW).unwrap();
    let status = carried(&realm, Kind::Full, NOW + 2);
    assert_eq!(names(&status.subjects), ["ada", "grace", "lander"]);
    assert_eq!(status.subjects[0].before, NOW + 1, "the furthest one counts");
    assert_eq!((names(&status.clients), names(&status.groups)), (vec!["lander"], vec!["crew"]));
    assert_eq!((status.tokens.len(), status.all.unwrap().before), (1, NOW - 60));
    let told: Vec<_> =
        status.subjects.iter().map(|entry| (entry.by.as_str(), entry.reason.as_str())).collect();
    assert_eq!(told, [("uid 7", "left"); 3]);
    let listed = revocation::list(&realm.store, Some(SITE), NOW + 2).unwrap();
    assert!(listed.iter().all(|row| row.by == "uid 7" && row.state == State::InForce), "{listed:?}");
    assert_eq!(listed.iter().filter(|row| row.cause == "group:crew").count(), 2);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let realm = peopled();
    let refused = |order: Order| revocation::revoke(&realm.store, &order, NOW).unwrap_err();
    assert!(matches!(refused(order(subject("nobody"))), RevocationFault::NoSubject(_)));
    assert!(matches!(refused(order(What::Client("c9".into()))), RevocationFault::NoClient(_)));
    assert!(matches!(refused(order(What::Group("navy".into()))), RevocationFault::NoGroup(_)));
    assert!(matches!(refused(order(What::Key("AAAAAAAA".into()))), RevocationFault::NoKey(_)));
    assert!(matches!(refused(order(token("harbour-1"))), RevocationFault::NoShard(_)));
    let later = Order { before: Some(NOW + 1), ..order(subject("ada")) };
    assert!(matches!(refused(later), RevocationFault::Future));
    let there = Order { site: Some("harbour".into()), ..order(What::All) };
    assert!(matches!(refused(there), RevocationFault::NoSite(_)));
    let silent = Order { reason: String::new(), ..order(subject("ada")) };
    assert!(matches!(refused(silent), RevocationFault::Reason(_)));
    assert!(revocation::list(&realm.store, None, NOW).unwrap().is_empty());
}

#[test]
fn whoever_is_disabled_loses_what_was_issued_and_enabling_gives_nothing_back() {
    let realm = peopled();
    let switch = |table, name, enabled, now| {
        import::switch(&realm.store, (table, name), enabled, "uid 7", || now).unwrap().unwrap()
    };
    assert_eq!(switch(Table::Subjects, "lander", false, NOW), ["lander"]);
    assert!(switch(Table::Subjects, "lander", true, NOW + 1).is_empty());
    let status = carried(&realm, Kind::Full, NOW + 1);
    assert_eq!((names(&status.subjects), status.subjects[0].before), (vec!["lander"], NOW));
    assert_eq!(
        (status.subjects[0].by.as_str(), status.subjects[0].reason.as_str()),
        ("uid 7", "disabled in the directory")
    );
    // A group's members lose the roles that it gave them.
    assert_eq!(switch(Table::Groups, "crew", false, NOW + 2), ["ada", "grace"]);
    assert!(switch(Table::Groups, "crew", true, NOW + 3).is_empty());
    assert_eq!(names(&carried(&realm, Kind::Full, NOW + 4).subjects), ["ada", "grace", "lander"]);
}

#[test]
fn what_was_issued_while_the_change_was_still_being_made_is_revoked_too() {
    let realm = peopled();
    // The change takes until NOW + 5, its commit until NOW + 8.
    let times = std::cell::RefCell::new([NOW + 5, NOW + 8].into_iter());
    let clock = || times.borrow_mut().next().unwrap();
    let lost = import::switch(&realm.store, (Table::Groups, "crew"), false, "uid 7", clock).unwrap();
    assert_eq!(lost.unwrap(), ["ada", "grace"]);
    let status = carried(&realm, Kind::Full, NOW + 9);
    let until: Vec<_> = status.subjects.iter().map(|entry| (entry.name.as_str(), entry.before)).collect();
    assert_eq!(until, [("ada", NOW + 8), ("grace", NOW + 8)]);
}

#[test]
fn an_import_revokes_whoever_holds_less_after_it_and_a_dry_run_nobody() {
    let realm = peopled();
    let person = |name: &str, groups: &[&str], enabled| Entry {
        line: 1,
        name: name.to_owned(),
        what: Named::Subject {
            kind: Who::Person,
            display: String::new(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            client_id: None,
            jwks: None,
        },
        roles: ["reader".to_owned()].into(),
        enabled,
    };
    let run = |entries: &[Entry], run, now| {
        let reach = if entries.len() > 2 { Reach::Whole } else { Reach::Named };
        import::import(&realm.store, entries, (reach, run), "uid 7", || now).unwrap().revoked
    };
    // Ada gains a role, grace leaves the crew.
    let entries = [person("ada", &["crew"], true), person("grace", &[], true)];
    assert_eq!(run(&entries, Run::Dry, NOW), ["grace"]);
    assert!(revocation::list(&realm.store, None, NOW).unwrap().is_empty());
    assert_eq!(run(&entries, Run::Real, NOW), ["grace"]);
    // The whole directory: the bot is not in it, nor the crew.
    let whole = [person("ada", &["crew"], true), person("grace", &[], false), person("edith", &[], true)];
    assert_eq!(run(&whole, Run::Real, NOW + 1), ["ada", "grace", "lander"]);
    let status = carried(&realm, Kind::Full, NOW + 2);
    assert_eq!(names(&status.subjects), ["ada", "grace", "lander"]);
}

#[test]
fn a_delta_carries_what_is_new_and_joins_to_the_full_list() {
    let realm = peopled();
    (0..50).for_each(|n| drop(revoke(&realm, token(&format!("{SITE}-{n}")), NOW)));
    revoke(&realm, subject("ada"), NOW);
    let base = carried(&realm, Kind::Full, NOW + 1);
    revoke(&realm, token(&format!("{SITE}-zz")), NOW + 2);
    revoke(&realm, subject("ada"), NOW + 2);
    revoke(&realm, subject("grace"), NOW + 2);
    let delta = carried(&realm, Kind::Delta, NOW + 3);
    assert_eq!((delta.since, names(&delta.subjects)), (Some(1), vec!["ada", "grace"]));
    let horizon = Horizon { issued_at: NOW + 3, lifetime_seconds_highest: DAY, key_ends: &|_| u64::MAX };
    let joined = status::apply_delta(&base, &delta, &horizon, decode).unwrap();
    let full = carried(&realm, Kind::Full, NOW + 3);
    let same = |joined: StatusDocument| StatusDocument { version: 3, issued_at: NOW + 3, ..joined };
    assert_eq!(same(joined), full);
    // What a pardon takes back shows in a full list alone.
    let pardoned = Pardoned { subjects: vec!["grace".into()], ..Pardoned::default() };
    realm.release_document(Document::Pardon(pardoned), NOW + 4);
    let after = carried(&realm, Kind::Delta, NOW + 5);
    assert_eq!((after.since, names(&after.subjects)), (None, vec!["ada"]));
    assert_eq!(carried(&realm, Kind::Delta, NOW + 6).since, Some(4));
}

#[test]
fn entries_stay_until_all_that_they_cover_has_expired_under_the_longest_lifetime_ever() {
    let realm = peopled();
    revoke(&realm, token(&format!("{SITE}-7")), NOW);
    revoke(&realm, subject("ada"), NOW);
    // The cap falls from a day to an hour: what was issued before lives on.
    let mut terms = ground::plant();
    terms.lifetime_seconds_max = 3_600;
    farside_mint::site::set(&realm.store, SITE, &terms, NOW).unwrap();
    let last = NOW + DAY + COVERED_SLACK_SECONDS;
    let listed = |now| {
        let status = carried(&realm, Kind::Full, now);
        (status.tokens.len(), status.subjects.len())
    };
    // A day's tokens go together.
    let day = (NOW + 900).div_ceil(DAY) * DAY + COVERED_SLACK_SECONDS;
    assert!(day < last);
    assert_eq!([day, day + 1, last, last + 1].map(listed), [(1, 1), (0, 1), (0, 1), (0, 0)]);
    let states: Vec<State> =
        revocation::list(&realm.store, None, last + 2 * DAY).unwrap().iter().map(|row| row.state).collect();
    assert_eq!(states, [State::Ended; 2], "they stay for the record");
}

#[test]
fn a_pardon_of_a_group_takes_along_whom_it_swept_along_and_keeps_the_record() {
    let realm = peopled();
    revoke(&realm, subject("grace"), NOW);
    revoke(&realm, What::Group("crew".into()), NOW + 1);
    revoke(&realm, What::All, NOW + 1);
    let pardoned = Pardoned { groups: vec!["crew".into()], all: true, ..Pardoned::default() };
    let draft = release::draft(&realm.store, SITE, &Document::Pardon(pardoned.clone()), NOW + 2).unwrap();
    release::sign_and_adopt(&realm.store, &draft, &[&realm.release], NOW + 3).unwrap();
    let status = carried(&realm, Kind::Full, NOW + 4);
    assert_eq!((names(&status.subjects), status.all), (vec!["grace"], None), "grace on her own account");
    let listed = revocation::list(&realm.store, None, NOW + 4).unwrap();
    let of = |state| listed.iter().filter(|row| row.state == state).count();
    assert_eq!((of(State::Pardoned), of(State::InForce)), (3, 2), "{listed:?}");
    assert!(listed.iter().filter_map(|row| row.pardoned_at).all(|at| at == NOW + 3));
    // Revoked again, it is pardoned no longer, and crosses again.
    revoke(&realm, What::All, NOW + 5);
    let again = Document::Pardon(Pardoned { subjects: vec!["grace".into()], ..Pardoned::default() });
    let draft = release::draft(&realm.store, SITE, &again, NOW + 6).unwrap();
    assert!(draft.text.contains("crew") && !draft.text.contains("\"all\":true"), "{}", draft.text);
}

#[test]
fn names_that_everything_covers_need_no_room_until_that_is_taken_back() {
    let realm = peopled();
    revoke(&realm, subject("ada"), NOW);
    revoke(&realm, What::Group("crew".into()), NOW + 1);
    let before = carried(&realm, Kind::Full, NOW + 2);
    assert_eq!((names(&before.subjects), names(&before.groups)), (vec!["ada", "grace"], vec!["crew"]));
    revoke(&realm, What::All, NOW + 3);
    // Passes live for an hour, and only a subject's entry ends them.
    let passes_end = NOW + 1 + LIFETIME_SECONDS_MAX + COVERED_SLACK_SECONDS;
    let young = carried(&realm, Kind::Full, passes_end);
    assert_eq!((names(&young.subjects), young.groups.len()), (vec!["ada", "grace"], 0));
    let short = carried(&realm, Kind::Full, passes_end + 1);
    assert_eq!((short.subjects.len(), short.groups.len()), (0, 0));
    assert_eq!(short.all.as_ref().map(|all| all.before), Some(NOW + 3));
    let gate = |issued_at| Horizon { issued_at, lifetime_seconds_highest: DAY, key_ends: &|_| u64::MAX };
    let judged = |old, new, at| status::judge_change(old, new, None, &gate(at), decode);
    judged(&before, &young, passes_end).unwrap();
    judged(&young, &short, passes_end + 1).unwrap();
    // Whoever is revoked after that moment has an entry of their own.
    revoke(&realm, subject("grace"), passes_end + 2);
    assert_eq!(names(&carried(&realm, Kind::Delta, passes_end + 3).subjects), ["grace"]);
    let pardoned = Pardoned { all: true, ..Pardoned::default() };
    realm.release_document(Document::Pardon(pardoned), passes_end + 4);
    let back = carried(&realm, Kind::Delta, passes_end + 5);
    assert_eq!((back.since, back.all), (None, None));
    assert_eq!((names(&back.subjects), names(&back.groups)), (vec!["ada", "grace"], vec!["crew"]));
}
