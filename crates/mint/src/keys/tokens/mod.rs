//! The PKCS#11 tokens that this mint may use: which there are, whether they are there, and what is done with
//! the keys in them.
//!
//! ```text
//!   [[pkcs11]] ─▶ Tokens ─▶ Token ─▶ Device ─▶ module (.so) ─▶ HSM, smart card, SoftHSM
//!                             │        sessions, one call at a time in each
//!                             ├─ Pin   read once, never tried again once refused
//!                             └─ Roll  gone since when and why; keys that are missing
//! ```
//! A token that is gone fails at once until [`Token::look`] finds it again: nobody waits for it twice. No PIN
//! is ever shown, logged, or handed to another process.

mod fault;
mod pin;
mod roll;

#[cfg(not(feature = "pkcs11"))]
#[path = "absent.rs"]
mod device;
#[cfg(feature = "pkcs11")]
mod device;
#[cfg(feature = "pkcs11")]
mod module;
#[cfg(feature = "pkcs11")]
mod shape;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use farside_service::time;
use farside_verify::Algorithm;
use serde::Deserialize;

use super::public::PublicKey;
use super::uri::{KeyUri, TokenName};
use device::Device;
use fault::DeviceFault;
pub use fault::TokenFault;
use pin::Pin;
use roll::Roll;
pub use roll::{Absence, Alarm};

/// `[[pkcs11]]`: a token that holds private keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The module that speaks to it: a shared library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// The token's label. It or the serial number is needed; keys are remembered by the one that stands here.
    pub label: Option<String>,
    /// The token's serial number, where labels are not unique.
    pub serial: Option<String>,
    /// File with the PIN of the token's user. Left out: the systemd credential `farside-pin-LABEL` or
    /// `farside-pin`, else a prompt.
    pub pin_file: Option<PathBuf>,
}

/// All tokens that may be used.
#[derive(Debug, Default)]
pub struct Tokens {
    configured: Vec<Arc<Token>>,
    /// Owns the tokens that opened key files have named with their module; each is kept once it was used.
    vouched: Mutex<Vec<Arc<Token>>>,
    /// Where the PIN of those comes from.
    pin_file: Option<PathBuf>,
}

impl Tokens {
    /// The tokens of `mint.toml`, whose paths are relative to `home`. None is spoken to yet.
    ///
    /// # Errors
    /// One is named by neither or both of label and serial number, two are named alike, or this program was
    /// built without PKCS#11.
    pub fn configure(sections: &[TokenConfig], home: &Path) -> Result<Tokens, TokenFault> {
        let mut configured: Vec<Arc<Token>> = Vec::new();
        for section in sections {
            if !device::BUILT {
                return Err(TokenFault::NotBuilt);
            }
            let name = match (&section.label, &section.serial) {
                (Some(label), None) => TokenName::Label(label.clone()),
                (None, Some(serial)) => TokenName::Serial(serial.clone()),
                _ => return Err(TokenFault::Nameless { module: section.module.display().to_string() }),
            };
            if configured.iter().any(|token| token.name == name) {
                return Err(TokenFault::Twice { token: name.to_string() });
            }
            let pin_file = section.pin_file.as_ref().map(|file| home.join(file));
            configured.push(Token::new(
                name,
                &home.join(&section.module),
                pin_file.as_deref(),
                Reach::Configured,
            ));
        }
        Ok(Tokens { configured, ..Tokens::default() })
    }

    /// A token that no configuration describes, reached through `module`: key files name both.
    ///
    /// # Errors
    /// This program was built without PKCS#11.
    pub fn through(label: &str, module: &Path, pin_file: Option<&Path>) -> Result<Arc<Token>, TokenFault> {
        let name = TokenName::Label(label.to_owned());
        if device::BUILT {
            Ok(Token::new(name, module, pin_file, Reach::Named))
        } else {
            Err(TokenFault::NotBuilt)
        }
    }

    /// Tokens for commands that need no mint: those that key files name together with their module.
    pub fn of_key_files(pin_file: Option<&Path>) -> Tokens {
        Tokens { pin_file: pin_file.map(Path::to_owned), ..Tokens::default() }
    }

    /// The token called so; left out, the only one.
    ///
    /// # Errors
    /// There is none, or more than one to choose from.
    pub fn named(&self, name: Option<&str>) -> Result<&Arc<Token>, TokenFault> {
        let names = || self.configured.iter().map(|token| token.name.to_string()).collect::<Vec<_>>();
        match (name, self.configured.as_slice()) {
            (Some(name), tokens) => tokens
                .iter()
                .find(|token| token.name.as_str() == name)
                .ok_or_else(|| TokenFault::Unknown { token: name.to_owned() }),
            (None, [only]) => Ok(only),
            (None, _) => Err(TokenFault::Unnamed { names: names() }),
        }
    }

    // keys.md §1.3
    /// The token of a key that the mint's database names. The module is never taken from there.
    pub(crate) fn configured(&self, uri: &KeyUri) -> Result<Arc<Token>, TokenFault> {
        let found = self.configured.iter().find(|token| token.name == *uri.token());
        found.cloned().ok_or_else(|| TokenFault::Unknown { token: uri.token().to_string() })
    }

