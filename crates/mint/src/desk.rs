//! Carries out commands that need the log, whether they come over the socket of a running mint or from a
//! command that holds the log itself: one code path for both.

use std::sync::Arc;
use std::time::Duration;

use farside_service::cli::Failure;
use farside_service::time::now_unix;
use farside_service::web::{Shutdown, WebFault};

use crate::config::Mint;
use crate::control::{self, Command, IssuedToken, Reply, TokenOrder};
use crate::issue::{IssueFault, Issuer, SignedToken};
use crate::judge::{IssueRequest, Requester};

/// How often the cadence looks for what is due.
const CADENCE_TICK: Duration = Duration::from_secs(1);

/// Where commands are carried out.
#[derive(Debug)]
pub struct Desk {
    mint: Mint,
    issuer: Arc<Issuer>,
}

/// Has a command carried out: by the mint that runs, else here and now, with the log held for that long.
pub fn carry_out(mint: &Mint, command: &Command, now: u64) -> Result<Reply, Failure> {
    if let Some(reply) = control::call(&mint.home.socket(), command)? {
        return reply.success();
    }
    let store = Arc::new(mint.store()?);
    let (issuer, _mended) = Issuer::open(mint, store, mint.passphrase()?, now)?;
    Desk::new(mint.clone(), Arc::new(issuer))?.carry_out(command, now)
}

impl Desk {
    /// A desk of this mint.
    pub fn new(mint: Mint, issuer: Arc<Issuer>) -> Result<Desk, Failure> {
        Ok(Desk { mint, issuer })
    }

    /// Carries out one command; blocks until what it did is durable.
    pub fn carry_out(&self, command: &Command, now: u64) -> Result<Reply, Failure> {
        match command {
            Command::IssueToken(order) => self.issue(order, now),
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

    fn round(&self, now: u64) {
        if let Err(fault) = self.issuer.warm_up(now) {
            tracing::error!(%fault, "a token key is not ready");
        }
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
