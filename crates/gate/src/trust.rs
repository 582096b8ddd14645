//! What this gate believes, in memory: an unchanging picture of the store, replaced whole when the store
//! changes.
//!
//! ```text
//!   any process: import ──commit──▶ store ──generation──▶ Gate::trust() ──▶ Arc<TrustState> ──▶ judge
//! ```
//!
//! Every request asks for the picture anew, and asking looks at the store's change counter first. So a
//! revocation holds at every door from the moment the import that brought it has returned, whichever process
//! ran it. A store that cannot be read refuses everyone.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use farside_crossing::cedar::Policies;
use farside_crossing::{
    AudiencePolicy, Charter, Digest, ExpectedFingerprint, Fingerprint, LogKey, Note, PolicyDocument,
    StatusDocument, Stream, charter,
};
use farside_service::time::rfc3339;
use farside_verify::{Code, Refusal, Verifier};

use crate::breakglass::Glasses;
use crate::clock::GateClock;
use crate::config::Config;
pub use crate::freshness::Freshness;
use crate::known::{Believer, Believers};
use crate::live::Live;
use crate::logged::{LogRows, Logs};
use crate::published::{self, PublishedKey};
use crate::revocations::Revocations;
use crate::shown_lists::ShownLists;
use crate::store::{AppliedRow, ClockNoteRow, ClockRow, GlassRow, Store, StoreFault, Watch};

pub(crate) mod demands;
mod time;
mod warm;

/// No clock is right that stands before this gate was made: 1 November 2026, raised with each release.
pub const BUILT_AT: u64 = 1_793_491_200;

/// What a gate that has no policy yet tolerates between its clock and the time floor.
pub(crate) const LEEWAY_SECONDS_DEFAULT: u64 = 60;

/// The running gate's hold on its store.
pub struct Gate {
    store: Arc<Store>,
    /// Where the doors keep heads that tokens bring along: they wait for no import.
    keeper: Arc<Store>,
    live: Arc<Live>,
    /// Wakes whoever keeps leaves and tokens in memory.
    changed: OnceLock<[SyncSender<()>; 2]>,
    believers: Arc<Believers>,
    current: ArcSwap<TrustState>,
    clock: GateClock,
    /// Owns the connection that notices changes; held for one look at a counter.
    watch: Mutex<Watch>,
}

impl Gate {
    /// Opens the store and builds the first picture.
    ///
    /// # Errors
    /// There is no store, or it cannot be read.
    pub fn open(config: &Config) -> Result<Gate, TrustFault> {
        let store = Arc::new(Store::open(&config.database())?);
        let keeper = Arc::new(Store::open_impatient(&config.database())?);
        let live = Arc::new(Live::default());
        let watch = Mutex::new(Watch::open(&config.database())?);
        let believers = Arc::new(Believers::new(config.cache));
        let first = TrustState::load(&store, &keeper, &live, &believers, None)?;
        let clock = GateClock::resume(first.clock());
        let current = ArcSwap::from_pointee(first);
        Ok(Gate { store, keeper, live, changed: OnceLock::new(), believers, current, clock, watch })
    }

    /// What is believed now. To be called for every request; costs microseconds unless something changed.
    ///
    /// # Errors
    /// The store cannot be read: then nothing can be judged.
    pub fn trust(&self) -> Result<Arc<TrustState>, Refusal> {
        self.look().map_err(|fault| {
            tracing::error!(%fault, "trust cannot be read");
            let cure = "Mend the disk under the gate's store, then restart the gate.";
            Refusal::new(Code::Stale, "this gate cannot read what it believes", cure)
        })
    }

    /// What was believed when somebody last asked: nothing is judged by it, and the store is not looked at.
    pub(crate) fn last(&self) -> Arc<TrustState> {
        self.current.load_full()
    }

    /// Who verifies: an import in this process asks the same, so that what it has verified is known here.
    pub(crate) fn believers(&self) -> &Arc<Believers> {
        &self.believers
    }

