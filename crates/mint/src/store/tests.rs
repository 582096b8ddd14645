//! A picture that follows change by change is the one that is read whole, whatever was changed and by whom.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;

use super::directory::{Directory, Purpose, Site};
use super::{connect, migrate};

/// What the picture is made of: each of these tables has its three triggers.
const FOLLOWED: [&str; 14] = [
    "audience",
    "bundle",
    "destruction",
    "release_document",
    "release_key",
    "revocation",
    "site",
    "standing_order",
    "subject",
    "subject_role",
    "team",
    "team_member",
    "team_role",
    "token_key",
];

/// What no picture shows, or what never changes.
const NOT_FOLLOWED: [&str; 8] = [
    "bundle_leaves",
    "change",
    "charter",
    "clock_mark",
    "key_in_use",
    "migration",
    "realm",
    "receipt_refused",
];

/// Changes to every table that is followed; `{a}` and `{b}` are small numbers.
const CHANGES: [&str; 46] = [
    "INSERT INTO subject (name, kind, client_id) VALUES ('s{a}', 'bot', 'c{b}')",
    "INSERT OR REPLACE INTO subject (name, kind, client_id) VALUES ('s{a}', 'bot', 'c{b}')",
    "UPDATE subject SET client_id = 'c{b}' WHERE name = 's{a}'",
    "UPDATE subject SET enabled = 1 - enabled WHERE name = 's{a}'",
    "UPDATE subject SET name = 's{b}' WHERE name = 's{a}'",
    "UPDATE subject SET client_id = client_id || '''' || name",
    "DELETE FROM subject WHERE name = 's{a}'",
    "INSERT INTO subject_role VALUES ('s{a}', 'r{b}')",
    "UPDATE subject_role SET subject = 's{b}' WHERE subject = 's{a}'",
    "DELETE FROM subject_role WHERE subject = 's{a}'",
    "INSERT INTO team (name) VALUES ('t{a}')",
    "UPDATE team SET enabled = 1 - enabled WHERE name = 't{a}'",
    "DELETE FROM team WHERE name = 't{a}'",
    "INSERT INTO team_role VALUES ('t{a}', 'r{b}')",
    "UPDATE team_role SET team = 't{b}' WHERE team = 't{a}'",
    "DELETE FROM team_role WHERE team = 't{a}'",
    "INSERT INTO team_member VALUES ('t{a}', 's{b}')",
    "UPDATE team_member SET subject = 's{b}' WHERE subject = 's{a}'",
    "DELETE FROM team_member WHERE team = 't{a}' AND subject = 's{b}'",
    "INSERT INTO site VALUES ('p{a}', 'i{b}', 'ES256', 9, 9, 999, 9, 9, 9, NULL, '[]', 0, NULL, 1, 0, 9, 0, NULL)",
    "UPDATE site SET courier_seconds = courier_seconds + {b} + 1 WHERE name = 'p{a}'",
    "DELETE FROM site WHERE name = 'p{a}'",
    "INSERT INTO audience (name, site, logged) VALUES ('a{a}', 'p{b}', 'no')",
    "UPDATE audience SET site = 'p{b}' WHERE name = 'a{a}'",
    "DELETE FROM audience WHERE name = 'a{a}'",
    "INSERT INTO token_key VALUES ('k{a}', 'p{b}', 'ES256', 'sig', '', 'keys/{a}.key', {a}, 9, 9, {b})",
    "UPDATE token_key SET site = 'p{b}' WHERE kid = 'k{a}'",
    "DELETE FROM token_key WHERE kid = 'k{a}'",
    "INSERT INTO release_document VALUES ('p{a}', 'keys', {b} + 1, x'', {b})",
    "UPDATE release_document SET adopted_at = {b} WHERE site = 'p{a}'",
    "DELETE FROM release_document WHERE site = 'p{a}' AND version = {b} + 1",
    "INSERT INTO release_key SELECT site, {b} + 1, kid FROM token_key WHERE kid = 'k{a}'",
    "UPDATE release_key SET version = {b} + 1 WHERE kid = 'k{a}'",
    "DELETE FROM release_key WHERE kid = 'k{a}'",
    "INSERT INTO bundle (site, seq, kind, digest, file_sha256, file_bytes, file, issued_at, not_after, next_by,
         charter_version, keys_version, policy_version)
     VALUES ('p{a}', {b} + 1, 'full', printf('%064d', 0), printf('%064d', 0), 1, '', {b}, 9, 9, 1, {b} + 1, 1)",
    "UPDATE bundle SET receipted_at = {b} WHERE site = 'p{a}'",
    "DELETE FROM bundle WHERE site = 'p{a}' AND seq = {b} + 1",
    "INSERT OR IGNORE INTO revocation (site, kind, what, before, reason, by, at)
     VALUES ('p{a}', 'key', 'k{b}', 0, '', '', 0)",
    "UPDATE revocation SET pardoned_at = 1 WHERE what = 'k{b}'",
    "DELETE FROM revocation WHERE what = 'k{b}'",
    "INSERT INTO destruction VALUES ('keys/{a}.key', 'token', '', '', 0, {b})",
    "UPDATE destruction SET done_at = {b} WHERE path = 'keys/{a}.key'",
    "INSERT INTO standing_order (site, subject, audience, lifetime_seconds, profile, claim, created_at)
     VALUES ('p{a}', 's{b}', 'a{a}', 9, 'access', '', 0)",
    "DELETE FROM destruction WHERE path = 'keys/{a}.key'",
    "DELETE FROM standing_order WHERE site = 'p{a}'",
    "UPDATE standing_order SET site = 'p{b}' WHERE site = 'p{a}'",
];

