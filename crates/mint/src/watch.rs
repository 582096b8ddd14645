//! Watches the PKCS#11 tokens of a serving mint: looks whether they are there, has those that are away opened
//! anew, and writes down which went and which came back.
//!
//! Beside everything else: a token that does not answer delays nothing but itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farside_service::cli::Failure;
use farside_service::time::{now_unix, rfc3339};
use farside_service::web::{Shutdown, WebFault};
use serde_json::json;

use crate::desk::Desk;
use crate::keys::Alarm;

/// How often it is asked whether it is time to look; each token says itself.
const TICK: Duration = Duration::from_secs(1);

/// The watch of one serving mint.
#[derive(Debug)]
pub struct TokenWatch {
    desk: Arc<Desk>,
    /// Owns what the journal has been told of and what has not ended since.
    told: Mutex<Vec<Alarm>>,
}

impl TokenWatch {
    /// A watch that has told of nothing.
    pub fn new(desk: Arc<Desk>) -> Arc<TokenWatch> {
        Arc::new(TokenWatch { desk, told: Mutex::default() })
    }

    /// Watches until shut down.
    pub async fn keep(self: Arc<Self>, shutdown: Shutdown) -> Result<(), WebFault> {
        if self.desk.issuer().tokens().all().is_empty() {
            return Ok(());
        }
        loop {
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
            let watch = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || watch.look(now_unix())).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => {
                    tracing::error!(%fault, "a PKCS#11 token went or came, and the journal cannot take it down");
                }
                Err(_) => tracing::error!("a look at the PKCS#11 tokens failed"),
            }
        }
    }

    // journal.md §6.1, keys.md §4.4
    fn look(&self, now: u64) -> Result<(), Failure> {
        let tokens = self.desk.issuer().tokens();
        tokens.all().iter().for_each(|token| token.look(now));
        let alarms = tokens.alarms();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news: Vec<_> = alarms.iter().filter(|alarm| !told.contains(alarm)).cloned().collect();
        let over: Vec<_> = told.iter().filter(|alarm| !alarms.contains(alarm)).cloned().collect();
        for alarm in news {
            self.record("key_token_gone", &alarm)?;
            told.push(alarm);
        }
        for alarm in over {
            self.record("key_token_back", &alarm)?;
            told.retain(|known| *known != alarm);
        }
        Ok(())
    }

    fn record(&self, event: &str, alarm: &Alarm) -> Result<(), Failure> {
        let Alarm { token, key, absence } = alarm;
        let since = rfc3339(absence.since);
        self.desk.record(event, json!({"token": token, "key": key, "since": since, "reason": absence.reason}))
    }
}
