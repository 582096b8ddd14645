//! An independent, small model of what ought to be believed: which keys were made and released when, what was
//! revoked, what each bundle says, what each gate has applied. It reads no store of the product's and calls
//! none of its judges.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use farside_crossing::Kind;

use super::scenario::LEEWAY;

/// A token as its text says.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) id: String,
    pub(super) index: u64,
    pub(super) subject: String,
    pub(super) kid: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) floor: u64,
}

/// A key of a site's calendar.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) sign_from: u64,
    pub(super) sign_until: u64,
    pub(super) accept_until: u64,
}

/// What is revoked at a site.
#[derive(Debug, Clone, Default)]
pub(super) struct Revoked {
    pub(super) tokens: BTreeSet<String>,
    pub(super) subjects: BTreeMap<String, u64>,
    pub(super) keys: BTreeSet<String>,
    /// Subjects whose client or group was revoked: a pardon of the subject alone does not take that back.
    pub(super) clients: BTreeSet<String>,
    /// Everything issued up to then; 0: nothing.
    pub(super) all: u64,
}

impl Revoked {
    pub(super) fn covers(&self, token: &Token) -> bool {
        self.tokens.contains(&token.id)
            || token.iat <= self.all
            || self.keys.contains(&token.kid)
            || self.subjects.get(&token.subject).is_some_and(|before| token.iat <= *before)
    }
}

/// What a gate believes once it holds a bundle with content.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) seq: u64,
    pub(super) keys: Rc<BTreeSet<String>>,
    pub(super) revoked: Rc<Revoked>,
    /// Leaves of the site's shard that have crossed.
    pub(super) leaves: u64,
    /// Which online key signed it, counted from 0.
    pub(super) online: u64,
    /// The charter that came with it or was in force.
    pub(super) charter: u64,
}

/// A bundle.
#[derive(Debug, Clone)]
pub(super) struct Bundle {
    pub(super) seq: u64,
    pub(super) digest: String,
    pub(super) kind: Kind,
    pub(super) base: u64,
    pub(super) issued_at: u64,
    pub(super) next_by: u64,
    pub(super) not_after: u64,
    pub(super) content: Content,
}

/// What a gate must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    pub(super) seq: u64,
    pub(super) issued_at: u64,
    pub(super) next_by: u64,
    pub(super) not_after: u64,
    pub(super) floor: u64,
    pub(super) content: Content,
}

