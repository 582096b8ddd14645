//! A PKCS#11 module, loaded once in this process and shared by all its tokens.
//!
//! Modules keep their state for the whole process, so it is kept here in one place: calls go on side by side,
//! and initialising anew waits until none is under way. Sessions are closed by hand and only in the
//! generation that opened them, since after that their numbers may be another's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::fault::DeviceFault;

/// Owns every module that was ever loaded. Held while one is loaded and initialised: some modules fall over
/// when that happens twice at once.
static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

/// How often initialising anew waits for calls that are under way.
const TURNS_MAX: u32 = 50;
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// A loaded module.
#[derive(Debug)]
pub(super) struct Module {
    context: Pkcs11,
    /// Read while a call is under way, written to begin anew.
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    initialised: bool,
    /// How often it was.
    generation: u64,
}

/// A call that is under way: as long as it lives, the module stays initialised.
pub(super) struct Turn<'m> {
    pub(super) context: &'m Pkcs11,
    pub(super) generation: u64,
    _running: RwLockReadGuard<'m, State>,
}

impl Module {
    /// The module in that file.
    pub(super) fn load(path: &Path) -> Result<Arc<Module>, DeviceFault> {
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = modules.get(path) {
            return Ok(Arc::clone(loaded));
        }
        let gone = |fault: Error| {
            DeviceFault::Gone(format!("its module {} cannot be loaded: {fault}", path.display()))
        };
        let module = Module { context: Pkcs11::new(path).map_err(gone)?, state: RwLock::default() };
        let module = Arc::new(module);
        modules.insert(path.to_owned(), Arc::clone(&module));
        Ok(module)
    }

    /// Begins a call.
    pub(super) fn turn(&self) -> Result<Turn<'_>, DeviceFault> {
        for _ in 0..2 {
            let running = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let generation = running.generation;
            if running.initialised {
                return Ok(Turn { context: &self.context, generation, _running: running });
            }
            drop(running);
            self.initialise(generation)?;
        }
        Err(DeviceFault::Gone("its module does not stay initialised".to_owned()))
    }

    /// Initialises it anew, unless that was done since `generation`: what some modules need to see a token
    /// that has come back. The sessions of all its tokens end.
    pub(super) fn initialise(&self, generation: u64) -> Result<(), DeviceFault> {
        let _one_at_a_time = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TURNS_MAX {
            let mut state = match self.state.try_write() {
                Ok(state) => state,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(TURN_PAUSE);
                    continue;
                }
            };
            if state.initialised && state.generation != generation {
                return Ok(());
            }
            return self.begin_anew(&mut state);
        }
        Err(DeviceFault::Gone("its module does not come back from a call".to_owned()))
    }

    fn begin_anew(&self, state: &mut State) -> Result<(), DeviceFault> {
        let gone = |fault: Error| DeviceFault::Gone(format!("its module does not initialise: {fault}"));
        if std::mem::take(&mut state.initialised) {
            self.context.clone().finalize().map_err(gone)?;
        }
        match self.context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another library of this process was faster; it is as good.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(fault) => return Err(gone(fault)),
        }
        *state = State { initialised: true, generation: state.generation + 1 };
        Ok(())
    }
}
