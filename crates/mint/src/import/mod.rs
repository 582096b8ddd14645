//! Fills the directory from a file of subjects and groups. The dry run is the real run, rolled back.

mod file;
mod groups;
mod switch;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use crate::names::{self, NameFault};
use crate::revocation;
use crate::store::{Kind, Store, StoreFault};

pub use file::{FileFault, read_csv, read_json};
pub use groups::{Listed, groups};
pub use switch::{Table, switch};

/// Most entries of one file.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Longest client id that is a bot's own name.
const CLIENT_ID_NAME_BYTES_MAX: usize = 24;

/// One line of a directory file: a subject or a group, as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in its file, from 1; 0 where it came from a command.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What it is.
    pub what: What,
    /// Exactly these roles.
    pub roles: BTreeSet<String>,
    /// Whether anything may be issued for it.
    pub enabled: bool,
}

/// What an entry describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A group: its roles are those of all its members.
    Group,
    /// A person, bot or agent.
    Subject {
        /// Which of them.
        kind: Kind,
        /// For people to read.
        display: String,
        /// Exactly these groups.
        groups: BTreeSet<String>,
        /// The client id; `None` keeps the one there is, or makes one.
        client_id: Option<String>,
        /// The client's public keys; `None` keeps those there are.
        jwks: Option<String>,
    },
}

/// What importing a file does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Names that are new.
    pub added: Vec<String>,
    /// Names that change, each with what changes.
    pub changed: Vec<Change>,
    /// Names for which nothing will be issued any more.
    pub disabled: Vec<String>,
    /// Subjects that hold less than before: what they were issued is revoked.
    pub revoked: Vec<String>,
    /// How many entries are already as the file says.
    pub unchanged: usize,
}

/// One name that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What changes, in words.
    pub what: Vec<String>,
}

/// Why a file was not imported; nothing of it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportFault {
    /// The file cannot be read as what its name says.
    #[error("{0}")]
    File(#[from] FileFault),
    /// A name cannot be used.
    #[error("line {line}: {fault}")]
    Name {
        /// Where.
        line: usize,
        /// Why not.
        fault: NameFault,
    },
    /// The same name twice: which of the two is meant?
    #[error("line {line}: {name} is named a second time")]
    Twice {
        /// Where.
        line: usize,
        /// Which name.
        name: String,
    },
    /// A group is neither in the file nor in the directory.
    #[error("line {line}: {name} is to be in group {group}, which does not exist")]
    NoGroup {
        /// Where.
        line: usize,
        /// Which subject.
        name: String,
        /// Which group.
        group: String,
    },
    /// A bot cannot become a person: its tokens would read differently.
    #[error("line {line}: {name} is a {held} and cannot become a {wanted}")]
    Kind {
        /// Where.
        line: usize,
        /// Which subject.
        name: String,
        /// What it is.
        held: &'static str,
        /// What the file says.
        wanted: &'static str,
    },
    /// Another subject has that client id.
    #[error("line {line}: the client id {client_id} is that of {holder}")]
    ClientId {
        /// Where.
        line: usize,
        /// The client id.
        client_id: String,
        /// Whose it is.
        holder: String,
    },
    /// A name that was to be new exists.
    #[error("there is a {0} already")]
    Exists(String),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for ImportFault {
    fn from(fault: rusqlite::Error) -> Self {
        Self::Store(fault.into())
    }
}

impl From<ImportFault> for farside_service::cli::Failure {
    fn from(fault: ImportFault) -> Self {
        match fault {
            ImportFault::Store(fault) => fault.into(),
            ImportFault::File(FileFault::Read(fault)) => fault.into(),
            fault => Self::refused(fault.to_string()).hint("nothing was changed"),
        }
    }
}

/// How far an import reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only the names in the file.
    Named,
    /// The file is the whole directory: whoever it does not name is disabled.
    Whole,
}

/// Whether to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Only say what would happen.
    Dry,
    /// Do it.
    Real,
}

