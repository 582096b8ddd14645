//! Tokens that have been verified, so that a signature is checked once: at import where a token was carried,
//! or when it is first shown.
//!
//! ```text
//!   token ─▶ known by its SHA-256? ─ yes ─▶ still? ── what the clock decides ──▶ Verified ─▶ judge, whole
//!                    └───────────── no ──▶ verify ── keys, form, signature, all ──┘
//! ```
//!
//! Kept by a `Believer`, which is one text of keys and policy: other keys or another policy are another
//! believer, which knows nobody yet. So nothing stale can be found. Only what was verified gets in: a flood
//! of bad tokens neither fills it nor pushes anybody out. No token's text is kept, only its SHA-256.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farside_crossing::PolicyDocument;
use farside_service::digest::{SHA256_BYTES, Sha256, sha256};
use farside_verify::{Claims, Code, KeySet, Refusal, TOKEN_BYTES_MAX, Verified, Verifier};
use serde::Deserialize;

use crate::published::{self, PublishedKey};
use crate::trust::{TrustFault, demands, unreadable};

/// Verified tokens kept at most, where the configuration does not say.
const TOKENS_MAX_DEFAULT: usize = 100_000;

/// Memory they may take, where the configuration does not say.
const BYTES_MAX_DEFAULT: usize = 128 << 20;

/// What a token costs beside its claims and its signed text: the types, the places in two tables, and what
/// the allocator adds.
const OVERHEAD_BYTES: usize = 640;

/// How many are looked at to find one that is asked for seldom.
const LOOKED_AT_MAX: usize = 8;

/// `[cache]`: how many verified tokens are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheLimits {
    /// Tokens, 100,000 if not said; 0 keeps none, and every signature is checked each time.
    pub tokens_max: usize,
    /// Bytes of memory, 128 MiB if not said.
    pub bytes_max: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        CacheLimits { tokens_max: TOKENS_MAX_DEFAULT, bytes_max: BYTES_MAX_DEFAULT }
    }
}

impl CacheLimits {
    /// Keeps nothing.
    pub(crate) const NONE: CacheLimits = CacheLimits { tokens_max: 0, bytes_max: 0 };
}

/// How a verified token gets in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// One that is shown: another has to go where there is no room.
    Made,
    /// One that may be shown one day: where there is room, and no sooner.
    Found,
}

/// The believers of one gate: the one in use, and the next one while an import makes it.
pub(crate) struct Believers {
    limits: CacheLimits,
    /// Owns those that may still be asked for, the newest last.
    held: Mutex<Vec<Arc<Believer>>>,
    tally: Arc<Tally>,
}

/// Counts of all believers of a gate together.
#[derive(Default)]
struct Tally {
    /// So that two at once take no more room than one.
    bytes: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Believers {
    pub(crate) fn new(limits: CacheLimits) -> Believers {
        Believers { limits, held: Mutex::default(), tally: Arc::default() }
    }

    /// The believer of these documents: the one that is there, with all it knows, or a new one.
    pub(crate) fn of(&self, jwks: &[u8], policy: &PolicyDocument) -> Result<Arc<Believer>, TrustFault> {
        let documents = digest_of(jwks, policy)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = held.iter().position(|one| one.documents == documents) {
            let found = held.remove(place);
            held.push(Arc::clone(&found));
            return Ok(found);
        }
        let known = Known::new(self.limits, Arc::clone(&self.tally));
        let made = Arc::new(Believer::new(documents, jwks, policy, known)?);
        held.push(Arc::clone(&made));
        Ok(made)
    }

    /// Lets go of all but the one in use. Freeing what a hundred thousand tokens take is not for a door.
    pub(crate) fn keep_only(&self, used: &Arc<Believer>) {
        let let_go: Vec<_> = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.extract_if(.., |one| !Arc::ptr_eq(one, used)).collect()
        };
        drop(let_go);
    }
}

