//! Signers of the charter's roles: Ed25519 and ML-DSA side by side, which count only together; and the log's
//! Ed25519 key. The Ed25519 half may live in a PKCS#11 token; ML-DSA lives in the encrypted file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
    PqdsaSigningAlgorithm,
};
use farside_crossing::{LogKey, MlDsaLevel, PairSignature, SignFailed, Signer, SignerPublic};
use zeroize::Zeroizing;

use super::ed25519::{Ed25519Key, NewEd25519, SEED_BYTES, new_seed};
use super::file::{self, Header, KeyKind};
use super::tokens::Token;
use super::{KeyFault, Passphrase};

/// A signer of notes with its private keys; `Debug` shows the name alone.
pub struct PairSigner {
    public: SignerPublic,
    ed25519: Ed25519Key,
    ml_dsa: PqdsaKeyPair,
}

impl Signer for PairSigner {
    fn public(&self) -> &SignerPublic {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<PairSignature, SignFailed> {
        let failed = |fault: String| SignFailed(format!("{} could not sign: {fault}", self.public.name()));
        let ed25519 = self.ed25519.sign(message).map_err(|fault| failed(fault.to_string()))?;
        let mut ml_dsa = vec![0; self.ml_dsa.algorithm().signature_len()];
        let length = self.ml_dsa.sign(message, &mut ml_dsa).map_err(|fault| failed(fault.to_string()))?;
        ml_dsa.truncate(length);
        Ok(PairSignature { ed25519, ml_dsa })
    }
}

impl std::fmt::Debug for PairSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PairSigner({})", self.public.name())
    }
}

/// Makes a new signer and writes its file; returns the public line.
pub fn create_signer(path: &Path, name: &str, passphrase: &Passphrase) -> Result<SignerPublic, KeyFault> {
    create_signer_with(path, name, passphrase, None)
}

/// As [`create_signer`], with the Ed25519 half in `token` where one is given: then neither the file nor the
/// token can sign without the other.
pub fn create_signer_with(
    path: &Path,
    name: &str,
    passphrase: &Passphrase,
    token: Option<&Token>,
) -> Result<SignerPublic, KeyFault> {
    let ed25519 = NewEd25519::make(token, &format!("farside signer {name}"))?;
    let ml_dsa = new_seed()?;
    let level = MlDsaLevel::MlDsa65;
    let public = public_of(name, ed25519.public, level, &open_ml_dsa(level, &*ml_dsa)?)?;
    let mut header = Header::new(KeyKind::Signer, name.to_owned(), public.to_string());
    header.ed25519.clone_from(&ed25519.held);
    let secret = Zeroizing::new([ed25519.seed.as_slice(), ml_dsa.as_slice()].concat());
    file::create(path, &header, &secret, passphrase).map_err(|fault| ed25519.undo(token, fault))?;
    Ok(public)
}

/// Makes a new signer's file `<name>.key` in `folder`, which is made where it is missing.
pub fn create_signer_in(
    folder: &Path,
    name: &str,
    passphrase: &Passphrase,
) -> Result<SignerPublic, KeyFault> {
    farside_service::durable::create_dir_all(folder, farside_service::durable::Mode::Private)?;
    create_signer(&folder.join(format!("{name}.key")), name, passphrase)
}

/// Makes a signer that is kept nowhere.
pub fn ephemeral_signer(name: &str) -> Result<PairSigner, KeyFault> {
    let ed25519 = Ed25519Key::own(&*new_seed()?)?;
    let level = MlDsaLevel::MlDsa65;
    let ml_dsa = open_ml_dsa(level, &*new_seed()?)?;
    let public = public_of(name, *ed25519.public(), level, &ml_dsa)?;
    Ok(PairSigner { public, ed25519, ml_dsa })
}

/// Opens a signer's file, and the half in a token that it names.
pub fn open_signer(path: &Path, passphrase: &Passphrase) -> Result<PairSigner, KeyFault> {
    let (header, secret) = file::open(path, KeyKind::Signer, passphrase)?;
    let mismatch = || KeyFault::Mismatch { path: path.display().to_string() };
    let public: SignerPublic = header.public.parse().map_err(|_| mismatch())?;
    let own = if header.ed25519.is_some() { 0 } else { SEED_BYTES };
    let (seed, ml_dsa) = secret.split_at_checked(own).ok_or_else(mismatch)?;
    let ml_dsa = open_ml_dsa(public.level(), ml_dsa)?;
    let ed25519 = Ed25519Key::open(seed, header.ed25519.as_ref(), public.ed25519(), passphrase)?;
    let found = public_of(public.name(), *ed25519.public(), public.level(), &ml_dsa)?;
    if found == public { Ok(PairSigner { public, ed25519, ml_dsa }) } else { Err(mismatch()) }
}

fn public_of(
    name: &str,
    ed25519: [u8; 32],
    level: MlDsaLevel,
    ml_dsa: &PqdsaKeyPair,
) -> Result<SignerPublic, KeyFault> {
    let public = SignerPublic::new(name, ed25519, level, ml_dsa.public_key().as_ref());
    public.map_err(|_| KeyFault::Name(name.to_owned()))
}

fn open_ml_dsa(level: MlDsaLevel, seed: &[u8]) -> Result<PqdsaKeyPair, KeyFault> {
    let fault = |_| KeyFault::Crypto("pair of signing keys");
    PqdsaKeyPair::from_seed(algorithm(level), seed).map_err(fault)
}

