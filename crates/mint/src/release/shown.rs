//! What a release document says, for the people who are to sign it. Nothing of it is believed.

use farside_crossing::Refusal;
use farside_crossing::note::Note;
use farside_service::cli::{printable, table};
use farside_service::time::rfc3339;
use serde_json::Value;

use super::untie;

/// Its first line, and what it says: a calendar as a table, everything else member by member. Of a sheaf, all
/// of that one after the other.
///
/// # Errors
/// It is no note.
pub fn shown(bytes: &[u8]) -> Result<String, Refusal> {
    let notes = untie(bytes)?.into_iter().map(shown_alone).collect::<Result<Vec<_>, _>>()?;
    Ok(match notes.len() {
        1 => notes.concat(),
        many => format!("{many} documents.\n\n{}", notes.join("\n\n")),
    })
}

fn shown_alone(bytes: &[u8]) -> Result<String, Refusal> {
    let note = Note::parse(bytes)?;
    let (first, json) = note.text().split_once('\n').unwrap_or((note.text(), ""));
    let document: Value = serde_json::from_str(json).unwrap_or(Value::Null);
    let mut lines = vec![printable(first).into_owned()];
    for (name, value) in document.as_object().into_iter().flatten() {
        match (name.as_str(), &value["keys"]) {
            ("jwks", Value::Array(keys)) => lines.push(calendar(keys)),
            ("realm" | "site" | "version", _) => {}
            ("issued_at", _) => lines.push(format!("  {name}: {}", instant(value))),
            _ => lines.push(format!("  {}: {}", printable(name), printable(&value.to_string()))),
        }
    }
    Ok(lines.join("\n"))
}

fn calendar(keys: &[Value]) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |key: &Value| {
        let instants = ["sign_from", "sign_until", "accept_until"].map(|name| instant(&key[name]));
        [word(&key["kid"]), word(&key["alg"]), word(&key["use"])].into_iter().chain(instants).collect()
    };
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    table(&["key", "algorithm", "use", "signs from", "until", "accepted until"], &rows)
}

fn instant(value: &Value) -> String {
    value.as_u64().map_or_else(|| printable(&value.to_string()).into_owned(), rfc3339)
}