impl Gate {
    /// What becomes of a bundle, by the codes that say so; the first is what is likeliest.
    pub(super) fn foresees(&self, bundle: &Bundle, now: u64) -> Vec<&'static str> {
        let mut foreseen = self.foresees_if_read(bundle, now);
        // A new charter came with the base that this gate has missed: it knows none of who signed since.
        let builds = bundle.kind != Kind::Full && bundle.base != self.content.seq;
        if builds && bundle.content.charter > self.content.charter {
            foreseen.push("threshold_unmet");
            // Nor does it bring more charters than its base lacked: one between may be missing.
            foreseen.push("charter_broken");
        }
        foreseen
    }

    fn foresees_if_read(&self, bundle: &Bundle, now: u64) -> Vec<&'static str> {
        let clock = now.max(self.floor);
        // Signed by an online key that this gate's charter does not name, with no newer charter in front.
        let stranger = bundle.content.online < self.content.online
            || (bundle.kind == Kind::Beacon && bundle.content.online != self.content.online);
        // An older charter is read before anything else: what brings one is refused before its number counts.
        let outdated = bundle.kind != Kind::Beacon && bundle.content.charter < self.content.charter;
        if stranger || outdated {
            return match (outdated, bundle.seq <= self.seq) {
                (true, _) => vec!["superseded", "component_rollback", "threshold_unmet"],
                // What an earlier charter of the gate's vouches for is old, and known to be.
                (false, true) => vec!["superseded", "threshold_unmet"],
                (false, false) => vec!["threshold_unmet"],
            };
        }
        if bundle.seq == self.seq {
            return vec!["already"];
        }
        if bundle.seq < self.seq {
            return vec!["superseded"];
        }
        if clock > bundle.not_after {
            return vec!["expired"];
        }
        if bundle.issued_at > clock + LEEWAY {
            return vec!["not_yet_issued"];
        }
        if bundle.kind != Kind::Full && bundle.base != self.content.seq {
            return vec!["gap"];
        }
        vec!["applied"]
    }

    /// The bundle was applied.
    pub(super) fn apply(&mut self, bundle: &Bundle) {
        self.seq = bundle.seq;
        self.issued_at = bundle.issued_at;
        self.next_by = bundle.next_by;
        self.not_after = bundle.not_after;
        self.floor = self.floor.max(bundle.issued_at);
        if bundle.kind != Kind::Beacon {
            self.content = Content { seq: bundle.seq, ..bundle.content.clone() };
        }
    }

    /// `fresh`, `late`, `expired` or `untrusted`.
    pub(super) fn freshness(&self, now: u64) -> &'static str {
        match () {
            () if self.seq == 0 => "untrusted",
            () if now > self.not_after => "expired",
            () if now > self.next_by => "late",
            () => "fresh",
        }
    }

    /// Every reason to refuse the token at the gate's time `now`, as its code; none: it must be admitted.
    pub(super) fn against(&self, token: &Token, key: &Key, leaf: Leaf, now: u64) -> Vec<&'static str> {
        let held = &self.content;
        let outside = token.iat + LEEWAY < key.sign_from || token.iat > key.sign_until.saturating_add(LEEWAY);
        [
            (self.floor > now + LEEWAY, "clock_fault"),
            (self.seq == 0 || held.seq == 0 || now > self.not_after, "stale"),
            (!held.keys.contains(&token.kid), "key_unknown"),
            (now > key.accept_until || outside, "key_retired"),
            (token.exp + LEEWAY <= now, "expired"),
            (token.iat > now + LEEWAY, "issued_in_future"),
            (token.floor > self.seq, "floor_ahead"),
            (held.revoked.covers(token), "revoked"),
            (leaf == Leaf::Demanded && token.index >= held.leaves, "not_logged"),
        ]
        .into_iter()
        .filter_map(|(applies, code)| applies.then_some(code))
        .collect()
    }
}

/// Whether the audience demands proof of logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Demanded,
    Free,
}

/// A site as the near side sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Site {
    pub(super) keys: Vec<Key>,
    /// The keys of each released document, from version 1.
    pub(super) documents: Vec<Rc<BTreeSet<String>>>,
    pub(super) first_released_at: u64,
    pub(super) revoked: Rc<Revoked>,
    pub(super) bundles: BTreeMap<u64, Bundle>,
    /// When the first bundle with each document was made or receipted: what its keys wait for.
    pub(super) crossed_at: BTreeMap<usize, u64>,
}

impl Site {
    pub(super) fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    pub(super) fn version(&self) -> usize {
        self.documents.len()
    }

    /// From when the mint may sign with the key: at once with those of the first document; with others once
    /// a bundle that carried them was receipted, or is older than the courier interval.
    pub(super) fn usable_from(&self, kid: &str) -> Option<u64> {
        let lists = |version: usize| self.documents[version - 1].contains(kid);
        if !self.documents.is_empty() && lists(1) {
            return Some(self.first_released_at);
        }
        self.crossed_at.iter().filter(|(version, _)| lists(**version)).map(|(_, at)| *at).min()
    }

    pub(super) fn may_sign(&self, key: &Key, now: u64) -> bool {
        !self.revoked.keys.contains(&key.kid)
            && (key.sign_from..key.sign_until).contains(&now)
            && self.usable_from(&key.kid).is_some_and(|from| from <= now)
    }

    pub(super) fn anyone_may_sign(&self, now: u64) -> bool {
        self.keys.iter().any(|key| self.may_sign(key, now))
    }

    /// A bundle with that document came, or may be trusted to have come, at that instant.
    pub(super) fn crosses(&mut self, version: usize, at: u64) {
        let held = self.crossed_at.entry(version).or_insert(at);
        *held = at.min(*held);
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.bundles.last_key_value().map_or(0, |(seq, _)| *seq)
    }
}
