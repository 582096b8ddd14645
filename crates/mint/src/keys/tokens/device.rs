//! One token as its module shows it: sessions that are logged in, and what is done in them.
//!
//! A session is used by one thread at a time and kept for the next one. One that the token has closed
//! meanwhile is replaced once; what fails twice is told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use farside_verify::Algorithm;

use super::fault::{DeviceFault, Refusal};
use super::module::{Module, Turn};
use super::pin::Pin;
use super::shape::{Shape, signing};
use crate::keys::public::PublicKey;
use crate::keys::uri::TokenName;

/// Whether this program can use tokens.
pub(super) const BUILT: bool = true;

/// Most sessions with one token: small ones have no more than a handful.
const SESSIONS_MAX: usize = 8;
/// How long a call waits for a session before the token counts as one that does not answer.
const SESSION_WAIT: Duration = Duration::from_secs(10);
/// Bytes of the id under which a key is made, before its own is known.
const BIRTH_ID_BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct Device {
    name: TokenName,
    path: PathBuf,
    module: OnceLock<Arc<Module>>,
    /// Owns the sessions that nobody uses, and the count of those in use.
    pool: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Open>,
    used: usize,
}

/// A session that is logged in.
#[derive(Debug)]
struct Open {
    session: Session,
    generation: u64,
    /// Keys that were found in this session.
    keys: HashMap<Vec<u8>, ObjectHandle>,
}

impl Device {
    pub(super) fn new(name: &TokenName, path: &Path) -> Device {
        let (name, path) = (name.clone(), path.to_owned());
        Device { name, path, module: OnceLock::new(), pool: Mutex::default(), freed: Condvar::new() }
    }

    pub(super) fn module(&self) -> &Path {
        &self.path
    }

    pub(super) fn make(
        &self,
        pin: &Pin,
        algorithm: Algorithm,
        identify: impl FnOnce(&PublicKey) -> Option<(Vec<u8>, String)>,
    ) -> Result<(Vec<u8>, PublicKey), DeviceFault> {
        let shape = Shape::of(algorithm)?;
        let module = self.loaded()?;
        let (_permit, turn) = (self.permit()?, module.turn()?);
        let open = self.open(&turn, pin)?;
        let made = make(&open.session, shape, identify);
        close(open, &turn);
        made.map_err(|fault| fault.of("make such a key"))
    }

    pub(super) fn sign(
        &self,
        pin: &Pin,
        id: &[u8],
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, DeviceFault> {
        let (mechanism, bytes) = signing(algorithm, message)?;
        self.with(pin, |open| {
            let key = open.key(id)?;
            Ok(open.session.sign(&mechanism, key, &bytes)?)
        })
        .map_err(|fault| fault.of("sign"))
    }

    pub(super) fn destroy(&self, pin: &Pin, id: &[u8]) -> Result<(), DeviceFault> {
        let destroyed = self.with(pin, |open| {
            open.keys.remove(id);
            // keys.md §5.2
            // The private key first: one without its public half is still a key.
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                for object in find(&open.session, class, id)? {
                    open.session.destroy_object(object)?;
                }
                if !find(&open.session, class, id)?.is_empty() {
                    let reason = "it holds it still".to_owned();
                    return Err(DeviceFault::Cannot { what: "destroy the key", reason });
                }
            }
            Ok(())
        });
        // Other sessions may remember where it was.
        for open in &mut self.pool().idle {
            open.keys.remove(id);
        }
        destroyed.map_err(|fault| fault.of("destroy the key"))
    }

    /// Which of these keys the token does not hold. `anew` begins with the module itself.
    pub(super) fn look(&self, pin: &Pin, keys: &[Vec<u8>], anew: bool) -> Result<Vec<Vec<u8>>, DeviceFault> {
        let generation = self.pool().idle.first().map(|open| open.generation);
        let found = self.look_once(pin, keys);
        if !anew || matches!(&found, Ok(missing) if missing.is_empty()) {
            return found;
        }
        if matches!(&found, Err(DeviceFault::Login(_) | DeviceFault::Pin(_))) {
            return found;
        }
        let module = self.loaded()?;
        let generation = match generation {
            Some(generation) => generation,
            None => module.turn()?.generation,
        };
        self.pool().idle.clear();
        module.initialise(generation)?;
        self.look_once(pin, keys)
    }

