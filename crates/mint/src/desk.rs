//! Carries out commands that need the log, whether they come over the socket of a running mint or from a
//! command that holds the log itself: one code path for both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farside_crossing::Signer;
use farside_crossing::manifest::Kind;
use farside_service::cli::Failure;
use farside_service::journal::Journal;
use farside_service::time::{Reading, now_unix, now_unix_micros, read_clocks, rfc3339};
use farside_service::web::{Shutdown, WebFault};
use farside_verify::leaf::TokenPosition;
use serde_json::{Value, json};

use crate::bundler::{self, Books, Made};
use crate::ceremony;
use crate::config::Mint;
use crate::control::{self, Command, IssuedToken, Reply, TokenOrder};
use crate::issue::{IssueFault, Issuer, SignedToken};
use crate::judge::{IssueRequest, Requester};
use crate::keys::Passphrase;
use crate::log::index::{Index, IndexFault};
use crate::log::{Clock, Logged, Recovered};
use crate::rotation::outlook::Outlook;
use crate::rotation::{Gone, Rotation, Scene, belief};
use crate::store::Site;
use crate::token_signer::SignFault;

/// How often the cadence looks for what is due.
const CADENCE_TICK: Duration = Duration::from_secs(1);

/// A [`Clock`] counts microseconds, a journal seconds.
const MICROS_PER_SECOND: u64 = 1_000_000;

/// The journal of whoever holds the log.
const JOURNAL_NAME: &str = "mint";

/// Who orders the bundles that are due.
const CADENCE: &str = "cadence";

/// How often it is written down how much was issued.
const ISSUING_SECONDS: u64 = 60;

/// How long after a bundle could not be made it is tried again.
const RETRY_SECONDS: u64 = 60;

/// Where commands are carried out.
#[derive(Debug)]
pub struct Desk {
    mint: Mint,
    issuer: Arc<Issuer>,
    /// When this desk was opened: the cadence of a site without bundles begins there.
    opened_at: u64,
    /// By which acts are written down.
    clock: Clock,
    /// By which keys are destroyed.
    clocks: Clocks,
    /// What this mint does, for auditors; commands keep their own beside it.
    journal: Journal,
    /// Owns since when the tally's sums have gathered.
    told_at: Mutex<u64>,
    /// Owns when a bundle was last tried for each site, so that a failure is not repeated every second.
    tried: Mutex<HashMap<String, Tried>>,
    /// How many of the log's records its index has seen.
    indexed: AtomicU64,
    /// Keys that come and go.
    rotation: Rotation,
    /// What people will have to do.
    outlook: Outlook,
}

/// Reads the clock that people set beside the one that nobody sets.
pub type Clocks = fn() -> Reading;

/// The newest attempt at a site's bundle by the cadence.
#[derive(Debug, Default)]
struct Tried {
    at: u64,
    /// Why there was none; it stands in the journal once, however often it is tried again.
    failed: Option<String>,
}

/// Has a command carried out: by the mint that runs, else here and now, with the log held for that long.
pub fn carry_out(mint: &Mint, command: &Command, now: u64) -> Result<Reply, Failure> {
    match control::call(&mint.home.socket(), command)? {
        Some(reply) => reply.success(),
        None => {
            let (desk, _recovered) = Desk::open(mint, now)?;
            desk.rotate(now)?;
            let reply = desk.carry_out(command, now)?;
            desk.tell_issuing(now)?;
            Ok(reply)
        }
    }
}

impl Desk {
    /// Takes the log of this mint and makes ready to issue and to pack.
    pub fn open(mint: &Mint, now: u64) -> Result<(Desk, Recovered), Failure> {
        Self::open_by((now_unix_micros, read_clocks), mint, mint.passphrase()?, now)
    }

    /// As [`Desk::open`], by other clocks and with the passphrase in hand.
    pub fn open_by(
        (clock, clocks): (Clock, Clocks),
        mint: &Mint,
        passphrase: Passphrase,
        now: u64,
    ) -> Result<(Desk, Recovered), Failure> {
        let store = Arc::new(mint.store()?);
        let (issuer, recovered) = Issuer::open_by(clock, mint, store, Arc::new(passphrase), now)?;
        let (journal, _) = Journal::open(&mint.home.journal(), JOURNAL_NAME)?;
        let (mint, issuer) = (mint.clone(), Arc::new(issuer));
        let desk = Desk {
            mint,
            issuer,
            opened_at: now,
            clock,
            clocks,
            journal,
            told_at: Mutex::new(now),
            tried: Mutex::default(),
            indexed: AtomicU64::new(0),
            rotation: Rotation::default(),
            outlook: Outlook::default(),
        };
        Ok((desk, recovered))
    }