    /// The store, for what holders collect.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn look(&self) -> Result<Arc<TrustState>, TrustFault> {
        let current = self.current.load_full();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.generation()? == current.generation {
            return Ok(current);
        }
        // The lock is kept while the new picture is built, so that it is built once and no request overtakes
        // it.
        let (store, believers) = (&self.store, &self.believers);
        let renewed = TrustState::load(store, &self.keeper, &self.live, believers, Some(&current))?;
        let renewed = Arc::new(renewed);
        self.current.store(Arc::clone(&renewed));
        for changed in self.changed.get().into_iter().flatten() {
            // Full: it will wake up anyway.
            let _ = changed.try_send(());
        }
        Ok(renewed)
    }
}

/// Why the picture cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustFault {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// A document in the store does not read: the file was changed by something else.
    #[error("the store's {what} cannot be read: {reason}")]
    Document {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl From<TrustFault> for farside_service::cli::Failure {
    fn from(fault: TrustFault) -> Self {
        match fault {
            TrustFault::Store(fault) => fault.into(),
            fault => farside_service::cli::Failure::could_not(fault.to_string())
                .hint("restore the store from a copy, or enrol the gate anew; never edit it by hand"),
        }
    }
}

/// Everything a judgement needs, as of one generation of the store.
pub struct TrustState {
    generation: u64,
    site: String,
    realm: Option<String>,
    stream: Stream,
    applied: Option<AppliedRow>,
    time_floor: u64,
    clock: ClockRow,
    set_back: Option<ClockNoteRow>,
    believed: Option<Believed>,
    logs: Logs,
    glasses: Glasses,
    lists: ShownLists,
}

/// What the applied bundles said.
pub struct Believed {
    believer: Arc<Believer>,
    policy: PolicyDocument,
    /// The Cedar policies of `policy`, read.
    cedar: Option<Arc<Policies>>,
    revocations: Revocations,
}

impl TrustState {
    /// Builds the picture from the store in one consistent view. Cedar policies that are still the same are
    /// taken over from the picture `before`: reading them takes longer than all the rest.
    ///
    /// # Errors
    /// The store cannot be read, or does not read as this gate writes it.
    fn load(
        store: &Arc<Store>,
        keeper: &Arc<Store>,
        live: &Arc<Live>,
        believers: &Believers,
        before: Option<&TrustState>,
    ) -> Result<TrustState, TrustFault> {
        let rows = store.read(rows)?;
        let stream = match rows.state.stream.as_str() {
            "" => Stream::new(),
            text => serde_json::from_str(text).map_err(|error| unreadable("high-water marks", error))?,
        };
        let believed = match (rows.keys, rows.policy, rows.status) {
            (Some(keys), Some(policy), Some(status)) => {
                let policy = serde_json::from_slice(&policy).map_err(|error| unreadable("policy", error))?;
                let status = serde_json::from_slice(&status).map_err(|error| unreadable("status", error))?;
                let before = before.and_then(TrustState::believed);
                Some(Believed::new(believers, &keys, policy, &status, before)?)
            }
            _ => None,
        };
        let lists = rows.lists.map(|lists| serde_json::from_slice(&lists)).transpose();
        let lists = lists.map_err(|error| unreadable("status lists", error))?.map(ShownLists::read);
        let charter = rows.charters.last().map(|note| newest_charter(note)).transpose()?;
        let glasses = Glasses::read(&rows.glasses, charter.as_ref(), &rows.state.site);
        let keys: Vec<LogKey> = charter.map(|charter| charter.log().to_vec()).unwrap_or_default();
        let seq = rows.applied.as_ref().map_or(0, |applied| applied.seq);
        let logs = Logs::new(keys, seq, rows.logs, Arc::clone(store), Arc::clone(keeper), Arc::clone(live));
        Ok(TrustState {
            generation: rows.state.generation,
            site: rows.state.site,
            realm: rows.realm,
            stream,
            applied: rows.applied.map(|applied| time::in_right_time(applied, rows.set_back.as_ref())),
            time_floor: rows.state.time_floor.max(BUILT_AT),
            clock: rows.clock,
            set_back: rows.set_back,
            believed,
            logs,
            glasses,
            lists: lists.unwrap_or_default(),
        })
    }

    /// The site this gate stands in.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The realm it trusts, once a charter has been trusted.
    pub fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }

    /// The issuer of this site's tokens.
    pub fn issuer(&self) -> Option<&str> {
        self.believed.as_ref().map(|held| held.policy.issuer.as_str())
    }

    /// The audiences of this site.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        let audiences = self.believed.iter().flat_map(|held| &held.policy.audiences);
        audiences.map(|audience| audience.name.as_str())
    }

    /// The site's audience, where it has just one.
    pub fn single_audience(&self) -> Option<&str> {
        let mut audiences = self.audiences();
        let first = audiences.next();
        if audiences.next().is_some() { None } else { first }
    }

    /// The site's policy.
    pub fn policy(&self) -> Option<&PolicyDocument> {
        self.believed.as_ref().map(|held| &held.policy)
    }

    /// Keys and demands.
    pub fn verifier(&self) -> Option<&Verifier> {
        self.believed.as_ref().map(Believed::verifier)
    }

    /// What the applied bundles said, if any has been applied.
    pub fn believed(&self) -> Option<&Believed> {
        self.believed.as_ref()
    }

    /// The bundle applied last.
    pub fn applied(&self) -> Option<&AppliedRow> {
        self.applied.as_ref()
    }

    /// Its number; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.applied.as_ref().map_or(0, |applied| applied.seq)
    }

    /// Whether a fork has frozen the stream: nothing more is applied until release people sign a fence.
    pub fn frozen(&self) -> bool {
        self.stream.frozen.is_some()
    }

    /// The time that is proven to have passed: no clock before it is right.
    pub fn time_floor(&self) -> u64 {
        self.time_floor
    }

    /// Rises whenever what is believed has changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether this gate can judge anything at all: something is held, the clock is not behind the time
    /// floor, and what is held has not expired.
    ///
    /// # Errors
    /// `stale` or `clock_fault`, with what to do about it.
    pub fn ready(&self, now: u64) -> Result<(), Refusal> {
        self.time_sound(now)?;
        match self.freshness(now) {
            Freshness::Untrusted => Err(self.holds_nothing()),
            Freshness::Expired { since } => {
                let detail = format!("bundle {} was good until {}", self.seq(), rfc3339(since));
                Err(Refusal::new(Code::Stale, detail, "Import the newest bundle; if it was, set the clock."))
            }
            _ if self.believed.is_none() => Err(self.holds_nothing()),
            Freshness::Fresh | Freshness::Late { .. } => Ok(()),
        }
    }

    /// The refusal of a gate that has nothing to judge by.
    pub(crate) fn holds_nothing(&self) -> Refusal {
        let cure = match self.realm {
            Some(_) => "Import a full bundle for this site.",
            None => "Trust the realm's charter (`farside gate trust`), then import a full bundle.",
        };
        Refusal::new(Code::Stale, "this gate has applied no bundle yet", cure)
    }

    /// Signed status lists for third parties.
    pub(crate) fn lists(&self) -> &ShownLists {
        &self.lists
    }

    /// What is held of the issuance log.
    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Broken glass.
    pub fn glasses(&self) -> &Glasses {
        &self.glasses
    }

    /// A JWK Set of the keys that may be trusted now: neither retired nor revoked, and none once this gate's
    /// knowledge has expired.
    pub fn current_jwks(&self, now: u64) -> String {
        match &self.believed {
            Some(held) if self.ready(now).is_ok() => published::jwks(held.current_keys(now)),
            _ => published::jwks(std::iter::empty()),
        }
    }
}

