//! `mint person|bot|agent|group`: the directory, one name at a time.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use farside_service::cli::{Failure, operator, table};
use farside_service::time::now_unix;
use serde_json::{Value, json};

use super::{Program, joined, read_text};
use crate::client;
use crate::import::{self, Entry, Table, What};
use crate::store::{self, Kind, Store};

/// What every kind of subject can be told.
#[derive(Debug, Subcommand)]
pub enum Subject {
    /// Add one.
    Add(New),
    /// All of this kind.
    List,
    /// One of them.
    Show {
        /// The name.
        name: String,
    },
    /// Issue nothing more for one, and revoke what it was issued.
    Disable {
        /// The name.
        name: String,
    },
    /// Issue for one again; what was revoked stays so.
    Enable {
        /// The name.
        name: String,
    },
}

/// Programs and agents, which sign in at the token endpoint.
#[derive(Debug, Subcommand)]
pub enum Client {
    #[command(flatten)]
    Subject(Subject),
    /// Set the public key with which it signs in (`private_key_jwt`).
    Key {
        /// The name.
        name: String,
        /// A JWK or JWK Set of public keys; `-` for stdin.
        #[arg(long, value_name = "FILE")]
        jwk: PathBuf,
    },
    /// Make a new secret with which it signs in; it is shown this once.
    Secret {
        /// The name.
        name: String,
    },
}