    fn look_once(&self, pin: &Pin, keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, DeviceFault> {
        self.with(pin, |open| {
            let mut missing = Vec::new();
            // What was found before proves nothing now.
            open.keys.clear();
            for id in keys {
                match open.key(id) {
                    Ok(_) => {}
                    Err(DeviceFault::KeyMissing | DeviceFault::KeyTwice) => missing.push(id.clone()),
                    Err(fault) => return Err(fault),
                }
            }
            open.session.get_session_info()?;
            Ok(missing)
        })
    }

    /// Does something in a session that is logged in. What fails in one that was kept is tried once more in a
    /// new one, where nothing but the token itself can be at fault.
    fn with<T>(
        &self,
        pin: &Pin,
        mut act: impl FnMut(&mut Open) -> Result<T, DeviceFault>,
    ) -> Result<T, DeviceFault> {
        let module = self.loaded()?;
        let (_permit, turn) = (self.permit()?, module.turn()?);
        if let Some(mut open) = self.kept(&turn) {
            if let Ok(done) = act(&mut open) {
                self.pool().idle.push(open);
                return Ok(done);
            }
            close(open, &turn);
            let idle = std::mem::take(&mut self.pool().idle);
            idle.into_iter().for_each(|open| close(open, &turn));
        }
        let mut open = self.open(&turn, pin)?;
        let done = act(&mut open);
        match &done {
            Ok(_) => self.pool().idle.push(open),
            Err(_) => close(open, &turn),
        }
        done
    }

    fn loaded(&self) -> Result<&Module, DeviceFault> {
        if let Some(module) = self.module.get() {
            return Ok(module);
        }
        let module = Module::load(&self.path)?;
        Ok(self.module.get_or_init(|| module))
    }

    /// A session of this generation. Those of earlier ones ended with them, and are not closed: their numbers
    /// may be others' by now.
    fn kept(&self, turn: &Turn<'_>) -> Option<Open> {
        let mut pool = self.pool();
        pool.idle.retain(|open| open.generation == turn.generation);
        pool.idle.pop()
    }

    fn open(&self, turn: &Turn<'_>, pin: &Pin) -> Result<Open, DeviceFault> {
        let slot = self.slot(turn.context)?;
        refuse_locked(turn.context, slot)?;
        let session = turn.context.open_rw_session_no_drop(slot)?;
        let open = Open { session, generation: turn.generation, keys: HashMap::new() };
        match log_in(&open.session, pin) {
            Ok(()) => Ok(open),
            Err(fault) => {
                close(open, turn);
                Err(fault)
            }
        }
    }

    fn slot(&self, context: &Pkcs11) -> Result<Slot, DeviceFault> {
        let mut fault = None;
        let mut found = Vec::new();
        for slot in context.get_slots_with_token()? {
            match context.get_token_info(slot) {
                Ok(info) => {
                    let is_it = match &self.name {
                        TokenName::Label(label) => info.label() == label,
                        TokenName::Serial(serial) => info.serial_number() == serial,
                    };
                    found.extend((is_it && info.token_initialized()).then_some(slot));
                }
                Err(reason) => fault = Some(reason),
            }
        }
        match (found.as_slice(), fault) {
            ([slot], _) => Ok(*slot),
            ([], None) => Err(DeviceFault::Gone("no slot holds it".to_owned())),
            ([], Some(reason)) => Err(DeviceFault::Gone(format!("no slot shows it: {}", spelled(&reason)))),
            _ => Err(DeviceFault::Gone("two tokens have that name: name it by its serial".to_owned())),
        }
    }

    fn permit(&self) -> Result<Permit<'_>, DeviceFault> {
        let full = |pool: &mut Pool| pool.used >= SESSIONS_MAX;
        let waited = self.freed.wait_timeout_while(self.pool(), SESSION_WAIT, full);
        let (mut pool, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if full(&mut pool) {
            return Err(DeviceFault::Gone("it does not answer".to_owned()));
        }
        pool.used += 1;
        Ok(Permit(self))
    }

    // A panic leaves whole sessions in it, or none.
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to use one more session.
struct Permit<'d>(&'d Device);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.pool().used -= 1;
        self.0.freed.notify_one();
    }
}

impl Open {
    /// The one private key with that id.
    fn key(&mut self, id: &[u8]) -> Result<ObjectHandle, DeviceFault> {
        if let Some(key) = self.keys.get(id) {
            return Ok(*key);
        }
        match find(&self.session, ObjectClass::PRIVATE_KEY, id)?.as_slice() {
            [key] => {
                self.keys.insert(id.to_vec(), *key);
                Ok(*key)
            }
            [] => Err(DeviceFault::KeyMissing),
            _ => Err(DeviceFault::KeyTwice),
        }
    }
}

fn close(open: Open, turn: &Turn<'_>) {
    if open.generation == turn.generation {
        // A session that cannot be closed is one that the token has closed.
        let _ = open.session.close();
    }
}

fn find(session: &Session, class: ObjectClass, id: &[u8]) -> Result<Vec<ObjectHandle>, DeviceFault> {
    let template = [Attribute::Token(true), Attribute::Class(class), Attribute::Id(id.to_vec())];
    Ok(session.find_objects(&template)?)
}

// keys.md §3.3
/// A wrong PIN costs one of few tries: the last one is not ours to spend.
fn refuse_locked(context: &Pkcs11, slot: Slot) -> Result<(), DeviceFault> {
    let info = context.get_token_info(slot)?;
    let refusal = if info.user_pin_locked() {
        Refusal::Locked
    } else if info.user_pin_final_try() {
        Refusal::LastTry
    } else if !info.user_pin_initialized() || info.user_pin_to_be_changed() {
        Refusal::NotReady
    } else {
        return Ok(());
    };
    Err(DeviceFault::Login(refusal))
}

