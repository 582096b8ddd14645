//! Journal lines as events of the Open Cybersecurity Schema Framework, version 1.3.0: one JSON object each.
//! What has no place in a class stands under `unmapped`, as it stands in the journal.

use farside_service::time;
use serde_json::{Map, Value, json};

use crate::lines::Line;

/// The version of the schema.
const SCHEMA_VERSION: &str = "1.3.0";
/// Members that stand elsewhere in the event.
const TOLD: [&str; 6] = ["n", "batch", "at", "event", "prev", "hash"];

/// Class and activity.
#[derive(Clone, Copy)]
struct Kind {
    class: u64,
    activity: u64,
}

/// Base Event: what is of no other class.
const BASE: Kind = Kind { class: 0, activity: 99 };
/// File System Activity.
const FILE: u64 = 1001;
/// Authentication.
const AUTHENTICATION: u64 = 3002;
/// Entity Management.
const ENTITY: u64 = 3004;
/// Application Lifecycle.
const LIFECYCLE: u64 = 6002;

/// The event that a line tells of.
pub(crate) fn event(line: &Line<'_>) -> Value {
    let kind = kind(line.text_of("event"));
    let program = line.journal.split('-').next().unwrap_or_default();
    let at = line.text_of("at");
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    put("class_uid", json!(kind.class));
    put("category_uid", json!(kind.class / 1000));
    put("activity_id", json!(kind.activity));
    put("type_uid", json!(kind.class * 100 + kind.activity));
    put("time", json!(time::parse_rfc3339(at).unwrap_or_default() * 1000));
    let failed = failed(line);
    put("severity_id", json!(if failed { 2 } else { 1 }));
    put("status_id", json!(if failed { 2 } else { 1 }));
    put(
        "metadata",
        json!({"version": SCHEMA_VERSION, "original_time": at, "event_code": line.text_of("event"),
               "log_name": line.journal, "sequence": line.number(), "uid": line.text_of("hash"),
               "product": {"name": format!("farside-{program}"), "vendor_name": "Farside"}}),
    );
    if let Some(reason) =
        ["code", "reason"].iter().map(|name| line.text_of(name)).find(|text| !text.is_empty())
    {
        put("status_detail", json!(reason));
    }
    for (name, value) in of_class(kind, line, program) {
        put(name, value);
    }
    put("unmapped", unmapped(line));
    Value::Object(event)
}

fn kind(event: &str) -> Kind {
    let kind = |class, activity| Kind { class, activity };
    match event {
        // Logon.
        "decision" | "pickup" => kind(AUTHENTICATION, 1),
        "started" => kind(LIFECYCLE, 3),
        "stopped" => kind(LIFECYCLE, 4),
        // Create, Read, Delete.
        "bundle_packed" | "bundle_made" | "sent" | "received" => kind(FILE, 1),
        "bundle_accepted" | "bundle_applied" | "bundle_refused" | "bundle_superseded" => kind(FILE, 2),
        "not_sent" | "not_received" => kind(FILE, 99),
        "forgotten" => kind(FILE, 4),
        "realm_founded" | "gate_made" | "subject_added" | "group_added" | "site_added" | "token_key_made" => {
            kind(ENTITY, 1)
        }
        "order_removed" | "revoked" => kind(ENTITY, 4),
        "issuing" | "token_refused" | "bundle_not_made" | "crossing_ended" => BASE,
        // Whatever else people decide at the command line changes something.
        _ => kind(ENTITY, 3),
    }
}

fn failed(line: &Line<'_>) -> bool {
    let refused = line.text_of("verdict") == "refuse";
    let event = line.text_of("event");
    refused
        || matches!(
            event,
            "bundle_refused" | "bundle_not_made" | "token_refused" | "not_sent" | "not_received"
        )
}

/// What the class demands.
fn of_class(kind: Kind, line: &Line<'_>, program: &str) -> Vec<(&'static str, Value)> {
    let actor = || json!({"user": {"name": unless_empty(line.text_of("by"), "unknown")}});
    match kind.class {
        AUTHENTICATION => vec![
            ("user", json!({"name": unless_empty(line.text_of("sub"), "unknown")})),
            ("service", json!({"name": unless_empty(line.text_of("door"), "pickup")})),
            ("is_remote", json!(true)),
        ],
        LIFECYCLE => {
            vec![("app", json!({"name": format!("farside-{program}"), "vendor_name": "Farside"}))]
        }
        ENTITY => {
            vec![("actor", actor()), ("entity", json!({"name": entity(line), "type": line.text_of("event")}))]
        }
        FILE => vec![
            ("actor", actor()),
            ("device", json!({"name": format!("farside-{program}"), "type_id": 0})),
            ("file", file(line)),
        ],
        _ => vec![("message", json!(line.text_of("event")))],
    }
}

/// Whatever was decided upon.
fn entity(line: &Line<'_>) -> String {
    let names = ["subject", "group", "site", "kid", "what", "realm", "document", "order"];
    let named = names.iter().find_map(|name| line.members.get(*name));
    named.map_or_else(
        || "unknown".to_owned(),
        |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn file(line: &Line<'_>) -> Value {
    let inner = line.members.get("file");
    let name = inner.and_then(|file| file.as_str().or_else(|| file.get("name")?.as_str()));
    let digest = inner.and_then(|file| file.get("sha256")?.as_str()).unwrap_or(line.text_of("file_sha256"));
    let bundle = || format!("bundle {}", line.members.get("seq").unwrap_or(&Value::Null));
    // Type 1: a regular file; algorithm 3: SHA-256.
    let mut file = json!({"name": name.map_or_else(bundle, str::to_owned), "type_id": 1});
    if !digest.is_empty() {
        file["hashes"] = json!([{"algorithm_id": 3, "value": digest}]);
    }
    file
}

fn unmapped(line: &Line<'_>) -> Value {
    let own = line.members.iter().filter(|(name, _)| !TOLD.contains(&name.as_str()));
    Value::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn unless_empty<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