fn spelled(change: &str, a: u8, b: u8) -> String {
    change.replace("{a}", &a.to_string()).replace("{b}", &b.to_string())
}

/// A realm that has something of everything, and some of it is free to go.
fn filled() -> (tempfile::TempDir, Connection) {
    let (folder, connection) = database();
    for change in CHANGES.iter().filter(|change| change.starts_with("INSERT")) {
        for n in 0..3 {
            connection.execute(&spelled(change, n, n), []).unwrap();
        }
        let table = change.trim_start_matches("INSERT INTO ").split(' ').next().unwrap();
        let more: &[(u8, u8)] = match table {
            "subject" | "site" => &[(3, 3)],
            "audience" => &[(3, 2)],
            // Roles that come in one way alone.
            "subject_role" => &[(0, 4)],
            "team_role" => &[(0, 5)],
            "token_key" => &[(3, 2), (4, 2)],
            // A key that came later than the site's first, so that its way there counts.
            "release_document" | "bundle" => &[(2, 3)],
            "release_key" => &[(3, 1), (3, 3)],
            _ => &[],
        };
        for (a, b) in more {
            connection.execute(&spelled(change, *a, *b), []).unwrap();
        }
    }
    (folder, connection)
}

fn database() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mint.db");
    std::fs::write(&path, b"").unwrap();
    let mut connection = connect(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    // The disk is of no account here.
    connection.pragma_update(None, "synchronous", "off").unwrap();
    migrate::run(&mut connection, 0).unwrap();
    connection.execute("INSERT INTO realm VALUES (1, 'acme', 0)", []).unwrap();
    (folder, connection)
}

/// The picture is the same as one that is read whole, by everything that can be asked of it.
fn agrees(followed: &Directory, connection: &Connection, after: &str) {
    let whole = Directory::read_whole(connection).unwrap();
    assert_eq!(followed.realm(), whole.realm());
    assert_eq!(followed.subjects(), whole.subjects(), "{after}");
    assert!(followed.sites().eq(whole.sites()), "{after}");
    assert_eq!(followed.orders(), whole.orders(), "{after}");
    for site in whole.sites() {
        assert_eq!(followed.orders_of(&site.name), whole.orders_of(&site.name), "{after}");
    }
    for n in 0..6 {
        let (client, audience) = (format!("c{n}"), format!("a{n}"));
        assert_eq!(followed.client(&client), whole.client(&client), "{after}");
        assert_eq!(followed.site_of_audience(&audience), whole.site_of_audience(&audience), "{after}");
    }
}

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn follow(before: &Directory, connection: &Connection) -> Directory {
    Directory::read(connection, 0, Some(before)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_picture_that_follows_is_the_one_that_is_read_whole(
        changes in proptest::collection::vec((0..CHANGES.len(), 0..6u8, 0..6u8), 1..60),
    ) {
        let (_folder, connection) = filled();
        let first = Directory::read(&connection, 0, None).unwrap();
        let mut picture = first.clone();
        for (which, a, b) in changes {
            let change = spelled(CHANGES[which], a, b);
            // Many break what the tables demand of each other, and change nothing.
            let _ = connection.execute(&change, []);
            picture = follow(&picture, &connection);
            agrees(&picture, &connection, &change);
        }
        agrees(&follow(&first, &connection), &connection, "all of them at once");
    }
}

/// Tries a change, and takes it back.
fn tried<T>(connection: &Connection, change: &str, look: impl FnOnce(usize) -> T) -> T {
    connection.execute_batch("SAVEPOINT before").unwrap();
    let seen = look(connection.execute(change, []).unwrap_or(0));
    connection.execute_batch("ROLLBACK TO before; RELEASE before").unwrap();
    seen
}

fn ways(change: &str) -> impl Iterator<Item = String> + '_ {
    (0..36).map(|n| spelled(change, n / 6, n % 6))
}

