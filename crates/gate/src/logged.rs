//! Proof of logging: a token is in the log because its leaf crossed, or because it brings a proof under a
//! head that the log key has signed. A stolen token key alone opens no gate.
//!
//! ```text
//!   leaf held at its position ─▶ its own? ── yes ─▶ logged          no ─▶ forged
//!        │ none
//!        ▼
//!   staple ─▶ leaf + proof = root ─▶ head held of that size, or signed and now held, durably ─▶ logged
//! ```
//!
//! Refuses whatever is not proven, and of two heads of one size the second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use farside_crossing::{Head, LogKey, Staple, checkpoint};
use farside_verify::leaf::TokenPosition;
use farside_verify::merkle::{Hash, root_of_inclusion};
use farside_verify::{Code, Refusal};
use rusqlite::Transaction;

use crate::live::Live;
use crate::store::{self, LogRow, StapledHead, Store, StoreFault};

/// Most heads of one shard that tokens have brought along and no run has reached.
// log.md §7.5
pub const STAPLED_HEADS_MAX: u64 = 4_096;

/// The log as one generation of the store has it.
pub(crate) struct Logs {
    /// The charter's.
    keys: Vec<LogKey>,
    shards: HashMap<String, LogRow>,
    /// Owns the heads that tokens brought along, by shard and size; those that came since this generation
    /// too.
    stapled: Mutex<HashMap<String, BTreeMap<u64, Hash>>>,
    /// The bundle applied last, for what is told.
    seq: u64,
    store: Arc<Store>,
    /// Writes; waits for another writer only as long as a client may be kept waiting.
    keeper: Arc<Store>,
    live: Arc<Live>,
}

/// What the store says of the log, read in one view.
pub(crate) struct LogRows {
    shards: Vec<(String, LogRow)>,
    stapled: Vec<(String, Vec<StapledHead>)>,
}

impl LogRows {
    pub(crate) fn read(tx: &Transaction<'_>) -> Result<LogRows, StoreFault> {
        Ok(LogRows { shards: store::logs(tx)?, stapled: store::every_stapled_head(tx)? })
    }
}

impl Logs {
    pub(crate) fn new(
        keys: Vec<LogKey>,
        seq: u64,
        rows: LogRows,
        store: Arc<Store>,
        keeper: Arc<Store>,
        live: Arc<Live>,
    ) -> Logs {
        let heads = |heads: Vec<StapledHead>| heads.iter().map(|head| (head.size, head.root)).collect();
        let stapled = rows.stapled.into_iter().map(|(shard, list)| (shard, heads(list))).collect();
        let shards = rows.shards.into_iter().collect();
        Logs { keys, shards, stapled: Mutex::new(stapled), seq, store, keeper, live }
    }

    /// Whether the token with this leaf is proven to stand at `position`.
    ///
    /// # Errors
    /// `not_logged`; `stale` where this gate cannot read or keep what proves it.
    pub(crate) fn prove(
        &self,
        position: &TokenPosition,
        leaf: &Hash,
        staple: Option<&Staple>,
        now: u64,
    ) -> Result<(), Refusal> {
        match self.leaf(position)? {
            Some(held) if held == *leaf => Ok(()),
            // log.md §8.3: whatever is stapled.
            Some(_) => Err(not_logged(
                format!("the log holds something else at {position}"),
                "Treat the key that signed this token as stolen, and tell the realm's operators.",
            )),
            None => match staple {
                Some(staple) => self.stapled(position, leaf, staple, now),
                None => Err(self.absent(position)),
            },
        }
    }

    /// The leaf that crossed for a position.
    fn leaf(&self, position: &TokenPosition) -> Result<Option<Hash>, Refusal> {
        let Some(log) = self.shards.get(position.shard()) else { return Ok(None) };
        if !(log.kept_from..log.size).contains(&position.index()) {
            return Ok(None);
        }
        if let Some(leaf) = self.live.leaf(position.shard(), log.began, position.index()) {
            return Ok(Some(leaf));
        }
        let asked = self.store.read(|tx| store::leaf(tx, position.shard(), position.index()));
        asked.map_err(|fault| unusable("this gate cannot read its log leaves", &fault))
    }

