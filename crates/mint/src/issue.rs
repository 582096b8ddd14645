//! From a draft to a token that may leave: position, signature, our own verification, log, release.
//!
//! ```text
//! IssueRequest ─judge─▶ Draft ─reserve─▶ position ─sign─▶ verified ─commit─▶ fsync ─▶ SignedToken
//!                       refused            └────────── void leaf on any failure      (needs Durable)
//! ```
//! For the token endpoint, the command line and standing orders alike. No log, no token: a [`SignedToken`] is
//! made from a [`Durable`] and in no other way.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use farside_service::time::now_unix_micros;
use farside_verify::KeySetError;
use farside_verify::leaf::TokenPosition;

use crate::bundler;
use crate::claims::Profile;
use crate::config::Mint;
use crate::judge::{self, Draft, IssueRequest, Refused, Signers, Undrafted, judge};
use crate::keys::{self, KeyFault, KeyPlace, LogKeyFile, Passphrase, TokenKey, Tokens};
use crate::log::{Clock, Committed, Durable, IssuanceLog, LogFault, Opening, Recovered};
use crate::role_keys::RoleKeys;
use crate::rotation::Gone;
use crate::store::{Directory, Site, Store, StoreFault, TokenKeyRecord};
use crate::tally::Tally;
use crate::token_signer::{SignFault, TokenSigner};

/// How long a spent client assertion has to be remembered: its longest lifetime and both clocks' leeway.
pub const ASSERTION_MEMORY_SECONDS: u64 = 720;

/// How many keys may turn out to be away under one request.
const KEYS_AWAY_MAX: usize = 4;

/// How long before a key may sign it is opened.
const WARM_SECONDS: u64 = 600;

/// The one that issues: directory, keys and log of this mint, held together.
pub struct Issuer {
    store: Arc<Store>,
    log: Arc<IssuanceLog>,
    replica: String,
    keyring: Keyring,
    role_keys: Arc<RoleKeys>,
    tally: Arc<Tally>,
}

/// Private keys, opened once, and the signers made of them for the sites as they are now.
struct Keyring {
    home: std::path::PathBuf,
    passphrase: Arc<Passphrase>,
    /// Owns the opened keys, so that each file is decrypted once (it takes most of a second).
    opened: Mutex<HashMap<String, Arc<TokenKey>>>,
    /// Owns the signers, which hold a site's policy; emptied when the directory has changed.
    signers: RwLock<(Option<Arc<Directory>>, HashMap<String, Arc<TokenSigner>>)>,
}

/// A token that may leave the mint. Only a [`Durable`] record makes one.
pub struct SignedToken {
    text: String,
    position: TokenPosition,
    draft: Draft,
}