/// Imports entries, all or none, and says what that changes. Whoever loses something by it loses what was
/// issued until it is committed, by `clock`; `by` is who does it.
pub fn import(
    store: &Store,
    entries: &[Entry],
    (reach, run): (Reach, Run),
    by: &str,
    clock: impl Fn() -> u64,
) -> Result<Plan, ImportFault> {
    let bring = |connection: &Connection| bring(connection, entries, reach).map_err(Stopped::Fault);
    let outcome = store.write(|transaction| {
        let (mut plan, losses) = revocation::with_losses(transaction, by, &clock, bring)?;
        plan.revoked.clone_from(&losses.who);
        // Rolling back is what makes the dry run and the real run one and the same code.
        if run == Run::Dry { Err(Stopped::Dry(plan)) } else { Ok((plan, losses)) }
    });
    match outcome {
        Ok((plan, losses)) => Ok(losses.committed(store, by, &clock).map(|()| plan)?),
        Err(Stopped::Dry(plan)) => Ok(plan),
        Err(Stopped::Fault(fault)) => Err(fault),
    }
}

/// Adds one subject or group that must be new.
pub fn add(store: &Store, entry: &Entry) -> Result<Plan, ImportFault> {
    store.write(|transaction| {
        let held = match entry.what {
            What::Group => read_group(transaction, &entry.name)?.is_some(),
            What::Subject { .. } => read_subject(transaction, &entry.name)?.is_some(),
        };
        if held {
            return Err(ImportFault::Exists(entry.name.clone()));
        }
        bring(transaction, std::slice::from_ref(entry), Reach::Named)
    })
}

enum Stopped {
    Dry(Plan),
    Fault(ImportFault),
}

impl From<StoreFault> for Stopped {
    fn from(fault: StoreFault) -> Self {
        Self::Fault(fault.into())
    }
}

fn bring(connection: &Connection, entries: &[Entry], reach: Reach) -> Result<Plan, ImportFault> {
    check(entries)?;
    let mut plan = Plan::default();
    // Groups first: whoever joins one must find it.
    let (groups, subjects): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| entry.what == What::Group);
    for entry in groups.into_iter().chain(subjects) {
        bring_one(connection, entry, &mut plan)?;
    }
    if reach == Reach::Whole {
        switch::disable_the_rest(connection, entries, &mut plan)?;
    }
    Ok(plan)
}

fn check(entries: &[Entry]) -> Result<(), ImportFault> {
    let mut seen = BTreeSet::new();
    for entry in entries {
        let name = |fault| ImportFault::Name { line: entry.line, fault };
        names::claim("name", &entry.name).map_err(name)?;
        for role in &entry.roles {
            names::claim("role", role).map_err(name)?;
        }
        if let What::Subject { groups, client_id, .. } = &entry.what {
            for group in groups {
                names::claim("group", group).map_err(name)?;
            }
            if let Some(client_id) = client_id {
                names::claim("client id", client_id).map_err(name)?;
            }
        }
        if !seen.insert((entry.what == What::Group, entry.name.as_str())) {
            return Err(ImportFault::Twice { line: entry.line, name: entry.name.clone() });
        }
    }
    Ok(())
}

fn bring_one(connection: &Connection, entry: &Entry, plan: &mut Plan) -> Result<(), ImportFault> {
    let held = match entry.what {
        What::Group => read_group(connection, &entry.name)?,
        What::Subject { .. } => read_subject(connection, &entry.name)?,
    };
    let wanted = Held::wanted(entry);
    match held {
        None => {
            insert(connection, entry)?;
            plan.added.push(entry.name.clone());
        }
        Some(held) => {
            refuse_other_kind(entry, &held)?;
            let what = held.differences(&wanted);
            if what.is_empty() {
                plan.unchanged += 1;
                return Ok(());
            }
            match held.enabled && !entry.enabled {
                true => plan.disabled.push(entry.name.clone()),
                false => plan.changed.push(Change { name: entry.name.clone(), what }),
            }
            update(connection, entry)?;
        }
    }
    set_roles(connection, entry)?;
    set_groups(connection, entry)
}

