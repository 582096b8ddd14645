//! TLS from PEM files, for both ends: certificates, keys, and whom a client believes. The one crypto provider
//! is named explicitly, and no certificate of the system's is believed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::durable::{self, Failed, failed};

/// Largest file of certificates or keys.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Why certificate and key were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Failed),
    /// Everyone on the machine could read the key.
    #[error("{0} can be read by everyone: chmod 600 it")]
    Exposed(PathBuf),
    /// No PEM of that kind in the file.
    #[error("{path} holds no {what} in PEM")]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not go together, or are of a kind not supported.
    #[error("certificate and key are not usable: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Certificate and key of whoever shows itself, as paths.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// PEM file: the certificate, then its issuers.
    pub certificates: &'a Path,
    /// PEM file: the private key.
    pub key: &'a Path,
}

/// A client that believes the certificates in `roots`, and no others.
///
/// # Errors
/// A file cannot be read, or does not hold what it should.
pub fn client(roots: &Path, identity: Option<Identity<'_>>) -> Result<ClientConfig, TlsFault> {
    let mut believed = RootCertStore::empty();
    for certificate in certificates(roots)? {
        believed.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(believed);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some(shown) => builder.with_client_auth_cert(certificates(shown.certificates)?, key(shown.key)?)?,
    })
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let pem = durable::read_limited(path, PEM_BYTES_MAX)?;
    let missing = || TlsFault::NoPem { path: path.to_owned(), what: "certificate" };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| missing())?;
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let mode = std::fs::metadata(path).map_err(|source| failed("read", path, source))?.mode();
    if mode & 0o007 != 0 {
        return Err(TlsFault::Exposed(path.to_owned()));
    }
    let pem = Zeroizing::new(durable::read_limited(path, PEM_BYTES_MAX)?);
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| TlsFault::NoPem { path: path.to_owned(), what: "private key" })
}
