//! Reads directory files. CSV has a header of `kind,name` and any of
//! `display,roles,groups,enabled,client_id`, lists separated by `;`. JSON is an array of objects with the
//! same members, lists as arrays, and `jwk` for a client's key.

use std::collections::BTreeSet;
use std::path::Path;

use farside_service::durable;
use serde::Deserialize;

use super::{ENTRIES_MAX, Entry, What};
use crate::store::Kind;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Why a file cannot be read as a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// It cannot be read at all.
    #[error("{0}")]
    Read(#[from] durable::Failed),
    /// It is not CSV with these columns.
    #[error("line {line}: {reason}")]
    Csv {
        /// Where.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// It is not JSON of that shape.
    #[error("line {line}, column {column}: {reason}")]
    Json {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// No such kind of entry.
    #[error("entry {0}: its kind must be person, bot, agent or group")]
    Kind(usize),
    /// A client's key is unusable.
    #[error("entry {line}: {fault}")]
    Key {
        /// Which entry.
        line: usize,
        /// Why not.
        fault: crate::client::ClientFault,
    },
    /// More than anybody has.
    #[error("the file holds more than {ENTRIES_MAX} entries")]
    Many,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvRow {
    kind: String,
    name: String,
    #[serde(default)]
    display: String,
    #[serde(default)]
    roles: String,
    #[serde(default)]
    groups: String,
    #[serde(default)]
    enabled: String,
    #[serde(default)]
    client_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    kind: String,
    name: String,
    #[serde(default)]
    display: String,
    #[serde(default)]
    roles: BTreeSet<String>,
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default = "yes")]
    enabled: bool,
    client_id: Option<String>,
    jwk: Option<Box<serde_json::value::RawValue>>,
}

fn yes() -> bool {
    true
}

/// Reads a CSV file.
pub fn read_csv(path: &Path) -> Result<Vec<Entry>, FileFault> {
    let bytes = durable::read_limited(path, FILE_BYTES_MAX)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
    let fault = |error: csv::Error| FileFault::Csv {
        line: error.position().map_or(0, csv::Position::line),
        reason: csv_reason(&error),
    };
    let headers = reader.headers().map_err(fault)?.clone();
    let mut entries = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(fault)? {
        let line = record.position().map_or(0, csv::Position::line);
        let row: CsvRow = record.deserialize(Some(&headers)).map_err(fault)?;
        let place = usize::try_from(line).unwrap_or(usize::MAX);
        let enabled = match row.enabled.as_str() {
            "" | "true" | "yes" | "1" => true,
            "false" | "no" | "0" => false,
            _ => return Err(FileFault::Csv { line, reason: "`enabled` must be yes or no".into() }),
        };
        let row = JsonRow {
            kind: row.kind,
            name: row.name,
            display: row.display,
            roles: split(&row.roles),
            groups: split(&row.groups),
            enabled,
            client_id: Some(row.client_id).filter(|id| !id.is_empty()),
            jwk: None,
        };
        entries.push(entry(place, row)?);
        if entries.len() > ENTRIES_MAX {
            return Err(FileFault::Many);
        }
    }
    Ok(entries)
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> Result<Vec<Entry>, FileFault> {
    let bytes = durable::read_limited(path, FILE_BYTES_MAX)?;
    let rows: Vec<JsonRow> = serde_json::from_slice(&bytes).map_err(|error| FileFault::Json {
        line: error.line(),
        column: error.column(),
        reason:
            "the JSON does not fit: an array of objects with kind, name, display, roles, groups, enabled, \
                 client_id and jwk"
                .into(),
    })?;
    if rows.len() > ENTRIES_MAX {
        return Err(FileFault::Many);
    }
    rows.into_iter().enumerate().map(|(index, row)| entry(index + 1, row)).collect()
}

fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} columns and the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".into(),
        csv::ErrorKind::Deserialize { err, .. } => match err.kind() {
            csv::DeserializeErrorKind::Message(message) => message.clone(),
            _ => "a column does not fit".into(),
        },
        _ => "it cannot be read".into(),
    }
}

fn split(list: &str) -> BTreeSet<String> {
    list.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn entry(line: usize, row: JsonRow) -> Result<Entry, FileFault> {
    let jwks = row.jwk.map(|jwk| crate::client::jwks_of(jwk.get())).transpose();
    let jwks = jwks.map_err(|fault| FileFault::Key { line, fault })?;
    let what = if row.kind == "group" {
        What::Group
    } else {
        What::Subject {
            kind: Kind::from_name(&row.kind).ok_or(FileFault::Kind(line))?,
            display: row.display,
            groups: row.groups,
            client_id: row.client_id,
            jwks,
        }
    };
    Ok(Entry { line, name: row.name, what, roles: row.roles, enabled: row.enabled })
}
