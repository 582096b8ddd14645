//! What has been revoked, ready to be asked: log positions, subjects, clients, groups, keys, and all up to a
//! moment. Built once from the status that crossed; asked for every token, in a time that does not grow with
//! what is revoked.

use std::borrow::Cow;
use std::collections::HashMap;

use farside_crossing::status::{Lists, RevokedName, TokenBits};
use farside_crossing::{Refusal, StatusDocument};
use farside_verify::Claims;
use farside_verify::leaf::TokenPosition;
use farside_verify::status_list::StatusList;

/// Deepest chain of actors that is looked at; the verifier refuses deeper nesting (token.md §5.2).
const ACTORS_MAX: usize = 32;

/// Every revocation this gate knows of.
#[derive(Debug, Default)]
pub struct Revocations {
    tokens: HashMap<String, Vec<TokenBits>>,
    subjects: HashMap<String, Entry>,
    clients: HashMap<String, Entry>,
    groups: HashMap<String, Entry>,
    keys: HashMap<String, Entry>,
    all: Option<Entry>,
}

/// One revocation: of what was issued up to a moment.
#[derive(Clone, Debug)]
struct Entry {
    before: u64,
    reason: String,
    by: String,
    at: u64,
}

/// How a token fell under a revocation, as a clause for the refusal.
pub type Reason = String;

/// Opens a list of one bit a token within a number of bytes.
pub(crate) fn decode(lst: &str, bytes_max: usize) -> Option<Vec<u8>> {
    StatusList::decode_within(1, lst, bytes_max).ok().map(StatusList::into_bytes)
}

impl Revocations {
    /// Reads a status that lists everything.
    ///
    /// # Errors
    /// A list of tokens does not decode.
    pub fn read(document: &StatusDocument) -> Result<Revocations, Refusal> {
        let lists = Lists::open(&document.tokens, decode)?;
        let tokens = lists.by_shard().into_iter().map(|(shard, bits)| (shard.to_owned(), bits)).collect();
        let keys = document.keys.iter().map(|key| (key.kid.clone(), Entry::new(u64::MAX, key)));
        Ok(Revocations {
            tokens,
            subjects: by_name(&document.subjects),
            clients: by_name(&document.clients),
            groups: by_name(&document.groups),
            keys: keys.collect(),
            all: document.all.as_ref().map(|all| Entry {
                before: all.before,
                reason: all.reason.clone(),
                by: all.by.clone(),
                at: all.at,
            }),
        })
    }

    /// Whether anything covers this token, which was verified before; and what.
    // bundle.md §7.7
    pub fn covering(&self, key_id: &str, claims: &Claims, position: &TokenPosition) -> Option<Reason> {
        if self.token(position) {
            return Some(format!("token {position}"));
        }
        let issued_at = claims.issued_at();
        let hit = |entry: &&Entry| issued_at.is_none_or(|issued_at| issued_at <= entry.before);
        let told = |what: &str, entry: &Entry| {
            format!("tokens {what} issued until {} are revoked: {}", entry.before, entry.told())
        };
        let named = |names: &HashMap<String, Entry>, name: &str, what: &str| {
            names.get(name).filter(hit).map(|entry| told(what, entry))
        };
        self.key(key_id)
            .or_else(|| self.all.as_ref().filter(hit).map(|entry| told("that were", entry)))
            .or_else(|| named(&self.subjects, claims.subject()?, "of this subject"))
            .or_else(|| named(&self.subjects, behind_spiffe_id(claims.subject()?)?, "of this subject"))
            .or_else(|| named(&self.clients, claims.client_id()?, "of this client"))
            .or_else(|| {
                let none = self.groups.is_empty();
                let mut groups = claims.groups().filter(|_| !none);
                groups.find_map(|group| named(&self.groups, &group, "of this group"))
            })
            .or_else(|| {
                let actors = actors(claims.actor()?);
                actors.iter().find_map(|actor| {
                    let subject = actor.sub.as_deref();
                    let client = actor.client_id.as_deref();
                    subject
                        .and_then(|sub| named(&self.subjects, sub, "of this actor"))
                        .or_else(|| named(&self.clients, client?, "of this actor"))
                })
            })
    }