fn refuse_other_kind(entry: &Entry, held: &Held) -> Result<(), ImportFault> {
    match (&entry.what, held.kind) {
        (What::Subject { kind, .. }, Some(is)) if is != *kind => Err(ImportFault::Kind {
            line: entry.line,
            name: entry.name.clone(),
            held: is.as_str(),
            wanted: kind.as_str(),
        }),
        _ => Ok(()),
    }
}

/// A subject or group as the directory has it.
struct Held {
    kind: Option<Kind>,
    enabled: bool,
    members: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Held {
    fn wanted(entry: &Entry) -> Self {
        let mut members = BTreeMap::from([("roles", entry.roles.clone())]);
        let mut kind = None;
        if let What::Subject { kind: is, display, groups, client_id, jwks } = &entry.what {
            kind = Some(*is);
            members.insert("groups", groups.clone());
            members.insert("display", BTreeSet::from([display.clone()]));
            if let Some(client_id) = client_id {
                members.insert("client_id", BTreeSet::from([client_id.clone()]));
            }
            if let Some(jwks) = jwks {
                members.insert("jwks", BTreeSet::from([jwks.clone()]));
            }
        }
        Self { kind, enabled: entry.enabled, members }
    }

    fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.enabled != wanted.enabled {
            found.push(if wanted.enabled { "enabled".to_owned() } else { "disabled".to_owned() });
        }
        let none = BTreeSet::new();
        for (member, after) in &wanted.members {
            let before = self.members.get(member).unwrap_or(&none);
            if before == after {
                continue;
            }
            if matches!(*member, "roles" | "groups") {
                found.extend(after.difference(before).map(|name| format!("{member} +{name}")));
                found.extend(before.difference(after).map(|name| format!("{member} -{name}")));
            } else {
                found.push((*member).to_owned());
            }
        }
        found
    }
}

fn read_subject(connection: &Connection, name: &str) -> Result<Option<Held>, ImportFault> {
    let row = connection
        .prepare_cached("SELECT kind, enabled, display, client_id, jwks FROM subject WHERE name = ?1")?
        .query_row([name], |row| {
            let kind: String = row.get(0)?;
            let one = |text: Option<String>| text.into_iter().collect::<BTreeSet<_>>();
            let members = BTreeMap::from([
                ("display", one(row.get(2)?)),
                ("client_id", one(row.get(3)?)),
                ("jwks", one(row.get(4)?)),
            ]);
            Ok(Held { kind: Kind::from_name(&kind), enabled: row.get(1)?, members })
        })
        .optional()?;
    let Some(mut held) = row else { return Ok(None) };
    held.members
        .insert("roles", column(connection, "SELECT role FROM subject_role WHERE subject = ?1", name)?);
    held.members
        .insert("groups", column(connection, "SELECT team FROM team_member WHERE subject = ?1", name)?);
    Ok(Some(held))
}