impl Believed {
    /// Takes the documents in; refuses keys that no token could be verified with. What verifies is asked of
    /// `believers`: where keys and policy are as they were, it knows whom it has verified already.
    pub(crate) fn new(
        believers: &Believers,
        jwks: &[u8],
        policy: PolicyDocument,
        status: &StatusDocument,
        before: Option<&Believed>,
    ) -> Result<Self, TrustFault> {
        let revocations = Revocations::read(status).map_err(|error| unreadable("status", error))?;
        let before = before.map(|before| (&before.policy, &before.cedar));
        let cedar = demands::cedar(&policy, before)?;
        Ok(Believed { believer: believers.of(jwks, &policy)?, policy, cedar, revocations })
    }

    /// Keys and demands.
    pub fn verifier(&self) -> &Verifier {
        self.believer.verifier()
    }

    /// Who verifies, and whom it knows already.
    pub(crate) fn believer(&self) -> &Arc<Believer> {
        &self.believer
    }

    /// The site's policy.
    pub fn policy(&self) -> &PolicyDocument {
        &self.policy
    }

    /// The site's Cedar policies; without, the audience alone decides.
    pub fn cedar(&self) -> Option<&Policies> {
        self.cedar.as_deref()
    }

    /// What has been revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The keys as they crossed, with their windows.
    pub fn keys(&self) -> &[PublishedKey] {
        self.believer.keys()
    }