/// Groups.
#[derive(Debug, Subcommand)]
pub enum Group {
    /// Add a group.
    Add {
        /// The name.
        name: String,
        /// A role that its members hold.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// All groups.
    List,
    /// Its roles and members.
    Show {
        /// The name.
        name: String,
    },
    /// Take its roles from its members, and revoke what they were issued.
    Disable {
        /// The name.
        name: String,
    },
    /// Give them back; what was revoked stays so.
    Enable {
        /// The name.
        name: String,
    },
}

/// A new subject.
#[derive(Debug, Args)]
pub struct New {
    /// The name, written as `sub`.
    name: String,
    /// A name for people to read.
    #[arg(long, default_value = "")]
    display: String,
    /// A role it holds.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A group it belongs to.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Its client id, where the one made up will not do.
    #[arg(long)]
    client_id: Option<String>,
    /// Its public key: a JWK or JWK Set.
    #[arg(long, value_name = "FILE")]
    jwk: Option<PathBuf>,
}

pub(super) fn run_subject(command: &Subject, kind: Kind, program: &Program) -> Result<(), Failure> {
    match command {
        Subject::Add(new) => add(new, kind, program),
        Subject::List => list(kind, program),
        Subject::Show { name } => show(name, kind, program),
        Subject::Disable { name } => switch(name, false, program),
        Subject::Enable { name } => switch(name, true, program),
    }
}

pub(super) fn run_client(command: &Client, kind: Kind, program: &Program) -> Result<(), Failure> {
    match command {
        Client::Subject(command) => run_subject(command, kind, program),
        Client::Key { name, jwk } => {
            let mint = program.mint()?;
            let jwks = client::jwks_of(&read_text(jwk)?)?;
            let diary = mint.diary()?;
            client::set_keys(&mint.store()?, name, &jwks)?;
            diary.record("client_key_set", json!({ "subject": name }))?;
            program.output.say(
                || format!("{name} now signs in with this key; any earlier one no longer counts."),
                &json!({ "name": name, "key": "set" }),
            )
        }
        Client::Secret { name } => {
            let mint = program.mint()?;
            let diary = mint.diary()?;
            let secret = client::new_secret(&mint.store()?, name)?;
            diary.record("client_secret_made", json!({ "subject": name }))?;
            program.output.say(|| secret.to_string(), &json!({ "name": name, "secret": *secret }))
        }
    }
}

fn add(new: &New, kind: Kind, program: &Program) -> Result<(), Failure> {
    let jwks =
        new.jwk.as_ref().map(|path| Ok::<_, Failure>(client::jwks_of(&read_text(path)?)?)).transpose()?;
    let entry = Entry {
        line: 0,
        name: new.name.clone(),
        what: What::Subject {
            kind,
            display: new.display.clone(),
            groups: new.groups.iter().cloned().collect(),
            client_id: new.client_id.clone(),
            jwks,
        },
        roles: new.roles.iter().cloned().collect(),
        enabled: true,
    };
    let mint = program.mint()?;
    let diary = mint.diary()?;
    let store = mint.store()?;
    import::add(&store, &entry)?;
    diary.record("subject_added", json!({ "subject": new.name, "kind": kind.as_str() }))?;
    say_one(&store, &new.name, program)
}

fn list(kind: Kind, program: &Program) -> Result<(), Failure> {
    let directory = program.mint()?.store()?.directory()?;
    let subjects = directory.subjects();
    let of_kind = || subjects.iter().copied().filter(|subject| subject.kind == kind);
    let value: Vec<Value> = of_kind().map(as_json).collect();
    program.output.say(|| as_table(of_kind()), &value)
}

fn show(name: &str, kind: Kind, program: &Program) -> Result<(), Failure> {
    let store = program.mint()?.store()?;
    match store.directory()?.subject(name) {
        Some(subject) if subject.kind == kind => say_one(&store, name, program),
        _ => Err(unknown(kind.as_str(), name)),
    }
}

fn say_one(store: &Store, name: &str, program: &Program) -> Result<(), Failure> {
    let directory = store.directory()?;
    let subject = directory.subject(name).ok_or_else(|| unknown("subject", name))?;
    program.output.say(|| as_table(std::iter::once(subject)), &as_json(subject))
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::refused(format!("there is no {what} {name}"))
}

fn switch(name: &str, enabled: bool, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    let directory = store.directory()?;
    let subject = directory.subject(name).ok_or_else(|| unknown("subject", name))?;
    let diary = mint.diary()?;
    let revoked = switched(&store, (Table::Subjects, name), enabled)?.unwrap_or_default();
    diary.record(
        if enabled { "subject_enabled" } else { "subject_disabled" },
        json!({ "subject": name, "revoked": revoked }),
    )?;
    let kind = subject.kind.as_str();
    program.output.say(
        || match enabled {
            true => format!("Tokens are issued for {kind} {name} again. What was revoked stays so."),
            false => format!(
                "Nothing more is issued for {kind} {name}, and what was issued is revoked: it takes effect with \
                 each site's next bundle, `mint bundle make`."
            ),
        },
        &json!({ "name": name, "enabled": enabled, "revoked": revoked }),
    )
}

fn switched(store: &Store, what: (Table, &str), enabled: bool) -> Result<Option<Vec<String>>, Failure> {
    Ok(import::switch(store, what, enabled, &operator(), now_unix)?)
}

pub(super) fn run_group(command: &Group, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    match command {
        Group::Add { name, roles } => {
            let roles = roles.iter().cloned().collect();
            let entry = Entry { line: 0, name: name.clone(), what: What::Group, roles, enabled: true };
            let diary = mint.diary()?;
            import::add(&store, &entry)?;
            diary.record("group_added", json!({ "group": name }))?;
            program.output.say(|| format!("Group {name} is added."), &json!({ "name": name }))
        }
        Group::List => {
            let groups = import::groups(&store)?;
            let rows = groups.iter().map(|group| {
                vec![
                    group.name.clone(),
                    joined(&group.roles),
                    group.members.len().to_string(),
                    state(group.enabled),
                ]
            });
            program
                .output
                .say(|| table(&["group", "roles", "members", "state"], &rows.collect::<Vec<_>>()), &groups)
        }
        Group::Show { name } => {
            let groups = import::groups(&store)?;
            let group =
                groups.iter().find(|group| group.name == *name).ok_or_else(|| unknown("group", name))?;
            let text = || {
                format!(
                    "Group {name}, {}\nroles: {}\nmembers: {}",
                    state(group.enabled),
                    joined(&group.roles),
                    joined(&group.members)
                )
            };
            program.output.say(text, group)
        }
        Group::Disable { name } => switch_group(&mint, &store, name, false, program),
        Group::Enable { name } => switch_group(&mint, &store, name, true, program),
    }
}

fn switch_group(
    mint: &crate::config::Mint,
    store: &Store,
    name: &str,
    enabled: bool,
    program: &Program,
) -> Result<(), Failure> {
    let diary = mint.diary()?;
    let revoked = switched(store, (Table::Groups, name), enabled)?.ok_or_else(|| unknown("group", name))?;
    diary.record(
        if enabled { "group_enabled" } else { "group_disabled" },
        json!({ "group": name, "revoked": revoked }),
    )?;
    let text = || match revoked.len() {
        0 => format!("Group {name} is {}.", state(enabled)),
        members => format!(
            "Group {name} is {}. What was issued for its {members} members is revoked with the next bundles.",
            state(enabled)
        ),
    };
    program.output.say(text, &json!({ "name": name, "enabled": enabled, "revoked": revoked }))
}

pub(super) fn as_json(subject: &store::Subject) -> Value {
    json!({
        "name": subject.name, "kind": subject.kind, "display": subject.display, "enabled": subject.enabled,
        "roles": subject.roles, "groups": subject.groups, "client_id": subject.client_id,
        "key": subject.auth.jwks.is_some(), "secret": subject.auth.secret_sha256.is_some(),
    })
}

pub(super) fn as_table<'a>(subjects: impl Iterator<Item = &'a store::Subject>) -> String {
    let rows: Vec<Vec<String>> = subjects
        .map(|subject| {
            let proofs = match (subject.auth.jwks.is_some(), subject.auth.secret_sha256.is_some()) {
                (true, true) => "key, secret",
                (true, false) => "key",
                (false, true) => "secret",
                (false, false) => "-",
            };
            vec![
                subject.name.clone(),
                subject.kind.as_str().to_owned(),
                joined(&subject.roles),
                joined(&subject.groups),
                subject.client_id.clone(),
                proofs.to_owned(),
                state(subject.enabled),
            ]
        })
        .collect();
    table(&["name", "kind", "roles", "groups", "client id", "signs in by", "state"], &rows)
}

fn state(enabled: bool) -> String {
    if enabled { "enabled".to_owned() } else { "disabled".to_owned() }
}