fn log_in(session: &Session, pin: &Pin) -> Result<(), DeviceFault> {
    pin.log_in(|pin| {
        let pin = RawAuthPin::new(Box::new(pin.to_vec()));
        match session.login_with_raw(UserType::User, &pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    })
}

fn make(
    session: &Session,
    shape: Shape,
    identify: impl FnOnce(&PublicKey) -> Option<(Vec<u8>, String)>,
) -> Result<(Vec<u8>, PublicKey), DeviceFault> {
    let birth = farside_service::random::bytes::<BIRTH_ID_BYTES>();
    let birth = birth.map_err(|fault| cannot(fault.to_string()))?;
    let (public, private) = generate(session, shape, &birth)?;
    let made = name(session, shape, (public, private), &birth, identify);
    if made.is_err() {
        // Nobody knows of it; the fault to be told is the first one.
        let _ = session.destroy_object(private);
        let _ = session.destroy_object(public);
    }
    made
}

fn generate(session: &Session, shape: Shape, id: &[u8]) -> Result<(ObjectHandle, ObjectHandle), DeviceFault> {
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Id(id.to_vec()),
    ];
    let mut refused = DeviceFault::KeyMissing;
    for parameters in shape.parameters() {
        let mut public = vec![Attribute::Token(true), Attribute::Verify(true), Attribute::Id(id.to_vec())];
        public.extend(parameters);
        match session.generate_key_pair(&shape.generation(), &public, &private) {
            Ok(made) => return Ok(made),
            Err(fault) => refused = fault.into(),
        }
    }
    Err(refused)
}

/// Gives a new pair its id and label, once the token has shown that it keeps the private half to itself.
/// Where a token lets no id be changed, the one it was born with stays.
fn name(
    session: &Session,
    shape: Shape,
    (public, private): (ObjectHandle, ObjectHandle),
    birth: &[u8],
    identify: impl FnOnce(&PublicKey) -> Option<(Vec<u8>, String)>,
) -> Result<(Vec<u8>, PublicKey), DeviceFault> {
    // keys.md §2.1
    let kept = session.get_attributes(private, &[AttributeType::Sensitive, AttributeType::Extractable])?;
    if kept != [Attribute::Sensitive(true), Attribute::Extractable(false)] {
        return Err(cannot("it would give the private key out".to_owned()));
    }
    let key = shape.read(session, public)?;
    let (id, label) = identify(&key).ok_or_else(|| cannot("its public key is not one to use".to_owned()))?;
    if !find(session, ObjectClass::PRIVATE_KEY, &id)?.is_empty() {
        return Err(DeviceFault::KeyTwice);
    }
    let names = [Attribute::Id(id.clone()), Attribute::Label(label.into_bytes())];
    let renamed = session.update_attributes(private, &names).is_ok();
    // The public half is there for people with other tools.
    let _ = session.update_attributes(public, &names);
    Ok((if renamed { id } else { birth.to_vec() }, key))
}

fn cannot(reason: String) -> DeviceFault {
    DeviceFault::Cannot { what: "make such a key", reason }
}

impl From<Error> for DeviceFault {
    fn from(fault: Error) -> DeviceFault {
        use RvError as Rv;
        let Error::Pkcs11(value, _) = &fault else {
            return DeviceFault::Cannot { what: "do it", reason: spelled(&fault) };
        };
        match value {
            Rv::PinIncorrect | Rv::PinInvalid | Rv::PinLenRange => DeviceFault::Login(Refusal::Incorrect),
            Rv::PinLocked => DeviceFault::Login(Refusal::Locked),
            Rv::PinExpired | Rv::UserPinNotInitialized => DeviceFault::Login(Refusal::NotReady),
            Rv::MechanismInvalid
            | Rv::MechanismParamInvalid
            | Rv::KeyTypeInconsistent
            | Rv::KeySizeRange
            | Rv::KeyFunctionNotPermitted
            | Rv::CurveNotSupported
            | Rv::AttributeTypeInvalid
            | Rv::AttributeValueInvalid
            | Rv::AttributeReadOnly
            | Rv::AttributeSensitive
            | Rv::ActionProhibited
            | Rv::TemplateIncomplete
            | Rv::TemplateInconsistent
            | Rv::DataInvalid
            | Rv::DataLenRange
            | Rv::FunctionNotSupported
            | Rv::TokenWriteProtected
            | Rv::SessionReadOnly => DeviceFault::Cannot { what: "do it", reason: spelled(&fault) },
            // Whatever else a module says: it did not work, and may again.
            _ => DeviceFault::Gone(spelled(&fault)),
        }
    }
}

impl DeviceFault {
    /// The same, said of what was to be done.
    fn of(self, what: &'static str) -> DeviceFault {
        match self {
            DeviceFault::Cannot { what: "do it", reason } => DeviceFault::Cannot { what, reason },
            other => other,
        }
    }
}

/// What a module said, by its name in PKCS#11 where it has one.
fn spelled(fault: &Error) -> String {
    match fault {
        Error::Pkcs11(value, function) => format!("{function:?} answers {value:?}"),
        other => other.to_string(),
    }
}
