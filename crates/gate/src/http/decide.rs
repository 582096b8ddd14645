//! The one function behind every door: judge the token, remember what counts once, write the decision down,
//! and only then let it be answered.
//!
//! The journal's line is durable before the answer leaves, unless the configuration says `audit = "batched"`:
//! then it is on its way. A decision that cannot be written down is no decision: it is answered with
//! `journal_unavailable`, never with a grant, and a disk that hangs is given up after a deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farside_crossing::{Action, staple};
use farside_service::append::{Haste, Ticket, Tried};
use farside_service::digest;
use farside_service::journal::Event;
use farside_service::time::read_clocks;
use farside_verify::{Code, Refusal};
use serde_json::{Value, json};

use super::{Door, Doors};
use crate::breakglass;
use crate::config::Audit;
use crate::judge::{self, Clocks, Deed, Grant, Inspection, Kept, Pending, Requested, Shown, Wanted};
use crate::patience::DISK_WAIT_SECONDS_MAX;
use crate::trust::TrustState;

/// More of a path is not written down: strangers must not fill the disk.
const PATH_CHARACTERS_MAX: usize = 256;

/// How often a line that finds the journal's queue full tries again.
const QUEUE_LOOK: Duration = Duration::from_millis(1);

impl Doors {
    /// Decides whether the bearer of a token enters, for what is `wanted`.
    ///
    /// # Errors
    /// The refusal, journalled; or `journal_unavailable`.
    pub(crate) async fn admit(
        &self,
        door: Door,
        trust: &Arc<TrustState>,
        credential: &str,
        wanted: Wanted<'_>,
    ) -> Result<Grant, Refusal> {
        let (started, now) = (Instant::now(), self.now());
        let by = Judges {
            pass: judge::judge_pass,
            token: |trust, shown, wanted, now| judge::judge(trust, shown, wanted, now),
        };
        let judged = by.judge(trust, credential, wanted, now).await;
        self.enter(Asked { door, credential, wanted, started, now }, judged).await
    }

