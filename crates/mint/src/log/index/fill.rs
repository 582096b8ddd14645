//! The index follows the log: what is new is read from its files, and what has changed behind it is read
//! anew.

use std::collections::{BTreeSet, HashMap};

use farside_service::append::{self, Cursor, Group, Place, Segments};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::{Erasure, Index, IndexFault, key_of};
use crate::log::redact::RedactFault;
use crate::log::{Entry, Record, RedactedEntry, TokenEntry};
use crate::store::{signed, unsigned};

/// How often a redaction waits for another process that builds the index at the same time.
const ERASURE_TRIES_MAX: usize = 3;

impl Index {
    /// Reads what the log has that the index has not. Also while the log is written.
    pub fn catch_up(&self) -> Result<(), IndexFault> {
        let unswept = self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let erasure = follow(&transaction, &self.log)?;
            transaction.commit()?;
            Ok(erasure == Erasure::Unswept)
        })?;
        if unswept { self.sweep() } else { Ok(()) }
    }

    /// The first record that a start has to read: everything before it stands in the published tiles, whose
    /// sizes are given, and was written before `since`.
    pub fn replay_from(&self, published: &[(String, u64)], since: u64) -> Result<u64, IndexFault> {
        self.catch_up()?;
        self.with(|connection| {
            let mut from = cursor(connection)?.number();
            let recent = "SELECT min(number) FROM leaf WHERE at >= ?1";
            from = from.min(first(connection, recent, [signed(since)])?);
            let mut shards = connection.prepare("SELECT id, name FROM shard")?;
            let rows = shards.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
            let published = published.iter().map(|(name, size)| (name.as_str(), *size));
            let sizes: HashMap<&str, u64> = published.collect();
            for row in rows {
                let (id, name) = row?;
                let size = sizes.get(name.as_str()).copied().unwrap_or(0);
                let unpublished = "SELECT min(number) FROM leaf WHERE shard = ?1 AND position >= ?2";
                from = from.min(first(connection, unpublished, [id, signed(size)])?);
            }
            Ok(from)
        })
    }

    /// Rewrites these records in the log, by `group`, its writer, and forgets their names here; both or,
    /// after a crash in between, the index is built anew.
    pub(in crate::log) fn erase(
        &self,
        group: &Group,
        numbers: &BTreeSet<u64>,
        mut replace: impl FnMut(append::Record<'_>) -> Vec<u8>,
    ) -> Result<(), RedactFault> {
        for _ in 0..ERASURE_TRIES_MAX {
            self.mark_erasure()?;
            let mut connection = self.connection();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have built the index in between, from files as they still are.
            if erasure(&transaction)? != Erasure::Begun {
                continue;
            }
            self.log.remove_torn()?;
            let mut places = Vec::new();
            let placed = |place, number| places.push((place, number));
            self.log.rewrite(group, numbers, &mut replace, placed)?;
            replace_places(&transaction, &places)?;
            forget_names(&transaction, numbers)?;
            set_erasure(&transaction, Erasure::Unswept)?;
            follow_on(&transaction, &self.log)?;
            transaction.commit()?;
            drop(connection);
            return Ok(self.sweep()?);
        }
        Err(RedactFault::Index(IndexFault::Moving))
    }

    fn mark_erasure(&self) -> Result<(), IndexFault> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            follow(&transaction, &self.log)?;
            set_erasure(&transaction, Erasure::Begun)?;
            Ok(transaction.commit()?)
        })
    }

    /// Leaves nothing in free pages, nor in SQLite's write-ahead file, of what was deleted.
    fn sweep(&self) -> Result<(), IndexFault> {
        self.with(|connection| {
            connection.execute_batch("VACUUM")?;
            let empty = "PRAGMA wal_checkpoint(TRUNCATE)";
            let read_elsewhere: bool = connection.query_row(empty, [], |row| row.get(0))?;
            match read_elsewhere {
                true => Err(IndexFault::Moving),
                false => set_erasure(connection, Erasure::None),
            }
        })
    }
}

/// Reads what is new, after a redaction that did not come to its end everything.
fn follow(transaction: &Transaction<'_>, log: &Segments) -> Result<Erasure, IndexFault> {
    if erasure(transaction)? == Erasure::Begun {
        begin_anew(transaction)?;
    }
    follow_on(transaction, log)?;
    erasure(transaction)
}

fn follow_on(transaction: &Transaction<'_>, log: &Segments) -> Result<(), IndexFault> {
    let held = cursor(transaction)?;
    let cursor = match fill(transaction, log, held)? {
        Some(cursor) if cursor == held => return Ok(()),
        Some(cursor) => cursor,
        None => {
            tracing::info!("the log has changed behind its index, which is built anew");
            begin_anew(transaction)?;
            fill(transaction, log, Cursor::default())?.unwrap_or_default()
        }
    };
    transaction.execute("UPDATE state SET cursor = ?1", [cursor.to_bytes()])?;
    Ok(())
}