    /// What the policy says of one audience.
    pub fn audience(&self, name: &str) -> Option<&AudiencePolicy> {
        self.policy.audiences.iter().find(|audience| audience.name == name)
    }

    pub(crate) fn audience_names(&self) -> Vec<&str> {
        self.policy.audiences.iter().map(|audience| audience.name.as_str()).collect()
    }

    fn current_keys(&self, now: u64) -> impl Iterator<Item = &PublishedKey> {
        let live = move |key: &&PublishedKey| key.accept_until.is_none_or(|until| now <= until);
        self.keys().iter().filter(live).filter(|key| self.revocations.key(&key.kid).is_none())
    }
}

struct Rows {
    state: crate::store::StateRow,
    realm: Option<String>,
    applied: Option<AppliedRow>,
    keys: Option<Vec<u8>>,
    policy: Option<Vec<u8>>,
    status: Option<Vec<u8>>,
    charters: Vec<Vec<u8>>,
    clock: ClockRow,
    set_back: Option<ClockNoteRow>,
    logs: LogRows,
    glasses: Vec<GlassRow>,
    lists: Option<Vec<u8>>,
}

fn rows(tx: &rusqlite::Transaction<'_>) -> Result<Rows, StoreFault> {
    use crate::store::{charters, clock, document, newest_bundle, newest_clock_note, realm, state};
    Ok(Rows {
        state: state(tx)?,
        realm: realm(tx)?,
        applied: newest_bundle(tx)?,
        keys: document(tx, "keys")?,
        policy: document(tx, "policy")?,
        status: document(tx, "status")?,
        lists: document(tx, "lists")?,
        charters: charters(tx)?,
        clock: clock(tx)?,
        set_back: newest_clock_note(tx)?,
        logs: LogRows::read(tx)?,
        glasses: crate::store::breakglass::unclosed(tx)?,
    })
}

/// Reads a charter that was believed when it was stored; its own signatures are checked once more.
pub(crate) fn newest_charter(note: &[u8]) -> Result<Charter, StoreFault> {
    let damaged = |_| StoreFault::Damaged("charter");
    let text = Note::parse(note).map_err(damaged)?.text().as_bytes();
    let seen = Fingerprint::from(Digest::of(text));
    charter::open_first(note, &ExpectedFingerprint::from(seen)).map_err(damaged)
}

pub(crate) fn unreadable(what: &'static str, reason: impl std::fmt::Display) -> TrustFault {
    TrustFault::Document { what, reason: reason.to_string() }
}