    /// Decides whether the bearer enters for one of these audiences, the first that will do, and meets what
    /// the door itself demands. What the policy does not know among them is passed over, if it knows another.
    ///
    /// # Errors
    /// The refusal, journalled; or `journal_unavailable`.
    pub(crate) async fn admit_to_one(
        &self,
        door: Door,
        trust: &Arc<TrustState>,
        credential: &str,
        (audiences, action): (&[String], Option<Action>),
        demand: impl Fn(&Pending) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<Grant, Refusal> {
        let (started, now) = (Instant::now(), self.now());
        let known = |name: &&String| trust.audiences().any(|audience| audience == name.as_str());
        let mut tried: Vec<String> = audiences.iter().filter(known).cloned().collect();
        if tried.is_empty() {
            tried.extend(audiences.first().cloned());
        }
        let named = (tried.len() == 1).then(|| tried[0].clone());
        let judged = judged(trust, credential, Wanted::default(), move |trust, shown, _| {
            let judge = |audience: &String| {
                let wanted = Wanted { action, deed: Deed::Authenticate, ..audience.as_str().into() };
                let pending = judge::judge(trust, shown, wanted, now)?;
                demand(&pending).map(|()| pending)
            };
            let mut verdict = Err(Refusal::new(Code::AudienceMismatch, "no audience was named", ""));
            for audience in &tried {
                let passed_over = [Code::AudienceMismatch, Code::PolicyDenied];
                if verdict.as_ref().map_or_else(|refusal| !passed_over.contains(&refusal.code()), |_| true) {
                    break;
                }
                verdict = judge(audience);
            }
            verdict
        })
        .await;
        let admitted = judged.as_ref().ok().and_then(|pending| pending.audience().map(str::to_owned));
        let audience = admitted.or(named);
        let wanted = Wanted { action, ..audience.as_deref().into() };
        self.enter(Asked { door, credential, wanted, started, now }, judged).await
    }

    /// Tells a resource server what a token says, if it is good; whoever bears it enters nothing by this.
    ///
    /// # Errors
    /// The refusal, journalled; or `journal_unavailable`.
    pub(crate) async fn inspect(
        &self,
        trust: &Arc<TrustState>,
        credential: &str,
        wanted: Wanted<'_>,
    ) -> Result<Inspection, Refusal> {
        let (started, now) = (Instant::now(), self.now());
        let by = Judges {
            pass: |trust, sha256, wanted, clocks| judge::inspect_pass(trust, sha256, wanted.audience, clocks),
            token: |trust, shown, wanted, now| judge::inspect(trust, shown, wanted, now),
        };
        let unused = match by.judge(trust, credential, wanted, now).await {
            Ok(holds) => self.unused(holds).await,
            refused => refused,
        };
        self.conclude(Asked { door: Door::Introspect, credential, wanted, started, now }, unused).await
    }

    /// A token that counts once and was used holds no more; being asked about is no use of it.
    // replay.md §4.1
    async fn unused(&self, holds: Inspection) -> Result<Inspection, Refusal> {
        if let Some(once) = holds.once() {
            self.replay.look(&[*once]).await?;
        }
        Ok(holds)
    }

    /// Writes one line into the journal and waits until it is durable.
    ///
    /// # Errors
    /// `journal_unavailable`.
    pub(crate) async fn write_down(&self, event: &str, now: u64, members: Value) -> Result<(), Refusal> {
        let mut line = Event::new(now, event);
        members.as_object().into_iter().flatten().for_each(|(name, value)| line.put(name, value));
        let ticket = self.queue(line, Haste::Now).await?;
        self.patience.wait(ticket).await.map_err(|fault| unwritten(&fault))
    }

    /// Writes a decision down, as the configuration says: durable, or on its way to the disk. A pass of a
    /// broken glass is durable always.
    // journal.md §1.4
    async fn write_decision(&self, decision: Event, by_glass: bool) -> Result<(), Refusal> {
        if self.audit == Audit::Strict || by_glass {
            let ticket = self.queue(decision, Haste::Now).await?;
            return self.patience.wait(ticket).await.map_err(|fault| unwritten(&fault));
        }
        let ticket = self.queue(decision, Haste::Soon).await?;
        self.patience.watch(ticket);
        Ok(())
    }

    /// Puts a line into the journal's queue. No thread waits for room in it: they have others to answer.
    async fn queue(&self, mut line: Event, haste: Haste) -> Result<Ticket, Refusal> {
        let mut waited = Duration::ZERO;
        loop {
            self.patience.ready().map_err(|late| unwritten(&late))?;
            match self.journal.try_write(line, haste).map_err(|broken| unwritten(&broken))? {
                Tried::Taken(ticket) => return Ok(ticket),
                Tried::Full(_) if waited.as_secs() >= DISK_WAIT_SECONDS_MAX => {
                    return Err(unwritten(&"the journal's queue stays full"));
                }
                Tried::Full(back) => line = back,
            }
            tokio::time::sleep(QUEUE_LOOK).await;
            waited += QUEUE_LOOK;
        }
    }

    /// Whether a decision could be written down now.
    pub(crate) fn can_write(&self) -> bool {
        self.patience.ready().is_ok() && self.journal.healthy().is_ok()
    }

    /// Remembers what counts once, and writes the decision down. Whoever then cannot be told of it has used
    /// the token up all the same.
    ///
    /// # Errors
    /// The refusal that was judged; `replayed`, or that it could not be remembered; or `journal_unavailable`.
    pub(crate) async fn enter(
        &self,
        asked: Asked<'_>,
        judged: Result<Pending, Refusal>,
    ) -> Result<Grant, Refusal> {
        let entered = match judged {
            Ok(pending) => pending.remember(&self.replay, asked.now).await,
            Err(refusal) => Err(refusal),
        };
        self.conclude(asked, entered).await
    }

    /// Writes the decision down; what could not be written is no decision.
    ///
    /// # Errors
    /// The refusal that was judged; or `journal_unavailable`.
    async fn conclude<T>(&self, asked: Asked<'_>, judged: Result<T, Refusal>) -> Result<T, Refusal>
    where
        T: AsRef<Inspection>,
    {
        let (decision, by_glass) = match &judged {
            Ok(holds) => (admitted(&asked, holds.as_ref()), holds.as_ref().by_glass().is_some()),
            Err(refusal) => (refused(&asked, refusal), false),
        };
        let concluded = self.write_decision(decision, by_glass).await.and(judged);
        self.counts.decided(asked.door, concluded.as_ref().err(), asked.started.elapsed());
        concluded
    }
}

/// Who judges what was shown: a pass of broken glass, or a token.
struct Judges<T> {
    pass: fn(&TrustState, &[u8; 32], Wanted<'_>, Clocks<'_>) -> Result<T, Refusal>,
    token: fn(&TrustState, &str, Wanted<'_>, u64) -> Result<T, Refusal>,
}

impl<T: Send + 'static> Judges<T> {
    async fn judge(
        &self,
        trust: &Arc<TrustState>,
        credential: &str,
        wanted: Wanted<'_>,
        now: u64,
    ) -> Result<T, Refusal> {
        if let Some(sha256) = breakglass::shown_pass(credential) {
            return (self.pass)(trust, &sha256, wanted, Clocks { now, reading: &read_clocks() });
        }
        let token = self.token;
        judged(trust, credential, wanted, move |trust, shown, wanted| token(trust, shown, wanted, now)).await
    }
}

/// Judges at once; but what is stapled to a token may bring a head that has to be on the disk first, and that
/// happens on a thread that may wait.
async fn judged<T: Send + 'static>(
    trust: &Arc<TrustState>,
    credential: &str,
    wanted: Wanted<'_>,
    judge: impl FnOnce(&TrustState, &str, Wanted<'_>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if !credential.contains(staple::DIVIDER) {
        return judge(trust, credential, wanted);
    }
    let (trust, credential, kept) = (Arc::clone(trust), credential.to_owned(), Kept::from(wanted));
    let done = tokio::task::spawn_blocking(move || judge(&trust, &credential, kept.wanted())).await;
    done.unwrap_or_else(|_| Err(Refusal::new(Code::Stale, "the judgement was broken off", "Try again.")))
}

/// What was asked of the gate, for the journal and the metrics.
pub(crate) struct Asked<'a> {
    pub(crate) door: Door,
    pub(crate) credential: &'a str,
    pub(crate) wanted: Wanted<'a>,
    pub(crate) started: Instant,
    pub(crate) now: u64,
}

