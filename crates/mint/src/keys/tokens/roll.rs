//! Who is there: since when a token is gone, and which of its keys are missing. Says each change once, to the
//! log and to the metrics; the journal is written from [`Roll::alarms`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::keys::uri::TokenName;

// keys.md §4.3
/// How often a token that is there is looked at, in seconds.
const LOOK_SECONDS: u64 = 10;
/// How soon a token that is away is looked at again, in seconds; each time in vain doubles it.
const AWAY_SECONDS_MIN: u64 = 1;
/// How late at most.
const AWAY_SECONDS_MAX: u64 = 30;

/// How long it must have been there to be looked at soon when it goes, in seconds.
const CALM_SECONDS: u64 = 2 * AWAY_SECONDS_MAX;

/// Since when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// Unix seconds.
    pub since: u64,
    /// What the token's module says.
    pub reason: String,
}

/// A token that is gone, or a key that is missing from one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The token.
    pub token: String,
    /// The key's id, where the token itself is there.
    pub key: Option<String>,
    /// Since when, and why.
    pub absence: Absence,
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Absence { since, reason } = &self.absence;
        let since = farside_service::time::rfc3339(*since);
        match &self.key {
            None => write!(f, "PKCS#11 token {} is gone since {since}: {reason}", self.token),
            Some(key) => write!(f, "PKCS#11 token {} lacks key {key} since {since}: {reason}", self.token),
        }
    }
}

/// One token's presence.
#[derive(Debug)]
pub(super) struct Roll {
    token: String,
    /// Owns what is known; each change of it is one assignment.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    gone: Option<Absence>,
    /// Every key that is used, and since when it is missing.
    keys: BTreeMap<Vec<u8>, Option<Absence>>,
    /// When it is to be looked at next.
    next: u64,
    /// How long after that, where it is away.
    patience: u64,
    /// When it was last found to be away: one that comes and goes is looked at ever more seldom.
    away_at: u64,
}

impl Roll {
    pub(super) fn new(token: &TokenName) -> Roll {
        Roll { token: token.to_string(), state: Mutex::default() }
    }

    pub(super) fn expect(&self, id: &[u8]) {
        self.state().keys.entry(id.to_vec()).or_default();
    }

    pub(super) fn forget(&self, id: &[u8]) {
        self.state().keys.remove(id);
    }

    pub(super) fn expected(&self) -> Vec<Vec<u8>> {
        self.state().keys.keys().cloned().collect()
    }

    pub(super) fn gone(&self) -> Option<Absence> {
        self.state().gone.clone()
    }

    pub(super) fn missing(&self, id: &[u8]) -> Option<Absence> {
        self.state().keys.get(id).cloned().flatten()
    }

    pub(super) fn is_unwell(&self) -> bool {
        let state = self.state();
        state.gone.is_some() || state.keys.values().any(Option::is_some)
    }

    /// Whether to look now; the one who is told so looks.
    pub(super) fn is_due(&self, now: u64) -> bool {
        let mut state = self.state();
        if now < state.next {
            return false;
        }
        state.next = now.saturating_add(LOOK_SECONDS);
        drop(state);
        self.gauge(u8::from(self.is_unwell()));
        true
    }

    /// The token is gone.
    pub(super) fn left(&self, reason: &str, now: u64) {
        let mut state = self.state();
        state.postpone(now);
        if state.gone.is_some() {
            return;
        }
        state.gone = Some(Absence { since: now, reason: reason.to_owned() });
        drop(state);
        self.gauge(1);
        tracing::error!(
            token = self.token,
            reason,
            "a PKCS#11 token is gone; other keys sign where there are any"
        );
    }

    /// A key of a token that is there cannot be used.
    pub(super) fn lost(&self, id: &[u8], reason: &str, now: u64) {
        let mut state = self.state();
        state.postpone(now);
        let Some(key @ None) = state.keys.get_mut(id) else { return };
        *key = Some(Absence { since: now, reason: reason.to_owned() });
        drop(state);
        self.gauge(1);
        let key = spelled(id);
        tracing::error!(token = self.token, key, reason, "a key in a PKCS#11 token cannot be used");
    }

    /// The token is there, and of its keys all but these.
    pub(super) fn seen(&self, missing: &[Vec<u8>], now: u64) {
        for id in missing {
            self.lost(id, "it does not hold the key", now);
        }
        let mut state = self.state();
        let was_unwell = state.gone.take().is_some() || state.keys.values().any(Option::is_some);
        for (id, absence) in &mut state.keys {
            if !missing.contains(id) {
                *absence = None;
            }
        }
        drop(state);
        if was_unwell && missing.is_empty() {
            self.gauge(0);
            tracing::info!(token = self.token, "a PKCS#11 token is back, with all its keys");
        }
    }

    pub(super) fn alarms(&self) -> Vec<Alarm> {
        let state = self.state();
        let alarm =
            |key, absence: &Absence| Alarm { token: self.token.clone(), key, absence: absence.clone() };
        let gone = state.gone.iter().map(|absence| alarm(None, absence));
        let missing = state.keys.iter().filter_map(|(id, absence)| Some((id, absence.as_ref()?)));
        gone.chain(missing.map(|(id, absence)| alarm(Some(spelled(id)), absence))).collect()
    }

    fn gauge(&self, away: u8) {
        metrics::gauge!("farside_mint_pkcs11_token_away", "token" => self.token.clone()).set(f64::from(away));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn postpone(&mut self, now: u64) {
        if now > self.away_at.saturating_add(CALM_SECONDS) {
            self.patience = 0;
        }
        self.away_at = now;
        self.patience = (self.patience * 2).clamp(AWAY_SECONDS_MIN, AWAY_SECONDS_MAX);
        self.next = now.saturating_add(self.patience);
    }
}

/// An id as people see it: ours are text, others' are bytes.
fn spelled(id: &[u8]) -> String {
    match std::str::from_utf8(id) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => text.to_owned(),
        _ => id.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
