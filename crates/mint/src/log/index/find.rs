//! Looking records up: the index says which and where, the log says what.

use std::ops::{Range, RangeInclusive};

use farside_service::append::{Place, Segments};
use farside_verify::leaf::TokenPosition;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _};

use super::{Index, IndexFault, key_of};
use crate::log::{Entry, Record};
use crate::store::{signed, unsigned};

/// How often a look is repeated where the log changes under it.
const TRIES_MAX: usize = 3;

/// What is looked for: everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The token's id: its position.
    pub token_id: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// Who asked, as the record has it.
    pub requester: Option<String>,
    /// Written at or after this moment, Unix seconds.
    pub since: Option<u64>,
    /// Written before this moment, Unix seconds.
    pub until: Option<u64>,
}

/// Whose tokens are meant.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Everybody's.
    Anybody,
    /// A subject's.
    Subject(&'a str),
    /// Those that a key has signed.
    Key(&'a str),
}

/// A record that was found, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place in the write-ahead file, from 0.
    pub number: u64,
    /// What stands there.
    pub record: Record,
}

impl Query {
    /// Whether nothing is asked: then every record is meant.
    pub fn is_empty(&self) -> bool {
        *self == Query::default()
    }

    fn matches(&self, record: &Record) -> bool {
        let (subject, requester) = match &record.entry {
            Entry::Token(token) => (Some(&token.subject), Some(&token.requester)),
            Entry::Redacted(_) | Entry::Void { .. } => (None, None),
        };
        let named = |wanted: &Option<String>, found| wanted.is_none() || wanted.as_ref() == found;
        named(&self.subject, subject)
            && named(&self.requester, requester)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }

    /// The clause and its values; `None` where nothing can match.
    fn clause(&self, connection: &Connection) -> Result<Option<(String, Vec<Value>)>, IndexFault> {
        let (mut clauses, mut values) = (Vec::new(), Vec::new());
        let mut demand = |clause, value: i64| {
            clauses.push(clause);
            values.push(Value::Integer(value));
        };
        if let Some(id) = &self.token_id {
            let Ok(position) = id.parse::<TokenPosition>() else { return Ok(None) };
            let id = "SELECT id FROM shard WHERE name = ?1";
            let shard = connection.query_row(id, [position.shard()], |row| row.get(0)).optional()?;
            let Some(shard) = shard else { return Ok(None) };
            demand("shard = ?", shard);
            demand("position = ?", signed(position.index()));
        }
        self.subject.iter().for_each(|subject| demand("subject = ?", key_of(subject)));
        self.requester.iter().for_each(|requester| demand("requester = ?", key_of(requester)));
        self.since.iter().for_each(|since| demand("at >= ?", signed(*since)));
        self.until.iter().for_each(|until| demand("at < ?", signed(*until)));
        let clause = if clauses.is_empty() { "1".to_owned() } else { clauses.join(" AND ") };
        Ok(Some((clause, values)))
    }
}

impl Index {
    /// The newest `limit` records that are asked for, newest first.
    pub fn find(&self, query: &Query, limit: u64) -> Result<Vec<Found>, IndexFault> {
        for _ in 0..TRIES_MAX {
            self.catch_up()?;
            let found = self.with(|connection| {
                // One picture of numbers and places, whatever is rewritten meanwhile.
                let transaction = connection.transaction()?;
                let rows = rows(&transaction, query, limit)?;
                rows.iter().map(|row| row.read(&self.log)).collect::<Result<Option<Vec<_>>, _>>()
            })?;
            if let Some(mut found) = found {
                found.retain(|found| query.matches(&found.record));
                return Ok(found);
            }
        }
        Err(IndexFault::Moving)
    }

    /// From the first position of a shard that was taken at or after `since` to one behind the last.
    pub fn live(&self, shard: &str, since: u64) -> Result<Range<u64>, IndexFault> {
        self.catch_up()?;
        self.with(|connection| {
            let sql = "SELECT coalesce(max(position) + 1, 0), min(iif(at >= ?2, position, NULL))
                       FROM leaf JOIN shard ON id = shard WHERE name = ?1";
            let bounds = (shard, signed(since));
            let (end, first) = connection.query_row(sql, bounds, |row| {
                Ok((unsigned(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(unsigned)))
            })?;
            Ok(first.unwrap_or(end)..end)
        })
    }

    /// The positions of a shard that were taken between two moments. The index knows subjects and keys by a
    /// hash of their names: in 2^64 of them one may answer for another.
    pub fn positions(
        &self,
        shard: &str,
        whose: Whose<'_>,
        at: RangeInclusive<u64>,
    ) -> Result<Vec<u64>, IndexFault> {
        let (subject, kid) = match whose {
            Whose::Anybody => (None, None),
            Whose::Subject(name) => (Some(key_of(name)), None),
            Whose::Key(kid) => (None, Some(key_of(kid))),
        };
        self.catch_up()?;
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position FROM leaf WHERE shard = (SELECT id FROM shard WHERE name = ?1)
                 AND at BETWEEN ?2 AND ?3 AND (?4 IS NULL OR subject = ?4) AND (?5 IS NULL OR kid = ?5)",
            )?;
            let bounds = (shard, signed(*at.start()), signed(*at.end()), subject, kid);
            let rows = statement.query_map(bounds, |row| Ok(unsigned(row.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The record at a token's position.
    pub fn show(&self, token_id: &str) -> Result<Option<Found>, IndexFault> {
        let query = Query { token_id: Some(token_id.to_owned()), ..Query::default() };
        Ok(self.find(&query, 1)?.pop())
    }

    /// All records that are asked for and name somebody.
    pub(in crate::log) fn find_named(&self, query: &Query) -> Result<Vec<Found>, IndexFault> {
        let mut found = self.find(query, i64::MAX as u64)?;
        found.retain(|found| matches!(found.record.entry, Entry::Token(_)));
        Ok(found)
    }
}

/// What the index knows of a record.
struct Row {
    number: u64,
    place: Place,
    shard: String,
    index: u64,
}

fn rows(connection: &Connection, query: &Query, limit: u64) -> Result<Vec<Row>, IndexFault> {
    let Some((clause, mut values)) = query.clause(connection)? else { return Ok(Vec::new()) };
    values.push(Value::Integer(signed(limit)));
    let sql = format!(
        "SELECT number, segment, offset, name, position FROM leaf JOIN shard ON id = shard
         WHERE {clause} ORDER BY at DESC, number DESC LIMIT ?"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        Ok(Row {
            number: unsigned(row.get(0)?),
            place: Place { segment: unsigned(row.get(1)?), offset: unsigned(row.get(2)?) },
            shard: row.get(3)?,
            index: unsigned(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Row {
    /// The record as the log has it; `None` where the log is not as the index has it.
    fn read(&self, log: &Segments) -> Result<Option<Found>, IndexFault> {
        let bytes = log.read_at(self.place)?;
        let record = bytes.and_then(|bytes| Record::parse(&bytes).ok());
        let record = record.filter(|found| found.shard == self.shard && found.index == self.index);
        Ok(record.map(|record| Found { number: self.number, record }))
    }
}