fn admitted(asked: &Asked<'_>, inspection: &Inspection) -> Event {
    let mut line = common(asked, "admit");
    line.put("sub", &inspection.subject());
    match inspection.shown() {
        Shown::Token(claims) => {
            line.put("jti", &claims.token_id());
            line.put("kid", claims.key_id());
            line.put("signing_input_sha256", &digest::hex(&claims.signing_input_sha256()));
        }
        // breakglass.md §5.6
        Shown::Pass(through) => {
            let order = through.order();
            let (id, subject, role) = (&order.id, &order.subject, &order.role);
            tracing::warn!(id, subject, role, audience = order.audience, "entered by break-glass");
            line.put("breakglass", id);
            line.put("role", role);
        }
    }
    line.put("exp", &inspection.expires_at());
    // policy.md §5.4
    if let Some(policies) = inspection.policies() {
        line.put("policies", policies);
    }
    line
}

// Nothing that a refused token says of itself is believed, so nothing of it is written but the hash of its
// text.
fn refused(asked: &Asked<'_>, refusal: &Refusal) -> Event {
    let mut line = common(asked, "refuse");
    line.put("code", refusal.code().as_str());
    line.put("detail", refusal.detail());
    if let Some(policies) = refusal.policies() {
        line.put("policies", policies);
    }
    // Of the token alone, whatever is stapled to it: one token has one hash here.
    let token = asked.credential.split(staple::DIVIDER).next().unwrap_or_default();
    line.put("token_sha256", &digest::hex(&digest::sha256(token.as_bytes())));
    line
}

fn common(asked: &Asked<'_>, verdict: &str) -> Event {
    let mut line = Event::new(asked.now, "decision");
    line.put("door", asked.door.name());
    line.put("verdict", verdict);
    line.put("aud", &asked.wanted.audience);
    if let Some(action) = asked.wanted.action {
        line.put("action", &action);
    }
    if let Some(request) = asked.wanted.request {
        line.put("request", &requested(request));
    }
    if let Deed::Login { account } = asked.wanted.deed {
        line.put("account", account);
    }
    line
}

/// What was asked for, without its query, which may hold what nobody should read later.
fn requested(request: &Requested<'_>) -> Value {
    // As it was received: whoever reads it later should see what the client wrote.
    let shown: String = request.path().chars().take(PATH_CHARACTERS_MAX).collect();
    json!({
        "method": request.method(),
        "scheme": request.scheme().as_str(),
        "host": request.host(),
        "port": request.port(),
        "path": shown,
    })
}

fn unwritten(why: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%why, "the decision could not be written to the journal");
    metrics::counter!("farside_gate_journal_failures_total").increment(1);
    // The client learns that it cannot be judged, not what is wrong with the disk.
    Refusal::new(Code::JournalUnavailable, "", "")
}
