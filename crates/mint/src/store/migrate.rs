//! Brings the mint's database from any earlier schema to this program's, one numbered step at a time, each in
//! one transaction. A step once applied is remembered with its checksum: a database made by a newer program,
//! or by one whose steps read differently, is refused rather than guessed at.

use farside_service::digest;
use rusqlite::{Connection, TransactionBehavior};

use super::StoreFault;

/// The steps in order; a step that has been released is never edited, only followed by another.
const STEPS: [Step; 14] = [
    Step { name: "directory", sql: include_str!("schema/001_directory.sql") },
    Step { name: "crossing", sql: include_str!("schema/002_crossing.sql") },
    Step { name: "freshness", sql: include_str!("schema/003_freshness.sql") },
    Step { name: "breakglass", sql: include_str!("schema/004_breakglass.sql") },
    Step { name: "rotation", sql: include_str!("schema/005_rotation.sql") },
    Step { name: "bound orders", sql: include_str!("schema/006_bound_orders.sql") },
    Step { name: "revocation", sql: include_str!("schema/007_revocation.sql") },
    Step { name: "receipts", sql: include_str!("schema/008_receipts.sql") },
    Step { name: "status claim", sql: include_str!("schema/009_status_claim.sql") },
    Step { name: "clock mark", sql: include_str!("schema/010_clock_mark.sql") },
    Step { name: "cedar", sql: include_str!("schema/011_cedar.sql") },
    Step { name: "single use", sql: include_str!("schema/012_single_use.sql") },
    Step { name: "holder bound", sql: include_str!("schema/013_holder_bound.sql") },
    Step { name: "changes", sql: include_str!("schema/014_changes.sql") },
];

struct Step {
    name: &'static str,
    sql: &'static str,
}

/// Applies the steps that `connection` has not seen and checks those that it has.
pub(super) fn run(connection: &mut Connection, now: u64) -> Result<(), StoreFault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (
             version INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL,
             applied_at INTEGER NOT NULL
         ) STRICT",
    )?;
    let applied = applied(&transaction)?;
    if applied.len() > STEPS.len() {
        return Err(StoreFault::Newer { held: applied.len(), known: STEPS.len() });
    }
    for (index, step) in STEPS.iter().enumerate() {
        let checksum = digest::hex(&digest::sha256(step.sql.as_bytes()));
        match applied.get(index) {
            Some(held) if *held == checksum => {}
            Some(_) => return Err(StoreFault::Altered { step: step.name }),
            None => {
                transaction.execute_batch(step.sql)?;
                transaction.execute(
                    "INSERT INTO migration (version, name, sha256, applied_at) VALUES (?1, ?2, ?3, ?4)",
                    (index as i64 + 1, step.name, checksum, now as i64),
                )?;
            }
        }
    }
    Ok(transaction.commit()?)
}

fn applied(connection: &Connection) -> Result<Vec<String>, StoreFault> {
    let mut statement = connection.prepare("SELECT sha256 FROM migration ORDER BY version")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_once_and_then_finds_nothing_to_do() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, 1).unwrap();
        run(&mut connection, 2).unwrap();
        let first: i64 =
            connection.query_row("SELECT max(applied_at) FROM migration", [], |r| r.get(0)).unwrap();
        assert_eq!(first, 1);
    }

    #[test]
    fn refuses_a_database_whose_steps_read_differently() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, 1).unwrap();
        connection.execute("UPDATE migration SET sha256 = 'x' WHERE version = 1", []).unwrap();
        assert!(matches!(run(&mut connection, 2), Err(StoreFault::Altered { step: "directory" })));
    }

    #[test]
    fn refuses_a_database_made_by_a_newer_program() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, 1).unwrap();
        connection.execute("INSERT INTO migration VALUES (99, 'later', 'x', 1)", []).unwrap();
        let newer = run(&mut connection, 2);
        assert!(matches!(newer, Err(StoreFault::Newer { held, known }) if held == known + 1));
    }
}
