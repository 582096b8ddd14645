//! Carries out commands that need the log, whether they come over the socket of a running mint or from a
//! command that holds the log itself: one code path for both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use farside_crossing::manifest::Kind;
use farside_service::cli::Failure;
use farside_service::time::now_unix;
use farside_service::web::{Shutdown, WebFault};

use crate::bundler::{self, Made};
use crate::config::Mint;
use crate::control::{self, Command, IssuedToken, Reply, TokenOrder};
use crate::issue::{IssueFault, Issuer, SignedToken};
use crate::judge::{IssueRequest, Requester};
use crate::keys::{self, PairSigner, Passphrase};
use crate::log::Recovered;
use crate::log::index::Index;
use crate::store::Site;

/// How often the cadence looks for what is due.
const CADENCE_TICK: Duration = Duration::from_secs(1);

/// How long after a bundle could not be made it is tried again.
const RETRY_SECONDS: u64 = 60;

/// Where commands are carried out.
#[derive(Debug)]
pub struct Desk {
    mint: Mint,
    issuer: Arc<Issuer>,
    passphrase: Arc<Passphrase>,
    /// The online signer, opened when the first bundle is made (it takes most of a second).
    online: OnceLock<PairSigner>,
    /// When this desk was opened: the cadence of a site without bundles begins there.
    opened_at: u64,
    /// Owns when a bundle was last tried for each site, so that a failure is not repeated every second.
    tried: Mutex<HashMap<String, u64>>,
    /// How many of the log's records its index has seen.
    indexed: AtomicU64,
}

/// Has a command carried out: by the mint that runs, else here and now, with the log held for that long.
pub fn carry_out(mint: &Mint, command: &Command, now: u64) -> Result<Reply, Failure> {
    match control::call(&mint.home.socket(), command)? {
        Some(reply) => reply.success(),
        None => Desk::open(mint, now)?.0.carry_out(command, now),
    }
}

impl Desk {
    /// Takes the log of this mint and makes ready to issue and to pack.
    pub fn open(mint: &Mint, now: u64) -> Result<(Desk, Recovered), Failure> {
        let passphrase = Arc::new(mint.passphrase()?);
        let store = Arc::new(mint.store()?);
        let (issuer, recovered) = Issuer::open(mint, store, Arc::clone(&passphrase), now)?;
        let (mint, issuer) = (mint.clone(), Arc::new(issuer));
        let (online, tried, indexed) = (OnceLock::new(), Mutex::default(), AtomicU64::new(0));
        Ok((Desk { mint, issuer, passphrase, online, opened_at: now, tried, indexed }, recovered))
    }

    /// Who issues.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Carries out one command; blocks until what it did is durable.
    pub fn carry_out(&self, command: &Command, now: u64) -> Result<Reply, Failure> {
        match command {
            Command::IssueToken(order) => self.issue(order, now),
            Command::MakeBundle { site, kind } => Ok(Reply::Bundle(self.make_bundle(site, *kind, now)?)),
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

    // What fails for one site is told and tried again when it is due again; the other sites go on.
    fn round(&self, now: u64) {
        if let Err(fault) = self.issuer.warm_up(now) {
            tracing::error!(%fault, "a token key is not ready");
        }
        self.follow_log();
        match self.issuer.store().directory() {
            Ok(directory) => directory
                .sites()
                .iter()
                .filter(|site| site.enabled && self.is_due(site, now))
                .for_each(|site| self.make_due_bundle(site, now)),
            Err(fault) => tracing::error!(%fault, "the directory cannot be read"),
        }
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
        let last = site.last_bundle.map_or(self.opened_at, |bundle| bundle.issued_at);
        let tried = self.tried().get(&site.name).copied().unwrap_or(0);
        now >= last.saturating_add(site.terms.every_seconds) && now >= tried.saturating_add(RETRY_SECONDS)
    }

    fn make_due_bundle(&self, site: &Site, now: u64) {
        self.tried().insert(site.name.clone(), now);
        match self.make_bundle(&site.name, Kind::Full, now) {
            Ok(made) => tracing::info!(site = made.site, seq = made.seq, "a bundle lies in the outbox"),
            Err(failure) => tracing::error!(site = site.name, reason = %failure, "no bundle was made"),
        }
    }

    fn make_bundle(&self, site: &str, kind: Kind, now: u64) -> Result<Made, Failure> {
        let online = self.online()?;
        let (home, store) = (&self.mint.home, self.issuer.store());
        let made = bundler::make(&bundler::Order { home, store, site, kind, online, now }, &*self.issuer)?;
        metrics::counter!("farside_mint_bundles_total", "site" => made.site.clone()).increment(1);
        Ok(made)
    }

    fn online(&self) -> Result<&PairSigner, Failure> {
        if let Some(online) = self.online.get() {
            return Ok(online);
        }
        let opened = keys::open_signer(&self.mint.home.online_key(), &self.passphrase)?;
        Ok(self.online.get_or_init(|| opened))
    }

    fn tried(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue(&self, order: &TokenOrder, now: u64) -> Result<Reply, Failure> {
        if let Some(site) = &order.site {
            self.refuse_other_site(site, &order.audience)?;
        }
        let token = self.issuer.issue(&request(order), now)?;
        Ok(Reply::Token(describe(&token)))
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

/// Who gives this process's commands, for the log.
pub fn operator() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
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
            fault @ (IssueFault::PublicKey { .. } | IssueFault::Sign(_)) => {
                Failure::could_not(fault.to_string())
            }
            fault @ IssueFault::Log(_) => Failure::could_not(fault.to_string())
                .hint("no token is issued without its record: mend the disk, then start the mint again"),
        }
    }
}
