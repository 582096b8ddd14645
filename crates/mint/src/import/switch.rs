//! Names disabled, or one enabled again.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{Entry, ImportFault, Plan, What};
use crate::revocation;
use crate::store::{Store, StoreFault};

/// Disables a subject or group, or enables it again; `None` where there is none. Answers whose tokens are
/// revoked by it; enabling again takes no revocation back.
pub fn switch(
    store: &Store,
    (table, name): (Table, &str),
    enabled: bool,
    by: &str,
    clock: impl Fn() -> u64,
) -> Result<Option<Vec<String>>, StoreFault> {
    let sql = match table {
        Table::Subjects => "UPDATE subject SET enabled = ?2 WHERE name = ?1",
        Table::Groups => "UPDATE team SET enabled = ?2 WHERE name = ?1",
    };
    let (changed, losses) = store.write(|transaction| {
        revocation::with_losses(transaction, by, &clock, |connection| {
            Ok::<_, StoreFault>(connection.execute(sql, (name, enabled))?)
        })
    })?;
    let revoked = losses.who.clone();
    losses.committed(store, by, &clock)?;
    Ok((changed > 0).then_some(revoked))
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Among people, bots and agents.
    Subjects,
    /// Among groups.
    Groups,
}

/// Disables whoever a file does not name.
pub(super) fn disable_the_rest(
    connection: &Connection,
    entries: &[Entry],
    plan: &mut Plan,
) -> Result<(), ImportFault> {
    for (table, groups) in [("subject", false), ("team", true)] {
        let of_table = entries.iter().filter(|entry| (entry.what == What::Group) == groups);
        let named: BTreeSet<&str> = of_table.map(|entry| entry.name.as_str()).collect();
        let mut statement =
            connection.prepare(&format!("SELECT name FROM {table} WHERE enabled ORDER BY name"))?;
        let enabled: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for name in enabled.into_iter().filter(|name| !named.contains(name.as_str())) {
            connection.execute(&format!("UPDATE {table} SET enabled = 0 WHERE name = ?1"), [&name])?;
            plan.disabled.push(name);
        }
    }
    Ok(())
}