    /// Writes an act down; returns once that is durable.
    // journal.md §6.1
    pub fn record(&self, event: &str, members: Value) -> Result<(), Failure> {
        Ok(self.journal.record_at((self.clock)() / MICROS_PER_SECOND, event, members)?.wait()?)
    }

    /// Whether acts can be written down.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What people will have to do, a line each.
    pub fn to_do(&self) -> Vec<String> {
        self.outlook.lines()
    }

    /// Writes down how much was issued and refused since this was done last.
    pub fn tell_issuing(&self, now: u64) -> Result<(), Failure> {
        let since = std::mem::replace(&mut *lock(&self.told_at), now);
        let Some(mut sums) = self.issuer.tally().take() else { return Ok(()) };
        sums["since"] = json!(rfc3339(since));
        self.record("issuing", sums)
    }

    /// Who issues.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Carries out one command; blocks until what it did is durable.
    pub fn carry_out(&self, command: &Command, now: u64) -> Result<Reply, Failure> {
        match command {
            Command::IssueToken(order) => self.issue(order, now),
            Command::MakeBundle { site, kind, since, operator } => {
                let made = self.make_bundle((site, *kind), *since, operator, now);
                if let Err(failure) = &made {
                    self.not_made(operator, site, *kind, failure)?;
                }
                Ok(Reply::Bundle(made?))
            }
            Command::ProveToken { token_id } => {
                let position: TokenPosition = token_id
                    .parse()
                    .map_err(|fault| Failure::refused(format!("this is no token id: {fault}")))?;
                Ok(Reply::Logged(self.prove(&position)?))
            }
            Command::DestroyDue { reason, operator } => self.destroy_due(reason, operator, now),
            Command::RedactLog { query } => {
                let index = Index::open(&self.mint.home.log())?;
                Ok(Reply::Redacted(self.issuer.log().redact(&index, query, now)?))
            }
        }
    }

