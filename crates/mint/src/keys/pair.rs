//! Signers of the charter's roles: Ed25519 and ML-DSA side by side, which count only together; and the log's
//! Ed25519 key.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::signature::{
    Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
    PqdsaSigningAlgorithm,
};
use farside_crossing::{LogKey, MlDsaLevel, PairSignature, SignFailed, Signer, SignerPublic};
use zeroize::Zeroizing;

use super::file::{self, Header, KeyKind};
use super::{KeyFault, Passphrase};

const SEED_BYTES: usize = 32;

/// A signer of notes with its private keys; `Debug` shows the name alone.
pub struct PairSigner {
    public: SignerPublic,
    ed25519: Ed25519KeyPair,
    ml_dsa: PqdsaKeyPair,
}

impl Signer for PairSigner {
    fn public(&self) -> &SignerPublic {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<PairSignature, SignFailed> {
        let failed = |_| SignFailed(format!("{} could not sign", self.public.name()));
        let ed25519 = self.ed25519.try_sign(message).map_err(failed)?;
        let mut ml_dsa = vec![0; self.ml_dsa.algorithm().signature_len()];
        let length = self.ml_dsa.sign(message, &mut ml_dsa).map_err(failed)?;
        ml_dsa.truncate(length);
        let ed25519 =
            ed25519.as_ref().try_into().map_err(|_| SignFailed("signature of an odd length".into()))?;
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
    let seeds = new_seeds::<{ 2 * SEED_BYTES }>()?;
    let signer = assemble(name, MlDsaLevel::MlDsa65, &*seeds)?;
    let header = Header { kind: KeyKind::Signer, name: name.to_owned(), public: signer.public.to_string() };
    file::create(path, &header, &*seeds, passphrase)?;
    Ok(signer.public)
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

/// Opens a signer's file.
pub fn open_signer(path: &Path, passphrase: &Passphrase) -> Result<PairSigner, KeyFault> {
    let (header, seeds) = file::open(path, KeyKind::Signer, passphrase)?;
    let mismatch = || KeyFault::Mismatch { path: path.display().to_string() };
    let public: SignerPublic = header.public.parse().map_err(|_| mismatch())?;
    let signer = assemble(public.name(), public.level(), &seeds)?;
    if signer.public.to_string() == header.public { Ok(signer) } else { Err(mismatch()) }
}

fn assemble(name: &str, level: MlDsaLevel, seeds: &[u8]) -> Result<PairSigner, KeyFault> {
    let fault = || KeyFault::Crypto("pair of signing keys");
    let (ed25519, ml_dsa) = seeds.split_at_checked(SEED_BYTES).ok_or_else(fault)?;
    let ed25519 = Ed25519KeyPair::from_seed_unchecked(ed25519).map_err(|_| fault())?;
    let ml_dsa = PqdsaKeyPair::from_seed(algorithm(level), ml_dsa).map_err(|_| fault())?;
    let ed25519_public = ed25519.public_key().as_ref().try_into().map_err(|_| fault())?;
    let public = SignerPublic::new(name, ed25519_public, level, ml_dsa.public_key().as_ref())
        .map_err(|_| KeyFault::Name(name.to_owned()))?;
    Ok(PairSigner { public, ed25519, ml_dsa })
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
    ed25519: Ed25519KeyPair,
}

impl LogSigner {
    /// The verifier key, as the charter names it.
    pub fn public(&self) -> &LogKey {
        &self.public
    }

    /// Signs a checkpoint's text.
    pub fn sign(&self, text: &[u8]) -> Result<[u8; 64], SignFailed> {
        let failed = || SignFailed("the log's key could not sign".into());
        let signature = self.ed25519.try_sign(text).map_err(|_| failed())?;
        signature.as_ref().try_into().map_err(|_| failed())
    }
}

impl std::fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogSigner({})", self.public)
    }
}

/// The log's key as an issuing mint holds it: opened when the first head is signed, since that takes most of
/// a second.
#[derive(Debug)]
pub struct LogKeyFile {
    file: Option<(PathBuf, Arc<Passphrase>)>,
    opened: OnceLock<LogSigner>,
}

impl LogKeyFile {
    /// The key in the file at `path`.
    pub fn new(path: PathBuf, passphrase: Arc<Passphrase>) -> LogKeyFile {
        LogKeyFile { file: Some((path, passphrase)), opened: OnceLock::new() }
    }

    /// A key that is open already.
    pub fn opened(signer: LogSigner) -> LogKeyFile {
        LogKeyFile { file: None, opened: OnceLock::from(signer) }
    }

    /// The key, open.
    pub fn signer(&self) -> Result<&LogSigner, KeyFault> {
        if let (None, Some((path, passphrase))) = (self.opened.get(), &self.file) {
            // Another thread may have been faster: then its key stands.
            let _ = self.opened.set(open_log(path, passphrase)?);
        }
        self.opened.get().ok_or(KeyFault::Crypto("log key"))
    }
}

/// Makes a log's key that is kept nowhere.
pub fn ephemeral_log(name: &str) -> Result<LogSigner, KeyFault> {
    assemble_log(name, &*new_seeds::<SEED_BYTES>()?)
}

/// Makes the log's key and writes its file; returns the verifier key.
pub fn create_log(path: &Path, name: &str, passphrase: &Passphrase) -> Result<LogKey, KeyFault> {
    let seed = new_seeds::<SEED_BYTES>()?;
    let signer = assemble_log(name, &*seed)?;
    let header = Header { kind: KeyKind::Log, name: name.to_owned(), public: signer.public.to_string() };
    file::create(path, &header, &*seed, passphrase)?;
    Ok(signer.public)
}

/// Opens the log's key file.
pub fn open_log(path: &Path, passphrase: &Passphrase) -> Result<LogSigner, KeyFault> {
    let (header, seed) = file::open(path, KeyKind::Log, passphrase)?;
    let signer = assemble_log(&header.name, &seed)?;
    let same = signer.public.to_string() == header.public;
    if same { Ok(signer) } else { Err(KeyFault::Mismatch { path: path.display().to_string() }) }
}

fn assemble_log(name: &str, seed: &[u8]) -> Result<LogSigner, KeyFault> {
    let fault = || KeyFault::Crypto("log key");
    let ed25519 = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| fault())?;
    let public = ed25519.public_key().as_ref().try_into().map_err(|_| fault())?;
    let public = LogKey::new(name, public).map_err(|_| KeyFault::Name(name.to_owned()))?;
    Ok(LogSigner { public, ed25519 })
}

fn new_seeds<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyFault> {
    let mut seeds = Zeroizing::new([0; N]);
    farside_service::random::fill(&mut *seeds).map_err(|_| KeyFault::Crypto("random seed"))?;
    Ok(seeds)
}