/// All that a believer is made of. The policy's other parts are in it too: when in doubt, it is another.
fn digest_of(jwks: &[u8], policy: &PolicyDocument) -> Result<[u8; SHA256_BYTES], TrustFault> {
    let policy = serde_json::to_vec(policy).map_err(|error| unreadable("policy", error))?;
    let mut digest = Sha256::new();
    digest.update(&(jwks.len() as u64).to_be_bytes());
    digest.update(jwks);
    digest.update(&policy);
    Ok(digest.finish())
}

/// Keys and demands as one text has them, and the tokens that they have verified.
pub(crate) struct Believer {
    documents: [u8; SHA256_BYTES],
    verifier: Verifier,
    /// With the keys of JWT-SVIDs alone, for those that are carried for their holders.
    svids: Verifier,
    keys: Vec<PublishedKey>,
    known: Known,
    /// The store's newest parcel that has been looked at.
    pub(crate) parcels_seen: AtomicI64,
}

impl Believer {
    fn new(
        documents: [u8; SHA256_BYTES],
        jwks: &[u8],
        policy: &PolicyDocument,
        known: Known,
    ) -> Result<Self, TrustFault> {
        let keys = KeySet::from_jwks(jwks).map_err(|error| unreadable("keys", error))?;
        let published = published::read(jwks).map_err(|error| unreadable("keys", error))?;
        let svids = format!("{{\"keys\":[{}]}}", published::for_svids(&published).join(","));
        let svids = KeySet::from_jwks(svids.as_bytes()).map_err(|error| unreadable("keys", error))?;
        let svids = Verifier::new(svids, demands::of_svids(policy));
        let verifier = Verifier::new(keys, demands::of_tokens(policy));
        Ok(Believer { documents, verifier, svids, keys: published, known, parcels_seen: AtomicI64::new(0) })
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    pub(crate) fn keys(&self) -> &[PublishedKey] {
        &self.keys
    }

    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// Verifies a token at the time `now`; its signature only if it is not known already.
    // token.md §6.6
    pub(crate) fn verify(&self, token: &str, now: u64, room: Room) -> Result<Arc<Verified<Claims>>, Refusal> {
        // token.md §3.1: what is too long is not even hashed.
        if self.known.limits.tokens_max == 0 || token.len() > TOKEN_BYTES_MAX {
            return self.verifier.verify(token, now).map(Arc::new);
        }
        let text = sha256(token.as_bytes());
        if let Some(known) = self.known.find(&text) {
            known.still(now)?;
            return Ok(known);
        }
        let verified = Arc::new(self.verifier.verify(token, now)?.identified());
        self.known.keep(text, &verified, room, now);
        Ok(verified)
    }

    /// Verifies a token that was carried here for its holder: one of this site's, or a JWT-SVID, which names
    /// no issuer and opens no door of this gate's.
    // token.md §8
    pub(crate) fn verify_carried(&self, token: &str, now: u64) -> Result<Arc<Verified<Claims>>, Refusal> {
        self.verify(token, now, Room::Found).or_else(|refused| match self.svids.verify(token, now) {
            Ok(claims) => Ok(Arc::new(claims)),
            // An SVID that has expired is one all the same: it is counted, not warned of.
            Err(expired) if expired.code() == Code::Expired => Err(expired),
            Err(_) => Err(refused),
        })
    }
}

/// Verified tokens by the SHA-256 of their whole text.
pub(crate) struct Known {
    limits: CacheLimits,
    /// Owns the tokens; held for a look-up or one change.
    held: Mutex<Held>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Held {
    places: HashMap<[u8; SHA256_BYTES], u32>,
    tokens: Vec<Token>,
    /// Where to look next for one that may go.
    hand: usize,
    bytes: usize,
}

struct Token {
    text: [u8; SHA256_BYTES],
    verified: Arc<Verified<Claims>>,
    /// Asked for since the hand was here.
    used: bool,
}

/// What is kept, and how often it was of use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Tokens.
    pub tokens: usize,
    /// Bytes of memory that they are reckoned to take.
    pub bytes: usize,
    /// Tokens shown that were known.
    pub hits: u64,
    /// Tokens shown that were not.
    pub misses: u64,
}

impl Known {
    fn new(limits: CacheLimits, tally: Arc<Tally>) -> Known {
        Known { limits, held: Mutex::default(), tally }
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        let held = self.hold();
        CacheCounts {
            tokens: held.tokens.len(),
            bytes: held.bytes,
            hits: self.tally.hits.load(Ordering::Relaxed),
            misses: self.tally.misses.load(Ordering::Relaxed),
        }
    }