#[test]
fn every_change_of_the_test_above_can_happen() {
    let (_folder, connection) = filled();
    for change in CHANGES {
        assert!(ways(change).any(|way| tried(&connection, &way, |rows| rows > 0)), "{change}");
    }
}

/// So each of them is missed, where it is missing, by the test above.
#[test]
fn no_trigger_is_there_for_nothing() {
    let (_folder, connection) = filled();
    let before = Directory::read(&connection, 0, None).unwrap();
    let shown = |directory: &Directory| {
        let sites: Vec<Site> = directory.sites().cloned().collect();
        format!("{:?} {sites:?} {:?}", directory.subjects(), directory.orders())
    };
    let differs =
        |_| shown(&follow(&before, &connection)) != shown(&Directory::read_whole(&connection).unwrap());
    let triggers =
        names(&connection, "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name <> 'changed'");
    let missed = |trigger: &String| {
        let table = trigger.rsplit_once('_').unwrap().0;
        tried(&connection, &format!("DROP TRIGGER {trigger}"), |_| {
            let of_table = CHANGES.iter().filter(|change| change.contains(table));
            of_table.flat_map(|change| ways(change)).any(|way| tried(&connection, &way, differs))
        })
    };
    let idle: Vec<&String> = triggers.iter().filter(|trigger| !missed(trigger)).collect();
    // These two are for hands that do without foreign keys.
    assert_eq!(idle, ["team_i", "team_d"]);
}

#[test]
fn whoever_adds_a_table_says_whether_pictures_follow_it() {
    let (_folder, connection) = database();
    let tables = names(
        &connection,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    );
    let mut known: Vec<&str> = FOLLOWED.into_iter().chain(NOT_FOLLOWED).collect();
    known.sort_unstable();
    let mut tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    tables.sort_unstable();
    assert_eq!(tables, known);
    let triggers = names(
        &connection,
        "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND tbl_name <> 'changed'",
    );
    let mut counted = BTreeMap::new();
    triggers.iter().for_each(|table| *counted.entry(table.as_str()).or_insert(0) += 1);
    assert_eq!(counted, FOLLOWED.into_iter().map(|table| (table, 3)).collect());
}

#[test]
fn of_two_keys_of_one_second_the_one_made_last_signs() {
    for kids in [["aaaa", "bbbb"], ["bbbb", "aaaa"]] {
        let (_folder, connection) = filled();
        for kid in kids {
            let key = format!(
                "INSERT INTO token_key VALUES ('{kid}', 'p0', 'ES256', 'sig', '', 'keys/{kid}.key', 5, 9, 9, 5);
                 INSERT INTO release_key VALUES ('p0', 1, '{kid}')"
            );
            connection.execute_batch(&key).unwrap();
        }
        let directory = Directory::read(&connection, 0, None).unwrap();
        let signing = directory.site("p0").and_then(|site| site.signing_key(Purpose::Sig, 6));
        assert_eq!(signing.map(|key| key.kid.as_str()), Some(kids[1]));
    }
}

#[test]
fn more_changes_than_are_worth_following_and_numbers_that_went_back_are_read_whole() {
    let (_folder, connection) = database();
    let before = Directory::read(&connection, 0, None).unwrap();
    connection
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10100)
             INSERT INTO subject (name, kind, client_id) SELECT 'x' || i, 'bot', 'x' || i FROM n",
        )
        .unwrap();
    let many = follow(&before, &connection);
    assert_eq!(many.subjects().len(), 10_100);
    agrees(&many, &connection, "many");
    connection.execute_batch("DELETE FROM change; UPDATE subject SET enabled = 0 WHERE name = 'x7'").unwrap();
    agrees(&follow(&many, &connection), &connection, "numbers that went back");
}