/// Forgets everything, so that the log is read from its beginning.
fn begin_anew(transaction: &Connection) -> Result<(), IndexFault> {
    transaction.execute_batch("DELETE FROM leaf; DELETE FROM shard")?;
    transaction.execute("UPDATE state SET cursor = ?1", [Cursor::default().to_bytes()])?;
    set_erasure(transaction, Erasure::Unswept)
}

fn fill(transaction: &Transaction<'_>, log: &Segments, cursor: Cursor) -> Result<Option<Cursor>, IndexFault> {
    let mut filling = Filling { transaction, shards: HashMap::new() };
    let mut fault = None;
    let next = log.follow(cursor, |place, record| {
        if fault.is_none() {
            fault = filling.add(place, record).err();
        }
    })?;
    fault.map_or(Ok(next), Err)
}

/// Adds records as they are read.
struct Filling<'t> {
    transaction: &'t Transaction<'t>,
    shards: HashMap<String, i64>,
}

impl Filling<'_> {
    fn add(&mut self, place: Place, bytes: append::Record<'_>) -> Result<(), IndexFault> {
        let number = bytes.number;
        let record = Record::parse(bytes.bytes).map_err(|fault| IndexFault::Record { number, fault })?;
        let shard = self.shard(&record.shard)?;
        let (subject, requester) = match &record.entry {
            Entry::Token(token) => (Some(key_of(&token.subject)), Some(key_of(&token.requester))),
            Entry::Redacted(_) | Entry::Void { .. } => (None, None),
        };
        let kid = match &record.entry {
            Entry::Token(TokenEntry { kid, .. }) | Entry::Redacted(RedactedEntry { kid, .. }) => {
                Some(key_of(kid))
            }
            Entry::Void { .. } => None,
        };
        self.transaction
            .prepare_cached(
                "INSERT INTO leaf (number, shard, position, at, segment, offset, subject, requester, kid)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(rusqlite::params![
                signed(number),
                shard,
                signed(record.index),
                signed(record.at),
                signed(place.segment),
                signed(place.offset),
                subject,
                requester,
                kid,
            ])?;
        Ok(())
    }

    fn shard(&mut self, name: &str) -> Result<i64, IndexFault> {
        if let Some(id) = self.shards.get(name) {
            return Ok(*id);
        }
        self.transaction.execute("INSERT OR IGNORE INTO shard (name) VALUES (?1)", [name])?;
        let id = "SELECT id FROM shard WHERE name = ?1";
        let id = self.transaction.query_row(id, [name], |row| row.get(0))?;
        self.shards.insert(name.to_owned(), id);
        Ok(id)
    }
}

fn replace_places(transaction: &Connection, places: &[(Place, u64)]) -> Result<(), IndexFault> {
    let mut statement = transaction.prepare("UPDATE leaf SET segment = ?2, offset = ?3 WHERE number = ?1")?;
    for (place, number) in places {
        statement.execute([signed(*number), signed(place.segment), signed(place.offset)])?;
    }
    Ok(())
}

fn forget_names(transaction: &Connection, numbers: &BTreeSet<u64>) -> Result<(), IndexFault> {
    let forget = "UPDATE leaf SET subject = NULL, requester = NULL WHERE number = ?1";
    let mut statement = transaction.prepare(forget)?;
    for number in numbers {
        statement.execute([signed(*number)])?;
    }
    Ok(())
}

fn cursor(connection: &Connection) -> Result<Cursor, IndexFault> {
    let bytes: Vec<u8> = connection.query_row("SELECT cursor FROM state", [], |row| row.get(0))?;
    Ok(Cursor::from_bytes(&bytes).unwrap_or_default())
}

fn erasure(connection: &Connection) -> Result<Erasure, IndexFault> {
    let held: i64 = connection.query_row("SELECT erasure FROM state", [], |row| row.get(0))?;
    Ok([Erasure::None, Erasure::Unswept]
        .into_iter()
        .find(|known| known.stored() == held)
        .unwrap_or(Erasure::Begun))
}

fn set_erasure(connection: &Connection, erasure: Erasure) -> Result<(), IndexFault> {
    connection.execute("UPDATE state SET erasure = ?1", [erasure.stored()])?;
    Ok(())
}

impl Erasure {
    fn stored(self) -> i64 {
        match self {
            Erasure::None => 0,
            Erasure::Begun => 1,
            Erasure::Unswept => 2,
        }
    }
}

/// A number from the index; past every record where there is none.
fn first<P: rusqlite::Params>(connection: &Connection, sql: &str, values: P) -> Result<u64, IndexFault> {
    let number: Option<Option<i64>> = connection.query_row(sql, values, |row| row.get(0)).optional()?;
    Ok(number.flatten().map_or(u64::MAX, unsigned))
}
