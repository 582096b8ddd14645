//! Break-glass: the way in when nothing else helps. An order is drafted here, signed elsewhere by as many
//! people's cards as the charter says, and opened here, once; its pass then enters one audience with one
//! role, for an hour at most.
//!
//! ```text
//!   draft ──▶ file ──cards──▶ open ─▶ charter, policy, time, never before ─▶ journal ─▶ commit ─▶ Pass
//!                              └──▶ refused, journalled            every door sees it ──┘
//!   close, expiry, a new start of the machine, a charter without those cards ─▶ over
//! ```
//!
//! The keys are the charter's, which does not expire: so it works with expired trust, and with a clock that
//! is wrong. Whatever cannot be journalled is not opened. `spec/breakglass.md` has the rules.

mod glass;
mod pass;
pub mod shown;
pub(crate) mod watch;

use std::time::Duration;

use farside_crossing::breakglass::{self as orders, ID_DIGITS, LIFETIME_SECONDS_MAX};
use farside_crossing::{Charter, Code, Digest, GlassOrder, PolicyDocument, Refusal, SignedOrder};
use farside_service::cli::{Failure, OrFailure as _, operator};
use farside_service::digest::hex;
use farside_service::journal::Journal;
use farside_service::lock::Exclusive;
use farside_service::random;
use rusqlite::Transaction;
use serde_json::{Value, json};

use crate::config::Config;
use crate::enrol::refused;
use crate::import::JOURNAL_NAME;
use crate::judge::Clocks;
use crate::store::{self, GlassRow, Store, StoreFault};
use crate::trouble::Trouble;
use crate::trust::{self, BUILT_AT};

pub use glass::{Glass, Glasses, Life, Over};
pub use pass::{PREFIX, Pass, shown as shown_pass};

/// Most passes that count at once.
pub const OPEN_MAX: usize = 8;

/// Life of an order, where nobody says.
pub const LIFETIME_SECONDS_DEFAULT: u64 = 1_800;

/// How long one change waits for another to end.
const LOCK_WAIT_SECONDS_MAX: u64 = 120;

/// Tolerance between clocks before a policy has been applied.
const LEEWAY_SECONDS_DEFAULT: u64 = 60;

/// What somebody wants to be let in for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Who.
    pub subject: String,
    /// Where to; left out: the site's only audience.
    pub audience: Option<String>,
    /// As what.
    pub role: String,
    /// Why.
    pub reason: String,
    /// For how long.
    pub lifetime_seconds: u64,
}

/// What an opened order gives.
#[derive(Debug)]
pub struct Opened {
    /// The order, and whose cards counted.
    pub signed: SignedOrder,
    /// The pass: shown now, and never again.
    pub pass: Pass,
    /// How long it counts.
    pub seconds: u64,
}

/// Why a pass is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody closed it.
    Closed,
    /// Its time has passed.
    Expired,
    /// The machine was started anew.
    Restarted,
    /// The newest charter no longer counts enough of the cards that signed it.
    Unsigned,
}

impl Why {
    /// As store and journal spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Closed => "closed",
            Why::Expired => "expired",
            Why::Restarted => "restarted",
            Why::Unsigned => "unsigned",
        }
    }
}

/// Where orders are drafted, opened and closed: one at a time, whichever process does it.
pub struct Desk<'a> {
    config: &'a Config,
    store: Store,
    journal: Journal,
    by: String,
    _lock: Exclusive,
}