    // log.md §8.4
    fn stapled(
        &self,
        position: &TokenPosition,
        leaf: &Hash,
        staple: &Staple,
        now: u64,
    ) -> Result<(), Refusal> {
        let shard = position.shard();
        let Some(root) = root_of_inclusion(leaf, position.index(), staple.size, &staple.proof) else {
            let detail = format!("what is stapled to it proves nothing at {position}");
            return Err(not_logged(detail, STAPLE_CURE));
        };
        let head = Head { size: staple.size, root };
        let newest = self.shards.get(shard).filter(|log| log.size == head.size).map(|log| log.root);
        if newest == Some(root) {
            return Ok(());
        }
        let waiting = self.heads().get(shard).and_then(|heads| heads.get(&head.size)).copied();
        if newest.or(waiting).is_some_and(|held| held != root) {
            return Err(contradicted(shard, head.size));
        }
        // Each time anew: the charter may have dropped the key since this head was held.
        if checkpoint::believe(&self.keys, shard, head, &staple.signature).is_err() {
            let detail = format!("no log key has signed the head of {} leaves stapled to it", head.size);
            return Err(not_logged(detail, STAPLE_CURE));
        }
        match waiting {
            Some(_) => Ok(()),
            None => {
                self.hold(shard, &StapledHead { size: head.size, root, signature: staple.signature }, now)
            }
        }
    }

    /// Holds a head that the log key has signed. It is on the disk when this returns.
    fn hold(&self, shard: &str, head: &StapledHead, now: u64) -> Result<(), Refusal> {
        let held = self.keeper.write(|tx| {
            // What an import has brought since this picture was made counts as well.
            if let Some(log) = store::log(tx, shard)?.filter(|log| log.size == head.size) {
                return Ok(Some(log.root));
            }
            match store::count_stapled_heads(tx, shard)? >= STAPLED_HEADS_MAX {
                true => Ok(None),
                false => store::hold_stapled_head(tx, shard, head, now).map(Some),
            }
        });
        let held = held.map_err(|fault: StoreFault| {
            unusable("this gate cannot keep the head that is stapled to the token", &fault)
        })?;
        match held {
            Some(root) if root == head.root => {
                self.heads().entry(shard.to_owned()).or_default().insert(head.size, root);
                Ok(())
            }
            Some(_) => Err(contradicted(shard, head.size)),
            None => Err(not_logged(
                format!("{STAPLED_HEADS_MAX} heads of log {shard} wait for a bundle already"),
                "Import the newest bundle: then no staple is needed, and there is room again.",
            )),
        }
    }

    /// The heads; whoever panicked while holding them left them whole, as each step is one insertion.
    fn heads(&self) -> std::sync::MutexGuard<'_, HashMap<String, BTreeMap<u64, Hash>>> {
        self.stapled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No leaf is held: says what would carry it.
    fn absent(&self, position: &TokenPosition) -> Refusal {
        let (seq, shard) = (self.seq, position.shard());
        let next = seq + 1;
        match self.shards.get(shard) {
            Some(log) if position.index() < log.kept_from => not_logged(
                format!("leaf {position} is no longer kept"),
                "Issue a new token: no token lives as long as its leaf is kept.",
            ),
            Some(log) if position.index() < log.size => not_logged(
                format!("leaf {position} is missing, though the log has crossed up to {}", log.size),
                "Have the mint pack a full bundle, and import it.",
            ),
            Some(log) => not_logged(
                format!("leaf {position} has not crossed: bundle {seq} carried {} leaves", log.size),
                format!(
                    "This gate holds bundle {seq}, with the first {} leaves of log {shard}: import bundle \
                     {next}, or the first that was made after the token.",
                    log.size
                ),
            ),
            None => not_logged(
                format!("nothing of log {shard} has crossed; this gate holds bundle {seq}"),
                format!("Import bundle {next}, or the first that was made after the token."),
            ),
        }
    }
}

/// What helps against a staple that proves nothing.
const STAPLE_CURE: &str = "Have its proof made anew, or import the bundle that carries its log leaf.";

fn not_logged(detail: String, cure: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::NotLogged, detail, cure)
}

fn contradicted(shard: &str, size: u64) -> Refusal {
    not_logged(
        format!("this gate holds another head of {size} leaves of log {shard} than the one stapled to it"),
        "Keep the token as evidence: either it is forged, or the log has forked and its key is stolen.",
    )
}

fn unusable(what: &'static str, fault: &StoreFault) -> Refusal {
    tracing::error!(%fault, "{what}");
    Refusal::new(Code::Stale, what, "Mend the disk under the gate's store.")
}