    /// Whether this log position has been revoked.
    pub fn token(&self, position: &TokenPosition) -> bool {
        let lists = self.tokens.get(position.shard());
        lists.is_some_and(|lists| lists.iter().any(|bits| bits.get(position.index())))
    }

    /// Whether what was issued to this subject at that time is revoked: for a pass, which is no token of the
    /// mint's, so that what revokes all of the mint's does not touch it.
    pub fn subject(&self, subject: &str, issued_at: Option<u64>) -> Option<Reason> {
        let hit = |entry: &&Entry| issued_at.is_none_or(|issued_at| issued_at <= entry.before);
        let entry = self.subjects.get(subject).filter(hit)?;
        Some(format!("what this subject was issued until {} is revoked: {}", entry.before, entry.told()))
    }

    /// Whether every token of this key has been revoked.
    pub fn key(&self, key_id: &str) -> Option<Reason> {
        self.keys.get(key_id).map(|entry| format!("key {key_id} is revoked: {}", entry.told()))
    }

    /// How much is revoked.
    pub fn counts(&self) -> Counts {
        let lists = self.tokens.values().flatten();
        Counts {
            tokens: lists.map(TokenBits::ones).sum(),
            subjects: self.subjects.len(),
            clients: self.clients.len(),
            groups: self.groups.len(),
            keys: self.keys.len(),
            all_before: self.all.as_ref().map(|all| all.before),
        }
    }
}

/// The person or bot whose SPIFFE ID this is: `spiffe://<realm>/<kind>/<name>`, as JWT-SVIDs are issued.
/// Revocations name them by their name.
// token.md §8
fn behind_spiffe_id(id: &str) -> Option<&str> {
    id.strip_prefix("spiffe://")?.splitn(3, '/').nth(2)
}

fn by_name(entries: &[RevokedName]) -> HashMap<String, Entry> {
    let mut names = HashMap::with_capacity(entries.len());
    for entry in entries {
        let RevokedName { before, reason, by, at, .. } = entry.clone();
        names.insert(entry.name.clone(), Entry { before, reason, by, at });
    }
    names
}

/// Somebody who acts for a token's subject, and who stands behind them (RFC 8693 §4.1).
#[derive(serde::Deserialize)]
struct Actor {
    sub: Option<String>,
    client_id: Option<String>,
    act: Option<Box<Actor>>,
}

/// Every actor of a verified `act`, outermost first. The verifier has read it before: names are strings.
fn actors(json: &str) -> Vec<Actor> {
    let mut actors = Vec::new();
    let mut next = serde_json::from_str::<Box<Actor>>(json).ok();
    while let Some(mut actor) = next.take().filter(|_| actors.len() < ACTORS_MAX) {
        next = actor.act.take();
        actors.push(*actor);
    }
    actors
}

/// Who acts for a token's subject, the outermost first: by name, or by client where there is none.
pub(crate) fn actor_names(json: &str) -> Vec<Cow<'static, str>> {
    actors(json).into_iter().filter_map(|actor| actor.sub.or(actor.client_id)).map(Cow::Owned).collect()
}

/// How much is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Log positions.
    pub tokens: u64,
    /// Subjects.
    pub subjects: usize,
    /// Clients.
    pub clients: usize,
    /// Groups.
    pub groups: usize,
    /// Keys.
    pub keys: usize,
    /// Up to when everything is revoked, Unix seconds.
    pub all_before: Option<u64>,
}

impl Entry {
    fn new(before: u64, key: &farside_crossing::status::RevokedKey) -> Entry {
        Entry { before, reason: key.reason.clone(), by: key.by.clone(), at: key.at }
    }

    fn told(&self) -> String {
        let since = farside_service::time::rfc3339(self.at);
        format!("{} ({}, since {since})", self.reason, self.by)
    }
}