fn read_group(connection: &Connection, name: &str) -> Result<Option<Held>, ImportFault> {
    let enabled: Option<bool> = connection
        .prepare_cached("SELECT enabled FROM team WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let Some(enabled) = enabled else { return Ok(None) };
    let roles = column(connection, "SELECT role FROM team_role WHERE team = ?1", name)?;
    Ok(Some(Held { kind: None, enabled, members: BTreeMap::from([("roles", roles)]) }))
}

fn column(connection: &Connection, sql: &str, name: &str) -> Result<BTreeSet<String>, ImportFault> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([name], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn insert(connection: &Connection, entry: &Entry) -> Result<(), ImportFault> {
    let What::Subject { kind, display, client_id, jwks, .. } = &entry.what else {
        connection
            .execute("INSERT INTO team (name, enabled) VALUES (?1, ?2)", (&entry.name, entry.enabled))?;
        return Ok(());
    };
    let client_id = match client_id {
        Some(given) => given.clone(),
        None => new_client_id(connection, &entry.name, *kind)?,
    };
    refuse_taken(connection, entry, &client_id)?;
    connection
        .prepare_cached(
            "INSERT INTO subject (name, kind, display, enabled, client_id, jwks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((&entry.name, kind.as_str(), display, entry.enabled, client_id, jwks))?;
    Ok(())
}

fn update(connection: &Connection, entry: &Entry) -> Result<(), ImportFault> {
    let What::Subject { display, client_id, jwks, .. } = &entry.what else {
        connection.execute("UPDATE team SET enabled = ?2 WHERE name = ?1", (&entry.name, entry.enabled))?;
        return Ok(());
    };
    if let Some(client_id) = client_id {
        refuse_taken(connection, entry, client_id)?;
    }
    connection
        .prepare_cached(
            "UPDATE subject SET display = ?2, enabled = ?3, client_id = coalesce(?4, client_id),
                 jwks = coalesce(?5, jwks) WHERE name = ?1",
        )?
        .execute((&entry.name, display, entry.enabled, client_id, jwks))?;
    Ok(())
}

fn refuse_taken(connection: &Connection, entry: &Entry, client_id: &str) -> Result<(), ImportFault> {
    let holder: Option<String> = connection
        .prepare_cached("SELECT name FROM subject WHERE client_id = ?1 AND name <> ?2")?
        .query_row((client_id, &entry.name), |row| row.get(0))
        .optional()?;
    match holder {
        None => Ok(()),
        Some(holder) => {
            Err(ImportFault::ClientId { line: entry.line, client_id: client_id.to_owned(), holder })
        }
    }
}

/// A program is called by its own name, where that is short; everybody else by the next free number, since
/// the client id rides in every token.
fn new_client_id(connection: &Connection, name: &str, kind: Kind) -> Result<String, ImportFault> {
    let free = |id: &str| -> Result<bool, ImportFault> {
        let taken: bool = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM subject WHERE client_id = ?1)")?
            .query_row([id], |row| row.get(0))?;
        Ok(!taken)
    };
    // RFC 6749 §2.3.1: a client id with a colon cannot be used with HTTP Basic.
    if kind != Kind::Person && name.len() <= CLIENT_ID_NAME_BYTES_MAX && !name.contains(':') && free(name)? {
        return Ok(name.to_owned());
    }
    let mut number: i64 = connection
        .prepare_cached("SELECT coalesce(max(rowid), 0) FROM subject")?
        .query_row([], |row| row.get(0))?;
    loop {
        number += 1;
        let id = format!("c{number}");
        if free(&id)? {
            return Ok(id);
        }
    }
}

fn set_roles(connection: &Connection, entry: &Entry) -> Result<(), ImportFault> {
    let (delete, insert) = match entry.what {
        What::Group => {
            ("DELETE FROM team_role WHERE team = ?1", "INSERT INTO team_role (team, role) VALUES (?1, ?2)")
        }
        What::Subject { .. } => (
            "DELETE FROM subject_role WHERE subject = ?1",
            "INSERT INTO subject_role (subject, role) VALUES (?1, ?2)",
        ),
    };
    connection.prepare_cached(delete)?.execute([&entry.name])?;
    for role in &entry.roles {
        connection.prepare_cached(insert)?.execute((&entry.name, role))?;
    }
    Ok(())
}

fn set_groups(connection: &Connection, entry: &Entry) -> Result<(), ImportFault> {
    let What::Subject { groups, .. } = &entry.what else { return Ok(()) };
    connection.prepare_cached("DELETE FROM team_member WHERE subject = ?1")?.execute([&entry.name])?;
    for group in groups {
        let joined = connection
            .prepare_cached(
                "INSERT INTO team_member (team, subject) SELECT name, ?2 FROM team WHERE name = ?1",
            )?
            .execute((group, &entry.name))?;
        if joined != 1 {
            let (name, group) = (entry.name.clone(), group.clone());
            return Err(ImportFault::NoGroup { line: entry.line, name, group });
        }
    }
    Ok(())
}