    /// Keeps the site's keys open and, on each site's cadence, its bundles made; until shut down.
    pub async fn keep_cadence(self: Arc<Self>, shutdown: Shutdown) -> Result<(), WebFault> {
        loop {
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = tokio::time::sleep(CADENCE_TICK) => {}
            }
            let desk = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || desk.round(now_unix())).await.is_err() {
                tracing::error!("a round of the cadence failed");
            }
        }
    }

    /// Publishes heads for what was issued; until shut down, and then once more.
    pub async fn keep_publishing(self: Arc<Self>, shutdown: Shutdown) -> Result<(), WebFault> {
        let every = Duration::from_secs(self.mint.config.log.publish_seconds.max(1));
        loop {
            let last = tokio::select! {
                () = shutdown.wait() => true,
                () = tokio::time::sleep(every) => false,
            };
            let desk = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || desk.issuer.log().publish()).await {
                Ok(Ok(progress)) => tracing::debug!(?progress, "the log's heads are published"),
                Ok(Err(fault)) => tracing::error!(%fault, "the log's heads are not published"),
                Err(_panicked) => tracing::error!("publishing the log's heads failed"),
            }
            if last {
                return Ok(());
            }
        }
    }

    /// One look at what is due. What fails for one site is told and tried again when it is due again; the
    /// other sites go on.
    pub fn round(&self, now: u64) {
        if let Err(fault) = self.rotate(now) {
            tracing::error!(%fault, "keys cannot come and go");
        }
        if let Err(fault) = self.outlook.look(&self.mint, self.issuer.store(), now, self.clocks) {
            tracing::error!(%fault, "what is to be done cannot be told");
        }
        if let Err(fault) = self.issuer.warm_up(now) {
            tracing::error!(%fault, "a token key is not ready");
        }
        self.follow_log();
        match self.issuer.store().directory() {
            Ok(directory) => directory
                .sites()
                .filter(|site| site.enabled && self.is_due(site, now))
                .for_each(|site| self.make_due_bundle(site, now)),
            Err(fault) => tracing::error!(%fault, "the directory cannot be read"),
        }
        if now >= lock(&self.told_at).saturating_add(ISSUING_SECONDS)
            && let Err(fault) = self.tell_issuing(now)
        {
            tracing::error!(%fault, "what was issued cannot be written to the journal");
        }
    }

    /// Writes down which keys took over, and destroys what has ended.
    fn rotate(&self, now: u64) -> Result<Gone, Failure> {
        let books = Books { journal: &self.journal, by: CADENCE };
        let (home, store, passphrase) = (&self.mint.home, self.issuer.store(), self.issuer.passphrase());
        let doubt = belief::look(store, books, &(self.clocks)())?;
        let scene = Scene { home, store, passphrase, books, now, doubt };
        let gone = self.rotation.round(&scene)?;
        self.issuer.forget(&gone);
        Ok(gone)
    }

    /// Believes the clock on people's word, and destroys what has ended by it.
    // keys.md §5.4
    fn destroy_due(&self, reason: &str, operator: &str, now: u64) -> Result<Reply, Failure> {
        let (books, store) = (Books { journal: &self.journal, by: operator }, self.issuer.store());
        let reading = (self.clocks)();
        let doubted = belief::doubt(store, &reading)?.is_some();
        if doubted {
            belief::accept(store, books, &reading, reason)?;
        }
        let Gone { token_kids, role_keys } = self.rotate(now)?;
        Ok(Reply::Destroyed { doubted, token_kids, role_keys })
    }

    // Opened afresh each time: whoever removes the index may do so at any time.
    fn follow_log(&self) {
        let records = self.issuer.log().records();
        if self.indexed.swap(records, Ordering::Relaxed) == records {
            return;
        }
        if let Err(fault) = Index::open(&self.mint.home.log()).and_then(|index| index.catch_up()) {
            tracing::warn!(%fault, "the log's index could not follow; looking something up will take longer");
        }
    }

    fn is_due(&self, site: &Site, now: u64) -> bool {
        let first = self.opened_at.saturating_add(site.terms.every_seconds);
        // A bundle of a clock that was ahead is no reason to wait for that time.
        let ahead = now.saturating_add(bundler::CLOCK_STEP_SECONDS_MAX);
        let due = match site.last_bundle {
            Some(last) if last.issued_at > ahead => 0,
            _ => site.bundle_due_at().unwrap_or(first),
        };
        let tried = lock(&self.tried).get(&site.name).map_or(0, |tried| tried.at);
        now >= due && now >= tried.saturating_add(RETRY_SECONDS)
    }

    fn make_due_bundle(&self, site: &Site, now: u64) {
        let made = self.make_bundle((&site.name, Kind::Full), None, CADENCE, now);
        let failed = made.as_ref().err().map(Failure::to_string);
        let before = lock(&self.tried).insert(site.name.clone(), Tried { at: now, failed: failed.clone() });
        match made {
            Ok(made) => tracing::info!(site = made.site, seq = made.seq, "a bundle lies in the outbox"),
            Err(failure) => {
                tracing::error!(site = site.name, reason = %failure, "no bundle was made");
                let news = before.is_none_or(|before| before.failed != failed);
                if news && let Err(fault) = self.not_made(CADENCE, &site.name, Kind::Full, &failure) {
                    tracing::error!(%fault, "that cannot be written to the journal");
                }
            }
        }
    }

    fn not_made(&self, by: &str, site: &str, kind: Kind, failure: &Failure) -> Result<(), Failure> {
        let reason = failure.to_string();
        let members = json!({"by": by, "site": site, "kind": kind.as_str(), "reason": reason});
        self.record("bundle_not_made", members)
    }

    fn make_bundle(
        &self,
        (site, kind): (&str, Kind),
        since: Option<u64>,
        by: &str,
        now: u64,
    ) -> Result<Made, Failure> {
        // The head that this bundle carries of the journal covers what was issued until now.
        self.tell_issuing(now)?;
        let online = self.issuer.role_keys().online()?;
        let online: &dyn Signer = &*online;
        let (home, store) = (&self.mint.home, self.issuer.store());
        let books = Books { journal: &self.journal, by };
        let order = bundler::Order { home, store, site, kind, since, online, books, now };
        let made = bundler::make(&order, &*self.issuer)?;
        metrics::counter!("farside_mint_bundles_total", "site" => made.site.clone()).increment(1);
        Ok(made)
    }

    fn issue(&self, order: &TokenOrder, now: u64) -> Result<Reply, Failure> {
        if let Some(site) = &order.site {
            self.refuse_other_site(site, &order.audience)?;
        }
        let issued = self.issuer.issue(&request(order), now);
        if let Err(IssueFault::Refused(refused)) = &issued {
            let TokenOrder { operator, subject, audience, .. } = order;
            self.record(
                "token_refused",
                json!({"by": operator, "subject": subject, "audience": audience, "reason": refused.to_string()}),
            )?;
        }
        let issued = issued?;
        let mut token = describe(&issued);
        if order.stapled {
            token.token = self.stapled(&issued)?;
        }
        Ok(Reply::Token(token))
    }

    // log.md §8.2: the token as it is carried by hand ahead of its bundle.
    fn stapled(&self, token: &SignedToken) -> Result<String, Failure> {
        let logged = self.prove(token.position())?;
        let charter = ceremony::newest(self.issuer.store())?;
        let staple = charter.log().iter().find_map(|log| logged.staple(log).ok().flatten());
        let staple =
            staple.ok_or_else(|| Failure::could_not("no log key of the charter believes the head"))?;
        Ok(staple.to_token(token.expose()))
    }

    // A leaf is under no head before one has been published.
    fn prove(&self, position: &TokenPosition) -> Result<Logged, Failure> {
        self.issuer.log().publish()?;
        self.issuer.log().prove(position)?.ok_or_else(|| {
            Failure::refused(format!("the log holds nothing at {position}"))
                .hint("a token's id is its `jti`: log shard, hyphen, index")
        })
    }

    fn refuse_other_site(&self, site: &str, audience: &str) -> Result<(), Failure> {
        let directory = self.issuer.store().directory()?;
        match directory.site_of_audience(audience) {
            Some(found) if found.name != site => {
                Err(Failure::refused(format!("audience {audience:?} belongs to site {:?}", found.name)))
            }
            _ => Ok(()),
        }
    }
}