impl<'a> Desk<'a> {
    /// Takes the gate's lock and its journal.
    ///
    /// # Errors
    /// The store, the lock or the journal cannot be had.
    pub fn take(config: &'a Config) -> Result<Desk<'a>, Failure> {
        let store = Store::open(&config.database())?;
        let lock = Exclusive::take_within(&config.import_lock(), Duration::from_secs(LOCK_WAIT_SECONDS_MAX))?;
        let (journal, _) = Journal::open(&config.journal(), JOURNAL_NAME)?;
        Ok(Desk { config, store, journal, by: operator(), _lock: lock })
    }

    /// The text of an order, for cards to sign. What the gate would refuse later it refuses now.
    ///
    /// # Errors
    /// No cards are named, the audience is not to be opened so, or the wish does not fit an order.
    pub fn draft(&self, wish: &Wish, now: u64) -> Result<(GlassOrder, String), Failure> {
        let held = self.store.read(Held::read)?;
        let charter = held.charter()?;
        if charter.breakglass().is_none() {
            let detail = format!("charter {} has no such role", charter.version());
            return Err(refused(Refusal::new(Code::BreakglassUnnamed, detail)));
        }
        let audience = held.audience(wish.audience.as_deref()).map_err(refused)?;
        if wish.lifetime_seconds == 0 || wish.lifetime_seconds > LIFETIME_SECONDS_MAX {
            return Err(Failure::refused("an order is for an hour at most").hint("--lifetime 30m"));
        }
        let id = random::bytes::<{ ID_DIGITS / 2 }>().or_could_not(|| "name an order".to_owned())?;
        let drafted_at = held.time(now);
        let order = GlassOrder {
            realm: charter.realm().to_owned(),
            site: self.config.site.clone(),
            id: hex(&id),
            subject: wish.subject.clone(),
            audience,
            role: wish.role.clone(),
            reason: wish.reason.clone(),
            drafted_at,
            not_after: drafted_at + wish.lifetime_seconds,
        };
        let text = order.text().map_err(refused)?;
        self.record(now, "breakglass_drafted", json!(order))?;
        Ok((order, text))
    }

    /// Opens an order: once, and only where everything holds.
    ///
    /// # Errors
    /// It is refused, which is journalled too; or the gate could not work at all.
    // breakglass.md §4
    pub fn open(&self, bytes: &[u8], clocks: Clocks<'_>) -> Result<Opened, Failure> {
        if clocks.reading.boot.is_empty() {
            return Err(Failure::could_not("this system does not say when it was started").hint(
                "let the gate read /proc/sys/kernel/random/boot_id: a pass ends with the machine's start",
            ));
        }
        self.sweep(clocks)?;
        let pass = Pass::throw().or_could_not(|| "make a pass".to_owned())?;
        match self.store.write(|tx| self.consider(tx, bytes, &pass, clocks)) {
            Ok((signed, seconds)) => {
                self.record(clocks.now, "breakglass_opened", told(&signed))?;
                Ok(Opened { signed, pass, seconds })
            }
            Err(Trouble::Refused(refusal)) => {
                let sha256 = Digest::of(bytes).hex();
                let (code, detail) = (refusal.code().as_str(), refusal.detail());
                let members = json!({"sha256": sha256, "code": code, "detail": detail});
                self.record(clocks.now, "breakglass_refused", members)?;
                Err(refused(refusal))
            }
            Err(Trouble::Broken(failure)) => Err(failure),
        }
    }

    /// Judges an order, writes it into the journal and then keeps it.
    // breakglass.md §4.1
    fn consider(
        &self,
        tx: &Transaction<'_>,
        bytes: &[u8],
        pass: &Pass,
        clocks: Clocks<'_>,
    ) -> Result<(SignedOrder, u64), Trouble> {
        let held = Held::read(tx)?;
        let signed = orders::open(bytes, held.charter()?, &self.config.site)?;
        let order = signed.order();
        held.audience(Some(&order.audience))?;
        let now = held.time(clocks.now);
        order.timely(now, held.leeway_seconds())?;
        if store::breakglass::is_spent(tx, &order.id)? {
            return Err(Refusal::new(Code::BreakglassSpent, format!("order {}", order.id)).into());
        }
        if store::breakglass::unclosed(tx)?.len() >= OPEN_MAX {
            return Err(Refusal::new(Code::BreakglassCrowded, format!("{OPEN_MAX} count now")).into());
        }
        let seconds = order.seconds_left(now);
        let life = Life::begin(clocks.reading, seconds);
        let (boot, from_ms, until_ms) = life.parts();
        let row = GlassRow {
            id: order.id.clone(),
            note: bytes.to_vec(),
            opened_at: now,
            boot: boot.to_owned(),
            from_ms,
            until_ms,
            pass_sha256: Some(pass.sha256()),
            closed_at: None,
            why: None,
        };
        store::breakglass::add(tx, &row)?;
        // breakglass.md §4.5: whatever is about to count stands in the journal before it does.
        self.record(clocks.now, "breakglass_accepted", told(&signed))?;
        Ok((signed, seconds))
    }

    /// Ends passes at once: one, or every one that counts. Answers which those were.
    ///
    /// # Errors
    /// The store or the journal failed.
    pub fn close(&self, which: Option<&str>, clocks: Clocks<'_>) -> Result<Vec<String>, Failure> {
        self.sweep(clocks)?;
        let open = self.store.read(|tx| store::breakglass::unclosed(tx))?;
        let meant = open.into_iter().filter(|row| which.is_none_or(|id| row.id == id));
        meant.map(|row| self.end(row.id, Why::Closed, clocks.now)).collect()
    }

    /// Ends what is over by itself.
    ///
    /// # Errors
    /// The store or the journal failed.
    pub fn sweep(&self, clocks: Clocks<'_>) -> Result<(), Failure> {
        let (held, open) = self.store.read(|tx| Ok((Held::read(tx)?, store::breakglass::unclosed(tx)?)))?;
        let charter = held.charter()?;
        for row in open {
            let why = match Life::of(&row).seconds_left(clocks.reading) {
                Err(Over::Expired) => Why::Expired,
                Err(Over::Restarted) => Why::Restarted,
                Ok(_) if Glass::read(&row, charter, &self.config.site).is_err() => Why::Unsigned,
                Ok(_) => continue,
            };
            self.end(row.id, why, clocks.now)?;
        }
        Ok(())
    }

    fn end(&self, id: String, why: Why, now: u64) -> Result<String, Failure> {
        let ended = self.store.write(|tx| store::breakglass::close(tx, &id, now, why.as_str()))?;
        if ended {
            self.record(now, "breakglass_closed", json!({"id": id, "why": why.as_str()}))?;
        }
        Ok(id)
    }

    /// Durable when this returns.
    fn record(&self, now: u64, event: &str, mut members: Value) -> Result<(), Failure> {
        members["by"] = json!(self.by);
        self.journal.record_at(now, event, members)?.wait()?;
        Ok(())
    }
}

/// What a gate judges orders by.
struct Held {
    charter: Option<Charter>,
    policy: Option<PolicyDocument>,
    floor: u64,
}

impl Held {
    fn read(tx: &Transaction<'_>) -> Result<Held, StoreFault> {
        let charter = store::charters(tx)?.last().map(|note| trust::newest_charter(note)).transpose()?;
        let policy = store::document(tx, "policy")?.map(|body| serde_json::from_slice(&body)).transpose();
        let policy = policy.map_err(|_| StoreFault::Damaged("policy"))?;
        Ok(Held { charter, policy, floor: store::state(tx)?.time_floor.max(BUILT_AT) })
    }