/// A token whose record is on its way to the disk: it shows nothing yet.
#[must_use]
pub struct Pending {
    token: SignedToken,
    committed: Committed,
    tally: Arc<Tally>,
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueFault {
    /// The request is refused: nothing was signed.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The directory could not be read.
    #[error("{0}")]
    Store(#[from] StoreFault),
    /// A private key could not be opened.
    #[error("token key {kid} could not be opened: {fault}")]
    Key {
        /// The key.
        kid: String,
        /// Why not.
        fault: KeyFault,
    },
    /// A public key of the calendar is not one that a verifier loads.
    #[error("token key {kid} is not one that a gate would load: {fault}")]
    PublicKey {
        /// The key.
        kid: String,
        /// Why not.
        fault: KeySetError,
    },
    /// The signature failed.
    #[error("{0}")]
    Sign(#[from] SignFault),
    /// The log failed: nothing more is issued until the mint has been started again.
    #[error("{0}")]
    Log(#[from] LogFault),
}

impl IssueFault {
    /// Whether the key is in a PKCS#11 token that is away: with another key, or later, it works.
    pub fn is_away(&self) -> bool {
        match self {
            IssueFault::Key { fault, .. } => fault.is_passing(),
            IssueFault::Sign(SignFault::Token { fault, .. }) => fault.is_passing(),
            _ => false,
        }
    }
}

impl Issuer {
    /// Takes the log of this mint for writing and makes ready to issue. `passphrase` opens the token keys.
    pub fn open(
        mint: &Mint,
        store: Arc<Store>,
        passphrase: Arc<Passphrase>,
        now: u64,
    ) -> Result<(Issuer, Recovered), IssueFault> {
        Self::open_by(now_unix_micros, mint, store, passphrase, now)
    }

    /// As [`Issuer::open`], with heads published by `clock`.
    pub fn open_by(
        clock: Clock,
        mint: &Mint,
        store: Arc<Store>,
        passphrase: Arc<Passphrase>,
        now: u64,
    ) -> Result<(Issuer, Recovered), IssueFault> {
        let since = now.saturating_sub(ASSERTION_MEMORY_SECONDS);
        let (home, secret) = (mint.home.clone(), Arc::clone(&passphrase));
        let role_keys = Arc::new(RoleKeys::new(home, Arc::clone(&store), secret, clock));
        let opening = Opening {
            folder: &mint.home.log(),
            lock: &mint.lock(),
            key: LogKeyFile::of_charter(Arc::<RoleKeys>::clone(&role_keys)),
            clock,
            carried: &carried(&store, &mint.config.replica)?,
        };
        let (log, recovered) = IssuanceLog::open(opening, now, since)?;
        // Before anything is signed: what has gone out must be in the database.
        if let Some(fault) = bundler::rolled_back(&store, &mint.lock(), log.locked_bundles()?.as_deref())? {
            return Err(fault.into());
        }
        let keyring = Keyring::new(mint.home.0.clone(), passphrase);
        let (replica, tally) = (mint.config.replica.clone(), Arc::default());
        Ok((Issuer { store, log, replica, keyring, role_keys, tally }, recovered))
    }

    /// Issues one token; blocks until its record is durable.
    pub fn issue(&self, request: &IssueRequest, now: u64) -> Result<SignedToken, IssueFault> {
        self.begin(&self.store.directory()?, request, now)?.wait()
    }

    /// Issues many tokens with as few waits for the disk as can be. Each has its own outcome, in order.
    pub fn issue_many(
        &self,
        requests: &[IssueRequest],
        now: u64,
    ) -> Result<Vec<Result<SignedToken, IssueFault>>, IssueFault> {
        let directory = self.store.directory()?;
        let begun: Vec<_> = requests.iter().map(|request| self.begin(&directory, request, now)).collect();
        Ok(begun.into_iter().map(|pending| pending?.wait()).collect())
    }

    /// Judges, signs and hands the record to the disk, without waiting for it.
    pub fn begin(
        &self,
        directory: &Arc<Directory>,
        request: &IssueRequest,
        now: u64,
    ) -> Result<Pending, IssueFault> {
        let signers = self.keyring.at(directory);
        let mut tried = 0;
        loop {
            match self.sign(judge(directory, &signers, &self.replica, request, now)?) {
                // A token that fails counts as gone from then on: the next judgement takes another key.
                Err(fault) if fault.is_away() && tried < KEYS_AWAY_MAX => tried += 1,
                done => return done,
            }
        }
    }

    /// Whether signing this would hold up an event loop: RSA takes milliseconds, opening a key most of a
    /// second.
    pub fn is_slow(&self, directory: &Arc<Directory>, request: &IssueRequest, now: u64) -> bool {
        let Some(site) = directory.site_of_audience(&request.audience) else { return false };
        let signers = self.keyring.at(directory);
        let mut keys = site.signing_keys(request.profile.purpose(), now).into_iter();
        keys.find(|key| !signers.is_away(&key.kid)).is_some_and(|key| !signers.is_ready(&key.kid))
    }

    /// Opens the keys that the calendar will want soon, so that no request has to wait for it.
    pub fn warm_up(&self, now: u64) -> Result<(), IssueFault> {
        let directory = self.store.directory()?;
        let signers = self.keyring.at(&directory);
        for site in directory.sites().filter(|site| site.enabled) {
            let soon = now.saturating_add(WARM_SECONDS);
            let wanted = |key: &&TokenKeyRecord| key.signs_at(now) || key.signs_at(soon);
            for key in site.keys.iter().filter(wanted) {
                match signers.signer(site, key) {
                    // Its token has said so, and is looked for; meanwhile other keys sign.
                    Err(fault) if fault.is_away() => {}
                    opened => drop(opened?),
                }
            }
        }
        Ok(())
    }

    /// Lets go of keys that were destroyed.
    pub fn forget(&self, gone: &Gone) {
        if !gone.token_kids.is_empty() {
            self.keyring.forget(&gone.token_kids);
        }
        if gone.role_keys {
            self.role_keys.forget();
        }
    }

    /// Signs a status list of a site with the key that signs its tokens now.
    pub fn sign_status_list(&self, site: &str, claims: &str, now: u64) -> Result<String, IssueFault> {
        let directory = self.store.directory()?;
        let known = directory.site(site).ok_or_else(|| Refused::SiteDisabled { site: site.to_owned() })?;
        let (_, signer) = judge::signer(&self.keyring.at(&directory), Profile::Access, known, now)?;
        Ok(signer.sign_status_list(claims, now)?)
    }

    /// The log, for the bundler and the metrics.
    pub fn log(&self) -> &Arc<IssuanceLog> {
        &self.log
    }

    /// The PKCS#11 tokens that hold some of the keys.
    pub fn tokens(&self) -> &Tokens {
        self.keyring.passphrase.tokens()
    }

    /// What opens the mint's keys.
    pub fn passphrase(&self) -> &Passphrase {
        &self.keyring.passphrase
    }

    /// The mint's own keys, online and log.
    pub fn role_keys(&self) -> &RoleKeys {
        &self.role_keys
    }

    /// The directory that requests are judged by.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What was issued and refused since the journal was last told.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// This mint's name among the replicas of its realm; empty for the first.
    pub fn replica(&self) -> &str {
        &self.replica
    }

    // The reservation voids its position when it is dropped: on every `?` below.
    fn sign(&self, draft: Draft) -> Result<Pending, IssueFault> {
        let reservation = self.log.reserve(draft.shard(), draft.issued_at())?;
        let position = reservation.position().clone();
        let signed = draft.signer().sign(draft.profile(), &draft.claims().at(&position))?;
        let believed = draft.signer().believe(signed, draft.issued_at())?;
        let committed = reservation.commit(draft.entry(believed.signing_input_sha256()))?;
        let token = SignedToken { text: believed.into_text(), position, draft };
        Ok(Pending { token, committed, tally: Arc::clone(&self.tally) })
    }
}

// How far bundles have carried the shards that this mint writes.
fn carried(store: &Store, replica: &str) -> Result<Vec<(String, u64)>, IssueFault> {
    let directory = store.directory()?;
    let own: BTreeSet<String> = directory.sites().map(|site| site.shard(replica)).collect();
    let carried = store.leaves_carried()?;
    Ok(carried.into_iter().filter(|(shard, _)| own.contains(shard)).collect())
}

impl Pending {
    /// Blocks until the record is durable, and releases the token.
    pub fn wait(self) -> Result<SignedToken, IssueFault> {
        let durable = self.committed.wait()?;
        self.tally.issued(self.token.draft.site());
        Ok(self.token.release(durable))
    }

    /// Waits until the record is durable, and releases the token.
    pub async fn released(self) -> Result<SignedToken, IssueFault> {
        let durable = self.committed.durable().await?;
        self.tally.issued(self.token.draft.site());
        Ok(self.token.release(durable))
    }
}

impl SignedToken {
    // The proof is all that is needed: which record it is for was settled by `Pending`.
    fn release(self, _proof: Durable) -> SignedToken {
        self
    }

    /// The token. It is a secret: whoever holds it is its subject.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Its id, which is its position in the log.
    pub fn position(&self) -> &TokenPosition {
        &self.position
    }

    /// What it says.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedToken").field("position", &self.position).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("token", &self.token).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

impl From<Undrafted<IssueFault>> for IssueFault {
    fn from(undrafted: Undrafted<IssueFault>) -> Self {
        match undrafted {
            Undrafted::Refused(refused) => IssueFault::Refused(refused),
            Undrafted::Broken(fault) => fault,
        }
    }
}

impl Keyring {
    fn new(home: std::path::PathBuf, passphrase: Arc<Passphrase>) -> Keyring {
        Keyring { home, passphrase, opened: Mutex::default(), signers: RwLock::default() }
    }

    fn at<'k>(&'k self, directory: &'k Arc<Directory>) -> KeyringAt<'k> {
        KeyringAt { keyring: self, directory }
    }

    fn open(&self, key: &TokenKeyRecord) -> Result<Arc<TokenKey>, IssueFault> {
        let mut opened = self.opened();
        if let Some(held) = opened.get(&key.kid) {
            return Ok(Arc::clone(held));
        }
        if let KeyPlace::Token(_) = key.place {
            // A token may keep us waiting, and must not keep those waiting who need other keys.
            drop(opened);
            let fresh = self.open_now(key)?;
            return Ok(Arc::clone(self.opened().entry(key.kid.clone()).or_insert(fresh)));
        }
        let fresh = self.open_now(key)?;
        opened.insert(key.kid.clone(), Arc::clone(&fresh));
        Ok(fresh)
    }

    fn open_now(&self, key: &TokenKeyRecord) -> Result<Arc<TokenKey>, IssueFault> {
        let opened = keys::open_token_at(&key.place, &key.jwk, &self.home, &self.passphrase);
        opened.map(Arc::new).map_err(|fault| IssueFault::Key { kid: key.kid.clone(), fault })
    }

    fn forget(&self, kids: &[String]) {
        self.opened().retain(|kid, _| !kids.contains(kid));
        let mut signers = self.signers.write().unwrap_or_else(PoisonError::into_inner);
        signers.1.retain(|kid, _| !kids.contains(kid));
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<String, Arc<TokenKey>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keyring beside one picture of the directory.
struct KeyringAt<'k> {
    keyring: &'k Keyring,
    directory: &'k Arc<Directory>,
}

impl KeyringAt<'_> {
    /// Whether a signature by this key takes microseconds, the key being open.
    fn is_ready(&self, kid: &str) -> bool {
        self.held(kid).is_some_and(|signer| !signer.is_slow())
    }

    fn is_away(&self, kid: &str) -> bool {
        self.held(kid).is_some_and(|signer| signer.at_hand().is_err())
    }

    fn held(&self, kid: &str) -> Option<Arc<TokenSigner>> {
        let signers = self.keyring.signers.read().unwrap_or_else(PoisonError::into_inner);
        let current = signers.0.as_ref().is_some_and(|directory| Arc::ptr_eq(directory, self.directory));
        if current { signers.1.get(kid).cloned() } else { None }
    }

    fn hold(&self, kid: &str, signer: &Arc<TokenSigner>) {
        let mut signers = self.keyring.signers.write().unwrap_or_else(PoisonError::into_inner);
        if !signers.0.as_ref().is_some_and(|directory| Arc::ptr_eq(directory, self.directory)) {
            *signers = (Some(Arc::clone(self.directory)), HashMap::new());
        }
        signers.1.insert(kid.to_owned(), Arc::clone(signer));
    }
}

impl Signers for KeyringAt<'_> {
    type Fault = IssueFault;

    fn signer(&self, site: &Site, key: &TokenKeyRecord) -> Result<Arc<TokenSigner>, IssueFault> {
        let signer = match self.held(&key.kid) {
            Some(held) => held,
            None => {
                let fault = |fault| IssueFault::PublicKey { kid: key.kid.clone(), fault };
                let opened = self.keyring.open(key)?;
                let signer = Arc::new(TokenSigner::new(opened, &key.jwk, site).map_err(fault)?);
                self.hold(&key.kid, &signer);
                signer
            }
        };
        // Opened long ago, its token may be away by now.
        let away = |fault| IssueFault::Key { kid: key.kid.clone(), fault: KeyFault::Token(fault) };
        signer.at_hand().map(|()| signer).map_err(away)
    }

    fn is_away(fault: &IssueFault) -> bool {
        fault.is_away()
    }
}