fn algorithm(level: MlDsaLevel) -> &'static PqdsaSigningAlgorithm {
    match level {
        MlDsaLevel::MlDsa44 => &ML_DSA_44_SIGNING,
        MlDsaLevel::MlDsa65 => &ML_DSA_65_SIGNING,
        MlDsaLevel::MlDsa87 => &ML_DSA_87_SIGNING,
    }
}

/// The log's key; `Debug` shows the name alone.
pub struct LogSigner {
    public: LogKey,
    ed25519: Ed25519Key,
}

impl LogSigner {
    /// The verifier key, as the charter names it.
    pub fn public(&self) -> &LogKey {
        &self.public
    }

    /// Signs a checkpoint's text.
    ///
    /// # Errors
    /// [`KeyFault::Token`] where the key lives in a token that is away.
    pub fn sign(&self, text: &[u8]) -> Result<[u8; 64], KeyFault> {
        self.ed25519.sign(text)
    }
}

impl std::fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogSigner({})", self.public)
    }
}

/// Where the log's keys are had from, for as long as the mint runs: the charter may change meanwhile.
pub trait LogKeys: std::fmt::Debug + Send + Sync {
    /// The key that signs heads of that shard now.
    fn signer(&self, shard: &str) -> Result<Arc<LogSigner>, KeyFault>;
    /// The keys by which heads are believed now.
    fn in_force(&self) -> Result<LogKeysInForce, KeyFault>;
}

/// The log keys that a charter names.
#[derive(Debug, Clone, Default)]
pub struct LogKeysInForce {
    /// The charter's number; 0 where none says.
    pub version: u64,
    /// Its log keys.
    pub keys: Vec<LogKey>,
}

/// The log's key as an issuing mint holds it: opened when the first head is signed, since that takes most of
/// a second.
#[derive(Debug)]
pub struct LogKeyFile(Source);

#[derive(Debug)]
enum Source {
    File { path: PathBuf, passphrase: Arc<Passphrase>, opened: OnceLock<Arc<LogSigner>> },
    Open(Arc<LogSigner>),
    Charter(Arc<dyn LogKeys>),
}

impl LogKeyFile {
    /// The key in the file at `path`, whatever a charter says.
    pub fn new(path: PathBuf, passphrase: Arc<Passphrase>) -> LogKeyFile {
        LogKeyFile(Source::File { path, passphrase, opened: OnceLock::new() })
    }

    /// A key that is open already.
    pub fn opened(signer: LogSigner) -> LogKeyFile {
        LogKeyFile(Source::Open(Arc::new(signer)))
    }

    /// Whichever keys the charter in force names.
    pub fn of_charter(keys: Arc<dyn LogKeys>) -> LogKeyFile {
        LogKeyFile(Source::Charter(keys))
    }

    /// The key for heads of that shard, open.
    pub fn signer(&self, shard: &str) -> Result<Arc<LogSigner>, KeyFault> {
        match &self.0 {
            Source::Open(signer) => Ok(Arc::clone(signer)),
            Source::Charter(keys) => keys.signer(shard),
            Source::File { path, passphrase, opened } => {
                if opened.get().is_none() {
                    // Another thread may have been faster: then its key stands.
                    let _ = opened.set(Arc::new(open_log(path, passphrase)?));
                }
                opened.get().cloned().ok_or(KeyFault::Crypto("log key"))
            }
        }
    }

    /// The keys by which heads are believed, where a charter says so.
    pub fn in_force(&self) -> Result<LogKeysInForce, KeyFault> {
        match &self.0 {
            Source::Charter(keys) => keys.in_force(),
            Source::Open(_) | Source::File { .. } => Ok(LogKeysInForce::default()),
        }
    }
}

/// Makes a log's key that is kept nowhere.
pub fn ephemeral_log(name: &str) -> Result<LogSigner, KeyFault> {
    let ed25519 = Ed25519Key::own(&*new_seed()?)?;
    Ok(LogSigner { public: log_key(name, *ed25519.public())?, ed25519 })
}

/// Makes the log's key and writes its file; returns the verifier key.
pub fn create_log(path: &Path, name: &str, passphrase: &Passphrase) -> Result<LogKey, KeyFault> {
    create_log_with(path, name, passphrase, None)
}

/// As [`create_log`], with the key in `token` where one is given: then the file holds no secret, and says
/// under the passphrase's seal where the key is.
pub fn create_log_with(
    path: &Path,
    name: &str,
    passphrase: &Passphrase,
    token: Option<&Token>,
) -> Result<LogKey, KeyFault> {
    let ed25519 = NewEd25519::make(token, &format!("farside log {name}"))?;
    let public = log_key(name, ed25519.public)?;
    let mut header = Header::new(KeyKind::Log, name.to_owned(), public.to_string());
    header.ed25519.clone_from(&ed25519.held);
    file::create(path, &header, &ed25519.seed, passphrase).map_err(|fault| ed25519.undo(token, fault))?;
    Ok(public)
}

/// Opens the log's key file.
pub fn open_log(path: &Path, passphrase: &Passphrase) -> Result<LogSigner, KeyFault> {
    let (header, seed) = file::open(path, KeyKind::Log, passphrase)?;
    let mismatch = || KeyFault::Mismatch { path: path.display().to_string() };
    let public: LogKey = header.public.parse().map_err(|_| mismatch())?;
    let ed25519 = Ed25519Key::open(&seed, header.ed25519.as_ref(), public.ed25519(), passphrase)?;
    let same = log_key(&header.name, *ed25519.public())? == public;
    if same { Ok(LogSigner { public, ed25519 }) } else { Err(mismatch()) }
}

fn log_key(name: &str, public: [u8; 32]) -> Result<LogKey, KeyFault> {
    LogKey::new(name, public).map_err(|_| KeyFault::Name(name.to_owned()))
}