    // keys.md §1.4
    /// The token of a key that an opened key file names: one that is configured, or one reached through the
    /// module that the file names, which its passphrase has vouched for.
    pub(super) fn vouched(&self, uri: &KeyUri) -> Result<Arc<Token>, TokenFault> {
        let module = match (self.configured(uri), uri.module()) {
            (Err(TokenFault::Unknown { .. }), Some(module)) => module,
            (found, _) => return found,
        };
        if !device::BUILT {
            return Err(TokenFault::NotBuilt);
        }
        let mut vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = vouched.iter().find(|token| token.name == *uri.token()) {
            return Ok(Arc::clone(known));
        }
        let token = Token::new(uri.token().clone(), module, self.pin_file.as_deref(), Reach::Named);
        vouched.push(Arc::clone(&token));
        Ok(token)
    }

    /// The configured tokens.
    pub fn all(&self) -> &[Arc<Token>] {
        &self.configured
    }

    /// What is away at the moment, of all tokens.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.configured.iter().flat_map(|token| token.roll.alarms()).collect()
    }
}

/// One token, present or not.
#[derive(Debug)]
pub struct Token {
    name: TokenName,
    device: Device,
    pin: Pin,
    roll: Roll,
    reach: Reach,
}

/// How a token is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// By its section in `mint.toml`.
    Configured,
    /// By its module, which stands in the names of its keys.
    Named,
}

/// A key pair that was just made in a token.
#[derive(Debug)]
pub(super) struct MadeInToken {
    pub(super) uri: KeyUri,
    pub(super) public: PublicKey,
}

impl Token {
    fn new(name: TokenName, module: &Path, pin_file: Option<&Path>, reach: Reach) -> Arc<Token> {
        let pin = Pin::new(&name, pin_file);
        let (device, roll) = (Device::new(&name, module), Roll::new(&name));
        Arc::new(Token { name, device, pin, roll, reach })
    }

    /// Its label, or its serial number where it is known by that.
    pub fn name(&self) -> &TokenName {
        &self.name
    }

    /// The module through which it is reached.
    pub fn module(&self) -> &Path {
        self.device.module()
    }

    /// Makes a key pair that never leaves the token. `identify` gives the id and the label that follow from
    /// the public key.
    pub(super) fn make(
        &self,
        algorithm: Algorithm,
        identify: impl FnOnce(&PublicKey) -> Option<(Vec<u8>, String)>,
    ) -> Result<MadeInToken, TokenFault> {
        self.refuse_gone()?;
        let (id, public) = self.told(None, self.device.make(&self.pin, algorithm, identify))?;
        let uri = KeyUri::new(self.name.clone(), id);
        let uri = if self.reach == Reach::Named { uri.through(self.device.module()) } else { uri };
        Ok(MadeInToken { uri, public })
    }

    /// From now on the token is looked at for this key too.
    pub(super) fn expect(&self, id: &[u8]) {
        self.roll.expect(id);
    }

    /// Whether the token and this key in it are there, as far as is known.
    pub(super) fn holds(&self, id: &[u8]) -> Result<(), TokenFault> {
        self.refuse_gone()?;
        match self.roll.missing(id) {
            Some(absence) => Err(self.fault(DeviceFault::KeyMissing, Some(&absence))),
            None => Ok(()),
        }
    }

    pub(super) fn sign(
        &self,
        id: &[u8],
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, TokenFault> {
        self.holds(id)?;
        self.told(Some(id), self.device.sign(&self.pin, id, algorithm, message))
    }

    /// Destroys the key pair; afterwards the token has been asked and holds none of that id.
    pub(super) fn destroy(&self, id: &[u8]) -> Result<(), TokenFault> {
        self.refuse_gone()?;
        self.roll.forget(id);
        self.told(None, self.device.destroy(&self.pin, id))
    }

    /// Looks whether the token and its keys are there, where it is time to. One that is away is opened anew.
    pub fn look(&self, now: u64) {
        if !self.roll.is_due(now) {
            return;
        }
        let keys = self.roll.expected();
        let anew = self.roll.is_unwell();
        match self.device.look(&self.pin, &keys, anew) {
            Ok(missing) => self.roll.seen(&missing, now),
            Err(fault) => drop(self.told::<()>(None, Err(fault))),
        }
    }

    fn refuse_gone(&self) -> Result<(), TokenFault> {
        match self.roll.gone() {
            Some(absence) => Err(TokenFault::Gone {
                token: self.name.to_string(),
                reason: absence.reason,
                since: Some(absence.since),
            }),
            None => Ok(()),
        }
    }

    // keys.md §4.1
    /// Writes on the roll what a fault says of the token, and names the token in it.
    fn told<T>(&self, id: Option<&[u8]>, outcome: Result<T, DeviceFault>) -> Result<T, TokenFault> {
        let fault = match outcome {
            Ok(done) => return Ok(done),
            Err(fault) => fault,
        };
        let (is_gone, now) = (fault.is_gone(), time::now_unix());
        let fault = self.fault(fault, None);
        match id {
            _ if is_gone => self.roll.left(&fault.reason(), now),
            Some(id) => self.roll.lost(id, &fault.reason(), now),
            None => {}
        }
        Err(fault)
    }

    fn fault(&self, fault: DeviceFault, absence: Option<&Absence>) -> TokenFault {
        let (token, since) = (self.name.to_string(), absence.map(|absence| absence.since));
        match fault {
            DeviceFault::NotBuilt => TokenFault::NotBuilt,
            DeviceFault::Gone(reason) => TokenFault::Gone { token, reason, since },
            DeviceFault::Login(refusal) => TokenFault::Login { token, refusal },
            DeviceFault::Pin(fault) => TokenFault::Pin { token, fault },
            DeviceFault::KeyMissing => TokenFault::KeyMissing { token },
            DeviceFault::KeyTwice => TokenFault::KeyTwice { token },
            DeviceFault::Cannot { what, reason } => TokenFault::Cannot { token, what, reason },
        }
    }
}