    /// Whether one more may come without another going.
    pub(crate) fn has_room(&self) -> bool {
        let tokens = self.hold().tokens.len();
        tokens < self.limits.tokens_max && self.tally.bytes.load(Ordering::Relaxed) < self.limits.bytes_max
    }

    fn find(&self, text: &[u8; SHA256_BYTES]) -> Option<Arc<Verified<Claims>>> {
        let found = self.hold().find(text);
        let count = if found.is_some() { &self.tally.hits } else { &self.tally.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn keep(&self, text: [u8; SHA256_BYTES], verified: &Arc<Verified<Claims>>, room: Room, now: u64) {
        let bytes = bytes_of(verified);
        if room == Room::Found && !self.has_room() || bytes > self.limits.bytes_max {
            return;
        }
        let mut let_go = Vec::new();
        let mut held = self.hold();
        let before = held.bytes;
        while held.tokens.len() >= self.limits.tokens_max || held.bytes + bytes > self.limits.bytes_max {
            let_go.extend(held.make_room(now));
        }
        held.add(text, Arc::clone(verified), bytes);
        let after = held.bytes;
        drop(held);
        if after >= before {
            self.tally.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.tally.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    // Each change is whole before the lock is let go.
    fn hold(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let bytes = self.hold().bytes;
        self.tally.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Held {
    fn find(&mut self, text: &[u8; SHA256_BYTES]) -> Option<Arc<Verified<Claims>>> {
        let place = *self.places.get(text)?;
        let token = self.tokens.get_mut(place as usize)?;
        token.used = true;
        Some(Arc::clone(&token.verified))
    }

    fn add(&mut self, text: [u8; SHA256_BYTES], verified: Arc<Verified<Claims>>, bytes: usize) {
        // Two doors may have verified the same token at the same time.
        if let Entry::Vacant(place) = self.places.entry(text) {
            place.insert(self.tokens.len() as u32);
            self.tokens.push(Token { text, verified, used: false });
            self.bytes += bytes;
        }
    }

    /// Takes out one of the next few that has expired or that nobody asked for since the hand came by; else
    /// the last of them. However full it is, that takes the same time.
    fn make_room(&mut self, now: u64) -> Option<Arc<Verified<Claims>>> {
        for looked_at in 1..=LOOKED_AT_MAX {
            if self.hand >= self.tokens.len() {
                self.hand = 0;
            }
            let token = self.tokens.get_mut(self.hand)?;
            let used = std::mem::take(&mut token.used);
            let ended = token.verified.still(now).is_err();
            if ended || !used || looked_at == LOOKED_AT_MAX {
                break;
            }
            self.hand += 1;
        }
        self.take_out(self.hand)
    }

    fn take_out(&mut self, place: usize) -> Option<Arc<Verified<Claims>>> {
        if place >= self.tokens.len() {
            return None;
        }
        let gone = self.tokens.swap_remove(place);
        self.places.remove(&gone.text);
        self.bytes -= bytes_of(&gone.verified);
        if let Some(moved) = self.tokens.get(place) {
            self.places.insert(moved.text, place as u32);
        }
        Some(gone.verified)
    }
}

fn bytes_of(verified: &Verified<Claims>) -> usize {
    OVERHEAD_BYTES + verified.signing_input().len() + verified.json().len()
}
