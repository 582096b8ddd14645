//! What Argon2id makes of a passphrase, kept while the passphrase is: each takes most of a second and 64 MiB,
//! and a mint with a thousand sites has thousands of key files.
//!
//! ```text
//!   passphrase ──Argon2id, salt of many files──▶ stretched ──HKDF, salt of one file──▶ the file's own key
//! ```
//!
//! One salt serves all files that are made while the passphrase is held, and those that are made beside them
//! later. Whoever guesses passphrases gains nothing by it: all these files have the one passphrase, and a
//! guess is tried on whichever is the cheapest. The salt is still a mint's own, so nothing can be worked out
//! beforehand; and every file is encrypted under a key of its own.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use super::KeyFault;
use super::file::Cost;

/// Bytes of the salt that many files share.
pub(super) const SALT_BYTES: usize = 16;
/// Bytes of the salt of one file.
pub(super) const FILE_SALT_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
/// What the key of a file is for, so that it serves nothing else.
const PURPOSE: &[u8] = b"farside-key/1";
/// Stretched forms that are kept: key files of so many makings can be open at once.
const KEPT_MAX: usize = 4_096;

/// What a passphrase became under one salt.
pub(super) struct Stretched {
    pub(super) salt: [u8; SALT_BYTES],
    cost: Cost,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl Stretched {
    /// The key of the file with this salt.
    pub(super) fn cipher(&self, file_salt: &[u8; FILE_SALT_BYTES]) -> Result<LessSafeKey, KeyFault> {
        let fault = |_| KeyFault::Crypto("key of the file");
        let prk = Salt::new(HKDF_SHA256, file_salt).extract(&*self.key);
        let key: UnboundKey = prk.expand(&[PURPOSE], &AES_256_GCM).map_err(fault)?.into();
        Ok(LessSafeKey::new(key))
    }
}

/// The stretched forms of one passphrase.
#[derive(Default)]
pub(super) struct Stretches(
    /// Owns them; held while one is worked out, so that nobody works out the same one meanwhile.
    Mutex<Kept>,
);

#[derive(Default)]
struct Kept {
    all: Vec<Arc<Stretched>>,
    /// The one for new files: ours, or one that has opened a file and so is no stranger's.
    for_new: Option<Arc<Stretched>>,
}

impl Stretches {
    /// The form under that salt.
    pub(super) fn of(
        &self,
        passphrase: &[u8],
        cost: Cost,
        salt: &[u8; SALT_BYTES],
    ) -> Result<Arc<Stretched>, KeyFault> {
        let mut kept = self.kept();
        if let Some(known) = kept.all.iter().find(|known| known.salt == *salt && known.cost == cost) {
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(stretch(passphrase, cost, *salt)?);
        if kept.all.len() < KEPT_MAX {
            kept.all.push(Arc::clone(&fresh));
        }
        Ok(fresh)
    }

    /// The form for new files that are to cost `cost`.
    pub(super) fn for_new(&self, passphrase: &[u8], cost: Cost) -> Result<Arc<Stretched>, KeyFault> {
        if let Some(known) = &self.kept().for_new {
            return Ok(Arc::clone(known));
        }
        let salt = farside_service::random::bytes::<SALT_BYTES>();
        let salt = salt.map_err(|_| KeyFault::Crypto("random salt"))?;
        let fresh = self.of(passphrase, cost, &salt)?;
        self.has_opened(&fresh, cost);
        Ok(fresh)
    }

    /// A file has opened by it, and its salt was authentic: new files that cost as much may share it.
    pub(super) fn has_opened(&self, stretched: &Arc<Stretched>, cost: Cost) {
        if stretched.cost == cost {
            self.kept().for_new.get_or_insert_with(|| Arc::clone(stretched));
        }
    }

    // Who panicked here has added one or none.
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stretch(passphrase: &[u8], cost: Cost, salt: [u8; SALT_BYTES]) -> Result<Stretched, KeyFault> {
    let fault = || KeyFault::Crypto("key from the passphrase");
    let Cost { memory_kib, passes, lanes } = cost;
    let params = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(|_| fault())?;
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &salt, &mut *key)
        .map_err(|_| fault())?;
    Ok(Stretched { salt, cost, key })
}