impl crate::oauth::Backroom for Desk {
    fn index(&self) -> Result<Index, IndexFault> {
        Index::open(&self.mint.home.log())
    }

    fn record(&self, event: &str, members: Value) -> Result<(), Failure> {
        Desk::record(self, event, members)
    }
}

/// What the desk guards with locks stays whole when its holder panics: each step is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(order: &TokenOrder) -> IssueRequest {
    IssueRequest {
        requester: Requester::Operator(order.operator.clone()),
        subject: order.subject.clone(),
        audience: order.audience.clone(),
        roles: order.roles.clone(),
        groups: order.groups.clone(),
        scope: None,
        lifetime_seconds: order.lifetime_seconds,
        profile: order.profile,
        confirmation: order.confirmation.clone(),
        assertion: None,
    }
}

fn describe(token: &SignedToken) -> IssuedToken {
    let draft = token.draft();
    IssuedToken {
        token: token.expose().to_owned(),
        token_id: token.position().to_string(),
        subject: draft.subject().to_owned(),
        audience: draft.audience().to_owned(),
        site: draft.site().to_owned(),
        kid: draft.signer().kid().to_owned(),
        expires_at: draft.expires_at(),
    }
}

impl From<IssueFault> for Failure {
    fn from(fault: IssueFault) -> Self {
        match fault {
            IssueFault::Refused(refused) => {
                let hint = refused.hint();
                let failure = Failure::refused(refused.to_string());
                hint.map_or_else(|| Failure::refused(refused.to_string()), |hint| failure.hint(hint))
            }
            IssueFault::Store(fault) => fault.into(),
            IssueFault::Key { fault, .. } => fault.into(),
            IssueFault::Sign(SignFault::Token { fault, .. }) => fault.into(),
            fault @ (IssueFault::PublicKey { .. } | IssueFault::Sign(_)) => {
                Failure::could_not(fault.to_string())
            }
            IssueFault::Log(fault) => fault.into(),
        }
    }
}
