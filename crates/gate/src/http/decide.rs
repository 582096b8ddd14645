//! The one function behind every door: judge the token, remember what counts once, write the decision down,
//! and only then let it be answered.
//!
//! The journal's line is durable before the answer leaves. A decision that cannot be written down is no
//! decision: it is answered with `journal_unavailable`, never with a grant, and a disk that hangs is given up
//! after a deadline.

use std::sync::Arc;
use std::time::Instant;

use farside_crossing::staple;
use farside_service::digest;
use farside_service::time::read_clocks;
use farside_verify::{Code, Refusal};
use serde_json::{Map, Value, json};

use super::{Door, Doors};
use crate::breakglass;
use crate::judge::{self, Clocks, Deed, Grant, Inspection, Kept, Pending, Requested, Shown, Wanted};
use crate::trust::TrustState;

/// More of a path is not written down: strangers must not fill the disk.
const PATH_CHARACTERS_MAX: usize = 256;

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
        let judged = match breakglass::shown_pass(credential) {
            Some(sha256) => {
                let clocks = Clocks { now, reading: &read_clocks() };
                judge::judge_pass(trust, &sha256, wanted, clocks)
            }
            None => {
                let judge = move |trust: &TrustState, shown: &str, wanted: Wanted<'_>| {
                    judge::judge(trust, shown, wanted, now)
                };
                judged(trust, credential, wanted, judge).await
            }
        };
        self.enter(Asked { door, credential, wanted, account: None, started, now }, judged).await
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
        audiences: &[String],
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
                let wanted = Wanted { deed: Deed::Authenticate, ..audience.as_str().into() };
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
        let wanted = audience.as_deref().into();
        self.enter(Asked { door, credential, wanted, account: None, started, now }, judged).await
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
        let judged = match breakglass::shown_pass(credential) {
            Some(sha256) => {
                let clocks = Clocks { now, reading: &read_clocks() };
                judge::inspect_pass(trust, &sha256, wanted.audience, clocks)
            }
            None => {
                let judge = move |trust: &TrustState, shown: &str, wanted: Wanted<'_>| {
                    judge::inspect(trust, shown, wanted, now)
                };
                judged(trust, credential, wanted, judge).await
            }
        };
        let unused = match judged {
            Ok(holds) => self.unused(holds).await,
            refused => refused,
        };
        self.conclude(
            Asked { door: Door::Introspect, credential, wanted, account: None, started, now },
            unused,
        )
        .await
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
        self.patience.ready().map_err(|late| unwritten(&late))?;
        let recorded = self.journal.record_at(now, event, members);
        let ticket = recorded.map_err(|broken| unwritten(&broken))?;
        self.patience.wait(ticket).await.map_err(|fault| unwritten(&fault))
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
        let members = match &judged {
            Ok(holds) => admitted(&asked, holds.as_ref()),
            Err(refusal) => refused(&asked, refusal),
        };
        let concluded = self.write_down("decision", asked.now, members).await.and(judged);
        let code = concluded.as_ref().err().map_or("", |refusal| refusal.code().as_str());
        let verdict = if concluded.is_ok() { "admit" } else { "refuse" };
        metrics::counter!("farside_gate_decisions_total",
            "door" => asked.door.name(), "verdict" => verdict, "code" => code)
        .increment(1);
        metrics::histogram!("farside_gate_decision_seconds", "door" => asked.door.name())
            .record(asked.started.elapsed());
        concluded
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
    /// The account that is logged in to, at the door for sshd.
    pub(crate) account: Option<&'a str>,
    pub(crate) started: Instant,
    pub(crate) now: u64,
}

fn admitted(asked: &Asked<'_>, inspection: &Inspection) -> Value {
    let mut members = common(asked, "admit");
    members.insert("sub".into(), json!(inspection.subject()));
    match inspection.shown() {
        Shown::Token(claims) => {
            members.insert("jti".into(), json!(claims.token_id()));
            members.insert("kid".into(), json!(claims.key_id()));
            let hash = digest::hex(&claims.signing_input_sha256());
            members.insert("signing_input_sha256".into(), json!(hash));
        }
        // breakglass.md §5.6
        Shown::Pass(through) => {
            let order = through.order();
            let (id, subject, role) = (&order.id, &order.subject, &order.role);
            tracing::warn!(id, subject, role, audience = order.audience, "entered by break-glass");
            members.insert("breakglass".into(), json!(id));
            members.insert("role".into(), json!(role));
        }
    }
    members.insert("exp".into(), json!(inspection.expires_at()));
    // policy.md §5.4
    if let Some(policies) = inspection.policies() {
        members.insert("policies".into(), json!(policies));
    }
    Value::Object(members)
}

// Nothing that a refused token says of itself is believed, so nothing of it is written but the hash of its
// text.
fn refused(asked: &Asked<'_>, refusal: &Refusal) -> Value {
    let mut members = common(asked, "refuse");
    members.insert("code".into(), json!(refusal.code().as_str()));
    members.insert("detail".into(), json!(refusal.detail()));
    if let Some(policies) = refusal.policies() {
        members.insert("policies".into(), json!(policies));
    }
    // Of the token alone, whatever is stapled to it: one token has one hash here.
    let token = asked.credential.split(staple::DIVIDER).next().unwrap_or_default();
    members.insert("token_sha256".into(), json!(digest::hex(&digest::sha256(token.as_bytes()))));
    Value::Object(members)
}

fn common(asked: &Asked<'_>, verdict: &str) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("door".into(), json!(asked.door.name()));
    members.insert("verdict".into(), json!(verdict));
    members.insert("aud".into(), json!(asked.wanted.audience));
    if let Some(action) = asked.wanted.action {
        members.insert("action".into(), json!(action));
    }
    if let Some(request) = asked.wanted.request {
        members.insert("request".into(), requested(request));
    }
    if let Some(account) = asked.account {
        members.insert("account".into(), json!(account));
    }
    members
}

/// What was asked for, without its query, which may hold what nobody should read later.
fn requested(request: &Requested<'_>) -> Value {
    let path = request.path();
    let path = path.as_deref().unwrap_or_else(|| request.target().split('?').next().unwrap_or_default());
    let shown: String = path.chars().take(PATH_CHARACTERS_MAX).collect();
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
