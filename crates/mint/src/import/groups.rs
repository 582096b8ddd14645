//! Groups as commands show them.

use serde::Serialize;

use super::ImportFault;
use super::column;
use crate::store::Store;

/// A group with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What its members hold.
    pub roles: Vec<String>,
    /// Who belongs to it.
    pub members: Vec<String>,
    /// Whether its roles count.
    pub enabled: bool,
}

/// Every group, by name.
pub fn groups(store: &Store) -> Result<Vec<Listed>, ImportFault> {
    store.read(|transaction| {
        let mut statement = transaction.prepare("SELECT name, enabled FROM team ORDER BY name")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let named: Vec<(String, bool)> = rows.collect::<Result<_, _>>()?;
        let listed = named.into_iter().map(|(name, enabled)| {
            let roles = column(transaction, "SELECT role FROM team_role WHERE team = ?1", &name)?;
            let members = column(transaction, "SELECT subject FROM team_member WHERE team = ?1", &name)?;
            Ok(Listed {
                roles: roles.into_iter().collect(),
                members: members.into_iter().collect(),
                name,
                enabled,
            })
        });
        listed.collect()
    })
}
