//! Whoever loses something in the directory loses the tokens that may still say it, in the same transaction.

use rusqlite::Connection;

use crate::store::{Store, StoreFault, signed};

/// What every enabled subject holds: that it is enabled, its roles, its groups. Names hold no spaces.
const HOLDINGS: &str = "
    SELECT name AS subject, 'enabled' AS what FROM subject WHERE enabled
    UNION SELECT r.subject, 'role ' || r.role FROM subject_role r JOIN subject s ON s.name = r.subject
           WHERE s.enabled
    UNION SELECT m.subject, 'role ' || r.role FROM team_member m
            JOIN subject s ON s.name = m.subject JOIN team t ON t.name = m.team
            JOIN team_role r ON r.team = m.team WHERE s.enabled AND t.enabled
    UNION SELECT m.subject, 'group ' || m.team FROM team_member m
            JOIN subject s ON s.name = m.subject JOIN team t ON t.name = m.team
           WHERE s.enabled AND t.enabled";

/// Who lost something, and up to which moment what they held is revoked.
#[must_use]
pub struct Losses {
    /// Their names.
    pub who: Vec<String>,
    until: u64,
}

/// Changes the directory inside a transaction of the caller's. Whoever is disabled by it, or holds a role or
/// a group less, has what was issued until now revoked at every site. Giving it back later takes no
/// revocation back.
///
/// The clock is asked once the change is made: until the commit, tokens are issued by the picture before it.
pub fn with_losses<T, E: From<StoreFault>>(
    transaction: &Connection,
    by: &str,
    clock: impl Fn() -> u64,
    change: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<(T, Losses), E> {
    let sql = |fault: rusqlite::Error| E::from(StoreFault::from(fault));
    let begin = format!("DROP TABLE IF EXISTS temp.held_before; CREATE TEMP TABLE held_before AS {HOLDINGS}");
    transaction.execute_batch(&begin).map_err(sql)?;
    let changed = change(transaction)?;
    let until = clock();
    let who = revoke_losers(transaction, by, until).map_err(sql)?;
    Ok((changed, Losses { who, until }))
}

impl Losses {
    /// Revokes up to the moment after the commit, where that took until another second: nothing is issued by
    /// the picture before it any more.
    pub fn committed(self, store: &Store, by: &str, clock: impl Fn() -> u64) -> Result<(), StoreFault> {
        let now = clock();
        if self.who.is_empty() || now <= self.until {
            return Ok(());
        }
        let who = serde_json::Value::from(self.who).to_string();
        store.write(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO revocation (site, kind, what, before, reason, by, at)
                 SELECT site, kind, what, ?1, reason, by, at FROM revocation
                  WHERE kind = 'subject' AND before = ?2 AND by = ?3 AND cause = ''
                    AND what IN (SELECT value FROM json_each(?4))",
                (signed(now), signed(self.until), by, who),
            )?;
            Ok(())
        })
    }
}

fn revoke_losers(connection: &Connection, by: &str, now: u64) -> Result<Vec<String>, rusqlite::Error> {
    let losers = format!(
        "SELECT DISTINCT subject
         FROM (SELECT subject, what FROM temp.held_before EXCEPT SELECT * FROM ({HOLDINGS}))"
    );
    connection.execute(
        &format!(
            "INSERT OR IGNORE INTO revocation (site, kind, what, before, reason, by, at)
             SELECT s.name, 'subject', l.subject, ?1,
                    CASE WHEN p.enabled THEN 'lost a role or a group' ELSE 'disabled in the directory' END,
                    ?2, ?1
             FROM ({losers}) l JOIN subject p ON p.name = l.subject CROSS JOIN site s"
        ),
        (signed(now), by),
    )?;
    let mut statement = connection.prepare(&format!("{losers} ORDER BY subject"))?;
    let names = statement.query_map([], |row| row.get(0))?.collect();
    drop(statement);
    connection.execute_batch("DROP TABLE temp.held_before")?;
    names
}