    fn charter(&self) -> Result<&Charter, Failure> {
        self.charter.as_ref().ok_or_else(|| {
            Failure::could_not("this gate trusts no charter yet")
                .hint("run `farside gate trust CHARTER` and compare its fingerprint first")
        })
    }

    /// The gate's time: the later of clock and floor.
    // breakglass.md §4.3
    fn time(&self, now: u64) -> u64 {
        now.max(self.floor)
    }

    fn leeway_seconds(&self) -> u64 {
        self.policy.as_ref().map_or(LEEWAY_SECONDS_DEFAULT, |policy| policy.leeway_seconds)
    }

    /// The audience that is meant, where the policy lets it be opened so.
    // breakglass.md §4.2
    fn audience(&self, wanted: Option<&str>) -> Result<String, Refusal> {
        let forbidden = |detail: String| Refusal::new(Code::BreakglassForbidden, detail);
        let Some(policy) = &self.policy else {
            return Err(forbidden("this gate has applied no policy yet".to_owned()));
        };
        let names = || policy.audiences.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        let meant = match (wanted, &policy.audiences[..]) {
            (Some(name), _) => policy.audience(name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(audience) = meant else {
            let cure = format!("name one of the site's audiences: {}", names());
            return Err(forbidden("the policy knows no such audience".to_owned()).with_cure(cure));
        };
        match audience.opens_by_breakglass() {
            true => Ok(audience.name.clone()),
            false if audience.holder_bound => {
                Err(forbidden("it admits only whoever proves a key, and a pass is a bearer's".to_owned()))
            }
            false => Err(forbidden(audience.name.clone())),
        }
    }
}

/// What the journal keeps of an order.
fn told(signed: &SignedOrder) -> Value {
    let mut members = json!(signed.order());
    members["signers"] = json!(signed.signers());
    members
}
