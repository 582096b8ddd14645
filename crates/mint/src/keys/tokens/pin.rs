//! A token's PIN: read when it is first needed, kept for sessions to come, and never tried again once the
//! token has refused it, so that a mint that goes on spends none of the tries that are left.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farside_service::secret_file::{Secret, Source, read_secret};

use super::fault::{DeviceFault, Refusal};
use crate::keys::uri::TokenName;

/// The systemd credential that holds a PIN; with `-LABEL` behind it, that of one token.
const CREDENTIAL: &str = "farside-pin";

/// Where a PIN comes from, and what is known of it.
#[derive(Debug)]
pub(super) struct Pin {
    named: Option<PathBuf>,
    token: String,
    /// Owns the PIN; held while a person is asked, so that nobody is asked twice.
    known: Mutex<Known>,
}

#[derive(Debug)]
enum Known {
    Unread,
    Read(Arc<Secret>),
    /// The token has refused this one.
    Refused(Arc<Secret>),
}

impl Pin {
    pub(super) fn new(token: &TokenName, named: Option<&Path>) -> Pin {
        let (named, known) = (named.map(Path::to_owned), Mutex::new(Known::Unread));
        Pin { named, token: token.to_string(), known }
    }

    // keys.md §3.2
    /// Logs in with the PIN, one login at a time: two at once would spend two tries on a wrong one. What the
    /// token has refused is tried again only where its file holds something else by now.
    pub(super) fn log_in(
        &self,
        try_it: impl FnOnce(&[u8]) -> Result<(), DeviceFault>,
    ) -> Result<(), DeviceFault> {
        let mut known = self.known();
        let pin = self.read(&known)?;
        let outcome = try_it(pin.expose());
        *known = match &outcome {
            Err(DeviceFault::Login(Refusal::Incorrect)) => Known::Refused(pin),
            _ => Known::Read(pin),
        };
        outcome
    }

    fn read(&self, known: &Known) -> Result<Arc<Secret>, DeviceFault> {
        let refused = match known {
            Known::Read(pin) => return Ok(Arc::clone(pin)),
            Known::Unread => None,
            Known::Refused(pin) => Some(pin),
        };
        let source = self.source();
        if refused.is_some() && source == Source::Prompt {
            return Err(DeviceFault::Login(Refusal::Incorrect));
        }
        let what = format!("PIN of token {}", self.token);
        let pin = read_secret(&source, &what).map_err(DeviceFault::Pin)?;
        if refused.is_some_and(|refused| refused.expose() == pin.expose()) {
            return Err(DeviceFault::Login(Refusal::Incorrect));
        }
        Ok(Arc::new(pin))
    }

    fn source(&self) -> Source {
        let own = format!("{CREDENTIAL}-{}", self.token);
        Source::find_credential(self.named.as_deref(), &[own.as_str(), CREDENTIAL])
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
